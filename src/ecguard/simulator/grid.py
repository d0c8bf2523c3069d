"""The time grid of a batch, in units that float32 can hold."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray

from ecguard.errors import InputError

_JUMP_V = 1e-3
_WIDEST = 2.0**36  # of the spans that a sum of exponentials holds
_PANEL = 64  # traces


class TimeGrid(eqx.Module):
    """Steps of a batch of traces.

    Args:
        duration_s: [B].
        step: in units of the duration, [L - 1, 1] where all traces share it, else [L - 1, B].
        span: longest over shortest time that the memory must hold, a power of two.
        even: whether all steps of all traces are equal.
    """

    duration_s: Any
    step: Any
    span: float = eqx.field(static=True)
    even: bool = eqx.field(static=True)


def time_grid(t_s: ArrayLike) -> TimeGrid:
    """Grid of times [B, L]; differences are taken in float64 where the times are known.

    Raises:
        InputError: a time is not finite, or does not exceed the one before, or the duration is too
            long for the shortest step.
    """
    if isinstance(t_s, jax.core.Tracer):
        duration = t_s[:, -1] - t_s[:, 0]
        span = _power_of_two(64 * t_s.shape[-1])
        return TimeGrid(duration, jnp.diff(t_s, axis=1).T / duration, span, False)
    time = np.asarray(t_s)
    precision = np.finfo(time.dtype).eps if time.dtype.kind == "f" else 0.0
    time = time.astype(np.float64, copy=False)
    duration = time[:, -1] - time[:, 0]
    shortest, longest = _extreme_steps(time)
    if not (np.all(shortest > 0) and np.all(np.isfinite(longest))):
        step = np.diff(time, axis=1)
        raise InputError(
            "Waveform.t_s",
            float(step[~((step > 0) & np.isfinite(step))][0]),
            "finite times, every step of time is > 0",
            "sort the samples by time and drop repeated ones",
        )
    slack = 4 * precision * np.abs(time[:, [0, -1]]).max(axis=1)  # of stamps in float32
    if np.all(longest - shortest <= 2 * slack):
        n = time.shape[1] - 1
        return TimeGrid(duration, np.full((n, 1), 1 / n), _power_of_two(n), True)
    step = (np.diff(time, axis=1) / duration[:, None]).T
    ratio = float(1 / step.min())
    span = _power_of_two(ratio)
    if span > _WIDEST:
        raise InputError(
            "Waveform.t_s",
            ratio,
            f"a duration of at most {_WIDEST:.3g} of its shortest steps",
            "take longer first steps, or simulate the parts one by one",
        )
    if np.all(np.abs(step - step[:, :1]) <= 2 * slack / duration):
        step = step[:, :1]
    return TimeGrid(duration, step, span, False)


def _extreme_steps(time: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shortest and longest step [B] of times [B, L], a few traces at a time: they stay in cache."""
    shortest, longest = np.empty(len(time)), np.empty(len(time))
    for start in range(0, len(time), _PANEL):
        rows = slice(start, start + _PANEL)
        step = np.diff(time[rows], axis=1)
        step.min(axis=1, out=shortest[rows])
        step.max(axis=1, out=longest[rows])
    return shortest, longest


def potential_jumps(applied: ArrayLike) -> Any:
    """Intervals [..., L - 1] at whose start the potential jumps: steps larger than both neighbours.

    A step counts when it exceeds three times the larger neighbouring step in its direction by more
    than 1 mV.
    """
    xp: Any = jnp if isinstance(applied, Array) else np
    change = xp.diff(xp.asarray(applied), axis=-1)
    before = xp.concatenate([change[..., 1:2], change[..., :-1]], axis=-1)
    after = xp.concatenate([change[..., 1:], change[..., -2:-1]], axis=-1)
    direction = xp.sign(change)
    neighbour = xp.maximum(xp.maximum(before * direction, after * direction), 0.0)
    return xp.abs(change) > 3.0 * neighbour + _JUMP_V


def jumps_anywhere(applied: NDArray[np.floating]) -> bool:
    """Whether potentials [L, B] have any of the `potential_jumps`."""
    # a jump differs from the steps on both of its sides, which few steps of a sweep do
    bend = np.diff(applied, n=2, axis=0)
    bent = np.abs(bend, out=bend) > 0.5 * _JUMP_V
    near = (bent[1:] & bent[:-1]).any(axis=0) | bent[:1].any(axis=0) | bent[-1:].any(axis=0)
    return bool(potential_jumps(applied[:, near].T).any())


def _power_of_two(ratio: float) -> float:
    return 2.0 ** max(1, math.ceil(math.log2(ratio)))
