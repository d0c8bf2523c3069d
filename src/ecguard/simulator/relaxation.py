"""Exact responses of first-order relaxations over one step."""

import jax.numpy as jnp
from jax import Array

_SMALL = 0.3
_TERMS = {jnp.dtype("float32"): 6, jnp.dtype("float64"): 12}
_FAST = 30.0  # exp(-30) is below the precision of float32, and negligible in float64


def mean_decay(x: Array, decay: Array) -> Array:
    """(1 - exp(-x)) / x for x >= 0, the mean of exp(-s) over 0..x; `decay` is exp(-x)."""
    return jnp.where(x < _SMALL, _mean_of_small(x), (1.0 - decay) / jnp.maximum(x, 0.5 * _SMALL))


def lost_share(x: Array, decay: Array) -> Array:
    """1 - exp(-x) for x >= 0, to the last digit; `decay` is exp(-x)."""
    return jnp.where(x < _SMALL, x * _mean_of_small(x), 1.0 - decay)


def _mean_of_small(x: Array) -> Array:
    near = jnp.minimum(x, 2.0 * _SMALL)
    series: Array | float = 1.0
    for k in range(_TERMS[x.dtype], 1, -1):
        series = 1.0 - near * (1.0 / k) * series
    return jnp.asarray(series)


def ramp_response(lag: Array) -> tuple[Array, Array, Array, Array]:
    """How the lag D = E - V of a first-order system V' = (E - V)/tau changes over a step h.

    D_new = kept * D_old + share * (E_new - E_old) on a ramp of E. A time constant of 0 is valid.

    Args:
        lag: tau/h.

    Returns:
        kept exp(-h/tau); share tau/h (1 - exp(-h/tau)); and the slope of V at the end, in units
        of 1/h, from D_old, kept * h/tau, and from the ramp, 1 - kept, which keeps its digits.
    """
    fast = lag * _FAST < 1.0
    ratio = jnp.where(fast, _FAST, 1.0 / jnp.where(fast, 1.0, lag))
    decay = jnp.exp(-ratio)
    kept = jnp.where(fast, 0.0, decay)
    mean = mean_decay(ratio, decay)
    return kept, jnp.where(fast, lag, mean), kept * ratio, jnp.where(fast, 1.0, ratio * mean)
