"""Mixtures of logistic distributions, each cut to an interval: a density over an interval.

Their distribution functions are closed forms, so that densities, draws and truncation need no
special function and stay finite however far the interval lies in a tail.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ecguard.posterior.coordinates import Interval


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


def draw(mixture: Mixture, interval: Interval, key: Array) -> Array:
    """One value [...] from each density."""
    key_component, key_value = jax.random.split(key)
    component = jax.random.categorical(key_component, mixture.logits, axis=-1)[..., None]
    chosen = Mixture(*(jnp.take_along_axis(leaf, component, axis=-1) for leaf in mixture))
    low, high = (end[..., 0] for end in _ends(chosen, interval))
    scale = jnp.exp(chosen.log_scale[..., 0])
    mirrored = low > 0  # the distribution function loses digits near 1, none near 0
    first, last = jnp.where(mirrored, -high, low), jnp.where(mirrored, -low, high)
    # What lies beyond the value, over all below `last`; then the way back from `last`: far in a
    # tail the distribution function itself underflows.
    width = jnp.maximum(interval.high - interval.low, 0.0) / scale  # rounding may invert it
    beyond = jax.random.uniform(key_value, low.shape, low.dtype) * jax.nn.sigmoid(-first)
    beyond = beyond * -jnp.expm1(-width)
    back = scale * (jax.nn.softplus(last + jnp.log(beyond)) - jnp.log1p(-beyond))
    value = jnp.where(mirrored, interval.low + back, interval.high - back)
    return jnp.clip(value, interval.low, interval.high)


def _ends(mixture: Mixture, interval: Interval) -> tuple[Array, Array]:
    scale = jnp.exp(mixture.log_scale)
    low = (interval.low[..., None] - mixture.location) / scale
    return low, (interval.high[..., None] - mixture.location) / scale


def _log_mass(low: Array, high: Array, width: Array) -> Array:
    """ln of the logistic probability between two standardised ends, `width` apart."""
    share = -jnp.expm1(-jnp.maximum(width, 1e-12))
    return jax.nn.log_sigmoid(high) + jax.nn.log_sigmoid(-low) + jnp.log(share)
