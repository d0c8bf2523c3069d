"""The biofouling protocol: foul an electrode, probe it, clean it, and see what has recovered."""

from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ecguard.errors import InputError
from ecguard.positive import check_positive
from ecguard.simulator import Waveform
from ecguard.waveforms.arguments import at_least, columns
from ecguard.waveforms.sequence import concatenate
from ecguard.waveforms.step import hold


class Segment(NamedTuple):
    """A phase of a protocol: its samples are `leaf[..., start:stop]`.

    It begins at the instant of sample `start - 1`, the last of the phase before.
    """

    name: str
    cycle: int  # 0 for the first
    start: int
    stop: int


def cleaning_pulses(
    E_rest_V: ArrayLike,
    E_pulse_V: ArrayLike,
    rest_s: ArrayLike,
    pulse_s: ArrayLike,
    pulses: int,
    samples_per_step: int,
    strength: ArrayLike = 1.0,
) -> Waveform:
    """Pulses that clean, each followed by a rest; the cleaning signal is `strength` in the pulses.

    Every pulse and every rest has `samples_per_step` steps of time. With `E_pulse_V = E_rest_V` the
    signal stands for ultrasound or flow.

    Args:
        E_rest_V: V.
        E_pulse_V: V.
        rest_s: s, after each pulse.
        pulse_s: s.
        pulses: how many.
        samples_per_step: at least 2.
        strength: of the cleaning, in [0, 1].

    Raises:
        InputError: a value is not finite, a time is not positive, the strength leaves [0, 1], there
            is no pulse, batches differ or samples are fewer than two a step.
    """
    at_least(1, pulses=pulses)
    at_least(2, samples_per_step=samples_per_step)
    *_, rest_time, pulse_time = columns(
        E_rest_V=E_rest_V, E_pulse_V=E_pulse_V, strength=strength, rest_s=rest_s, pulse_s=pulse_s
    )
    check_positive(rest_s=rest_time, pulse_s=pulse_time)
    pulse = hold(E_pulse_V, pulse_s, samples_per_step + 1, strength)
    rest = hold(E_rest_V, rest_s, samples_per_step + 1, 0.0)
    return concatenate(*(pulse, rest) * pulses)


def biofouling_protocol(
    scan: Waveform, fouling: Waveform, probe: Waveform, cleaning: Waveform, repeats: int = 1
) -> tuple[Waveform, tuple[Segment, ...]]:
    """Baseline scan, fouling, probe, cleaning, and the scan again as recovery, `repeats` times.

    For example `biofouling_protocol(cyclic(...), hold(...), cyclic(...), cleaning_pulses(...), 3)`.
    The signal of `cleaning` alone cleans, unless other parts have one; see `concatenate`.

    Args:
        scan: leaves [L] or [batch, L], as all that follow; baseline and recovery.
        fouling: mostly a `hold`.
        probe: what the fouled electrode is asked: a fast scan, a square wave, a multi-sine.
        cleaning: with a cleaning signal, as `cleaning_pulses` has it.
        repeats: of the whole.

    Returns:
        The waveform, and its phases "baseline", "fouling", "probe", "cleaning" and "recovery" in
        order. Together they hold every sample but the first, the rest before the protocol: a part
        of L samples has L - 1 in its phase, and baseline and recovery compare sample by sample.

    Raises:
        InputError: `cleaning` has no signal, `repeats` is below 1, batches differ, or a part is not
            a waveform.
    """
    at_least(1, repeats=repeats)
    if cleaning.cleaning is None:
        raise InputError(
            "cleaning.cleaning", None, "a signal in [0, 1]", "build the part by cleaning_pulses"
        )
    phases = {
        "baseline": scan,
        "fouling": fouling,
        "probe": probe,
        "cleaning": cleaning,
        "recovery": scan,
    }
    waveform = concatenate(*list(phases.values()) * repeats)
    names = [(name, cycle) for cycle in range(repeats) for name in phases]
    steps = [np.shape(phase.t_s)[-1] - 1 for phase in phases.values()] * repeats
    starts = accumulate(steps, initial=1)
    segments = (
        Segment(name, cycle, start, start + count)
        for (name, cycle), start, count in zip(names, starts, steps, strict=False)
    )
    return waveform, tuple(segments)
