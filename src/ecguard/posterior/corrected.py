"""The amortised posterior, corrected under a likelihood.

Draws of the amortised posterior are weighed by prior times likelihood over their own density.
The weights' effective sample size, as a share of the draws, is the efficiency: it tells how well
the amortised posterior fits a case, and is a diagnostic of the case itself. Where that leaves too
few effective draws, population Monte Carlo goes on from them.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_batching import custom_vmap
from jax.scipy.stats import norm
from numpy.typing import NDArray

from ecguard.errors import InputError
from ecguard.posterior import coordinates as co
from ecguard.posterior.amortised.artefacts import Amortised
from ecguard.posterior.amortised.network import (
    Network,
    Seen,
    describe_waveform,
    draw_coordinates,
    log_density_of,
)
from ecguard.posterior.amortised.traces import project
from ecguard.posterior.exact import to_unknowns
from ecguard.posterior.likelihood import Likelihood, Observation
from ecguard.posterior.population import PopulationSettings, sample_population
from ecguard.posterior.tempered import Particle, Path, blocks, take
from ecguard.posterior.unknowns import join, log_prior


class Inferred(NamedTuple):
    """Posteriors of n traces; NaN where an engine gives none.

    Args:
        unknowns: draws of equal weight [n, n_draws, 7 m + 2].
        log_evidence: ln p(observed samples | m couples) [n].
        efficiency: effective share of the amortised draws, before any adaptation [n].
        effective: effective number of all weighed draws [n].
    """

    unknowns: NDArray[np.float32]
    log_evidence: NDArray[np.floating]
    efficiency: NDArray[np.floating]
    effective: NDArray[np.floating]


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
        return _draw(self.network, self.summary, key, self.n_couples, n)

    def draw_many(self, keys: Array, n: int) -> Array:
        return _draw_many(self.network, self.summary, keys, self.n_couples, n)

    def weigh(self, scores: Array) -> Particle:
        coordinates = co.from_scores(scores, self.n_couples)
        ends = co.intervals(coordinates, self.n_couples)
        density = _density(self.network, self.summary, coordinates, *ends)
        stretch = jnp.sum(jnp.log(ends.high - ends.low) + norm.logpdf(scores))
        electrode = co.to_electrode(coordinates)
        unknowns = join(electrode)
        prior = log_prior(unknowns, self.n_couples) + co.log_volume(electrode)
        return Particle(scores, density + stretch, self.likelihood(unknowns) + prior - density)

    @property
    def axes(self) -> Any:
        return FromAmortised(None, 0, self.likelihood.axes, self.n_couples)  # type: ignore[arg-type]


@custom_vmap
def _density(
    network: Network, summary: Array, coordinates: Array, low: Array, high: Array
) -> Array:
    """ln density of coordinates [d]; particles of a case become the rows of its matrix products."""
    return _densities(network, summary, coordinates[None], low[None], high[None])[0]


@_density.def_vmap
def _(size: int, batched: list[Any], *arguments: Any) -> tuple[Array, bool]:
    network, summary, *rows = arguments
    if any(jax.tree.leaves(batched[0])) or batched[1]:
        return jax.vmap(lambda *own: _densities(network, *own)[0])(
            summary, *(row[:, None] for row in rows)
        ), True
    full = [
        row if own else jnp.broadcast_to(row, (size, *row.shape))
        for row, own in zip(rows, batched[2:], strict=True)
    ]
    return _densities(network, summary, *full), True


def _densities(network: Network, summary: Array, rows: Array, low: Array, high: Array) -> Array:
    ends = co.Interval(low, high)
    return log_density_of(network, summary[None], rows, ends, jnp.ones(rows.shape, bool))


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
        InputError: a noise level or a share of observed samples lies outside of what the
            amortised posterior was trained with, or the traces have another length.
    """
    summary = jnp.asarray(summaries(amortised, observation, task, n_couples))
    return FromAmortised(amortised.network, summary, likelihood, n_couples)


def summaries(
    amortised: Amortised, observation: Observation, task: NDArray[np.integer], n_couples: int
) -> NDArray[np.float32]:
    """What the network makes of n traces before it knows any unknown [n, summary].

    Arguments and errors are those of `from_amortised`.
    """
    check_valid(amortised, observation, task)
    arrays = _as_arrays(observation)
    return np.asarray(_summarise(amortised, arrays, jnp.asarray(task), n_couples))


def check_valid(amortised: Amortised, observation: Observation, task: NDArray[np.integer]) -> None:
    """Refuse traces that the amortised posterior was not trained for."""
    meta = amortised.meta
    shape, noise = np.shape(observation.current), np.asarray(observation.noise_std)
    if len(shape) != 2 or shape[1] != meta.n_samples:
        raise InputError(
            "current", shape, f"[n, {meta.n_samples}] samples", "Resample, or use tempered SMC."
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
            "Use tempered SMC, or train another one.",
        )
    share = np.asarray(observation.observed).mean(axis=1)
    least = 0.5 * meta.keep_range[0]
    if share.min() < least:
        raise InputError(
            "observed", float(share.min()), f"a share of {least} or more", "Use tempered SMC."
        )
    for name in ("current", "E_V", "time_s"):
        values = np.asarray(getattr(observation, name))
        used = np.where(observation.observed, values, 0.0) if name == "current" else values
        if not np.isfinite(used).all():
            raise InputError(name, "NaN or infinite", "finite numbers", "Remove these traces.")


def correct(
    path: FromAmortised, keys: Array, settings: PopulationSettings | None = None
) -> Inferred:
    """Correct the amortised posteriors of n traces under their likelihood.

    Args:
        path: `from_amortised` of the traces.
        keys: a random key for each trace [n].
        settings: of the sampler; a second couple doubles the draws of a round.
    """
    settings = settings or PopulationSettings()
    size = settings.n_proposals * path.n_couples
    found = sample_population(path, keys, replace(settings, n_proposals=size))
    return Inferred(to_unknowns(found.scores, path.n_couples), *found[1:4])


def draw_amortised(path: FromAmortised, keys: Array, n_draws: int) -> NDArray[np.float32]:
    """Draws of the amortised posteriors as they are [n, n_draws, 7 m + 2].

    One by one, so that another number of traces needs no other compilation.
    """
    each = [
        take(path, rows).draw_many(keys[rows], n_draws) for rows in blocks(np.arange(len(keys)), 1)
    ]
    return to_unknowns(np.concatenate(each), path.n_couples)


def _draw(network: Network, summary: Array, key: Array, n_couples: int, n: int) -> Array:
    drawn = draw_coordinates(network, summary[None], n_couples, n, key)
    return co.to_scores(drawn.coordinates[0], n_couples)


@eqx.filter_jit
def _draw_many(network: Network, summary: Array, keys: Array, n_couples: int, n: int) -> Array:
    """Scores [cases, n, d]; without the likelihood, whose solver grid would be compiled in."""
    return jax.vmap(lambda own, key: _draw(network, own, key, n_couples, n))(summary, keys)


@eqx.filter_jit
def _summarise(amortised: Amortised, observation: Observation, task: Array, m: int) -> Array:
    n = len(observation.noise_std)
    shown = (observation.current, observation.observed, observation.noise_std)
    every = [
        project(jax.tree.map(lambda leaf, k=k: leaf[k], amortised.basis), *shown)
        for k in range(len(amortised.meta.task_names))
    ]
    projection = jax.tree.map(lambda *leaves: jnp.stack(leaves)[task, jnp.arange(n)], *every)
    waveform = describe_waveform(observation.time_s, observation.E_V)
    seen = Seen(projection, waveform, task, jnp.full(n, m))
    return amortised.network.summarise(seen)


def _as_arrays(observation: Observation) -> Observation:
    hidden = np.where(observation.observed, observation.current, 0.0)
    clean = observation._replace(current=hidden)
    return Observation(
        *(
            jnp.asarray(leaf, bool if name == "observed" else jnp.float32)
            for name, leaf in clean._asdict().items()
        )
    )
