"""Builders of waveforms. Scalars give one waveform [L]; arrays [batch] give a batch [batch, L].

Potentials that step do so just after the sample at which they step, so that a sample at the end
of a pulse still belongs to it. Time starts at 0 s, where the electrode is at rest.
"""

from ecguard.waveforms.protocol import Segment, biofouling_protocol, cleaning_pulses
from ecguard.waveforms.pulse import (
    differential_pulse,
    differential_pulse_samples,
    square_wave,
    square_wave_samples,
)
from ecguard.waveforms.scan import cyclic, linear_sweep
from ecguard.waveforms.sequence import concatenate, refine
from ecguard.waveforms.sine import ac_voltammetry, multi_sine, schroeder_phases, tone
from ecguard.waveforms.step import chronoamperometry, double_step, hold

__all__ = [
    "Segment",
    "ac_voltammetry",
    "biofouling_protocol",
    "chronoamperometry",
    "cleaning_pulses",
    "concatenate",
    "cyclic",
    "differential_pulse",
    "differential_pulse_samples",
    "double_step",
    "hold",
    "linear_sweep",
    "multi_sine",
    "refine",
    "schroeder_phases",
    "square_wave",
    "square_wave_samples",
    "tone",
]
