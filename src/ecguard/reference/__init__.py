"""Reference solutions that the simulator is held against. Independent of it: numpy and scipy alone.

Planar semi-infinite diffusion, one electron. Currents are densities, in mA/cm^2; a reduction is
negative.
"""

from ecguard.reference.coverage import coverage
from ecguard.reference.double_layer import charging_ramp_current, charging_step_current
from ecguard.reference.impedance import nernst_potential, randles_impedance
from ecguard.reference.peak_separation import PRINTED_SEPARATION_MV, peak_separation
from ecguard.reference.square_wave import (
    SquareWave,
    reversible_square_wave,
    reversible_square_wave_peak,
)
from ecguard.reference.step import (
    kinetic_step_charge,
    kinetic_step_current,
    limiting_charge,
    limiting_current,
)
from ecguard.reference.sweep import (
    IRREVERSIBLE_PEAK_CURRENT,
    IRREVERSIBLE_PEAK_SHIFT,
    IRREVERSIBLE_PEAK_WIDTH,
    PEAK_CURRENT,
    PEAK_SHIFT,
    irreversible_peak_current,
    irreversible_peak_potential,
    irreversible_peak_width,
    reversible_peak_current,
    reversible_peak_potential,
    reversible_sweep_current,
    surface_confined_current,
    surface_confined_width,
)
from ecguard.reference.thermal import FARADAY, thermal_voltage
from ecguard.reference.voltammogram import Voltammogram, voltammogram

__all__ = [
    "FARADAY",
    "IRREVERSIBLE_PEAK_CURRENT",
    "IRREVERSIBLE_PEAK_SHIFT",
    "IRREVERSIBLE_PEAK_WIDTH",
    "PEAK_CURRENT",
    "PEAK_SHIFT",
    "PRINTED_SEPARATION_MV",
    "SquareWave",
    "Voltammogram",
    "charging_ramp_current",
    "charging_step_current",
    "coverage",
    "irreversible_peak_current",
    "irreversible_peak_potential",
    "irreversible_peak_width",
    "kinetic_step_charge",
    "kinetic_step_current",
    "limiting_charge",
    "limiting_current",
    "nernst_potential",
    "peak_separation",
    "randles_impedance",
    "reversible_peak_current",
    "reversible_peak_potential",
    "reversible_square_wave",
    "reversible_square_wave_peak",
    "reversible_sweep_current",
    "surface_confined_current",
    "surface_confined_width",
    "thermal_voltage",
    "voltammogram",
]
