"""Integral equation of voltammetry, solved to about eight digits.

Planar semi-infinite diffusion of any number of couples, Butler-Volmer kinetics, ohmic drop and
double layer. With f the reduction flux of a couple and S its semi-integral (Nicholson and Shain
1964; with ohmic drop and double layer, Imbeaux and Saveant 1970),

    f = k_f (C_ox - S / sqrt(D_ox)) - k_b (C_red + S / sqrt(D_red)) ,
    i = Cdl dE_i/dt - F A sum f ,        E_i = E - Ru i .

Flux and current are polynomials on panels, collocated at Radau points (Brunner 2004). Panels double
in length after the start and after each corner of the potential, where the flux has a root of time;
they are halved where the interface changes fast between. All are halved once more, which gives the
error, and twice if that is above 1e-7.
The past is integrated directly: no sum of exponentials, no time step.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecguard.errors import InputError
from ecguard.reference.abel import (
    DERIVATIVE,
    NODES,
    NODES_PER_PANEL,
    OWN_WEIGHTS,
    WEIGHTS,
    lagrange,
    near_weights,
)
from ecguard.reference.thermal import FARADAY, thermal_voltage

Array = NDArray[np.float64]

_LONGEST_PANEL = 2.0  # in RT/F of potential; the wave's poles are pi RT/F off the real axis
_LARGEST_CHANGE = 2.5  # in RT/F of interfacial potential; other panels are halved
_SPLITTING_LIMIT = 12
_HALVING_LIMIT = 2
_TOLERANCE = 1e-7
_FIRST_PANEL = 1e-12  # of the longest, after a jump
_FIRST_PANEL_OF_A_RAMP = 1e-10
_NEWTON_LIMIT = 100


class Voltammogram(NamedTuple):
    """Current and interfacial potential at the sample times; oxidation is positive."""

    current_density_mA_cm2: Array
    """All the current [L]."""
    faradaic_density_mA_cm2: Array
    """The part that each couple carries [L, m]."""
    interface_V: Array
    """[L]."""
    error: float
    """Largest change of the current at the last halving of all panels, relative to the largest."""


class _Couples(NamedTuple):
    """Leaves [m, 1]; concentrations in mol/cm^3."""

    C_ox: Array
    C_red: Array
    D_ox: Array
    D_red: Array
    E0: Array
    k0: Array
    alpha: Array


class _Cell(NamedTuple):
    resistance: float  # ohm cm^2
    capacitance: float  # F/cm^2
    thermal: float  # V


class _Panels(NamedTuple):
    """Leaves [P]; start and stop are counted from the origin, the last corner before."""

    segment: NDArray[np.intp]
    origin: Array
    start: Array
    stop: Array

    @property
    def length(self) -> Array:
        return self.stop - self.start


class _Solution(NamedTuple):
    current: Array  # [P, nodes], A/cm^2
    flux: Array  # [P, m, nodes], mol/(cm^2 s)
    interface: Array  # [P, nodes], V


def voltammogram(
    t_s: ArrayLike,
    corner_t_s: ArrayLike,
    corner_E_V: ArrayLike,
    *,
    C_ox: ArrayLike,
    D_ox: ArrayLike,
    D_red: ArrayLike,
    E0: ArrayLike,
    k0: ArrayLike,
    alpha: ArrayLike,
    C_red: ArrayLike = 0.0,
    area_cm2: float = 1.0,
    Ru_ohm: float = 0.0,
    Cdl_F: float = 0.0,
    temperature_K: float = 298.15,
) -> Voltammogram:
    """Response to a potential that is linear between corners.

    The electrode rests, without current, until the first corner; the couples react from there on.
    The time it takes grows with the square of the number of corners.

    Args:
        t_s: times at which the current is wanted [L], s, between the first and the last corner.
        corner_t_s: times of the corners [K], s, not decreasing; two equal times are a jump, which a
            sample at that time has not seen. With Ru = 0 the charge of the double layer jumps too,
            and is not in the current.
        corner_E_V: potentials there [K], V.
        C_ox, C_red: bulk concentrations, mM.
        D_ox, D_red: diffusion coefficients, cm^2/s.
        E0: formal potentials, V.
        k0: standard rate constants, cm/s.
        alpha: transfer coefficients of the reduction. All seven are scalars or [m].
        area_cm2, Ru_ohm, Cdl_F, temperature_K: the cell.

    Raises:
        InputError: times decrease or lie outside, shapes disagree, or a value is not physical.
        ArithmeticError: Newton's method does not converge.
    """
    time, corner, potential = (
        np.atleast_1d(np.asarray(x, float)) for x in (t_s, corner_t_s, corner_E_V)
    )
    _check_times(time, corner, potential)
    values = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(x, float)) for x in (C_ox, C_red, D_ox, D_red, E0, k0, alpha))
    )
    couples = _Couples(*(value[:, None] for value in values))
    _check_cell(couples, area_cm2, Ru_ohm, Cdl_F)
    couples = couples._replace(C_ox=1e-6 * couples.C_ox, C_red=1e-6 * couples.C_red)
    cell = _Cell(Ru_ohm * area_cm2, Cdl_F / area_cm2, float(thermal_voltage(temperature_K)))
    panels = _panels(corner, potential, cell.thermal)
    solution = _solve(panels, corner, potential, couples, cell)
    for _ in range(_SPLITTING_LIMIT):
        steep = np.ptp(solution.interface, axis=1) > _LARGEST_CHANGE * cell.thermal
        steep &= panels.start > 0
        if not steep.any():
            break
        panels = _halve(panels, steep)
        solution = _solve(panels, corner, potential, couples, cell)
    current, flux = _sample(time, panels, solution, corner)
    for _ in range(_HALVING_LIMIT):
        coarse = current
        panels = _halve(panels, np.ones(len(panels.start), dtype=bool))
        solution = _solve(panels, corner, potential, couples, cell)
        current, flux = _sample(time, panels, solution, corner)
        largest = np.max(np.abs(current))
        error = float(np.max(np.abs(current - coarse)) / largest) if largest > 0 else 0.0
        if error < _TOLERANCE:
            break
    return Voltammogram(
        1e3 * current,
        -1e3 * FARADAY * flux,
        _potential(time, corner, potential) - cell.resistance * current,
        error,
    )


def _panels(corner: Array, potential: Array, thermal: float) -> _Panels:
    """Lengths double after every corner, up to the longest."""
    duration, change = np.diff(corner), np.abs(np.diff(potential))
    segments = np.flatnonzero(duration > 0)
    stops = []
    for segment in segments:
        count = max(1, int(np.ceil(change[segment] / (_LONGEST_PANEL * thermal))))
        longest = duration[segment] / count
        sudden = segment == 0 or duration[segment - 1] == 0
        first = _FIRST_PANEL if sudden else _FIRST_PANEL_OF_A_RAMP
        graded = longest * 0.5 ** np.arange(np.ceil(-np.log2(first)), -1, -1)
        stop = np.concatenate([[0.0], graded, longest * np.arange(2, count + 1)])
        stop[-1] = duration[segment]
        stops.append(stop)
    owner = np.repeat(segments, [len(stop) - 1 for stop in stops])
    starts = np.concatenate([stop[:-1] for stop in stops])
    return _Panels(owner, corner[owner], starts, np.concatenate([stop[1:] for stop in stops]))


def _halve(panels: _Panels, these: NDArray[np.bool_]) -> _Panels:
    """The panels, with two in place of each of these."""
    own = np.repeat(np.arange(len(these)), 1 + these)
    second = np.append(False, own[1:] == own[:-1])
    first = np.append(own[1:] == own[:-1], False)
    middle = (panels.start + panels.stop)[own] / 2
    return _Panels(
        panels.segment[own],
        panels.origin[own],
        np.where(second, middle, panels.start[own]),
        np.where(first, middle, panels.stop[own]),
    )


def _solve(
    panels: _Panels, corner: Array, potential: Array, couples: _Couples, cell: _Cell
) -> _Solution:
    """March over the panels; the past enters as a known semi-integral."""
    count, time_constant = len(panels.start), cell.resistance * cell.capacitance
    slope = np.diff(potential) / np.where(np.diff(corner) > 0, np.diff(corner), np.inf)
    local = panels.start[:, None] + panels.length[:, None] * NODES
    charge = panels.length[:, None] * WEIGHTS / np.sqrt(np.pi)
    flux = np.zeros((count, len(couples.E0), NODES_PER_PANEL))
    current = np.zeros((count, NODES_PER_PANEL))
    interface = np.zeros((count, NODES_PER_PANEL))
    before, applied = 0.0, potential[0]
    for now in range(count):
        segment, length = panels.segment[now], panels.length[now]
        E = potential[segment] + slope[segment] * local[now]
        if panels.start[now] == 0 and cell.resistance > 0:
            before += (potential[segment] - applied) / cell.resistance
        past = _past(now, panels, local, charge, flux)
        current[now], flux[now] = _collocate(
            E, slope[segment], before, past, length, time_constant, couples, cell
        )
        interface[now] = E - cell.resistance * current[now]
        before, applied = current[now, -1], E[-1]
    return _Solution(current, flux, interface)


def _past(now: int, panels: _Panels, local: Array, charge: Array, flux: Array) -> Array:
    """Semi-integral of the flux of earlier panels at the nodes of this one [m, nodes]."""
    length = panels.length
    since_origin = panels.origin[now] - panels.origin[:now]
    end = since_origin - panels.stop[:now]
    near = end + panels.start[now] < length[:now]
    far = ~near
    ago = since_origin[far][:, None] - local[:now][far]
    kernel = charge[:now][far] / np.sqrt(ago + local[now][:, None, None])
    past = np.einsum("ipk,pmk->mi", kernel, flux[:now][far], optimize=True)
    elapsed = (end[near] + local[now][:, None]) / length[:now][near]
    weight = near_weights(elapsed) * np.sqrt(length[:now][near])[:, None]
    return past + np.einsum("ipk,pmk->mi", weight, flux[:now][near])


def _collocate(
    E: Array,
    slope: float,
    before: float,
    past: Array,
    length: float,
    time_constant: float,
    couples: _Couples,
    cell: _Cell,
) -> tuple[Array, Array]:
    """Current [nodes] and flux [m, nodes] of one panel, by Newton's method on the current."""
    decay = time_constant / length * DERIVATIVE
    current = np.full(NODES_PER_PANEL, before if cell.resistance > 0 else 0.0)
    for _ in range(_NEWTON_LIMIT):
        flux, response = _flux(E - cell.resistance * current, past, length, couples, cell.thermal)
        residual = current + decay[:, 1:] @ current + decay[:, 0] * before
        residual += FARADAY * flux.sum(axis=0) - cell.capacitance * slope
        jacobian = np.eye(NODES_PER_PANEL) + decay[:, 1:] - FARADAY * cell.resistance * response
        change = np.linalg.solve(jacobian, residual)
        drop = cell.resistance * np.max(np.abs(change))
        current = current - change * min(1.0, 2.0 * cell.thermal / max(drop, 1e-300))
        if drop < 1e-7 * cell.thermal:
            break
    else:
        raise ArithmeticError("Newton's method did not converge; give corners in smaller steps")
    flux, _ = _flux(E - cell.resistance * current, past, length, couples, cell.thermal)
    return current, flux


def _flux(
    E: Array, past: Array, length: float, couples: _Couples, thermal: float
) -> tuple[Array, Array]:
    """Flux [m, nodes] at interfacial potentials [nodes], and the sum of its derivatives in them."""
    phi = (E - couples.E0) / thermal
    reduction = np.log(couples.k0) - couples.alpha * phi
    oxidation = reduction + phi
    scale = np.maximum(np.maximum(reduction, oxidation), 0.0)
    k_f, k_b, unit = np.exp(reduction - scale), np.exp(oxidation - scale), np.exp(-scale)
    per_S = k_f / np.sqrt(couples.D_ox) + k_b / np.sqrt(couples.D_red)
    own = np.sqrt(length) * OWN_WEIGHTS
    matrix = unit[:, :, None] * np.eye(NODES_PER_PANEL) + per_S[:, :, None] * own
    drive = k_f * couples.C_ox - k_b * couples.C_red - per_S * past
    flux = np.linalg.solve(matrix, drive[:, :, None])[:, :, 0]
    S = past + flux @ own.T
    surface_ox, surface_red = (
        couples.C_ox - S / np.sqrt(couples.D_ox),
        couples.C_red + S / np.sqrt(couples.D_red),
    )
    slope = -(couples.alpha * k_f * surface_ox + (1 - couples.alpha) * k_b * surface_red) / thermal
    response = np.linalg.solve(matrix, slope[:, :, None] * np.eye(NODES_PER_PANEL))
    return flux, response.sum(axis=0)


def _sample(
    time: Array, panels: _Panels, solution: _Solution, corner: Array
) -> tuple[Array, Array]:
    """Current [L] and flux [L, m] at the times; none at the first corner."""
    segment = np.searchsorted(corner, time, side="left") - 1
    rest = segment < 0
    segment = np.maximum(segment, panels.segment[0])
    local = time - corner[segment]
    panel = np.zeros(len(time), int)
    for one in np.unique(segment):
        mine, own = segment == one, np.flatnonzero(panels.segment == one)
        panel[mine] = own[
            np.maximum(np.searchsorted(panels.start[own], local[mine], side="left") - 1, 0)
        ]
    basis = lagrange((local - panels.start[panel]) / panels.length[panel], NODES)
    current = np.einsum("lk,lk->l", basis, solution.current[panel])
    flux = np.einsum("lk,lmk->lm", basis, solution.flux[panel])
    return np.where(rest, 0.0, current), np.where(rest[:, None], 0.0, flux)


def _potential(time: Array, corner: Array, potential: Array) -> Array:
    """Applied potential; at a jump, the one before it."""
    after = np.clip(np.searchsorted(corner, time, side="left"), 1, len(corner) - 1)
    span = corner[after] - corner[after - 1]
    share = np.where(span > 0, (time - corner[after - 1]) / np.where(span > 0, span, 1.0), 0.0)
    return potential[after - 1] + share * (potential[after] - potential[after - 1])


def _check_times(time: Array, corner: Array, potential: Array) -> None:
    if corner.shape != potential.shape or corner.ndim != 1 or len(corner) < 2:
        raise InputError(
            "corner_t_s",
            corner.shape,
            "times and potentials of at least two corners",
            "give one potential for each time",
        )
    if not np.all(np.isfinite(corner)):
        raise InputError("corner_t_s", corner.tolist(), "finite", "give times in s")
    if not (np.all(np.diff(corner) >= 0) and corner[-1] > corner[0]):
        raise InputError(
            "corner_t_s", corner.tolist(), "not decreasing, and not all equal", "sort the corners"
        )
    if not np.all(np.isfinite(potential)):
        raise InputError("corner_E_V", potential.tolist(), "finite", "give potentials in V")
    if not np.all((time >= corner[0]) & (time <= corner[-1])):
        raise InputError(
            "t_s",
            [float(time.min()), float(time.max())],
            f"between the first and the last corner, {corner[0]:g} and {corner[-1]:g} s",
            "leave out the other times",
        )


def _check_cell(couples: _Couples, area_cm2: float, Ru_ohm: float, Cdl_F: float) -> None:
    tiny = float(np.finfo(float).tiny)
    for name, value, low, high in (
        ("C_ox", couples.C_ox, 0.0, np.inf),
        ("C_red", couples.C_red, 0.0, np.inf),
        ("D_ox", couples.D_ox, tiny, np.inf),
        ("D_red", couples.D_red, tiny, np.inf),
        ("E0", couples.E0, -np.inf, np.inf),
        ("k0", couples.k0, tiny, np.inf),
        ("alpha", couples.alpha, 0.0, 1.0),
        ("area_cm2", area_cm2, tiny, np.inf),
        ("Ru_ohm", Ru_ohm, 0.0, np.inf),
        ("Cdl_F", Cdl_F, 0.0, np.inf),
    ):
        bad = np.asarray(value)[~(np.isfinite(value) & (value >= low) & (value <= high))]
        if bad.size:
            raise InputError(
                name,
                float(bad[0]),
                f"finite and in [{low:g}, {high:g}]",
                "give it in the unit of the docstring",
            )
