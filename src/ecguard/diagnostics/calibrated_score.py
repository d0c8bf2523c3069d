"""A reliability score whose number means a share of clean cases."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ecguard.diagnostics.arguments import Array
from ecguard.errors import InputError


@dataclass(frozen=True)
class CalibratedScore:
    """Maps raw reliability scores to 0..100 by their rank among those of clean cases.

    A new clean case scores evenly over 0..100, mean 50: below 5 is what about one clean case in
    twenty does. Rising with the raw score; of the raw score's scale nothing is left, and its
    freedom from the current's unit stays. Blind to all that the raw score is blind to: made of
    `reliability_score` it passes draws that are a fifth too narrow or off by half a std, and one in
    four priors in the posterior's place.

    Attributes:
        reference: [n] raw scores of the calibration cases, in rising order.
    """

    reference: Array

    @classmethod
    def fit(cls, scores: ArrayLike) -> "CalibratedScore":
        """Learn the scores of clean calibration cases.

        Args:
            scores: [n] raw scores, higher is better.

        Raises:
            InputError: it is empty, no row, or not finite.
        """
        array = np.asarray(scores, float)
        if array.ndim != 1 or not array.size:
            raise InputError(
                "scores", array.shape, "[n], one case or more", "Run clean calibration cases."
            )
        return cls(np.sort(_finite(array)))

    def __call__(self, scores: ArrayLike) -> Array:
        """100 (below + (equal + 1) / 2) / (n + 1), of the shape of `scores`.

        `below` and `equal` count calibration cases: the mid-rank among n + 1 exchangeable cases, as
        in a conformal p-value (Vovk et al. 2005) but centred, hence between 50 / (n + 1) and
        100 - 50 / (n + 1).

        Args:
            scores: raw scores, any shape.

        Raises:
            InputError: a score is not finite.
        """
        array = _finite(np.asarray(scores, float))
        below = np.searchsorted(self.reference, array, side="left")
        upto = np.searchsorted(self.reference, array, side="right")
        return np.asarray(50.0 * (below + upto + 1) / (len(self.reference) + 1), float)


def _finite(scores: Array) -> Array:
    if not np.isfinite(scores).all():
        raise InputError("scores", "NaN or infinite", "finite", "Leave out the failed cases.")
    return scores
