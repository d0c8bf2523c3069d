"""Statistics of the residuals: exact on white noise, planted faults, and what each is blind to."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from ecguard.diagnostics import (
    cusum,
    excess_chi_square,
    lag_one,
    largest_residual,
    sweep_asymmetry,
)
from ecguard.errors import InputError

CASES, L, SHOWN = 2000, 256, 0.6
SWEEP = 0.5 - 2 * np.abs(np.linspace(-0.5, 0.5, L))
RISING = np.gradient(SWEEP) > 0


def asymmetry(residual: np.ndarray, observed: np.ndarray) -> np.ndarray:
    return sweep_asymmetry(residual, observed, np.tile(SWEEP, (len(residual), 1)))


STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "chi-square": excess_chi_square,
    "lag one": lag_one,
    "cusum": cusum,
    "largest": largest_residual,
    "asymmetry": asymmetry,
}
EVERY = pytest.mark.parametrize("name", STATISTICS)


def alike(normals: np.ndarray, share: float) -> np.ndarray:
    """Noise of std 1 in which neighbours have that correlation."""
    found = normals.copy()
    for i in range(1, L):
        found[:, i] = share * found[:, i - 1] + np.sqrt(1 - share**2) * normals[:, i]
    return found


def with_spike(normals: np.ndarray) -> np.ndarray:
    """The middle sample, which `white` always shows, lies 6 std off."""
    return np.where(np.arange(L) == L // 2, 6.0, normals)


FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda normals: normals,
    "more noise": lambda normals: 1.3 * normals,
    "neighbours alike": lambda normals: alike(normals, 0.4),
    "neighbours apart": lambda normals: alike(normals, -0.4),
    "drift": lambda normals: normals + np.linspace(0, 0.6, L),
    "spike": with_spike,
    "offset": lambda normals: normals + 0.5,
    "offset on one sweep": lambda normals: normals + 0.5 * RISING,
}


def white(seed: int, cases: int = CASES) -> tuple[np.ndarray, np.ndarray]:
    """Independent residuals and a random mask."""
    generator = np.random.default_rng(seed)
    residual = generator.standard_normal((cases, L))
    observed = generator.random((cases, L)) < SHOWN
    observed[:, L // 2] = True
    return residual, observed


def power(name: str, fault: str) -> float:
    """Share of the cases with a fault above the threshold that 5 % of clean cases exceed."""
    threshold = np.quantile(STATISTICS[name](*white(1, 4 * CASES)), 0.95)
    residual, observed = white(2)
    return float((STATISTICS[name](FAULTS[fault](residual), observed) > threshold).mean())


def test_hand_made_cases() -> None:
    residual = np.array([[1.0, np.nan, 2.0, -3.0, -1.0]])
    observed = np.isfinite(residual)
    root = np.sqrt(4)
    assert excess_chi_square(residual, observed) == pytest.approx([(15 - 4) / np.sqrt(8)])
    assert lag_one(residual, observed) == pytest.approx([root * (2 - 6 + 3) / 15])
    assert cusum(residual, observed) == pytest.approx([3 / root])
    assert largest_residual(residual, observed) == pytest.approx([3])
    found = sweep_asymmetry(residual, observed, [[0.0, 1.0, 2.0, 1.0, 0.0]])
    # The turn itself, where the slope is zero, belongs to neither sweep.
    assert found == pytest.approx([(1 - (-3 - 1) / 2) / np.sqrt(1 + 1 / 2)])


def test_chi_square_is_standard_and_its_tail_exact() -> None:
    """Mean and std within four standard errors."""
    residual, observed = white(3)
    found, n = excess_chi_square(residual, observed), observed.sum(axis=1)
    assert abs(found.mean()) < 4 / np.sqrt(CASES)
    assert found.std() == pytest.approx(1, abs=0.08)
    tail = stats.chi2.sf(n + found * np.sqrt(2 * n), n)
    assert stats.kstest(tail, "uniform").pvalue > 1e-3


def test_lag_one_is_standard() -> None:
    """Mean and std within four standard errors."""
    found = lag_one(*white(4))
    assert abs(found.mean()) < 4 / np.sqrt(CASES)
    assert found.std() == pytest.approx(1, abs=4 / np.sqrt(2 * CASES))


def test_cusum_has_the_quantiles_of_brownian_motion() -> None:
    """Its supremum exceeds 2.241 in 5 %; a sum over some hundred steps does so a bit less often."""
    found = cusum(*white(5, 4 * CASES))
    assert 0.03 < (found > 2.241).mean() < 0.055
    assert 0.35 < (found > 1.149).mean() < 0.55


def test_largest_residual_is_the_maximum_of_n() -> None:
    residual, observed = white(6)
    below = (2 * stats.norm.cdf(largest_residual(residual, observed)) - 1) ** observed.sum(axis=1)
    assert stats.kstest(below, "uniform").pvalue > 1e-3


def test_asymmetry_is_half_normal() -> None:
    assert stats.kstest(asymmetry(*white(7)), "halfnorm").pvalue > 1e-3


@EVERY
def test_one_clean_case_in_twenty_exceeds_the_threshold(name: str) -> None:
    assert power(name, "none") == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(
    ("name", "fault", "least"),
    [
        ("chi-square", "more noise", 0.98),
        ("lag one", "neighbours alike", 0.9),
        ("cusum", "drift", 0.9),
        ("largest", "spike", 0.999),
        ("asymmetry", "offset on one sweep", 0.85),
    ],
)
def test_a_planted_fault_is_seen(name: str, fault: str, least: float) -> None:
    assert power(name, fault) > least


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("chi-square", "neighbours apart"),
        ("lag one", "more noise"),
        ("lag one", "spike"),
        ("cusum", "neighbours apart"),
        ("largest", "neighbours alike"),
        ("asymmetry", "offset"),
    ],
)
def test_each_is_blind_to_another_fault(name: str, fault: str) -> None:
    assert power(name, fault) < 0.12


@EVERY
def test_hidden_samples_are_never_read(name: str) -> None:
    residual, observed = white(8, 20)
    unknown, huge = (np.where(observed, residual, other) for other in (np.nan, 1e9))
    found = STATISTICS[name](unknown, observed)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, STATISTICS[name](huge, observed))


@EVERY
def test_the_sign_does_not_matter_nor_do_other_cases(name: str) -> None:
    residual, observed = white(9, 20)
    found = STATISTICS[name](residual, observed)
    np.testing.assert_allclose(STATISTICS[name](-residual, observed), found)
    np.testing.assert_allclose(STATISTICS[name](residual[5:6], observed[5:6]), found[5:6])


@EVERY
def test_a_perfect_fit_is_finite_and_not_suspect(name: str) -> None:
    found = STATISTICS[name](np.zeros((3, L)), np.ones((3, L), bool))
    assert np.isfinite(found).all()
    assert (found <= 0).all()


@pytest.mark.parametrize(
    "potential",
    [
        np.linspace(-0.5, 0.5, L),
        np.linspace(0.5, -0.5, L),
        np.zeros(L),
        -0.5 * (np.arange(L) >= L // 2),
    ],
    ids=["up", "down", "constant", "step down"],
)
def test_one_way_potentials_have_no_asymmetry(potential: np.ndarray) -> None:
    residual, observed = white(10, 20)
    found = sweep_asymmetry(residual + RISING, observed, np.tile(potential, (20, 1)))
    assert (found == 0).all()


def test_a_step_up_that_is_held_has_no_asymmetry() -> None:
    residual, observed = white(10, 20)
    step = np.tile(0.5 * (np.arange(L) >= L // 2), (20, 1))
    assert (sweep_asymmetry(residual, observed, step) == 0).all()


def test_a_sweep_without_observed_samples_has_no_asymmetry() -> None:
    residual, _ = white(11, 20)
    assert (asymmetry(residual, np.tile(RISING, (20, 1))) == 0).all()


@EVERY
@pytest.mark.parametrize(
    ("residual", "observed"),
    [
        (np.zeros((2, L - 1)), np.ones((2, L), bool)),
        (np.zeros(L), np.ones(L, bool)),
        (np.zeros((2, L)), np.ones(L, bool)),
        (np.full((2, L), np.nan), np.ones((2, L), bool)),
        (np.full((2, L), np.inf), np.ones((2, L), bool)),
        (np.zeros((2, L)), np.arange(L) < [[2], [1]]),
        (np.zeros((2, L)), np.zeros((2, L), bool)),
    ],
    ids=["lengths", "one row", "mask of one row", "NaN", "infinite", "one sample", "no sample"],
)
def test_bad_residuals_are_named(name: str, residual: np.ndarray, observed: np.ndarray) -> None:
    with pytest.raises(InputError, match="residual"):
        STATISTICS[name](residual, observed)


@pytest.mark.parametrize("potential", [SWEEP, np.zeros((2, L - 1)), np.full((2, L), np.nan)])
def test_a_bad_potential_is_named(potential: np.ndarray) -> None:
    with pytest.raises(InputError, match="E_V"):
        sweep_asymmetry(np.zeros((2, L)), np.ones((2, L), bool), potential)
