"""The memory of diffusion: the semi-integral of the flux as a few decaying modes.

Within a step the flux is linear; after a jump it also has a tail G / sqrt(pi t), which is what
remains of a step of the surface concentration. The semi-integral of the tail is the constant G.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from ecguard.semi_integral import ExponentialSum


class Gains(NamedTuple):
    """What one step does to each mode, leaves [..., Q, 1, 1 or B]."""

    decay: Array
    old: Array  # of the flux at its start
    new: Array  # of the flux at its end
    mean_tail: Array  # mean of the decay over the step


def gains(kernel: ExponentialSum, step: Array) -> Gains:
    """Gains of steps of linear flux, integrated exactly.

    Args:
        step: in units of the kernel's shortest time [..., 1 or B].
    """
    rate = jnp.asarray(kernel.rate, step.dtype)[:, None, None]
    weight = jnp.asarray(kernel.weight, step.dtype)[:, None, None]
    step = step[..., None, None, :]
    x = rate * step
    small = x < 0.3
    safe = jnp.where(small, 1.0, x)
    decay = jnp.exp(-safe)
    new, old = jnp.ones_like(x), jnp.ones_like(x)
    for k in range(12, 2, -1):
        new = 1.0 - x / k * new
        old = 1.0 + x / k * old
    new = jnp.where(small, new / 2, (safe - 1.0 + decay) / safe**2)
    old = jnp.where(small, jnp.exp(-x) * old / 2, (1.0 - decay * (1.0 + safe)) / safe**2)
    return Gains(jnp.exp(-x), weight * step * old, weight * step * new, old + new)
