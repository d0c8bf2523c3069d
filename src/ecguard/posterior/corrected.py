"""The amortised posterior, corrected under a likelihood.

Draws of the amortised posterior are weighed by prior times likelihood over their own density.
The weights' effective sample size, as a share of the draws, is the efficiency: it tells how well
the amortised posterior fits a case, and is a diagnostic of the case itself. Where that leaves too
few effective draws, population Monte Carlo goes on from them, in scores: steps from coordinate to
coordinate, each in units of how wide the amortised posterior is there, given those before. What is
thin and curved among the coordinates is neither among these.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray

from ecguard.errors import InputError
from ecguard.posterior import coordinates as co
from ecguard.posterior.amortised.artefacts import Amortised
from ecguard.posterior.amortised.network import (
    Draws,
    Network,
    Seen,
    describe_waveform,
    sample,
    transport,
)
from ecguard.posterior.amortised.traces import project
from ecguard.posterior.likelihood import (
    Likelihood,
    Observation,
    check_keys,
    check_n_couples,
    check_observation,
    log_likelihood,
)
from ecguard.posterior.population import PopulationSettings, sample_population
from ecguard.posterior.tempered import Particle, Path, in_blocks
from ecguard.posterior.unknowns import join, log_prior, n_unknowns

CORRECTION = PopulationSettings(n_proposals=1024)
"""Settings of the sampler: some thousand draws of a density of one couple are enough to start."""

_UNTRAINED = "`ecguard.posterior.exact.infer_exact`, which needs no training"
_BLOCK = 8  # traces whose draws are sent back together


class Inferred(NamedTuple):
    """Posteriors of n traces; NaN where an engine gives none.

    Args:
        unknowns: draws of equal weight [n, n_draws, 7 m + 2].
        log_evidence: ln p(observed samples | m couples) [n].
        efficiency: effective share of the amortised draws, before any adaptation [n].
        effective: effective number of all weighed draws [n].
        lead: of the truth, where it was tried [n]; see `Population`.
    """

    unknowns: NDArray[np.float32]
    log_evidence: NDArray[np.floating]
    efficiency: NDArray[np.floating]
    effective: NDArray[np.floating]
    lead: NDArray[np.floating]


class Places(NamedTuple):
    """Places of n traces.

    Args:
        scores, unknowns: [n, k, d].
        ratio: ln of the unknowns' prior over the density [n, k].
        base: ln density over the scores [n, k].
    """

    scores: Array
    unknowns: Array
    ratio: Array
    base: Array


class FromAmortised(Path):
    """From an amortised posterior to the posterior.

    Args:
        network: shared by all traces.
        summary: of the trace [summary].
        likelihood: of the trace.
        n_couples: of the electrode.
    """

    network: Network
    summary: Array
    likelihood: Likelihood
    n_couples: int = eqx.field(static=True)

    def draw(self, key: Array, n: int) -> Array:
        return self.places(self.summary[None], key[None], n).scores[0]

    def draw_many(self, keys: Array, n: int) -> Array:
        return self.places(self.summary, keys, n).scores

    def weigh(self, scores: Array) -> Particle:
        placed = _placed(self.network, self.summary[None], scores[None, None])
        gain = self.likelihood(placed.unknowns[0, 0]) + placed.ratio[0, 0]
        return Particle(scores, placed.base[0, 0], gain)

    def weigh_many(self, scores: Array) -> tuple[Particle, Array]:
        return self._weighed(_placed(self.network, self.summary, scores))

    def begin_many(self, keys: Array, n: int) -> tuple[Array, Particle, Array]:
        drawn = self.places(self.summary, keys, n)
        return drawn.scores, *self._weighed(drawn)

    def places(self, summary: ArrayLike, keys: Array, n: int) -> Places:
        """Draws for some summaries [cases, summary], n for each key."""
        shape = 2, n, n_unknowns(self.n_couples)
        which, where = jnp.stack([jax.random.uniform(key, shape) for key in keys], axis=1)
        return _sampled(self.network, summary, which, where)

    def _weighed(self, placed: Places) -> tuple[Particle, Array]:
        # in a program of its own, so that the network's knows nothing of the solver's grid
        gain = log_likelihood(self.likelihood, placed.unknowns) + placed.ratio
        return Particle(placed.scores, placed.base, gain), placed.unknowns

    @property
    def axes(self) -> Any:
        return FromAmortised(None, 0, self.likelihood.axes, self.n_couples)  # type: ignore[arg-type]


def from_amortised(
    amortised: Amortised,
    observation: Observation,
    likelihood: Likelihood,
    task: NDArray[np.integer],
    n_couples: int,
) -> FromAmortised:
    """Paths from the amortised posteriors of n traces.

    Args:
        amortised: the trained densities.
        observation: the traces.
        likelihood: of the same traces.
        task: their labels [n].
        n_couples: of the electrodes.

    Raises:
        InputError: `check_observation` refuses the traces, their length, noise, labels or share of
            observed samples lie outside of what the amortised posterior was trained with, or
            `n_couples` is not 1 or 2.
    """
    summary = jnp.asarray(summaries(amortised, observation, task, n_couples))
    return FromAmortised(amortised.network, summary, likelihood, n_couples)


def summaries(
    amortised: Amortised, observation: Observation, task: NDArray[np.integer], n_couples: int
) -> NDArray[np.float32]:
    """What the network makes of n traces before it knows any unknown [n, summary].

    One by one: rounding differs with the number of traces, and weighed draws would with it.

    Arguments and errors are those of `from_amortised`.
    """
    check_valid(amortised, observation, task)
    check_n_couples(n_couples)
    arrays, task = _as_arrays(observation), np.asarray(task)

    def one(row: NDArray[np.intp]) -> Array:
        own = Observation(*(leaf[row] for leaf in arrays))
        return _summarise(amortised, own, task[row], n_couples)

    return np.asarray(in_blocks(one, len(task), 1))


def check_valid(amortised: Amortised, observation: Observation, task: NDArray[np.integer]) -> None:
    """Refuse traces that the amortised posterior was not trained for; errors: `from_amortised`."""
    check_observation(observation)
    meta = amortised.meta
    shape, noise = np.shape(observation.current), np.asarray(observation.noise_std)
    if shape[1] != meta.n_samples:
        raise InputError(
            "current", shape, f"[n, {meta.n_samples}] samples", f"Resample, or use {_UNTRAINED}."
        )
    label = np.asarray(task)
    if label.shape != shape[:1] or not ((label >= 0) & (label < len(meta.task_names))).all():
        raise InputError(
            "task",
            label.tolist(),
            f"[n] labels from 0 to {len(meta.task_names) - 1}",
            "Choose one of them.",
        )
    low, high = meta.noise_range
    slack = 1e-6
    if not ((noise >= low - slack) & (noise <= high + slack)).all():
        raise InputError(
            "noise_std",
            float(noise[(noise < low - slack) | ~(noise <= high + slack)][0]),
            f"{low} to {high} mA/cm^2, which the amortised posterior was trained with",
            f"Use {_UNTRAINED}, or train another one.",
        )
    share = np.asarray(observation.observed).mean(axis=1)
    least = 0.5 * meta.keep_range[0]
    if share.min() < least:
        raise InputError(
            "observed", float(share.min()), f"a share of {least} or more", f"Use {_UNTRAINED}."
        )


def correct(
    path: FromAmortised, keys: Array, settings: PopulationSettings = CORRECTION
) -> Inferred:
    """Correct the amortised posteriors of n traces under their likelihood.

    Args:
        path: `from_amortised` of the traces.
        keys: a random key for each trace [n].
        settings: of the sampler; with a second couple a round has four times the draws.

    Raises:
        InputError: there is not one key for each trace.
    """
    check_keys(keys, len(path.summary))
    size = round_size(settings, path.n_couples)
    found = sample_population(path, keys, settings.sized(size, path.n_couples))
    return Inferred(
        found.unknowns,
        found.log_evidence,
        found.efficiency,
        found.effective,
        found.lead,
    )


def round_size(settings: PopulationSettings, n_couples: int) -> int:
    """Draws of a round of `correct`."""
    return settings.n_proposals * n_couples**2


def draw_amortised(path: FromAmortised, keys: Array, n_draws: int) -> NDArray[np.float32]:
    """Draws of the amortised posteriors as they are [n, n_draws, 7 m + 2].

    Raises:
        InputError: there is not one key for each trace.
    """
    check_keys(keys, len(path.summary))
    summary = np.asarray(path.summary)

    def some(rows: NDArray[np.intp]) -> Array:
        return path.places(summary[rows], keys[rows], n_draws).unknowns

    # in blocks of one size: another number of traces compiles nothing
    return np.asarray(in_blocks(some, len(path.summary), _BLOCK))


@eqx.filter_jit
def _placed(network: Network, summary: ArrayLike, scores: ArrayLike) -> Places:
    """Places with scores [n, k, d].

    Those of a trace are rows of the network's products, which `jax.vmap` would not make them.
    """
    return _places(transport(network, jnp.asarray(summary), jnp.asarray(scores)))


@eqx.filter_jit
def _sampled(network: Network, summary: ArrayLike, which: Array, where: Array) -> Places:
    """Places that are drawn."""
    return _places(sample(network, jnp.asarray(summary), which, where))


def _places(found: Draws) -> Places:
    electrode = co.to_electrode(found.coordinates)
    unknowns = join(electrode)
    n_couples = electrode.E0.shape[-1]
    prior = log_prior(unknowns, n_couples) + co.log_volume(electrode)
    return Places(found.scores, unknowns, prior - found.log_density, found.log_score_density)


@eqx.filter_jit
def _summarise(
    amortised: Amortised, observation: Observation, task: NDArray[np.integer], m: int
) -> Array:
    """Of one trace, whose leaves have a leading axis of 1."""
    basis = jax.tree.map(lambda leaf: leaf[task[0]], amortised.basis)
    projection = project(basis, observation.current, observation.observed, observation.noise_std)
    waveform = describe_waveform(observation.time_s, observation.E_V)
    return amortised.network.summarise(
        Seen(projection, waveform, jnp.asarray(task), jnp.full(1, m))
    )


def _as_arrays(observation: Observation) -> Observation:
    """Arrays of the host, of which rows are cut without a compiled call."""
    hidden = np.where(observation.observed, observation.current, 0.0)
    clean = observation._replace(current=hidden)
    return Observation(
        *(
            np.asarray(leaf, bool if name == "observed" else np.float32)
            for name, leaf in clean._asdict().items()
        )
    )
