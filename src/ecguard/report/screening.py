"""Verdicts on measured traces: in words, as JSON and as pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecguard.engines import case_keys
from ecguard.errors import InputError
from ecguard.files import sha256
from ecguard.guardrail import FittedGuardrail, Verdict, load_guardrail
from ecguard.posterior.amortised.artefacts import load_amortised
from ecguard.posterior.likelihood import Observation
from ecguard.posterior.unknowns import names
from ecguard.recording import read_recording
from ecguard.report.figures import save_figure, trace_figure
from ecguard.report.payload import save_payload
from ecguard.report.provenance import provenance
from ecguard.screening import DIAGNOSTICS, Screened, judge

SCREENING_FILE = "screening.json"
_LOUD = 2.0  # times the declared noise, above or below which scatter is worth a word


@dataclass(frozen=True)
class Measured:
    """Measured traces and what is known of them.

    Attributes:
        traces: CSV files, as `read_recording` reads them.
        guardrail: file that `FittedGuardrail.save` wrote.
        amortised_checkpoint: that it was fitted with; empty for the built-in one.
        area_cm2: of the electrode, for currents; None where files hold densities.
        shift_V: added to potentials, for another reference electrode.
        seed: of the random draws, and of the samples that are put aside.
    """

    traces: Sequence[Path]
    guardrail: Path
    amortised_checkpoint: str = ""
    area_cm2: float | None = None
    shift_V: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Judged:
    """What was read and found, a row a trace.

    Attributes:
        measured: what was asked.
        guardrail: that judged.
        observation: the traces as they were shown to it.
        scatter: std of white noise that neighbouring samples show, mA/cm^2 [n].
        screened, verdict: what it found.
    """

    measured: Measured
    guardrail: FittedGuardrail
    observation: Observation
    scatter: NDArray[np.float64]
    screened: Screened
    verdict: Verdict


def judge_traces(measured: Measured) -> Judged:
    """Read measured traces, bring them to the guardrail's number of samples, and judge them.

    Where the guardrail was calibrated on traces of which a part was observed, as many samples are
    shown to it, chosen at random.

    Raises:
        InputError: a file cannot be used, or the guardrail was not calibrated for such a trace.
    """
    guardrail = load_guardrail(measured.guardrail)
    valid = guardrail.valid_for
    amortised = load_amortised(measured.amortised_checkpoint or None)
    if not measured.traces:
        raise InputError("traces", 0, "one file or more", "Name them.")
    read = [
        read_recording(path, measured.area_cm2, measured.shift_V).at(valid.n_samples)
        for path in measured.traces
    ]
    n, share = len(read), np.mean(valid.observed_share)
    observed = np.ones((n, valid.n_samples), bool)
    if valid.observed_share[1] < 1:
        rng = np.random.default_rng(measured.seed)
        chance = rng.permuted(np.tile(np.arange(valid.n_samples), (n, 1)), axis=1)
        observed = chance < round(share * valid.n_samples)
    observation = Observation(
        np.stack([own.t_s for own in read]),
        np.stack([own.E_V for own in read]),
        np.stack([own.current for own in read]),
        observed,
        np.full(n, valid.noise_std),
    )
    keys = case_keys(measured.seed, np.arange(n))
    screened, verdict = judge(guardrail, amortised, observation, valid.task, keys)
    scatter = np.array([own.scatter() for own in read])
    return Judged(measured, guardrail, observation, scatter, screened, verdict)


def verdict_lines(judged: Judged) -> list[str]:
    """What a reader at the bench needs to know, a line a statement."""
    verdict, rule = judged.verdict, judged.guardrail.threshold
    declared = judged.guardrail.valid_for.noise_std
    lines = []
    for row, path in enumerate(judged.measured.traces):
        word = "FLAGGED, do not trust its posterior" if verdict.flagged[row] else "not flagged"
        lines.append(f"{path}: {word} (p = {verdict.p_value[row]:.2g})")
        ratio = judged.scatter[row] / declared
        if not 1 / _LOUD < ratio < _LOUD:
            lines.append(
                f"  its samples scatter by {judged.scatter[row]:.2g} mA/cm², where the guardrail "
                f"was calibrated for noise of {declared:.2g}: the verdict assumes that noise"
            )
    lines.append(
        f"Of clean traces of this kind {rule.alpha:.0%} or fewer are flagged, with a certainty of "
        f"{1 - rule.delta:.1%}."
    )
    if verdict.undetectable and not verdict.flagged.all():
        lines.append("What a trace that is not flagged may hide:")
        lines += [f"  {spot}" for spot in verdict.undetectable]
    return lines


def save_judged(judged: Judged, out_dir: Path | str, started: float) -> Path:
    """Write `SCREENING_FILE` and a picture of each trace with its fit.

    Args:
        judged: what was found.
        out_dir: folder, made where it is not there.
        started: `time.perf_counter()` at the start of the work, s.

    Returns:
        The path of the file.
    """
    out = Path(out_dir)
    measured, found, verdict = judged.measured, judged.screened, judged.verdict
    seen = judged.observation
    labels = names(judged.guardrail.valid_for.n_couples)
    rows = []
    for row, path in enumerate(measured.traces):
        rows.append(
            {
                "path": str(path),
                "flagged": bool(verdict.flagged[row]),
                "score": verdict.score[row],
                "p_value": verdict.p_value[row],
                "effective": found.effective[row],
                "scatter_mA_cm2": judged.scatter[row],
                "diagnostics": dict(zip(DIAGNOSTICS, found.diagnostics[row], strict=True)),
                "posterior": {
                    label: {"mean": mean, "low": low, "high": high}
                    for label, mean, low, high in zip(
                        labels, found.mean[row], found.low[row], found.high[row], strict=True
                    )
                },
            }
        )
        word = "flagged" if verdict.flagged[row] else "not flagged"
        figure = trace_figure(
            seen.time_s[row],
            seen.current[row],
            seen.observed[row],
            found.predicted_mean[row],
            found.predicted_std[row],
            f"{path.name}: {word}, p = {verdict.p_value[row]:.2g}",
        )
        alt = f"Current of {path.name} against time with the fit of a clean electrode: {word}."
        save_figure(figure, out / f"{row:03d}-{path.stem}.png", alt)
    rule = judged.guardrail.threshold
    return save_payload(
        out / SCREENING_FILE,
        {
            "guardrail": {
                "path": str(measured.guardrail),
                "sha256": sha256(measured.guardrail),
                "alpha": rule.alpha,
                "delta": rule.delta,
                "threshold": rule.threshold,
            },
            "traces": rows,
            "undetectable": [str(spot) for spot in verdict.undetectable],
        },
        "screening",
        claims=(),
        provenance=provenance(measured.seed, "bench", started),
    )
