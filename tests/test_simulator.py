"""The simulator against closed forms, scaling laws and bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard import (
    Cell,
    Couples,
    Fouling,
    InputError,
    Waveform,
    reference,
    simulate,
    simulate_batch,
)
from ecguard.simulator import OUTPUTS, batch
from ecguard.simulator.march import march
from ecguard.waveforms import concatenate, cyclic, double_step, hold, square_wave

IDEAL = Cell(Ru_ohm=0.0, Cdl_F=0.0)
AREA = 0.01


def couple(**changes: float) -> Couples:
    values = {
        "D_ox": 1e-5,
        "D_red": 1e-5,
        "C_ox": 1.0,
        "C_red": 0.0,
        "E0": 0.0,
        "k0": 1e-2,
        "alpha": 0.5,
    }
    return Couples(**{name: np.array([v]) for name, v in (values | changes).items()})


def current(*arguments: object) -> np.ndarray:
    return np.asarray(simulate(*arguments).current_density_mA_cm2, float)  # type: ignore[arg-type]


def stack(count: int, *parts: object) -> list[object]:
    return [jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * count), part) for part in parts]


def test_a_double_layer_charges_through_the_resistance_on_a_ramp() -> None:
    Ru, Cdl, rate = 2000.0, 1e-6, 1.0
    time = np.linspace(0.0, 0.02, 2001)
    got = current(Waveform(time, rate * time), couple(C_ox=0.0), Cell(AREA, Ru, Cdl))
    expected = 1e3 * Cdl / AREA * rate * (1 - np.exp(-time / (Ru * Cdl)))
    assert np.max(np.abs(got - expected)) < 2e-5 * expected[-1]


def test_a_double_layer_charges_through_the_resistance_after_a_step() -> None:
    Ru, Cdl = 2000.0, 1e-6
    time = np.linspace(0.0, 0.02, 2001)
    step = np.where(time > 0, 0.1, 0.0)
    got = current(Waveform(time, step), couple(C_ox=0.0), Cell(AREA, Ru, Cdl))[1:]
    expected = 1e3 * 0.1 / (Ru * AREA) * np.exp(-time[1:] / (Ru * Cdl))
    assert np.max(np.abs(got - expected)) < 2e-5 * expected[0]


@pytest.mark.parametrize("tau_over_step", [1e-3, 0.1, 1.0, 10.0, 100.0])
def test_a_triangle_charges_exactly_however_the_steps_lie(tau_over_step: float) -> None:
    samples, duration, Cdl = 101, 2.0, 1e-6
    Ru = tau_over_step * duration / (samples - 1) / Cdl
    waveform = cyclic(0.0, 0.1, 0.1, samples)
    got = current(waveform, couple(C_ox=0.0), Cell(AREA, Ru, Cdl))
    expected = reference.charging_ramp_current(waveform.t_s, 0.1, Ru, Cdl, AREA, reversal_s=1.0)
    assert np.max(np.abs(got - expected)[1:]) < 2e-5 * np.abs(expected).max()


def test_large_steps_over_a_stiff_double_layer_do_not_ring() -> None:
    time = np.linspace(0.0, 2.0, 101)
    tail = current(Waveform(time, 0.1 * time), couple(C_ox=0.0), Cell(AREA, 100.0, 2e-7))[4:]
    assert np.ptp(tail) < 1e-4 * tail[-1]


def test_ohmic_drop_obeys_ohms_law() -> None:
    cell = Cell(AREA, 5000.0, 0.0)
    trace = simulate(cyclic(0.4, -0.4, 0.5, 801), couple(k0=1.0), cell)
    drop = np.asarray(trace.E_V - trace.interface_V, float)[1:]
    expected = 5000.0 * AREA * 1e-3 * np.asarray(trace.current_density_mA_cm2, float)[1:]
    assert np.max(np.abs(drop)) > 0.02
    assert np.max(np.abs(drop - expected)) < 2e-5


def test_current_is_linear_in_concentration_without_resistance() -> None:
    waveform = cyclic(0.4, -0.4, 0.1, 401)
    once, thrice = (current(waveform, couple(C_ox=C), IDEAL) for C in (1.0, 3.0))
    assert np.allclose(3 * once, thrice, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-3, 50.0])
def test_faster_scans_scale_by_the_square_root(factor: float) -> None:
    slow = current(cyclic(0.4, -0.4, 0.1, 401), couple(k0=3e-3), IDEAL)
    k0 = 3e-3 * np.sqrt(factor)
    fast = current(cyclic(0.4, -0.4, 0.1 * factor, 401), couple(k0=k0), IDEAL)
    assert np.allclose(fast, slow * np.sqrt(factor), rtol=1e-4, atol=1e-4 * np.ptp(fast))


def test_an_uneven_grid_agrees_with_an_even_one() -> None:
    even = cyclic(0.4, -0.4, 0.1, 1601)
    keep = np.union1d(np.arange(0, 1601, 4), np.arange(402, 602))
    uneven = Waveform(even.t_s[keep], even.E_V[keep])
    cell = Cell(AREA, 500.0, 2e-7)
    difference = current(uneven, couple(), cell) - current(even, couple(), cell)[keep]
    away_from_vertex = np.abs(keep - 800) > 8  # charging reverses there within a coarse step
    assert np.max(np.abs(difference[away_from_vertex])) < 3e-4 * 0.5


@pytest.mark.parametrize("k0", [1.0, 1e-2])
def test_a_slow_cycle_and_a_scan_a_thousand_times_faster_share_one_grid(k0: float) -> None:
    waveform = concatenate(cyclic(0.4, -0.4, 0.1, 801), cyclic(0.4, -0.4, 100.0, 801))
    got = current(waveform, couple(k0=k0), Cell(AREA, 100.0, 2e-7))
    corners = np.array([0.0, 8.0, 16.0, 16.008, 16.016])
    expected = reference.voltammogram(
        waveform.t_s, corners, [0.4, -0.4, 0.4, -0.4, 0.4], C_ox=1.0, D_ox=1e-5, D_red=1e-5,
        E0=0.0, k0=k0, alpha=0.5, area_cm2=AREA, Ru_ohm=100.0, Cdl_F=2e-7,
    ).current_density_mA_cm2  # fmt: skip
    for part in (slice(1, 801), slice(801, None)):
        error = np.abs(got - expected)[part].max()
        assert error < 2e-4 * np.abs(expected[part]).max()


def test_steps_of_both_signs_follow_the_integral_equation() -> None:
    waveform = double_step(0.4, -0.3, 0.4, 0.1, 0.5, 0.5, 100)
    got = current(waveform, couple(), IDEAL)
    expected = reference.voltammogram(
        waveform.t_s, [0, 0.1, 0.1, 0.6, 0.6, 1.1], [0.4, 0.4, -0.3, -0.3, 0.4, 0.4],
        C_ox=1.0, D_ox=1e-5, D_red=1e-5, E0=0.0, k0=1e-2, alpha=0.5,
    ).current_density_mA_cm2  # fmt: skip
    assert np.max(np.abs(got - expected)) < 3e-3 * np.abs(expected).max()


def test_a_fast_couple_follows_cottrell_from_the_first_sample() -> None:
    time = np.linspace(0.0, 1.0, 201)
    got = current(Waveform(time, np.where(time > 0, -0.5, 0.5)), couple(k0=1e3), IDEAL)[1:]
    assert np.allclose(got, reference.limiting_current(time[1:], 1.0, 1e-5), rtol=1e-4)


def test_surface_balance_conserves_mass_over_a_cycle_and_rest() -> None:
    cycle = cyclic(0.4, -0.4, 1.0, 801)
    trace = simulate(cycle, couple(k0=1.0), IDEAL)
    passed = np.sum(np.asarray(trace.mean_flux, float)[1:, 0]) * (cycle.t_s[1] - cycle.t_s[0])
    charge = np.trapezoid(np.asarray(trace.current_density_mA_cm2, float), cycle.t_s)
    assert charge * 1e-3 / 96485.33212 == pytest.approx(-passed, rel=2e-3)


def test_a_batch_equals_its_traces_one_by_one() -> None:
    waveform, fouling = cyclic(0.4, -0.4, 0.1, 301), Fouling()
    cells = [Cell(AREA, Ru, 2e-7) for Ru in (0.0, 100.0, 1e5)]
    batch = jax.tree.map(lambda *leaves: np.stack(leaves), *cells)
    together = simulate_batch(*stack(3, waveform, couple()), batch, *stack(3, fouling))  # type: ignore[arg-type, misc]
    for row, cell in enumerate(cells):
        alone = simulate(waveform, couple(), cell, fouling)
        assert np.allclose(
            together.current_density_mA_cm2[row],
            alone.current_density_mA_cm2,
            atol=2e-5 * np.ptp(alone.current_density_mA_cm2),
        )


def test_a_trace_does_not_depend_on_the_others_of_its_batch() -> None:
    """To the last bit: one that has found its root waits for those that have not."""
    waveform, fouling = stack(4, cyclic(0.4, -0.4, 0.1, 301), Fouling())
    couples = Couples(
        **{**vars(stack(4, couple())[0]), "k0": np.array([[1e-2], [1e-6], [1e-3], [10.0]])}
    )
    cells = stack(4, Cell(AREA, 100.0, 2e-7))[0]
    mixed = Cell(**{**vars(cells), "Ru_ohm": np.array([100.0, 1e6, 1e5, 0.0])})
    rows = np.zeros(4, int)
    copies = jax.tree.map(lambda leaf: leaf[rows], (waveform, couples, mixed, fouling))
    among, own = (
        np.asarray(simulate_batch(*inputs).current_density_mA_cm2)
        for inputs in ((waveform, couples, mixed, fouling), copies)
    )
    np.testing.assert_array_equal(among[0], own[0])


def test_microseconds_after_an_hour_are_those_of_an_electrode_at_rest() -> None:
    time = np.concatenate([[0.0], 3600.0 + 1e-6 * np.arange(400)])
    applied = np.where(np.arange(len(time)) > 1, -0.4, 0.4)
    got = current(Waveform(time, applied), couple(k0=10.0), IDEAL)[2:]
    expected = reference.limiting_current(time[2:] - 3600.0, 1.0, 1e-5)
    np.testing.assert_allclose(got, expected, rtol=2e-4)


def test_steps_too_short_for_their_duration_are_refused() -> None:
    time = np.array([0.0, 1e-7, 1e4, 2e4])
    with pytest.raises(InputError, match="shortest steps"):
        simulate(Waveform(time, np.zeros(4)), couple(), IDEAL)


def test_a_large_batch_goes_in_blocks_to_the_same_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 21
    waveform, cell, fouling = stack(n, cyclic(0.4, -0.4, 0.1, 101), Cell(), Fouling())
    couples = Couples(**{**vars(stack(n, couple())[0]), "k0": np.geomspace(1e-5, 1.0, n)[:, None]})
    whole = simulate_batch(waveform, couples, cell, fouling, OUTPUTS)  # type: ignore[arg-type]
    monkeypatch.setattr(batch, "BLOCK", 8)
    monkeypatch.setattr(batch, "_WAVE", 2)
    parts = simulate_batch(waveform, couples, cell, fouling, OUTPUTS)  # type: ignore[arg-type]
    for name in ("current_density_mA_cm2", *OUTPUTS):
        one, other = (np.asarray(getattr(trace, name)) for trace in (whole, parts))
        assert one.shape == other.shape
        assert np.allclose(one, other, rtol=1e-4, atol=1e-4 * np.ptp(one) + 1e-30), name


@pytest.mark.parametrize("x64", [False, True])
def test_wide_vectors_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch, x64: bool) -> None:
    n = 130
    waveform, cell, fouling = stack(n, cyclic(0.4, -0.4, 0.1, 101), Cell(), Fouling())
    couples = Couples(**{**vars(stack(n, couple())[0]), "k0": np.geomspace(1e-5, 1.0, n)[:, None]})
    monkeypatch.setattr(batch, "BLOCK", 64)
    found = []
    for own in (batch._march_wide, batch.march):
        monkeypatch.setattr(batch, "_march_wide", own)
        with jax.enable_x64(x64):
            found.append(simulate_batch(waveform, couples, cell, fouling, OUTPUTS))  # type: ignore[arg-type]
    for name in ("current_density_mA_cm2", *OUTPUTS):
        one, other = (np.asarray(getattr(trace, name)) for trace in found)
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6 * np.ptp(one), err_msg=name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("E_V", "Waveform.E_V = 30"),
        ("t_s", "Waveform.t_s = -"),
        ("cleaning", "Waveform.cleaning = 2"),
        ("k0", "Couples.k0 = 30"),
        ("outputs", "outputs = 'colour'"),
    ],
)
def test_a_bad_last_trace_of_a_large_batch_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setattr(batch, "BLOCK", 2)
    sweep = cyclic(0.4, -0.4, 0.1, 33)
    sweep = Waveform(sweep.t_s, sweep.E_V, np.zeros(33))
    waveform, couples, cell, fouling = jax.tree.map(
        np.array, stack(5, sweep, couple(), Cell(), Fouling())
    )
    if name == "k0":
        couples.k0[-1] = 30e3
    elif name != "outputs":
        getattr(waveform, name)[-1, 5] = 2.0 if name == "cleaning" else 30.0
    outputs = ("colour",) if name == "outputs" else ()
    with pytest.raises(InputError, match=words):
        simulate_batch(waveform, couples, cell, fouling, outputs)  # type: ignore[arg-type]


def test_blocks_keep_the_precision_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    waveform, couples, cell = stack(5, cyclic(0.4, -0.4, 0.1, 33), couple(), Cell())
    monkeypatch.setattr(batch, "BLOCK", 2)
    for x64, dtype in ((True, np.float64), (False, np.float32)):
        with jax.enable_x64(x64):
            trace = simulate_batch(waveform, couples, cell)  # type: ignore[arg-type]
        assert trace.current_density_mA_cm2.dtype == dtype


def test_the_current_is_the_sum_of_its_parts() -> None:
    fouling = Fouling(initial_theta=0.2, k_ads=2e5)
    trace = simulate(cyclic(0.5, -0.5, 0.5, 401), couple(), Cell(), fouling, OUTPUTS)
    parts = [trace.faradaic_mA_cm2, trace.capacitive_mA_cm2, trace.adsorption_mA_cm2]
    assert all(np.ptp(part) > 0 for part in parts)
    scale = np.ptp(trace.current_density_mA_cm2)
    assert np.allclose(sum(parts), trace.current_density_mA_cm2, atol=2e-6 * scale)


def test_only_what_is_asked_for_is_recorded() -> None:
    trace = simulate(cyclic(0.5, -0.5, 0.5, 65), couple(), Cell(), None, ["surface_ox_mM"])
    assert trace.surface_ox_mM.shape == (65, 1)
    assert trace.interface_V is None


def test_a_cleaning_signal_takes_the_place_of_the_threshold() -> None:
    rest = hold(0.0, 10.0, 101)
    signal = np.where(rest.t_s > 5.0, 1.0, 0.0)
    fouling = Fouling(k_ads=0.0, k_des=0.0, k_reaction=0.0, k_clean=0.1)
    waveform = Waveform(rest.t_s, rest.E_V, signal)
    covered = simulate(waveform, couple(C_ox=0.0), Cell(), fouling).coverage
    expected = 0.78 * np.exp(-0.1 * np.maximum(rest.t_s - 5.0, 0.0))
    assert np.allclose(covered, expected, rtol=1e-5)


def test_large_patches_scale_the_limiting_current_and_small_ones_do_not() -> None:
    time = np.linspace(0.0, 1.0, 401)
    step = Waveform(time, np.where(time > 0, -0.5, 0.5))
    static = {"k_ads": 0.0, "k_des": 0.0, "k_reaction": 0.0, "Rfilm_theta_max_ohm": 0.0}
    last = {
        share: current(step, couple(k0=10.0), IDEAL, Fouling(patch_share=share, **static))[-1]
        for share in (0.0, 1.0)
    }
    clean = current(step, couple(k0=10.0), IDEAL)[-1]
    assert last[0.0] == pytest.approx(clean, rel=1e-3)
    assert last[1.0] == pytest.approx(clean * (0.09 + 0.91 * 0.22), rel=1e-3)


def test_new_values_compile_nothing() -> None:
    waveform = cyclic(0.4, -0.4, 0.1, 77)
    simulate(waveform, couple(), Cell())
    before = march._cache_size()
    simulate(cyclic(0.3, -0.5, 3.0, 77), couple(k0=1e-4, C_red=2.0), Cell(Ru_ohm=0.0))
    assert march._cache_size() == before


def test_electrode_and_waveform_may_be_traced() -> None:
    sweep, cell = cyclic(0.4, -0.4, 0.1, 77), Cell()
    alone = current(sweep, couple(), cell)
    of_couples = jax.jit(lambda c: simulate(sweep, c, cell).current_density_mA_cm2)
    of_potential = jax.jit(
        lambda E_V: simulate(Waveform(sweep.t_s, E_V), couple(), cell).current_density_mA_cm2
    )
    scale = 1e-4 * np.ptp(alone)
    assert np.allclose(of_couples(jax.tree.map(jnp.asarray, couple())), alone, atol=scale)
    assert np.allclose(of_potential(jnp.asarray(sweep.E_V)), alone, atol=scale)


def test_a_waveform_that_is_known_stays_known_while_the_rest_is_traced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A march through jumps carries twice the modes; where there are none, none are looked for."""
    seen = []

    def recorded(*arguments: object, jumps: bool, **settings: object) -> object:
        seen.append(jumps)
        return march(*arguments, jumps=jumps, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "march", recorded)
    smooth, cell, couples = stack(3, cyclic(0.4, -0.4, 0.1, 77), Cell(), couple())
    abrupt, _ = stack(3, double_step(0.3, -0.3, 0.3, 0.2, 0.4, 0.4, 25), Cell())
    for waveform in (smooth, abrupt):
        for leaves in (waveform, jax.tree.map(jnp.asarray, waveform)):
            jax.jit(lambda own, leaves=leaves: simulate_batch(leaves, own, cell))(couples)
    assert seen == [False, False, True, True]


def test_a_march_without_its_backward_pass_has_the_same_forward_derivatives() -> None:
    steps = double_step(0.4, -0.4, 0.2, 0.1, 0.5, 0.5, 20)
    case = stack(2, steps, couple(), Cell(), Fouling(initial_theta=0.5, patch_share=0.3))
    with jax.enable_x64(True):
        (applied, cleaning, grid, *electrode), settings = batch._prepare(tuple(case), OUTPUTS)  # type: ignore[arg-type]

        def derivative(backward: bool) -> tuple[dict[str, jax.Array], ...]:
            def run(applied: jax.Array, *electrode: Any) -> dict[str, jax.Array]:
                return march(applied, cleaning, grid, *electrode, **settings, backward=backward)

            point = jax.tree.map(jnp.asarray, (applied, *electrode))
            tangent = jax.tree.map(lambda leaf: 0.1 * leaf + 0.01 * (leaf == 0), point)
            return tuple(jax.jvp(run, point, tangent))

        with_it, without = derivative(True), derivative(False)
    for kind, one, other in zip(("value", "derivative"), with_it, without, strict=True):
        for name in one:
            scale = float(np.abs(one[name]).max())
            assert scale > 0, name
            assert float(np.abs(other[name] - one[name]).max()) < 1e-10 * scale, (kind, name)


def test_gradients_agree_with_finite_differences() -> None:
    with jax.enable_x64(True):
        waveform = jax.tree.map(jnp.asarray, cyclic(0.3, -0.3, 0.2, 201))
        leaves, tree = jax.tree.flatten(
            (couple(k0=3e-3, C_red=0.5), Cell(AREA, 500.0, 2e-7), Fouling(0.3, patch_share=0.4))
        )
        values = jnp.asarray([float(np.ravel(leaf)[0]) for leaf in leaves])

        def misfit(values: jax.Array) -> jax.Array:
            new = [jnp.full(np.shape(leaf), v) for leaf, v in zip(leaves, values, strict=True)]
            couples, cell, fouling = jax.tree.unflatten(tree, new)
            trace = simulate(waveform, couples, cell, fouling)
            return jnp.sum(jnp.sin(7.0 * waveform.E_V) * trace.current_density_mA_cm2)

        gradient = jax.grad(misfit)(values)
        for k, value in enumerate(values):
            step = 1e-4 * max(abs(float(value)), 1e-3 if value == 0 else 0.0)
            shift = jnp.zeros_like(values).at[k].set(step)
            central = (misfit(values + shift) - misfit(values - shift)) / (2 * step)
            assert gradient[k] == pytest.approx(float(central), rel=2e-5, abs=1e-9), k


def test_extreme_parameters_stay_finite_and_physical() -> None:
    waveform = cyclic(0.8, -0.8, 1.0, 201)
    spiked = Waveform(waveform.t_s, waveform.E_V + np.where(np.arange(201) == 60, 1.5, 0.0))
    for k0 in (1e-9, 1e-3, 100.0):
        for Ru in (0.0, 100.0, 1e6):
            for C_ox in (0.0, 50.0):
                trace = simulate(spiked, couple(k0=k0, C_ox=C_ox, C_red=1.0), Cell(AREA, Ru, 1e-6))
                assert np.all(np.isfinite(trace.current_density_mA_cm2)), (k0, Ru, C_ox)


def test_square_wave_jumps_give_cottrell_like_pulses() -> None:
    trace = simulate(square_wave(0.3, -0.005, 0.025, 25.0, 2001, 16), couple(k0=1.0), IDEAL)
    pulses = np.asarray(trace.current_density_mA_cm2)[1:].reshape(-1, 8)
    middle = pulses[60 * 2]  # near the half-wave potential, forward
    assert np.all(np.diff(middle[1:]) > 0)
    assert middle[1] < middle[-1] < 0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda w: Waveform(w.t_s[::-1], w.E_V), "t_s"),
        (lambda w: Waveform(w.t_s * 0, w.E_V), "t_s"),
        (lambda w: Waveform(w.t_s, w.E_V * np.nan), "E_V"),
        (lambda w: Waveform(w.t_s, w.E_V * 1e3), "E_V"),
        (lambda w: Waveform(w.t_s[:-1], w.E_V), "Waveform"),
        (lambda w: Waveform(w.t_s[:1], w.E_V[:1]), "Waveform"),
        (lambda w: Waveform(w.t_s[:0], w.E_V[:0]), "t_s"),
    ],
)
def test_a_bad_waveform_is_refused_by_name(change: object, name: str) -> None:
    with pytest.raises(InputError, match=name):
        simulate(change(cyclic(0.4, -0.4, 0.1, 51)), couple(), Cell())  # type: ignore[operator]


@pytest.mark.parametrize(
    ("couples", "cell", "fouling", "name"),
    [
        (couple(D_ox=-1e-5), Cell(), None, "D_ox"),
        (couple(C_ox=np.nan), Cell(), None, "C_ox"),
        (couple(alpha=1.5), Cell(), None, "alpha"),
        (couple(), Cell(Ru_ohm=-1.0), None, "Ru_ohm"),
        (couple(), Cell(temperature_K=25.0), None, "temperature_K"),
        (couple(), Cell(), Fouling(initial_theta=1.2), "initial_theta"),
    ],
)
def test_a_bad_electrode_is_refused_by_name(
    couples: Couples, cell: Cell, fouling: Fouling | None, name: str
) -> None:
    with pytest.raises(InputError, match=name):
        simulate(cyclic(0.4, -0.4, 0.1, 51), couples, cell, fouling)


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(InputError, match="outputs = 'flux'"):
        simulate(cyclic(0.4, -0.4, 0.1, 51), couple(), Cell(), None, ["flux"])  # type: ignore[list-item]


def test_a_bad_cleaning_signal_is_refused() -> None:
    sweep = cyclic(0.4, -0.4, 0.1, 51)
    for signal in (np.full(51, 2.0), np.full(51, np.nan), np.zeros(50)):
        with pytest.raises(InputError, match="cleaning"):
            simulate(Waveform(sweep.t_s, sweep.E_V, signal), couple(), Cell(), Fouling())


def test_leaves_of_another_batch_are_refused() -> None:
    waveform, couples = stack(3, cyclic(0.4, -0.4, 0.1, 51), couple())
    with pytest.raises(InputError, match=r"Cell\.area_cm2"):
        simulate_batch(waveform, couples, *stack(2, Cell()))  # type: ignore[arg-type]


def test_couples_of_different_lengths_are_refused() -> None:
    couples = Couples(*[np.ones(2) * 1e-3] * 6, np.full(1, 0.5))
    with pytest.raises(InputError, match="alpha"):
        simulate(cyclic(0.4, -0.4, 0.1, 51), couples, Cell())


def test_scalar_couples_are_refused_with_the_remedy() -> None:
    sweep = cyclic(0.4, -0.4, 0.1, 51)
    scalars = Couples(**{name: float(value[0]) for name, value in vars(couple()).items()})
    with pytest.raises(InputError, match=r"D_ox = 'shape \(\)'.*\[m\].*np\.array\(\[1e-5\]\)"):
        simulate(sweep, scalars, Cell())
    waveform, couples, cell = stack(3, sweep, scalars, Cell())
    with pytest.raises(InputError, match=r"D_ox = 'shape \(3,\)'.*\[batch, m\].*np\.full"):
        simulate_batch(waveform, couples, cell)  # type: ignore[arg-type]
