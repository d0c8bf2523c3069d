"""The reference's grid search by hand and as a loop."""

import dataclasses

import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.guardrail import ReferenceRule, reference_grid_search


def slow_grid_search(scores: np.ndarray, errors: np.ndarray, labels: np.ndarray) -> tuple:
    """The grid search as a loop, by its definition."""
    best, found = -1.0, (0.0, 0.0)
    for rel in np.linspace(30, 85, 23):
        for cal in np.linspace(0.08, 0.60, 27):
            flags = (scores < rel) | (errors > cal)
            hits = int((flags & labels).sum())
            f1 = 2 * hits / max(int(flags.sum()) + int(labels.sum()), 1)
            if f1 > best:
                best, found = f1, (rel, cal)
    return found


def test_hand_made_case() -> None:
    scores, errors = np.array([80.0, 60.0, 50.0, 20.0]), np.array([0.05, 0.05, 0.05, 0.05])
    rule = reference_grid_search(scores, errors, [False, True, True, True])
    assert (rule.rel_thr, rule.cal_thr) == (62.5, 0.08)
    assert (rule.precision, rule.recall, rule.f1, rule.tpr, rule.fpr) == (1, 1, 1, 1, 0)
    assert rule.flags([62.5, 62.4, 90.0], [0.08, 0.0, 0.09]).tolist() == [False, True, True]


def test_false_alarms_are_counted() -> None:
    rule = reference_grid_search([10.0, 20.0, 90.0], [0.0, 0.0, 0.0], [True, False, False])
    assert rule.recall == rule.tpr == 1.0
    assert rule.precision == 0.5
    assert rule.fpr == 0.5
    assert rule.f1 == pytest.approx(2 / 3)


def test_first_of_equals_wins_as_in_a_loop() -> None:
    generator = np.random.default_rng(0)
    for _ in range(10):
        scores = generator.uniform(20, 95, 12)
        errors = generator.uniform(0, 0.7, 12)
        labels = np.arange(12) % 2 == 0
        rule = reference_grid_search(scores, errors, labels)
        assert (rule.rel_thr, rule.cal_thr) == slow_grid_search(scores, errors, labels)
    nothing = reference_grid_search([90.0, 90.0], [0.0, 0.0], [True, False])
    assert (nothing.rel_thr, nothing.cal_thr, nothing.f1) == (30.0, 0.08, 0.0)


def test_a_fitted_rule_does_not_change() -> None:
    rule = reference_grid_search([10.0, 90.0], [0.0, 0.0], [True, False])
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.rel_thr = 1.0  # type: ignore[misc]
    assert [field.name for field in dataclasses.fields(ReferenceRule)] == [
        "rel_thr",
        "cal_thr",
        "precision",
        "recall",
        "f1",
        "tpr",
        "fpr",
    ]


def test_bad_cases_are_refused() -> None:
    with pytest.raises(InputError, match="scores"):
        reference_grid_search([1.0], [1.0, 2.0], [True])
    with pytest.raises(InputError, match="finite"):
        reference_grid_search([np.nan], [1.0], [True])


def test_what_is_no_number_is_flagged() -> None:
    rule = ReferenceRule(50.0, 0.3, 1.0, 1.0, 1.0, 1.0, 0.0)
    flags = rule.flags([60.0, np.nan, 60.0, 40.0], [0.1, 0.1, np.nan, 0.1])
    assert flags.tolist() == [False, True, True, True]
