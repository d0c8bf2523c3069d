"""Are the posteriors of clean cases calibrated? All engines on the same held-out cases."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from ecguard import family
from ecguard.clean_cases import CleanSettings, Group, draw_clean
from ecguard.diagnostics import (
    CalibratedScore,
    CaseDiagnostics,
    case_diagnostics,
    contraction,
    held_out_score,
    log_gamma,
    predictive_p_value,
    ranks,
    tarp,
)
from ecguard.engines import (
    AMORTISED,
    CORRECTED,
    CORRECTED_SURROGATE,
    EXACT,
    REFERENCE,
    SUMMED,
    Engines,
    predict,
)
from ecguard.intervals import Interval, share
from ecguard.posterior.corrected import Inferred
from ecguard.posterior.likelihood import SimulatorLikelihood
from ecguard.posterior.tempered import LOWEST, thinned
from ecguard.posterior.unknowns import MAX_COUPLES, n_unknowns, names, prior_std, ranges

ORDER = (REFERENCE, SUMMED, AMORTISED, CORRECTED, EXACT)
CALIBRATED = (CORRECTED, EXACT)
N_RANKED = 199
"""Draws a rank is taken among: 95 % of a central interval is then exact."""
FAR = 5.0
"""Lead of the truth, in nat, beyond which its region counts as missed."""
PARAMETERS = names(MAX_COUPLES)
_AT_ONCE = 2  # groups whose programs are compiled: each keeps one core
_UNIT_FACTORS = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)


@dataclass(frozen=True)
class EngineResult:
    """One engine on all cases, parameters in the order of `PARAMETERS`, NaN where absent.

    Attributes:
        name: of the engine.
        draws: [cases, N_RANKED, 16].
        mean: of all draws [cases, 16].
        log_evidence: [cases].
        efficiency: effective share of the amortised draws before any adaptation [cases].
        effective: effective number of weighed draws [cases].
        lead: of the truth over the heaviest draw, nat [cases]; NaN where it was not tried.
        seconds: wall time for a case, compilation left out.
    """

    name: str
    draws: NDArray[np.float64]
    mean: NDArray[np.float64]
    log_evidence: NDArray[np.floating]
    efficiency: NDArray[np.floating]
    effective: NDArray[np.floating]
    lead: NDArray[np.floating]
    seconds: float


@dataclass(frozen=True)
class Predictive:
    """What the corrected posterior says of the traces themselves [cases].

    Attributes:
        diagnostics: of the observed samples.
        unit_scores: mean score and mean reference score by factor of the current's unit [7, 2].
        p_value: posterior predictive, of the observed samples.
        held_out_z: chi-square of samples that the fit did not see, standardised.
        shown: one case as time, current, mask, mean and std, each [L].
    """

    diagnostics: CaseDiagnostics
    unit_scores: NDArray[np.float64]
    p_value: NDArray[np.float64]
    held_out_z: NDArray[np.float64]
    shown: tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class CalibrationResult:
    """Everything the chapter shows.

    Attributes:
        truth: [cases, 16], NaN where absent.
        task, stage, n_couples: of the cases [cases].
        engines: by name.
        predictive: of the corrected posterior.
        surrogate_shift: corrected under the surrogate less under the simulator, in posterior std,
            mean absolute over parameters, of the cases it was run on.
    """

    truth: NDArray[np.float64]
    task: NDArray[np.int32]
    stage: NDArray[np.int32]
    n_couples: NDArray[np.intp]
    engines: dict[str, EngineResult] = field(repr=False)
    predictive: Predictive = field(repr=False)
    surrogate_shift: NDArray[np.float64]

    def ranks(self, name: str) -> NDArray[np.int64]:
        """Ranks of the truth among the draws [cases, 16]; -1 where there is none."""
        found = np.full(self.truth.shape, -1)
        draws = self.engines[name].draws
        for column in range(len(PARAMETERS)):
            own = self.present(name, column)
            if own.any():
                pair = draws[own][:, :, [column]], self.truth[own][:, [column]]
                found[own, column] = ranks(*pair)[:, 0]
        return found

    def present(self, name: str, column: int) -> NDArray[np.bool_]:
        """Cases that have a parameter which an engine infers [cases]."""
        return np.isfinite(self.truth[:, column]) & np.isfinite(
            self.engines[name].draws[:, 0, column]
        )

    def log_gamma(self, name: str, alpha: float = 0.05) -> dict[str, float]:
        """Log gamma of the ranks of every parameter that enough cases have; below 0 rejects."""
        found = self.ranks(name)
        return {
            parameter: log_gamma(found[found[:, k] >= 0, k], N_RANKED, alpha)
            for k, parameter in enumerate(PARAMETERS)
            if (found[:, k] >= 0).sum() >= 10
        }

    def coverage(self, name: str, level: float = 0.95, alpha: float = 0.05) -> dict[str, Interval]:
        """Share of true parameters inside the central interval, with exact limits at 1 - alpha."""
        found = self.ranks(name)
        outside = round((1 - level) / 2 * (N_RANKED + 1))
        covered = (found >= outside) & (found <= N_RANKED - outside)
        return {
            parameter: share(int((covered[:, k] & own).sum()), int(own.sum()), 1 - alpha)
            for k, parameter in enumerate(PARAMETERS)
            if (own := found[:, k] >= 0).sum() >= 10
        }

    def unreached(self, name: str) -> Interval:
        """Share of cases whose truth outweighs every draw by more than `FAR` nat.

        The truth is a draw of its posterior: where it leads by far, a whole region is missed, and
        the effective number of draws says nothing of that. For engines that were given the truth.
        """
        lead = self.engines[name].lead
        missed = (lead > FAR) | (lead < LOWEST / 2)  # the last: a truth without any weight
        return share(int(missed.sum()), int(np.isfinite(lead).sum()))

    def error(self, name: str) -> NDArray[np.float64]:
        """Posterior mean less truth, in units of the prior's std [cases, 16]."""
        return (self.engines[name].mean - self.truth) / prior_std(MAX_COUPLES)

    def prior_error(self) -> NDArray[np.float64]:
        """Prior mean less truth, in the same units [cases, 16]."""
        low, high = ranges(MAX_COUPLES)
        return ((low + high) / 2 - self.truth) / prior_std(MAX_COUPLES)

    def case_error(self, name: str) -> NDArray[np.float64]:
        """Root mean square of `error` over the parameters of the couples [cases]."""
        return np.sqrt(np.nanmean(self.error(name)[:, :-2] ** 2, axis=1))

    def contraction(self, name: str) -> NDArray[np.float64]:
        """1 - posterior variance / prior variance [cases, 16]."""
        draws = self.engines[name].draws
        found = contraction(np.nan_to_num(draws), prior_std(MAX_COUPLES))
        return np.where(np.isfinite(draws[:, 0]), found, np.nan)

    def credibility(self, name: str) -> NDArray[np.float64]:
        """TARP credibility of each case [cases]; distances are taken from an amortised draw.

        A point that depends on the trace also finds posteriors that ignore it.
        """
        found = np.zeros(len(self.truth))
        for m in np.unique(self.n_couples):
            own = np.flatnonzero(self.n_couples == m)
            column = _columns(int(m))
            low, high = ranges(int(m))
            points = self.engines[AMORTISED].draws[own, 0][:, column]
            draws = self.engines[name].draws[own][:, 1:, column]
            found[own] = tarp(
                draws,
                self.truth[own][:, column],
                (low + high) / 2,
                prior_std(int(m)),
                points,
            ).credibility
        return found

    def tarp_p_value(self, name: str) -> float:
        """Kolmogorov-Smirnov p-value of the credibilities against the uniform distribution."""
        return float(stats.kstest(self.credibility(name), "uniform").pvalue)

    def score_p_value(self) -> float:
        """Whether the cases score as those do that the score is calibrated on, p-value.

        Calibrated scores share these, so that a test for uniform ones would reject too often.
        """
        score = self.predictive.diagnostics.reliability_score
        return float(stats.ks_2samp(score[::2], score[1::2]).pvalue)

    def calibrated_score(self) -> NDArray[np.float64]:
        """Score of every other case, fitted on the ones between."""
        score = self.predictive.diagnostics.reliability_score
        return CalibratedScore.fit(score[::2])(score[1::2])

    def summary(self) -> dict[str, Any]:
        """The payload."""
        return {
            "parameters": list(PARAMETERS),
            "task": self.task,
            "stage": self.stage,
            "n_couples": self.n_couples,
            "truth": _none(self.truth),
            "engines": {
                name: {
                    "mean": _none(found.mean),
                    "ranks": self.ranks(name),
                    "log_evidence": _none(found.log_evidence),
                    "efficiency": _none(found.efficiency),
                    "effective": _none(found.effective),
                    "lead": _none(found.lead),
                }
                for name, found in self.engines.items()
            },
            "contraction": _none(self.contraction(CORRECTED)),
            "predictive": {
                "p_value": self.predictive.p_value,
                "held_out_z": self.predictive.held_out_z,
                "reliability_score": self.predictive.diagnostics.reliability_score,
                "reference_score": self.predictive.diagnostics.reference_score,
                "unit_factors": list(_UNIT_FACTORS),
                "unit_scores": self.predictive.unit_scores,
            },
            "surrogate_shift": _none(self.surrogate_shift),
        }


def run_calibration(settings: CleanSettings, engines: Engines) -> CalibrationResult:
    """Infer held-out clean cases with every engine and diagnose the posteriors."""
    groups = draw_clean(settings)
    n = sum(map(len, groups))
    truth = np.full((n, len(PARAMETERS)), np.nan)
    task, stage, couples = (np.zeros(n, int) for _ in range(3))
    for group in groups:
        truth[np.ix_(group.case, _columns(group.n_couples))] = group.unknowns
        task[group.case], stage[group.case] = group.task, group.stage
        couples[group.case] = group.n_couples
    found = {}
    corrected: list[Inferred] = []
    # the engines' own limit, held here for all of their threads
    with threadpool_limits(1, "blas"), tqdm(total=len(ORDER) * n, unit="posterior") as bar:
        for name in ORDER:
            parts, seconds = [], []
            bar.set_postfix_str(f"{name}, first halves")
            with ThreadPoolExecutor(_AT_ONCE) as threads:
                firsts = list(threads.map(partial(_first_half, engines, name), groups))
            for group, first in zip(groups, firsts, strict=True):
                bar.set_postfix_str(f"{name}, {group.n_couples} couples")
                part, spent = _completed(engines, name, group, first)
                parts.append(part)
                seconds.append(spent)
                bar.update(len(group))
            found[name] = _gather(name, groups, parts, n, seconds)
            if name == CORRECTED:
                corrected = parts
        bar.set_postfix_str("predictive checks")
        predictive = _predict(groups, corrected, engines, n)
    shift = _surrogate_shift(groups, corrected, engines)
    return CalibrationResult(truth, task, stage, couples, found, predictive, shift)


def _first_half(engines: Engines, name: str, group: Group) -> Inferred:
    """What an engine says of the first half of a group, with the middle case of an odd number."""
    return engines.run(name, group.take(slice(-(-len(group) // 2))))


def _completed(
    engines: Engines, name: str, group: Group, first: Inferred
) -> tuple[Inferred, float]:
    """What an engine says of a group, and its seconds a case.

    The halves are of one size and share a case where their number is odd: the first one has
    compiled what the second one is timed with.
    """
    n, half = len(group), len(first.unknowns)
    started = time.perf_counter()
    second = engines.run(name, group.take(slice(n - half, n)))
    seconds = (time.perf_counter() - started) / half
    pairs = zip(first, second, strict=True)
    joined = (np.concatenate([left, right[2 * half - n :]]) for left, right in pairs)
    return Inferred(*joined), seconds


def _columns(n_couples: int) -> NDArray[np.intp]:
    """Where the unknowns of m couples stand among `PARAMETERS`."""
    row = np.arange(7 * MAX_COUPLES).reshape(7, MAX_COUPLES)[:, :n_couples].ravel()
    return np.concatenate([row, [7 * MAX_COUPLES, 7 * MAX_COUPLES + 1]])


def _gather(
    name: str,
    groups: Sequence[Group],
    parts: Sequence[Inferred],
    n: int,
    seconds: Sequence[float],
) -> EngineResult:
    d = n_unknowns(MAX_COUPLES)
    draws, mean = np.full((n, N_RANKED, d), np.nan), np.full((n, d), np.nan)
    evidence, efficiency, effective, lead = (np.full(n, np.nan) for _ in range(4))
    for group, part in zip(groups, parts, strict=True):
        column = _columns(group.n_couples)
        kept = thinned(part.unknowns, N_RANKED)
        draws[np.ix_(group.case, np.arange(N_RANKED), column)] = kept
        mean[np.ix_(group.case, column)] = part.unknowns.mean(axis=1, dtype=np.float64)
        evidence[group.case] = part.log_evidence
        efficiency[group.case], effective[group.case] = part.efficiency, part.effective
        lead[group.case] = part.lead
    weights = [len(group) for group in groups]
    return EngineResult(
        name,
        draws,
        mean,
        evidence,
        efficiency,
        effective,
        lead,
        float(np.average(seconds, weights=weights)),
    )


def _predict(
    groups: Sequence[Group], corrected: Sequence[Inferred], engines: Engines, n: int
) -> Predictive:
    length = family.N_SAMPLES
    mean, std, current = (np.zeros((n, length)) for _ in range(3))
    mask, p_value, held_out = np.zeros((n, length), bool), np.zeros(n), np.zeros(n)
    time_s = np.zeros((n, length))

    def check(group: Group, drawn: Inferred) -> None:
        seen = group.observation
        likelihood = SimulatorLikelihood.of(seen)
        noise = np.asarray(seen.noise_std)
        predicted, mean[group.case], std[group.case] = predict(likelihood, drawn.unknowns)
        current[group.case], mask[group.case] = seen.current, seen.observed
        time_s[group.case] = seen.time_s
        p_value[group.case] = predictive_p_value(predicted, seen.current, seen.observed, noise)
        hiding = engines.run(CORRECTED, group.hiding())
        predicted, *_ = predict(likelihood, hiding.unknowns)
        left = np.asarray(seen.observed) & ~group.fitted
        held_out[group.case] = held_out_score(predicted, seen.current, left, noise).chi_square_z

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(check, groups, corrected))
    nothing = np.zeros((n, 1))
    diagnostics = case_diagnostics(current, mask, mean, std, nothing, nothing)
    scores = []
    for factor in _UNIT_FACTORS:
        scaled = case_diagnostics(
            factor * current, mask, factor * mean, factor * std, nothing, nothing
        )
        scores.append([scaled.reliability_score.mean(), scaled.reference_score.mean()])
    typical = int(np.argsort(diagnostics.reliability_score)[n // 2])
    shown = (time_s[typical], current[typical], mask[typical], mean[typical], std[typical])
    return Predictive(diagnostics, np.array(scores), p_value, held_out, shown)


def _surrogate_shift(
    groups: Sequence[Group], corrected: Sequence[Inferred], engines: Engines, most: int = 16
) -> NDArray[np.float64]:
    """Shift of the mean of ln k0 and the like when the surrogate takes the simulator's place."""
    number = int(np.argmax([len(group) * (group.n_couples == 1) for group in groups]))
    group = groups[number].take(slice(most))
    if group.n_couples != 1:
        return np.zeros(0)
    found = engines.run(CORRECTED_SURROGATE, group)
    exact = corrected[number].unknowns[: len(group), :, :-2]
    spread = np.maximum(exact.std(axis=1), 1e-9)
    shift = (found.unknowns[:, :, :-2].mean(axis=1) - exact.mean(axis=1)) / spread
    return np.asarray(np.abs(shift).mean(axis=1), float)


def _none(values: NDArray[np.floating]) -> Any:
    """Nested lists with None for NaN, which JSON cannot hold."""
    objects = values.astype(object)
    objects[~np.isfinite(values)] = None
    return objects.tolist()
