"""What a calibration result says of posteriors whose faults are known."""

from dataclasses import replace

import numpy as np
import pytest

from ecguard.calibration import N_RANKED, _completed, _first_half, _gather
from ecguard.clean_cases import CleanSettings, draw_clean
from ecguard.engines import CORRECTED, EXACT, REFERENCE
from ecguard.posterior.corrected import Inferred

from .toy_calibration import N, result_of


@pytest.fixture(scope="module")
def calibrated():
    return result_of()


@pytest.fixture(scope="module")
def narrow():
    return result_of(width=0.6)


def test_calibrated_ranks_pass_and_narrow_ones_are_rejected(calibrated, narrow):
    assert sum(value < 0 for value in calibrated.log_gamma(EXACT).values()) <= 3
    assert all(value < 0 for name, value in narrow.log_gamma(CORRECTED).items() if "2" not in name)


def test_coverage_tells_narrow_intervals(calibrated, narrow):
    assert all(i.contains(0.95) or i.value > 0.9 for i in calibrated.coverage(EXACT).values())
    assert all(i.value < 0.85 for i in narrow.coverage(CORRECTED).values())


def test_tarp_tells_narrow_posteriors(calibrated, narrow):
    assert calibrated.tarp_p_value(EXACT) > 0.001
    assert narrow.tarp_p_value(CORRECTED) < 1e-6


def test_absent_parameters_are_left_out(calibrated):
    ranks = calibrated.ranks(EXACT)
    single = calibrated.n_couples == 1
    assert (ranks[single, 1] == -1).all()
    assert (ranks[~single] >= 0).all()
    assert np.isnan(calibrated.contraction(EXACT)[single, 1]).all()
    assert {"Ru", "Cdl"}.isdisjoint(calibrated.coverage(REFERENCE))


def test_contraction_is_that_of_the_spread(calibrated):
    found = np.nanmean(calibrated.contraction(EXACT))
    assert found == pytest.approx(1 - 0.3**2, abs=0.01)


def test_calibrated_score_of_new_cases_is_uniform(calibrated):
    assert len(calibrated.calibrated_score()) == N // 2
    assert calibrated.score_p_value() > 0.001


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.01, 0.1), (1.0, 0.8, 1.0)])
def test_scores_of_like_cases_are_seldom_told_apart(calibrated, shift, low, high):
    """A test of ranks for uniform ones, which share their calibration cases, rejects a quarter."""
    rng, rejected = np.random.default_rng(5), 0
    predictive, diagnostics = calibrated.predictive, calibrated.predictive.diagnostics
    for _ in range(300):
        score = 50 + 10 * (rng.standard_normal(60) + shift * (np.arange(60) % 2))
        changed = replace(diagnostics, reliability_score=score)
        found = replace(calibrated, predictive=replace(predictive, diagnostics=changed))
        rejected += found.score_p_value() < 0.05
    assert low <= rejected / 300 <= high


def test_payload_holds_no_nan(calibrated):
    from ecguard.report.payload import encode, plain

    encode(plain(calibrated.summary()))


class Recorder:
    """An engine whose draws are the numbers of the cases, and which notes what it was asked."""

    def __init__(self):
        self.asked = []

    def run(self, name, group):
        self.asked.append((name, group.case.tolist()))
        own = group.case.astype(float)
        return Inferred(own[:, None, None], own, own + 0.5, -own, own - 9.0)


@pytest.mark.parametrize(
    ("n", "halves"),
    [(1, [[0], [0]]), (2, [[0], [1]]), (5, [[0, 1, 2], [2, 3, 4]]), (6, [[0, 1, 2], [3, 4, 5]])],
)
def test_a_group_runs_in_two_halves_of_one_size_and_comes_back_whole(n, halves):
    (group,) = draw_clean(CleanSettings(n_cases=n, tasks=("tone",), most_couples=1))
    engines = Recorder()
    first = _first_half(engines, EXACT, group)
    found, seconds = _completed(engines, EXACT, group, first)
    assert engines.asked == [(EXACT, half) for half in halves]
    np.testing.assert_array_equal(found.unknowns[:, 0, 0], np.arange(n))
    np.testing.assert_array_equal(found.log_evidence, np.arange(n))
    np.testing.assert_array_equal(found.efficiency, np.arange(n) + 0.5)
    np.testing.assert_array_equal(found.effective, -np.arange(n))
    np.testing.assert_array_equal(found.lead, np.arange(n) - 9.0)
    assert seconds > 0


def test_numbers_of_a_case_come_to_its_row():
    (group,) = draw_clean(CleanSettings(n_cases=3, tasks=("tone",), most_couples=1))
    own = np.arange(3.0)
    part = Inferred(np.zeros((3, N_RANKED, 9)), own, own + 1, own + 2, own + 3)
    found = _gather(EXACT, [group], [part], 5, [0.1])
    names = ("log_evidence", "efficiency", "effective", "lead")
    for shift, name in enumerate(names):
        expected = [*(own + shift), np.nan, np.nan]
        np.testing.assert_array_equal(getattr(found, name), expected)
