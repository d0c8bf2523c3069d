"""Coordinates in which a voltammetric posterior is nearly a product: one interval each.

A trace informs combinations of parameters far better than the parameters: the amplitude
C sqrt(D), the half-wave potential E0 + RT/2F ln(D_red/D_ox), and the rate constant in units of
the root of D. Each coordinate of an electrode lies in an interval that the coordinates before it
determine, so that a density over the prior's support is a product of densities over intervals.

Of each couple, in this order: amplitude a = ln C_ox + 1/2 ln D_ox, b = ln D_ox, r = ln D_red,
alpha, rate l = ln k0 - 1/2 ((1 - alpha) ln D_ox + alpha ln D_red), half-wave potential e, and
g = C_red sqrt(D_red); D in units of 1e-5 cm^2/s. Ru and Cdl follow the first couple.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr, ndtri

from ecguard import family
from ecguard.posterior.unknowns import Electrode
from ecguard.simulator import FARADAY, GAS_CONSTANT

PER_COUPLE = 7
CELL = 2
_ROOM = 1e-6  # of an interval, that keeps a score finite in float32
_LN_UNIT_D = np.log(1e-5)
_HALF_THERMAL_V = GAS_CONSTANT * family.TEMPERATURE_K / FARADAY / 2
_LN_D = tuple(np.log(family.D_RANGE_CM2_S) - _LN_UNIT_D)
_LN_C = tuple(np.log(family.C_OX_RANGE_MM))
_LN_K0 = tuple(np.log(family.K0_RANGE_CM_S))
_SHIFT_V = _HALF_THERMAL_V * (_LN_D[1] - _LN_D[0])
RANGES = np.array(
    [
        (_LN_C[0] + _LN_D[0] / 2, _LN_C[1] + _LN_D[1] / 2),
        _LN_D,
        _LN_D,
        family.ALPHA_RANGE,
        (_LN_K0[0] - _LN_D[1] / 2, _LN_K0[1] - _LN_D[0] / 2),
        (family.E0_RANGE_V[0] - _SHIFT_V, family.E0_RANGE_V[1] + _SHIFT_V),
        (0.0, family.C_RED_RANGE_MM[1] * np.exp(_LN_D[1] / 2)),
    ]
)
"""Widest interval of each coordinate of a couple [7, 2]."""

CELL_RANGES = np.array(
    [
        (1 - family.RU_SPREAD, 1 + family.RU_SPREAD),
        (1 - family.CDL_SPREAD, 1 + family.CDL_SPREAD),
    ]
)
"""Intervals of Ru and Cdl in units of their nominal values [2, 2]."""


class Interval(NamedTuple):
    """Ends of the interval of a coordinate, [...]."""

    low: Array
    high: Array


def interval(
    position: int, before: Array, n_couples: int, couple: int, E0_before: Array | None
) -> Interval:
    """Where coordinate `position` of a couple may lie.

    Args:
        position: 0 to 6, in the order above.
        before: coordinates of this couple before it [..., position].
        n_couples: of the electrode.
        couple: which of them, 0 or 1.
        E0_before: E0 of the couple before, V [...]; None for the first.
    """
    filled = jnp.zeros(before.shape[:-1], before.dtype)

    def fixed(low: float, high: float) -> Interval:
        return Interval(filled + low, filled + high)

    if position == 1:
        a = before[..., 0]
        return Interval(
            jnp.maximum(_LN_D[0], 2.0 * (a - _LN_C[1])), jnp.minimum(_LN_D[1], 2.0 * (a - _LN_C[0]))
        )
    if position == 4:
        shift = _rate_shift(before)
        return Interval(_LN_K0[0] - shift, _LN_K0[1] - shift)
    if position == 5:
        shift = _potential_shift(before)
        low, high = family.E0_RANGE_V
        if couple < n_couples - 1:
            high -= family.E0_GAP_V
        if E0_before is None:
            return Interval(low + shift, high + shift)
        return Interval(E0_before + family.E0_GAP_V + shift, high + shift)
    if position == 6:
        return Interval(filled, family.C_RED_RANGE_MM[1] * jnp.exp(before[..., 2] / 2))
    return fixed(*RANGES[position])


def standard_potential(coordinates: Array) -> Array:
    """E0 [...] of a couple's coordinates [..., 7], V."""
    return coordinates[..., 5] - _potential_shift(coordinates)


def _rate_shift(coordinates: Array) -> Array:
    b, r, alpha = (coordinates[..., k] for k in (1, 2, 3))
    return ((1.0 - alpha) * b + alpha * r) / 2


def _potential_shift(coordinates: Array) -> Array:
    return _HALF_THERMAL_V * (coordinates[..., 2] - coordinates[..., 1])


def to_coordinates(electrode: Electrode) -> Array:
    """Coordinates [..., 7 m + 2]: of the first couple, of the cell, of the second."""
    b, r = electrode.ln_D_ox - _LN_UNIT_D, electrode.ln_D_red - _LN_UNIT_D
    alpha = electrode.alpha
    couples = jnp.stack(
        [
            jnp.log(electrode.C_ox) + b / 2,
            b,
            r,
            alpha,
            electrode.ln_k0 - ((1.0 - alpha) * b + alpha * r) / 2,
            electrode.E0 + _HALF_THERMAL_V * (r - b),
            electrode.C_red * jnp.exp(r / 2),
        ],
        axis=-1,
    )
    cell = jnp.stack([electrode.Ru_ohm / family.RU_OHM, electrode.Cdl_F / family.CDL_F], axis=-1)
    later = [couples[..., k, :] for k in range(1, couples.shape[-2])]
    return jnp.concatenate([couples[..., 0, :], cell, *later], axis=-1)


def to_electrode(coordinates: Array) -> Electrode:
    """The electrode of coordinates [..., 7 m + 2]."""
    cell = coordinates[..., PER_COUPLE : PER_COUPLE + CELL]
    rest = jnp.concatenate(
        [coordinates[..., :PER_COUPLE], coordinates[..., PER_COUPLE + CELL :]], axis=-1
    )
    couples = rest.reshape(*rest.shape[:-1], -1, PER_COUPLE)
    a, b, r, alpha, rate, _, g = (couples[..., k] for k in range(PER_COUPLE))
    return Electrode(
        ln_D_ox=b + _LN_UNIT_D,
        ln_D_red=r + _LN_UNIT_D,
        C_ox=jnp.exp(a - b / 2),
        C_red=g * jnp.exp(-r / 2),
        E0=standard_potential(couples),
        ln_k0=rate + _rate_shift(couples),
        alpha=alpha,
        Ru_ohm=cell[..., 0] * family.RU_OHM,
        Cdl_F=cell[..., 1] * family.CDL_F,
    )


def log_volume(electrode: Electrode) -> Array:
    """ln |d unknowns / d coordinates| [...]: what turns densities over one into the other."""
    ln_C_ox = jnp.log(electrode.C_ox)
    half_r = (electrode.ln_D_red - _LN_UNIT_D) / 2
    return jnp.sum(ln_C_ox - half_r, axis=-1) + np.log(family.RU_OHM) + np.log(family.CDL_F)


def intervals(coordinates: Array, n_couples: int) -> Interval:
    """The interval of every coordinate [..., 7 m + 2], given those before it."""
    filled = jnp.zeros(coordinates.shape[:-1], coordinates.dtype)
    cell = [Interval(filled + low, filled + high) for low, high in CELL_RANGES]
    found, E0_before = [], None
    for couple in range(n_couples):
        start = couple_start(couple)
        own = coordinates[..., start : start + PER_COUPLE]
        found += [
            interval(k, own[..., :k], n_couples, couple, E0_before) for k in range(PER_COUPLE)
        ]
        E0_before = standard_potential(own)
        if couple == 0:
            found += cell
    low, high = zip(*found, strict=True)
    return Interval(jnp.stack(low, axis=-1), jnp.stack(high, axis=-1))


def couple_start(couple: int) -> int:
    """Index of the first coordinate of a couple."""
    return 0 if couple == 0 else CELL + PER_COUPLE * couple


def widest(n_couples: int) -> np.ndarray:
    """Widest interval of every coordinate [7 m + 2, 2]."""
    return np.concatenate([RANGES, CELL_RANGES, *[RANGES] * (n_couples - 1)])


def place_of(scores: Array) -> Array:
    """Places in intervals of length 1 whose normal quantiles the scores are."""
    return jnp.clip(ndtr(scores), _ROOM, 1.0 - _ROOM)


def score_of(place: Array) -> Array:
    """Scores of places in intervals of length 1: the inverse of `place_of`."""
    return ndtri(jnp.clip(place, _ROOM, 1.0 - _ROOM))


def from_scores(scores: Array, n_couples: int) -> Array:
    """Coordinates [..., 7 m + 2] of scores: each the normal quantile of its place in its interval.

    Scores have no bounds, so that samplers may move in any direction.
    """
    place = place_of(scores)
    found: list[Array] = []
    E0_before = None
    for couple in range(n_couples):
        own: list[Array] = []
        for k in range(PER_COUPLE):
            before = jnp.stack(own, axis=-1) if own else place[..., :0]
            low, high = interval(k, before, n_couples, couple, E0_before)
            own.append(low + (high - low) * place[..., couple_start(couple) + k])
        E0_before = standard_potential(jnp.stack(own, axis=-1))
        found += own
        if couple == 0:
            found += [
                low + (high - low) * place[..., PER_COUPLE + k]
                for k, (low, high) in enumerate(CELL_RANGES)
            ]
    return jnp.stack(found, axis=-1)


def to_scores(coordinates: Array, n_couples: int) -> Array:
    """Scores [..., 7 m + 2] of coordinates: the inverse of `from_scores`."""
    low, high = intervals(coordinates, n_couples)
    return score_of((coordinates - low) / (high - low))
