"""Stretched intervals, on normal posteriors whose spread is wrong by a known factor."""

import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.posterior.stretch import LEVEL, stretch_of, stretched

Z = 1.959964
CLAIMED = np.array([0.5, 1.0, 2.0])  # spread that posteriors claim, over the true one


def posteriors(n, seed, skew=1.0):
    """Means, ends and truths [n, 3]; the upper ends are `skew` times as far off."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, 3))
    mean = truth + rng.normal(size=(n, 3))
    return mean, mean - Z * CLAIMED, mean + skew * Z * CLAIMED, truth


def held(mean, low, high, truth, factor):
    low, high = stretched(mean, low, high, factor)
    return ((low <= truth) & (truth <= high)).mean(axis=0)


def test_factors_undo_what_the_spread_has_wrong():
    np.testing.assert_allclose(stretch_of(*posteriors(100_000, 0)).factor * CLAIMED, 1.0, rtol=0.02)


def test_new_intervals_hold_what_they_say_on_average():
    """Over many design sets, as the theorem has it: at least 0.95, and hardly more."""
    new = posteriors(20_000, 1)
    found = [held(*new, stretch_of(*posteriors(60, seed)).factor) for seed in range(2, 302)]
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    assert (mean > LEVEL - 3 * error).all()
    assert (mean < LEVEL + 2 / 61 + 3 * error).all()
    assert (np.abs(held(*new, np.ones(3)) - LEVEL)[[0, 2]] > 0.03).all()


def test_the_factor_is_a_ratio_of_a_design_electrode():
    """The 58th of 60; each side counts in units of its own half."""
    mean, low, high, truth = posteriors(60, 7, skew=3.0)
    each = np.where(truth > mean, (truth - mean) / (high - mean), (mean - truth) / (mean - low))
    np.testing.assert_allclose(stretch_of(mean, low, high, truth).factor, np.sort(each, axis=0)[57])


@pytest.mark.parametrize("n", [1, 5, 18])
def test_few_electrodes_give_their_largest_ratio(n):
    given = posteriors(n, 3)
    found = stretch_of(*given)
    assert found.n == n
    assert held(*given, found.factor * (1 + 1e-12)).tolist() == [1.0] * 3
    assert (held(*given, found.factor * (1 - 1e-6)) == 1 - 1 / n).all()


def test_intervals_without_a_width_hold_nothing_but_their_mean():
    mean = np.zeros((30, 1))
    truth = np.where(np.arange(30) < 28, 0.0, 1.0)[:, None]
    assert stretch_of(*[mean[:19]] * 3, truth[:19]).factor[0] == 0.0
    assert stretch_of(*[mean] * 3, truth).factor[0] > 1e11


def test_a_mean_outside_of_its_interval_counts_as_at_its_end():
    """As that of a small peak far away may make it; the interval only grows with the factor."""
    mean, low, high = (np.full((25, 1), value) for value in (3.0, -1.0, 1.0))
    truth = np.linspace(-3.0, 1.0, 25)[:, None]
    factor = stretch_of(mean, low, high, truth).factor
    np.testing.assert_allclose(factor, (1.0 - truth[0]) / 2.0)
    ends = stretched(mean, low, high, factor)
    assert (ends[0][0, 0], ends[1][0, 0]) == (-3.0, 1.0)


@pytest.mark.parametrize(("n", "rank"), [(19, 19), (20, 20), (38, 38), (39, 38), (40, 39)])
def test_rank_is_that_of_the_theorem(n, rank):
    truth = 0.1 + np.random.default_rng(5).permutation(n)[:, None]
    mean = np.zeros((n, 1))
    assert stretch_of(mean, mean - 1, mean + 1, truth).factor[0] == pytest.approx(0.1 + rank - 1)


def test_ends_move_about_the_mean():
    mean, low, high = (np.array([own]) for own in ([1.0, 0.0], [0.0, -1.0], [3.0, 1.0]))
    low, high = stretched(mean, low, high, np.array([2.0, 0.5]))
    assert (low.tolist(), high.tolist()) == ([[-1.0, -0.5]], [[5.0, 0.5]])


@pytest.mark.parametrize(
    ("place", "value"), [(0, np.nan), (1, np.inf), (2, -9.0), (3, np.nan), (0, -np.inf)]
)
def test_intervals_that_are_none_are_refused(place, value):
    given = [own.copy() for own in posteriors(30, 4)]
    given[place][4, 1] = value
    with pytest.raises(InputError, match="low <= high"):
        stretch_of(*given)


def test_other_shapes_are_refused():
    mean, low, high, truth = posteriors(30, 4)
    with pytest.raises(InputError, match=r"\(30, 2\)"):
        stretch_of(mean, low, high, truth[:, :2])
    with pytest.raises(InputError, match="n of 1 or more"):
        stretch_of(*(own[:0] for own in (mean, low, high, truth)))
