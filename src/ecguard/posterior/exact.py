"""The posterior of an electrode by tempering from the family's prior: it relies on no training.

Particles move in apparent scores, in which the posterior bends little. Two couples stand in any
order while they are sampled, as one by potential would cut the posterior into islands. At the
posterior the particles are few independent ones where moves are seldom accepted: they are where
population Monte Carlo starts, whose draws are independent.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray

from ecguard.errors import InputError
from ecguard.posterior import apparent
from ecguard.posterior import coordinates as co
from ecguard.posterior.labels import aligned
from ecguard.posterior.likelihood import Likelihood, check_keys, check_n_couples, log_likelihood
from ecguard.posterior.population import PopulationSettings, sample_population
from ecguard.posterior.tempered import LOWEST, Particle, Path, TemperedSettings, sample_tempered
from ecguard.posterior.unknowns import (
    draw_prior,
    in_order,
    join,
    log_prior,
    n_unknowns,
    split,
)

_STARTS = 4000  # particles to which the first mixture is fitted, at most


class Sampled(NamedTuple):
    """Posteriors of n traces.

    Args:
        unknowns: draws of equal weight [n, n_draws, 7 m + 2].
        log_evidence: ln p(observed samples | m couples) [n].
        effective: effective number of the weighed draws [n].
        rungs: temperatures it took [n].
        acceptance: mean share of accepted moves at the posterior [n].
        lead: of the truth, where it was given [n]; see `Population`.
    """

    unknowns: NDArray[np.float32]
    log_evidence: NDArray[np.floating]
    effective: NDArray[np.floating]
    rungs: NDArray[np.int64]
    acceptance: NDArray[np.float64]
    lead: NDArray[np.floating]


class FromPrior(Path):
    """From the family's prior to the posterior, in apparent scores.

    Args:
        likelihood: of the trace.
        held: its `held_potential`, V.
        n_couples: of the electrode.
    """

    likelihood: Likelihood
    held: Array
    n_couples: int = eqx.field(static=True)

    @classmethod
    def of(cls, likelihood: Likelihood, n_couples: int) -> "FromPrior":
        """Of n traces; the leaves have a leading axis."""
        held = apparent.held_potential(likelihood.observation.E_V)
        return cls(likelihood, jnp.asarray(held), n_couples)

    def draw(self, key: Array, n: int) -> Array:
        return self.scores(draw_prior(key, n, self.n_couples))

    def draw_many(self, keys: Array, n: int) -> Array:
        return _drawn(keys, n, self.held, self.n_couples)

    def weigh(self, scores: Array) -> Particle:
        unknowns, base = _placed(scores, self.held, self.n_couples)
        return _particle(scores, base, self.likelihood(unknowns))

    def weigh_many(self, scores: Array) -> tuple[Particle, Array]:
        # in two programs, of which this first one knows nothing of the solver's grid
        unknowns, base = _placed_many(scores, self.held, self.n_couples)
        return _particle(scores, base, log_likelihood(self.likelihood, unknowns)), unknowns

    def twins(self, scores: Array) -> Array:
        if self.n_couples == 1:
            return scores[None]
        held = self.held if scores.ndim == 2 else self.held[:, None]  # of one trace, or of n
        return jnp.stack([scores, apparent.exchanged(scores, held)])

    def scores(self, unknowns: ArrayLike) -> Array:
        """Scores [k, d] of electrodes, for one trace, or one for each of k traces."""
        return _scores(jnp.asarray(unknowns, jnp.float32), self.held, self.n_couples)

    @property
    def axes(self) -> Any:
        return FromPrior(self.likelihood.axes, 0, self.n_couples)  # type: ignore[arg-type]


def infer_exact(
    likelihood: Likelihood,
    n_couples: int,
    keys: Array,
    settings: TemperedSettings | None = None,
    population: PopulationSettings | None = None,
    truth: NDArray[np.floating] | None = None,
) -> Sampled:
    """Draw from the posteriors of n traces, starting at the prior.

    Args:
        likelihood: of the traces, with a leading axis; exact if it is the simulator's.
        n_couples: of the electrodes, 1 or 2.
        keys: a random key for each trace [n].
        settings: of the tempering; a second couple doubles the particles, and as many are kept as
            the first mixture is fitted to.
        population: of what follows it; a second couple doubles the draws of a round.
        truth: unknowns of simulated electrodes [n, 7 m + 2], to see whether the draws reach them.

    Raises:
        InputError: `n_couples` is not 1 or 2, there is not one key and one truth for each trace, a
            trace has no finite likelihood, or its posterior is not reached.
    """
    check_n_couples(n_couples)
    n = len(likelihood.observation.current)
    check_keys(keys, n)
    if truth is not None and np.shape(truth) != (n, n_unknowns(n_couples)):
        raise InputError(
            "truth",
            np.shape(truth),
            f"shape {(n, n_unknowns(n_couples))}",
            "Give the unknowns of each trace, as `ecguard.posterior.unknowns.names` has them.",
        )
    path = FromPrior.of(likelihood, n_couples)
    settings, population = settings or TemperedSettings(), population or PopulationSettings()
    particles = settings.n_particles * n_couples
    starts = min(_STARTS, particles * settings.final_rounds)
    many = replace(settings, n_particles=particles, n_draws=starts)
    near = sample_tempered(path, keys, many)
    sized = population.sized(population.n_proposals * n_couples, n_couples)
    start = np.asarray(_on_one_side(path.twins(jnp.asarray(near.scores))))
    tried = None if truth is None else np.asarray(path.scores(truth))
    found = sample_population(path, keys, sized, start, tried)
    return Sampled(
        found.unknowns,
        found.log_evidence,
        found.effective,
        near.rungs,
        near.acceptance,
        found.lead,
    )


def _placed(scores: Array, held: Array, n_couples: int) -> tuple[Array, Array]:
    """Unknowns of scores [d], and ln density of the base; `LOWEST` where there is none."""
    placed = apparent.from_scores(scores, held, n_couples)
    electrode = in_order(co.to_electrode(placed.coordinates))
    unknowns = join(electrode)
    base = log_prior(unknowns, n_couples) + co.log_volume(electrode) + placed.log_volume
    base = base - np.log(n_couples)  # orders: m!, which is m
    return unknowns, jnp.where(placed.inside & jnp.isfinite(base), base, LOWEST)


def _particle(scores: Array, base: Array, gain: Array) -> Particle:
    return Particle(scores, base, jnp.where(base > LOWEST, gain, -jnp.inf))


@eqx.filter_jit
def _placed_many(scores: Array, held: Array, n_couples: int) -> tuple[Array, Array]:
    def one(own: Array, held: Array) -> tuple[Array, Array]:
        return jax.vmap(lambda place: _placed(place, held, n_couples))(own)

    return jax.vmap(one)(scores, held)


@eqx.filter_jit
def _drawn(keys: Array, n: int, held: Array, n_couples: int) -> Array:
    def one(key: Array, held: Array) -> Array:
        return _scores(draw_prior(key, n, n_couples), held, n_couples)

    return jax.vmap(one)(keys, held)


def _scores(unknowns: Array, held: Array, n_couples: int) -> Array:
    return apparent.to_scores(co.to_coordinates(split(unknowns)), held, n_couples)


@jax.jit
def _on_one_side(twins: Array) -> Array:
    """Of twins of n traces [1 or 2, n, k, d], brought back from where the last moves took them."""
    even = jnp.full(twins.shape[2], 1.0 / twins.shape[2])
    return jax.vmap(lambda own: aligned(own, even, jnp.asarray(0)), 1)(twins)
