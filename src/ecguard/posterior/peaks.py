"""Several peaks of each posterior: a mixture of the normal approximations there.

A thin curved posterior, or one in two pieces, is more than its highest peak. Searches that end
within a standard deviation of a higher peak found the same; the others count by their evidence.
Two that overlap beyond that count too much together, by up to ln 2.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from ecguard.posterior.laplace import Floats, Laplace, electrodes

_APART = 1.0  # squared distance from a higher peak, in its variances, from which one is another


class Peaks(NamedTuple):
    """k searches in each of n posteriors, the highest peak first.

    Args:
        scores: where they ended [n, k, d].
        precision: inverse covariance of the scores there [n, k, d, d].
        log_evidence_each: ln evidence of each; -inf where it is a higher one again [n, k].
        chi_square: of the observed samples there [n, k].
    """

    scores: Floats
    precision: Floats
    log_evidence_each: Floats
    chi_square: Floats

    @classmethod
    def of(cls, found: tuple[Laplace, ...]) -> "Peaks":
        """Of k searches in the same n posteriors."""
        order = np.argsort([own.loss for own in found], axis=0, kind="stable")
        rows = np.arange(order.shape[1])
        scores, precision, evidence, chi_square = (
            np.stack([getattr(own, name) for own in found])[order, rows]
            for name in ("scores", "precision", "log_evidence", "chi_square")
        )
        for j in range(1, len(found)):
            for i in range(j):
                apart = scores[j] - scores[i]
                distance = np.einsum("ni,nij,nj->n", apart, precision[i], apart)
                again = (distance < _APART) & np.isfinite(evidence[i])
                evidence[j] = np.where(again, -np.inf, evidence[j])
        return cls(*(np.swapaxes(own, 0, 1) for own in (scores, precision, evidence, chi_square)))

    @property
    def log_evidence(self) -> Floats:
        """ln p(observed samples), up to what depends on neither model nor unknowns [n]."""
        return np.asarray(logsumexp(self.log_evidence_each, axis=1))

    @property
    def weight(self) -> Floats:
        """Share of each peak; where none has any evidence, all is the first one's [n, k]."""
        none = ~np.isfinite(self.log_evidence)
        shown = np.where(none[:, None], -np.inf, self.log_evidence_each)
        shown[none, 0] = 0.0
        weight = np.exp(shown - shown.max(axis=1, keepdims=True))
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))

    def draw(self, n: int, seed: int) -> NDArray[np.float64]:
        """Draws of the unknowns under the mixture of normal distributions [cases, n, 9 or 12].

        All cases share their standard normal numbers, in pairs of opposite sign, and the numbers
        that choose a peak.
        """
        rng = np.random.default_rng(seed)
        half = rng.standard_normal((-(-n // 2), self.scores.shape[2]))
        normal = np.concatenate([half, -half])[:n]
        chance = (rng.permutation(n) + 0.5) / n
        chosen = (chance[:, None] > np.cumsum(self.weight, axis=1)[:, None, :-1]).sum(axis=2)
        root = np.linalg.cholesky(np.linalg.inv(self.precision))
        rows = np.arange(len(chosen))
        places = np.zeros((len(chosen), n, self.scores.shape[2]))
        for k in range(self.scores.shape[1]):
            own = self.scores[:, k, None] + np.einsum("nij,mj->nmi", root[rows, k], normal)
            places = np.where(chosen[:, :, None] == k, own, places)
        return electrodes(places)
