"""Predictive checks on a linear Gaussian whose posterior is known, and faults planted in it."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy import stats

from ecguard.diagnostics import (
    CalibratedScore,
    case_diagnostics,
    held_out_score,
    leave_one_out_score,
    predictive_p_value,
)
from ecguard.errors import InputError

L, D, NOISE = 80, 3, 0.3
DESIGN = np.random.default_rng(1).standard_normal((L, D))
MANY = 1000
LOWEST = 5.0  # calibrated score below which a case is flagged: a false alarm in twenty
MOST_ALARMS = 0.08  # of 5 %, once in a thousand: 3.1 std of both the threshold and the share

Fault = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

FAULTS: dict[str, Fault] = {
    "none": lambda draws, mean, covariance: draws,  # noqa: ARG005
    "too narrow": lambda draws, mean, covariance: mean + 0.8 * (draws - mean),  # noqa: ARG005
    "shifted": lambda draws, mean, covariance: draws + 0.5 * np.sqrt(np.diag(covariance)),  # noqa: ARG005
    "prior": lambda draws, mean, covariance: (
        np.linalg.solve(np.linalg.cholesky(covariance), (draws - mean).T).T
    ),
}


def linear(
    cases: int = 200, draws: int = 300, misfit: float = 0.0, seed: int = 0, fault: str = "none"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted currents, observed current and the mask of the fit; prior N(0, 1)."""
    generator = np.random.default_rng(seed)
    truth = generator.standard_normal((cases, D))
    odd = misfit * np.sin(np.arange(L))
    observed = truth @ DESIGN.T + odd + NOISE * generator.standard_normal((cases, L))
    fitted = generator.random((cases, L)) < 0.5
    predicted = np.empty((cases, draws, L))
    for i in range(cases):
        design = DESIGN[fitted[i]]
        covariance = np.linalg.inv(np.eye(D) + design.T @ design / NOISE**2)
        mean = covariance @ design.T @ observed[i, fitted[i]] / NOISE**2
        drawn = generator.multivariate_normal(mean, covariance, draws)
        predicted[i] = FAULTS[fault](drawn, mean, covariance) @ DESIGN.T
    return predicted, observed, fitted


@cache
def raw_scores(fault: str, seed: int) -> dict[str, np.ndarray]:
    """What each check says of many cases, low where it suspects them."""
    predicted, observed, fitted = linear(MANY, 50, seed=seed, fault=fault)
    noise = np.full(MANY, NOISE)
    left = held_out_score(predicted, observed, ~fitted, noise)
    std = np.sqrt(predicted.var(axis=1) + NOISE**2)
    nothing = np.zeros((MANY, 1))
    case = case_diagnostics(observed, fitted, predicted.mean(axis=1), std, nothing, nothing)
    return {
        "p-value": predictive_p_value(predicted, observed, fitted, noise),
        "held-out density": left.log_density,
        "held-out chi-square": -left.chi_square_z,
        "leave one out": -leave_one_out_score(predicted, observed, fitted, noise),
        "reliability": case.reliability_score,
    }


CHECKS = ("p-value", "held-out density", "held-out chi-square", "leave one out", "reliability")


def flagged(check: str, fault: str) -> float:
    """Share of cases with a fault whose calibrated score is below `LOWEST`."""
    calibrated = CalibratedScore.fit(raw_scores("none", 1)[check])
    return float((calibrated(raw_scores(fault, 2)[check]) < LOWEST).mean())


@pytest.mark.parametrize("check", CHECKS)
def test_a_calibrated_posterior_is_flagged_as_often_as_promised(check: str) -> None:
    assert 0.05 - (MOST_ALARMS - 0.05) < flagged(check, "none") < MOST_ALARMS


@pytest.mark.parametrize("fault", ["too narrow", "shifted"])
@pytest.mark.parametrize("check", CHECKS)
def test_no_check_sees_a_small_fault(check: str, fault: str) -> None:
    """The limit of these checks, which those of many known truths in `test_planted_faults` find."""
    assert flagged(check, fault) < MOST_ALARMS


@pytest.mark.parametrize(
    ("check", "least", "most"),
    [
        ("p-value", 0.99, 1.0),
        ("held-out density", 0.99, 1.0),
        ("leave one out", 0.99, 1.0),
        ("reliability", 0.68, 0.82),
        ("held-out chi-square", 0.0, MOST_ALARMS),
    ],
)
def test_the_prior_is_found_but_by_the_held_out_chi_square(
    check: str, least: float, most: float
) -> None:
    assert least <= flagged(check, "prior") <= most


@pytest.mark.parametrize(
    "check", [predictive_p_value, held_out_score, leave_one_out_score, CalibratedScore]
)
def test_its_docstring_says_what_a_check_is_blind_to(check: Callable[..., object]) -> None:
    said = " ".join((check.__doc__ or "").split())
    assert "lind to" in said
    assert "a fifth too narrow or off by half a std" in said


def test_p_value_of_one_draw_is_the_tail_of_chi_square() -> None:
    found = predictive_p_value(
        [[[0.0, 0.0, np.nan]]], [[1.0, 3.0, np.nan]], [[True, True, False]], [1.0], [[3.0, 8.0, 0]]
    )
    assert found == pytest.approx([stats.chi2.sf(1 / 4 + 9 / 9, 2)])


def test_p_value_is_that_of_drawn_replicates() -> None:
    predicted, observed, fitted = linear(cases=4, draws=4000)
    found = predictive_p_value(predicted, observed, fitted, np.full(4, NOISE))
    noise = NOISE * np.random.default_rng(9).standard_normal(predicted.shape)
    weight = fitted[:, None]
    replicated = (weight * noise**2).sum(axis=2)
    realised = (weight * (predicted - observed[:, None]) ** 2).sum(axis=2)
    assert found == pytest.approx((replicated >= realised).mean(axis=1), abs=0.03)


def test_clean_p_values_crowd_about_a_half_and_a_misfit_is_found() -> None:
    noise = np.full(200, NOISE)
    clean = predictive_p_value(*linear(), noise)
    assert clean.mean() == pytest.approx(0.5, abs=0.1)
    assert (clean < 0.05).mean() < 0.05
    assert (predictive_p_value(*linear(misfit=0.6), noise) < 0.01).mean() > 0.9


def test_log_density_is_that_of_the_mixture() -> None:
    found = held_out_score([[[0.0, 0.0], [2.0, 0.0]]], [[1.0, 0.5]], [[True, True]], [0.5], 0.75)
    expected = stats.norm.logpdf([1.0, 0.5]).mean()
    assert found.log_density == pytest.approx([expected])
    apart = held_out_score([[[0.0], [2.0]]], [[0.0]], [[True]], [1.0])
    mixture = np.mean(stats.norm.pdf([0.0, -2.0]))
    assert apart.log_density == pytest.approx([np.log(mixture)])


def test_chi_square_is_that_of_the_full_covariance() -> None:
    predicted, observed, fitted = linear(cases=1, draws=50)
    found = held_out_score(predicted, observed, ~fitted, [NOISE], 0.02)
    held = predicted[0][:, ~fitted[0]]
    n = held.shape[1]
    covariance = (NOISE**2 + 0.02) * np.eye(n) + np.cov(held.T) * (1 + 1 / 50)
    residual = observed[0, ~fitted[0]] - held.mean(axis=0)
    chi_square = residual @ np.linalg.solve(covariance, residual)
    assert found.chi_square_z == pytest.approx([(chi_square - n) / np.sqrt(2 * n)])


def test_held_out_z_is_standard_on_clean_cases_and_finds_a_misfit() -> None:
    """Mean and std within four standard errors of 200 cases."""
    noise = np.full(200, NOISE)
    predicted, observed, fitted = linear()
    clean = held_out_score(predicted, observed, ~fitted, noise)
    assert abs(clean.chi_square_z.mean()) < 4 / np.sqrt(200)
    assert clean.chi_square_z.std() == pytest.approx(1, abs=4 / np.sqrt(400))
    predicted, observed, fitted = linear(misfit=0.6)
    odd = held_out_score(predicted, observed, ~fitted, noise)
    assert (odd.chi_square_z > 2).mean() > 0.9
    assert odd.log_density.mean() < clean.log_density.mean()
    granted = held_out_score(
        predicted, observed, ~fitted, noise, 0.6**2 * np.sin(np.arange(L)) ** 2
    )
    assert abs(granted.chi_square_z.mean()) < 4 / np.sqrt(200)


def exact_leave_one_out(observed: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """The score from the conjugate posteriors without one sample each."""
    found = []
    for row, own in zip(observed, fitted, strict=True):
        each = []
        for i in np.flatnonzero(own):
            design = DESIGN[own & (np.arange(L) != i)]
            covariance = np.linalg.inv(np.eye(D) + design.T @ design / NOISE**2)
            mean = covariance @ design.T @ row[own & (np.arange(L) != i)] / NOISE**2
            std = np.sqrt(1 + DESIGN[i] @ covariance @ DESIGN[i] / NOISE**2)
            each.append(stats.norm.logpdf((row[i] - DESIGN[i] @ mean) / NOISE, scale=std))
        pure = -0.5 - 0.5 * np.log(2 * np.pi)
        found.append(-np.sqrt(2 * len(each)) * (np.mean(each) - pure))
    return np.array(found)


def test_leave_one_out_is_that_of_the_posteriors_without_a_sample() -> None:
    predicted, observed, fitted = linear(cases=6, draws=4000)
    found = leave_one_out_score(predicted, observed, fitted, np.full(6, NOISE))
    assert found == pytest.approx(exact_leave_one_out(observed, fitted), abs=0.1)


def test_leave_one_out_of_one_certain_draw_is_half_a_chi_square() -> None:
    found = leave_one_out_score([[[0.0, 0.0, 0.0]]], [[2.0, 0.0, 99.0]], [[True, True, False]], [1])
    assert found == pytest.approx([0.5 * np.sqrt(4) * (2.0**2 / 2 - 1)])


def test_leave_one_out_is_near_0_on_clean_cases_and_an_outlier_or_a_misfit_raises_it() -> None:
    """What D parameters take up of n samples lifts the mean to about D / sqrt(2 n)."""
    noise = np.full(200, NOISE)
    predicted, observed, fitted = linear()
    clean = leave_one_out_score(predicted, observed, fitted, noise)
    taken = (D / np.sqrt(2 * fitted.sum(axis=1))).mean()
    assert clean.mean() == pytest.approx(taken, abs=4 * 1.1 / np.sqrt(200))
    assert clean.std() == pytest.approx(1.05, abs=4 / np.sqrt(400))
    threshold = np.quantile(clean, 0.95)
    odd = leave_one_out_score(*linear(misfit=0.6), noise)
    assert (odd > threshold).mean() > 0.95
    spiked = observed.copy()
    first = (np.arange(200), fitted.argmax(axis=1))
    spiked[first] += 6 * NOISE * np.where(observed[first] > predicted[first[0], 0, first[1]], 1, -1)
    found = leave_one_out_score(predicted, spiked, fitted, noise)
    assert (found > clean).all()
    assert (found > threshold).mean() > 0.95


def test_leave_one_out_does_not_see_a_noise_that_is_granted() -> None:
    """Its limit: a wrong noise std that the user believes in hides what it explains."""
    predicted, observed, fitted = linear(misfit=0.6)
    granted = np.full(200, np.hypot(NOISE, 0.6 / np.sqrt(2)))
    assert (leave_one_out_score(predicted, observed, fitted, granted) < 1).mean() > 0.9


def test_free_of_the_unit_and_of_hidden_samples() -> None:
    predicted, observed, fitted = linear(cases=3, draws=20)
    noise = np.full(3, NOISE)
    hidden = np.where(fitted, np.nan, observed)
    unit = 1e-6
    for one, other in (
        (
            held_out_score(predicted, observed, ~fitted, noise, 0.1).chi_square_z,
            held_out_score(
                unit * predicted, unit * hidden, ~fitted, unit * noise, unit**2 * 0.1
            ).chi_square_z,
        ),
        (
            predictive_p_value(predicted, observed, ~fitted, noise),
            predictive_p_value(unit * predicted, unit * hidden, ~fitted, unit * noise),
        ),
        (
            leave_one_out_score(predicted, observed, ~fitted, noise),
            leave_one_out_score(unit * predicted, unit * hidden, ~fitted, unit * noise),
        ),
    ):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("score", [predictive_p_value, held_out_score, leave_one_out_score])
@pytest.mark.parametrize(
    ("position", "name", "value"),
    [
        (0, "predicted_current", np.zeros((2, 9))),
        (0, "predicted_current", np.zeros((2, 4, 8))),
        (0, "predicted_current", np.zeros((2, 0, 9))),
        (0, "predicted_current", np.full((2, 4, 9), np.inf)),
        (1, "observed_current", np.zeros((2, 8))),
        (1, "observed_current", np.full((2, 9), np.nan)),
        (2, "mask", np.zeros((2, 9), bool)),
        (2, "mask", np.zeros((0, 9), bool)),
        (3, "noise_std", 0.1),
        (3, "noise_std = 0.0", np.zeros(2)),
        (3, "noise_std", np.full(2, np.nan)),
    ],
)
def test_bad_input_is_named(score: object, position: int, name: str, value: object) -> None:
    arguments: list = [
        np.zeros((2, 4, 9)),
        np.zeros((2, 9)),
        np.ones((2, 9), bool),
        np.ones(2),
    ]
    arguments[position] = value
    with pytest.raises(InputError, match=name):
        score(*arguments)


@pytest.mark.parametrize("score", [predictive_p_value, held_out_score])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("error_variance", np.zeros(2)),
        ("error_variance = -1.0", -1.0),
        ("error_variance", np.nan),
    ],
)
def test_a_bad_model_error_is_named(score: object, name: str, value: object) -> None:
    with pytest.raises(InputError, match=name):
        score(np.zeros((2, 4, 9)), np.zeros((2, 9)), np.ones((2, 9), bool), np.ones(2), value)


def test_one_draw_has_no_covariance() -> None:
    with pytest.raises(InputError, match="two draws"):
        held_out_score(np.zeros((1, 1, 3)), np.zeros((1, 3)), np.ones((1, 3), bool), [1.0])
