"""Diagnostics against closed forms and planted faults."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecguard.diagnostics import CaseDiagnostics, case_diagnostics
from ecguard.errors import InputError

L = 4000


def calibrated(
    seed: int = 0, cases: int = 3, claimed: float = 1.0, unit: float = 1.0
) -> CaseDiagnostics:
    """A sine seen with noise 0.1; the predictive std is `claimed` times the true one."""
    generator = np.random.default_rng(seed)
    mean = np.tile(np.sin(np.linspace(0, 6, L)), (cases, 1))
    observed = mean + 0.1 * generator.standard_normal((cases, L))
    mask = generator.random((cases, L)) < 0.4
    std = np.full((cases, L), 0.1 * claimed)
    return case_diagnostics(
        unit * observed, mask, unit * mean, unit * std, np.zeros((cases, 2)), np.ones((cases, 2))
    )


def test_closed_forms_of_a_hand_made_case() -> None:
    found = case_diagnostics(
        [[0.0, 2.0, 4.0, 99.0]],
        [[True, True, True, False]],
        [[0.5, 2.0, 2.0, np.nan]],
        [[1.0, 1.0, 0.5, np.nan]],
        [[1.0, 5.0]],
        [[1.0, 2.0]],
    )
    z2 = 0.25 + 0.0 + 16.0
    cov1, cov2, cal = 2 / 3, 2 / 3, abs(2 / 3 - 0.6827) + abs(2 / 3 - 0.9545)
    nrmse, sharp = np.sqrt(4.25 / 3) / 4, (2.5 / 3) / 4
    nll = (0.5 * z2 + np.log(0.5)) / 3 + 0.5 * np.log(2 * np.pi)
    assert cov1 == cov2
    assert found.param_nrmse == pytest.approx([np.sqrt(4.5)])
    assert found.pred_nrmse == pytest.approx([nrmse])
    assert found.pred_nll == pytest.approx([nll])
    assert found.pred_calibration_error == pytest.approx([cal])
    assert found.pred_sharpness == pytest.approx([sharp])
    reference = 0.45 * np.exp(-nrmse) + 0.3 * np.exp(-nll) + 0.15 * np.exp(-4 * cal)
    assert found.reference_score == pytest.approx([100 * (reference + 0.1 * np.exp(-sharp))])
    ours = 0.3 * np.exp(-nrmse) + 0.3 / np.sqrt(z2 / 3) + 0.25 * np.exp(-4 * cal)
    assert found.reliability_score == pytest.approx([100 * (ours + 0.15 * np.exp(-sharp))])


def test_calibrated_posterior_passes() -> None:
    found = calibrated()
    assert (found.pred_calibration_error < 0.08).all()
    assert (found.reliability_score > 85).all()


@pytest.mark.parametrize("claimed", [0.3, 0.5, 2.0, 4.0])
def test_a_wrong_predictive_std_is_caught(claimed: float) -> None:
    right, wrong = calibrated(), calibrated(claimed=claimed)
    assert (wrong.pred_calibration_error > 0.2).all()
    assert (wrong.reliability_score < right.reliability_score - 15).all()


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(0.05, 20.0), st.integers(0, 5))
def test_our_score_is_free_of_the_unit_and_bounded(unit: float, claimed: float, seed: int) -> None:
    one, other = calibrated(seed, 1, claimed), calibrated(seed, 1, claimed, unit)
    np.testing.assert_allclose(one.reliability_score, other.reliability_score, rtol=1e-9)
    assert 0 <= one.reliability_score[0] <= 100


def test_the_reference_score_changes_with_the_unit() -> None:
    small, large = calibrated(unit=0.01), calibrated(unit=100.0)
    assert (small.reference_score > large.reference_score + 25).all()


def test_cases_do_not_see_each_other_nor_hidden_samples() -> None:
    generator = np.random.default_rng(1)
    current, mean = generator.standard_normal((2, 3, 50))
    mask = generator.random((3, 50)) < 0.5
    std, zeros = np.ones((3, 50)), np.zeros((3, 1))
    together = case_diagnostics(current, mask, mean, std, zeros, zeros)
    changed = np.where(mask, current, np.nan)
    alone = case_diagnostics(changed[1:2], mask[1:2], mean[1:2], std[1:2], zeros[:1], zeros[:1])
    for name in CaseDiagnostics.__dataclass_fields__:
        assert getattr(together, name)[1] == getattr(alone, name)[0]


def test_equal_samples_take_the_predictive_std_for_a_range() -> None:
    flat, mask = np.full((1, 30), 2.0), np.ones((1, 30), bool)
    found = case_diagnostics(flat, mask, flat + 0.1, 0 * flat + 0.2, [[0.0]], [[0.0]])
    assert found.pred_nrmse == pytest.approx([0.5])
    assert found.pred_sharpness == pytest.approx([1.0])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("observed_mask", {"observed_mask": np.zeros((2, 9), bool)}),
        ("observed_current", {"observed_current": np.full((2, 9), np.nan)}),
        ("predictive_mean", {"predictive_mean": np.zeros((2, 8))}),
        ("predictive_std", {"predictive_std": np.full((2, 9), -1.0)}),
        (
            "predictive_std",
            {"observed_current": np.zeros((2, 9)), "predictive_std": np.zeros((2, 9))},
        ),
        ("posterior_mean", {"posterior_mean": np.zeros((3, 1))}),
    ],
)
def test_bad_input_is_named(name: str, change: dict) -> None:
    good = {
        "observed_current": np.tile(np.arange(9.0), (2, 1)),
        "observed_mask": np.ones((2, 9), bool),
        "predictive_mean": np.zeros((2, 9)),
        "predictive_std": np.ones((2, 9)),
        "posterior_mean": np.zeros((2, 1)),
        "true_parameters": np.zeros((2, 1)),
    }
    with pytest.raises(InputError, match=name):
        case_diagnostics(**(good | change))
