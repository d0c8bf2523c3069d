"""The reference's rule: two thresholds, chosen and reported on the same cases."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecguard.errors import InputError

REL_THRESHOLDS = np.linspace(30.0, 85.0, 23)
CAL_THRESHOLDS = np.linspace(0.08, 0.60, 27)


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

    def flags(self, scores: ArrayLike, calibration_errors: ArrayLike) -> NDArray[np.bool_]:
        """Which cases are flagged, bool of the shape of `scores`; NaN is."""
        score, error = np.asarray(scores), np.asarray(calibration_errors)
        return ~((score >= self.rel_thr) & (error <= self.cal_thr))


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
