"""Voltammetry of clean and fouled electrodes, batched and differentiable.

Planar semi-infinite diffusion of any number of couples, Butler-Volmer kinetics, and the ohmic drop
and double layer of the cell in one loop. No spatial grid: a couple's surface concentrations follow
from its reduction flux f (mol cm^-2 s^-1) through one semi-integral S,

    c_ox(0, t) = C_ox - S / sqrt(D_ox)        c_red(0, t) = C_red + S / sqrt(D_red) ,

which is linear in the newest flux. The flux is then a closed form of the interfacial potential E_i,
and charge balance, Cdl dE_i/dt + (E_i - E)/R - F A sum f(E_i) = 0, one monotone equation a step.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from ecguard.errors import InputError
from ecguard.fouling import Fouling
from ecguard.semi_integral import ExponentialSum, exponential_sum

FARADAY = 96485.33212  # C/mol
GAS_CONSTANT = 8.314462618  # J/(mol K)
_NEWTON_STEP_V = 2e-4  # Newton squares the error, and one more step follows
_NEWTON_LIMIT = 60
_JUMP_V = 1e-3

_COUPLE_RANGES = {
    "D_ox": (1e-12, 1.0),
    "D_red": (1e-12, 1.0),
    "C_ox": (0.0, 1e5),
    "C_red": (0.0, 1e5),
    "E0": (-20.0, 20.0),
    "k0": (1e-12, 1e4),
    "alpha": (0.0, 1.0),
}
_CELL_RANGES = {
    "area_cm2": (1e-12, 1e6),
    "Ru_ohm": (0.0, 1e9),
    "Cdl_F": (0.0, 1e3),
    "temperature_K": (200.0, 500.0),
}
_FOULING_RANGES = {
    "initial_theta": (0.0, 1.0),
    "k_ads": (0.0, math.inf),
    "k_des": (0.0, math.inf),
    "k_clean": (0.0, math.inf),
    "k_reaction": (0.0, math.inf),
    "Rfilm_theta_max_ohm": (0.0, 1e9),
    "cdl_theta_fraction": (0.0, 1.0),
    "area_floor_fraction": (0.0, 1.0),
    "k0_theta_coeff": (0.0, 100.0),
    "film_exponent": (0.0, 20.0),
    "area_exponent": (0.0, 20.0),
    "cdl_floor_fraction": (0.0, 1.0),
    "adsorption_mol_cm2": (0.0, 1e-3),
    "clean_above_V": (-math.inf, math.inf),
}


class Waveform(eqx.Module):
    """Applied potential `E_V` at increasing times `t_s`, each [L] (V, s)."""

    t_s: Any
    E_V: Any


class Couples(eqx.Module):
    """Redox couples, every leaf [m]: D in cm^2/s, C in mM, E0 in V, k0 in cm/s, alpha in (0, 1).

    `alpha` belongs to the reduction. One electron each. An absent couple has C = 0.
    """

    D_ox: Any
    D_red: Any
    C_ox: Any
    C_red: Any
    E0: Any
    k0: Any
    alpha: Any


class Cell(eqx.Module):
    """Electrode area (cm^2), uncompensated resistance (ohm), double layer (F), temperature (K).

    `Ru_ohm = 0` and `Cdl_F = 0` are valid.
    """

    area_cm2: Any = 0.01
    Ru_ohm: Any = 100.0
    Cdl_F: Any = 2e-7
    temperature_K: Any = 298.15


class Trace(eqx.Module):
    """What the sensor records, every leaf [L]; oxidation is positive.

    `mean_flux` [L, m] (mol cm^-2 s^-1) is the reduction flux of each couple, averaged over the
    step that ends at the sample.
    """

    t_s: Array
    E_V: Array
    current_density_mA_cm2: Array
    interface_V: Array
    coverage: Array
    mean_flux: Array


def simulate(
    waveform: Waveform, couples: Couples, cell: Cell, fouling: Fouling | None = None
) -> Trace:
    """Simulate one trace. The electrode rests at the first potential; there the current is 0.

    Args:
        waveform: leaves [L], L >= 2, strictly increasing time.
        couples: leaves [m].
        cell: scalars.
        fouling: scalars, or None for a clean electrode.

    Returns:
        A trace with leaves [L]; float64 where JAX has it enabled, float32 else.

    Raises:
        InputError: a value is not finite or out of range, or time does not increase.
    """
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], (waveform, couples, cell, fouling))
    return jax.tree.map(lambda leaf: leaf[0], simulate_batch(*batch))


def simulate_batch(
    waveform: Waveform, couples: Couples, cell: Cell, fouling: Fouling | None = None
) -> Trace:
    """Simulate many traces at once; every leaf of every argument has a leading batch axis.

    Compiled once per shape; new values compile nothing. Differentiable in all leaves but the times.

    Args:
        waveform: leaves [batch, L].
        couples: leaves [batch, m].
        cell: leaves [batch].
        fouling: leaves [batch], or None for clean electrodes.

    Returns:
        Traces with leaves [batch, L].

    Raises:
        InputError: a value is not finite or out of range, shapes disagree, or time does not
            increase. Values that JAX is tracing are not checked.
    """
    _check(waveform, couples, cell, fouling)
    uniform, span = _time_grid(waveform.t_s)
    to_array = partial(jnp.asarray, dtype=jnp.zeros(()).dtype)
    arguments = jax.tree.map(to_array, (waveform, couples, cell, fouling))
    return _march(*arguments, uniform=uniform, span=span)


class Flux(NamedTuple):
    """Reduction flux [m, ...] at the end of an interval, its mean, and the semi-integral there."""

    end: Array
    mean: Array
    semi_integral: Array


class Kinetics(NamedTuple):
    """Couples as the flux reads them, every leaf [m, ...]; made by `kinetics_of`."""

    C_ox: Array  # mol/cm^3
    C_red: Array  # mol/cm^3
    E0: Array  # V
    ln_k0: Array  # ln cm/s
    alpha: Array
    inverse_root_ox: Array  # 1/sqrt(D_ox)
    inverse_root_red: Array  # 1/sqrt(D_red)


def kinetics_of(couples: Couples) -> Kinetics:
    """Convert units (mM to mol/cm^3) and take roots and logarithms once."""
    return Kinetics(
        couples.C_ox * 1e-6,
        couples.C_red * 1e-6,
        couples.E0,
        jnp.log(couples.k0),
        couples.alpha,
        1.0 / jnp.sqrt(couples.D_ox),
        1.0 / jnp.sqrt(couples.D_red),
    )


def reduction_flux(
    E_V: Array,
    kinetics: Kinetics,
    past: Array | float,
    weight: Array,
    jump: Array | float,
    inverse_thermal: Array | float,
) -> Flux:
    """Butler-Volmer flux of each couple over one interval, diffusion included.

    The semi-integral at the end of the interval is past + weight * flux, so the flux is a closed
    form. Rates are scaled by their largest: no potential overflows.

    Args:
        E_V: interfacial potential, broadcastable to [m, ...].
        kinetics: leaves [m, ...].
        past: semi-integral of the earlier flux.
        weight: semi-integral of a unit flux over the interval, sqrt(s).
        jump: 1 where the potential jumped at the start of the interval. The flux then falls from
            its kinetic value, towards the Cottrell flux t^-1/2 for fast kinetics: its weight
            is up to pi/2, its mean up to 2 times that of a constant flux.
        inverse_thermal: F/RT, 1/V.
    """
    phi = (E_V - kinetics.E0) * inverse_thermal
    reduction = kinetics.ln_k0 - kinetics.alpha * phi
    oxidation = reduction + phi
    largest = jnp.maximum(jnp.maximum(reduction, oxidation), 0.0)
    k_red, k_ox = jnp.exp(reduction - largest), jnp.exp(oxidation - largest)
    drive = k_red * (kinetics.C_ox - past * kinetics.inverse_root_ox) - k_ox * (
        kinetics.C_red + past * kinetics.inverse_root_red
    )
    slope = k_red * kinetics.inverse_root_ox + k_ox * kinetics.inverse_root_red
    total = jnp.exp(-largest) + weight * slope
    saturation = jump * (weight * slope / total)
    extra = (jnp.pi / 2 - 1.0) * saturation * weight
    end = drive / (total + extra * slope)
    return Flux(end, end * (1.0 + saturation), past + (weight + extra) * end)


class _State(NamedTuple):
    """Carried from step to step; the batch axis is last."""

    modes: Array  # [Q, m, B], share of each exponential in the semi-integral
    flux: Array  # [m, B]
    interface: Array  # [B]
    interface_before: Array  # [B]
    step: Array  # [B], the last step, s
    theta: Array  # [B]
    surface: Array  # [B], summed surface concentration, mol/cm^3


class _Step(NamedTuple):
    """What one step reads, every leaf [B]."""

    applied: Array  # V
    change: Array  # V, since the last step
    step: Array  # s
    jump: Array  # 0 or 1


def potential_jumps(applied: ArrayLike) -> Array:
    """Intervals [L - 1, ...] at whose start the potential jumps: steps larger than both neighbours.

    A step counts when it exceeds three times the larger neighbouring step by more than 1 mV.
    """
    change = jnp.abs(jnp.diff(jnp.asarray(applied), axis=0))
    before = jnp.concatenate([change[1:2], change[:-1]])
    after = jnp.concatenate([change[1:], change[-2:-1]])
    return change > 3.0 * jnp.maximum(before, after) + _JUMP_V


def _decay(kernel: ExponentialSum, step: Array) -> tuple[Array, Array, Array]:
    """Factor on the modes over a step, and the gain of the old and the new flux.

    Args:
        step: in units of the kernel's shortest time, scalar or [B].

    Returns:
        Three arrays [Q, 1, B or 1]; linear flux is integrated exactly.
    """
    rate = jnp.asarray(kernel.rate, step.dtype)[:, None, None]
    weight = jnp.asarray(kernel.weight, step.dtype)[:, None, None]
    x = rate * step
    small = x < 0.1
    safe = jnp.where(small, 1.0, x)
    decay = jnp.exp(-safe)
    old = jnp.where(
        small, 1 / 2 - x / 3 + x**2 / 8 - x**3 / 30 + x**4 / 144, (1 - decay * (1 + safe)) / safe**2
    )
    new = jnp.where(
        small, 1 / 2 - x / 6 + x**2 / 24 - x**3 / 120 + x**4 / 720, (safe - 1 + decay) / safe**2
    )
    return jnp.exp(-x), weight * step * old, weight * step * new


def _relax(fouling: Fouling, state: _State, step: Array) -> Array:
    """Coverage after a step of linear kinetics, exact for constant rates."""
    j_F = FARADAY * jnp.sum(state.flux, axis=0)
    gain, loss = fouling.relaxation(state.surface, j_F, state.interface)
    total = jnp.maximum(gain + loss, jnp.finfo(step.dtype).tiny)
    return state.theta - (gain / total - state.theta) * jnp.expm1(-total * step)


def _root(function: Callable[[Array], Array], guess: Array, lower: Array, upper: Array) -> Array:
    """Root of an increasing function between bounds: Newton steps, bisection where they leave.

    The gradient comes from one more Newton step at the root (implicit differentiation).
    """

    def slope_of(E_V: Array) -> tuple[Array, Array]:
        return jax.jvp(function, (E_V,), (jnp.ones_like(E_V),))

    def improve(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        E_V, lower, upper, _, count = carry
        value, slope = slope_of(E_V)
        lower = jnp.where(value < 0, E_V, lower)
        upper = jnp.where(value > 0, E_V, upper)
        newton = E_V - value / slope
        inside = (newton >= lower) & (newton <= upper)
        better = jnp.where(inside, newton, 0.5 * (lower + upper))
        return better, lower, upper, jnp.max(jnp.abs(better - E_V)), count + 1

    def unfinished(carry: tuple[Array, ...]) -> Array:
        return (carry[3] > _NEWTON_STEP_V) & (carry[4] < _NEWTON_LIMIT)

    lower, upper = lax.stop_gradient((lower, upper))
    first = jnp.clip(lax.stop_gradient(guess), lower, upper)
    start: tuple[Array, ...] = (
        first,
        lower,
        upper,
        jnp.full((), jnp.inf, guess.dtype),
        jnp.zeros((), int),
    )
    root = lax.stop_gradient(lax.while_loop(unfinished, improve, start)[0])
    value, slope = slope_of(root)
    return root - value / lax.stop_gradient(slope)


def _time_grid(t_s: ArrayLike) -> tuple[bool, int]:
    """Whether all steps are equal, and the span of the kernel (a power of two)."""
    if isinstance(t_s, jax.core.Tracer):
        return False, 2 ** math.ceil(math.log2(64 * t_s.shape[-1]))
    time = np.asarray(t_s, np.float64)
    step, duration = np.diff(time, axis=-1), time[..., -1:] - time[..., :1]
    # stamps in float32 are off by 1e-7 of the largest
    slack = 1e-6 * np.abs(time).max(axis=-1, keepdims=True)
    uniform = bool(np.all(np.abs(step - duration / step.shape[-1]) <= slack))
    ratio = step.shape[-1] if uniform else float(np.max(duration / step))
    return uniform, 2 ** max(1, math.ceil(math.log2(ratio)))


def _check(waveform: Waveform, couples: Couples, cell: Cell, fouling: Fouling | None) -> None:
    """Refuse values that no electrode can have; traced values pass."""
    for holder, ranges in (
        (waveform, {"t_s": (-math.inf, math.inf), "E_V": (-20.0, 20.0)}),
        (couples, _COUPLE_RANGES),
        (cell, _CELL_RANGES),
        (fouling, _FOULING_RANGES),
    ):
        if holder is None:
            continue
        for name, (low, high) in ranges.items():
            _check_range(f"{type(holder).__name__}.{name}", getattr(holder, name), low, high)
    shape, times = np.shape(waveform.E_V), np.shape(waveform.t_s)
    if shape != times or len(shape) != 2 or shape[1] < 2:
        raise InputError(
            "Waveform",
            f"t_s {times}, E_V {shape}",
            "times and potentials have one shape, with at least two samples",
            "give both on the same grid",
        )
    if not isinstance(waveform.t_s, jax.core.Tracer):
        step = np.diff(np.asarray(waveform.t_s), axis=-1)
        if not np.all(step > 0):
            raise InputError(
                "Waveform.t_s",
                float(step.min()),
                "every step of time is > 0",
                "sort the samples by time and drop repeated ones",
            )
    for name in _COUPLE_RANGES:
        if np.shape(getattr(couples, name)) != np.shape(couples.E0):
            raise InputError(
                f"Couples.{name}",
                np.shape(getattr(couples, name)),
                f"the shape of Couples.E0, {np.shape(couples.E0)}",
                "give one value for each couple",
            )


def _check_range(name: str, value: ArrayLike, low: float, high: float) -> None:
    if isinstance(value, jax.core.Tracer):
        return
    values = np.asarray(value)
    if values.size == 0:
        raise InputError(name, "an empty array", "at least one value", "give a value")
    bad = ~((values >= low) & (values <= high) & np.isfinite(values))
    if np.any(bad):
        raise InputError(
            name,
            float(values[bad].flat[0]),
            f"finite and in [{low:g}, {high:g}]",
            "check the value and its unit",
        )


@partial(jax.jit, static_argnames=("uniform", "span"))
def _march(
    waveform: Waveform,
    couples: Couples,
    cell: Cell,
    fouling: Fouling | None,
    *,
    uniform: bool,
    span: int,
) -> Trace:
    dtype = waveform.E_V.dtype
    time, applied = waveform.t_s.T, waveform.E_V.T  # [L, B]
    clean = kinetics_of(jax.tree.map(jnp.transpose, couples))  # [m, B]
    inverse_thermal = FARADAY / (GAS_CONSTANT * cell.temperature_K)
    clean_resistance = cell.Ru_ohm * cell.area_cm2
    clean_capacitance = cell.Cdl_F / cell.area_cm2
    bulk = jnp.sum(clean.C_ox + clean.C_red, axis=0)
    duration = time[-1] - time[0]
    length, batch = time.shape
    step = jnp.broadcast_to(duration / (length - 1), (length - 1, batch))
    step = step if uniform else jnp.diff(time, axis=0)
    shortest = duration / span
    rows = _Step(
        applied[1:],
        jnp.diff(applied, axis=0),
        step,
        potential_jumps(applied).at[0].set(True).astype(dtype),
    )
    kernel = exponential_sum(span)
    constant = _decay(kernel, jnp.asarray(span / (length - 1), dtype)) if uniform else None

    def advance(state: _State, row: _Step) -> tuple[_State, tuple[Array, ...]]:
        theta, kinetics = state.theta, clean
        resistance, capacitance, adsorption = clean_resistance, clean_capacitance, 0.0
        if fouling is not None:
            theta = _relax(fouling, state, row.step)
            adsorption = FARADAY * fouling.adsorption_mol_cm2 * (theta - state.theta) / row.step
            resistance = resistance + fouling.film_ohm(theta) * cell.area_cm2
            capacitance = capacitance * fouling.capacitance_factor(theta)
            kinetics = clean._replace(ln_k0=clean.ln_k0 + jnp.log(fouling.k0_factor(theta)))

        root = jnp.sqrt(row.step)
        decay, old, new = constant or _decay(kernel, row.step / shortest)
        constant_weight = (2.0 / jnp.sqrt(jnp.pi)) * root
        modes = decay * state.modes
        past = jnp.sqrt(shortest) * jnp.sum(modes, axis=0)
        past = past + (1.0 - row.jump) * constant_weight / 3.0 * state.flux
        weight = constant_weight * (2.0 + row.jump) / 3.0

        # second-order backward differences of the interface, first order where it jumps
        ratio = jnp.where(row.jump > 0, 0.0, row.step / state.step)
        lead = (1.0 + 2.0 * ratio) / (1.0 + ratio)
        lag = (1.0 + ratio) * state.interface - ratio**2 / (1.0 + ratio) * state.interface_before
        charging = capacitance / row.step

        def flux_at(E_V: Array) -> Flux:
            return reduction_flux(E_V, kinetics, past, weight, row.jump, inverse_thermal)

        def current_at(E_V: Array) -> Array:
            faradaic = -FARADAY * jnp.sum(flux_at(E_V).end, axis=0)
            return charging * (lead * E_V - lag) + faradaic + adsorption

        def imbalance(E_V: Array) -> Array:
            return E_V - row.applied + resistance * current_at(E_V)

        most = jnp.sum(clean.C_ox / clean.inverse_root_ox - past, axis=0)
        least = -jnp.sum(clean.C_red / clean.inverse_root_red + past, axis=0)
        limits = FARADAY / weight * jnp.stack([least, most])
        linear = row.applied + resistance * (charging * lag - adsorption + limits)
        lower, upper = linear / (1.0 + resistance * charging * lead)
        interface = _root(imbalance, state.interface + row.change, lower, upper)

        flux = flux_at(interface)
        jumped = row.jump > 0
        past_flux = jnp.where(jumped, flux.mean, state.flux)
        new_flux = jnp.where(jumped, flux.mean, flux.end)
        modes = modes + old * past_flux + new * new_flux
        S = flux.semi_integral
        surface = bulk + jnp.sum(S * (clean.inverse_root_red - clean.inverse_root_ox), axis=0)
        following = _State(modes, flux.end, interface, state.interface, row.step, theta, surface)
        return following, (
            current_at(interface) * 1e3,
            interface,
            theta,
            0.5 * (past_flux + new_flux),
        )

    theta = jnp.zeros(batch, dtype) if fouling is None else fouling.initial_theta
    start = _State(
        modes=jnp.zeros((len(kernel.rate), *clean.E0.shape), dtype),
        flux=jnp.zeros(clean.E0.shape, dtype),
        interface=applied[0],
        interface_before=applied[0],
        step=step[0],
        theta=theta,
        surface=bulk,
    )
    _, later = lax.scan(advance, start, rows)
    first = (jnp.zeros(batch, dtype), applied[0], theta, start.flux)
    current, interface, coverage, flux = (
        jnp.moveaxis(jnp.concatenate([a[None], b]), -1, 0)
        for a, b in zip(first, later, strict=True)
    )
    return Trace(waveform.t_s, waveform.E_V, current, interface, coverage, flux)
