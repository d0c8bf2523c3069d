"""Payloads are strict JSON, valid, whole and stable."""

import copy
import json
import time

import jax.numpy as jnp
import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.report.claims import claim
from ecguard.report.payload import load_payload, plain, save_payload, schema_names, validate
from ecguard.report.provenance import provenance

RECORD = provenance(1, "smoke", time.perf_counter())
SPLIT = {
    "split": "in_distribution",
    "n_cases": 1,
    "reliability_score_mean": 50.0,
    "param_nrmse_mean": 1.0,
    "pred_nrmse_mean": 0.1,
    "pred_nll_mean": -1.0,
    "pred_calibration_error_mean": 0.1,
}
CASE = {
    "split": "in_distribution",
    "case_index": 3,
    "param_nrmse": 1.0,
    "reliability_score": 50.0,
    "pred_nrmse": 0.1,
    "pred_nll": -1.0,
    "pred_calibration_error": 0.1,
    "pred_sharpness": 0.2,
}
STUDY = {
    "config": {
        "checkpoint": "built-in",
        "dataset_chunk": "built-in",
        "case_indices": [3],
        "eval_noise_std": 0.05,
        "inference_config": {"n_particles": 64},
    },
    "split_summary": [SPLIT],
    "runs": [CASE],
    "best_guardrail": {
        "rel_thr": 30.0,
        "cal_thr": 0.08,
        "precision": 1.0,
        "recall": 1.0,
        "f1": 1.0,
        "tpr": 1.0,
        "fpr": 0.0,
    },
}


def save(path, payload, schema="chapter", claims=()):
    return save_payload(path, payload, schema, claims=claims, provenance=RECORD)


def test_equal_content_gives_equal_bytes(tmp_path):
    first = save(tmp_path / "a.json", {"x": np.linspace(0, 1, 5), "b": 2})
    second = save(tmp_path / "b.json", {"x": list(np.linspace(0, 1, 5)), "b": np.int8(2)})
    assert first.read_bytes() == second.read_bytes()


def test_arrays_become_plain_numbers_with_their_own_digits():
    content = plain(
        {
            "f32": np.float32(0.1),
            "jax": jnp.float32(0.1),
            "a": jnp.ones((2, 1)),
            "b": np.bool_(True),
        }
    )
    assert content == {"f32": 0.1, "jax": 0.1, "a": [[1.0], [1.0]], "b": True}
    assert type(content["b"]) is bool


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), np.float32("nan")])
def test_number_that_is_not_finite_is_refused_with_its_place(tmp_path, bad):
    with pytest.raises(InputError, match=r"payload\['runs'\]\[1\]\['x'\]"):
        save(tmp_path / "a.json", {"runs": [{"x": 1.0}, {"x": bad}]})
    assert list(tmp_path.iterdir()) == []


def test_value_without_a_json_form_is_refused(tmp_path):
    with pytest.raises(InputError, match="payload"):
        save(tmp_path / "a.json", {"x": {1, 2}})


def test_study_payload_fits_its_schema(tmp_path):
    path = save(tmp_path / "a.json", STUDY, "posterior_failure_mode_report")
    assert load_payload(path)["runs"] == [CASE]


@pytest.mark.parametrize("part", list(STUDY))
def test_study_payload_without_a_part_is_refused(tmp_path, part):
    payload = {key: value for key, value in STUDY.items() if key != part}
    with pytest.raises(InputError, match=part):
        save(tmp_path / "a.json", payload, "posterior_failure_mode_report")


@pytest.mark.parametrize(
    ("part", "index"),
    [("config", None), ("split_summary", 0), ("runs", 0), ("best_guardrail", None)],
)
def test_study_payload_keeps_every_named_key(tmp_path, part, index):
    inner = STUDY[part] if index is None else STUDY[part][index]
    for key in inner:
        payload = copy.deepcopy(STUDY)
        del (payload[part] if index is None else payload[part][index])[key]
        with pytest.raises(InputError, match=key):
            save(tmp_path / "a.json", payload, "posterior_failure_mode_report")


def test_study_payload_may_hold_more(tmp_path):
    runs = [{**CASE, "reference_score": 3.0}]
    save(tmp_path / "a.json", {**STUDY, "runs": runs, "rng": 1}, "posterior_failure_mode_report")


def test_claims_travel_with_the_payload(tmp_path):
    made = claim("tiny", "number", "A number.", 2, bound={"op": "<=", "value": 1})
    content = json.loads(save(tmp_path / "a.json", {}, claims=[made]).read_text())
    assert content["claims"][0]["pass"] is False
    assert content["provenance"]["versions"]["jax"]


def test_every_schema_is_itself_valid():
    from jsonschema import Draft202012Validator

    from ecguard.report.paths import SCHEMAS

    assert set(schema_names()) >= {"claims", "chapter", "posterior_failure_mode_report"}
    for path in SCHEMAS.glob("*.json"):
        Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_unknown_schema_is_refused():
    with pytest.raises(InputError, match="schema"):
        validate({}, "nothing")


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"$schema": "chapter.schema.json"}'])
def test_unusable_file_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError):
        load_payload(tmp_path / "a.json")
