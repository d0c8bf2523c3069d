"""Whether all parameters of a case lie in one joint credible region."""

import numpy as np
from numpy.typing import ArrayLike

from ecguard.diagnostics.arguments import Array, draws_and_truth

OUTSIDE = 0.05
"""Credibility below which the truth lies outside the joint 95 % region."""


def region_credibility(draws: ArrayLike, truth: ArrayLike) -> Array:
    """Share of the draws that lie farther out than the truth, case by case.

    How far out a place is, is its largest distance from the median over the parameters, each in
    units of the posterior's own half width on that side (to the 16 % or the 84 % quantile). The
    truth lies in the joint 95 % region where the share is 0.05 or more; over calibrated posteriors
    the share is uniform, so that one case in twenty lies outside, however many parameters there
    are (simultaneous credible bands: Besag et al. 1995, Statistical Science 10, 3).

    Args:
        draws: [cases, n_draws, d].
        truth: [cases, d].

    Raises:
        InputError: a shape is wrong or empty, or a value is not finite.
    """
    samples, true = draws_and_truth(draws, truth)
    low, middle, high = np.quantile(samples, [0.1587, 0.5, 0.8413], axis=1)
    least = np.finfo(float).tiny + 1e-9 * np.abs(middle)
    below, above = np.maximum(middle - low, least), np.maximum(high - middle, least)

    def far_out(places: Array) -> Array:
        away = places - middle[:, None]
        width = np.where(away > 0, above[:, None], below[:, None])
        return np.asarray(np.abs(away / width).max(axis=2), float)

    return np.asarray((far_out(samples) >= far_out(true[:, None])).mean(axis=1), float)
