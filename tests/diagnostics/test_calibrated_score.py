"""The calibrated score: uniform on clean cases, rising, and free of the raw score's scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecguard.diagnostics import CalibratedScore
from ecguard.errors import InputError

scores = st.lists(st.integers(0, 12), min_size=2, max_size=15)


def test_a_hand_made_case() -> None:
    calibrated = CalibratedScore.fit([70.0, 50.0, 60.0, 60.0])
    assert calibrated([0.0, 50.0, 55.0, 60.0, 99.0]).tolist() == [10.0, 20.0, 30.0, 50.0, 90.0]


def test_a_new_clean_case_scores_evenly() -> None:
    """Each of n + 1 cases in turn, as the new one, takes another one of the n + 1 values."""
    raw = np.random.default_rng(0).gamma(2.0, size=21)
    found = [float(CalibratedScore.fit(np.delete(raw, i))(raw[i])) for i in range(21)]
    assert sorted(found) == pytest.approx(100 * (np.arange(21) + 0.5) / 21)


@settings(max_examples=50, deadline=None)
@given(scores)
def test_ties_leave_the_mean_at_50_and_the_range_within_100(raw: list[int]) -> None:
    found = [float(CalibratedScore.fit(raw[:i] + raw[i + 1 :])(raw[i])) for i in range(len(raw))]
    assert np.mean(found) == pytest.approx(50)
    assert 0 < min(found) <= max(found) < 100


@settings(max_examples=50, deadline=None)
@given(scores, scores)
def test_rises_with_the_raw_score_and_keeps_its_order_alone(raw: list[int], new: list[int]) -> None:
    found = CalibratedScore.fit(raw)(np.sort(new))
    assert (np.diff(found) >= 0).all()
    np.testing.assert_array_equal(found, CalibratedScore.fit(np.exp(raw))(np.exp(np.sort(new))))


@pytest.mark.parametrize("raw", [[], [[1.0]], [1.0, np.nan], 3.0])
def test_bad_calibration_scores_are_named(raw: object) -> None:
    with pytest.raises(InputError, match="scores"):
        CalibratedScore.fit(raw)


def test_a_bad_new_score_is_named() -> None:
    with pytest.raises(InputError, match="scores"):
        CalibratedScore.fit([1.0, 2.0])([np.nan])
