"""Protocols at the bench: what to apply after the first voltammogram, and what was recorded."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecguard.errors import InputError, naming
from ecguard.posterior.likelihood import Observation
from ecguard.protocol.candidates import CANDIDATES
from ecguard.protocol.protocol import Protocol
from ecguard.protocol.step import Own
from ecguard.recording import Recording
from ecguard.simulator import Waveform

_OFF_V = 2e-3  # what a recorded potential may differ from what was to be applied
_OFF_STEP = 0.5  # of a change between samples that it may differ by more: means round a vertex off
_OFF_TIME = 1e-3  # the same, of a duration


def in_words(protocol: Protocol) -> tuple[str, ...]:
    """The steps with all that they are made of; what is calibrated on one is for no other."""
    return tuple(map(repr, protocol.steps))


def protocol_of(words: Sequence[str]) -> Protocol:
    """The candidate whose steps these are.

    Raises:
        InputError: there is none.
    """
    for protocol in CANDIDATES.values():
        if in_words(protocol) == tuple(words):
            return protocol
    raise InputError("steps", "; ".join(words), "those of a candidate", "Fit the guardrail anew.")


def to_apply(protocol: Protocol, first: Recording) -> tuple[Recording, ...]:
    """Potentials of the steps after the first, without quiet times; no current was recorded yet."""
    own = _waveform([first])
    each = [step.recorded(own) for step in protocol.steps[1:]]
    return tuple(
        Recording(
            np.asarray(wanted.t_s[0], np.float64),
            np.asarray(wanted.E_V[0], np.float64),
            np.full(wanted.E_V.shape[1], np.nan),
        )
        for wanted in each
    )


def observe_recordings(
    protocol: Protocol,
    recordings: Sequence[Sequence[Recording]],
    noise_std: float,
    share: float = 1.0,
    seed: int = 0,
) -> tuple[Observation, ...]:
    """What was observed of n electrodes in each step, as `observe` has it of simulated ones.

    A step is held against what was to be applied, which is then taken for it. Samples beyond the
    step's share are put aside at random.

    Args:
        protocol: that was measured.
        recordings: of each electrode, one for each step; the first ones of one length.
        noise_std: of the first step, mA/cm^2.
        share: of the samples of a voltammogram that are shown.
        seed: of the samples that are put aside.

    Raises:
        InputError: a recording is missing, too short, or not of what was to be applied.
    """
    for row, each in enumerate(recordings):
        if len(each) != len(protocol.steps):
            raise InputError(
                f"recordings of electrode {row + 1}",
                len(each),
                f"{len(protocol.steps)}, one for each step of {protocol.name}",
                "Pass them in the order of the steps.",
            )
    first = _waveform([each[0] for each in recordings])
    steps = []
    for k, step in enumerate(protocol.steps):
        recorded, whole = step.recorded(first), step.waveform(first)
        n, length = whole.E_V.shape
        current = np.zeros((n, length), np.float32)
        for row, each in enumerate(recordings):
            with naming(f"of step {k + 1} of electrode {row + 1}"):
                own = each[k].at(recorded.E_V.shape[1])
            _check(own, recorded, row, k)
            current[row, step.n_quiet :] = own.current
        of_step = share if step == Own() else step.keep
        allowed = np.flatnonzero(step.shown(length))
        observed = np.zeros((n, length), bool)
        for row, each in enumerate(recordings):
            rng = np.random.default_rng((seed, k, each[k].number))  # wherever it stands
            observed[row, rng.permutation(allowed)[: round(of_step * len(allowed))]] = True
        std = noise_std * step.noise_factor(first)
        steps.append(
            Observation(
                np.asarray(whole.t_s),
                np.asarray(whole.E_V, np.float32),
                current,
                observed,
                std.astype(np.float32),
            )
        )
    return tuple(steps)


def _waveform(first: Sequence[Recording]) -> Waveform:
    return Waveform(np.stack([own.t_s for own in first]), np.stack([own.E_V for own in first]))


def _check(own: Recording, wanted: Waveform, row: int, k: int) -> None:
    """Refuse a recording of something else than was to be applied."""
    time, potential = (np.asarray(leaf[row], np.float64) for leaf in (wanted.t_s, wanted.E_V))
    duration = time[-1] - time[0]
    remedy = "Apply what `ecguard plan` writes for this step."
    what = f"of step {k + 1} of electrode {row + 1}"
    if abs(own.t_s[-1] / duration - 1.0) > _OFF_TIME:
        raise InputError(f"duration {what}", float(own.t_s[-1]), f"{duration:.6g} s", remedy)
    off: NDArray[np.float64] = np.abs(own.E_V - potential)
    turn = _OFF_STEP * float(np.median(np.abs(np.diff(potential))))
    worst = int(off.argmax())
    if np.median(off) > _OFF_V or off[worst] > _OFF_V + turn:
        raise InputError(
            f"E_V {what}",
            float(own.E_V[worst]),
            f"{potential[worst]:.4g} V within {1e3 * _OFF_V:g} mV at {own.t_s[worst]:.4g} s",
            remedy,
        )
