"""Simulation-based calibration: where the truth ranks among the posterior draws of its case."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from ecguard.diagnostics.arguments import Array, Seed, draws_and_truth, open_share
from ecguard.errors import InputError

ALPHA = 0.05
BAND = 0.99
SIMULATIONS = 20_000
BLOCK = 500
SMALLEST = float(np.finfo(float).tiny)

Ranks = NDArray[np.int64]


@dataclass(frozen=True)
class RankHistogram:
    """Counts of ranks with the band that uniform ranks keep to, bin by bin.

    Attributes:
        edges: [bins + 1] first rank of each bin, and n_draws + 1.
        counts: [bins] cases in each.
        expected: [bins] mean count of uniform ranks; bins may hold one rank more or less.
        low: [bins] lower limit of the pointwise band.
        high: [bins] its upper limit.
    """

    edges: Ranks
    counts: Ranks
    expected: Array
    low: Ranks
    high: Ranks


def ranks(draws: ArrayLike, truth: ArrayLike, seed: Seed = 0) -> Ranks:
    """How many draws of each case lie below the truth, 0 to n_draws; ties fall at random.

    If the truth comes from the prior, the trace from the truth, and the draws are independent
    draws from the posterior, every rank is equally likely (Talts et al. 2018, arXiv 1804.06788).
    Correlated draws must be thinned beforehand. Uniform ranks do not prove the posterior right:
    the prior, returned whatever the trace, has uniform ranks as well; see `contraction`.

    Args:
        draws: [cases, n_draws, d], independent within each case.
        truth: [cases, d].
        seed: of the ties.

    Returns:
        [cases, d].

    Raises:
        InputError: a shape is wrong or empty, or a value is not finite.
    """
    samples, parameters = draws_and_truth(draws, truth)
    below = (samples < parameters[:, None]).sum(axis=1)
    equal = (samples == parameters[:, None]).sum(axis=1)
    generator = np.random.default_rng(seed)
    return np.asarray(below + generator.integers(0, equal, endpoint=True), np.int64)


def log_gamma(ranks: ArrayLike, n_draws: int, alpha: float = ALPHA) -> float:
    """Log gamma statistic of one parameter's ranks: below 0, uniformity is rejected at `alpha`.

    With R_i the number of ranks below i and z_i = i / (n_draws + 1), i = 1 to n_draws,
    gamma = 2 min_i min(Bin(R_i | N, z_i), 1 - Bin(R_i - 1 | N, z_i)), and the statistic is log of
    gamma over its alpha quantile for uniform ranks, which 20,000 simulated sets of ranks give
    (Säilynoja et al. 2022, arXiv 2103.10522; Modrak et al. 2025,
    arXiv 2211.02383). For d parameters at once pass alpha = 0.05 / d. A tail below 2e-308
    counts as that much, so that the statistic stays finite.

    Args:
        ranks: [cases], each 0 to n_draws.
        n_draws: posterior draws a case.
        alpha: probability that uniform ranks are rejected.

    Raises:
        InputError: a rank is outside 0..n_draws or no integer, there is no rank, or alpha is
            outside 0..1.
    """
    values = _checked(ranks, n_draws)
    null = _null(len(values), n_draws)
    critical = null[int(open_share("alpha", alpha) * len(null))]
    below = np.cumsum(np.bincount(values, minlength=n_draws + 1))[:-1]
    found = _log_tail(below, len(values), np.arange(1, n_draws + 1) / (n_draws + 1)).min()
    return float(found - critical)


def histogram(ranks: ArrayLike, n_draws: int, bins: int = 20, level: float = BAND) -> RankHistogram:
    """Histogram of one parameter's ranks with the pointwise binomial band of uniform ranks.

    Args:
        ranks: [cases], each 0 to n_draws.
        n_draws: posterior draws a case.
        bins: of nearly equal width, 1 to n_draws + 1.
        level: probability that uniform ranks keep to the band in any one bin.

    Raises:
        InputError: a rank is outside 0..n_draws or no integer, there is no rank, or bins or level
            are out of range.
    """
    values = _checked(ranks, n_draws)
    if not 1 <= bins <= n_draws + 1:
        raise InputError("bins", bins, f"1 to {n_draws + 1}", "Take fewer bins or more draws.")
    tail = (1 - open_share("level", level)) / 2
    edges = -(-np.arange(bins + 1) * (n_draws + 1) // bins)
    counts = np.bincount(np.searchsorted(edges, values, side="right") - 1, minlength=bins)
    share = np.diff(edges) / (n_draws + 1)
    low, high = (stats.binom.ppf(q, len(values), share).astype(int) for q in (tail, 1 - tail))
    return RankHistogram(edges, counts, len(values) * share, low, high)


def _log_tail(below: Ranks, cases: int, shares: Array) -> Array:
    """Log of twice the smaller tail of the counts `below` under Bin(cases, shares)."""
    lower = special.bdtr(below.astype(float), cases, shares)
    upper = special.bdtrc(below - 1.0, cases, shares)
    return np.asarray(np.log(np.maximum(2 * np.minimum(lower, upper), SMALLEST)))


@lru_cache(maxsize=16)
def _null(cases: int, n_draws: int) -> Array:
    """Log gamma of simulated uniform ranks, [SIMULATIONS] in rising order."""
    positions = np.arange(n_draws)
    table = _log_tail(
        np.arange(cases + 1)[:, None], cases, np.arange(1, n_draws + 1) / (n_draws + 1)
    )
    generator = np.random.default_rng(0)
    share = np.full(n_draws + 1, 1 / (n_draws + 1))
    found = [
        table[np.cumsum(generator.multinomial(cases, share, BLOCK), axis=1)[:, :-1], positions].min(
            axis=1
        )
        for _ in range(SIMULATIONS // BLOCK)
    ]
    null = np.sort(np.concatenate(found))
    null.flags.writeable = False
    return null


def _checked(ranks: ArrayLike, n_draws: int) -> Ranks:
    """Ranks [cases] as integers 0 to n_draws."""
    if n_draws < 1:
        raise InputError("n_draws", n_draws, "1 or more", "Pass the number of draws a case.")
    values = np.asarray(ranks, float)
    if values.ndim != 1 or not values.size:
        raise InputError(
            "ranks", values.shape, "[cases], one case or more", "Pass one parameter's ranks."
        )
    fine = (values >= 0) & (values <= n_draws) & (values % 1 == 0)
    if not fine.all():
        raise InputError(
            "ranks",
            float(values[~fine][0]),
            f"whole numbers from 0 to {n_draws}",
            "Pass what `ranks` returns, with its number of draws.",
        )
    return values.astype(np.int64)
