"""Steps: potentials that are held."""

import numpy as np
from numpy.typing import ArrayLike

from ecguard.positive import check_positive
from ecguard.simulator import Waveform
from ecguard.waveforms.arguments import at_least, build, columns, phase, require
from ecguard.waveforms.sequence import concatenate


def hold(
    E_V: ArrayLike, duration_s: ArrayLike, samples: int, cleaning: ArrayLike | None = None
) -> Waveform:
    """A constant potential `E_V` (V) for `duration_s` (s).

    Args:
        cleaning: the signal, in [0, 1], during the hold; None gives no signal.

    Raises:
        InputError: a value is not finite, the duration is not positive, the signal leaves [0, 1],
            batches differ or samples are fewer than two.
    """
    signal = 0.0 if cleaning is None else cleaning
    potential, duration, level = columns(E_V=E_V, duration_s=duration_s, cleaning=signal)
    check_positive(duration_s=duration)
    inside = (level >= 0) & (level <= 1)
    require("cleaning", level, inside, "in [0, 1]", "give the share of full cleaning")
    return build(duration * phase(samples), potential, None if cleaning is None else level)


def chronoamperometry(
    E_rest_V: ArrayLike, E_step_V: ArrayLike, duration_s: ArrayLike, samples: int
) -> Waveform:
    """Rest at `E_rest_V` for an eighth of `duration_s`, then step to `E_step_V` (V, s).

    The step comes at an eighth exactly where `samples - 1` is a multiple of 8, else up to one
    sample earlier.

    Raises:
        InputError: a value is not finite, the duration is not positive, batches differ or samples
            are fewer than two.
    """
    rest, step, duration = columns(E_rest_V=E_rest_V, E_step_V=E_step_V, duration_s=duration_s)
    check_positive(duration_s=duration)
    share = phase(samples)
    return build(duration * share, np.where(share <= 1 / 8, rest, step))


def double_step(
    E_rest_V: ArrayLike,
    E_first_V: ArrayLike,
    E_second_V: ArrayLike,
    rest_s: ArrayLike,
    first_s: ArrayLike,
    second_s: ArrayLike,
    samples_per_step: int,
) -> Waveform:
    """Rest, a step, and a step back or on: double potential step chronoamperometry.

    Every part has its exact duration and `samples_per_step` steps of time, so that
    L = 3 samples_per_step + 1 and sample k samples_per_step ends part k. Equal durations give equal
    steps of time.

    Raises:
        InputError: a value is not finite, a duration is not positive, batches differ or samples are
            fewer than two a part.
    """
    *_, rest, first, second = columns(
        E_rest_V=E_rest_V,
        E_first_V=E_first_V,
        E_second_V=E_second_V,
        rest_s=rest_s,
        first_s=first_s,
        second_s=second_s,
    )
    check_positive(rest_s=rest, first_s=first, second_s=second)
    at_least(2, samples_per_step=samples_per_step)
    parts = ((E_rest_V, rest_s), (E_first_V, first_s), (E_second_V, second_s))
    return concatenate(*(hold(E_V, time, samples_per_step + 1) for E_V, time in parts))
