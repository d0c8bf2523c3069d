"""From traces to posteriors and their diagnostics: what a guardrail reads.

Nothing here knows the truth, or which traces are clean.
"""

from dataclasses import dataclass

import numpy as np
from jax import Array
from numpy.typing import NDArray

from ecguard import diagnostics as dg
from ecguard.engines import predict
from ecguard.errors import InputError
from ecguard.guardrail import FittedGuardrail, Verdict
from ecguard.known_faults import any_fault, fault_evidence
from ecguard.posterior.amortised.artefacts import Amortised, fingerprint
from ecguard.posterior.corrected import correct, from_amortised, round_size
from ecguard.posterior.likelihood import Observation, SimulatorLikelihood
from ecguard.posterior.population import PopulationSettings
from ecguard.protocol import Protocol
from ecguard.protocol.inference import (
    Inferred,
    diagnostic_names,
    infer_clean,
    infer_either,
    starts,
)
from ecguard.protocol.measured import in_words

KNOWING = "known_faults"
"""The one diagnostic that knows of faults."""

DIAGNOSTICS = {
    "chi_square": "size of the residuals",
    "lag_one": "neighbouring residuals alike",
    "cusum": "residuals that drift",
    "asymmetry": "forward against backward sweep",
    "largest": "largest residual",
    "leave_one_out": "samples predicted from the others",
    "inefficiency": "amortised density off the posterior",
    "unfamiliarity": "summary far from the family's",
    "unreliability": "100 less the reliability score",
    KNOWING: "what known faults would add",
}
"""Names of the diagnostics and what they look at; large is suspect in all of them."""

SCREENING = PopulationSettings(
    n_proposals=1024, effective=400, most_rounds=12, n_draws=400, block=8
)
"""Settings of the sampler where thousands of traces are screened."""


@dataclass(frozen=True)
class Screened:
    """What is inferred from n traces.

    Attributes:
        diagnostics: [n, len(DIAGNOSTICS)], in that order.
        fault_evidence: ln evidence of each of `FAULTS` against none [n, len(FAULTS)].
        draws: of the unknowns, of equal weight [n, n_draws, d].
        mean: posterior mean of the unknowns [n, d].
        low, high: ends of the central 95 % intervals [n, d].
        effective: effective number of weighed draws [n].
        reliability_score, calibration_error, reference_score: what the reference's rule reads [n].
        predicted_mean, predicted_std: of the current, noise included, mA/cm^2 [n, L].
    """

    diagnostics: NDArray[np.float64]
    fault_evidence: NDArray[np.float64]
    draws: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    effective: NDArray[np.float64]
    reliability_score: NDArray[np.float64]
    calibration_error: NDArray[np.float64]
    reference_score: NDArray[np.float64]
    predicted_mean: NDArray[np.float32]
    predicted_std: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.mean)


def screen(
    amortised: Amortised,
    familiarity: dg.Familiarity | None,
    observation: Observation,
    task: NDArray[np.integer],
    n_couples: int,
    keys: Array,
    settings: PopulationSettings = SCREENING,
) -> Screened:
    """Infer traces that share their solver grid, and diagnose their posteriors.

    Args:
        amortised: the trained density.
        familiarity: of the family; None leaves that diagnostic 0.
        observation: the traces.
        task: their labels [n].
        n_couples: that the user believes in.
        keys: a random key for each trace [n].
        settings: of the sampler.

    Raises:
        InputError: the amortised density was not trained for such traces.
    """
    likelihood = SimulatorLikelihood.of(observation)
    path = from_amortised(amortised, observation, likelihood, task, n_couples)
    found = correct(path, keys, settings)
    unknowns = found.unknowns.astype(np.float64)
    predicted, mean, std = predict(likelihood, found.unknowns)
    current, seen = np.asarray(observation.current), np.asarray(observation.observed)
    noise = np.asarray(observation.noise_std, np.float64)
    nothing = np.zeros((len(mean), 1))
    case = dg.case_diagnostics(current, seen, mean, std, nothing, nothing)
    residual = (current - mean) / noise[:, None]
    summary = np.asarray(path.summary)
    evidence = fault_evidence(likelihood, unknowns.mean(axis=1), n_couples)
    columns = (
        dg.excess_chi_square(residual, seen),
        dg.lag_one(residual, seen),
        dg.cusum(residual, seen),
        dg.sweep_asymmetry(residual, seen, np.asarray(observation.E_V)),
        dg.largest_residual(residual, seen),
        dg.leave_one_out_score(predicted, current, seen, noise),
        -np.log10(np.maximum(found.efficiency, 1.0 / round_size(settings, n_couples))),
        familiarity(summary) if familiarity else np.zeros(len(mean)),
        100.0 - case.reliability_score,
        any_fault(evidence),
    )
    low, high = np.quantile(unknowns, [0.025, 0.975], axis=1)
    return Screened(
        diagnostics=np.stack(columns, axis=1),
        fault_evidence=evidence,
        draws=unknowns,
        mean=unknowns.mean(axis=1),
        low=low,
        high=high,
        effective=np.asarray(found.effective),
        reliability_score=case.reliability_score,
        calibration_error=case.pred_calibration_error,
        reference_score=case.reference_score,
        predicted_mean=mean,
        predicted_std=std.astype(np.float32),
    )


def judge(
    guardrail: FittedGuardrail,
    amortised: Amortised,
    observation: Observation,
    task: str,
    keys: Array,
) -> tuple[Screened, Verdict]:
    """Screen measured traces as the guardrail's calibration cases were, and judge them.

    Args:
        guardrail: fitted on screened cases of the same `amortised`.
        amortised: the trained density.
        observation: the traces.
        task: what their waveform is.
        keys: a random key for each trace [n].

    Raises:
        InputError: the guardrail was not calibrated for such traces; nothing is inferred then.
    """
    valid = guardrail.valid_for
    seen = observation
    if guardrail.score.names != tuple(DIAGNOSTICS):
        raise InputError(
            "guardrail", guardrail.score.names, f"diagnostics {tuple(DIAGNOSTICS)}", "Fit it anew."
        )
    valid.check(
        task, valid.n_couples, seen.time_s, seen.E_V, seen.current, seen.observed,
        seen.noise_std, fingerprint(amortised),
    )  # fmt: skip
    label = np.full(len(seen.current), amortised.meta.task_names.index(task))
    found = screen(amortised, guardrail.familiarity, seen, label, valid.n_couples, keys)
    return found, guardrail.judge(found.diagnostics)


@dataclass(frozen=True)
class ScreenedSteps:
    """What is inferred from the steps of a protocol on n electrodes.

    Attributes:
        clean: under the model of a clean electrode.
        either: of both models by their evidence, see `infer_either`.
    """

    clean: Inferred
    either: Inferred

    @property
    def log_bayes_factor(self) -> NDArray[np.float64]:
        """ln evidence of the model with a film over the clean one's [n]."""
        return np.asarray(self.either.log_evidence - self.clean.log_evidence)


def judge_steps(
    guardrail: FittedGuardrail,
    amortised: Amortised,
    protocol: Protocol,
    steps: tuple[Observation, ...],
    task: str,
    keys: Array,
) -> tuple[ScreenedSteps, Verdict]:
    """Infer what was measured by a protocol as its calibration cases were, and judge it.

    Args:
        guardrail: fitted on trials of the same protocol.
        amortised: the trained density that their searches started from.
        protocol: that was measured.
        steps: what was observed in each, of the same n electrodes.
        task: what the first waveform is.
        keys: a random key for each electrode [n].

    Raises:
        InputError: the guardrail was not calibrated for such electrodes; nothing is inferred then.
    """
    valid, first = guardrail.valid_for, steps[0]
    if guardrail.score.names != (names := diagnostic_names(protocol)):
        raise InputError("guardrail", guardrail.score.names, f"diagnostics {names}", "Fit it anew.")
    valid.check(
        task, valid.n_couples, first.time_s, first.E_V, first.current, first.observed,
        first.noise_std, fingerprint(amortised), in_words(protocol),
    )  # fmt: skip
    label = np.full(len(first.current), amortised.meta.task_names.index(task))
    begun = starts(amortised, first, label, keys)
    clean = infer_clean(protocol, steps, begun)
    found = ScreenedSteps(clean, infer_either(protocol, steps, begun, clean))
    return found, guardrail.judge(clean.diagnostics)
