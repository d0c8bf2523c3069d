"""Tests of accuracy with random points."""

import numpy as np
import pytest
from scipy import stats

from ecguard.diagnostics import tarp
from ecguard.errors import InputError

from .toy import PRIOR_MEAN, PRIOR_STD, toy


def test_a_hand_made_case() -> None:
    """Three of four draws are nearer to the reference than the truth is."""
    draws = np.array([[[1.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [5.0, 5.0]]])
    found = tarp(draws, [[3.0, 0.0]], [0, 0], [1, 1], reference=[[0.0, 0.0]])
    assert 3 / 5 <= found.credibility[0] <= 4 / 5
    narrow = tarp(draws, [[3.0, 0.0]], [0, 0], [10, 1], reference=[[0.0, 0.0]])
    assert 2 / 5 <= narrow.credibility[0] <= 3 / 5


def test_credibilities_are_uniform_and_the_test_is_theirs() -> None:
    one = toy(np.random.default_rng(2), cases=3000, n_draws=20)
    found = tarp(one.draws(), one.truth, PRIOR_MEAN, PRIOR_STD)
    again = stats.kstest(found.credibility, "uniform")
    assert (found.statistic, found.p_value) == (again.statistic, again.pvalue)
    assert found.p_value > 0.001
    assert ((found.credibility >= 0) & (found.credibility <= 1)).all()


def test_free_of_the_unit_and_fixed_by_the_seed() -> None:
    one = toy(np.random.default_rng(3), cases=50)
    unit, origin = np.array([1e-5, 1.0, 1e3]), np.array([0.0, 5.0, -1.0])
    first = tarp(one.draws(), one.truth, PRIOR_MEAN, PRIOR_STD, seed=1)
    other = tarp(
        unit * one.draws() + origin,
        unit * one.truth + origin,
        unit * PRIOR_MEAN + origin,
        unit * PRIOR_STD,
        seed=1,
    )
    np.testing.assert_allclose(first.credibility, other.credibility)
    again = tarp(one.draws(), one.truth, PRIOR_MEAN, PRIOR_STD, seed=2)
    assert (again.credibility != first.credibility).all()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("draws", {"draws": np.zeros((4, 3))}),
        ("draws", {"draws": np.full((4, 5, 3), np.nan)}),
        ("truth", {"truth": np.zeros((3, 3))}),
        ("prior_mean", {"prior_mean": np.zeros(2)}),
        ("prior_mean", {"prior_mean": np.full(3, np.nan)}),
        ("prior_std = 0.0", {"prior_std": np.zeros(3)}),
        ("reference", {"reference": np.zeros(3)}),
        ("reference", {"reference": np.full((4, 3), np.nan)}),
    ],
)
def test_bad_input_is_named(name: str, change: dict) -> None:
    good = {
        "draws": np.random.default_rng(0).standard_normal((4, 5, 3)),
        "truth": np.zeros((4, 3)),
        "prior_mean": np.zeros(3),
        "prior_std": np.ones(3),
    }
    with pytest.raises(InputError, match=name):
        tarp(**(good | change))
