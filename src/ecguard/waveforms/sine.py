"""Sines on a constant or moving potential.

The simulator joins samples by straight lines, which lowers the fundamental of a sine by
sinc(1/n)^2, with n the samples a period.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecguard.errors import InputError
from ecguard.positive import check_positive
from ecguard.simulator import Waveform
from ecguard.waveforms.arguments import (
    agree,
    at_least,
    below_nyquist,
    build,
    columns,
    phase,
    require,
)
from ecguard.waveforms.scan import linear_sweep


def tone(
    E_dc_V: ArrayLike,
    amplitude_V: ArrayLike,
    frequency_Hz: ArrayLike,
    samples: int,
    samples_per_period: int = 32,
) -> Waveform:
    """A sine of `amplitude_V` around `E_dc_V`.

    Raises:
        InputError: a value is not finite, the frequency is not positive, batches differ or samples
            are fewer than two, or three a period.
    """
    mean, amplitude, frequency = columns(
        E_dc_V=E_dc_V, amplitude_V=amplitude_V, frequency_Hz=frequency_Hz
    )
    check_positive(frequency_Hz=frequency)
    at_least(2, samples=samples)
    at_least(3, samples_per_period=samples_per_period)
    period = np.arange(samples) / samples_per_period
    return build(period / frequency, mean + amplitude * np.sin(2 * np.pi * period))


def ac_voltammetry(
    E_start_V: ArrayLike,
    E_end_V: ArrayLike,
    scan_rate_V_s: ArrayLike,
    amplitude_V: ArrayLike,
    frequency_Hz: ArrayLike,
    samples: int,
) -> Waveform:
    """A sweep from `E_start_V` to `E_end_V` with a sine of `amplitude_V` on it.

    Raises:
        InputError: a value is not finite, a rate is not positive, the ends are equal, the frequency
            reaches half the sampling rate, batches differ or samples are fewer than two.
    """
    *_, rate, amplitude, frequency = columns(
        E_start_V=E_start_V,
        E_end_V=E_end_V,
        scan_rate_V_s=scan_rate_V_s,
        amplitude_V=amplitude_V,
        frequency_Hz=frequency_Hz,
    )
    check_positive(scan_rate_V_s=rate, frequency_Hz=frequency)
    sweep = linear_sweep(E_start_V, E_end_V, scan_rate_V_s, samples)
    below_nyquist("frequency_Hz", frequency, sweep.t_s[..., -1:] / (samples - 1))
    sine = amplitude * np.sin(2 * np.pi * frequency * sweep.t_s)
    return build(sweep.t_s, sweep.E_V + sine)


def multi_sine(
    E_dc_V: ArrayLike,
    frequencies_Hz: ArrayLike,
    amplitudes_V: ArrayLike,
    duration_s: ArrayLike,
    samples: int,
    phases_rad: ArrayLike | None = None,
) -> Waveform:
    """A sum of sines, a sin(2 pi f t + phase), around `E_dc_V`.

    Its mean is `E_dc_V`, and its spectrum has lines alone, where every frequency is a multiple of
    1/duration_s.

    Args:
        E_dc_V: V, scalar or [batch].
        frequencies_Hz: Hz, [k] or [batch, k], rising.
        amplitudes_V: V, scalar, [k] or [batch, k].
        duration_s: s, scalar or [batch].
        samples: in the whole duration, both ends included.
        phases_rad: scalar, [k] or [batch, k]; `schroeder_phases` if None.

    Raises:
        InputError: a value is not finite, a frequency, amplitude or duration is not positive, a
            frequency reaches half the sampling rate, lengths or batches differ, there is no
            frequency or samples are fewer than two.
    """
    mean, duration = columns(E_dc_V=E_dc_V, duration_s=duration_s)
    check_positive(duration_s=duration)
    frequency, amplitude, offset = _lines(frequencies_Hz, amplitudes_V, phases_rad)
    agree(E_dc_V=mean, duration_s=duration, frequencies_Hz=frequency)
    time = duration * phase(samples)
    below_nyquist("frequencies_Hz", frequency, duration / (samples - 1))
    lines = np.stack([2 * np.pi * frequency, amplitude, offset])[..., None, :]
    total = sum(a * np.sin(omega * time + shift) for omega, a, shift in np.moveaxis(lines, -1, 0))
    return build(time, mean + total)


def schroeder_phases(amplitudes: ArrayLike) -> NDArray[np.float64]:
    """Phases [..., k] (rad) that keep the peak of a sum of harmonics of `amplitudes` [..., k] low.

    phase_n = -2 pi sum_(l<n) (n - l) p_l, with p_l the share of line l in the power: the sum then
    sweeps through its frequencies in one period. Made for neighbouring harmonics in rising order;
    lines far apart gain little. M. R. Schroeder, IEEE Trans. Inf. Theory 16 (1970) 85-89.

    Raises:
        InputError: an amplitude is not finite and positive.
    """
    amplitude = np.atleast_1d(np.asarray(amplitudes, np.float64))
    require("amplitudes", amplitude, np.isfinite(amplitude), "finite", "check the value")
    check_positive(amplitudes=amplitude)
    power = amplitude**2 / np.sum(amplitude**2, axis=-1, keepdims=True)
    twice = np.cumsum(np.cumsum(power, axis=-1), axis=-1)
    return -2 * np.pi * np.concatenate([np.zeros_like(twice[..., :1]), twice[..., :-1]], axis=-1)


def _lines(
    frequencies_Hz: ArrayLike, amplitudes_V: ArrayLike, phases_rad: ArrayLike | None
) -> tuple[NDArray[np.float64], ...]:
    """Frequencies, amplitudes and phases of one shape [..., k]."""
    given = 0.0 if phases_rad is None else phases_rad
    named = {"frequencies_Hz": frequencies_Hz, "amplitudes_V": amplitudes_V, "phases_rad": given}
    lines = {name: np.atleast_1d(np.asarray(value, np.float64)) for name, value in named.items()}
    shapes = [line.shape for line in lines.values()]
    if lines["frequencies_Hz"].size == 0:
        raise InputError("frequencies_Hz", [], "at least one frequency", "give a frequency")
    for name, line in lines.items():
        require(name, line, np.isfinite(line), "finite", "check the value and its unit")
    try:
        frequency, amplitude, offset = np.broadcast_arrays(*lines.values())
    except ValueError:
        raise InputError(
            ", ".join(lines),
            shapes,
            "one amplitude and one phase for each frequency, and one [batch]",
            "give arrays of one length",
        ) from None
    check_positive(frequencies_Hz=frequency, amplitudes_V=amplitude)
    return frequency, amplitude, schroeder_phases(amplitude) if phases_rad is None else offset
