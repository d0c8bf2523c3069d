"""The posterior of an electrode that may be covered: its couple, its cell and its film.

The search for peaks gives a normal approximation; population Monte Carlo starts there and draws
from the posterior itself.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtri
from jax.scipy.stats import norm
from numpy.typing import NDArray

from ecguard.fouling import Fouling
from ecguard.posterior import coordinates as co
from ecguard.posterior import film
from ecguard.posterior.joint import JointLikelihood
from ecguard.posterior.laplace import Laplace, LaplaceSettings, find_peak, unknowns_of
from ecguard.posterior.population import PopulationSettings, sample_population
from ecguard.posterior.tempered import Particle, Path
from ecguard.posterior.unknowns import draw_prior, n_unknowns, ranges, split

FIRST_COVERAGES = (0.05, 0.3, 0.6, 0.9)
"""From which the search for a fouled electrode starts."""
_CLEAN = n_unknowns(1)
_LN_K0 = 5
_FARTHEST = 3.0
_STARTS = 1000
_WIDER = 1.5  # std of the first draws over that of the normal approximation


class Fitted(NamedTuple):
    """Posteriors of n cases.

    Args:
        unknowns: draws of equal weight [n, n_draws, 9 or 12].
        log_evidence: ln p(observed samples | model) [n].
        effective: effective number of the weighed draws [n].
        peak: where the search ended.
    """

    unknowns: NDArray[np.float64]
    log_evidence: NDArray[np.floating]
    effective: NDArray[np.floating]
    peak: Laplace


class FromScores(Path):
    """From the prior of a clean or fouled electrode to its posterior.

    Args:
        likelihood: of all steps of the case.
    """

    likelihood: JointLikelihood

    def draw(self, key: Array, n: int) -> Array:
        couple, cover = jax.random.split(key)
        scores = co.to_scores(co.to_coordinates(split(draw_prior(couple, n, 1))), 1)
        if not self.likelihood.schedule.fouled:
            return scores
        own = jax.random.normal(cover, (n, len(film.NAMES)))
        return jnp.concatenate([scores, own], axis=1)

    def weigh(self, scores: Array) -> Particle:
        coordinates = co.from_scores(scores[:_CLEAN], 1)
        base = co.log_prior_of_scores(scores[:_CLEAN], coordinates, 1)
        base += jnp.sum(norm.logpdf(scores[_CLEAN:]))
        return Particle(scores, base, self.likelihood(unknowns_of(scores)))

    @property
    def axes(self) -> Any:
        return FromScores(self.likelihood.axes)


def fit(
    likelihood: JointLikelihood,
    start: NDArray[np.floating],
    keys: Array,
    settings: PopulationSettings | None = None,
    wide: NDArray[np.floating] | None = None,
) -> Fitted:
    """Draw from the posteriors of n cases.

    Args:
        likelihood: of clean or of fouled electrodes.
        start: scores of clean electrodes near the data [n, 9].
        keys: a random key for each case [n].
        settings: of the sampler.
    """
    peak = best_peak(likelihood, start)
    root = np.linalg.cholesky(np.linalg.inv(peak.precision))
    words = np.asarray(jax.random.key_data(keys))
    normal = np.stack(
        [
            np.random.default_rng((7, *own)).standard_normal((_STARTS, root.shape[1]))
            for own in words.tolist()
        ]
    )
    near = peak.scores[:, None] + _WIDER * np.einsum("nij,nkj->nki", root, normal)
    if wide is not None:
        near = np.concatenate([near[:, : wide.shape[1]], wide], axis=1)
    found = sample_population(FromScores(likelihood), keys, settings, near)
    unknowns = np.asarray(_unknowns(jnp.asarray(found.scores)), np.float64)
    return Fitted(unknowns, found.log_evidence, found.effective, peak)


def best_peak(
    likelihood: JointLikelihood,
    start: NDArray[np.floating],
    settings: LaplaceSettings | None = None,
) -> Laplace:
    """The highest peak [n] that is found from scores of clean electrodes [n, 9].

    A fouled electrode is looked for from several coverages: what looks like a clean one with a
    small rate constant may be a fast one that is covered.
    """
    if not likelihood.schedule.fouled:
        return find_peak(likelihood, start, settings)
    apparent = np.asarray(unknowns_of(jnp.asarray(start, jnp.float32)))
    found: Laplace | None = None
    for coverage in FIRST_COVERAGES:
        factor = float(np.log(Fouling().cover(jnp.asarray(coverage)).k0_factor))
        place = np.zeros((len(start), len(film.NAMES)))
        place[:, 0] = float(ndtri(coverage))
        own = find_peak(
            likelihood, np.column_stack([scores_of(apparent, -factor), place]), settings
        )
        found = own if found is None else _better(own, found)
    assert found is not None  # noqa: S101
    return found


def scores_of(
    unknowns: NDArray[np.floating], ln_k0_shift: NDArray[np.floating] | float = 0.0
) -> NDArray[np.float64]:
    """Scores [n, 9] of clean electrodes [n, 9], kept off the ends of the prior.

    Args:
        unknowns: of the electrodes.
        ln_k0_shift: added to ln k0, as far as the prior goes.
    """
    low, high = ranges(1)
    room = 1e-3 * (high - low)
    moved = np.array(unknowns, np.float64)
    moved[:, _LN_K0] += ln_k0_shift
    moved = np.clip(moved, low + room, high - room)
    coordinates = co.to_coordinates(split(jnp.asarray(moved, jnp.float32)))
    return np.clip(np.asarray(co.to_scores(coordinates, 1), np.float64), -_FARTHEST, _FARTHEST)


def _better(one: Laplace, other: Laplace) -> Laplace:
    rows = one.loss < other.loss
    return Laplace(
        *(
            np.where(rows.reshape(-1, *[1] * (a.ndim - 1)), a, b)
            for a, b in zip(one, other, strict=True)
        )
    )


@eqx.filter_jit
def _unknowns(scores: Array) -> Array:
    return unknowns_of(scores)
