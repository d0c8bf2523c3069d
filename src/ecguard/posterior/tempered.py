"""Sequential Monte Carlo along a path of densities, for several cases at once.

A path leads from a base density, which can be drawn from, to a posterior. Particles carry what
they weigh, so that a proposal costs one evaluation and weights cost none. The next temperature is
the one at which the conditional effective sample size falls to a set share of the particles; moves
are differences of two particles of the crowd (ter Braak 2006), which follow ridges and lead from
mode to mode. Resampling, tempering and the Metropolis step are those of blackjax; moves are
waste-free (Dau and Chopin 2022): few particles are resampled, and every state of their chains
becomes a particle. Twins, if a path has them, are brought to one side before each rung; where that
side's border is crossed within a rung, shares are right only roughly.
"""

import abc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.mcmc import random_walk
from blackjax.smc import resampling, solver, tempered
from blackjax.smc.waste_free import waste_free_smc
from jax import Array
from numpy.typing import NDArray

from ecguard.errors import InputError
from ecguard.posterior.labels import aligned

LOWEST = -1e30  # ln weight of a particle without a finite one
_USUAL = 2.38  # over the root of twice the dimension, of a difference of two particles
_SIZES, _SHARES = (1.0, 0.3), (0.6, 0.3)  # of usual moves; the rest swaps modes at full length
_JITTER = 1e-3
_MOST_ROUNDS = 400
_THREADS = 2  # one moves or fits particles while another weighs


@dataclass(frozen=True)
class TemperedSettings:
    """Settings of the sampler.

    Args:
        n_particles: at each temperature; a multiple of `chain_length`.
        chain_length: states of a chain, the resampled one included.
        share: of the particles to which a rung lowers the conditional effective sample size.
        final_rounds: of moves at the posterior, whose states are the draws.
        n_draws: kept of these, evenly.
        block: cases that run together; another size rounds otherwise, and so draws otherwise.

    Raises:
        InputError: a value is out of range.
    """

    n_particles: int = 2048
    chain_length: int = 32
    share: float = 0.5
    final_rounds: int = 16
    n_draws: int = 1000
    block: int = 4

    def __post_init__(self) -> None:
        for name, least in (
            ("n_particles", 4),
            ("chain_length", 2),
            ("final_rounds", 1),
            ("n_draws", 1),
            ("block", 1),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(name, value, f"a whole number, {least} or more", "Choose one.")
        if self.n_particles % self.chain_length:
            raise InputError(
                "n_particles",
                self.n_particles,
                f"a multiple of chain_length = {self.chain_length}",
                "Round it up.",
            )
        if not 0 < self.share < 1:
            raise InputError("share", self.share, "between 0 and 1", "Take 0.5.")
        most = self.n_particles * self.final_rounds
        if self.n_draws > most:
            raise InputError(
                "n_draws",
                self.n_draws,
                f"at most n_particles x final_rounds = {most}",
                "Ask for fewer, or for more rounds.",
            )


class Particle(NamedTuple):
    """A place and what it weighs.

    Args:
        scores: the place, unbounded [d].
        base: ln density of the base there.
        gain: ln of prior times likelihood over the base's density.
    """

    scores: Array
    base: Array
    gain: Array


class Path(eqx.Module):
    """From a base density to the posterior of one case; leaves may have a leading axis of cases."""

    @abc.abstractmethod
    def draw(self, key: Array, n: int) -> Array:
        """Scores [n, d] from the base."""

    def draw_many(self, keys: Array, n: int) -> Array:
        """Scores [cases, n, d] from the bases of several cases."""
        return _draw(self, keys, n)

    @abc.abstractmethod
    def weigh(self, scores: Array) -> Particle:
        """What scores [d] weigh."""

    def weigh_many(self, scores: Array) -> tuple[Particle, Array]:
        """What scores [cases, n, d] of several cases weigh, and the unknowns that they stand for.

        In programs of its own. The scores are the unknowns, unless a path knows better.
        """
        return _weigh(self, scores), scores

    def begin_many(self, keys: Array, n: int) -> tuple[Array, Particle, Array]:
        """Scores [cases, n, d] from the bases of several cases, with what they weigh."""
        scores = self.draw_many(keys, n)
        return scores, *self.weigh_many(scores)

    def twins(self, scores: Array) -> Array:
        """Scores [n, d], or [cases, n, d], and their twins where there are any [1 or 2, ..., d].

        A twin is another name of the same thing. The exchange is its own inverse and keeps base,
        gain and volume; the base's density is that over both names, draws may be of either.
        """
        return scores[None]

    @property
    @abc.abstractmethod
    def axes(self) -> Any:
        """Axes of the leaves over cases, for `jax.vmap`; None for leaves that all cases share."""


class Tempered(NamedTuple):
    """Posteriors of n cases.

    Args:
        scores: draws of equal weight [n, n_draws, d].
        log_evidence: ln of the posterior's constant, the base's being 0 [n].
        rungs: temperatures it took [n].
        acceptance: mean share of accepted moves at the posterior [n].
    """

    scores: NDArray[np.float32]
    log_evidence: NDArray[np.float64]
    rungs: NDArray[np.int64]
    acceptance: NDArray[np.float64]


def sample_tempered(path: Path, keys: Array, settings: TemperedSettings | None = None) -> Tempered:
    """Draw from the posteriors of n cases; the draws of one do not depend on which others run.

    Args:
        path: of the cases, leaves with a leading axis where `axes` says so.
        keys: a random key for each case [n].
        settings: of the sampler.

    Raises:
        InputError: a case weighs nothing at every particle, or its posterior is not reached.
    """
    settings = settings or TemperedSettings()

    def sample(rows: NDArray[np.intp]) -> list[Any]:
        found = _sample_block(take(path, rows), keys[rows], settings)
        return [leaf[: len(np.unique(rows))] for leaf in found]

    parts = over_blocks(sample, np.arange(len(keys)), settings.block)
    joined: list[Any] = [np.concatenate(leaves) for leaves in zip(*parts, strict=True)]
    return Tempered(*joined)


def over_blocks(
    job: Callable[[NDArray[np.intp]], Any], rows: NDArray[np.intp], size: int
) -> list[Any]:
    """What a job gives for each of the `blocks`, several of which run at once."""
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(job, blocks(rows, size)))


def in_blocks(job: Callable[[NDArray[np.intp]], Any], n: int, size: int) -> Any:
    """Trees of arrays that a job gives for n rows, run in blocks of one size."""
    found = over_blocks(job, np.arange(n), size)
    return jax.tree.map(lambda *leaves: np.concatenate([np.asarray(a) for a in leaves])[:n], *found)


def blocks(rows: NDArray[np.intp], size: int) -> list[NDArray[np.intp]]:
    """Rows in blocks of one size; the last one is filled up with its last row."""
    starts = range(0, len(rows), size)
    return [rows[np.arange(start, start + size).clip(max=len(rows) - 1)] for start in starts]


def thinned(draws: NDArray[Any], k: int) -> NDArray[Any]:
    """Evenly picked ones [n, k, ...] of draws [n, all, ...], the first and the last among them."""
    return draws[:, np.linspace(0, draws.shape[1] - 1, k).astype(int)]


def take(batch: Any, rows: NDArray[np.intp]) -> Any:
    """The cases `rows` of a batch that knows its `axes`; what all cases share stays as it is."""

    def of_rows(leaf: Array) -> NDArray[Any]:
        return np.asarray(leaf)[rows]  # a compiled call for every leaf would take longer

    return jax.tree.map(
        lambda axis, part: part if axis is None else jax.tree.map(of_rows, part),
        batch.axes,
        batch,
        is_leaf=lambda axis: axis is None or isinstance(axis, int),
    )


def _sample_block(path: Path, keys: Array, settings: TemperedSettings) -> Tempered:
    n = len(keys)
    state = _begin(path.weigh_many(path.draw_many(keys, settings.n_particles))[0])
    if not np.asarray(jnp.any(state.particles.gain > LOWEST, axis=1)).all():
        raise InputError(
            "noise_std",
            "no particle has a finite likelihood",
            "samples and noise that float32 can hold",
            "Check the unit of the current.",
        )
    log_evidence, acceptance = np.zeros(n), np.zeros(n)
    reached = np.full(n, -1)  # the round after which a case is at the posterior
    kept = np.zeros((n, settings.final_rounds, *state.particles.scores.shape[1:]), np.float32)
    for number in range(_MOST_ROUNDS):
        final = np.where(reached >= 0, number - reached, 0)
        final = np.where(final <= settings.final_rounds, final, 0)
        if (reached >= 0).all() and not final.any():
            flat = kept.reshape(n, -1, kept.shape[-1])
            draws = thinned(flat, settings.n_draws)
            return Tempered(draws, log_evidence, reached + 1, acceptance)
        state, increment, accepted = _advance(path, keys, jnp.asarray(number), state, settings)
        log_evidence += np.where(reached < 0, np.asarray(increment, np.float64), 0.0)
        if final.any():
            cases = np.flatnonzero(final)
            kept[cases, final[cases] - 1] = np.asarray(state.particles.scores)[cases]
            acceptance[cases] += np.asarray(accepted)[cases] / settings.final_rounds
        arrived = (reached < 0) & (np.asarray(state.tempering_param) >= 1.0)
        reached = np.where(arrived, number, reached)
    raise InputError(
        "noise_std",
        f"not at the posterior after {_MOST_ROUNDS} rounds",
        "noise that the signal does not exceed by more than some thousand times",
        "Check the unit of the current.",
    )


@eqx.filter_jit
def _draw(path: Path, keys: Array, n: int) -> Array:
    return jax.vmap(lambda path, key: path.draw(key, n), in_axes=(path.axes, 0))(path, keys)


@eqx.filter_jit
def _weigh(path: Path, scores: Array) -> Particle:
    def one(path: Path, places: Array) -> Particle:
        return jax.vmap(path.weigh)(places)

    return jax.vmap(one, in_axes=(path.axes, 0))(path, scores)


@jax.jit
def _begin(particles: Particle) -> tempered.TemperedSMCState:
    state = jax.vmap(tempered.init)(finite(particles))
    return state._replace(tempering_param=jnp.zeros(len(particles.base)))


@eqx.filter_jit
def _advance(
    path: Path,
    keys: Array,
    number: Array,
    state: tempered.TemperedSMCState,
    settings: TemperedSettings,
) -> tuple[tempered.TemperedSMCState, Array, Array]:
    """One rung of every case: resample, move, weigh for the next; increments, acceptance [n]."""

    def one(
        path: Path, key: Array, state: tempered.TemperedSMCState
    ) -> tuple[tempered.TemperedSMCState, Array, Array]:
        key, key_crowd = jax.random.split(key)
        n = settings.n_particles
        twins, best = path.twins(state.particles.scores), jnp.argmax(state.particles.gain)
        beside = aligned(twins, state.weights, best)
        state = state._replace(particles=state.particles._replace(scores=beside))
        crowd = state.particles.scores[resampling.systematic(key_crowd, state.weights, n)]
        sizes = jnp.array([_USUAL / np.sqrt(2 * crowd.shape[1]) * size for size in _SIZES] + [1.0])
        shares = jnp.array([*_SHARES, 1.0 - sum(_SHARES)])

        def propose(key: Array, particle: Particle) -> Particle:
            key_pair, key_size, key_jitter = jax.random.split(key, 3)
            first, second = crowd[jax.random.randint(key_pair, (2,), 0, n)]
            size = jax.random.choice(key_size, sizes, p=shares)
            jitter = _JITTER * jax.random.normal(key_jitter, first.shape)
            place = particle.scores + size * (first - second) + jitter
            return finite(path.weigh(place))

        def move(key: Array, state: random_walk.RWState, log_density: Any) -> Any:
            return random_walk.build_rmh()(key, state, log_density, propose)

        kernel = tempered.build_kernel(
            lambda particle: particle.base,
            lambda particle: particle.gain,
            move,
            random_walk.init,
            resampling.systematic,
            waste_free_smc(n, settings.chain_length),
        )
        state, info = kernel(key, state, None, _next_rung(state, settings.share), {})
        accepted = jnp.mean(info.update_info.acceptance_rate)
        return state, info.log_likelihood_increment, accepted

    own = jax.vmap(jax.random.fold_in, (0, None))(keys, number + 1)
    return jax.vmap(one, in_axes=(path.axes, 0, 0))(path, own, state)


def finite(particle: Particle) -> Particle:
    """The same, with a very low gain where it has none that is finite."""
    gain = jnp.where(jnp.isfinite(particle.gain), particle.gain, LOWEST)
    return particle._replace(gain=gain)


def _next_rung(state: tempered.TemperedSMCState, share: float) -> Array:
    """The temperature at which the conditional effective sample size falls to `share`."""
    log_weight, gain = jnp.log(state.weights), state.particles.gain

    def excess(change: Array) -> Array:
        once = jax.nn.logsumexp(log_weight + change * gain)
        twice = jax.nn.logsumexp(log_weight + 2.0 * change * gain)
        return 2.0 * once - twice - np.log(share)

    left = 1.0 - state.tempering_param
    change = jnp.clip(solver.dichotomy(excess, 0.0, left, eps=1e-3, max_iter=60), 0.0, left)
    rung = state.tempering_param + change
    return jnp.where(1.0 - rung < 1e-6, 1.0, rung)
