"""Rules that say when to trust an inference: fitted on calibration cases, applied to new ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ecguard.errors import InputError
from ecguard.intervals import Interval, share

REL_THRESHOLDS = np.linspace(30.0, 85.0, 23)
CAL_THRESHOLDS = np.linspace(0.08, 0.60, 27)

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class ReferenceRule:
    """The reference's fitted rule: flag when score < rel_thr or calibration error > cal_thr.

    precision, recall, f1, tpr and fpr are those of the cases it was fitted on, and flatter it.
    """

    rel_thr: float
    cal_thr: float
    precision: float
    recall: float
    f1: float
    tpr: float
    fpr: float

    def flags(self, scores: ArrayLike, calibration_errors: ArrayLike) -> Flags:
        """Which cases are flagged, bool of the shape of `scores`."""
        return (np.asarray(scores) < self.rel_thr) | (np.asarray(calibration_errors) > self.cal_thr)


def reference_grid_search(
    scores: ArrayLike, calibration_errors: ArrayLike, labels: ArrayLike
) -> ReferenceRule:
    """Fit the reference's rule: best F1 over a 23 by 27 grid, the first of equals wins.

    The grid runs over 30..85 (score) in the outer and 0.08..0.60 (calibration error) in the inner
    order. A ratio with nothing below the line counts as 0.

    Args:
        scores: [cases], 0 to 100, higher is better.
        calibration_errors: [cases].
        labels: [cases] bool, true for the cases that ought to be flagged.

    Raises:
        InputError: the arrays differ in length, are empty or not finite.
    """
    score, error = np.asarray(scores, float), np.asarray(calibration_errors, float)
    positive = np.asarray(labels, bool)
    if not score.size or not score.shape == error.shape == positive.shape:
        raise InputError(
            "scores",
            (score.shape, error.shape, positive.shape),
            "three rows of one length, 1 case or more",
            "Pass score, calibration error and label of each case.",
        )
    if not (np.isfinite(score).all() and np.isfinite(error).all()):
        raise InputError("scores", "NaN or infinite", "finite", "Leave out the failed cases.")
    flagged = (score < REL_THRESHOLDS[:, None, None]) | (error > CAL_THRESHOLDS[:, None])
    hits = (flagged & positive).sum(axis=-1)
    false_alarms = (flagged & ~positive).sum(axis=-1)
    precision = hits / np.maximum(hits + false_alarms, 1)
    recall = hits / max(positive.sum(), 1)
    f1 = 2 * hits / np.maximum(hits + false_alarms + positive.sum(), 1)
    best = np.unravel_index(np.argmax(f1), f1.shape)
    return ReferenceRule(
        rel_thr=float(REL_THRESHOLDS[best[0]]),
        cal_thr=float(CAL_THRESHOLDS[best[1]]),
        precision=float(precision[best]),
        recall=float(recall[best]),
        f1=float(f1[best]),
        tpr=float(recall[best]),
        fpr=float(false_alarms[best] / max((~positive).sum(), 1)),
    )


def certified_rank(n: int, alpha: float = 0.05, delta: float = 0.1) -> int:
    """Largest k for which a threshold at the k-th largest of n clean scores is certified.

    The false positive rate of that threshold is Beta(k, n + 1 - k) over calibration sets, so k is
    the largest one whose Beta cdf at alpha is >= 1 - delta. 0 when n is too small for any.

    Args:
        n: clean calibration cases.
        alpha: false positive rate that is promised.
        delta: probability that a calibration set breaks the promise.
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
    """

    alpha: float = 0.05
    delta: float = 0.1

    def __post_init__(self) -> None:
        certified_rank(1, self.alpha, self.delta)

    @property
    def min_cases(self) -> int:
        """Fewest clean calibration cases that any threshold can be certified with."""
        return int(np.ceil(np.log(self.delta) / np.log1p(-self.alpha)))

    def fit(self, clean_scores: ArrayLike) -> "FittedGuardrail":
        """Put the threshold at the k-th lowest score of clean calibration cases.

        Args:
            clean_scores: [n] reliability scores of clean cases, higher is better.

        Raises:
            InputError: fewer than `min_cases` scores, or one that is not finite.
        """
        scores = np.sort(np.asarray(clean_scores, float))
        rank = certified_rank(len(scores), self.alpha, self.delta)
        if not rank:
            raise InputError(
                "clean_scores",
                len(scores),
                f"{self.min_cases} clean calibration cases or more",
                "Run more cases; fewer certify no threshold.",
            )
        if not np.isfinite(scores).all():
            raise InputError("clean_scores", "NaN or infinite", "finite", "Check the cases.")
        return FittedGuardrail(float(scores[rank - 1]), rank, len(scores), self.alpha, self.delta)


@dataclass(frozen=True)
class FittedGuardrail:
    """A fitted rule: flag when the score is below `threshold`.

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
        """Which cases are flagged, bool of the shape of `scores`."""
        return np.asarray(scores) < self.threshold


def flag_rate(flags: ArrayLike) -> Interval:
    """Share of flagged cases with its exact interval."""
    array = np.asarray(flags, bool)
    return share(int(array.sum()), array.size)
