"""The Nernst diffusion-layer estimate of a trace's current: its natural unit.

Currents of one family span orders of magnitude. A stagnant layer of thickness sqrt(D tau) passes
the flux of mixed kinetic and diffusion control in closed form, which gives each trace a unit of
its own that a network can learn in. It holds no history: shape is left to the network.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ecguard.parameters import decode_parameters
from ecguard.simulator import FARADAY, GAS_CONSTANT, kinetics_of, potential_jumps, reduction_flux

LAYER_TIME_FRACTION = 0.1
"""tau over the duration of the trace."""

TYPICAL_CDL_F_CM2 = 2e-5
TEMPERATURE_K = 298.15


def current_scale(E_V: ArrayLike, parameters: ArrayLike, duration_s: ArrayLike) -> Array:
    """Largest current density of the Nernst layer over a waveform, plus its charging current.

    Args:
        E_V: applied potential [L], V.
        parameters: row [7 m] as `decode_parameters` reads it.
        duration_s: of the waveform, s.

    Returns:
        A positive scalar, mA/cm^2.
    """
    E_V = jnp.asarray(E_V)
    kinetics = jax.tree.map(lambda leaf: leaf[:, None], kinetics_of(decode_parameters(parameters)))
    inverse_thermal = FARADAY / (GAS_CONSTANT * TEMPERATURE_K)
    layer = jnp.sqrt(LAYER_TIME_FRACTION * duration_s)
    flux = reduction_flux(E_V[None, :], kinetics, 0.0, layer, inverse_thermal)[0]
    faradaic = FARADAY * jnp.max(jnp.abs(jnp.sum(flux, axis=0)))
    swept = jnp.sum(jnp.where(potential_jumps(E_V), 0.0, jnp.abs(jnp.diff(E_V))))
    return 1e3 * (faradaic + TYPICAL_CDL_F_CM2 * swept / duration_s)
