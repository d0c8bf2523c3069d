"""Credible intervals that are stretched until they hold the truth as often as they say.

An approximate posterior has its spread wrong, and by another factor for each unknown. Electrodes
whose truth is known tell the factor. A new electrode that is exchangeable with them then has each
of its unknowns, by itself, in the stretched interval with at least the probability that is asked
for, on average over such sets of electrodes (locally weighted conformal intervals; Lei, G'Sell,
Rinaldo, Tibshirani and Wasserman 2018, Journal of the American Statistical Association 113, 1094).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecguard.errors import InputError

Floats = NDArray[np.floating]

LEVEL = 0.95
FEWEST = 19
"""Electrodes, n, with which `LEVEL` of n + 1 is at most n."""
_LEAST = 1e-12  # width of half an interval


class Stretch(NamedTuple):
    """How intervals are stretched about their means.

    Args:
        factor: of each unknown [d].
        n: electrodes that it was taken from.
    """

    factor: NDArray[np.float64]
    n: int


def stretch_of(mean: Floats, low: Floats, high: Floats, truth: Floats) -> Stretch:
    """Factors by which intervals are stretched about their means to hold `LEVEL` of truths.

    Of fewer than `FEWEST` electrodes the largest of their ratios is taken, which promises less.

    Args:
        mean, low, high: of n posteriors [n, d]; a mean outside of its interval counts as its end.
        truth: of the same electrodes [n, d].

    Raises:
        InputError: no electrodes, another shape, values that are not finite, or low above high.
    """
    given = [np.asarray(own, np.float64) for own in (mean, low, high, truth)]
    shapes = [own.shape for own in given]
    if len(set(shapes)) > 1 or given[0].ndim != 2 or not given[0].size:
        raise InputError("intervals", shapes, "[n, d] four times, n of 1 or more", "Pass them all.")
    middle, lower, upper, true = given
    fine = (lower <= upper) & np.isfinite(given).all(axis=0)
    if not fine.all():
        row, column = np.argwhere(~fine)[0]
        found = [float(own[row, column]) for own in given]
        raise InputError(
            "mean, low, high, truth", found, "finite, low <= high", "Leave such electrodes out."
        )
    middle = middle.clip(lower, upper)
    above, below = (np.maximum(width, _LEAST) for width in (upper - middle, middle - lower))
    ratio = np.maximum((true - middle) / above, (middle - true) / below)
    rank = min(math.ceil(LEVEL * (len(ratio) + 1)), len(ratio))
    return Stretch(np.sort(ratio, axis=0)[rank - 1], len(ratio))


def stretched(
    mean: Floats, low: Floats, high: Floats, factor: Floats
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of intervals [n, d], each unknown's stretched about its mean by its factor.

    Args:
        mean, low, high: as `stretch_of` takes them [n, d].
        factor: [d], or for each posterior [n, d].
    """
    middle = np.clip(mean, low, high)
    return np.asarray(middle - factor * (middle - low)), np.asarray(
        middle + factor * (high - middle)
    )
