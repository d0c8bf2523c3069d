"""Ranks of simulation-based calibration against the formula and by repetition."""

import numpy as np
import pytest
from scipy import stats

from ecguard.diagnostics import histogram, log_gamma, ranks
from ecguard.errors import InputError


def test_ranks_count_the_draws_below() -> None:
    found = ranks([[[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]]], [[2.5, 0.0]])
    assert found.dtype == np.int64
    assert found.tolist() == [[2, 0]]


def test_ties_fall_at_random_and_by_the_seed() -> None:
    draws, truth = np.zeros((6000, 5, 1)), np.zeros((6000, 1))
    found = ranks(draws, truth, 3)
    counts = np.bincount(found[:, 0], minlength=6)
    assert stats.chisquare(counts).pvalue > 0.001
    assert np.array_equal(found, ranks(draws, truth, np.random.default_rng(3)))
    assert not np.array_equal(found, ranks(draws, truth, 4))


def formula(values: np.ndarray, n_draws: int) -> float:
    shares = np.arange(1, n_draws + 1) / (n_draws + 1)
    below = (values[:, None] < np.arange(1, n_draws + 1)).sum(axis=0)
    lower = stats.binom.cdf(below, len(values), shares)
    upper = 1 - stats.binom.cdf(below - 1, len(values), shares)
    return 2 * float(np.minimum(lower, upper).min())


@pytest.mark.parametrize(("cases", "n_draws"), [(1, 1), (40, 9), (200, 63)])
def test_log_gamma_is_the_formula_up_to_its_critical_value(cases: int, n_draws: int) -> None:
    generator = np.random.default_rng(cases)
    one, other = generator.integers(0, n_draws + 1, (2, cases))
    difference = log_gamma(one, n_draws) - log_gamma(other, n_draws)
    expected = np.log(formula(one, n_draws) / formula(other, n_draws))
    assert difference == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
@pytest.mark.parametrize(("cases", "n_draws"), [(500, 100), (300, 19)])
def test_uniform_ranks_are_rejected_at_the_stated_rate(
    cases: int, n_draws: int, alpha: float
) -> None:
    """Within what 4000 repetitions leave open, once in a thousand, and 0.003 for the null's own."""
    generator = np.random.default_rng(11)
    rejected = np.mean(
        [
            log_gamma(generator.integers(0, n_draws + 1, cases), n_draws, alpha) < 0
            for _ in range(4000)
        ]
    )
    low, high = stats.binom.ppf([0.0005, 0.9995], 4000, alpha) / 4000
    assert low - 0.003 <= rejected <= high + 0.003


def test_log_gamma_stays_finite_where_the_tail_underflows() -> None:
    assert -800 < log_gamma(np.zeros(1000), 100) < -600


def test_histogram_of_bins_of_unequal_width() -> None:
    found = histogram([0, 1, 3, 4, 4, 9], 9, bins=4)
    assert found.edges.tolist() == [0, 3, 5, 8, 10]
    assert found.counts.tolist() == [2, 3, 0, 1]
    assert found.expected == pytest.approx([1.8, 1.2, 1.8, 1.2])
    assert found.high.tolist() == stats.binom.ppf(0.995, 6, [0.3, 0.2, 0.3, 0.2]).tolist()


def test_uniform_ranks_keep_to_the_band_bin_by_bin() -> None:
    generator = np.random.default_rng(5)
    within = []
    for _ in range(500):
        found = histogram(generator.integers(0, 100, 400), 99)
        within.append((found.low <= found.counts) & (found.counts <= found.high))
    assert 0.985 <= np.mean(within) <= 0.999


@pytest.mark.parametrize(
    ("name", "draws", "truth"),
    [
        ("draws", np.zeros((4, 5)), np.zeros((4, 1))),
        ("draws", np.zeros((0, 5, 1)), np.zeros((0, 1))),
        ("draws", np.full((4, 5, 1), np.nan), np.zeros((4, 1))),
        ("truth", np.zeros((4, 5, 1)), np.zeros((4, 2))),
        ("truth", np.zeros((4, 5, 1)), np.full((4, 1), np.inf)),
    ],
)
def test_bad_draws_are_named(name: str, draws: np.ndarray, truth: np.ndarray) -> None:
    with pytest.raises(InputError, match=name):
        ranks(draws, truth)


@pytest.mark.parametrize("values", [[], [[1]], [-1], [11], [0.5], [np.nan]])
def test_bad_ranks_are_named(values: list) -> None:
    for statistic in (log_gamma, histogram):
        with pytest.raises(InputError, match="ranks"):
            statistic(values, 10)


def test_bad_settings_are_named() -> None:
    with pytest.raises(InputError, match="alpha"):
        log_gamma([1], 10, alpha=1.0)
    with pytest.raises(InputError, match="n_draws"):
        log_gamma([0], 0)
    with pytest.raises(InputError, match="bins"):
        histogram([1], 10, bins=12)
    with pytest.raises(InputError, match="level"):
        histogram([1], 10, bins=5, level=99.0)
