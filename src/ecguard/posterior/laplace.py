"""The posterior's peak and its curvature: damped Gauss-Newton steps in scores, many cases at once.

Scores are standard normal under the prior to a good approximation, so that the prior is one more
row of residuals for each. The curvature at the peak gives a normal approximation: enough to rank
measurements and to judge thousands of traces; its coverage is measured wherever it is reported.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
from ecguard.posterior.joint import JointLikelihood, Rest, current_of
from ecguard.posterior.likelihood import SimulatorLikelihood
from ecguard.posterior.tempered import in_blocks, take
from ecguard.posterior.unknowns import join, n_unknowns

Floats = NDArray[np.float64]

_LEAST_DAMPING, _MOST_DAMPING = 1e-6, 1e8
_THREADS = 2
_ROWS = 4096  # that are translated together: another number would be compiled anew
BLOCK = 64
"""Cases that are simulated or climb together, filling whole vectors: more cost as much each."""


@dataclass(frozen=True)
class LaplaceSettings:
    """Settings of the search.

    Args:
        most_steps: of a case.
        tolerance: of the loss, in nats: a case is done when a step gains less.
        share: of the loss that may be left as well, where a misfit is hopeless.

    Raises:
        InputError: a value is out of range.
    """

    most_steps: int = 40
    tolerance: float = 1e-3
    share: float = 1e-4

    def __post_init__(self) -> None:
        if self.most_steps < 1:
            raise InputError("most_steps", self.most_steps, "1 or more", "Choose one.")
        if not 0 <= self.share < 1:
            raise InputError("share", self.share, "from 0 to below 1", "Take 1e-4.")
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


def electrodes(scores: NDArray[np.floating]) -> Floats:
    """`unknowns_of`, compiled, from the host and back [..., 9 or 12]."""
    return row_by_row(_unknowns, scores)


def row_by_row(job: Callable[[Array], Array], values: NDArray[np.floating]) -> Floats:
    """What a compiled job makes of rows [..., d], of which it is shown as many at every call."""
    if not np.size(values):
        return np.asarray(values, np.float64)
    rows = np.asarray(values, np.float32).reshape(-1, np.shape(values)[-1])
    found = in_blocks(lambda own: job(jnp.asarray(rows[own])), len(rows), _ROWS)
    return np.asarray(found, np.float64).reshape(np.shape(values))


def find_peak(
    likelihood: JointLikelihood,
    start: NDArray[np.floating],
    settings: LaplaceSettings | None = None,
) -> Laplace:
    """Climb to the peaks of n posteriors from `start` [n, d], in scores.

    Levenberg and Marquardt (Marquardt 1963, J. SIAM 11, 431), each case with its own damping. Cases
    climb in batches of one size, two at once; one that is done makes room for the next.
    """
    climb = _Climb(
        jax.tree.map(np.asarray, likelihood),
        np.asarray(start, np.float64),
        settings or LaplaceSettings(),
    )

    def run(waiting: NDArray[np.intp]) -> None:
        while len(waiting):
            climb.advance(waiting[:BLOCK])
            waiting = waiting[climb.busy[waiting]]

    every = np.arange(len(start))
    parts = [every[k::_THREADS] for k in range(_THREADS)] if len(start) > BLOCK else [every]
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(run, parts))
    return climb.found()


class _Climb:
    """Where each of n cases stands on its way to its peak."""

    def __init__(self, likelihood: Any, start: Floats, settings: LaplaceSettings) -> None:
        n, d = start.shape
        self.likelihood, self.settings = likelihood, settings
        self.scores = start.copy()
        self.damping = np.full(n, 1e-1)
        self.loss = np.full(n, np.inf)
        self.local = _Local(np.zeros(n), np.zeros((n, d)), np.zeros((n, d, d)))
        self.steps = np.zeros(n, int)
        self.busy = np.ones(n, bool)

    def advance(self, rows: NDArray[np.intp]) -> None:
        """One step of the cases `rows`."""
        step, gain = self._steps(rows)
        tried = self.scores[rows] + step
        there = _at(self.likelihood, rows, tried)
        new, old, first = _loss(there, tried), self.loss[rows], self.steps[rows] == 0
        better = first | (new < old)
        won = rows[better]
        for mine, its in zip(self.local, there, strict=True):
            mine[won] = its[better]
        self.scores[won], self.loss[won] = tried[better], new[better]
        damping = self.damping[rows]
        changed = np.where(better, damping / 5, damping * 4).clip(_LEAST_DAMPING)
        self.damping[rows] = np.where(first, damping, changed)
        self.steps[rows] += 1
        with np.errstate(invalid="ignore"):
            gained = np.where(better, old - new, gain)
        least = self.settings.tolerance + self.settings.share * np.abs(new)
        ended = ~first & ((gained < least) | (changed > _MOST_DAMPING))
        ended |= ~np.isfinite(self.loss[rows]) | (self.steps[rows] > self.settings.most_steps)
        self.busy[rows[ended]] = False

    def _steps(self, rows: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Damped Gauss-Newton steps [b, d], and what the quadratic model gains by them [b]."""
        scores, local = self.scores[rows], self.local
        d = scores.shape[1]
        precision = local.information[rows] + np.eye(d)
        slope = local.gradient[rows] + scores
        scale = np.einsum("nii->ni", precision)
        lifted = precision + np.eye(d) * (self.damping[rows, None] * scale)[:, None]
        step = -np.linalg.solve(lifted, slope[..., None])[..., 0]
        step *= np.minimum(1.0, 1.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
        step[self.steps[rows] == 0] = 0.0
        curved = np.einsum("ni,nij,nj->n", step, precision, step)
        return step, -np.einsum("ni,ni->n", slope, step) - 0.5 * curved

    def found(self) -> Laplace:
        information = self.local.information
        fine = np.isfinite(information).all(axis=(1, 2), keepdims=True)
        precision = with_prior(np.where(fine, information, 0.0))
        return Laplace(self.scores, precision, self.local.chi_square, self.loss)


def with_prior(information: Floats) -> Floats:
    """Precision [n, d, d]: the prior adds 1 to information in every direction of the scores.

    Steep directions are rounded in single precision, which may leave flat ones less than the 1.
    """
    values, vectors = np.linalg.eigh(information)
    return np.asarray((vectors * (1.0 + np.maximum(values, 0.0))[:, None, :]) @ vectors.mT)


def curvature(likelihood: JointLikelihood, scores: NDArray[np.floating]) -> Floats:
    """Information of the observed samples about scores [n, d] at given places [n, d, d]."""
    places = np.asarray(scores, np.float64)
    held = jax.tree.map(np.asarray, likelihood)

    def some(rows: NDArray[np.intp]) -> Floats:
        return np.asarray(_at(held, rows, places[rows]).information)

    return np.asarray(in_blocks(some, len(places), BLOCK))


def log_likelihoods(likelihood: JointLikelihood, scores: NDArray[np.floating]) -> Floats:
    """ln likelihood [n, k] of k places of each case [n, k, d]."""
    held = jax.tree.map(np.asarray, likelihood)
    places = np.asarray(scores)

    def some(rows: NDArray[np.intp]) -> Floats:
        here = jnp.asarray(places[rows], jnp.float32)
        each = take(held, rows).through(_log_likelihood, here)
        return np.asarray(np.sum([np.asarray(own, np.float64) for own, _ in each], axis=0))

    return np.asarray(in_blocks(some, len(places), BLOCK))


def _where(rows: NDArray[np.bool_], one: Floats, other: Floats) -> Floats:
    return np.where(rows.reshape(-1, *[1] * (one.ndim - 1)), one, other)


def _loss(local: _Local, scores: Floats) -> Floats:
    loss = 0.5 * local.chi_square + 0.5 * (scores**2).sum(axis=1)
    return np.where(np.isfinite(loss), loss, np.inf)


def _at(likelihood: Any, rows: NDArray[np.intp], scores: Floats) -> _Local:
    """What the cases `rows` show at scores [b, d], in a batch that is filled up to its size."""
    filled = np.arange(BLOCK).clip(max=len(rows) - 1)
    own, places = take(likelihood, rows[filled]), jnp.asarray(scores[filled], jnp.float32)
    found = [local for local, _ in own.through(_local, places)]
    sums = (
        np.sum([np.asarray(leaf, np.float64) for leaf in own], axis=0)
        for own in zip(*found, strict=True)
    )
    return _Local(*(leaf[: len(rows)] for leaf in sums))


@eqx.filter_jit
def _unknowns(scores: Array) -> Array:
    return unknowns_of(scores)


@eqx.filter_jit
def _log_likelihood(
    step: SimulatorLikelihood, rest: Rest, scores: Array, theta: Array | None
) -> tuple[Array, Array | None]:
    """ln likelihood of one step at k places of each of n cases [n, k, d], and coverage [n k]."""
    n, k, d = scores.shape
    many, rests = jax.tree.map(lambda leaf: jnp.repeat(leaf, k, axis=0), (step, rest))
    mean, theta = current_of(many, rests, unknowns_of(scores.reshape(n * k, d)), theta)
    seen = many.observation
    variance = (seen.noise_std**2)[:, None]
    terms = (seen.current - mean) ** 2 / variance + jnp.log(2 * jnp.pi * variance)
    found = -0.5 * jnp.sum(jnp.where(seen.observed, terms, 0.0), axis=1)
    return found.reshape(n, k), theta


class _Film(NamedTuple):
    """Coverage at the end of a step [n], and its slopes along all scores [d, n]."""

    theta: Array
    slopes: Array


@eqx.filter_jit
def _local(
    step: SimulatorLikelihood, rest: Rest, scores: Array, film: _Film | None
) -> tuple[_Local, _Film | None]:
    """What one step tells at scores [n, d]; the coverage that it starts from depends on them."""

    def run(scores: Array, theta: Array | None) -> tuple[Array, Array | None]:
        return current_of(step, rest, unknowns_of(scores), theta)

    def along(direction: Array, slope: Array | None) -> Any:
        theta = None if film is None else film.theta
        directions = jnp.broadcast_to(direction, scores.shape)
        return jax.jvp(run, (scores, theta), (directions, slope))

    basis, before = jnp.eye(scores.shape[1]), None if film is None else film.slopes
    (value, theta), (slopes, theta_slopes) = jax.vmap(along, out_axes=(None, 0))(basis, before)
    seen = step.observation
    weight = jnp.where(seen.observed, 1.0 / seen.noise_std[:, None], 0.0)
    residual = jnp.where(seen.observed, value - seen.current, 0.0) * weight
    slopes = slopes * weight
    local = _Local(
        jnp.sum(residual**2, axis=1),
        jnp.einsum("dnl,nl->nd", slopes, residual),
        jnp.einsum("dnl,enl->nde", slopes, slopes),
    )
    return local, None if theta is None else _Film(theta, theta_slopes)
