"""Fouling of the electrode: coverage kinetics, and what coverage does to the cell."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array


class Fouling(eqx.Module):
    """Coverage theta of the electrode by a blocking film. The defaults are the reference stress.

    dtheta/dt = (k_ads c_s + k_reaction |j_F|) (1 - theta) - (k_des + k_clean u) theta

    with c_s the summed surface concentration of the redox species (mol cm^-3), j_F the faradaic
    current density (A cm^-2) and u = 1 while the interface is above `clean_above_V`.

    Every leaf is a scalar, or [batch] in `simulate_batch`.
    """

    initial_theta: Any = 0.78  # 0..1
    k_ads: Any = 4200.0  # cm^3 mol^-1 s^-1
    k_des: Any = 8e-5  # s^-1
    k_clean: Any = 0.02  # s^-1
    k_reaction: Any = 0.004  # cm^2 A^-1 s^-1
    Rfilm_theta_max_ohm: Any = 1800.0  # ohm, film resistance at theta = 1
    cdl_theta_fraction: Any = 0.82  # share of the double layer lost at theta = 1
    area_floor_fraction: Any = 0.09  # open area left at theta = 1
    k0_theta_coeff: Any = 2.8  # k0 falls by exp(-coeff theta)
    film_exponent: Any = 1.2
    area_exponent: Any = 1.0
    cdl_floor_fraction: Any = 0.25  # of the clean double layer
    adsorption_mol_cm2: Any = 2e-9  # charge passed by adsorption, mol cm^-2
    clean_above_V: Any = 0.75  # V

    def relaxation(self, c_s: Array, j_F: Array, E_V: Array) -> tuple[Array, Array]:
        """Gain and loss rate (1/s) of d theta/dt = gain (1 - theta) - loss theta."""
        gain = self.k_ads * c_s + self.k_reaction * jnp.abs(j_F)
        loss = self.k_des + jnp.where(E_V > self.clean_above_V, self.k_clean, 0.0)
        return gain, loss

    def open_fraction(self, theta: Array) -> Array:
        """Share of the area that still passes charge."""
        floor = self.area_floor_fraction
        return floor + (1.0 - floor) * (1.0 - theta) ** self.area_exponent

    def k0_factor(self, theta: Array) -> Array:
        """Factor on every k0."""
        return self.open_fraction(theta) * jnp.exp(-self.k0_theta_coeff * theta)

    def film_ohm(self, theta: Array) -> Array:
        """Film resistance added to Ru, ohm."""
        # theta = 0 has an infinite slope for exponents below one: keep gradients finite
        positive = jnp.maximum(theta, jnp.finfo(theta.dtype).tiny)
        return self.Rfilm_theta_max_ohm * positive**self.film_exponent

    def capacitance_factor(self, theta: Array) -> Array:
        """Factor on the double-layer capacitance."""
        kept = (1.0 - self.cdl_theta_fraction * theta) * self.open_fraction(theta)
        return jnp.maximum(kept, self.cdl_floor_fraction)
