"""A claim passes because of its numbers, never because somebody says so."""

import dataclasses

import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.report.claims import as_record, claim, collect, criterion, from_record


def make(value=0.5, bound=None, **rest):
    return claim(
        "tiny", "number", "A number.", value, bound=bound or {"op": "<=", "value": 1}, **rest
    )


@pytest.mark.parametrize(
    ("bound", "value", "interval", "passed"),
    [
        ({"op": "<=", "value": 0.05}, 0.05, None, True),
        ({"op": "<", "value": 0.05}, 0.05, None, False),
        ({"op": ">=", "value": 281}, 281, None, True),
        ({"op": ">", "value": 281}, 281, None, False),
        ({"op": "==", "value": 3}, 3, None, True),
        ({"op": "within", "value": [0.927, 0.967]}, 0.95, None, True),
        ({"op": "within", "value": [0.927, 0.967]}, 0.97, None, False),
        ({"on": "upper", "op": "<=", "value": 0.05}, 0.02, (0.01, 0.05), True),
        ({"on": "upper", "op": "<=", "value": 0.05}, 0.02, (0.01, 0.06), False),
        ({"on": "lower", "op": ">=", "value": 0.9}, 0.95, (0.91, 0.97), True),
        ({"on": "lower", "op": ">=", "value": 0.9}, 0.95, (0.89, 0.97), False),
        ({"on": "interval", "op": "contains", "value": 0.5}, 0.55, (0.4, 0.7), True),
        ({"on": "interval", "op": "contains", "value": 0.5}, 0.65, (0.51, 0.7), False),
        ({"on": "interval", "op": "within", "value": [0, 1]}, 0.65, (0.51, 0.7), True),
        ({"on": "interval", "op": "within", "value": [0, 1]}, 0.65, (0.51, 1.1), False),
        ({"op": "<=", "value": 1}, None, None, False),
        ({"op": "<=", "value": 1}, float("nan"), None, False),
        ({"op": ">=", "value": 1}, float("inf"), None, False),
        ({"on": "upper", "op": "<=", "value": 1}, 0.5, (0.1, float("nan")), False),
        ({"op": "<=", "value": 1}, 0.5, (0.1, float("nan")), True),
    ],
)
def test_bound_decides(bound, value, interval, passed):
    assert make(value, bound, interval=interval).passed is passed


@pytest.mark.parametrize(
    ("bound", "interval"),
    [
        ({"op": "about", "value": 1}, None),
        ({"op": "<=", "value": [0, 1]}, None),
        ({"op": "within", "value": 1}, None),
        ({"op": "<=", "value": True}, None),
        ({"on": "middle", "op": "<=", "value": 1}, None),
        ({"op": "<=", "value": 1, "unit": "s"}, None),
        ({"on": "upper", "op": "<=", "value": 1}, None),
        ({"on": "interval", "op": "<=", "value": 1}, (0, 1)),
    ],
)
def test_malformed_bound_is_refused(bound, interval):
    with pytest.raises(InputError):
        make(bound=bound, interval=interval)


@pytest.mark.parametrize("key", ["Number", "a.b", "a_b", "", "-a", "a b"])
def test_key_is_a_hyphenated_name(key):
    with pytest.raises(InputError, match="key"):
        claim("tiny", key, "A number.", 1, bound={"op": "<=", "value": 1})


def test_record_has_the_promised_keys_and_reads_back():
    made = make(np.float32(0.1), interval=(0, np.float64(0.2)), n=np.int64(4), unit="V", seconds=1)
    record = as_record(made)
    promised = [
        "id",
        "text",
        "value",
        "unit",
        "bound",
        "interval",
        "n",
        "pass",
        "chapter",
        "seconds",
    ]
    assert list(record)[: len(promised)] == promised
    assert record["value"] == 0.1
    assert type(record["n"]) is int
    assert from_record(record) == made


def test_verdict_written_into_a_file_is_not_believed():
    record = as_record(make(2.0)) | {"pass": True}
    assert from_record(record).passed is False


def test_claim_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().passed = True


def test_equal_ids_are_refused():
    record = as_record(make())
    with pytest.raises(InputError, match=r"tiny\.number"):
        collect([{"claims": [record]}, {"claims": [record]}])


def test_criteria_are_judged_by_the_key():
    claims = [
        claim("tiny", key, "x", 1, bound={"op": "<=", "value": 1})
        for key in ("criterion-1-a", "criterion-2-a", "criterion-1-b", "other")
    ]
    assert [c.id for c in criterion(claims, 1)] == ["tiny.criterion-1-a", "tiny.criterion-1-b"]
