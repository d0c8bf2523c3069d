"""Credible intervals that are stretched until they hold the truth as often as they say.

An approximate posterior has its spread wrong, and by another factor for each unknown. Electrodes
whose truth is known tell the factor: the intervals of new electrodes that are exchangeable with
them then hold the truth with at least the probability that is asked for, however the posteriors
were made (locally weighted conformal intervals; Lei, G'Sell, Rinaldo, Tibshirani and Wasserman
2018, Journal of the American Statistical Association 113, 1094).
"""

import math

import numpy as np
from numpy.typing import NDArray

from ecguard.errors import InputError

Floats = NDArray[np.floating]

LEVEL = 0.95
_LEAST = 1e-12  # width of half an interval


def stretch_of(mean: Floats, low: Floats, high: Floats, truth: Floats) -> NDArray[np.float64]:
    """Factors [d] by which intervals are stretched about their means to hold `LEVEL` of truths.

    Of fewer than 19 electrodes the largest of their ratios is taken, which promises less.

    Args:
        mean, low, high: of n posteriors [n, d], low <= mean <= high.
        truth: of the same electrodes [n, d].

    Raises:
        InputError: no electrodes, another shape, or values that are not finite or in that order.
    """
    given = [np.asarray(own, np.float64) for own in (mean, low, high, truth)]
    shapes = [own.shape for own in given]
    if len(set(shapes)) > 1 or given[0].ndim != 2 or not given[0].size:
        raise InputError("intervals", shapes, "[n, d] four times, n of 1 or more", "Pass them all.")
    middle, lower, upper, true = given
    fine = (lower <= middle) & (middle <= upper) & np.isfinite([lower, upper, true]).all(axis=0)
    if not fine.all():
        row, column = np.argwhere(~fine)[0]
        found = [float(own[row, column]) for own in (lower, middle, upper, true)]
        raise InputError(
            "intervals", found, "finite, low <= mean <= high", "Leave such electrodes out."
        )
    above, below = (np.maximum(width, _LEAST) for width in (upper - middle, middle - lower))
    ratio = np.maximum((true - middle) / above, (middle - true) / below)
    rank = min(math.ceil(LEVEL * (len(ratio) + 1)), len(ratio))
    return np.asarray(np.sort(ratio, axis=0)[rank - 1])


def stretched(
    mean: Floats, low: Floats, high: Floats, factor: Floats
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of intervals [n, d], each unknown's stretched about its mean by its `factor` [d]."""
    return np.asarray(mean - factor * (mean - low)), np.asarray(mean + factor * (high - mean))
