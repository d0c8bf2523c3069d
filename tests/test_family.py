"""The built-in family: what is drawn, and how well it is simulated."""

import jax
import numpy as np
import pytest

from ecguard import Cell, InputError, Waveform, family
from ecguard.chunk import Chunk

ROWS = 96


@pytest.fixture(scope="module")
def chunk() -> Chunk:
    return family.draw(11, ROWS)


def entries(chunk: Chunk) -> dict[str, np.ndarray]:
    names = ("ln_D_ox", "ln_D_red", "C_ox", "C_red", "E0", "ln_k0", "alpha")
    return dict(zip(names, np.split(chunk.parameters, 7, axis=1), strict=True))


def test_parameters_stay_in_their_ranges() -> None:
    rows = family.draw_parameters(np.random.default_rng(3), 20_000)
    ln_D_ox, _, C_ox, C_red, E0, ln_k0, alpha = (
        part.reshape(-1, 2) for part in np.split(rows, 7, axis=1)
    )
    two = C_ox[:, 1] > 0
    assert np.mean(two) == pytest.approx(0.3, abs=0.015)
    for values, (low, high) in (
        (np.exp(ln_D_ox), family.D_RANGE_CM2_S),
        (C_red, family.C_RED_RANGE_MM),
        (E0, family.E0_RANGE_V),
        (np.exp(ln_k0), family.K0_RANGE_CM_S),
        (alpha, family.ALPHA_RANGE),
    ):
        drawn = values[:, 0]
        assert low <= drawn.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < drawn.max() <= high
    assert np.all(C_ox[two] >= 0.2)
    assert np.diff(E0[two], axis=1).min() >= family.E0_GAP_V - 1e-12
    assert np.all(rows[~two].reshape(-1, 7, 2)[:, 2:4, 1] == 0)


def test_the_same_seed_draws_the_same_bytes(chunk: Chunk) -> None:
    again, other = family.draw(11, ROWS), family.draw(12, ROWS)
    for name, values in vars(chunk).items():
        assert np.array_equal(values, getattr(again, name)), name
    assert not np.array_equal(chunk.parameters, other.parameters)


def test_every_task_and_stage_is_drawn_and_finite(chunk: Chunk) -> None:
    assert set(chunk.task_id) == set(range(4))
    assert set(chunk.stage_id) == set(range(3))
    assert np.all(np.isfinite(chunk.current_mA_cm2))
    assert np.all(np.ptp(chunk.current_mA_cm2, axis=1) > 0)
    assert np.all(np.diff(chunk.time_s, axis=1) > 0)


def test_the_stage_follows_the_speed_of_the_waveform(chunk: Chunk) -> None:
    cv = chunk.task_id == family.TASKS.index("cv")
    span = np.ptp(chunk.potential_V[cv], axis=1)
    rate = 2 * span / chunk.time_s[cv, -1]
    low, high = np.log(family.SPEED_RANGE[0])
    # the recorded window misses the vertex by up to half a sample
    share = (np.log(rate) - low) / (high - low)
    assert np.all(np.abs(share * 3 - 0.5 - chunk.stage_id[cv]) < 0.51)


def test_concentrations_are_not_negative_and_reach_the_bulk(chunk: Chunk) -> None:
    shape = (ROWS, family.N_COUPLES, family.N_PROFILE)
    ox, red = chunk.ox_mM.reshape(shape), chunk.red_mM.reshape(shape)
    assert min(ox.min(), red.min()) > -2e-3
    bulk = entries(chunk)
    assert np.allclose(ox[..., -1], np.maximum(bulk["C_ox"], 1e-5), rtol=0.02, atol=1e-3)
    # erfc(2) of what passed is still seen at four diffusion lengths
    partner = bulk["C_ox"] * np.exp(0.5 * (bulk["ln_D_ox"] - bulk["ln_D_red"]))
    assert np.all(np.abs(red[..., -1] - bulk["C_red"]) < 0.01 * (bulk["C_red"] + partner + 0.1))


def test_recorded_currents_have_converged_in_time_steps(chunk: Chunk) -> None:
    cell = Cell(chunk.area_cm2, chunk.Ru_ohm, chunk.Cdl_F, np.full(ROWS, family.TEMPERATURE_K))
    waveform = Waveform(chunk.time_s, chunk.potential_V)
    fine, *_ = family.simulate_recorded(waveform, chunk.parameters, cell, substeps=16)
    error = np.sqrt(np.mean((fine - chunk.current_mA_cm2) ** 2, axis=1)) / np.ptp(fine, axis=1)
    assert np.median(error) < 1e-3
    assert np.max(error) < 2e-2


def test_profiles_agree_with_the_diffusion_equation() -> None:
    """A step to full depletion leaves erf(x / 2 sqrt(D t))."""
    from scipy.special import erf

    time = np.linspace(0.0, 4.0, 1025)[None]
    potential = np.where(time > 0, -0.6, 0.4)
    row = np.log([1e-5]).tolist() + np.log([2e-5]).tolist() + [1.0, 0.0, 0.0, 0.0, 0.5]
    cell = Cell(*[np.array([v]) for v in (0.01, 0.0, 0.0, 298.15)])
    _, ox, red = family.simulate_recorded(Waveform(time, potential), np.array([row]), cell, None, 1)
    expected = erf(family.PROFILE_DEPTH / 2)
    assert np.allclose(ox[0], expected, atol=2e-3)
    assert np.allclose(red[0], (1 - expected) / np.sqrt(2), atol=2e-3)


def test_the_unit_of_the_current_is_of_its_size(chunk: Chunk) -> None:
    ratio = np.ptp(chunk.current_mA_cm2, axis=1) / family.current_scales(chunk)
    assert np.all((ratio > 0.2) & (ratio < 30.0))
    rows = jax.tree.map(np.asarray, chunk.parameters).reshape(ROWS, 7, 2).copy()
    rows[:, 2:4] *= 3.0
    tripled = family.current_scales(Chunk(**{**vars(chunk), "parameters": rows.reshape(ROWS, 14)}))
    assert np.all(tripled / family.current_scales(chunk) > 1.5)


@pytest.mark.parametrize(("seed", "n", "name"), [(-1, 4, "seed"), (1, 0, "n")])
def test_impossible_draws_are_refused(seed: int, n: int, name: str) -> None:
    with pytest.raises(InputError, match=name):
        family.draw(seed, n)
