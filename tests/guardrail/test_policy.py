"""The policy of two thresholds: on planted traces it does what their costs ask for."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.guardrail.policy import ACTIONS, Outcome, Policy, Traces

N, N_WRONG = 40, 15
SECONDS = (0.0, 2.0, 90.0)
WRONG = np.arange(N) < N_WRONG


def planted(first: Any = None, second: Any = None, **changes: Any) -> Traces:
    """Of N traces the first are wrong until they are refitted; both scores tell them apart."""
    ladder = np.where(WRONG, 0.0, 5.0) + np.linspace(0.0, 1.0, N)
    return replace(
        Traces(
            first_score=ladder if first is None else np.asarray(first, float),
            second_score=ladder if second is None else np.asarray(second, float),
            wrong=np.column_stack([WRONG, WRONG, np.zeros(N, bool)]),
            seconds=np.tile(SECONDS, (N, 1)),
        ),
        **changes,
    )


def test_scores_that_tell_all_leave_no_failure_and_refit_the_wrong_alone() -> None:
    traces = planted()
    found = Policy.fit(traces, 600.0).apply(traces)
    assert not found.failed.any()
    np.testing.assert_array_equal(found.action == 2, WRONG)
    np.testing.assert_array_equal(found.action == 0, ~WRONG)
    assert found.cost_s(600.0).sum() == N_WRONG * 90.0


def test_a_blind_first_score_measures_all_and_refits_the_wrong_alone() -> None:
    traces = planted(first=np.zeros(N))
    found = Policy.fit(traces, 600.0).apply(traces)
    assert not found.failed.any()
    np.testing.assert_array_equal(found.action, np.where(WRONG, 2, 1))


def test_a_blind_second_score_is_not_asked() -> None:
    traces = planted(second=np.zeros(N))
    found = Policy.fit(traces, 600.0).apply(traces)
    np.testing.assert_array_equal(found.action, np.where(WRONG, 2, 0))


def test_what_more_measurement_mends_is_not_refitted() -> None:
    right = np.zeros(N, bool)
    traces = planted(wrong=np.column_stack([WRONG, right, right]))
    found = Policy.fit(traces, 600.0).apply(traces)
    assert not found.failed.any()
    np.testing.assert_array_equal(found.action, np.where(WRONG, 1, 0))


def test_trust_accepts_all_with_its_failures() -> None:
    found = Policy.always_trust().apply(planted())
    assert (found.action == 0).all()
    np.testing.assert_array_equal(found.failed, WRONG)
    assert not found.seconds.any()


def test_escalation_refits_all() -> None:
    found = Policy.always_escalate().apply(planted())
    assert (found.action == 2).all()
    assert not found.failed.any()
    assert (found.seconds == 90.0).all()


def test_a_cheap_failure_never_pays_for_more() -> None:
    traces = planted()
    # 2 s of measurement alone mend nothing, and a refit costs 90 s
    found = Policy.fit(traces, 89.0).apply(traces)
    assert (found.action == 0).all()
    assert (Policy.fit(traces, 91.0).apply(traces).action == 2).sum() == N_WRONG


def test_a_dear_failure_escalates_whatever_may_help() -> None:
    rng = np.random.default_rng(2)
    wrong = rng.random(N) < 0.5
    blind = planted(
        first=rng.random(N),
        second=rng.random(N),
        wrong=np.column_stack([wrong, wrong, np.zeros(N, bool)]),
    )
    found = Policy.fit(blind, 1e9).apply(blind)
    assert not found.failed.any()
    assert (found.action[wrong] == 2).all()


def test_a_failure_that_nothing_mends_is_accepted_however_dear() -> None:
    traces = planted(wrong=np.tile(WRONG[:, None], 3))
    found = Policy.fit(traces, 1e6).apply(traces)
    assert (found.action == 0).all()
    np.testing.assert_array_equal(found.failed, WRONG)


def test_no_pair_of_thresholds_between_the_scores_costs_less() -> None:
    rng = np.random.default_rng(4)
    traces = planted(
        first=np.where(WRONG, 0.0, 1.0) + rng.normal(size=N),
        second=np.where(WRONG, 0.0, 2.0) + rng.normal(size=N),
    )
    least = Policy.fit(traces, 300.0).apply(traces).cost_s(300.0).mean()
    places = [np.r_[-np.inf, own, np.inf] for own in (traces.first_score, traces.second_score)]
    costs = [
        Policy(first, second).apply(traces).cost_s(300.0).mean()
        for first in places[0]
        for second in places[1]
    ]
    assert least == pytest.approx(min(costs))


def test_weights_matter() -> None:
    # those that are wrong score as the others: all are refitted, or none
    blind = planted(first=np.zeros(N), second=np.zeros(N))
    for weight, action in ((np.where(WRONG, 1.0, 1e-6), 2), (np.where(WRONG, 1e-6, 1.0), 0)):
        assert (Policy.fit(blind, 600.0, weight).apply(blind).action == action).all()


def test_a_trace_of_no_weight_does_not_count() -> None:
    more_wrong = np.arange(N) < N_WRONG + 5
    weight = np.where(WRONG == more_wrong, 1.0, 0.0)
    traces = planted()
    worse = planted(wrong=np.column_stack([more_wrong, more_wrong, np.zeros(N, bool)]))
    assert Policy.fit(worse, 600.0, weight) == Policy.fit(traces, 600.0, weight)
    assert Policy.fit(worse, 600.0) != Policy.fit(traces, 600.0)


def test_costs_are_seconds_and_failures() -> None:
    found = Outcome(
        action=np.array([0, 0, 1, 2]),
        failed=np.array([False, True, True, False]),
        seconds=np.array([0.0, 0.0, 2.5, 90.0]),
    )
    np.testing.assert_array_equal(found.cost_s(600.0), [0.0, 600.0, 602.5, 90.0])
    assert ACTIONS[found.action[2]] == "measure more"


@pytest.mark.parametrize(
    ("first", "second", "action"),
    [(0.5, 0.0, 1), (0.5, 0.5, 2), (-0.5, 0.5, 0), (0.0, 0.5, 0), (0.5, -0.5, 1)],
)
def test_a_score_below_the_threshold_goes_on(first: float, second: float, action: int) -> None:
    traces = Traces(
        np.zeros(1), np.zeros(1), np.array([[True, False, True]]), np.array([[1.0, 2.0, 4.0]])
    )
    found = Policy(first, second).apply(traces)
    assert found.action == action
    assert found.failed == (action != 1)
    assert found.seconds == (1.0, 2.0, 4.0)[action]


@pytest.mark.parametrize(
    "wrong",
    [
        {"second_score": np.zeros(N - 1)},
        {"first_score": np.zeros((N, 1))},
        {"wrong": np.zeros((N, 2), bool)},
        {"wrong": np.zeros((N - 1, 3), bool)},
        {"seconds": np.zeros((3, N))},
        {"seconds": np.zeros(N)},
    ],
    ids=lambda wrong: f"{next(iter(wrong))} {np.shape(next(iter(wrong.values())))}",
)
def test_shapes_that_do_not_fit_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as raised:
        planted(**wrong)
    assert raised.value.name == "traces"


def test_no_traces_are_refused() -> None:
    with pytest.raises(InputError) as raised:
        Traces(np.zeros(0), np.zeros(0), np.zeros((0, 3), bool), np.zeros((0, 3)))
    assert raised.value.name == "traces"


@pytest.mark.parametrize("failure_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_failure_that_costs_nothing_is_refused(failure_s: float) -> None:
    with pytest.raises(InputError, match=str(failure_s)) as raised:
        Policy.fit(planted(), failure_s)
    assert raised.value.name == "failure_s"


@pytest.mark.parametrize("weight", [np.nan, -1.0, 0.0, np.inf, np.ones(3), [[1.0]]], ids=str)
def test_weights_that_weigh_nothing_are_refused(weight: Any) -> None:
    with pytest.raises(InputError) as raised:
        Policy.fit(planted(), 600.0, weight)
    assert raised.value.name == "weight"


@pytest.mark.parametrize("name", ["first_score", "second_score", "seconds"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(name: str, value: float) -> None:
    bad = np.array(getattr(planted(), name))
    bad[3] = value
    with pytest.raises(InputError) as raised:
        planted(**{name: bad})
    assert raised.value.name == name
