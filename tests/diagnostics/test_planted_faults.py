"""Every calibration test rejects planted faults and passes what is calibrated, by repetition."""

from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy import stats

from ecguard.diagnostics import (
    contraction,
    coverage,
    log_gamma,
    ranks,
    tarp,
    z_score_test,
    z_scores,
)

from .toy import PRIOR_MEAN, PRIOR_STD, D, Toy, toy

ALPHA = 0.05
SHIFT_FOUND = 0.68


def by_log_gamma(one: Toy, draws: np.ndarray, seed: int) -> bool:
    found = ranks(draws, one.truth, seed)
    return min(log_gamma(found[:, j], draws.shape[1], ALPHA / D) for j in range(D)) < 0


def by_coverage(one: Toy, draws: np.ndarray, seed: int) -> bool:
    found = coverage(draws, one.truth, confidence=1 - ALPHA / D, seed=seed)
    return not all(interval.contains(found.nominal) for interval in found.intervals)


def by_tarp(one: Toy, draws: np.ndarray, seed: int) -> bool:
    return tarp(draws, one.truth, PRIOR_MEAN, PRIOR_STD, seed=seed).p_value < ALPHA


def by_tarp_near_the_data(one: Toy, draws: np.ndarray, seed: int) -> bool:
    return tarp(draws, one.truth, PRIOR_MEAN, PRIOR_STD, one.data, seed).p_value < ALPHA


def by_z_scores(one: Toy, draws: np.ndarray, seed: int) -> bool:  # noqa: ARG001
    found = z_score_test(z_scores(draws, one.truth), draws.shape[1])
    return min(found.mean_p_value.min(), found.mean_square_p_value.min()) < ALPHA / (2 * D)


TESTS: dict[str, Callable[[Toy, np.ndarray, int], bool]] = {
    "log gamma": by_log_gamma,
    "coverage": by_coverage,
    "tarp": by_tarp,
    "tarp near the data": by_tarp_near_the_data,
    "z-scores": by_z_scores,
}
BLIND_TO_THE_PRIOR = ["log gamma", "coverage", "tarp", "z-scores"]


@cache
def rejections(fault: str, repetitions: int) -> Counter[str]:
    """How many of the repetitions, 1000 new cases each, each test rejects."""
    found: Counter[str] = Counter()
    for seed, generator in enumerate(np.random.default_rng(20).spawn(repetitions)):
        one = toy(generator)
        draws = one.draws(fault)
        found.update(name for name, rejects in TESTS.items() if rejects(one, draws, seed))
    return found


@pytest.mark.parametrize("test", TESTS)
def test_calibrated_posteriors_pass(test: str) -> None:
    """At most 7 % are rejected; a test of exactly 5 % exceeds that with one seed in fourteen."""
    assert rejections("none", 200)[test] <= 0.07 * 200


@pytest.mark.parametrize("test", TESTS)
def test_a_std_scaled_by_0_8_is_rejected(test: str) -> None:
    assert rejections("too narrow", 100)[test] >= 0.95 * 100


@pytest.mark.parametrize("fault", ["shifted", "swapped"])
@pytest.mark.parametrize("test", [name for name in TESTS if name != "tarp"])
def test_shifts_and_swapped_labels_are_rejected(test: str, fault: str) -> None:
    assert rejections(fault, 20)[test] == 20


def test_random_points_see_swapped_labels_but_a_shift_weakly() -> None:
    """A shift by half a std is found in about two of three repetitions, here within 99.8 %."""
    assert rejections("swapped", 20)["tarp"] == 20
    low, high = stats.binom.ppf([0.001, 0.999], 20, SHIFT_FOUND)
    assert low <= rejections("shifted", 20)["tarp"] <= high < 20


@pytest.mark.parametrize("test", BLIND_TO_THE_PRIOR)
def test_the_prior_passes_for_a_posterior(test: str) -> None:
    """The limit of these tests: at most what a test of 5 % exceeds once in a thousand."""
    assert rejections("prior", 20)[test] <= stats.binom.ppf(0.999, 20, ALPHA)


def test_the_prior_is_caught_by_contraction_and_by_points_near_the_data() -> None:
    assert rejections("prior", 20)["tarp near the data"] == 20
    one = toy(np.random.default_rng(4))
    learnt, nothing = (contraction(one.draws(fault), PRIOR_STD) for fault in ("none", "prior"))
    assert learnt.mean(axis=0) == pytest.approx(0.9, abs=0.005)
    assert nothing.mean(axis=0) == pytest.approx(0.0, abs=0.03)
