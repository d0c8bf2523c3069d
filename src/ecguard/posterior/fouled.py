"""Peaks of the posterior of an electrode that may be covered: its couple, cell and film."""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from numpy.typing import NDArray

from ecguard.fouling import Fouling
from ecguard.posterior import coordinates as co
from ecguard.posterior import film
from ecguard.posterior.joint import JointLikelihood
from ecguard.posterior.laplace import Laplace, LaplaceSettings, find_peak, unknowns_of
from ecguard.posterior.unknowns import ranges, split

FIRST_COVERAGES = (0.05, 0.3, 0.6, 0.9)
"""From which the search for a fouled electrode starts."""
_LN_K0 = 5
_FARTHEST = 3.0


def best_peak(
    likelihood: JointLikelihood,
    start: NDArray[np.floating],
    settings: LaplaceSettings | None = None,
) -> Laplace:
    """The highest peak [n] that is found from scores of clean electrodes [n, 9].

    A fouled electrode is looked for from several coverages: what looks like a clean one with a
    small rate constant may be a fast one that is covered.
    """
    if not likelihood.schedule.fouled:
        return find_peak(likelihood, start, settings)
    apparent = np.asarray(unknowns_of(jnp.asarray(start, jnp.float32)))
    found: Laplace | None = None
    for coverage in FIRST_COVERAGES:
        factor = float(np.log(Fouling().cover(jnp.asarray(coverage)).k0_factor))
        place = np.zeros((len(start), len(film.NAMES)))
        place[:, 0] = float(ndtri(coverage))
        own = find_peak(
            likelihood, np.column_stack([scores_of(apparent, -factor), place]), settings
        )
        found = own if found is None else own.better(found)
    assert found is not None  # noqa: S101
    return found


def scores_of(
    unknowns: NDArray[np.floating], ln_k0_shift: NDArray[np.floating] | float = 0.0
) -> NDArray[np.float64]:
    """Scores [n, 9] of clean electrodes [n, 9], kept off the ends of the prior.

    Args:
        unknowns: of the electrodes.
        ln_k0_shift: added to ln k0, as far as the prior goes.
    """
    low, high = ranges(1)
    room = 1e-3 * (high - low)
    moved = np.array(unknowns, np.float64)
    moved[:, _LN_K0] += ln_k0_shift
    moved = np.clip(moved, low + room, high - room)
    coordinates = co.to_coordinates(split(jnp.asarray(moved, jnp.float32)))
    return np.clip(np.asarray(co.to_scores(coordinates, 1), np.float64), -_FARTHEST, _FARTHEST)
