"""Intervals against closed forms, known tables and their own guarantee."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecguard.errors import InputError
from ecguard.intervals import (
    auroc,
    auroc_interval,
    difference_interval,
    excess_p_value,
    share,
)


def test_exact_limits_at_the_ends() -> None:
    none, every = share(0, 20), share(20, 20)
    assert (none.low, every.high) == (0.0, 1.0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert every.low == pytest.approx(0.025 ** (1 / 20))


def test_exact_limits_of_the_note() -> None:
    assert share(7, 300).high <= 0.05 < share(8, 300).high
    assert share(281, 300).low >= 0.90 > share(279, 300).low


def test_area_of_hand_made_samples_with_ties() -> None:
    assert auroc([3, 4], [1, 2]) == 1.0
    assert auroc([1, 2], [3, 4]) == 0.0
    assert auroc([2, 2], [2, 2]) == 0.5
    assert auroc([1, 3], [2, 3]) == pytest.approx((0 + 0 + 1 + 0.5) / 4)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=8),
    st.lists(st.integers(-3, 3), min_size=1, max_size=8),
)
def test_area_is_the_share_of_ordered_pairs(first: list[int], second: list[int]) -> None:
    a, b = np.array(first)[:, None], np.array(second)
    assert auroc(first, second) == pytest.approx(np.mean((a > b) + 0.5 * (a == b)))
    assert auroc(first, second) + auroc(second, first) == pytest.approx(1.0)


@pytest.mark.parametrize("paired", [False, True])
def test_area_interval_covers(paired: bool) -> None:
    generator = np.random.default_rng(3)
    truth, hits = 0.7602499, 0  # Phi(1 / sqrt 2)
    for repetition in range(200):
        shared = generator.standard_normal(40) if paired else 0.0
        weight = np.sqrt(0.5) if paired else 0.0
        noise = generator.standard_normal((2, 40)) * np.sqrt(1 - weight**2) + weight * shared
        interval = auroc_interval(
            noise[0] + 1.0, noise[1], paired=paired, resamples=300, seed=repetition
        )
        hits += interval.contains(truth)
    assert hits >= 178


def test_paired_cases_narrow_the_interval() -> None:
    generator = np.random.default_rng(0)
    shared = generator.standard_normal(80)
    first, second = shared + 0.3 + 0.1 * generator.standard_normal(80), shared
    paired = auroc_interval(first, second, paired=True)
    unpaired = auroc_interval(first, second)
    assert paired.high - paired.low < 0.7 * (unpaired.high - unpaired.low)


def test_a_case_is_not_compared_with_itself() -> None:
    """A rounding error that all cases share is no separation, and the interval holds the value."""
    score = np.random.default_rng(4).standard_normal(60)
    for shift in (0.0, 1e-9, -1e-9):
        found = auroc_interval(score + shift, score, paired=True)
        assert found.value == 0.5
        assert found.low <= 0.5 <= found.high
    first, second = np.array([3.0, 1.0, 2.0]), np.array([2.5, 1.5, 0.5])
    wins = [a > b for i, a in enumerate(first) for j, b in enumerate(second) if i != j]
    assert auroc_interval(first, second, paired=True).value == pytest.approx(np.mean(wins))


@pytest.mark.parametrize(("paired", "pairs"), [(False, 6), (True, 3)])
def test_complete_separation_keeps_a_width(paired: bool, pairs: int) -> None:
    """A pair is of two cases, of which paired samples have half as many."""
    found = auroc_interval([5, 6, 7, 8, 9, 10], [0, 1, 2, 3, 4, 4], paired=paired)
    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(0.025 ** (1 / pairs))
    assert found.n == 6


def test_difference_is_paired_and_seeded() -> None:
    generator = np.random.default_rng(2)
    base = 100 * generator.standard_normal(50)
    found = difference_interval(base + 1.0, base)
    assert found.value == pytest.approx(1.0)
    assert found.high - found.low < 1e-9
    noisy = base + generator.standard_normal(50)
    median = difference_interval(noisy, base, "median", seed=4)
    assert median == difference_interval(noisy, base, "median", seed=4)
    assert median.low < np.median(noisy - base) < median.high


def test_excess_is_the_sign_test_of_the_cases_that_differ() -> None:
    first = np.array([1, 1, 1, 1, 1, 0, 1, 0], bool)
    second = np.array([0, 0, 0, 0, 0, 1, 1, 0], bool)
    assert excess_p_value(first, second) == pytest.approx(7 / 64)
    assert excess_p_value(second, first) == pytest.approx(63 / 64)
    assert excess_p_value(first, first) == 1.0


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="second"):
        excess_p_value([True], [True, False])
    with pytest.raises(InputError, match="hits"):
        share(3, 2)
    with pytest.raises(InputError, match="n = 0"):
        share(0, 0)
    with pytest.raises(InputError, match="negative"):
        auroc([1.0], [])
    with pytest.raises(InputError, match="positive"):
        auroc([np.nan], [1.0])
    with pytest.raises(InputError, match="negative"):
        auroc_interval([1.0, 2.0], [1.0], paired=True)
    with pytest.raises(InputError, match="location"):
        difference_interval([1.0], [2.0], "mode")  # type: ignore[arg-type]


def test_the_bootstrap_covers_at_six_cases() -> None:
    """Plain percentiles cover the mean of six cases in some 85 % of samples."""
    generator = np.random.default_rng(4)
    hits = sum(
        difference_interval(generator.normal(size=6), np.zeros(6), resamples=400, seed=k).contains(
            0
        )
        for k in range(1000)
    )
    assert hits / 1000 >= 0.9
