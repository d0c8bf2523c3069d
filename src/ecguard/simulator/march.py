"""The march: one scan over the samples of a batch of traces, the batch axis last.

A step needs one scalar: the interfacial potential E_i. With the newest flux linear in time, the
semi-integral is linear in it, the flux is a closed form of E_i, and charge balance

    E_i = V + U,    V' = (E - V) / tau,    tau U' + U = R (F sum f(E_i) - i_ads),    tau = R Cdl

is one monotone equation. V, the response of the circuit alone, is exact for potentials linear
between samples; U, which is smooth, takes second-order backward differences: both stay quiet
however far tau lies below the step.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.ad_checkpoint import checkpoint_name

from ecguard.fouling import Fouling
from ecguard.semi_integral import exponential_sum
from ecguard.simulator.electrode import Cell, Couples
from ecguard.simulator.grid import TimeGrid, potential_jumps
from ecguard.simulator.kernel import differentiable
from ecguard.simulator.kinetics import Kinetics, kinetics_of, reduction_flux, shares
from ecguard.simulator.memory import Gains, copies, gains, spread, total, weighted_sum
from ecguard.simulator.relaxation import mean_decay, ramp_response
from ecguard.simulator.trace import Output

FARADAY = 96485.33212  # C/mol
GAS_CONSTANT = 8.314462618  # J/(mol K)
_ROOT_STEP_V = {jnp.dtype("float32"): 1e-4, jnp.dtype("float64"): 1e-7}
"""Newton squares the error, and one more step follows."""
_ROOT_LIMIT = 100
_ROOT = "root"
_LARGEST_GROWTH = 2.0  # of steps, for second-order backward differences to be stable
_LONGEST_LINE = 16.0  # growth of steps up to which the flux is drawn on from the one before


class _Electrode(NamedTuple):
    """What stays the same during the march, leaves [m, B] or [B]."""

    kinetics: Kinetics
    resistance: Array  # ohm cm^2
    capacitance: Array  # F/cm^2
    area: Array  # cm^2
    inverse_thermal: Array  # 1/V, [m, B] as all that couples share
    duration: Array  # s
    per_duration: Array  # 1/s
    root_duration: Array
    fouling: Fouling | None
    one: Array | None  # 1, which the compiler does not know; None where nothing is `_gathered`
    first_share: Array | None  # of a tail in the first flux, where no potential jumps


class _Row(NamedTuple):
    """What one step reads, leaves scalar, [1] or [B]."""

    applied: Array  # V
    change: Array  # V, since the last sample
    step: Array  # in units of the duration
    rate: Array  # 1/step
    root_step: Array
    growth: Array  # step over the last step; 0 where the potential or the march starts anew
    lead: Array  # of second-order backward differences: that of the newest value
    squared: Array  # and, less its sign, that of the value before the last
    jump: Array | float  # 1 where the potential jumps at the start of the step
    first: Array  # 1 in the first step
    fresh: Array  # 1 where the flux does not go on: at jumps, the start and far longer steps
    tail: Array  # 1/sqrt(pi t) and its mean over the step, t since the start, of unit duration
    tail_mean: Array
    loss: Any  # of coverage, 1/s; None on clean electrodes
    gains: Gains | None


class _Slow(NamedTuple):
    """Carried from step to step, leaves [m, B] or [B]; all but the modes."""

    flux: Array  # its part that is linear in time
    flux_before: Array | None  # None where no potential jumps after the start
    tails: Array  # sum of the G of all tails
    lag: Array  # E - V
    drop: Array  # U
    drop_before: Array
    theta: Array | float
    gain: Array | float  # of the coverage, 1/s
    gain_before: Array | float


class _Modes(NamedTuple):
    """Share of each mode in the semi-integral, and in the tails after jumps, [Q, m, B]."""

    linear: Array
    tails: Array | None


class _Seen(NamedTuple):
    """What a step sees of the modes, [m, B], in units of sqrt(duration) and its inverse."""

    past: Array  # semi-integral of the earlier flux
    tail: Array | None  # flux of earlier tails; None where there is but one, from the start
    tail_mean: Array | None


class _Balance(NamedTuple):
    """E_i = base + load sum f(E_i), with what the flux f needs."""

    base: Array
    load: Array
    kinetics: Kinetics
    past: Array
    weight: Array
    inverse_thermal: Array


class _Terms(NamedTuple):
    """All of a step that does not depend on its root."""

    balance: _Balance
    guess: Array
    theta: Array | float
    area_factor: Array | float
    resistance: Array
    capacitance: Array
    adsorption: Array | float  # A/cm^2
    lag: Array
    slope: Array  # of V at the end of the step, V/s
    charging: Array  # time constant over the step
    drop_past: Array  # lead U - drop_past is U' times the step
    share: Array  # of a tail in the new flux
    settled: Array  # what the flux at the end would be without it
    damping: Array
    carried: Array


@partial(jax.jit, static_argnames=("jumps", "outputs", "backward"))
def march(
    applied: Array,
    cleaning: Array | None,
    grid: TimeGrid,
    couples: Couples,
    cell: Cell,
    fouling: Fouling | None,
    *,
    jumps: bool,
    outputs: tuple[Output, ...],
    backward: bool = True,
) -> dict[str, Array]:
    """Simulate a batch of traces.

    Args:
        applied: potential, V [L, B].
        cleaning: signal [L, B], or None where the potential cleans.
        grid, couples, cell, fouling: leaves [B] or [B, m].
        jumps: whether any potential jumps.
        outputs: what to record beside the current.
        backward: whether derivatives may be taken in reverse mode, as `differentiable` has it. The
            numbers are the same.

    Returns:
        Current and outputs, leaves [B, L] or [B, L, m].
    """
    kinetics = kinetics_of(jax.tree.map(jnp.transpose, couples))
    for_each = partial(copies, number=len(kinetics.E0))
    electrode = _Electrode(
        kinetics=kinetics,
        resistance=cell.Ru_ohm * cell.area_cm2,
        capacitance=cell.Cdl_F / cell.area_cm2,
        area=cell.area_cm2,
        inverse_thermal=for_each(FARADAY / (GAS_CONSTANT * cell.temperature_K)),
        duration=grid.duration_s,
        per_duration=1.0 / grid.duration_s,
        root_duration=for_each(jnp.sqrt(grid.duration_s)),
        fouling=fouling,
        one=jnp.minimum(1.0 + lax.stop_gradient(cell.temperature_K), 1.0) if backward else None,
        first_share=None,
    )
    kernel = exponential_sum(grid.span)
    rows = _rows(applied, grid, jumps)
    if fouling is not None:
        ramp = (1.0 - rows.jump) * rows.change
        signal = None if cleaning is None else cleaning[1:]
        rows = rows._replace(loss=fouling.loss(applied[1:] - ramp, applied[1:], signal))
    start = _start(applied, electrode, jumps)
    if not jumps:
        electrode = electrode._replace(first_share=_first_share(electrode, start, rows, applied[0]))
    constant = None
    if grid.even:
        constant = gains(kernel, grid.span * grid.step[0])
    elif grid.step.shape[1] == 1:
        rows = rows._replace(gains=gains(kernel, grid.span * grid.step))
    loop = partial(_loop, span=grid.span, outputs=outputs)
    recorded = differentiable(loop, backward=backward)(electrode, start, rows, constant)
    initial = _initial(applied[0], start, electrode, outputs)
    return {
        name: jnp.moveaxis(jnp.concatenate([initial[name][None], values]), -1, 0)
        for name, values in recorded.items()
    }


def _loop(
    electrode: _Electrode,
    start: _Slow,
    rows: _Row,
    constant: Gains | None,
    *,
    span: float,
    outputs: tuple[Output, ...],
) -> dict[str, Array]:
    """The current and the outputs after each step; the gains are constant, or None where not."""
    dtype, jumps = start.flux.dtype, start.flux_before is not None
    kernel = exponential_sum(span)
    shape = (len(kernel.rate), *start.flux.shape)
    modes = _Modes(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype) if jumps else None)
    unit = (1.0 / span) ** 0.5  # root of the kernel's shortest time, of unit duration
    weight = jnp.asarray(kernel.weight, dtype)
    if rows.step.shape[1] > 1:
        weight = weight[:, None]

    # the backward pass recomputes a step from its root, which alone is kept
    kept = jax.checkpoint_policies.save_only_these_names(_ROOT)
    advance_once = jax.checkpoint(partial(_step, outputs=outputs), prevent_cse=False, policy=kept)

    def advance(
        carry: tuple[_Slow, _Modes], row: _Row
    ) -> tuple[tuple[_Slow, _Modes], dict[str, Array]]:
        slow, modes = carry
        gain = constant or row.gains or gains(kernel, span * row.step)
        seen = _Seen(unit * weighted_sum(gain.decay, modes.linear), None, None)
        if modes.tails is not None:
            tail, mean = (weighted_sum(g, modes.tails) / unit for g in (gain.decay, gain.mean_tail))
            seen = seen._replace(tail=tail, tail_mean=mean)
        following, held, born, recorded = advance_once(electrode, slow, seen, row)
        decay = jnp.expand_dims(gain.decay, 1 if gain.decay.ndim == 2 else (1, 2))
        linear = decay * modes.linear + spread(gain.old, held) + spread(gain.new, following.flux)
        tails = modes.tails
        if tails is not None:
            tails = decay * tails + spread(gain.decay * weight, born)
        return (following, _Modes(linear, tails)), recorded

    _, recorded = lax.scan(advance, (start, modes), rows)
    return recorded


def _rows(applied: Array, grid: TimeGrid, jumps: bool) -> _Row:
    length, dtype = applied.shape[0] - 1, applied.dtype
    first = jnp.zeros(length, dtype).at[0].set(1.0)
    jump = potential_jumps(applied.T).T.astype(dtype) if jumps else jnp.zeros((length, 1), dtype)
    growth = grid.step / jnp.concatenate([grid.step[:1], grid.step[:-1]])
    longer = (growth > _LONGEST_LINE).astype(dtype)
    growth = (jnp.where(growth > _LARGEST_GROWTH, 0.0, growth) * (1.0 - jump)).at[0].set(0.0)
    since = jnp.cumsum(grid.step, axis=0)
    root = jnp.sqrt(jnp.concatenate([jnp.zeros_like(since[:1]), since]))
    return _Row(
        applied=applied[1:],
        change=jnp.diff(applied, axis=0),
        step=grid.step,
        rate=1.0 / grid.step,
        root_step=jnp.sqrt(grid.step),
        growth=growth,
        lead=(1.0 + 2.0 * growth) / (1.0 + growth),
        squared=growth * growth / (1.0 + growth),
        jump=jump,
        first=first,
        fresh=jnp.maximum(jnp.maximum(jump, first[:, None]), longer),
        tail=1.0 / (jnp.sqrt(jnp.pi) * root[1:]),
        tail_mean=2.0 / jnp.sqrt(jnp.pi) * jnp.diff(root, axis=0) / grid.step,
        loss=None,
        gains=None,
    )


def _start(applied: Array, electrode: _Electrode, jumps: bool) -> _Slow:
    none, fouling = jnp.zeros_like(applied[0]), electrode.fouling
    flux = jnp.zeros_like(electrode.kinetics.C_ox)
    theta: Array | float = 0.0
    gain: Array | float = 0.0
    if fouling is not None:
        theta = fouling.initial_theta
        gain = fouling.gain(_surface(electrode.kinetics, flux), none)
    return _Slow(flux, flux if jumps else None, flux, none, none, none, theta, gain, gain)


def _surface(kinetics: Kinetics, semi_integral: Array) -> Array:
    """Summed surface concentration [B], mol/cm^3."""
    difference = kinetics.inverse_root_red - kinetics.inverse_root_ox
    return total(kinetics.C_ox + kinetics.C_red + semi_integral * difference)


def _terms(electrode: _Electrode, slow: _Slow, seen: _Seen, row: _Row) -> _Terms:
    kinetics, fouling = electrode.kinetics, electrode.fouling
    resistance, capacitance = electrode.resistance, electrode.capacitance
    theta = slow.theta
    area_factor: Array | float = 1.0
    adsorption: Array | float = 0.0
    step = row.step * electrode.duration
    rate = row.rate * electrode.per_duration
    if fouling is not None:
        # the gain in mid-step; where coverage settles within a step, a mean that damps its lag
        settles = (slow.gain + row.loss) * step
        ahead = 0.5 * row.growth * (1.0 - settles) / (1.0 + settles)
        gain = jnp.maximum(slow.gain + ahead * (slow.gain - slow.gain_before), 0.0)
        change = _change(theta, gain, row.loss, rate)
        theta = theta + change
        adsorption = FARADAY * fouling.adsorption_mol_cm2 * change * rate
        cover = fouling.cover(theta)
        slowed = kinetics.resistance / copies(cover.k0_factor, len(kinetics.E0))
        kinetics = kinetics._replace(resistance=slowed)
        area_factor = cover.area_factor
        resistance = resistance + cover.film_ohm * electrode.area
        capacitance = capacitance * cover.capacitance_factor
        theta, adsorption, area_factor, resistance, capacitance = (
            _gathered(value, electrode.one)
            for value in (theta, adsorption, area_factor, resistance, capacitance)
        )

    # the circuit alone
    hop, ramp = row.jump * row.change, (1.0 - row.jump) * row.change
    charging = resistance * capacitance / step
    kept, share, left, moved = ramp_response(charging)
    lag = slow.lag + hop
    slope = (left * lag + moved * ramp) * rate
    lag = kept * lag + share * ramp
    drop_past = (1.0 + row.growth) * slow.drop - row.squared * slow.drop_before
    damping = 1.0 + charging * row.lead
    alone = row.applied - lag
    guess = alone + slow.drop + row.growth * (slow.drop - slow.drop_before)

    # diffusion
    root_duration = electrode.root_duration
    constant = 2.0 / jnp.sqrt(jnp.pi) * row.root_step
    fresh = row.fresh
    tail_share = electrode.first_share
    if tail_share is None:
        tail_share = _tail_share(kinetics, guess, step, electrode.inverse_thermal)
    tail_share = jnp.maximum(row.jump, row.first) * tail_share
    before = slow.flux_before
    carried = fresh * (slow.flux if before is None else _common(slow.flux, before))
    weight = constant * (
        (1.0 - fresh) * (2.0 / 3.0) + fresh * (1.0 + (jnp.pi / 2.0 - 1.0) * tail_share)
    )
    tail = slow.tails * row.tail if seen.tail is None else seen.tail
    settled = tail + carried
    past = (
        seen.past
        + slow.tails
        + constant * ((1.0 - fresh) / 3.0 * slow.flux + carried)
        - weight * settled
    )
    past = root_duration * past
    past = jnp.where(past > kinetics.largest, kinetics.largest, past)
    past = jnp.where(past < kinetics.smallest, kinetics.smallest, past)
    past = _gathered(past, electrode.one)
    balance = _Balance(
        base=alone + (charging * drop_past - resistance * adsorption) / damping,
        load=resistance * area_factor * FARADAY / damping,
        kinetics=kinetics,
        past=past,
        weight=root_duration * weight,
        inverse_thermal=electrode.inverse_thermal,
    )
    return _Terms(
        balance,
        guess,
        theta,
        area_factor,
        resistance,
        capacitance,
        adsorption,
        lag,
        slope,
        charging,
        drop_past,
        tail_share,
        settled,
        damping,
        carried,
    )


def _change(theta: Array | float, gain: Array | float, loss: Array, rate: Array) -> Array:
    """Of coverage, over a step of constant gain and loss (1/s); `rate` is one over the step."""
    # quotients: what several kernels read, the compiler computes in each if it is a product
    turnover = (gain + loss) / rate
    return (gain - (gain + loss) * theta) * mean_decay(turnover, jnp.exp(-turnover)) / rate


def _gathered(value: Any, one: Array | None) -> Any:
    """The value; what the backward pass gathers for it, the compiler sums once.

    Many kernels read that sum, and each would compute it for itself if it were not a quotient.
    """
    return value if one is None else _over_one(value, one)


@jax.custom_jvp
def _over_one(value: Array, _one: Array) -> Array:
    return value


@_over_one.defjvp
def _over_one_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (value, one), (tangent, _) = primals, tangents
    return value, tangent / one


def _common(one: Array, other: Array) -> Array:
    """What two fluxes have in common: the smaller where they agree in sign, else 0."""
    return jnp.clip(other, jnp.minimum(one, 0.0), jnp.maximum(one, 0.0))


def _first_share(electrode: _Electrode, start: _Slow, rows: _Row, E_V: Array) -> Array:
    """Share of the tail in the first flux of electrodes that start at E_V, as coverage leaves it.

    A blocked electrode that opens within the step passes a tail as one after a jump does.
    """
    kinetics, fouling = electrode.kinetics, electrode.fouling
    if fouling is not None:
        rate = rows.rate[0] * electrode.per_duration
        theta = start.theta + _change(start.theta, start.gain, rows.loss[0], rate)
        factor = fouling.cover(theta).k0_factor
        kinetics = kinetics._replace(resistance=kinetics.resistance / factor)
    step = rows.step[0] * electrode.duration
    return _tail_share(kinetics, E_V, step, electrode.inverse_thermal)


def _tail_share(kinetics: Kinetics, E_V: Array, step: Array, inverse_thermal: Array) -> Array:
    """Share of a tail t^-1/2 in the flux at the end of the first step h after a jump.

    The exact flux is exp(x^2) erfc(x), with x = (k_f / sqrt(D_ox) + k_b / sqrt(D_red)) sqrt(h) at
    the end. A constant and a tail that have its end and its mean share as follows, to 0.005.
    """
    number = len(kinetics.E0)
    rate = shares(copies(E_V, number), kinetics, inverse_thermal)
    drain = rate.reduction * kinetics.inverse_root_ox + rate.oxidation * kinetics.inverse_root_red
    x = drain * copies(jnp.sqrt(step), number)
    fast = x / (rate.slowness + x)
    slow = 1.0 - fast
    rising = fast * (slow + 0.6 * fast)
    return rising / (rising + slow * (2.66 * slow + 1.06 * fast))


def _solve(terms: _Terms) -> tuple[Array, Array]:
    """Interfacial potential and fluxes: Newton steps, bisection where they leave or do not halve.

    E_i - base - load sum f(E_i) rises with a slope of at least 1, so a value brackets the root.
    Traces that are done wait for the others unchanged: none depends on the others of its batch.
    """
    base, load, kinetics, past, weight, inverse_thermal = terms.balance

    def value_at(E_V: Array) -> tuple[Array, ...]:
        flux, slope = reduction_flux(E_V, kinetics, past, weight, inverse_thermal)
        value = E_V - base - load * total(flux)
        newton = -value / (1.0 - load * total(slope))
        return E_V, value, newton, flux, slope

    def moves(E_V: Array, newton: Array) -> Array:
        return jnp.abs(newton) > tolerance + rounding * jnp.abs(E_V)

    def unfinished(carry: tuple[Array, ...]) -> Array:
        count, _, _, _, E_V, _, newton, *_ = carry
        return jnp.any(moves(E_V, newton)) & (count < _ROOT_LIMIT)

    def improve(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        count, lower, upper, moved, *place = carry
        E_V, value, newton, *_ = place
        lower = jnp.maximum(lower, E_V - jnp.maximum(value, 0.0))
        upper = jnp.minimum(upper, E_V - jnp.minimum(value, 0.0))
        there = E_V + newton
        inside = (there >= lower) & (there <= upper)
        shrinks = jnp.abs(newton) <= 0.5 * moved
        better = jnp.where(inside & shrinks, there, 0.5 * (lower + upper))
        going = moves(E_V, newton)
        found = value_at(better)
        place = [jnp.where(going, *both) for both in zip(found, place, strict=True)]
        return count + 1, lower, upper, jnp.abs(better - E_V), *place

    tolerance = _ROOT_STEP_V[base.dtype]
    rounding = 4 * float(jnp.finfo(base.dtype).eps)
    unbounded = jnp.full_like(base, jnp.inf)
    carry = (jnp.zeros((), int), -unbounded, unbounded, unbounded, *value_at(terms.guess))
    *_, E_V, _, newton, flux, slope = lax.while_loop(unfinished, improve, carry)
    step = jnp.clip(newton, -tolerance, tolerance)  # beyond, rounding keeps the root from view
    return E_V + step, flux + slope * step


@jax.custom_jvp
def _root(root: tuple[Array, Array], _balance: _Balance) -> tuple[Array, Array]:
    """The root of the balance, found before; its derivative by the implicit function theorem."""
    return root


@_root.defjvp
def _root_jvp(primals: Any, tangents: Any) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (E_V, flux), (_, load, *terms) = primals
    _, (d_base, d_load, *d_terms) = tangents
    (_, slope), (d_flux, _) = jax.jvp(partial(reduction_flux, E_V), terms, d_terms)
    d_E = d_base + d_load * total(flux) + load * total(d_flux)
    d_E = d_E / (1.0 - load * total(slope))
    return (E_V, flux), (d_E, d_flux + slope * copies(d_E, len(slope)))


def _step(
    electrode: _Electrode,
    slow: _Slow,
    seen: _Seen,
    row: _Row,
    outputs: tuple[Output, ...],
) -> tuple[_Slow, Array, Array, dict[str, Array]]:
    """One step: what follows, the flux held at its start, the tail born in it, the outputs."""
    terms = _terms(electrode, slow, seen, row)
    balance = terms.balance
    root = checkpoint_name(_solve(lax.stop_gradient(terms)), _ROOT)
    interface, flux = _root(root, balance)
    rate = row.rate * electrode.per_duration
    faradaic = -FARADAY * terms.area_factor * total(flux)
    # U and its slope as the balance has them: differences of potentials would cancel
    loss = faradaic + terms.adsorption
    stored = terms.capacitance * rate * terms.drop_past
    drop = terms.resistance * (stored - loss) / terms.damping
    ahead = terms.charging * row.lead
    capacitive = terms.capacitance * terms.slope - (ahead * loss + stored) / terms.damping
    current = terms.capacitance * terms.slope + (loss - stored) / terms.damping
    semi_integral = balance.past + balance.weight * flux

    new = flux - terms.settled
    tail = terms.share * new
    linear = (new - tail) + terms.carried
    born = tail * (jnp.pi**0.5 * row.root_step)
    held = jnp.where(row.fresh > 0, linear, slow.flux)
    gain: Array | float = 0.0
    if electrode.fouling is not None:
        surface = _surface(electrode.kinetics, semi_integral)
        gain = electrode.fouling.gain(surface, faradaic)
    before = None if slow.flux_before is None else slow.flux
    following = _Slow(
        linear, before, slow.tails + born, terms.lag, drop, slow.drop, terms.theta, gain, slow.gain
    )
    kinetics = electrode.kinetics
    older = slow.tails * row.tail_mean if seen.tail_mean is None else seen.tail_mean
    known = {
        "interface_V": lambda: interface,
        "coverage": lambda: terms.theta + jnp.zeros_like(interface),
        "mean_flux": lambda: 0.5 * (held + linear) + older + 2.0 * tail,
        "faradaic_mA_cm2": lambda: 1e3 * faradaic,
        "capacitive_mA_cm2": lambda: 1e3 * capacitive,
        "adsorption_mA_cm2": lambda: 1e3 * terms.adsorption + jnp.zeros_like(interface),
        "surface_ox_mM": lambda: 1e6 * (kinetics.C_ox - semi_integral * kinetics.inverse_root_ox),
        "surface_red_mM": lambda: (
            1e6 * (kinetics.C_red + semi_integral * kinetics.inverse_root_red)
        ),
    }
    recorded = {"current_density_mA_cm2": 1e3 * current} | {name: known[name]() for name in outputs}
    return following, held, born, recorded


def _initial(
    applied: Array, start: _Slow, electrode: _Electrode, outputs: tuple[Output, ...]
) -> dict[str, Array]:
    """The outputs at rest, before the first step."""
    none, kinetics = jnp.zeros_like(start.lag), electrode.kinetics
    known = {
        "interface_V": applied,
        "coverage": start.theta + none,
        "mean_flux": start.flux,
        "faradaic_mA_cm2": none,
        "capacitive_mA_cm2": none,
        "adsorption_mA_cm2": none,
        "surface_ox_mM": 1e6 * kinetics.C_ox,
        "surface_red_mM": 1e6 * kinetics.C_red,
    }
    return {"current_density_mA_cm2": none} | {name: known[name] for name in outputs}
