"""Builders of waveforms. Scalars give one waveform [L]; arrays [batch] give a batch [batch, L].

Potentials that step do so just after the sample at which they step, so that a sample at the end
of a pulse still belongs to it.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecguard.errors import InputError
from ecguard.simulator import Waveform, potential_jumps


def cyclic(
    E_start_V: ArrayLike, E_vertex_V: ArrayLike, scan_rate_V_s: ArrayLike, samples: int
) -> Waveform:
    """One cycle from `E_start_V` to `E_vertex_V` and back; an odd `samples` hits the vertex."""
    start, vertex, rate = _columns(E_start_V, E_vertex_V, scan_rate_V_s)
    _positive("scan_rate_V_s", rate)
    _positive("the potential window", np.abs(vertex - start))
    duration = 2 * np.abs(vertex - start) / rate
    phase = _grid(samples)
    return _waveform(duration * phase, start + (vertex - start) * (1 - np.abs(2 * phase - 1)))


def chronoamperometry(
    E_rest_V: ArrayLike, E_step_V: ArrayLike, duration_s: ArrayLike, samples: int
) -> Waveform:
    """Rest for an eighth of `duration_s`, then step."""
    rest, step, duration = _columns(E_rest_V, E_step_V, duration_s)
    _positive("duration_s", duration)
    phase = _grid(samples)
    return _waveform(duration * phase, np.where(phase <= 1 / 8, rest, step))


def square_wave(
    E_start_V: ArrayLike,
    step_V: ArrayLike,
    amplitude_V: ArrayLike,
    frequency_Hz: ArrayLike,
    samples: int,
    samples_per_period: int = 4,
) -> Waveform:
    """A staircase of `step_V` a period with a square wave of half-height `amplitude_V` on it.

    The first half of each period lies in the direction of the staircase.
    """
    start, step, amplitude, frequency = _columns(E_start_V, step_V, amplitude_V, frequency_Hz)
    _positive("frequency_Hz", frequency)
    if samples < 2 or samples_per_period < 2:
        raise InputError("samples", samples, ">= 2, and >= 2 a period", "take more samples")
    period = np.arange(samples) / samples_per_period
    # left-continuous: the sample at the end of a half-period still belongs to it
    half = np.maximum(np.ceil(2 * period - 1e-9) - 1, 0)
    forward = np.where(half % 2 == 0, 1.0, -1.0) * np.sign(step)
    return _waveform(period / frequency, start + step * (half // 2) + amplitude * forward)


def tone(
    E_dc_V: ArrayLike,
    amplitude_V: ArrayLike,
    frequency_Hz: ArrayLike,
    samples: int,
    samples_per_period: int = 32,
) -> Waveform:
    """A sine of `amplitude_V` around `E_dc_V`."""
    mean, amplitude, frequency = _columns(E_dc_V, amplitude_V, frequency_Hz)
    _positive("frequency_Hz", frequency)
    period = np.arange(samples) / samples_per_period
    return _waveform(period / frequency, mean + amplitude * np.sin(2 * np.pi * period))


def refine(waveform: Waveform, substeps: int) -> Waveform:
    """Split every step of waveforms [..., L] into `substeps` equal ones.

    The potential is linear between samples; where it jumps it does so just after the sample.
    """
    time, potential = np.asarray(waveform.t_s), np.asarray(waveform.E_V)
    jump = np.asarray(potential_jumps(np.moveaxis(potential, -1, 0)))
    jump = np.moveaxis(jump, 0, -1)[..., None]
    share = np.arange(1, substeps + 1) / substeps

    def between(
        values: NDArray[np.floating], held: NDArray[np.bool_] | bool
    ) -> NDArray[np.float64]:
        old, new = values[..., :-1, None], values[..., 1:, None]
        inner = np.where(held, new, old + (new - old) * share)
        return np.concatenate([values[..., :1], inner.reshape(*inner.shape[:-2], -1)], axis=-1)

    return Waveform(between(time, False), between(potential, jump))


def _columns(*values: ArrayLike) -> list[NDArray[np.float64]]:
    return [np.asarray(value, np.float64)[..., None] for value in values]


def _grid(samples: int) -> NDArray[np.float64]:
    if samples < 2:
        raise InputError("samples", samples, ">= 2", "take more samples")
    return np.linspace(0.0, 1.0, samples)


def _positive(name: str, value: NDArray[np.float64]) -> None:
    if not np.all((value > 0) & np.isfinite(value)):
        raise InputError(name, value.ravel()[0], "finite and > 0", "check the value and its unit")


def _waveform(time: NDArray[np.float64], potential: NDArray[np.float64]) -> Waveform:
    time, potential = np.broadcast_arrays(time, potential)
    return Waveform(time.copy(), potential.copy())
