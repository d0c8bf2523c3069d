"""No value in range gives a NaN, a negative concentration, an oscillation or a broken balance.

Every case mixes values from the corners of the ranges; a batch of cases is simulated at once.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard import Cell, Couples, Fouling, Trace, Waveform, simulate_batch
from ecguard.simulator import OUTPUTS
from ecguard.simulator.ranges import CELL_RANGES, COUPLE_RANGES, FOULING_RANGES

CASES = 384
DURATION_S = (1e-6, 1e-3, 1.0, 60.0, 3600.0)
USUAL: dict[str, tuple[float, ...]] = {
    "D_ox": (1e-7, 1e-6, 1e-5, 2e-5),
    "D_red": (1e-7, 1e-6, 1e-5, 2e-5),
    "C_ox": (0.0, 1e-3, 1.0, 10.0, 1e3),
    "C_red": (0.0, 0.0, 1.0, 10.0),
    "E0": (-0.3, 0.0, 0.2),
    "k0": (1e-9, 1e-5, 1e-3, 1e-1, 100.0),
    "alpha": (0.3, 0.5, 0.7),
    "area_cm2": (1e-4, 0.01, 1.0),
    "Ru_ohm": (0.0, 1.0, 100.0, 1e4, 1e6),
    "Cdl_F": (0.0, 1e-9, 2e-7, 1e-5),
    "temperature_K": (280.0, 298.15, 350.0),
    "initial_theta": (0.0, 1e-6, 0.5, 1.0),
    "k_ads": (0.0, 4200.0, 1e6),
    "k_des": (0.0, 8e-5, 10.0),
    "k_clean": (0.0, 0.02, 10.0),
    "k_reaction": (0.0, 0.004, 10.0),
    "Rfilm_theta_max_ohm": (0.0, 1800.0, 1e6),
    "cdl_theta_fraction": (0.0, 0.82, 1.0),
    "area_floor_fraction": (0.0, 0.09, 1.0),
    "k0_theta_coeff": (0.0, 2.8, 10.0),
    "film_exponent": (0.5, 1.0, 1.2, 10.0),
    "area_exponent": (0.5, 1.0, 2.0, 10.0),
    "cdl_floor_fraction": (0.0, 0.25, 1.0),
    "adsorption_mol_cm2": (0.0, 2e-9, 1e-8),
    "clean_above_V": (-10.0, 0.0, 0.75),
    "patch_share": (0.0, 0.5, 1.0),
}
LIMITS = {
    name: (low, *USUAL[name], high)
    for name, (low, high) in (COUPLE_RANGES | CELL_RANGES | FOULING_RANGES).items()
}
TABLES = {"usual": USUAL, "limits": LIMITS}


def corners(
    table: dict[str, tuple[float, ...]], m: int, fouled: bool, seed: int
) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)

    def pick(kind: type, *shape: int) -> Any:
        names = kind.__dataclass_fields__
        return kind(**{name: rng.choice(table[name], shape) for name in names})

    return pick(Couples, CASES, m), pick(Cell, CASES), pick(Fouling, CASES) if fouled else None


def waveforms(kind: str, samples: int, even: bool, seed: int) -> Waveform:
    """Sweeps, spikes of one sample, white noise, steps, holds and saw teeth, over all durations."""
    rng = np.random.default_rng(seed)
    step = np.ones((CASES, samples - 1))
    if not even:
        step = 10.0 ** rng.uniform(-6, 0, step.shape)
    time = np.concatenate([np.zeros((CASES, 1)), np.cumsum(step, axis=1)], axis=1)
    time *= (rng.choice(DURATION_S, CASES) / time[:, -1])[:, None]
    share = np.linspace(0.0, 1.0, samples)
    sweep = 0.6 * (1.0 - 2.0 * np.abs(2.0 * share - 1.0)) * rng.choice([-1, 1], (CASES, 1))
    potential = sweep.copy()
    for row in range(CASES if kind == "any" else 0):
        match row % 6:
            case 1:
                potential[row, rng.integers(samples, size=3)] += rng.choice([-1.0, 1.0], 3)
            case 2:
                potential[row] = rng.uniform(-0.6, 0.6, samples)
            case 3:
                potential[row] = 0.6 * rng.choice([-1, 1]) * np.sign(share - rng.choice([0.0, 0.5]))
            case 4:
                potential[row] = rng.choice([-0.6, 0.0, 0.6])
            case 5:
                potential[row] = 0.6 * np.sin(rng.choice([0.5, 1.5, 3.0]) * np.arange(samples))
    return Waveform(time, potential)


def leaf(trace: Trace, name: str) -> np.ndarray:
    return np.asarray(getattr(trace, name), float)


def negative(trace: Trace, couples: Couples) -> np.ndarray:
    """Largest negative concentration of each case, over what all of its couple would give."""
    root_ox, root_red = np.sqrt(couples.D_ox), np.sqrt(couples.D_red)
    all_of_it = root_ox * couples.C_ox + root_red * couples.C_red + 1e-30
    ox = leaf(trace, "surface_ox_mM") * (root_ox / all_of_it)[:, None]
    red = leaf(trace, "surface_red_mM") * (root_red / all_of_it)[:, None]
    return -np.minimum(ox, red).min(axis=(1, 2))


def ringing(values: np.ndarray) -> np.ndarray:
    """Largest, over the range, of the least of six steps in a row that alternate in sign.

    A kink, at a vertex or where cleaning sets in, turns a step or two around, but not six.
    """
    step = np.diff(values, axis=1)
    runs = np.lib.stride_tricks.sliding_window_view(step, 6, axis=1)
    alternates = np.all(runs[..., 1:] * runs[..., :-1] < 0, axis=-1)
    size = np.abs(runs).min(axis=-1)
    return np.max(np.where(alternates, size, 0.0), axis=1) / (np.ptp(values, axis=1) + 1e-30)


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize(
    ("samples", "m", "even", "fouled"),
    [(2, 1, True, True), (64, 1, True, False), (64, 2, True, True), (64, 3, False, True)],
)
def test_every_output_stays_physical(
    samples: int, m: int, even: bool, fouled: bool, x64: bool
) -> None:
    for seed, table in enumerate(TABLES.values()):
        electrode = corners(table, m, fouled, seed)
        with jax.enable_x64(x64):
            trace = simulate_batch(
                waveforms("any", samples, even, seed), *electrode, outputs=OUTPUTS
            )
        for name in ("current_density_mA_cm2", *OUTPUTS):
            assert np.isfinite(leaf(trace, name)).all(), name
        assert negative(trace, electrode[0]).max() < 1e-4
        coverage = leaf(trace, "coverage")
        assert coverage.min() > -1e-6
        assert coverage.max() < 1 + 1e-6


@pytest.mark.parametrize("even", [True, False])
def test_the_ohmic_drop_is_the_current_times_the_resistance(even: bool) -> None:
    couples, cell, fouling = corners(USUAL, 2, True, 5)
    waveform = waveforms("any", 64, even, 5)
    with jax.enable_x64(True):
        trace = simulate_batch(waveform, couples, cell, fouling, outputs=OUTPUTS)
    covered = leaf(trace, "coverage").clip(0.0, 1.0)
    film = fouling.Rfilm_theta_max_ohm[:, None] * covered ** fouling.film_exponent[:, None]
    resistance = (cell.Ru_ohm[:, None] + film) * cell.area_cm2[:, None]
    drop = 1e-3 * resistance * leaf(trace, "current_density_mA_cm2")
    error = np.abs(waveform.E_V - leaf(trace, "interface_V") - drop)[:, 1:]
    assert error.max() < 1e-6


def rings_of_sweeps(table: dict[str, tuple[float, ...]], fouled: bool, seed: int) -> np.ndarray:
    """The `ringing` of current and potential in sweeps of electrodes from the corners [CASES]."""
    waveform = waveforms("sweep", 256, True, seed)
    trace = simulate_batch(waveform, *corners(table, 1, fouled, seed), outputs=["interface_V"])
    names = ("current_density_mA_cm2", "interface_V")
    return np.max([ringing(leaf(trace, name)) for name in names], axis=0)


@pytest.mark.parametrize("seed", [7, 12])
def test_nothing_rings_in_a_sweep(seed: int) -> None:
    rings = {fouled: rings_of_sweeps(USUAL, fouled, seed) > 1e-4 for fouled in (False, True)}
    assert not rings[False].any()
    # coverage reads the flux of the step before: a few extremes that settle within a step ring
    assert rings[True].mean() < 0.01


@pytest.mark.parametrize("seed", [2, 7, 12])
def test_no_fouled_electrode_rings_in_a_sweep(seed: int) -> None:
    """In float64; with each of these seeds one rang where cleaning read the interface."""
    with jax.enable_x64(True):
        assert rings_of_sweeps(USUAL, True, seed).max() < 1e-4


@pytest.mark.parametrize("seed", [7, 12])
def test_no_clean_electrode_within_the_limits_rings_in_a_sweep(seed: int) -> None:
    """In float64: the rounding of float32 alternates where next to nothing flows."""
    with jax.enable_x64(True):
        assert rings_of_sweeps(LIMITS, False, seed).max() < 1e-9


def test_biofouling_does_not_ring() -> None:
    couples, cell, _ = corners(USUAL, 1, False, 3)
    theta = np.random.default_rng(3).uniform(0.0, 1.0, CASES)
    reference = jax.tree.map(lambda value: np.full(CASES, value), vars(Fouling()))
    fouling = Fouling(**reference | {"initial_theta": theta})
    trace = simulate_batch(waveforms("sweep", 256, True, 3), couples, cell, fouling)
    assert ringing(leaf(trace, "current_density_mA_cm2")).max() < 1e-4


def test_the_measure_sees_the_ringing_of_the_trapezoid_rule() -> None:
    decay = np.exp(-np.linspace(0.0, 5.0, 200))
    rung = decay + 0.01 * (-0.99) ** np.arange(200)
    assert ringing(rung[None])[0] > 5e-3
    assert ringing(decay[None])[0] == 0.0


@pytest.mark.parametrize("fouled", [False, True])
def test_gradients_are_finite(fouled: bool) -> None:
    waveform = waveforms("any", 32, True, 11)
    electrode = jax.tree.map(jnp.asarray, corners(USUAL, 1, fouled, 11))

    def charge(electrode: Any) -> jax.Array:
        return simulate_batch(waveform, *electrode).current_density_mA_cm2.sum()

    for path, value in jax.tree_util.tree_leaves_with_path(jax.grad(charge)(electrode)):
        assert np.isfinite(value).all(), jax.tree_util.keystr(path)
