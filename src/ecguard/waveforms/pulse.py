"""Pulses on a staircase, and the samples at which their currents are read."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecguard.positive import check_positive
from ecguard.simulator import Waveform
from ecguard.waveforms.arguments import at_least, build, columns, require


def square_wave(
    E_start_V: ArrayLike,
    step_V: ArrayLike,
    amplitude_V: ArrayLike,
    frequency_Hz: ArrayLike,
    samples: int,
    samples_per_period: int = 4,
) -> Waveform:
    """A staircase of `step_V` a period with a square wave of half-height `amplitude_V` on it.

    The first half of each period lies in the direction of the staircase. `square_wave_samples`
    tells where the currents are read.

    Raises:
        InputError: a value is not finite, the frequency is not positive, the step is 0, the
            amplitude is negative, batches differ or samples are fewer than two, or two a period.
    """
    start, step, amplitude, frequency = columns(
        E_start_V=E_start_V, step_V=step_V, amplitude_V=amplitude_V, frequency_Hz=frequency_Hz
    )
    check_positive(frequency_Hz=frequency)
    require("step_V", step, step != 0, "not 0", "give the step its direction by its sign")
    require("amplitude_V", amplitude, amplitude >= 0, ">= 0", "the sign of step_V leads")
    at_least(2, samples=samples, samples_per_period=samples_per_period)
    period = np.arange(samples) / samples_per_period
    # left-continuous: the sample at the end of a half-period still belongs to it
    half = np.maximum(np.ceil(2 * period - 1e-9) - 1, 0)
    forward = np.where(half % 2 == 0, 1.0, -1.0) * np.sign(step)
    return build(period / frequency, start + step * (half // 2) + amplitude * forward)


def square_wave_samples(
    samples: int, samples_per_period: int = 4
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Samples at the ends of the forward and the reverse halves of every whole period, each [n].

    The net current is `current[..., forward] - current[..., reverse]`; it belongs to the staircase
    potential, the mean of `E_V` at the two.

    Raises:
        InputError: samples do not fill a period, or are fewer than two a period.
    """
    at_least(2, samples_per_period=samples_per_period)
    at_least(samples_per_period + 1, samples=samples)
    reverse = np.arange(samples_per_period, samples, samples_per_period)
    return reverse - samples_per_period + samples_per_period // 2, reverse


def differential_pulse(
    E_start_V: ArrayLike,
    step_V: ArrayLike,
    pulse_V: ArrayLike,
    period_s: ArrayLike,
    pulse_s: ArrayLike,
    samples: int,
    base_samples: int = 12,
    pulse_samples: int = 4,
) -> Waveform:
    """A staircase of `step_V` a period; each period ends with a pulse of height `pulse_V`.

    A period has `base_samples` before the pulse and `pulse_samples` in it: any width is exact, and
    the time steps are equal where pulse_s / period_s is pulse_samples / (base_samples +
    pulse_samples). Take `samples = 1 + periods (base_samples + pulse_samples)`.
    `differential_pulse_samples` tells where the currents are read.

    Args:
        E_start_V: V, of the first stair.
        step_V: V, of the staircase, signed.
        pulse_V: V, above the stair if positive.
        period_s: s, from stair to stair.
        pulse_s: s, width of the pulse.

    Raises:
        InputError: a value is not finite, a time is not positive, the pulse is as wide as the
            period, batches differ, or samples are fewer than two in all, on a stair or in a pulse.
    """
    start, step, pulse, period, width = columns(
        E_start_V=E_start_V, step_V=step_V, pulse_V=pulse_V, period_s=period_s, pulse_s=pulse_s
    )
    check_positive(period_s=period, pulse_s=width)
    require("pulse_s", width, width < period, "shorter than period_s", "narrow the pulse")
    # a pulse of one sample could not be told from a peak
    at_least(2, samples=samples, base_samples=base_samples, pulse_samples=pulse_samples)
    per_period = base_samples + pulse_samples
    number, place = np.divmod(np.arange(samples) - 1, per_period)
    in_pulse = place >= base_samples
    on_stair = (place + 1) * ((period - width) / base_samples)
    to_end = (per_period - 1 - place) * (width / pulse_samples)
    time = number * period + np.where(in_pulse, period - to_end, on_stair)
    potential = np.where(number < 0, start, start + step * number + pulse * in_pulse)
    return build(time, potential)


def differential_pulse_samples(
    samples: int, base_samples: int = 12, pulse_samples: int = 4
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Samples before the pulse and at its end, of every whole period, each [n].

    The differential current is `current[..., end] - current[..., before]`; it belongs to the
    potential of the stair, `E_V[..., before]`.

    Raises:
        InputError: samples do not fill a period, or are fewer than two on a stair or in a pulse.
    """
    at_least(2, base_samples=base_samples, pulse_samples=pulse_samples)
    per_period = base_samples + pulse_samples
    at_least(per_period + 1, samples=samples)
    end = np.arange(per_period, samples, per_period)
    return end - pulse_samples, end
