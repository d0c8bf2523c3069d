"""Voltammetry of clean and fouled electrodes, batched and differentiable."""

from ecguard.simulator.batch import BLOCK, simulate, simulate_batch
from ecguard.simulator.electrode import Cell, Couples, Waveform
from ecguard.simulator.grid import potential_jumps
from ecguard.simulator.kinetics import kinetics_of, reduction_flux
from ecguard.simulator.march import FARADAY, GAS_CONSTANT
from ecguard.simulator.profiles import concentration_profiles, kernel_integral
from ecguard.simulator.trace import OUTPUTS, Output, Trace

__all__ = [
    "BLOCK",
    "FARADAY",
    "GAS_CONSTANT",
    "OUTPUTS",
    "Cell",
    "Couples",
    "Output",
    "Trace",
    "Waveform",
    "concentration_profiles",
    "kernel_integral",
    "kinetics_of",
    "potential_jumps",
    "reduction_flux",
    "simulate",
    "simulate_batch",
]
