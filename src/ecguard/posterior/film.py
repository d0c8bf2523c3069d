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
"""Coverage at the start, ln k_ads (cm^3/mol/s), ln film resistance (ohm) [3, 2].

The prior of the last two is uniform. That of the coverage is uniform in its cube root: one film in
two covers less than an eighth, so that a light film is not ruled out before anything is measured.
"""
_CUBED = np.array([True, False, False])


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
    """Unknowns [..., 3] of scores, each the normal quantile of its probability under the prior."""
    low, high = jnp.asarray(RANGES.T, scores.dtype)
    place = place_of(scores)
    return low + (high - low) * place * jnp.where(_CUBED, place**2, 1.0)


def to_scores(values: Array) -> Array:
    """Scores [..., 3] of unknowns: the inverse of `from_scores`."""
    low, high = jnp.asarray(RANGES.T, values.dtype)
    place = (values - low) / (high - low)
    return score_of(jnp.where(_CUBED, jnp.cbrt(place), place))


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
