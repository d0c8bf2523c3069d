"""Peaks of the posterior of an electrode that may be covered: its couple, cell and film."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ecguard.fouling import Fouling
from ecguard.posterior import coordinates as co
from ecguard.posterior import film
from ecguard.posterior.coordinates import CELL, PER_COUPLE
from ecguard.posterior.joint import JointLikelihood
from ecguard.posterior.laplace import (
    LaplaceSettings,
    electrodes,
    find_peak,
    log_likelihoods,
    row_by_row,
)
from ecguard.posterior.peaks import Peaks
from ecguard.posterior.unknowns import ranges, split

FIRST_COVERAGES = (1e-4, 1e-3, 0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95)
"""From which the search for a fouled electrode may start."""
FIRST_RESISTANCES = (-1.0, 0.0, 1.0)
"""Scores of the film resistance from which it may start."""
_SEARCHES = 3
_LN_K0 = 5
_FARTHEST = 3.0


def find_peaks(
    likelihood: JointLikelihood,
    start: NDArray[np.floating],
    settings: LaplaceSettings | None = None,
) -> Peaks:
    """Peaks of n posteriors that are found from scores of clean electrodes [n, 9].

    A fouled electrode is looked for from the likeliest coverages, each with the resistance of its
    film that is likeliest there: what looks like a clean one with a small rate constant may be a
    fast one that is covered.
    """
    places = np.stack(list(_first_scores(start)), axis=1)
    found = log_likelihoods(likelihood, places)
    loss = 0.5 * (places**2).sum(axis=2) - found
    loss = np.where(np.isfinite(loss), loss, np.inf).reshape(len(start), len(FIRST_COVERAGES), -1)
    places = places.reshape(*loss.shape, -1)
    rows, likeliest = np.arange(len(start)), loss.argmin(axis=2)
    order = np.argsort(loss.min(axis=2), axis=1, kind="stable")[:, :_SEARCHES]
    return Peaks.of(
        tuple(
            find_peak(likelihood, places[rows, coverage, likeliest[rows, coverage]], settings)
            for coverage in order.T
        )
    )


def _first_scores(start: NDArray[np.floating]) -> Iterator[NDArray[np.float64]]:
    """Places [n, 12] to start from: each keeps the apparent rate constant."""
    apparent = electrodes(start)
    cell = slice(PER_COUPLE, PER_COUPLE + CELL)
    for coverage in FIRST_COVERAGES:
        score = float(film.to_scores(jnp.asarray([coverage, *film.RANGES[1:, 0]]))[0])
        factor = float(np.log(Fouling().cover(jnp.asarray(coverage)).k0_factor))
        couple = scores_of(apparent, -factor)
        usual = couple.copy()
        usual[:, cell] = 0.0
        for resistance in FIRST_RESISTANCES:
            own = np.broadcast_to((score, 0.0, resistance), (len(start), 3))
            yield np.column_stack([couple, own])
            yield np.column_stack([usual, own])


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
    return np.clip(row_by_row(_scores, moved), -_FARTHEST, _FARTHEST)


@jax.jit
def _scores(unknowns: Array) -> Array:
    return co.to_scores(co.to_coordinates(split(unknowns)), 1)
