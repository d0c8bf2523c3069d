"""The unknowns of a fouled electrode beyond those of a clean one: its film.

Coverage at the start, the rate constant at which species adsorb, and the resistance of the film at
full coverage. What coverage does to the rate constant, the area and the double layer follows the
law of `Fouling` with its defaults, which the inference takes as known.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array

from ecguard.fouling import Fouling
from ecguard.posterior.coordinates import place_of, score_of

NAMES = ("coverage", "ln k_ads", "ln R_film")
RANGES = np.array([(0.0, 1.0), np.log((100.0, 10000.0)), np.log((450.0, 7200.0))])
"""Prior, uniform: coverage at the start, ln k_ads (cm^3/mol/s), ln film resistance (ohm) [3, 2]."""


def to_fouling(values: Array) -> Fouling:
    """Fouling with leaves [n] of the unknowns of n films [n, 3]."""
    coverage, ln_k_ads, ln_film = (values[:, k] for k in range(3))
    usual = Fouling()
    filled = jnp.ones_like(coverage)
    k_ads = jnp.exp(ln_k_ads)
    leaves = {name: getattr(usual, name) * filled for name in vars(usual)}
    leaves |= {
        "initial_theta": coverage,
        "k_ads": k_ads,
        "k_reaction": usual.k_reaction * k_ads / usual.k_ads,
        "Rfilm_theta_max_ohm": jnp.exp(ln_film),
    }
    return Fouling(**leaves)


def from_scores(scores: Array) -> Array:
    """Unknowns [..., 3] of scores, each the normal quantile of its place in its range."""
    low, high = jnp.asarray(RANGES.T, scores.dtype)
    return low + (high - low) * place_of(scores)


def to_scores(values: Array) -> Array:
    """Scores [..., 3] of unknowns: the inverse of `from_scores`."""
    low, high = jnp.asarray(RANGES.T, values.dtype)
    return score_of((values - low) / (high - low))


def of_fouling(fouling: Fouling) -> Array:
    """Unknowns [n, 3] of films, leaves [n]."""
    return jnp.stack(
        [
            jnp.asarray(fouling.initial_theta),
            jnp.log(jnp.asarray(fouling.k_ads)),
            jnp.log(jnp.asarray(fouling.Rfilm_theta_max_ohm)),
        ],
        axis=-1,
    )
