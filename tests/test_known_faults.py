"""Known faults: rarely seen where there is none, named where there is one."""

import numpy as np
import pytest
from scipy import stats

from ecguard.case_sets import CaseSet, CaseSetSettings, draw_case_sets
from ecguard.clean_cases import CleanSettings, draw_clean
from ecguard.known_faults import FAULTS, any_fault, fault_evidence
from ecguard.posterior.likelihood import Observation, SimulatorLikelihood
from ecguard.posterior.unknowns import names, ranges
from ecguard.stress import (
    ALL,
    DroppedSamples,
    FailureMode,
    MainsHum,
    NoiseUnderestimated,
    OxygenBackground,
    Spikes,
    SurfaceCouple,
)

pytestmark = pytest.mark.slow

N = 400
NAMES = [fault.name for fault in FAULTS]
UNKNOWNS = names(1)


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    settings = CaseSetSettings(n_design=2, n_calibration=2, n_test=N, seed=4711)
    return draw_case_sets(settings)["test"]


def evidence(cases: CaseSet, current: np.ndarray) -> np.ndarray:
    """Evidence in traces of electrodes whose true unknowns are known."""
    observation: Observation = cases.group.observation._replace(current=current)
    return fault_evidence(SimulatorLikelihood.of(observation), cases.group.unknowns, 1)


@pytest.fixture(scope="module")
def clean(cases: CaseSet) -> np.ndarray:
    return evidence(cases, np.asarray(cases.group.observation.current))


def test_only_rounded_readings_have_no_test() -> None:
    assert {mode.name for mode in ALL} - set(NAMES) == {"quantisation"}
    assert [mode.name for mode in ALL if mode.name in NAMES] == NAMES


def test_evidence_of_twenty_to_one_is_rare_where_there_is_no_fault(clean: np.ndarray) -> None:
    """A ratio of likelihoods is above 20 in one of 20 cases at most."""
    for found in (*clean.T, any_fault(clean)):
        misled = int((found > np.log(20)).sum())
        assert stats.binomtest(misled, N, 0.05, alternative="greater").pvalue > 1e-4


def test_evidence_is_fair_where_there_is_no_fault(clean: np.ndarray) -> None:
    """Ratios of likelihoods have the mean 1, or 0.48 where they are cut off at 20.

    Residuals that are 1.2 times too large give 0.62.
    """
    ratio = np.minimum(np.exp(clean), 20.0).mean(axis=1)
    assert 4.0 * ratio.std() / np.sqrt(N) < 0.08
    assert ratio.mean() == pytest.approx(0.48, abs=0.08)


def test_the_place_matters_little(cases: CaseSet, clean: np.ndarray) -> None:
    """To first order, parameters that are off are no fault."""
    off = np.array(cases.group.unknowns)
    off[:, UNKNOWNS.index("E0")] += 0.002
    off[:, UNKNOWNS.index("ln k0")] += 0.05
    likelihood = SimulatorLikelihood.of(cases.group.observation)
    moved = fault_evidence(likelihood, np.clip(off, *ranges(1)).astype(np.float32), 1)
    assert np.median(np.abs(moved - clean), axis=0).max() < 0.5
    assert np.median(np.abs(any_fault(moved) - any_fault(clean))) < 0.2


@pytest.mark.parametrize(
    "mode",
    [OxygenBackground(), SurfaceCouple(), MainsHum(), NoiseUnderestimated(), Spikes()],
    ids=lambda mode: mode.name,
)
def test_a_planted_fault_is_seen_and_named(
    cases: CaseSet, clean: np.ndarray, mode: FailureMode
) -> None:
    found = evidence(cases, mode.observe(cases.experiment, 0.5, cases.group.current))
    seen = any_fault(found) > np.quantile(any_fault(clean), 0.95)
    assert seen.mean() > 0.4
    named = np.array(NAMES)[found[seen].argmax(axis=1)] == mode.name
    assert named.mean() > 0.7
    own = NAMES.index(mode.name)
    assert np.median(found[:, own]) > np.median(clean[:, own]) + 1.0


@pytest.mark.parametrize("mode", [MainsHum(), DroppedSamples()], ids=lambda mode: mode.name)
def test_a_fault_is_seen_whatever_chance_made_of_it(
    cases: CaseSet, clean: np.ndarray, mode: FailureMode
) -> None:
    """Hum of any phase, and any lost samples: electrodes whose chance is alike, by quarters."""
    found = evidence(cases, mode.observe(cases.experiment, 0.3, cases.group.current))
    own = NAMES.index(mode.name)
    seen = found[:, own] > np.quantile(clean[:, own], 0.95)
    quarter = (4 * np.asarray(cases.experiment.chance)[:, 0]).astype(int)
    shares = [seen[quarter == k].mean() for k in range(4)]
    assert min(shares) > 0.7 * max(shares)
    assert min(shares) > 0.4


def test_evidence_does_not_depend_on_the_neighbours(cases: CaseSet, clean: np.ndarray) -> None:
    rows = np.array([7, 3])
    own = cases.take(rows)
    found = evidence(own, np.asarray(own.group.observation.current))
    np.testing.assert_array_equal(found, clean[rows])


def test_two_couples_and_steps_of_potential() -> None:
    for group in draw_clean(CleanSettings(n_cases=12, seed=12)):
        likelihood = SimulatorLikelihood.of(group.observation)
        found = fault_evidence(likelihood, group.unknowns, group.n_couples)
        assert found.shape == (len(group), len(FAULTS))
        assert np.isfinite(found).all()
        assert (any_fault(found) < np.log(1e4)).all()
