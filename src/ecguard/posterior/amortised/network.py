"""The amortised posterior: a density over electrodes, given a waveform and a trace in part.

A residual network turns the projection of the trace, the waveform and the labels into a summary.
Coordinate by coordinate, a small network then reads the summary and the coordinates before, and
gives a mixture on the coordinate's interval. The product of these is the density: it lies on the
prior's support, integrates to one, and is drawn from without rejection.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ecguard import family
from ecguard.posterior import coordinates as co
from ecguard.posterior.amortised.mixture import Mixture, Placed, draw, log_density, place
from ecguard.posterior.amortised.traces import N_MODES, Projection
from ecguard.posterior.unknowns import MAX_COUPLES, n_unknowns

N_COORDINATES = n_unknowns(MAX_COUPLES)
_WAVEFORM_SAMPLES = np.linspace(0, family.N_SAMPLES - 1, 34).astype(int)
_N_LABELS = len(family.TASKS) + 1
N_INPUTS = 2 * N_MODES + len(_WAVEFORM_SAMPLES) + 1 + _N_LABELS + 2
N_PREFIX = N_COORDINATES + 2 * MAX_COUPLES
_LARGEST_LOG_SCALE, _SMALLEST_LOG_SCALE = 1.0, -8.0  # of a component, on an interval of length 2


@dataclass(frozen=True)
class Sizes:
    """Sizes of the network; the defaults are those of the built-in checkpoint."""

    width: int = 512
    depth: int = 3
    summary: int = 256
    hidden: int = 128
    components: int = 8


class Seen(NamedTuple):
    """What the network is told of n traces.

    Args:
        projection: of the traces.
        waveform: `describe_waveform` [n, W].
        task: labels [n].
        n_couples: [n].
    """

    projection: Projection
    waveform: Array
    task: Array
    n_couples: Array


class Network(eqx.Module):
    """Weights of the summary and of one conditional density for each coordinate.

    Args:
        first, last: into and out of the residual blocks.
        inner, outer: weights of the blocks [depth, width, width].
        from_summary [16, summary, hidden], from_prefix [16, prefix, hidden], hidden_bias [16,
            hidden], hidden [16, hidden, hidden], out [16, hidden, 3 K], out_bias [16, 3 K].
    """

    first: Array
    first_bias: Array
    inner: Array
    inner_bias: Array
    outer: Array
    last: Array
    last_bias: Array
    from_summary: Array
    from_prefix: Array
    hidden_bias: Array
    hidden: Array
    hidden_bias_2: Array
    out: Array
    out_bias: Array
    slopes: Array
    slopes_bias: Array

    def __init__(self, sizes: Sizes, *, key: Array) -> None:
        keys = iter(jax.random.split(key, 9))

        def weight(*shape: int, gain: float = 1.0) -> Array:
            return gain / np.sqrt(shape[-2]) * jax.random.normal(next(keys), shape)

        D, H, W = N_COORDINATES, sizes.hidden, sizes.width
        self.first, self.first_bias = weight(N_INPUTS, W), jnp.zeros(W)
        self.inner, self.inner_bias = weight(sizes.depth, W, W), jnp.zeros((sizes.depth, W))
        self.outer = weight(sizes.depth, W, W, gain=0.5)
        self.last, self.last_bias = weight(W, sizes.summary), jnp.zeros(sizes.summary)
        self.from_summary = weight(D, sizes.summary, H)
        self.from_prefix = weight(D, N_PREFIX, H)
        self.hidden_bias = jnp.zeros((D, H))
        self.hidden, self.hidden_bias_2 = weight(D, H, H), jnp.zeros((D, H))
        self.out = weight(D, H, 3 * sizes.components, gain=0.3)
        spread = jnp.linspace(-1.0, 1.0, sizes.components)
        start = jnp.concatenate([jnp.zeros_like(spread), spread, -1.0 + jnp.zeros_like(spread)])
        self.out_bias = jnp.broadcast_to(start, (D, len(start)))
        self.slopes = weight(D, sizes.summary, N_PREFIX, gain=0.1)
        self.slopes_bias = jnp.zeros((D, N_PREFIX))

    def summarise(self, seen: Seen) -> Array:
        """Summaries [n, summary]."""
        x = _inputs(seen) @ self.first + self.first_bias
        for inner, bias, outer in zip(self.inner, self.inner_bias, self.outer, strict=True):
            x = x + jax.nn.silu(_normalised(x) @ inner + bias) @ outer
        return _normalised(x) @ self.last + self.last_bias

    def mixtures(self, summary: Array, features: Array, d: int) -> Mixture:
        """Densities of the first d coordinates [d, n], on intervals of length 2 around 0.

        Args:
            summary: [n, summary], or [1, summary] for all.
            features: `prefix_features` of all coordinates [n, N_PREFIX]; each density is shown
                those of the coordinates before its own.
            d: number of coordinates.
        """
        shown = (self.from_prefix * _SHOWN[:, :, None])[:d]
        told = summary @ _side_by_side(self.from_summary[:d])
        first = told + features @ _side_by_side(shown)
        first = first.reshape(len(first), d, -1) + self.hidden_bias[:d]
        slopes = (summary @ _side_by_side(self.slopes[:d])).reshape(len(summary), d, -1)
        slopes = (slopes + self.slopes_bias[:d]) * _SHOWN[:d]
        shift = jnp.sum(slopes * features[:, None, :], axis=-1)
        return self._mixture(slice(0, d), jnp.swapaxes(first, 0, 1), shift.T)

    def mixture(self, position: Array, told: tuple[Array, Array], features: Array) -> Mixture:
        """Density of one coordinate [...], given `tell` and the features of those before it."""
        offset, slopes = told
        shown = jnp.asarray(_SHOWN)[position]
        weight = self.from_prefix[position] * shown[:, None]
        shift = jnp.sum(slopes * shown * features, axis=-1)
        return self._mixture(position, offset + features @ weight, shift)

    def tell(self, position: Array, summary: Array) -> tuple[Array, Array]:
        """What summaries [n, summary] tell one coordinate: offset [n, hidden], slopes [n, P]."""
        offset = summary @ self.from_summary[position] + self.hidden_bias[position]
        return offset, summary @ self.slopes[position] + self.slopes_bias[position]

    def _mixture(self, position: Array | slice, first: Array, shift: Array) -> Mixture:
        def bias(values: Array) -> Array:
            return values[position, None, :] if isinstance(position, slice) else values[position]

        first = jax.nn.silu(first)
        second = first @ self.hidden[position] + bias(self.hidden_bias_2)
        second = first + jax.nn.silu(second)
        raw = second @ self.out[position] + bias(self.out_bias)
        logits, location, log_scale = jnp.split(raw, 3, axis=-1)
        middle = (_LARGEST_LOG_SCALE + _SMALLEST_LOG_SCALE) / 2
        reach = (_LARGEST_LOG_SCALE - _SMALLEST_LOG_SCALE) / 2
        log_scale = middle + reach * jnp.tanh((log_scale - 1.0 - middle) / reach)
        return Mixture(logits, location + shift[..., None], log_scale)


def describe_waveform(time_s: Array, E_V: Array) -> Array:
    """Potentials at fixed samples and ln of the duration [n, 35] of waveforms [n, L]."""
    duration = jnp.log(time_s[:, -1] - time_s[:, 0])
    return jnp.concatenate([E_V[:, _WAVEFORM_SAMPLES], duration[:, None] / 3.0], axis=1)


def prefix_features(coordinates: Array) -> Array:
    """Features [..., N_PREFIX] of coordinates [..., 16].

    The coordinates in units of their widest intervals, and for each couple two products that move
    the wave of slow kinetics: l / alpha and l (1 - alpha).
    """
    unit = to_unit(coordinates)
    extras = []
    for couple in range(MAX_COUPLES):
        start = co.couple_start(couple)
        alpha, rate = coordinates[..., start + 3], coordinates[..., start + 4]
        extras += [0.05 * rate / jnp.maximum(alpha, 0.1), 0.2 * rate * (1.0 - alpha)]
    return jnp.concatenate([unit, jnp.stack(extras, axis=-1)], axis=-1)


def _side_by_side(weight: Array) -> Array:
    """Weights [16, n_in, n_out] as one matrix [n_in, 16 n_out]."""
    return jnp.swapaxes(weight, 0, 1).reshape(weight.shape[1], -1)


def _shown() -> np.ndarray:
    """Which features each coordinate is shown [16, N_PREFIX]: those of the coordinates before."""
    order = np.arange(N_COORDINATES)
    complete = [co.couple_start(couple) + 4 for couple in range(MAX_COUPLES) for _ in range(2)]
    return (np.concatenate([order, complete])[None, :] < order[:, None]).astype(np.float32)


_SHOWN = _shown()
_WIDEST = co.widest(MAX_COUPLES)


def to_unit(coordinates: Array) -> Array:
    """Coordinates [..., d] on the scale where their widest intervals are -1..1."""
    low, high = _WIDEST[: coordinates.shape[-1]].T
    return 2.0 * (coordinates - low) / (high - low) - 1.0


def log_density_of(
    network: Network, summary: Array, coordinates: Array, ends: co.Interval, present: Array
) -> Array:
    """ln density [n] over coordinates.

    Args:
        network: the weights.
        summary: [n, summary], or [1, summary] for all.
        coordinates: [n, d], d up to 16; any finite value where not present.
        ends: their intervals [n, d].
        present: which coordinates the electrode has [n, d].
    """
    d = coordinates.shape[-1]
    filled = jnp.pad(coordinates, ((0, 0), (0, N_COORDINATES - d)))
    mixture = network.mixtures(summary, prefix_features(filled), d)
    own = log_density(mixture, to_unit(coordinates).T, co.Interval(*(to_unit(e).T for e in ends)))
    own = own + np.log(2.0 / (_WIDEST[:d, 1] - _WIDEST[:d, 0]))[:, None]
    return jnp.sum(jnp.where(present.T, own, 0.0), axis=0)


def _inputs(seen: Seen) -> Array:
    projection = seen.projection
    return jnp.concatenate(
        [
            projection.mean,
            2.0 * projection.std - 1.0,
            seen.waveform,
            jax.nn.one_hot(seen.task, len(family.TASKS)),
            (seen.n_couples > 1)[:, None].astype(jnp.float32),
            0.5 * projection.log_size[:, None] - 1.0,
            0.5 * jnp.log(projection.size)[:, None],
        ],
        axis=1,
    )


def _normalised(x: Array) -> Array:
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6)


class Draws(NamedTuple):
    """Places [...] of the density.

    Args:
        coordinates: [..., d].
        scores: unbounded [..., d].
        log_density: ln density over the coordinates [...].
        log_score_density: over the scores [...].
    """

    coordinates: Array
    scores: Array
    log_density: Array
    log_score_density: Array


def transport(network: Network, summary: Array, scores: Array) -> Draws:
    """Coordinates of scores, each by one component in place of its conditional density.

    Where that density is narrow, so is the step that a score makes: a posterior that is thin and
    curved in the coordinates is neither in the scores.

    Args:
        network: the weights.
        summary: of n traces [n, summary].
        scores: [n, k, 7 m + 2].
    """

    def placed(position: Array, mixture: Mixture, interval: co.Interval) -> Placed:
        return place(mixture, interval, scores[..., position])

    return _drawn(network, summary, scores.shape, placed)


def sample(network: Network, summary: Array, which: Array, where: Array) -> Draws:
    """Draws of the density, with the scores that `transport` would take.

    Args:
        network: the weights.
        summary: of n traces [n, summary].
        which, where: draws in 0..1 [n, k, 7 m + 2], as `mixture.draw` has them.
    """

    def placed(position: Array, mixture: Mixture, interval: co.Interval) -> Placed:
        return draw(mixture, interval, which[..., position], where[..., position])

    return _drawn(network, summary, where.shape, placed)


class _SoFar(NamedTuple):
    """Draws [n, k, 16] of which the first coordinates are known, with ln densities of these."""

    drawn: Array
    log_density: Array
    log_score_density: Array


def _drawn(
    network: Network,
    summary: Array,
    shape: tuple[int, ...],
    placed: Callable[[Array, Mixture, co.Interval], Placed],
) -> Draws:
    """Draws [n, k, d], coordinate by coordinate, on the interval that those before leave it."""
    d = shape[-1]
    n_couples = (d - co.CELL) // co.PER_COUPLE
    intervals = [partial(_interval_of, position, n_couples=n_couples) for position in range(d)]

    def step(so_far: _SoFar, position: Array) -> tuple[_SoFar, Array]:
        drawn, total, score_total = so_far
        own = jax.lax.switch(position, intervals, drawn)
        told = jax.tree.map(lambda leaf: leaf[:, None, :], network.tell(position, summary))
        mixture = network.mixture(position, told, prefix_features(drawn))
        low, high = jnp.asarray(_WIDEST, drawn.dtype)[position]
        half, middle = (high - low) / 2, (high + low) / 2
        unit = co.Interval((own.low - middle) / half, (own.high - middle) / half)
        found = placed(position, mixture, unit)
        drawn = drawn.at[..., position].set(middle + half * found.value)
        total += found.log_density - jnp.log(half)
        return _SoFar(drawn, total, score_total + found.log_score_density), found.score

    # a loop, as the compiler takes five times longer over what is written out
    none = jnp.zeros(shape[:2])
    start = _SoFar(jnp.full((*shape[:2], N_COORDINATES), 0.5), none, none)
    (drawn, *densities), scores = jax.lax.scan(step, start, jnp.arange(d))
    return Draws(drawn[..., :d], jnp.moveaxis(scores, 0, -1), *densities)


def _interval_of(position: int, drawn: Array, *, n_couples: int) -> co.Interval:
    couple, own = (0, position) if position < co.PER_COUPLE else (1, position - 9)
    if co.PER_COUPLE <= position < co.PER_COUPLE + co.CELL:
        low, high = co.CELL_RANGES[position - co.PER_COUPLE]
        filled = jnp.zeros(drawn.shape[:-1])
        return co.Interval(filled + low, filled + high)
    start = co.couple_start(couple)
    E0_before = co.standard_potential(drawn[..., :7]) if couple else None
    return co.interval(own, drawn[..., start : start + own], n_couples, couple, E0_before)
