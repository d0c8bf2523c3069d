"""The reference study: paired cases through the posterior, their diagnostics and the guardrails."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ecguard.cases import SPLITS, Cases, CaseSettings, draw_cases
from ecguard.chunk import Chunk, load_chunk
from ecguard.diagnostics import CaseDiagnostics, case_diagnostics
from ecguard.errors import InputError
from ecguard.family import draw
from ecguard.guardrail import (
    CertifiedGuardrail,
    CertifiedThreshold,
    ReferenceRule,
    flag_rate,
    reference_grid_search,
)
from ecguard.inputs import find_checkpoint, find_chunk
from ecguard.intervals import (
    RESAMPLES,
    Interval,
    auroc_interval,
    difference_interval,
    excess_p_value,
)
from ecguard.posterior.cross_entropy import CrossEntropySettings, Posterior, infer
from ecguard.surrogate import Surrogate, load_surrogate

CLEAN, STRESS, CONTROL = SPLITS
SIGNIFICANCE = 0.025
BUILT_IN_SEED, BUILT_IN_ROWS = 2028, 1024
_POSTERIOR_SEED, _POSTERIOR_STRIDE = 15000, 31


@dataclass(frozen=True)
class StudyInput:
    """What the study runs on.

    Attributes:
        surrogate: of the clean physics.
        chunk: dataset rows.
        duration_s: of every trace where the chunk stores no time, s.
        checkpoint: where the surrogate came from, for the record.
        dataset_chunk: where the rows came from, for the record.
    """

    surrogate: Surrogate
    chunk: Chunk
    duration_s: float = 8.0
    checkpoint: str = "built-in"
    dataset_chunk: str = "built-in"


@dataclass(frozen=True)
class StudySettings:
    """How the study runs.

    Attributes:
        cases: how cases are drawn and observed.
        inference: of the posterior; its observation noise is taken from `cases`.
        resamples: of every bootstrap interval.
    """

    cases: CaseSettings = field(default_factory=CaseSettings)
    inference: CrossEntropySettings = field(default_factory=CrossEntropySettings)
    resamples: int = RESAMPLES


@dataclass(frozen=True)
class FailureTrace:
    """A stress trace and its posterior predictive distribution, all but the score [L].

    Attributes:
        case_index: row of the case in its chunk.
        reliability_score: of its posterior.
        t_s: s.
        current: with noise, mA/cm^2.
        observed: true where a sample was observed.
        predictive_mean: mA/cm^2.
        predictive_std: mA/cm^2.
    """

    case_index: int
    reliability_score: float
    t_s: NDArray[np.float64]
    current: NDArray[np.float32]
    observed: NDArray[np.bool_]
    predictive_mean: NDArray[np.float32]
    predictive_std: NDArray[np.float32]

    @property
    def curves(self) -> tuple[NDArray[Any], ...]:
        """Time, current, mask, predictive mean and std, in this order."""
        return self.t_s, self.current, self.observed, self.predictive_mean, self.predictive_std


@dataclass(frozen=True)
class HeldOut:
    """A rule fitted on calibration cases, reported on the others.

    Attributes:
        rule: the fitted rule.
        calibration_cases: number of cases it was fitted on.
        recall: share of held-out stress traces that it flags.
        false_alarms: share of held-out in-distribution traces that it flags.
        control_flagged: share of held-out control traces that it flags.
        control_excess_p: one-sided exact p-value of more flags on control than on in-distribution
            traces of the same cases.
    """

    rule: ReferenceRule | CertifiedThreshold
    calibration_cases: int
    recall: Interval
    false_alarms: Interval
    control_flagged: Interval
    control_excess_p: float

    @property
    def score_threshold(self) -> float:
        """Reliability score below which the rule flags a trace."""
        rule = self.rule
        return rule.rel_thr if isinstance(rule, ReferenceRule) else rule.threshold


@dataclass(frozen=True)
class Separation:
    """The splits told apart by reliability score; cases are resampled with all their traces.

    Attributes:
        stress_vs_in_distribution: area under the ROC curve, what the reference measures.
        stress_vs_control: the same with everything but the fouling matched.
        control_vs_in_distribution: 0.5 unless the score tells simulators apart.
        score_change: mean score of the stress traces less that of their controls.
    """

    stress_vs_in_distribution: Interval
    stress_vs_control: Interval
    control_vs_in_distribution: Interval
    score_change: Interval


@dataclass(frozen=True)
class StudyResult:
    """Everything the report shows of a study.

    Attributes:
        config: inputs and settings, for the record.
        notes: what the reader must know about the cases.
        cases: rows of the chunk, [n].
        diagnostics: of each split, fields [n].
        best_guardrail: the reference's rule on all cases, fitted and reported on the same ones.
        held_out: the reference's rule on calibration and held-out cases; None below 2 cases.
        certified: a rule with bounded false positives; None where cases are too few for any.
        certified_min_cases: cases that a certified rule needs.
        separation: of the splits by score.
        confounded: whether clean control traces are told from in-distribution ones.
        confounded_because: in words, empty when not.
        failures: the stress traces of lowest and of highest score.
        seconds: wall time of the posterior of all splits, compilation included.
    """

    config: dict[str, Any]
    notes: tuple[str, ...]
    cases: NDArray[np.int64]
    diagnostics: Mapping[str, CaseDiagnostics]
    best_guardrail: ReferenceRule
    held_out: HeldOut | None
    certified: HeldOut | None
    certified_min_cases: int
    separation: Separation
    confounded: bool
    confounded_because: str
    failures: tuple[FailureTrace, FailureTrace]
    seconds: float

    def runs(self) -> list[dict[str, Any]]:
        """One record a case and split."""
        return [
            {"split": split, "case_index": int(row)}
            | {name: float(values[case]) for name, values in vars(found).items()}
            for split, found in self.diagnostics.items()
            for case, row in enumerate(self.cases)
        ]

    def split_summary(self) -> list[dict[str, Any]]:
        """Means of each split."""
        names = (
            "reliability_score",
            "param_nrmse",
            "pred_nrmse",
            "pred_nll",
            "pred_calibration_error",
            "reference_score",
        )
        return [
            {"split": split, "n_cases": len(self.cases)}
            | {f"{name}_mean": float(np.mean(getattr(found, name))) for name in names}
            for split, found in self.diagnostics.items()
        ]

    def payload(self) -> dict[str, Any]:
        """The record of the study; equal inputs and settings give equal content."""
        return {
            "config": self.config,
            "notes": list(self.notes),
            "split_summary": self.split_summary(),
            "runs": self.runs(),
            "best_guardrail": asdict(self.best_guardrail),
            "held_out_guardrail": self.held_out and asdict(self.held_out),
            "certified_guardrail": self.certified and asdict(self.certified),
            "control": {
                "separation": asdict(self.separation),
                "confounded": self.confounded,
                "confounded_because": self.confounded_because,
            },
            "failure_traces": [vars(trace) for trace in self.failures],
        }


def run_study(inputs: StudyInput, settings: StudySettings) -> StudyResult:
    """Draw cases, infer every split with identical settings, diagnose and judge.

    Cases alternate between calibration and held-out in the order they were drawn, the first one
    calibrates. Every posterior has its own seed, 15000 + 31 case number + split number.

    Args:
        inputs: surrogate, dataset and their sources.
        settings: of the cases and the posterior.

    Raises:
        InputError: the chunk does not fit the surrogate, or cannot be used.
    """
    check_fit(inputs.surrogate, inputs.chunk)
    cases = draw_cases(inputs.chunk, settings.cases, inputs.duration_s)
    inference = replace(settings.inference, noise_std=settings.cases.eval_noise_std)
    started = time.perf_counter()
    posterior, truth = _infer(inputs, cases, settings.cases, inference)
    seconds = time.perf_counter() - started
    n, length = cases.E_V.shape
    predictive_mean = np.asarray(posterior.predictive_mean).reshape(3, n, length)
    predictive_std = np.asarray(posterior.predictive_std).reshape(3, n, length)
    estimate = np.asarray(posterior.mean)[:, : truth.shape[1]].reshape(3, n, -1)
    diagnostics = {
        split: case_diagnostics(
            cases.observed[s],
            cases.mask[s],
            predictive_mean[s],
            predictive_std[s],
            estimate[s],
            truth,
        )
        for s, split in enumerate(SPLITS)
    }
    held_out, certified = _held_out(diagnostics)
    separation = _separation(diagnostics, settings.resamples)
    because = _confounded_because(separation, held_out)
    stress_scores = diagnostics[STRESS].reliability_score
    failures = [
        FailureTrace(
            case_index=int(cases.rows[case]),
            reliability_score=float(stress_scores[case]),
            t_s=cases.time_s[case],
            current=cases.observed[1, case],
            observed=cases.mask[1, case],
            predictive_mean=predictive_mean[1, case],
            predictive_std=predictive_std[1, case],
        )
        for case in (int(np.argmin(stress_scores)), int(np.argmax(stress_scores)))
    ]
    return StudyResult(
        config={
            "checkpoint": inputs.checkpoint,
            "dataset_chunk": inputs.dataset_chunk,
            "case_indices": cases.rows.tolist(),
            "eval_noise_std": settings.cases.eval_noise_std,
            "inference_config": asdict(inference),
            "case_settings": asdict(settings.cases),
            "duration_s": None if inputs.chunk.time_s is not None else inputs.duration_s,
            "splits": list(SPLITS),
        },
        notes=cases.notes,
        cases=cases.rows,
        diagnostics=diagnostics,
        best_guardrail=_fit_reference(diagnostics, slice(None)),
        held_out=held_out,
        certified=certified,
        certified_min_cases=2 * CertifiedGuardrail().min_cases - 1,
        separation=separation,
        confounded=bool(because),
        confounded_because=because,
        failures=(failures[0], failures[1]),
        seconds=seconds,
    )


def load_inputs(
    checkpoint: Path | str | None = None,
    dataset_chunk: Path | str | None = None,
    duration_s: float = 8.0,
) -> StudyInput:
    """Find and read surrogate and dataset; see `ecguard.inputs` for where they are looked for.

    The built-in dataset is drawn from the family with a seed that the training of the built-in
    checkpoint did not use.

    Raises:
        InputError: a path that was given does not exist, or a file cannot be used.
    """
    weights, rows = find_checkpoint(checkpoint), find_chunk(dataset_chunk)
    chunk = load_chunk(rows.path) if rows.path else draw(BUILT_IN_SEED, BUILT_IN_ROWS)
    surrogate = load_surrogate(weights.path)
    check_fit(surrogate, chunk)
    return StudyInput(surrogate, chunk, duration_s, str(weights), str(rows))


def check_fit(surrogate: Surrogate, chunk: Chunk) -> None:
    """Whether a surrogate and a chunk belong together.

    Raises:
        InputError: samples, couples or vocabularies differ, or a context entry is unknown.
    """
    meta = surrogate.meta
    for what, found, expected in (
        ("samples a trace", chunk.n_samples, meta.target_len),
        ("couples", chunk.n_couples, meta.max_species),
        ("tasks", chunk.task_names, meta.task_names),
        ("stages", chunk.stage_names, meta.stage_names),
    ):
        if found and expected and found != expected:
            raise InputError(
                "dataset_chunk",
                f"{found} {what}",
                f"{expected}, as the surrogate has",
                "Give checkpoint and dataset_chunk of one training run.",
            )
    if set(meta.context_names) - {"ln_duration_s"}:
        raise InputError(
            "checkpoint", meta.context_names, "ln_duration_s or no context", "Use another one."
        )


def _infer(
    inputs: StudyInput, cases: Cases, settings: CaseSettings, inference: CrossEntropySettings
) -> tuple[Posterior, NDArray[np.float32]]:
    """Posterior of all splits, leading axis [3 n], and the true parameters [n, 7 m], normalised."""
    surrogate, rows = inputs.surrogate, inputs.chunk.take(cases.rows)
    n, physical = len(cases.rows), surrogate.meta.phys_dim_base
    ln_duration = jnp.log(cases.time_s[:, -1:] - cases.time_s[:, :1])
    context = ln_duration if surrogate.meta.context_names else None
    parameters, task, stage = map(jnp.asarray, (rows.parameters, rows.task_id, rows.stage_id))
    core = surrogate.compose(parameters, task, stage, context)
    truth = np.asarray(surrogate.standardise(core))[:, :physical]
    known = jnp.arange(core.shape[1]) >= physical
    seeds = [
        settings.seed_for(_POSTERIOR_SEED + _POSTERIOR_STRIDE * case + split)
        for split in range(len(SPLITS))
        for case in range(n)
    ]

    def flat(values: NDArray[Any]) -> Array:
        return jnp.asarray(values.reshape(3 * n, -1))

    posterior = infer(
        surrogate,
        jnp.tile(jnp.asarray(cases.E_V), (3, 1)),
        flat(cases.observed),
        flat(cases.mask),
        jnp.tile(jnp.where(known, core, 0.0), (3, 1)),
        known,
        jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32)),
        inference,
    )
    return jax.block_until_ready(posterior), truth


def _fit_reference(diagnostics: Mapping[str, CaseDiagnostics], rows: slice) -> ReferenceRule:
    """The reference's rule on in-distribution and stress traces of some cases."""
    splits = [diagnostics[CLEAN], diagnostics[STRESS]]
    scores = [found.reliability_score[rows] for found in splits]
    return reference_grid_search(
        np.concatenate(scores),
        np.concatenate([found.pred_calibration_error[rows] for found in splits]),
        np.repeat([False, True], len(scores[0])),
    )


def _held_out(
    diagnostics: Mapping[str, CaseDiagnostics],
) -> tuple[HeldOut | None, HeldOut | None]:
    """The reference's rule and the certified one, each None where cases are too few."""
    calibration, test = slice(0, None, 2), slice(1, None, 2)
    clean = diagnostics[CLEAN].reliability_score[calibration]
    if not len(diagnostics[CLEAN].reliability_score[test]):
        return None, None
    rule = _fit_reference(diagnostics, calibration)
    reference = _report(
        rule,
        len(clean),
        {
            split: rule.flags(found.reliability_score[test], found.pred_calibration_error[test])
            for split, found in diagnostics.items()
        },
    )
    if len(clean) < CertifiedGuardrail().min_cases:
        return reference, None
    fitted = CertifiedGuardrail().fit(clean)
    return reference, _report(
        fitted,
        len(clean),
        {
            split: fitted.flags(found.reliability_score[test])
            for split, found in diagnostics.items()
        },
    )


def _report(
    rule: ReferenceRule | CertifiedThreshold,
    calibration_cases: int,
    flags: Mapping[str, NDArray[np.bool_]],
) -> HeldOut:
    return HeldOut(
        rule=rule,
        calibration_cases=calibration_cases,
        recall=flag_rate(flags[STRESS]),
        false_alarms=flag_rate(flags[CLEAN]),
        control_flagged=flag_rate(flags[CONTROL]),
        control_excess_p=excess_p_value(flags[CONTROL], flags[CLEAN]),
    )


def _separation(diagnostics: Mapping[str, CaseDiagnostics], resamples: int) -> Separation:
    def area(suspect: str, other: str) -> Interval:
        positive, negative = (-diagnostics[split].reliability_score for split in (suspect, other))
        return auroc_interval(positive, negative, paired=True, resamples=resamples)

    return Separation(
        area(STRESS, CLEAN),
        area(STRESS, CONTROL),
        area(CONTROL, CLEAN),
        difference_interval(
            diagnostics[STRESS].reliability_score,
            diagnostics[CONTROL].reliability_score,
            resamples=resamples,
        ),
    )


def _confounded_because(separation: Separation, held_out: HeldOut | None) -> str:
    """Why the separation is no evidence of fouling; empty when nothing speaks against it."""
    reasons = []
    area = separation.control_vs_in_distribution
    if not area.contains(0.5):
        reasons.append(
            f"the score tells clean control traces from in-distribution ones (AUROC "
            f"{area.value:.2f}, interval {area.low:.2f} to {area.high:.2f}, {area.n} cases)"
        )
    if held_out is not None and held_out.control_excess_p < SIGNIFICANCE:
        flagged, nominal = held_out.control_flagged, held_out.false_alarms
        reasons.append(
            f"the rule flags {flagged.value:.0%} of clean control traces and {nominal.value:.0%} "
            f"of in-distribution ones ({flagged.n} held-out cases)"
        )
    return " and ".join(reasons)
