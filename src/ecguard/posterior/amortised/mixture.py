"""Mixtures of logistic distributions, each cut to an interval: a density over an interval.

Their distribution functions are closed forms, so that densities and truncation need no special
function and stay finite however far the interval lies in a tail. Quantiles are found by Newton's
steps.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import ndtr, ndtri
from jax.scipy.stats import norm

from ecguard.posterior.coordinates import Interval
from ecguard.simulator.relaxation import lost_share

_LEAST_SHARE = 1e-37  # whose quantile float32 has
_STEPS = 8  # of a quantile; most need three
_CREEPS = 0.7  # of the log odds still off after a step, above which the next one is lengthened


class Mixture(NamedTuple):
    """Components of a density on the interval of a coordinate, leaves [..., K].

    Args:
        logits: of the components' weights.
        location: of the components, in the coordinate's unit; may lie outside of the interval.
        log_scale: ln of their scales.
    """

    logits: Array
    location: Array
    log_scale: Array


def log_density(mixture: Mixture, value: Array, interval: Interval) -> Array:
    """ln density [...] at values [...] inside the interval."""
    scale = jnp.exp(mixture.log_scale)
    z = (value[..., None] - mixture.location) / scale
    low, high = _ends(mixture, interval)
    width = (interval.high - interval.low)[..., None] / scale  # exact where `high - low` is not
    own = jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z) - mixture.log_scale
    weight = jax.nn.log_softmax(mixture.logits, axis=-1)
    return jax.nn.logsumexp(weight + own - _log_mass(low, high, width), axis=-1)


def quantile(mixture: Mixture, interval: Interval, score: Array) -> Array:
    """Values [...] below which the normal distribution function of scores [...] lies.

    The mixture's quantile lies between those of its components, which are closed forms. In between,
    Newton's steps on the log odds, which are linear in the tails, held by the bracket. Where they
    creep, down a tail towards a narrow component, they are doubled.
    """
    each = _quantiles(mixture, interval, score[..., None])
    start = jnp.sum(_near(mixture, score) * each, axis=-1)
    cut = _cut(mixture, interval)
    # one by one, all that a step does is a single pass over the values
    single = [_Cut(*(leaf[k] for leaf in cut)) for k in range(len(cut.location))]
    wanted = norm.logcdf(score) - norm.logcdf(-score)

    def step(_: Any, state: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high, before, value = state
        sides = [_sides(component, interval, value) for component in single]
        below, above, own = (sum(rest, first) for first, *rest in zip(*sides, strict=True))
        over = jnp.log(below) - jnp.log(above) - wanted
        low, high = jnp.where(over < 0, value, low), jnp.where(over < 0, high, value)
        times = jnp.where(jnp.abs(over) < _CREEPS * before, 1.0, 2.0)
        there = value - times * over / (own / below + own / above)
        inside = (there >= low) & (there <= high)
        return low, high, jnp.abs(over), jnp.where(inside, there, (low + high) / 2)

    ends = jnp.min(each, axis=-1), jnp.max(each, axis=-1)
    unbounded = jnp.full_like(start, jnp.inf)
    *_, value = jax.lax.fori_loop(0, _STEPS, step, (*ends, unbounded, start))
    return jnp.clip(value, interval.low, interval.high)


def _near(mixture: Mixture, score: Array) -> Array:
    """Shares [..., K] of the components' quantiles in a guess of the mixture's, at scores [...].

    If components lay apart, one would hold all of it: the one within which the probability is
    reached, counted from the nearer end. Where several share a location, all have their weight.
    """
    weight = jax.nn.softmax(mixture.logits, axis=-1)
    place = jnp.where(score > 0, -1.0, 1.0)[..., None] * mixture.location
    before = jnp.where(place[..., None, :] < place[..., None], weight[..., None, :], 0.0).sum(-1)
    reached = ndtr(-jnp.abs(score))[..., None]
    holds = (before <= reached) & (reached < before + weight)
    return jnp.where(holds.sum(-1, keepdims=True) == 1, holds, weight)


class Drawn(NamedTuple):
    """Values [...], the scores whose quantiles they are, and the ln density there."""

    value: Array
    score: Array
    log_density: Array


def draw(mixture: Mixture, interval: Interval, normal: Array, uniform: Array) -> Drawn:
    """A value [...] of one component, which chance picks: no steps are needed.

    Args:
        mixture, interval: the density.
        normal: standard normal draws [...], which say where in the component.
        uniform: draws in 0..1 [...], which pick it.
    """
    weight = jax.nn.softmax(mixture.logits, axis=-1)
    reached = jnp.cumsum(weight, axis=-1)[..., :-1]
    place = jnp.sum(uniform[..., None] > reached, axis=-1, keepdims=True)
    picked = place == jnp.arange(weight.shape[-1])
    own = Mixture(*(jnp.sum(jnp.where(picked, leaf, 0.0), -1, keepdims=True) for leaf in mixture))
    value = _quantiles(own, interval, normal[..., None])[..., 0]
    sides = _sides(_cut(mixture, interval), interval, value)
    below, above, density = (jnp.sum(side, axis=0) for side in sides)
    far = ndtri(jnp.maximum(jnp.minimum(below, above) / (below + above), _LEAST_SHARE))
    return Drawn(value, jnp.where(below < above, far, -far), jnp.log(density))


class _Cut(NamedTuple):
    """A mixture on its interval, leaves [K, ...], or [...] of one component."""

    location: Array
    rate: Array  # 1/scale
    share: Array  # weight over the part of the component's probability
    log_low: Array  # ln of the sigmoids that all of the interval shares, at either end
    log_high: Array


def _cut(mixture: Mixture, interval: Interval) -> _Cut:
    rate = jnp.exp(-mixture.log_scale)
    low, high = _ends(mixture, interval)
    weight = jax.nn.softmax(mixture.logits, axis=-1)
    share = weight / _part((interval.high - interval.low)[..., None] * rate)
    sigmoids = jax.nn.log_sigmoid(-low), jax.nn.log_sigmoid(high)
    leaves = (mixture.location, rate, share, *sigmoids)
    return _Cut(*(jnp.moveaxis(leaf, -1, 0) for leaf in leaves))


def _sides(cut: _Cut, interval: Interval, value: Array) -> tuple[Array, ...]:
    """Shares [K, ...] of components below and above a value [...], and their densities there."""
    z = (value - cut.location) * cut.rate
    both = 1.0 + jnp.exp(-jnp.abs(z))  # what the sigmoids of z and -z share, below the line
    # of the sigmoids at the ends, so that no component is lost in a tail
    to_high = jnp.exp(jnp.minimum(z, 0.0) - cut.log_high) / both
    to_low = jnp.exp(jnp.minimum(-z, 0.0) - cut.log_low) / both
    below = cut.share * to_high * _part((value - interval.low) * cut.rate)
    above = cut.share * to_low * _part((interval.high - value) * cut.rate)
    return below, above, cut.share * to_high * to_low * cut.rate


def _quantiles(mixture: Mixture, interval: Interval, score: Array) -> Array:
    """The same for every component by itself [..., K]."""
    low, high = _ends(mixture, interval)
    scale = jnp.exp(mixture.log_scale)
    # the distribution function loses digits near 1, none near 0
    mirrored = (low > 0) | ((high > 0) & (score < 0))
    first, last = jnp.where(mirrored, -high, low), jnp.where(mirrored, -low, high)
    # What lies beyond the value, over all below `last`; then the way back from `last`: far in a
    # tail the distribution function itself underflows.
    width = jnp.maximum(interval.high - interval.low, 0.0)[..., None] / scale  # may be inverted
    score = jnp.where(mirrored, -score, score)
    past = jax.nn.sigmoid(-first)
    beyond = ndtr(-score) * past * _part(width)
    # what lies within, by parts where little does
    little = ndtr(score) + ndtr(-score) * (jax.nn.sigmoid(first) + past * jnp.exp(-width))
    log_within = jnp.where(beyond < 0.5, jnp.log1p(-beyond), jnp.log(little))
    back = scale * (jax.nn.softplus(last + jnp.log(beyond)) - log_within)
    ends = interval.low[..., None], interval.high[..., None]
    return jnp.clip(jnp.where(mirrored, ends[0] + back, ends[1] - back), *ends)


def _ends(mixture: Mixture, interval: Interval) -> tuple[Array, Array]:
    scale = jnp.exp(mixture.log_scale)
    low = (interval.low[..., None] - mixture.location) / scale
    return low, (interval.high[..., None] - mixture.location) / scale


def _log_mass(low: Array, high: Array, width: Array) -> Array:
    """ln of the logistic probability between two standardised ends, `width` apart."""
    return jax.nn.log_sigmoid(high) + jax.nn.log_sigmoid(-low) + jnp.log(_part(width))


def _part(width: Array) -> Array:
    """Of the product of the two sigmoids at ends a standardised `width` apart, their difference."""
    width = jnp.maximum(width, 1e-12)
    return lost_share(width, jnp.exp(-width))
