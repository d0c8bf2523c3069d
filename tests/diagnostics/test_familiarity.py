"""Familiarity: chi-distributed on clean traces, large off their axes and off their subspace."""

import json

import numpy as np
import pytest
from scipy import stats

from ecguard.diagnostics import Familiarity
from ecguard.errors import InputError

S, K = 12, 4
STD = np.array([9.0, 5.0, 3.0, 2.0])


def clean(seed: int, n: int, rest: float = 0.1) -> np.ndarray:
    """Summaries along K turned axes, and `rest` beside them."""
    generator = np.random.default_rng(seed)
    return (
        3.0
        + (generator.standard_normal((n, K)) * STD) @ axes()
        + (rest * generator.standard_normal((n, S)))
    )


def axes() -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(0).standard_normal((S, S)))[0][:K]


@pytest.fixture(scope="module")
def fitted() -> Familiarity:
    return Familiarity.fit(clean(1, 4000), components=K)


def test_distance_is_that_of_each_direction(fitted: Familiarity) -> None:
    beside = np.linalg.qr(np.random.default_rng(0).standard_normal((S, S)))[0][K]
    mean, rest = np.full(S, 3.0), 0.1 * np.sqrt(S - K)
    steps = [mean, *(mean + 7 * STD[:, None] * axes()), mean + 7 * rest * beside]
    found = fitted(np.stack(steps))
    assert found[0] < 0.5
    assert found[1:] == pytest.approx(np.full(K + 1, 7.0), rel=0.05)


def test_new_clean_traces_have_the_distance_of_a_chi_distribution() -> None:
    """K axes, each of std 1, and of all that is beside them the mean square 1."""
    fitted = Familiarity.fit(clean(1, 20_000), components=K)
    square = fitted(clean(2, 4000)) ** 2
    assert square.mean() == pytest.approx(K + 1, rel=0.05)
    assert square.var() == pytest.approx(2 * K + 2 / (S - K), rel=0.15)
    without = fitted(clean(2, 4000, rest=0.0))
    assert stats.kstest(without, stats.chi(K).cdf).pvalue > 1e-3


def test_all_axes_give_the_mahalanobis_distance() -> None:
    summaries, new = clean(1, 400), clean(2, 50)
    away = new - summaries.mean(axis=0)
    expected = np.einsum("ni,ij,nj->n", away, np.linalg.inv(np.cov(summaries.T)), away)
    found = Familiarity.fit(summaries, components=S)(new)
    np.testing.assert_allclose(found, np.sqrt(expected), rtol=1e-6)


def test_the_unit_does_not_matter() -> None:
    summaries, new = clean(1, 400), clean(2, 50)
    one = Familiarity.fit(summaries, components=K)(new)
    other = Familiarity.fit(1e-4 * summaries + 2, components=K)(1e-4 * new + 2)
    np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("along", [True, False], ids=["far along an axis", "off the subspace"])
def test_unfamiliar_traces_are_all_beyond_99_percent_of_clean_ones(
    fitted: Familiarity, along: bool
) -> None:
    """Off the subspace the step is a ninth of the largest std: along that axis it were nothing."""
    new = clean(2, 1000)
    threshold = np.quantile(fitted(new), 0.99)
    beside = np.linalg.qr(np.random.default_rng(0).standard_normal((S, S)))[0][K]
    step = 12 * STD[-1] * axes()[-1] if along else 0.11 * STD[0] * beside * 3
    assert (fitted(clean(3, 1000) + step) > threshold).mean() > 0.99
    if not along:
        hidden = np.linalg.norm(step) * axes()[0]
        assert (fitted(clean(3, 1000) + hidden) > threshold).mean() < 0.03


def test_a_shift_of_one_std_along_the_widest_axis_is_not_seen(fitted: Familiarity) -> None:
    """Its limit: what looks like another member of the family is familiar."""
    threshold = np.quantile(fitted(clean(2, 4000)), 0.95)
    assert (fitted(clean(3, 1000) + STD[0] * axes()[0]) > threshold).mean() < 0.25


def test_fewer_directions_than_components_are_enough() -> None:
    summaries = clean(1, 400)[:, :3]
    found = Familiarity.fit(summaries, components=K)
    assert found.axes.shape == (3, 3)
    assert found.rest == 1.0
    assert (found(summaries) ** 2).mean() == pytest.approx(3, rel=0.01)


def test_saved_and_loaded_distances_are_equal(fitted: Familiarity) -> None:
    loaded = Familiarity.from_json(json.loads(json.dumps(fitted.to_json())))
    np.testing.assert_array_equal(loaded(clean(2, 50)), fitted(clean(2, 50)))


@pytest.mark.parametrize(
    "summaries",
    [np.zeros(20), np.zeros((4 * K - 1, S)), np.full((4 * K, S), np.nan), np.zeros((0, S))],
)
def test_bad_clean_summaries_are_named(summaries: np.ndarray) -> None:
    with pytest.raises(InputError, match="summaries"):
        Familiarity.fit(summaries, components=K)


@pytest.mark.parametrize("summaries", [np.zeros(S), np.zeros((2, S + 1)), np.full((2, S), np.inf)])
def test_bad_new_summaries_are_named(fitted: Familiarity, summaries: np.ndarray) -> None:
    with pytest.raises(InputError, match="summaries"):
        fitted(summaries)
