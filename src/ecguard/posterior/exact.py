"""The posterior of an electrode by tempering from the family's prior: it relies on no training.

The particles at the posterior are few independent ones where moves are seldom accepted. They are
where population Monte Carlo starts, whose draws are independent.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ecguard.posterior import coordinates as co
from ecguard.posterior.likelihood import Likelihood
from ecguard.posterior.population import PopulationSettings, sample_population
from ecguard.posterior.tempered import Particle, Path, TemperedSettings, sample_tempered
from ecguard.posterior.unknowns import draw_prior, join, split


class Sampled(NamedTuple):
    """Posteriors of n traces.

    Args:
        unknowns: draws of equal weight [n, n_draws, 7 m + 2].
        log_evidence: ln p(observed samples | m couples) [n].
        effective: effective number of the weighed draws [n].
        rungs: temperatures it took [n].
        acceptance: mean share of accepted moves at the posterior [n].
    """

    unknowns: NDArray[np.float32]
    log_evidence: NDArray[np.floating]
    effective: NDArray[np.floating]
    rungs: NDArray[np.int64]
    acceptance: NDArray[np.float64]


class FromPrior(Path):
    """From the family's prior to the posterior.

    Args:
        likelihood: of the trace.
        n_couples: of the electrode.
    """

    likelihood: Likelihood
    n_couples: int = eqx.field(static=True)

    def draw(self, key: Array, n: int) -> Array:
        electrode = split(draw_prior(key, n, self.n_couples))
        return co.to_scores(co.to_coordinates(electrode), self.n_couples)

    def weigh(self, scores: Array) -> Particle:
        coordinates = co.from_scores(scores, self.n_couples)
        base = co.log_prior_of_scores(scores, coordinates, self.n_couples)
        return Particle(scores, base, self.likelihood(join(co.to_electrode(coordinates))))

    @property
    def axes(self) -> Any:
        return FromPrior(self.likelihood.axes, self.n_couples)


def infer_exact(
    likelihood: Likelihood,
    n_couples: int,
    keys: Array,
    settings: TemperedSettings | None = None,
    population: PopulationSettings | None = None,
) -> Sampled:
    """Draw from the posteriors of n traces, starting at the prior.

    Args:
        likelihood: of the traces, with a leading axis; exact if it is the simulator's.
        n_couples: of the electrodes, 1 or 2.
        keys: a random key for each trace [n].
        settings: of the tempering.
        population: of what follows it; a second couple doubles the draws of a round.

    Raises:
        InputError: a trace has no finite likelihood, or its posterior is not reached.
    """
    path = FromPrior(likelihood, n_couples)
    near = sample_tempered(path, keys, settings)
    population = population or PopulationSettings()
    size = population.n_proposals * n_couples
    found = sample_population(path, keys, replace(population, n_proposals=size), near.scores)
    return Sampled(
        to_unknowns(found.scores, n_couples),
        found.log_evidence,
        found.effective,
        near.rungs,
        near.acceptance,
    )


def to_unknowns(scores: NDArray[np.float32], n_couples: int) -> NDArray[np.float32]:
    """Unknowns [..., 7 m + 2] of scores."""
    return np.asarray(_to_unknowns(jnp.asarray(scores), n_couples))


@eqx.filter_jit
def _to_unknowns(scores: Array, n_couples: int) -> Array:
    return join(co.to_electrode(co.from_scores(scores, n_couples)))
