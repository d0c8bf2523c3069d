"""The posterior's peak and its curvature: damped Gauss-Newton steps in scores, many cases at once.

Scores are standard normal under the prior to a good approximation, so that the prior is one more
row of residuals for each. The curvature at the peak gives a normal approximation: enough to rank
measurements and to judge thousands of traces; its coverage is measured wherever it is reported.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ecguard.errors import InputError
from ecguard.posterior import coordinates as co
from ecguard.posterior import film
from ecguard.posterior.joint import JointLikelihood
from ecguard.posterior.unknowns import join, n_unknowns

Floats = NDArray[np.float64]

_LEAST_DAMPING, _MOST_DAMPING = 1e-6, 1e8


@dataclass(frozen=True)
class LaplaceSettings:
    """Settings of the search.

    Args:
        most_steps: of a case.
        tolerance: of the loss, in nats: a case is done when a step gains less.

    Raises:
        InputError: a value is out of range.
    """

    most_steps: int = 60
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        if self.most_steps < 1:
            raise InputError("most_steps", self.most_steps, "1 or more", "Choose one.")
        if not self.tolerance > 0:
            raise InputError("tolerance", self.tolerance, "above 0, nats", "Take 1e-3.")


class Laplace(NamedTuple):
    """Peaks of n posteriors.

    Args:
        scores: where they are [n, d].
        precision: inverse covariance of the scores there [n, d, d].
        chi_square: of the observed samples there [n].
        loss: minus the log posterior up to a constant [n].
    """

    scores: Floats
    precision: Floats
    chi_square: Floats
    loss: Floats

    @property
    def log_evidence(self) -> Floats:
        """ln p(observed samples), up to what depends on neither model nor unknowns [n]."""
        return np.asarray(-self.loss - 0.5 * np.linalg.slogdet(self.precision)[1])

    def better(self, other: "Laplace") -> "Laplace":
        """The higher peak of each case."""
        rows = self.loss < other.loss
        return Laplace(*(_where(rows, a, b) for a, b in zip(self, other, strict=True)))

    def draw(self, n: int, seed: int) -> Floats:
        """Draws of the unknowns under the normal approximation in scores [cases, n, 9 or 12].

        All cases share their standard normal numbers, in pairs of opposite sign.
        """
        half = np.random.default_rng(seed).standard_normal((n // 2, self.scores.shape[1]))
        normal = np.concatenate([half, -half])
        root = np.linalg.cholesky(np.linalg.inv(self.precision))
        places = self.scores[:, None] + np.einsum("nij,kj->nki", root, normal)
        return np.asarray(_unknowns(jnp.asarray(places, jnp.float32)), np.float64)


class _Local(NamedTuple):
    chi_square: Any
    gradient: Any
    information: Any


def unknowns_of(scores: Array) -> Array:
    """Unknowns [..., 9 or 12] of scores: an electrode of one couple, and its film if any."""
    clean = n_unknowns(1)
    electrode = join(co.to_electrode(co.from_scores(scores[..., :clean], 1)))
    if scores.shape[-1] == clean:
        return electrode
    return jnp.concatenate([electrode, film.from_scores(scores[..., clean:])], axis=-1)


def find_peak(
    likelihood: JointLikelihood,
    start: NDArray[np.floating],
    settings: LaplaceSettings | None = None,
) -> Laplace:
    """Climb to the peaks of n posteriors from `start` [n, d], in scores.

    Levenberg and Marquardt (Marquardt 1963, J. SIAM 11, 431), each case with its own damping.
    """
    settings = settings or LaplaceSettings()
    scores = np.asarray(start, np.float64).copy()
    n, d = scores.shape
    damping = np.full(n, 1e-1)
    local = _at(likelihood, scores)
    loss = _loss(local, scores)
    busy = np.ones(n, bool)
    for _ in range(settings.most_steps):
        precision = local.information + np.eye(d)
        slope = local.gradient + scores
        scale = np.einsum("nii->ni", precision)
        lifted = precision + np.eye(d) * (damping[:, None] * scale)[:, None]
        step = -np.linalg.solve(lifted, slope[..., None])[..., 0]
        step *= np.minimum(1.0, 1.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
        tried = np.where(busy[:, None], scores + step, scores)
        there = _at(likelihood, tried)
        new = _loss(there, tried)
        better = busy & (new < loss)
        busy &= ~(better & (loss - new < settings.tolerance)) & (damping < _MOST_DAMPING)
        scores[better] = tried[better]
        local = _Local(*(_where(better, a, b) for a, b in zip(there, local, strict=True)))
        loss = np.where(better, new, loss)
        damping = np.clip(np.where(better, damping / 5, damping * 4), _LEAST_DAMPING, None)
        if not busy.any():
            break
    return Laplace(scores, local.information + np.eye(d), local.chi_square, loss)


def curvature(likelihood: JointLikelihood, scores: NDArray[np.floating]) -> Floats:
    """Information of the observed samples about scores [n, d] at given places [n, d, d]."""
    return np.asarray(_at(likelihood, np.asarray(scores, np.float64)).information)


def _where(rows: NDArray[np.bool_], one: Floats, other: Floats) -> Floats:
    return np.where(rows.reshape(-1, *[1] * (one.ndim - 1)), one, other)


def _loss(local: _Local, scores: Floats) -> Floats:
    loss = 0.5 * local.chi_square + 0.5 * (scores**2).sum(axis=1)
    return np.where(np.isfinite(loss), loss, np.inf)


def _at(likelihood: JointLikelihood, scores: Floats) -> Any:
    found = _local(likelihood, jnp.asarray(scores, jnp.float32))
    return _Local(*(np.asarray(leaf, np.float64) for leaf in found))


@eqx.filter_jit
def _unknowns(scores: Array) -> Array:
    return unknowns_of(scores)


@eqx.filter_jit
def _local(likelihood: JointLikelihood, scores: Array) -> _Local:
    def mean(scores: Array) -> Array:
        return likelihood.expected_of_all(unknowns_of(scores))

    seen = likelihood.observation
    weight = jnp.where(seen.observed, 1.0 / seen.noise_std, 0.0)
    basis = jnp.eye(scores.shape[1])

    def along(direction: Array) -> tuple[Array, Array]:
        return jax.jvp(mean, (scores,), (jnp.broadcast_to(direction, scores.shape),))

    value, slopes = jax.vmap(along, out_axes=(None, 0))(basis)
    residual = jnp.where(seen.observed, value - seen.current, 0.0) * weight
    slopes = slopes * weight
    return _Local(
        jnp.sum(residual**2, axis=1),
        jnp.einsum("dnl,nl->nd", slopes, residual),
        jnp.einsum("dnl,enl->nde", slopes, slopes),
    )
