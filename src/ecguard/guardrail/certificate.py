"""Thresholds with a bound on their false alarms, for any distribution of the scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ecguard.errors import InputError
from ecguard.intervals import Interval, share

Flags = NDArray[np.bool_]


def certified_rank(n: int, alpha: float = 0.05, delta: float = 0.1) -> int:
    """Largest k for which a threshold at the k-th largest of n clean scores is certified.

    The false positive rate of that threshold is Beta(k, n + 1 - k) over calibration sets, so k is
    the largest one whose Beta cdf at alpha is >= 1 - delta. 0 when n is too small for any.

    Args:
        n: clean calibration cases.
        alpha: false positive rate that is promised.
        delta: probability that a calibration set breaks the promise.

    Raises:
        InputError: alpha or delta is not between 0 and 1.
    """
    for name, value in (("alpha", alpha), ("delta", delta)):
        if not 0 < value < 1:
            raise InputError(name, value, "between 0 and 1", "Pass a probability such as 0.05.")
    ranks = np.arange(1, n + 1)
    return int((stats.beta.cdf(alpha, ranks, n + 1 - ranks) >= 1 - delta).sum())


@dataclass(frozen=True)
class CertifiedGuardrail:
    """An unfitted rule on one score, with a bound on its false positives for any distribution.

    Attributes:
        alpha: false positive rate that is promised.
        delta: probability that a calibration set breaks the promise.

    Raises:
        InputError: one of them is not between 0 and 1.
    """

    alpha: float = 0.05
    delta: float = 0.1

    def __post_init__(self) -> None:
        certified_rank(1, self.alpha, self.delta)

    @property
    def min_cases(self) -> int:
        """Fewest clean calibration cases that any threshold can be certified with."""
        return int(np.ceil(np.log(self.delta) / np.log1p(-self.alpha)))

    def rank(self, n: int, name: str = "n_calibration") -> int:
        """The rank of the threshold among n clean calibration cases, by the `name` of their number.

        Raises:
            InputError: fewer than `min_cases`.
        """
        rank = certified_rank(n, self.alpha, self.delta)
        if not rank:
            raise InputError(
                name,
                n,
                f"{self.min_cases} clean calibration cases or more for alpha = {self.alpha} and "
                f"delta = {self.delta}",
                "Run more cases; fewer certify no threshold.",
            )
        return rank

    def fit(self, clean_scores: ArrayLike) -> "CertifiedThreshold":
        """Put the threshold at the k-th lowest score of clean calibration cases.

        Args:
            clean_scores: [n] reliability scores of clean cases, higher is better.

        Raises:
            InputError: fewer than `min_cases` scores, or one that is not finite.
        """
        if np.ndim(clean_scores) != 1:
            raise InputError("clean_scores", np.shape(clean_scores), "[n]", "Pass one score each.")
        scores = np.sort(np.asarray(clean_scores, float))
        rank = self.rank(len(scores), "clean_scores")
        if not np.isfinite(scores).all():
            raise InputError("clean_scores", "NaN or infinite", "finite", "Check the cases.")
        return CertifiedThreshold(
            float(scores[rank - 1]), rank, len(scores), self.alpha, self.delta
        )


@dataclass(frozen=True)
class CertifiedThreshold:
    """A fitted threshold: flag when the score is below `threshold`.

    Attributes:
        threshold: the `rank`-th lowest score of `n` clean calibration cases.
        rank: k of the certificate.
        n: clean calibration cases.
        alpha: false positive rate that is promised.
        delta: probability that the calibration set breaks the promise.
    """

    threshold: float
    rank: int
    n: int
    alpha: float
    delta: float

    def flags(self, scores: ArrayLike) -> Flags:
        """Which cases are flagged, bool of the shape of `scores`; NaN is."""
        return ~(np.asarray(scores) >= self.threshold)


def flag_rate(flags: ArrayLike) -> Interval:
    """Share of flagged cases with its exact interval."""
    array = np.asarray(flags, bool)
    return share(int(array.sum()), array.size)


def mostly_flagged(rate: Interval) -> bool:
    """Whether cases show that more than half of such are flagged; else they are undetectable."""
    return rate.low > 0.5
