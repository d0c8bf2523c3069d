"""Claims and tables of the failure-mode chapter, on results made by hand."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from ecguard.cases import SPLITS
from ecguard.diagnostics import CaseDiagnostics
from ecguard.guardrail import CertifiedThreshold, ReferenceRule
from ecguard.intervals import Interval, share
from ecguard.report import failure_modes
from ecguard.report.chapter import Chapter
from ecguard.report.profiles import profile_named
from ecguard.study import FailureTrace, HeldOut, Separation, StudyResult

N = 200
RULE = ReferenceRule(60.0, 0.3, 0.9, 0.8, 0.85, 0.8, 0.1)


def held_out(rule: ReferenceRule | CertifiedThreshold, caught: int, alarms: int) -> HeldOut:
    return HeldOut(rule, 100, share(caught, 100), share(alarms, 100), share(alarms, 100), 1.0)


@pytest.fixture
def result() -> StudyResult:
    """A run in which everything holds."""
    scores = np.linspace(40, 80, N)
    diagnostics = CaseDiagnostics(scores / 100, scores, *(scores / 100 for _ in range(5)))
    curve = np.arange(5.0, dtype=np.float32)
    trace = FailureTrace(7, 41.0, curve.astype(float), curve, curve > 1, curve, curve + 1)
    above, even = Interval(0.95, 0.9, 0.98, N), Interval(0.51, 0.45, 0.57, N)
    return StudyResult(
        config={},
        notes=(),
        cases=np.arange(N),
        diagnostics=dict.fromkeys(SPLITS, diagnostics),
        best_guardrail=RULE,
        held_out=held_out(RULE, 95, 3),
        certified=held_out(CertifiedThreshold(42.5, 2, 100, 0.05, 0.1), 98, 0),
        certified_min_cases=89,
        separation=Separation(above, above, even, Interval(-20.0, -25.0, -15.0, N)),
        confounded=False,
        confounded_because="",
        failures=(trace, trace),
        seconds=60.0,
    )


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    return Chapter("failure-modes", {}, profile_named("smoke"), 2028, tmp_path, 0.0)


def passed(claims: tuple) -> dict[str, bool]:
    return {claim.id.partition(".")[2]: claim.passed for claim in claims}


def test_everything_holds(chapter: Chapter, result: StudyResult) -> None:
    claims = (
        *failure_modes.separation_claims(chapter, result),
        *failure_modes.guardrail_claims(chapter, result),
        failure_modes.control_claim(chapter, result),
    )
    assert all(passed(claims).values())
    assert not any(claim.note for claim in claims)
    assert "Nothing in this run" in failure_modes.verdict(result)


def test_a_confounded_run_fails_the_first_criterion_and_says_why(
    chapter: Chapter, result: StudyResult
) -> None:
    separation = dataclasses.replace(
        result.separation, control_vs_in_distribution=Interval(0.9, 0.8, 0.95, N)
    )
    confounded = dataclasses.replace(
        result, separation=separation, confounded=True, confounded_because="the control stands out"
    )
    claims = failure_modes.separation_claims(chapter, confounded)
    assert passed(claims) == {
        "criterion-1-separation": True,
        "criterion-1-matched-control": True,
        "criterion-1-not-confounded": False,
    }
    assert {c.note for c in claims} == {"The separation is confounded: the control stands out."}


def test_a_rule_that_flags_the_control_fails_the_second_criterion(
    chapter: Chapter, result: StudyResult
) -> None:
    certified = dataclasses.replace(held_out(RULE, 80, 0), control_flagged=share(40, 100))
    claims = failure_modes.guardrail_claims(
        chapter, dataclasses.replace(result, certified=certified)
    )
    assert passed(claims) == {
        "criterion-2-recall": False,
        "criterion-2-false-alarms": True,
        "criterion-2-control-alarms": False,
    }


def test_held_out_cases_that_cannot_show_the_promised_rate_are_called_too_few(
    chapter: Chapter, result: StudyResult
) -> None:
    rare = dataclasses.replace(result.certified, false_alarms=share(0, 50))
    claim = failure_modes.guardrail_claims(chapter, dataclasses.replace(result, certified=rare))[1]
    assert not claim.passed
    assert claim.note == "Even no alarm in 50 held-out cases would leave an upper limit of 7.1%."


def test_too_few_cases_fail_the_second_criterion_and_say_so(
    chapter: Chapter, result: StudyResult
) -> None:
    few = dataclasses.replace(result, certified=None, held_out=None, cases=np.arange(6))
    claims = failure_modes.guardrail_claims(chapter, few)
    assert not any(passed(claims).values())
    assert all(claim.value is None for claim in claims)
    assert claims[0].note == "6 cases are too few to certify a threshold: it takes 89."
    assert not failure_modes.control_claim(chapter, few).passed


def test_traces_count_only_when_their_figures_exist(chapter: Chapter, result: StudyResult) -> None:
    names = ("one.png", "two.png")
    (chapter.out_dir / names[0]).touch()
    assert not failure_modes.traces_claim(chapter, result, names).passed
    (chapter.out_dir / names[1]).touch()
    assert failure_modes.traces_claim(chapter, result, names).passed


def test_tables_show_each_split_and_rule(chapter: Chapter, result: StudyResult) -> None:
    splits = failure_modes.split_table(result).data
    assert "| control clean | 200 | 60.00 |" in splits
    assert "changes by -20.0 points on average (interval -25.0 to -15.0, 200 cases)" in splits
    rules = failure_modes.rules_table(result).data
    assert "| certified rule | 100 | 100 | 98% (93% to 100%) |" in rules
    assert "On the 200 cases" in rules
    assert "prior" not in splits
    words = failure_modes.sentences(failure_modes.separation_claims(chapter, result)).data
    assert "**0.95** (interval 0.90 to 0.98, 200 cases): **pass**." in words


def with_errors(result: StudyResult, *errors: float) -> StudyResult:
    """The result with a parameter error for each split."""
    found = {
        split: dataclasses.replace(own, param_nrmse=np.full(N, error))
        for error, (split, own) in zip(errors, result.diagnostics.items(), strict=True)
    }
    return dataclasses.replace(result, diagnostics=found)


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ((1.0, 1.2, 1.1), "about 1: every split errs by no less, .* parameters, fouled or clean."),
        ((0.9, 1.2, 0.9), "about 1: stress biofouled err by no less, .* parameters."),
        ((0.9, 0.99, 0.9), ""),
    ],
)
def test_posteriors_no_better_than_the_prior_are_said_to_tell_little(
    result: StudyResult, errors: tuple[float, ...], words: str
) -> None:
    assert re.search(f"{words}$", failure_modes.little_told(with_errors(result, *errors)))
    assert (failure_modes.little_told(with_errors(result, *errors)) == "") == (words == "")


@pytest.mark.parametrize(
    ("fouled", "control", "words"),
    [(1.05, 1.11, "errs no more than"), (1.11, 1.05, "errs more than"), (1, 1, "errs no more")],
)
def test_error_of_the_trusted_trace_stands_beside_its_controls(
    result: StudyResult, fouled: float, control: float, words: str
) -> None:
    said = failure_modes.trusted_words(with_errors(result, 0.5, fouled, control)).data
    numbers = f"off by {fouled:.2f} prior std, its clean control's by {control:.2f}"
    assert numbers in said
    assert words in said


def test_error_of_the_trusted_trace_is_that_of_the_highest_score(result: StudyResult) -> None:
    highest = f"{result.diagnostics[SPLITS[1]].param_nrmse[-1]:.2f}"
    assert f"off by {highest} prior std" in failure_modes.trusted_words(result).data


def test_where_nothing_separates_nothing_is_confounded(result: StudyResult) -> None:
    even = Interval(0.52, 0.45, 0.59, N)
    separation = dataclasses.replace(result.separation, stress_vs_in_distribution=even)
    words = failure_modes.verdict(dataclasses.replace(result, separation=separation))
    assert words == (
        "There is no separation to be confounded: its AUROC is 0.52 (0.45 to 0.59, 200 cases)."
    )


def test_thresholds_of_both_rules(result: StudyResult) -> None:
    assert result.held_out is not None
    assert result.certified is not None
    assert result.held_out.score_threshold == 60.0
    assert result.certified.score_threshold == 42.5
