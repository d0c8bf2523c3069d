"""Intervals for shares, for the area under the ROC curve and for a difference of locations."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ecguard.errors import InputError

LEVEL = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval.

    Attributes:
        value: the estimate.
        low: lower limit.
        high: upper limit.
        n: number of cases it stands on.
        level: confidence level.
    """

    value: float
    low: float
    high: float
    n: int
    level: float = LEVEL

    def contains(self, value: float) -> bool:
        """Whether `value` lies between the limits."""
        return self.low <= value <= self.high


def share(hits: int, n: int, level: float = LEVEL) -> Interval:
    """A share with its exact binomial interval (Clopper and Pearson 1934).

    Raises:
        InputError: n below 1, or hits outside 0..n.
    """
    if n < 1:
        raise InputError("n", n, "1 or more", "Run more cases.")
    if not 0 <= hits <= n:
        raise InputError("hits", hits, f"0 to {n}", "Count hits among the n cases.")
    limits = stats.binomtest(hits, n).proportion_ci(level, method="exact")
    return Interval(hits / n, float(limits.low), float(limits.high), n, level)


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    """P(positive > negative) + P(equal) / 2: the area under the ROC curve, by ranks.

    Args:
        positive: [n] scores of the cases to be found, larger means more suspect.
        negative: [m] scores of the others.

    Raises:
        InputError: one of them is empty or not finite.
    """
    first, second = _scores("positive", positive), _scores("negative", negative)
    return float(_auroc(first, second))


def auroc_interval(
    positive: ArrayLike,
    negative: ArrayLike,
    paired: bool = False,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The area under the ROC curve with its expanded percentile bootstrap interval.

    At complete separation every resample is separated too and the bootstrap has no width. The
    limits are then those of the exact binomial interval over min(n, m) disjoint pairs, or half as
    many of paired cases, each of which is ordered rightly with a probability that is the area.

    Args:
        positive: [n] scores of the cases to be found, larger means more suspect.
        negative: [m] scores of the others; m = n, case by case, when paired.
        paired: resample cases, each with both its scores; no case is compared with itself.
        level: confidence level.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        InputError: a sample is empty or not finite, or paired samples differ in length.
    """
    first, second = _scores("positive", positive), _scores("negative", negative)
    if paired and len(first) != len(second):
        raise InputError(
            "negative", len(second), f"as many as positive, {len(first)}", "Pair case by case."
        )
    value = float(_auroc_of_pairs(first, second)) if paired else float(_auroc(first, second))
    n = min(len(first), len(second))
    if value in (0.0, 1.0):
        pairs = max(n // 2, 1) if paired else n
        exact = share(round(value * pairs), pairs, level)
        return Interval(value, exact.low, exact.high, n, level)
    generator = np.random.default_rng(seed)
    rows = generator.integers(len(first), size=(resamples, len(first)))
    if paired:
        times = np.stack([np.bincount(own, minlength=n) for own in rows]).astype(float)
        return _percentile(value, _auroc_of_pairs(first, second, times), n, level)
    columns = generator.integers(len(second), size=(resamples, len(second)))
    return _percentile(value, _auroc(first[rows], second[columns]), n, level)


def difference_interval(
    first: ArrayLike,
    second: ArrayLike,
    location: Literal["mean", "median"] = "mean",
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Location of the paired differences first - second, with its bootstrap interval.

    Raises:
        InputError: a sample is empty or not finite, the lengths differ or `location` is unknown.
    """
    one, two = _scores("first", first), _scores("second", second)
    if len(one) != len(two):
        raise InputError("second", len(two), f"as many as first, {len(one)}", "Pair case by case.")
    if location not in ("mean", "median"):
        raise InputError("location", location, "mean or median", "Choose one of them.")
    statistic = np.mean if location == "mean" else np.median
    difference = one - two
    rows = np.random.default_rng(seed).integers(len(one), size=(resamples, len(one)))
    draws = np.asarray(statistic(difference[rows], axis=1))
    return _percentile(float(statistic(difference)), draws, len(one), level)


def mean_interval(values: ArrayLike) -> Interval:
    """Mean [n] with its bootstrap interval.

    Raises:
        InputError: there is no value, or one is not finite.
    """
    return difference_interval(values, np.zeros(np.shape(values)))


def excess_p_value(first: ArrayLike, second: ArrayLike) -> float:
    """Exact one-sided p-value that `first` is true more often than `second`, case by case.

    The sign test on the cases where they differ (McNemar 1947); 1 where none does.

    Args:
        first: [n] bool.
        second: [n] bool, the same cases.

    Raises:
        InputError: the lengths differ.
    """
    one, two = np.asarray(first, bool), np.asarray(second, bool)
    if one.shape != two.shape:
        raise InputError("second", two.shape, f"the shape of first, {one.shape}", "Pair by case.")
    only_first, only_second = int((one & ~two).sum()), int((two & ~one).sum())
    differing = only_first + only_second
    if not differing:
        return 1.0
    return float(stats.binomtest(only_first, differing, alternative="greater").pvalue)


def _auroc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area by ranks along the last axis; ties count half."""
    n, m = positive.shape[-1], negative.shape[-1]
    ranks = stats.rankdata(np.concatenate([positive, negative], axis=-1), axis=-1)
    return (ranks[..., :n].sum(axis=-1) - n * (n + 1) / 2) / (n * m)


def _auroc_of_pairs(
    positive: NDArray[np.float64],
    negative: NDArray[np.float64],
    times: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Area over pairs of two different cases, of samples that hold case i `times[..., i]` times.

    A case beside itself tells nothing of another one, and would weigh double where it is drawn
    twice.
    """
    times = np.ones(len(positive)) if times is None else times
    above = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    np.fill_diagonal(above, 0.0)
    wins = ((times @ above) * times).sum(axis=-1)
    pairs = times.sum(axis=-1) ** 2 - (times**2).sum(axis=-1)
    return np.where(pairs > 0, wins / np.maximum(pairs, 1.0), 0.5)


def _percentile(value: float, draws: NDArray[np.float64], n: int, level: float) -> Interval:
    """Expanded percentile interval: quantiles further out, as few cases vary too little when they
    are drawn anew (Hesterberg 2015, doi 10.1080/00031305.2015.1089789)."""
    freedom = max(n - 1, 1)
    t = stats.t.ppf((1 - level) / 2, freedom)
    tail = stats.norm.cdf(np.sqrt(n / freedom) * t)
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(value, float(low), float(high), n, level)


def _scores(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, float)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise InputError(name, array.shape, "one row of finite numbers", "Run at least one case.")
    return array
