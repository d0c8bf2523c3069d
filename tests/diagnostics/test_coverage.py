"""Coverage of credible intervals: exact nominal levels, by repetition."""

import numpy as np
import pytest

from ecguard.diagnostics import coverage, coverage_curve
from ecguard.errors import InputError


def exchangeable(cases: int, n_draws: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth and draws from one skewed posterior, d = 2."""
    values = np.random.default_rng(seed).exponential(size=(cases, n_draws + 1, 2)) ** 2
    return values[:, 1:], values[:, 0]


@pytest.mark.parametrize(
    ("n_draws", "level", "nominal"),
    [(39, 0.95, 38 / 40), (100, 0.95, 95 / 101), (99, 0.95, 0.96), (199, 0.5, 0.5), (9, 0.01, 0.2)],
)
def test_nominal_is_the_nearest_level_that_ranks_allow(
    n_draws: int, level: float, nominal: float
) -> None:
    assert coverage(*exchangeable(2, n_draws), level).nominal == pytest.approx(nominal)


def test_a_hand_made_case() -> None:
    draws = np.tile(np.arange(1.0, 40.0)[:, None], (3, 1, 1))
    found = coverage(draws, [[0.5], [1.5], [39.5]])
    assert found.intervals[0].value == pytest.approx(1 / 3)
    assert found.intervals[0].n == 3


@pytest.mark.parametrize("n_draws", [39, 100])
def test_exchangeable_truths_are_covered_at_the_nominal_rate(n_draws: int) -> None:
    for found in coverage_curve(*exchangeable(20_000, n_draws), confidence=0.999):
        assert all(interval.contains(found.nominal) for interval in found.intervals)


def test_the_curve_holds_each_level() -> None:
    draws, truth = exchangeable(50, 99)
    levels = (0.9, 0.5)
    curve = coverage_curve(draws, truth, levels)
    assert curve == tuple(coverage(draws, truth, level) for level in levels)


def test_bad_input_is_named() -> None:
    draws, truth = exchangeable(5, 38)
    with pytest.raises(InputError, match=r"n_draws = 38 .* 39 or more"):
        coverage(draws, truth)
    with pytest.raises(InputError, match="level"):
        coverage(draws, truth, 95.0)
    with pytest.raises(InputError, match="confidence"):
        coverage(draws, truth, 0.5, confidence=1.0)
    with pytest.raises(InputError, match="truth"):
        coverage(draws, truth[:4])
    with pytest.raises(InputError, match="draws"):
        coverage(np.where(draws > 1, np.nan, draws), truth)
