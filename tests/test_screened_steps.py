"""Electrodes that were measured by a protocol: inferred as trials infer theirs, and judged."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from ecguard.case_sets import CaseSet, CaseSetSettings, draw_case_sets
from ecguard.engines import case_keys
from ecguard.errors import InputError
from ecguard.guardrail import CombinedScore, FittedGuardrail, ValidFor, Verdict
from ecguard.posterior import laplace
from ecguard.posterior.amortised.artefacts import Amortised, fingerprint, load_amortised
from ecguard.posterior.likelihood import Observation
from ecguard.protocol import CANDIDATES, currents, inference, observe, protocol
from ecguard.protocol.inference import diagnostic_names
from ecguard.protocol.measured import in_words
from ecguard.protocol.trial import Trial, run_trial
from ecguard.screening import ScreenedSteps, judge_steps
from ecguard.stress import Biofouling

pytestmark = pytest.mark.slow

N, NOISE, PULSE = 4, 0.05, CANDIDATES["pulse"]
SEVERITY = np.array([0.0, 0.0, 1.0, 1.0])
Steps = tuple[Observation, ...]


@pytest.fixture(scope="module")
def amortised() -> Amortised:
    return load_amortised()


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return draw_case_sets(CaseSetSettings(n_design=N, n_calibration=2, n_test=2))["design"]


@pytest.fixture(scope="module")
def steps(cases: CaseSet) -> Steps:
    return observe(PULSE, cases, currents(PULSE, cases, Biofouling().fouling(SEVERITY)))


@pytest.fixture(scope="module")
def tried(cases: CaseSet, amortised: Amortised) -> Trial:
    """The same electrodes, as a study measures and infers them."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (protocol, inference, laplace):
            patch.setattr(module, "BLOCK", N)
        return run_trial(PULSE, cases, SEVERITY, amortised, case_keys(0, cases.group.case))


@pytest.fixture(scope="module")
def guardrail(tried: Trial, cases: CaseSet, amortised: Amortised) -> FittedGuardrail:
    """Its clean diagnostics scatter widely about those of clean electrodes."""
    clean, rng = tried.diagnostics[:2], np.random.default_rng(3)
    spread = 2 * np.ptp(clean, axis=0) + 1
    design, calibration = clean.mean(axis=0) + spread * rng.standard_normal((2, 200, len(spread)))
    score = CombinedScore.fit(diagnostic_names(PULSE), design, design + 20 * spread)
    seen = cases.group.observation
    arrays = (seen.time_s, seen.E_V, seen.current, seen.observed)
    valid = ValidFor.around("cv", *arrays, NOISE, fingerprint(amortised), in_words(PULSE))
    return FittedGuardrail.fit(score, calibration, None, valid)


@pytest.fixture(scope="module")
def judged(
    guardrail: FittedGuardrail, amortised: Amortised, cases: CaseSet, steps: Steps
) -> tuple[ScreenedSteps, Verdict]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (protocol, inference, laplace):
            patch.setattr(module, "BLOCK", N)
        keys = case_keys(0, cases.group.case)
        return judge_steps(guardrail, amortised, PULSE, steps, "cv", keys)


def test_measured_electrodes_are_inferred_as_those_of_a_trial(
    judged: tuple[ScreenedSteps, Verdict], tried: Trial
) -> None:
    found = judged[0].clean
    np.testing.assert_allclose(found.diagnostics, tried.diagnostics, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.draws.mean(axis=1), tried.mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.log_evidence, tried.log_evidence, rtol=1e-5, atol=1e-2)


def test_fouled_electrodes_are_flagged_and_a_film_explains_them(
    judged: tuple[ScreenedSteps, Verdict], steps: Steps
) -> None:
    found, verdict = judged
    assert verdict.flagged.tolist() == [False, False, True, True]
    assert (found.log_bayes_factor[2:] > 10).all()
    assert (found.log_bayes_factor[:2] < 0).all()
    low, high = np.quantile(found.either.draws[2:, :, 9], [0.005, 0.995], axis=1)
    assert (low < Biofouling.full).all()
    assert (high > Biofouling.full).all()
    assert found.either.draws.shape == (N, 400, 12)
    # electrodes that may be clean are so in the share that the evidence leaves
    covered = (found.either.draws[:2, :, 9] > 0).mean(axis=1)
    np.testing.assert_allclose(covered, expit(found.log_bayes_factor[:2]), atol=1 / 400)
    shapes = [mean.shape for mean in found.clean.expected]
    assert shapes == [step.current.shape for step in steps]


def test_what_was_not_calibrated_for_is_refused(
    guardrail: FittedGuardrail, amortised: Amortised, cases: CaseSet, steps: Steps
) -> None:
    keys, scan = case_keys(0, cases.group.case), CANDIDATES["fast-scan"]
    with pytest.raises(InputError, match=r"steps = .*Scan.*as calibrated"):
        judge_steps(guardrail, amortised, scan, steps, "cv", keys)
    with pytest.raises(InputError, match="task = 'swv'"):
        judge_steps(guardrail, amortised, PULSE, steps, "swv", keys)
    single = replace(guardrail, score=replace(guardrail.score, names=("a",) * 10))
    with pytest.raises(InputError, match="Fit it anew"):
        judge_steps(single, amortised, PULSE, steps, "cv", keys)
