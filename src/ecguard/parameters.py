"""The parameter row of the study: ln D_ox, ln D_red, C_ox, C_red, E0, ln k0, alpha, each [m]."""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ecguard.simulator import Couples

C_OX_LEAST_MM, C_RED_LEAST_MM, ALPHA_LIMITS = 1e-5, 0.0, (0.05, 0.95)
"""What a row is clipped to (study protocol, section 2)."""


def decode_parameters(row: ArrayLike) -> Couples:
    """Couples of a parameter row [..., 7 m], clipped to physical values.

    C_ox is kept >= 1e-5 mM, C_red >= 0 and alpha in [0.05, 0.95].
    """
    row = jnp.asarray(row)
    parts = jnp.split(row, 7, axis=-1)
    ln_D_ox, ln_D_red, C_ox, C_red, E0, ln_k0, alpha = parts
    return Couples(
        D_ox=jnp.exp(ln_D_ox),
        D_red=jnp.exp(ln_D_red),
        C_ox=jnp.maximum(C_ox, C_OX_LEAST_MM),
        C_red=jnp.maximum(C_red, C_RED_LEAST_MM),
        E0=E0,
        k0=jnp.exp(ln_k0),
        alpha=jnp.clip(alpha, *ALPHA_LIMITS),
    )


def encode_parameters(couples: Couples) -> Array:
    """Parameter row [..., 7 m] of couples with leaves [..., m]."""
    return jnp.concatenate(
        [
            jnp.log(couples.D_ox),
            jnp.log(couples.D_red),
            jnp.asarray(couples.C_ox),
            jnp.asarray(couples.C_red),
            jnp.asarray(couples.E0),
            jnp.log(couples.k0),
            jnp.asarray(couples.alpha),
        ],
        axis=-1,
    )
