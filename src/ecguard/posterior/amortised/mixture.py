"""Mixtures of logistic distributions, each cut to an interval: a density over an interval.

Their distribution functions are closed forms, so that densities and truncation need no special
function and stay finite however far the interval lies in a tail. The quantiles of a mixture are no
closed form; those of a single component are, and one with the mixture's mean and std gives scores.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ecguard.posterior.coordinates import Interval
from ecguard.simulator.relaxation import lost_share

_STD = np.pi / np.sqrt(3.0)  # of a logistic distribution, in its scales
_LEAST_CHANCE = 2.0**-24  # draws in 0..1 are as far from either end


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


class Placed(NamedTuple):
    """Values [...] and their scores, with the ln density of each."""

    value: Array
    score: Array
    log_density: Array
    log_score_density: Array


def place(mixture: Mixture, interval: Interval, score: Array) -> Placed:
    """Values [...] of scores.

    A score is the log odds of a value under one component with the mixture's mean and std, in units
    of their own std. Any number is one, and what the mixture is made of shows in its density.
    """
    lone = _lone(mixture)
    value = _value_at(lone, interval, _STD * score)
    return _placed(mixture, lone, interval, value, score)


def draw(mixture: Mixture, interval: Interval, which: Array, where: Array) -> Placed:
    """A value [...] of one component, which chance picks: the quantile is a closed form.

    Args:
        mixture, interval: the density.
        which, where: draws in 0..1 [...], which pick the component and the place in it.
    """
    weight = jax.nn.softmax(mixture.logits, axis=-1)
    reached = jnp.cumsum(weight, axis=-1)[..., :-1]
    number = jnp.sum(which[..., None] > reached, axis=-1, keepdims=True)
    picked = number == jnp.arange(weight.shape[-1])
    own = Mixture(*(jnp.sum(jnp.where(picked, leaf, 0.0), -1, keepdims=True) for leaf in mixture))
    share = jnp.clip(where, _LEAST_CHANCE, 1.0 - _LEAST_CHANCE)
    value = _value_at(own, interval, jnp.log(share) - jnp.log1p(-share))
    lone = _lone(mixture)
    score = _odds_of(lone, interval, value) / _STD
    return _placed(mixture, lone, interval, value, score)


def _placed(
    mixture: Mixture, lone: Mixture, interval: Interval, value: Array, score: Array
) -> Placed:
    own = log_density(mixture, value, interval)
    odds = _STD * score
    logistic = jax.nn.log_sigmoid(odds) + jax.nn.log_sigmoid(-odds) + np.log(_STD)
    return Placed(value, score, own, own - log_density(lone, value, interval) + logistic)


def _lone(mixture: Mixture) -> Mixture:
    """One component with the mean and the std of all, before they are cut [..., 1]."""
    weight = jax.nn.softmax(mixture.logits, axis=-1)
    mean = jnp.sum(weight * mixture.location, axis=-1, keepdims=True)
    square = (mixture.location - mean) ** 2 + _STD**2 * jnp.exp(2.0 * mixture.log_scale)
    variance = jnp.sum(weight * square, axis=-1, keepdims=True)
    return Mixture(jnp.zeros_like(mean), mean, 0.5 * jnp.log(variance) - np.log(_STD))


def _value_at(lone: Mixture, interval: Interval, odds: Array) -> Array:
    """Quantiles [...] of a mixture of one component at log odds [...]."""
    low, high = (end[..., 0] for end in _ends(lone, interval))
    scale = jnp.exp(lone.log_scale[..., 0])
    # the distribution function loses digits near 1, none near 0
    mirrored = (low > 0) | ((high > 0) & (odds < 0))
    first, last = jnp.where(mirrored, -high, low), jnp.where(mirrored, -low, high)
    # What lies beyond the value, over all below `last`; then the way back from `last`. In logs, as
    # far in a tail the distribution function itself underflows.
    width = jnp.maximum(interval.high - interval.low, 0.0) / scale  # may be inverted
    odds = jnp.where(mirrored, -odds, odds)
    log_past = jax.nn.log_sigmoid(-first)
    log_beyond = jax.nn.log_sigmoid(-odds) + log_past + jnp.log(_part(width))
    # what lies within, by parts where little does
    log_nothing = jnp.logaddexp(jax.nn.log_sigmoid(first), log_past - width)
    little = jnp.logaddexp(jax.nn.log_sigmoid(odds), jax.nn.log_sigmoid(-odds) + log_nothing)
    log_within = jnp.where(log_beyond < np.log(0.5), jnp.log1p(-jnp.exp(log_beyond)), little)
    back = scale * (jax.nn.softplus(last + log_beyond) - log_within)
    value = jnp.where(mirrored, interval.low + back, interval.high - back)
    return jnp.clip(value, interval.low, interval.high)


def _odds_of(lone: Mixture, interval: Interval, value: Array) -> Array:
    """The inverse of `_value_at`: log odds [...] of values inside the interval."""
    low, high = (end[..., 0] for end in _ends(lone, interval))
    scale = jnp.exp(lone.log_scale[..., 0])
    below, above = (value - interval.low) / scale, (interval.high - value) / scale
    near = jnp.log(_part(below)) - jnp.log(_part(above))
    z = (value - lone.location[..., 0]) / scale
    return z + jax.nn.log_sigmoid(-low) - jax.nn.log_sigmoid(high) + near


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
