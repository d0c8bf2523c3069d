"""The memory of diffusion: the semi-integral of the flux as a few decaying modes.

Within a step the flux is linear; after a jump it also has a tail G / sqrt(pi t), which is what
remains of a step of the surface concentration. The semi-integral of the tail is the constant G.
"""

import operator
from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from ecguard.semi_integral import ExponentialSum

_SMALL = 0.3
_TERMS = 12


class Gains(NamedTuple):
    """What one step does to each mode: leaves [..., Q], or [..., Q, B] for steps of their own."""

    decay: Array
    old: Array  # of the flux at its start
    new: Array  # of the flux at its end
    mean_tail: Array  # mean of the decay over the step


def gains(kernel: ExponentialSum, step: Array) -> Gains:
    """Gains of steps of linear flux, integrated exactly.

    Args:
        step: in units of the kernel's shortest time, [..., 1] or [..., B].
    """
    rate = jnp.asarray(kernel.rate, step.dtype)[:, None]
    weight = jnp.asarray(kernel.weight, step.dtype)[:, None]
    step = step[..., None, :]
    x = rate * step
    small = x < _SMALL
    safe = jnp.where(small, 1.0, x)
    decay = jnp.exp(-safe)
    new, old = jnp.ones_like(x), jnp.ones_like(x)
    for k in range(_TERMS, 2, -1):
        new = 1.0 - x / k * new
        old = 1.0 + x / k * old
    new = jnp.where(small, new / 2, (safe - 1.0 + decay) / safe**2)
    old = jnp.where(small, jnp.exp(-x) * old / 2, (1.0 - decay * (1.0 + safe)) / safe**2)
    found = Gains(jnp.exp(-x), weight * step * old, weight * step * new, old + new)
    return Gains(*(leaf[..., 0] if step.shape[-1] == 1 else leaf for leaf in found))


def total(terms: Iterable[Array]) -> Array:
    """Sum over the first axis, a short one, term by term: a kernel has no reductions."""
    return reduce(operator.add, terms)


def copies(value: Array, number: int) -> Array:
    """So many copies [number, ...] of a value: the transpose of `total`."""
    return lax.concatenate([lax.expand_dims(value, (0,))] * number, 0)


def weighted_sum(gain: Array, modes: Array) -> Array:
    """Sum [m, B] of modes [Q, m, B] times their gains [Q] or [Q, B]."""
    if gain.ndim == 2:
        return total(gain[:, None] * modes)
    # a product of matrices, which the compiler writes best
    return jnp.einsum("q,qmb->mb", gain, modes, precision=lax.Precision.HIGHEST)


def spread(gain: Array, flux: Array) -> Array:
    """What flux [m, B] adds to the modes [Q, m, B]: the transpose of `weighted_sum`."""
    if gain.ndim == 2:
        return gain[:, None] * copies(flux, len(gain))
    return jnp.einsum("q,mb->qmb", gain, flux, precision=lax.Precision.HIGHEST)
