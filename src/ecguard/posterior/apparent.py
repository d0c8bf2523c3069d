"""Scores among which posteriors of clean electrodes bend less: what a trace shows comes first.

A posterior is thin along what a trace shows and as wide as the prior along the rest. In scores
whose intervals hang on the wide coordinates, as those of `coordinates` do, thin directions bend as
the wide ones move, and no mixture of few components follows. Here apparent quantities come first,
on intervals of their own, and what a trace hardly tells comes after, within what they leave.

A trace that sweeps shows of each couple its amplitude a, log rate l, half-wave potential e and
g = C_red sqrt(D_red), as `coordinates` has them. A trace that is held at one potential E shows what
drives the current there (Bard and Faulkner, Electrochemical Methods, 2nd ed., section 5.5.1). With
x = F (E - e) / RT and s the logistic function these are B = s(-x) exp(a) - s(x) g, the flux times
sqrt(pi t) at long times t, and the log rate L = ln(exp(l - alpha x) + exp(l + (1 - alpha) x)).
G = s(x) exp(a) + s(-x) g completes them; a rest before a step shows g as well, which bends with e
here. Of two couples a held trace shows the sum of their B better than either or the difference.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.stats import norm
from numpy.typing import ArrayLike, NDArray

from ecguard import family
from ecguard.posterior import coordinates as co
from ecguard.simulator import FARADAY, GAS_CONSTANT

_HELD_WITHIN_V, _HELD_SHARE = 0.05, 0.5
_ROUNDING = 1e-5  # of a concentration that should not be negative
_FLUX = 0.3  # below which a flux is small, mM (1e-5 cm^2/s)^(1/2)
_INVERSE_THERMAL = FARADAY / (GAS_CONSTANT * family.TEMPERATURE_K)
_LN_D, _LN_K0 = co.RANGES[1], np.log(family.K0_RANGE_CM_S)
_LARGEST_A, _LARGEST_G = np.exp(co.RANGES[0, 1]), co.RANGES[6, 1]


class Placed(NamedTuple):
    """Coordinates [..., 7 m + 2] of scores.

    Args:
        coordinates: as `coordinates` has them; any finite ones where not inside.
        log_volume: ln |d coordinates / d scores| [...]; of far scores, which share a place, as the
            normal law has it.
        inside: whether there is such an electrode, but for the gap between two couples [...].
    """

    coordinates: Array
    log_volume: Array
    inside: Array


class _Shares(NamedTuple):
    """Of a couple at the held potential; 1 and 0 where the potential sweeps.

    Args:
        reduced, oxidised: s(-x) and s(x).
        x: F (E - e) / RT, or 0.
        excess: ln(1 + exp(x)), or 0.
    """

    reduced: Array
    oxidised: Array
    x: Array
    excess: Array


def held_potential(E_V: ArrayLike) -> NDArray[np.float32]:
    """The lowest potential of n waveforms [n, L] that stay near it, V [n]; NaN where they sweep."""
    potential = np.asarray(E_V)
    lowest = potential.min(axis=-1)
    near = potential - lowest[..., None] < _HELD_WITHIN_V
    return np.where(near.mean(axis=-1) > _HELD_SHARE, lowest, np.nan).astype(np.float32)


def from_scores(scores: Array, held: Array, n_couples: int) -> Placed:
    """Where scores [..., 7 m + 2] are, given the `held_potential` [...] of the trace."""
    place = co.place_of(scores)

    def quantity(position: int, low: Any, high: Any) -> Array:
        return low + (high - low) * place[..., position]

    found = _walk(quantity, held, scores[..., 0], n_couples)
    stretch = jnp.sum(norm.logpdf(scores), axis=-1)
    return found._replace(log_volume=found.log_volume + stretch)


def to_scores(coordinates: Array, held: Array, n_couples: int) -> Array:
    """Scores [..., 7 m + 2] of coordinates: the inverse of `from_scores`."""
    own = _quantities(coordinates, held, n_couples)
    places: dict[int, Array] = {}

    def quantity(position: int, low: Any, high: Any) -> Array:
        width = jnp.where(high > low, high - low, 1.0)
        places[position] = (own[position] - low) / width
        return own[position]

    _walk(quantity, held, coordinates[..., 0], n_couples)
    return co.score_of(jnp.stack([places[k] for k in range(len(places))], axis=-1))


def exchanged(scores: Array, held: Array) -> Array:
    """Scores [..., 16] of the same electrode, the other couple being the first."""
    starts = [co.couple_start(couple) for couple in (0, 1)]
    own, other = (np.arange(start, start + co.PER_COUPLE) for start in starts)
    sweeping, sign = np.arange(scores.shape[-1]), np.ones(scores.shape[-1], np.float32)
    sweeping[own], sweeping[other] = other, own
    holding = sweeping.copy()
    holding[starts], sign[starts[1]] = starts, -1.0  # a sum stays, a difference turns
    turned = scores[..., holding] * sign
    return jnp.where(jnp.isnan(held)[..., None], scores[..., sweeping], turned)


def _walk(
    quantity: Callable[[int, Any, Any], Array], held: Array, like: Array, n_couples: int
) -> Placed:
    """Go through the apparent quantities, each on the interval that those before it leave."""
    filled = jnp.zeros_like(like)
    log_volume, inside = filled, jnp.ones_like(filled, bool)
    found: list[Any] = [None] * (co.PER_COUPLE * n_couples + co.CELL)

    def place(position: int, low: Any, high: Any) -> Array:
        nonlocal log_volume, inside
        width = high - low + filled
        inside = inside & (width > 0)
        log_volume = log_volume + jnp.log(jnp.where(width > 0, width, 1.0))
        return quantity(position, low + filled, high + filled)

    starts = [co.couple_start(couple) for couple in range(n_couples)]
    ends = _flux_intervals(held, n_couples)
    flux, stretch = _fluxes([place(k, *own) for k, own in zip(starts, ends, strict=True)], held)
    log_volume = log_volume + stretch
    for start, B in zip(starts, flux, strict=True):
        e = place(start + 5, *co.RANGES[5])
        rate = place(start + 4, *_rate_interval(held))
        G = _FLUX * jnp.sinh(place(start + 6, 0.0, np.arcsinh((_LARGEST_A + _LARGEST_G) / _FLUX)))
        at = _shares(held, e)
        turn = at.reduced**2 + at.oxidised**2
        A, g = (at.reduced * B + at.oxidised * G) / turn, (at.reduced * G - at.oxidised * B) / turn
        inside = inside & (A > 0) & (g > -_ROUNDING)
        A, g = jnp.maximum(A, 1e-12), jnp.maximum(g, 0.0)
        a = jnp.log(A)
        log_volume = log_volume + jnp.log(jnp.hypot(G, _FLUX)) - a - jnp.log(turn)
        b = place(start + 1, *co.interval(1, a[..., None], n_couples, 0, None))
        r = place(start + 2, *_r_interval(e, g, b))
        alpha = place(start + 3, *_alpha_interval(rate - at.excess, at.x, b, r))
        l = rate - at.excess + alpha * at.x  # noqa: E741
        found[start : start + co.PER_COUPLE] = [a, b, r, alpha, l, e, g]
    for k, (low, high) in enumerate(co.CELL_RANGES):
        found[co.PER_COUPLE + k] = place(co.PER_COUPLE + k, low, high)
    return Placed(jnp.stack(found, axis=-1), log_volume, inside)


def _quantities(coordinates: Array, held: Array, n_couples: int) -> list[Array]:
    """The apparent quantities that `_walk` goes through, at the positions of their scores."""
    own = [coordinates[..., k] for k in range(coordinates.shape[-1])]
    flux = []
    for couple in range(n_couples):
        start = co.couple_start(couple)
        a, _, _, alpha, l, e, g = own[start : start + co.PER_COUPLE]  # noqa: E741
        at, A = _shares(held, e), jnp.exp(a)
        flux.append(at.reduced * A - at.oxidised * g)
        own[start + 4] = l - alpha * at.x + at.excess
        own[start + 6] = jnp.arcsinh((at.oxidised * A + at.reduced * g) / _FLUX)
    total = flux if n_couples == 1 else [flux[0] + flux[1], flux[0] - flux[1]]
    for couple, one in enumerate(total):
        start = co.couple_start(couple)
        own[start] = jnp.where(jnp.isnan(held), own[start], jnp.arcsinh(one / _FLUX))
    return own


def _shares(held: Array, e: Array) -> _Shares:
    sweeps = jnp.isnan(held)
    x = _INVERSE_THERMAL * (jnp.where(sweeps, 0.0, held) - e)
    shares = jax.nn.sigmoid(-x), jax.nn.sigmoid(x), x, jax.nn.softplus(x)
    pairs = zip(shares, (1.0, 0.0, 0.0, 0.0), strict=True)
    return _Shares(*(jnp.where(sweeps, other, own) for own, other in pairs))


def _flux_intervals(held: Array, n_couples: int) -> list[co.Interval]:
    """Of what `_fluxes` takes: a of each couple, or their fluxes' sum and difference."""
    sums = (-n_couples * _LARGEST_G, n_couples * _LARGEST_A)
    differences = (-_LARGEST_A - _LARGEST_G, _LARGEST_A + _LARGEST_G)

    def ends(shown: tuple[float, float]) -> co.Interval:
        low, high = (np.arcsinh(end / _FLUX) for end in shown)
        sweeps, (least, most) = jnp.isnan(held), co.RANGES[0]
        return co.Interval(jnp.where(sweeps, least, low), jnp.where(sweeps, most, high))

    return [ends(shown) for shown in (sums, differences)[:n_couples]]


def _fluxes(quantities: list[Array], held: Array) -> tuple[list[Array], Array]:
    """Flux of each couple [...], and ln |d fluxes / d quantities|."""
    sweeps = jnp.isnan(held)
    shown = [_FLUX * jnp.sinh(jnp.where(sweeps, 0.0, own)) for own in quantities]
    stretch = jnp.sum(jnp.stack([jnp.log(jnp.hypot(own, _FLUX)) for own in shown]), axis=0)
    if len(shown) == 2:
        shown, stretch = [(shown[0] + shown[1]) / 2, (shown[0] - shown[1]) / 2], stretch - np.log(2)
    each = [
        jnp.where(sweeps, jnp.exp(own), one) for own, one in zip(quantities, shown, strict=True)
    ]
    return each, jnp.where(sweeps, jnp.sum(jnp.stack(quantities), axis=0), stretch)


def _rate_interval(held: Array) -> co.Interval:
    """Of l, or of L, which the farthest half-wave potential makes the largest."""
    (low, high), (lowest_V, highest_V) = co.RANGES[4], co.RANGES[5]
    farthest = jnp.maximum(highest_V - held, held - lowest_V)
    reach = family.ALPHA_RANGE[1] * _INVERSE_THERMAL * farthest + np.log(2)
    return co.Interval(low, high + jnp.where(jnp.isnan(held), 0.0, reach))


def _r_interval(e: Array, g: Array, b: Array) -> co.Interval:
    """From the ranges of D_red, of C_red given g, and of E0 given e."""
    low, high = (b + 2 * _INVERSE_THERMAL * (e - end) for end in family.E0_RANGE_V[::-1])
    least = 2.0 * jnp.log(jnp.maximum(g, 1e-30) / family.C_RED_RANGE_MM[1])
    low = jnp.maximum(jnp.maximum(low, least), _LN_D[0])
    return co.Interval(low, jnp.minimum(high, _LN_D[1]))


def _alpha_interval(rate: Array, x: Array, b: Array, r: Array) -> co.Interval:
    """From the ranges of alpha and of ln k0, which is linear in it."""
    slope = x + (r - b) / 2
    slope = jnp.where(jnp.abs(slope) < 1e-6, 1e-6, slope)
    one, other = ((end - rate - b / 2) / slope for end in _LN_K0)
    low, high = family.ALPHA_RANGE
    return co.Interval(
        jnp.maximum(jnp.minimum(one, other), low), jnp.minimum(jnp.maximum(one, other), high)
    )
