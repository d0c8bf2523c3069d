"""The study on a tiny untrained surrogate: what it records, repeats and refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard.cases import SPLITS, CaseSettings
from ecguard.diagnostics import CaseDiagnostics
from ecguard.errors import InputError
from ecguard.family import N_COUPLES, N_PROFILE, N_SAMPLES, STAGES, TASKS, draw
from ecguard.posterior.cross_entropy import CrossEntropySettings
from ecguard.report.payload import encode, plain
from ecguard.study import (
    StudyInput,
    StudyResult,
    StudySettings,
    _confounded_because,
    _held_out,
    _separation,
    run_study,
)
from ecguard.surrogate.artefacts import Normalizers, Surrogate
from ecguard.surrogate.meta import SurrogateMeta
from ecguard.surrogate.network import VelocityField

REFERENCE_RUN_KEYS = {
    "split",
    "case_index",
    "param_nrmse",
    "reliability_score",
    "pred_nrmse",
    "pred_nll",
    "pred_calibration_error",
    "pred_sharpness",
}
SETTINGS = CaseSettings(n_cases=4, eval_noise_std=0.06)
TINY = CrossEntropySettings(n_particles=8, n_iters=2, n_mc=1, n_steps=3)


@pytest.fixture(scope="module")
def inputs() -> StudyInput:
    chunk = draw(3, 8)
    physical, labels = 7 * N_COUPLES, len(TASKS) + len(STAGES)
    state = 2 * N_COUPLES * N_PROFILE + N_SAMPLES
    core = physical + labels + 1
    meta = SurrogateMeta(
        max_species=N_COUPLES,
        nx=N_PROFILE,
        target_len=N_SAMPLES,
        state_dim=state,
        phys_dim_base=physical,
        phys_dim_core=core,
        phys_dim=core,
        n_tasks=len(TASKS),
        n_stages=len(STAGES),
        hidden_size=8,
        depth=1,
        task_names=TASKS,
        stage_names=STAGES,
        context_names=("ln_duration_s",),
    )
    p_mean = np.zeros(core, np.float32)
    p_mean[:physical] = chunk.parameters.mean(axis=0)
    normalizers = Normalizers(
        x_mean=jnp.zeros(state),
        x_std=jnp.ones(state),
        e_mean=jnp.zeros(N_SAMPLES),
        e_std=jnp.ones(N_SAMPLES),
        p_mean=jnp.asarray(p_mean),
        p_std=jnp.ones(core),
    )
    surrogate = Surrogate(VelocityField(meta, key=jax.random.key(0)), normalizers, meta)
    return StudyInput(surrogate, chunk)


def study(inputs: StudyInput, cases: CaseSettings) -> StudyResult:
    return run_study(inputs, StudySettings(cases, TINY, resamples=50))


@pytest.fixture(scope="module")
def result(inputs: StudyInput) -> StudyResult:
    return study(inputs, SETTINGS)


def test_the_record_has_what_the_reference_has(result: StudyResult) -> None:
    payload = result.payload()
    assert {"config", "split_summary", "runs", "best_guardrail"} <= set(payload)
    assert {run["split"] for run in payload["runs"]} == set(SPLITS)
    assert len(payload["runs"]) == 4 * len(SPLITS)
    assert all(set(run) >= REFERENCE_RUN_KEYS | {"reference_score"} for run in payload["runs"])
    assert set(payload["config"]) >= {
        "checkpoint",
        "dataset_chunk",
        "case_indices",
        "eval_noise_std",
        "inference_config",
    }
    assert payload["config"]["inference_config"]["noise_std"] == 0.06
    for summary in payload["split_summary"]:
        scores = [
            run["reliability_score"] for run in payload["runs"] if run["split"] == summary["split"]
        ]
        assert summary["n_cases"] == 4
        assert summary["reliability_score_mean"] == pytest.approx(np.mean(scores))
    encode(plain(payload))


def test_a_seed_repeats_the_record(inputs: StudyInput, result: StudyResult) -> None:
    text = encode(plain(result.payload()))
    assert encode(plain(study(inputs, SETTINGS).payload())) == text
    other = study(inputs, dataclasses.replace(SETTINGS, seed=1))
    assert other.payload()["runs"] != result.payload()["runs"]


def test_failures_are_the_extremes_of_the_stress_split(result: StudyResult) -> None:
    scores = result.diagnostics["stress_biofouled"].reliability_score
    worst, best = result.failures
    assert (worst.reliability_score, best.reliability_score) == (scores.min(), scores.max())
    assert worst.case_index == result.cases[scores.argmin()]
    assert worst.predictive_std.shape == worst.t_s.shape == worst.observed.shape


def test_chunk_and_surrogate_that_differ_are_named(inputs: StudyInput) -> None:
    chunk = inputs.chunk
    renamed = dataclasses.replace(chunk, task_names=("a", "b", "c", "d"))
    shorter = dataclasses.replace(
        chunk, current_mA_cm2=chunk.current_mA_cm2[:, ::2], potential_V=chunk.potential_V[:, ::2]
    )
    for changed in (renamed, shorter):
        with pytest.raises(InputError, match="dataset_chunk"):
            study(dataclasses.replace(inputs, chunk=changed), CaseSettings())


def scored(
    clean: np.ndarray, stress: np.ndarray, control: np.ndarray
) -> dict[str, CaseDiagnostics]:
    """Diagnostics of the three splits with given scores and no calibration error."""
    nothing = dict.fromkeys(
        (field.name for field in dataclasses.fields(CaseDiagnostics)), 0 * clean
    )
    return {
        split: CaseDiagnostics(**(nothing | {"reliability_score": scores}))
        for split, scores in zip(SPLITS, (clean, stress, control), strict=True)
    }


def test_a_control_like_the_stress_split_is_confounded() -> None:
    generator = np.random.default_rng(0)
    clean, low = generator.uniform(70, 90, 100), generator.uniform(20, 50, 100)
    fair = scored(clean, low, generator.permutation(clean))
    assert _separation(fair, 200).score_change.value == pytest.approx(low.mean() - clean.mean())
    unfair = scored(clean, low, low - 1.0)
    held_out, certified = _held_out(fair)
    assert _confounded_because(_separation(fair, 200), held_out) == ""
    assert certified is not None
    assert certified.recall.value == 1.0
    assert certified.calibration_cases == 50
    assert held_out is not None
    assert held_out.control_excess_p > 0.1
    because = _confounded_because(_separation(unfair, 200), _held_out(unfair)[0])
    assert "AUROC" in because
    assert "flags 100%" in because


def test_a_certified_rule_needs_its_cases() -> None:
    scores = np.random.default_rng(1).uniform(20, 90, (3, 89))
    assert _held_out(scored(*scores[:, :88]))[1] is None
    assert _held_out(scored(*scores))[1] is not None


def test_one_case_leaves_nothing_held_out() -> None:
    assert _held_out(scored(*np.full((3, 1), 50.0))) == (None, None)
