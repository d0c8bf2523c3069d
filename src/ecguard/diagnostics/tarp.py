"""Tests of accuracy with random points: one test for all parameters together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ecguard.diagnostics.arguments import (
    Array,
    Seed,
    draws_and_truth,
    each_parameter,
    finite,
)
from ecguard.diagnostics.rank import ranks


@dataclass(frozen=True)
class Tarp:
    """Credibilities of the truth, and whether they are uniform.

    Attributes:
        credibility: [cases] of the region about the reference point that reaches to the truth;
            uniform on 0..1 for a calibrated posterior.
        statistic: Kolmogorov-Smirnov distance of the credibilities from uniform.
        p_value: its exact p-value.
    """

    credibility: Array
    statistic: float
    p_value: float


def tarp(
    draws: ArrayLike,
    truth: ArrayLike,
    prior_mean: ArrayLike,
    prior_std: ArrayLike,
    reference: ArrayLike | None = None,
    seed: Seed = 0,
) -> Tarp:
    """Share of draws closer to a reference point than the truth is, tested for uniformity.

    Distances are Euclidean, of parameters over the prior's std. The share is the rank of the
    truth's distance plus a uniform part of one draw, over n_draws + 1: exactly uniform for a
    calibrated posterior (Lemos et al. 2023, arXiv 2302.03026). The Kolmogorov-Smirnov test is done
    on the shares themselves, as curves in bins hide gross overconfidence.

    Reference points drawn from the prior do not depend on the trace, so that a posterior that
    equals the prior passes; and a bias is averaged over directions and seen weakly. Reference
    points near the truth, made from the trace alone (say its best fit), see both. They must not be
    made from the same draws, or the credibilities of a calibrated posterior are not uniform.

    Args:
        draws: [cases, n_draws, d], independent within each case.
        truth: [cases, d].
        prior_mean: [d] or [cases, d], where reference points are drawn from a normal.
        prior_std: [d] or [cases, d], unit of the parameter.
        reference: [cases, d] reference points in place of drawn ones.
        seed: of the reference points and of the uniform parts.

    Raises:
        InputError: a shape is wrong or empty, a value is not finite, or a prior std is not above 0.
    """
    samples, parameters = draws_and_truth(draws, truth)
    scale = each_parameter("prior_std", prior_std, parameters.shape, positive=True)
    centre = each_parameter("prior_mean", prior_mean, parameters.shape)
    generator = np.random.default_rng(seed)
    if reference is None:
        points = centre + scale * generator.standard_normal(parameters.shape)
    else:
        points = finite("reference", reference, parameters.shape, "Pass one point a case.")
    distances = _square_distance(samples, points[:, None], scale[:, None])
    own = _square_distance(parameters, points, scale)
    below = ranks(distances[..., None], own[:, None], generator)[:, 0]
    n_draws = samples.shape[1]
    credibility = (below + generator.random(len(below))) / (n_draws + 1)
    test = stats.kstest(credibility, "uniform")
    return Tarp(credibility, float(test.statistic), float(test.pvalue))


def _square_distance(one: Array, other: Array, scale: Array) -> Array:
    difference = (one - other) / scale
    return np.asarray(np.einsum("...d,...d->...", difference, difference))
