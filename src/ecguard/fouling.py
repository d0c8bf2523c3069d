"""Fouling of the electrode: coverage kinetics, and what coverage does to the cell."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import Array

_LEAST_K0_FACTOR = 1e-15  # of a fully blocked electrode: no current that could be measured


class Fouling(eqx.Module):
    """Coverage theta of the electrode by a blocking film. The defaults are the reference stress.

    dtheta/dt = (k_ads c_s + k_reaction |j_F|) (1 - theta) - (k_des + k_clean u) theta

    with c_s the summed surface concentration of the redox species (mol cm^-3), j_F the faradaic
    current density (A cm^-2) and u = 1 while the applied potential is above `clean_above_V`.

    Coverage reads the flux of the step before: take steps that are shorter than its relaxation.
    Allowed: fractions 0 to 1, k_ads up to 1e9, the other rates up to 1e6, the film up to 1e7 ohm,
    k0_theta_coeff up to 30, exponents 0.5 to 10, adsorption up to 1e-6 mol cm^-2.

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
    patch_share: Any = 0.0  # 0: patches far smaller than the diffusion layer, 1: far larger

    def gain(self, c_s: Array, j_F: Array) -> Array:
        """Rate (1/s) at which bare sites are covered; c_s in mol cm^-3, j_F in A cm^-2."""
        return self.k_ads * c_s + self.k_reaction * jnp.abs(j_F)

    def loss(self, E_from: Array, E_to: Array, signal: Array | None = None) -> Array:
        """Rate (1/s) at which covered sites are freed during a step between two potentials (V).

        Cleaning acts for the share of the step above `clean_above_V`, or as `signal` (0..1) says.
        """
        if signal is None:
            low, high = jnp.minimum(E_from, E_to), jnp.maximum(E_from, E_to)
            width = jnp.maximum(high - low, 1e-6)
            signal = jnp.clip((high - self.clean_above_V) / width, 0.0, 1.0)
        return self.k_des + self.k_clean * signal

    def cover(self, theta: Array) -> "Cover":
        """What coverage does to the electrode."""
        lost = (1.0 - self.area_floor_fraction) * (1.0 - _power(1.0 - theta, self.area_exponent))
        kept = (1.0 - self.cdl_theta_fraction * theta) * (1.0 - lost)
        slowed = 1.0 - (1.0 - self.patch_share) * lost
        return Cover(
            k0_factor=jnp.maximum(slowed * jnp.exp(-self.k0_theta_coeff * theta), _LEAST_K0_FACTOR),
            area_factor=1.0 - self.patch_share * lost,
            film_ohm=self.Rfilm_theta_max_ohm * _power(theta, self.film_exponent),
            capacitance_factor=jnp.maximum(kept, self.cdl_floor_fraction),
        )


class Cover(NamedTuple):
    """Factors on k0, on the area that passes current and on the double layer; film in ohm."""

    k0_factor: Array
    area_factor: Array
    film_ohm: Array
    capacitance_factor: Array


def _power(base: Array, exponent: Array) -> Array:
    """base**exponent for base >= 0, with finite slopes at 0; faster than the power of XLA."""
    power = jnp.exp(exponent * jnp.log(jnp.maximum(base, jnp.finfo(base.dtype).tiny)))
    return jnp.where((base > 0) | (exponent == 0), power, 0.0)
