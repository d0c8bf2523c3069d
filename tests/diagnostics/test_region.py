"""Joint credible regions: one case in twenty outside 95 %, and faults of the posterior."""

import numpy as np
import pytest
from scipy import stats

from ecguard.diagnostics import region_credibility
from ecguard.errors import InputError

from .toy import toy

CASES, DRAWS = 2000, 400


def inside(credibility: np.ndarray) -> float:
    """Share of the cases in the 95 % region."""
    return float((credibility >= 0.05).mean())


def by_toy(fault: str, seed: int = 0) -> np.ndarray:
    one = toy(np.random.default_rng(seed), CASES, DRAWS)
    return region_credibility(one.draws(fault), one.truth)


def exchangeable(d: int, skewed: bool = False, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Draws and truth from one posterior with correlated parameters."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((CASES, DRAWS + 1, d))
    values = values + 0.7 * values[..., :1]
    values = np.exp(1.5 * values) if skewed else values
    return values[:, 1:], values[:, 0]


def test_a_hand_made_case() -> None:
    """Half widths are 1 below and 2 above; the truth is 1.5 half widths out."""
    below, above = np.linspace(-3, 0, 501)[:-1], np.linspace(0, 6, 501)[1:]
    draws = np.concatenate([below, [0.0], above])[None, :, None]
    low, high = np.quantile(draws, [0.1587, 0.8413])
    for truth in (1.5 * low, 1.5 * high):
        farther = (draws <= 1.5 * low) | (draws >= 1.5 * high)
        found = region_credibility(draws, [[truth]])
        assert found == pytest.approx([farther.mean()], abs=2e-3)


def test_the_worst_parameter_decides() -> None:
    generator = np.random.default_rng(2)
    draws = generator.standard_normal((1, 4000, 2))
    both, one = (float(region_credibility(draws, [at])[0]) for at in ([2.0, 2.0], [2.0, 0.0]))
    assert both == pytest.approx(one, abs=0.02)
    assert one == pytest.approx(1 - (1 - 2 * stats.norm.sf(2.0)) ** 2, abs=0.03)


def test_credibilities_of_calibrated_posteriors_are_uniform() -> None:
    assert stats.kstest(by_toy("none"), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("skewed", [False, True], ids=["even", "skewed"])
@pytest.mark.parametrize("d", [1, 2, 5, 16])
def test_19_in_20_truths_lie_inside_however_many_parameters(d: int, skewed: bool) -> None:
    """Within four standard errors, and half a percent for medians of few draws."""
    found = inside(region_credibility(*exchangeable(d, skewed)))
    assert found == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize(
    ("fault", "most"), [("too narrow", 0.89), ("shifted", 0.92), ("swapped", 0.4)]
)
def test_a_planted_fault_lowers_the_coverage(fault: str, most: float) -> None:
    assert inside(by_toy(fault)) < most


def test_too_wide_a_posterior_covers_too_much() -> None:
    draws, truth = exchangeable(3)
    middle = np.median(draws, axis=1, keepdims=True)
    assert inside(region_credibility(middle + 1.5 * (draws - middle), truth)) > 0.98


def test_the_prior_passes_for_a_posterior() -> None:
    """The limit of coverage: it does not ask whether anything was learnt."""
    assert inside(by_toy("prior")) == pytest.approx(0.95, abs=0.025)


def test_unit_and_order_of_the_parameters_do_not_matter() -> None:
    draws, truth = (values[:50] for values in exchangeable(3))
    found = region_credibility(draws, truth)
    unit, origin = np.array([1e-8, 1.0, 1e6]), np.array([0.0, 5.0, -1.0])
    moved = region_credibility(unit * draws + origin, unit * truth + origin)
    np.testing.assert_allclose(moved, found, atol=0.01)
    turned = region_credibility(draws[..., ::-1], truth[..., ::-1])
    np.testing.assert_array_equal(turned, found)


def test_a_parameter_without_width_counts_where_the_truth_differs_alone() -> None:
    draws, truth = (values[:50] for values in exchangeable(2))
    still = np.full((*draws.shape[:2], 1), 0.3)
    wider = np.concatenate([draws, still], axis=2)
    known = np.column_stack([truth, np.full(50, 0.3)])
    np.testing.assert_array_equal(
        region_credibility(wider, known), region_credibility(draws, truth)
    )
    elsewhere = np.column_stack([truth, np.full(50, 0.4)])
    assert (region_credibility(wider, elsewhere) == 0).all()


@pytest.mark.parametrize(
    ("name", "draws", "truth"),
    [
        ("draws", np.zeros((4, 5)), np.zeros((4, 1))),
        ("draws", np.zeros((4, 0, 1)), np.zeros((4, 1))),
        ("draws", np.full((4, 5, 1), np.nan), np.zeros((4, 1))),
        ("truth", np.zeros((4, 5, 1)), np.zeros((4, 2))),
        ("truth", np.zeros((4, 5, 1)), np.full((4, 1), np.inf)),
    ],
)
def test_bad_input_is_named(name: str, draws: np.ndarray, truth: np.ndarray) -> None:
    with pytest.raises(InputError, match=name):
        region_credibility(draws, truth)
