"""Butler-Volmer kinetics, with diffusion as a linear law between flux and concentrations."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from ecguard.simulator.electrode import Couples


class Kinetics(NamedTuple):
    """Couples as the flux reads them, every leaf [m, ...]; made by `kinetics_of`."""

    C_ox: Array  # mol/cm^3
    C_red: Array  # mol/cm^3
    E0: Array  # V
    resistance: Array  # 1/k0, s/cm
    alpha: Array
    inverse_root_ox: Array  # 1/sqrt(D_ox)
    inverse_root_red: Array  # 1/sqrt(D_red)
    smallest: Array  # semi-integrals between which no concentration is negative
    largest: Array


def kinetics_of(couples: Couples) -> Kinetics:
    """Convert units (mM to mol/cm^3) and invert once."""
    return Kinetics(
        couples.C_ox * 1e-6,
        couples.C_red * 1e-6,
        couples.E0,
        1.0 / couples.k0,
        couples.alpha,
        1.0 / jnp.sqrt(couples.D_ox),
        1.0 / jnp.sqrt(couples.D_red),
        -couples.C_red * 1e-6 * jnp.sqrt(couples.D_red),
        couples.C_ox * 1e-6 * jnp.sqrt(couples.D_ox),
    )


class Shares(NamedTuple):
    """Rate constants as shares of their sum, which is bounded below by k0: no potential overflows.

    k_red = reduction / slowness and k_ox = oxidation / slowness, with reduction + oxidation = 1.
    """

    reduction: Array
    oxidation: Array
    slowness: Array  # 1/(k_red + k_ox), s/cm


def shares(E_V: Array, kinetics: Kinetics, inverse_thermal: Array | float) -> Shares:
    """Rate constants at the interfacial potential E_V (V); `inverse_thermal` is F/RT in 1/V."""
    phi = (E_V - kinetics.E0) * inverse_thermal
    rare = jnp.exp(-jnp.abs(phi))
    most = 1.0 / (1.0 + rare)
    least = rare * most
    positive = phi > 0
    slowness = kinetics.resistance * jnp.exp(kinetics.alpha * phi - jnp.maximum(phi, 0.0)) * most
    return Shares(jnp.where(positive, least, most), jnp.where(positive, most, least), slowness)


def reduction_flux(
    E_V: Array,
    kinetics: Kinetics,
    past: Array | float,
    weight: Array | float,
    inverse_thermal: Array | float,
) -> tuple[Array, Array]:
    """Butler-Volmer flux of each couple, and its slope in the potential.

    Args:
        E_V: interfacial potential, broadcastable to [m, ...].
        kinetics: leaves [m, ...].
        past: the semi-integral of the flux is past + weight * flux, mol cm^-2 s^-1/2.
        weight: sqrt(s).
        inverse_thermal: F/RT, 1/V.

    Returns:
        Flux in mol cm^-2 s^-1, and its derivative in V, each [m, ...].
    """
    rate = shares(E_V, kinetics, inverse_thermal)
    ox = kinetics.C_ox - past * kinetics.inverse_root_ox
    red = kinetics.C_red + past * kinetics.inverse_root_red
    drive = rate.reduction * ox - rate.oxidation * red
    drain = rate.reduction * kinetics.inverse_root_ox + rate.oxidation * kinetics.inverse_root_red
    per_total = 1.0 / (rate.slowness + weight * drain)
    flux = drive * per_total
    product = rate.reduction * rate.oxidation
    total_slope = rate.slowness * (kinetics.alpha - rate.oxidation) + weight * product * (
        kinetics.inverse_root_red - kinetics.inverse_root_ox
    )
    slope = -inverse_thermal * per_total * (product * (ox + red) + flux * total_slope)
    return flux, slope
