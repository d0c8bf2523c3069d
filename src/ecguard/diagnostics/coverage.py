"""How often central credible intervals hold the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike

from ecguard.diagnostics.arguments import Seed, open_share
from ecguard.diagnostics.rank import Ranks, ranks
from ecguard.errors import InputError
from ecguard.intervals import LEVEL, Interval, share

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Coverage:
    """Coverage of central credible intervals of one level.

    Attributes:
        nominal: the share of truths that a calibrated posterior's intervals hold, exactly.
        intervals: of each parameter, the share found, with its exact binomial interval.
    """

    nominal: float
    intervals: tuple[Interval, ...]


def coverage(
    draws: ArrayLike,
    truth: ArrayLike,
    level: float = LEVEL,
    confidence: float = LEVEL,
    seed: Seed = 0,
) -> Coverage:
    """Coverage of the central credible intervals of one level, parameter by parameter.

    The truth is covered where its rank among the n draws lies within k to n - k. A calibrated
    posterior does so with the probability (n + 1 - 2 k) / (n + 1), whatever its shape; k is chosen
    to bring that next to `level`, and it is returned as `nominal`. (Quantiles interpolated between
    draws cover less than their level.) A posterior that equals the prior covers nominally.

    Args:
        draws: [cases, n_draws, d], independent within each case.
        truth: [cases, d].
        level: probability wanted of the credible intervals.
        confidence: of the binomial intervals; for d parameters at once 1 - 0.05 / d.
        seed: of ties between draws and truth.

    Raises:
        InputError: a shape is wrong or empty, a value is not finite, level or confidence lie
            outside 0..1, or the draws are too few for the level.
    """
    return coverage_curve(draws, truth, (level,), confidence, seed)[0]


def coverage_curve(
    draws: ArrayLike,
    truth: ArrayLike,
    levels: Sequence[float] = LEVELS,
    confidence: float = LEVEL,
    seed: Seed = 0,
) -> tuple[Coverage, ...]:
    """`coverage` at several levels, in their order; arguments and errors are those of `coverage`.

    The limits hold level by level, not for the whole curve.
    """
    found = ranks(draws, truth, seed)
    n_draws = np.shape(draws)[1]
    open_share("confidence", confidence)
    outside = [_outside(level, n_draws) for level in levels]
    return tuple(_coverage(found, n_draws, k, confidence) for k in outside)


def _coverage(found: Ranks, n_draws: int, outside: int, confidence: float) -> Coverage:
    held = (found >= outside) & (found <= n_draws - outside)
    return Coverage(
        nominal=(n_draws + 1 - 2 * outside) / (n_draws + 1),
        intervals=tuple(share(int(hits), len(found), confidence) for hits in held.sum(axis=0)),
    )


def _outside(level: float, n_draws: int) -> int:
    """How many ranks at each end are outside; of two equally near levels, the larger one."""
    tail = (1 - open_share("level", level)) / 2
    wanted = tail * (n_draws + 1)
    if wanted < 1 - 1e-9:
        raise InputError(
            "n_draws",
            n_draws,
            f"{ceil(1 / tail - 1e-9) - 1} or more for intervals of level {level:g}",
            "Take more draws, or a lower level.",
        )
    return min(ceil(wanted - 0.5 - 1e-9), n_draws // 2)
