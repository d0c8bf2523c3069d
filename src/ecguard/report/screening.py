"""Verdicts on measured traces: in words, as JSON and as pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ecguard import family
from ecguard.engines import case_keys
from ecguard.errors import InputError, naming
from ecguard.files import sha256, write_text
from ecguard.guardrail import FittedGuardrail, Verdict, load_guardrail
from ecguard.known_faults import FAULTS
from ecguard.posterior.amortised.artefacts import fingerprint, load_amortised
from ecguard.posterior.film import NAMES as FILM
from ecguard.posterior.likelihood import Observation
from ecguard.posterior.unknowns import names
from ecguard.protocol import DEFAULT, Protocol, Step
from ecguard.protocol.measured import observe_recordings, protocol_of, to_apply
from ecguard.recording import Recording, read_recording
from ecguard.report.figures import save_figure, trace_figure
from ecguard.report.payload import save_payload
from ecguard.report.provenance import provenance
from ecguard.screening import ScreenedSteps, judge, judge_steps

SCREENING_FILE = "screening.json"
_AREA_OFF = 0.05  # of the area that posteriors assume
_MISFIT = 1e-3  # chance of a larger chi-square, below which a model does not fit
_NAMED = 3  # likeliest faults that are named
_FAR = 6.0  # std, which noise alone never reaches
_LOUD = 2.0  # times the declared noise, above or below which scatter is worth a word

Floats = NDArray[np.floating]


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
    """What was read and found of n electrodes.

    Attributes:
        measured: what was asked.
        guardrail: that judged.
        protocol: that was measured.
        paths: of the recordings of each electrode, one for each step.
        steps: as they were shown to the guardrail.
        diagnostics: [n, k], as the guardrail's score names them.
        fault_evidence: ln evidence of each of `FAULTS` against none [n, m]; None of a protocol.
        draws: of the unknowns of a clean electrode, of equal weight [n, n_draws, d].
        effective: effective number of these [n]; None where they are of a normal approximation.
        predicted: mean and std of the current of clean electrodes, [n, L] each, for each step.
        film: what a film would explain; None where one voltammogram cannot tell.
        verdict: on each.
    """

    measured: Measured
    guardrail: FittedGuardrail
    protocol: Protocol
    paths: tuple[tuple[Path, ...], ...]
    steps: tuple[Observation, ...]
    diagnostics: Floats
    fault_evidence: Floats | None
    draws: Floats
    effective: Floats | None
    predicted: tuple[tuple[Floats, Floats], ...]
    film: ScreenedSteps | None
    verdict: Verdict

    def observed(self, row: int) -> list[int]:
        """Samples of each step that were looked at."""
        return [int(step.observed[row].sum()) for step in self.steps]

    def stray(self, row: int, k: int) -> int:
        """Samples of a step that were put aside, far from the fit: the verdict ignores them."""
        step, (mean, std) = self.steps[k], self.predicted[k]
        aside = ~step.observed[row]
        aside[: self.protocol.steps[k].n_quiet] = False
        away = np.abs(step.current[row] - mean[row]) > _FAR * std[row]
        return int((aside & away).sum())

    def scatter(self, row: int, k: int) -> float:
        """Std of white noise that neighbours show in what the fit leaves of a step, mA/cm^2."""
        step, shown = self.steps[k], slice(self.protocol.steps[k].n_quiet, None)
        residual = step.current[row, shown] - self.predicted[k][0][row, shown]
        return Recording(step.time_s[row, shown], step.E_V[row, shown], residual).scatter()


def judge_traces(measured: Measured) -> Judged:
    """Read measured traces, bring them to the guardrail's number of samples, and judge them.

    Where the guardrail was calibrated on traces of which a part was observed, as many samples are
    shown to it, chosen at random.

    Raises:
        InputError: a file cannot be used, or the guardrail was not calibrated for such a trace.
    """
    guardrail = load_guardrail(measured.guardrail)
    valid = guardrail.valid_for
    protocol = protocol_of(valid.steps) if valid.steps else DEFAULT
    amortised = load_amortised(measured.amortised_checkpoint or None)
    paths = _of_electrodes(measured.traces, protocol)
    read = [_read(measured, own, valid.n_samples) for own in paths]
    if valid.steps:
        _check_once(paths)
    _check_first(guardrail, protocol, fingerprint(amortised), dict(zip(paths, read, strict=True)))
    steps = observe_recordings(protocol, read, valid.noise_std, _share(guardrail), measured.seed)
    keys = case_keys(measured.seed, np.array([own[0].number for own in read], np.uint32))
    if valid.steps:
        film, verdict = judge_steps(guardrail, amortised, protocol, steps, valid.task, keys)
        diagnostics, draws, effective = film.clean.diagnostics, film.clean.draws, None
        evidence = None
        expected = zip(film.clean.expected, steps, strict=True)
        predicted = tuple((mean, step.noise_std[:, None] + 0 * mean) for mean, step in expected)
    else:
        found, verdict = judge(guardrail, amortised, steps[0], valid.task, keys)
        film, diagnostics, draws, effective = None, found.diagnostics, found.draws, found.effective
        evidence = found.fault_evidence
        predicted = ((found.predicted_mean, found.predicted_std),)
    return Judged(
        measured, guardrail, protocol, paths, steps, diagnostics, evidence, draws, effective,
        predicted, film, verdict,
    )  # fmt: skip


def _of_electrodes(traces: Sequence[Path], protocol: Protocol) -> tuple[tuple[Path, ...], ...]:
    """Files of each electrode, one for each step."""
    k = len(protocol.steps)
    if not traces or len(traces) % k:
        wanted = "one file or more" if k == 1 else f"{k} files for each electrode, step by step"
        raise InputError("traces", len(traces), wanted, "Name them.")
    return tuple(tuple(traces[row : row + k]) for row in range(0, len(traces), k))


def _check_once(paths: Sequence[Sequence[Path]]) -> None:
    """Refuse a recording that stands for two steps, or for two electrodes, of a protocol."""
    each = [path for own in paths for path in own]
    digests = list(map(sha256, each))
    for path, own in zip(each, digests, strict=True):
        if digests.count(own) > 1:
            raise InputError(
                "traces", str(path), "a recording of its own for each step", "Name each file once."
            )


def _share(guardrail: FittedGuardrail) -> float:
    """Share of a voltammogram's samples that is shown to a guardrail."""
    low, high = guardrail.valid_for.observed_share
    return (low + high) / 2 if high < 1 else 1.0


def _check_first(
    guardrail: FittedGuardrail,
    protocol: Protocol,
    checkpoint: str,
    recordings: Mapping[tuple[Path, ...], Sequence[Recording]],
) -> None:
    """Refuse what the guardrail was not calibrated for, by the name of the file."""
    valid, alone = guardrail.valid_for, replace(protocol, steps=protocol.steps[:1])
    for paths, own in recordings.items():
        (first,) = observe_recordings(alone, [own[:1]], valid.noise_std, _share(guardrail))
        with naming(f"of {paths[0]}"):
            valid.check(
                valid.task, valid.n_couples, first.time_s, first.E_V, first.current,
                first.observed, first.noise_std, checkpoint, valid.steps,
            )  # fmt: skip


def _read(measured: Measured, paths: Sequence[Path], n_samples: int) -> list[Recording]:
    """Recordings of an electrode, the first one at so many even times."""
    area = measured.area_cm2
    if area is not None and not abs(area / family.AREA_CM2 - 1.0) <= _AREA_OFF:
        raise InputError(
            "area_cm2",
            area,
            f"{family.AREA_CM2:g} within {_AREA_OFF:.0%}, which the posteriors assume: resistance "
            "and double layer act by the area",
            "Measure on such an electrode.",
        )
    first, *others = (read_recording(path, area, measured.shift_V) for path in paths)
    with naming(f"of {paths[0]}"):
        return [first.at(n_samples), *others]


def verdict_lines(judged: Judged) -> list[str]:
    """What a reader at the bench needs to know, a line a statement."""
    verdict, rule = judged.verdict, judged.guardrail.threshold
    lines = []
    for row, paths in enumerate(judged.paths):
        word = "FLAGGED, do not trust its posterior" if verdict.flagged[row] else "not flagged"
        shown = " and ".join(map(str, paths))
        lines.append(f"{shown}: {word} (p = {verdict.p_value[row]:.2g})")
        for k, path in enumerate(paths):
            found, declared = judged.scatter(row, k), judged.steps[k].noise_std[row]
            if not 1 / _LOUD < found / declared < _LOUD:
                lines.append(
                    f"  samples of {path.name} scatter by {found:.2g} mA/cm², where noise of "
                    f"{declared:.2g} was calibrated for: the verdict assumes that noise"
                )
            if (stray := judged.stray(row, k)) and not verdict.flagged[row]:
                lines.append(
                    f"  {stray} samples of {path.name} that were put aside lie far from the fit: "
                    "the verdict knows nothing of them"
                )
        if judged.fault_evidence is not None and verdict.flagged[row]:
            lines.append(f"  {_of_faults(judged.fault_evidence[row])}")
        if judged.film is not None and verdict.flagged[row]:
            lines.append(f"  {_of_film(judged.film, row, sum(judged.observed(row)))}")
    lines.append(
        f"Of clean traces of this kind {rule.alpha:.0%} or fewer are flagged, with a certainty of "
        f"{1 - rule.delta:.1%}: those up to p = {rule.rank / (rule.n + 1):.2g}."
    )
    seen, length = judged.observed(0)[0], judged.guardrail.valid_for.n_samples
    if seen < length:
        lines.append(
            f"Of {length} samples of a trace {seen} were looked at, as in the calibration."
        )
    if judged.film is not None:
        lines.append(
            "The protocol was tried on films alone. Of what else may be wrong, such as drift or "
            "another couple, the guardrail of one voltammogram sees some: screen the first file "
            "by it too."
        )
    if verdict.undetectable and not verdict.flagged.all():
        lines.append("What a trace that is not flagged may hide:")
        lines += [f"  {spot}" for spot in verdict.undetectable]
        if judged.film is None and judged.guardrail.valid_for.task == "cv":
            lines.append("A film shows in one more step: `ecguard plan` says what to measure.")
    return lines


def _of_faults(evidence: Floats) -> str:
    """Which known faults explain a flagged trace better than none, the likeliest first."""
    order = np.argsort(-evidence, kind="stable")[:_NAMED]
    likely = [
        f"{FAULTS[k].title.lower()} ({evidence[k]:.1f} nats)" for k in order if evidence[k] > 0
    ]
    if not likely:
        return "it looks like none of the known faults"
    return (
        f"known faults that explain it better than none, to first order: {', '.join(likely)}; "
        "a fault that has no test goes by such a name too"
    )


def _of_film(film: ScreenedSteps, row: int, samples: int) -> str:
    """Whether a film explains a flagged electrode, of which so many samples were looked at."""
    nats = film.log_bayes_factor[row]
    if not nats > 0:
        return f"a film does not explain it better than a clean electrode ({nats:.1f} nats)"
    better = f"a film explains it better by {nats:.1f} nats"
    misfit = film.either.chi_square[row]
    if stats.chi2.sf(misfit, samples) < _MISFIT:
        return (
            f"{better}, but does not fit either (chi-square {misfit:.0f} of {samples} samples): "
            "something else is wrong"
        )
    coverage = film.either.draws[row, :, -len(FILM)]
    low, high = np.quantile(coverage, [0.025, 0.975])
    return (
        f"{better}, with a coverage of {low:.2g} to {high:.2g}; a resistance in series that the "
        "model does not expect looks alike: check the cell, then clean the electrode, or take the "
        "posterior that knows of the film"
    )


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
    measured, verdict, film = judged.measured, judged.verdict, judged.film
    clean = names(judged.guardrail.valid_for.n_couples)
    rows = []
    for row, paths in enumerate(judged.paths):
        each = judged.diagnostics[row]
        own: dict[str, Any] = {
            "paths": list(map(str, paths)),
            "flagged": bool(verdict.flagged[row]),
            "score": verdict.score[row],
            "p_value": verdict.p_value[row],
            "observed": judged.observed(row),
            "scatter_mA_cm2": [judged.scatter(row, k) for k in range(len(paths))],
            "diagnostics": dict(zip(judged.guardrail.score.names, each, strict=True)),
            "posterior": _posterior(clean, judged.draws[row]),
        }
        if judged.fault_evidence is not None:
            pairs = zip(FAULTS, judged.fault_evidence[row], strict=True)
            own["fault_evidence"] = {fault.name: nats for fault, nats in pairs}
        if judged.effective is not None:
            own["effective"] = judged.effective[row]
        if film is not None:
            own["film"] = {
                "log_bayes_factor": film.log_bayes_factor[row],
                "chi_square": film.either.chi_square[row],
                "posterior": _posterior((*clean, *FILM), film.either.draws[row]),
            }
        word = "flagged" if verdict.flagged[row] else "not flagged"
        words = f"{word}, p = {verdict.p_value[row]:.2g}"
        pictures = [_save_picture(judged, row, k, words, out, p) for k, p in enumerate(paths)]
        rows.append(own | {"pictures": [picture.name for picture in pictures]})
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


def _posterior(labels: Sequence[str], draws: Floats) -> dict[str, dict[str, float]]:
    """Mean and ends of the central 95 % of draws [n_draws, d]."""
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    found = zip(labels, draws.mean(axis=0), low, high, strict=True)
    return {label: {"mean": mean, "low": down, "high": up} for label, mean, down, up in found}


def _save_picture(judged: Judged, row: int, k: int, words: str, out: Path, path: Path) -> Path:
    """A step with the fit of a clean electrode, without the quiet time before it."""
    step, (mean, std) = judged.steps[k], judged.predicted[k]
    shown = slice(judged.protocol.steps[k].n_quiet, None)
    time = step.time_s[row, shown]
    figure = trace_figure(
        time - time[0],
        step.current[row, shown],
        step.observed[row, shown],
        mean[row, shown],
        std[row, shown],
        f"{path.name}: {words}",
    )
    alt = f"Current of {path.name} against time with the fit of a clean electrode: {words}."
    number = f"step-{k + 1}-" if len(judged.steps) > 1 else ""
    return save_figure(figure, out / f"{row:03d}-{number}{path.stem}.png", alt)


def save_plan(measured: Measured, out_dir: Path | str) -> list[str]:
    """Write what to apply after a first voltammogram, a CSV file for each step.

    Returns:
        What to do, a line a statement.

    Raises:
        InputError: the file cannot be used, or the guardrail is of one voltammogram alone.
    """
    guardrail = load_guardrail(measured.guardrail)
    valid = guardrail.valid_for
    if not valid.steps:
        raise InputError(
            "guardrail",
            str(measured.guardrail),
            "one of a protocol of several steps",
            "Take protocol_guardrail.json of the seventh chapter.",
        )
    protocol = protocol_of(valid.steps)
    if len(measured.traces) != 1:
        raise InputError("traces", len(measured.traces), "one voltammogram", "Name it.")
    (path,) = measured.traces
    (first,) = _read(measured, [path], valid.n_samples)
    _check_first(guardrail, protocol, valid.checkpoint, {(path,): [first]})
    lines = [f"{protocol.title}, after {path}:"]
    pairs = zip(protocol.steps[1:], to_apply(protocol, first), strict=True)
    for number, (step, applied) in enumerate(pairs, start=2):
        rows = zip(applied.t_s, applied.E_V - measured.shift_V, strict=True)
        text = "t_s,E_V\n" + "".join(f"{t:.9g},{E:.9g}\n" for t, E in rows)
        lines.append(f"  {write_text(Path(out_dir) / f'step-{number}.csv', text)}:")
        lines.append(f"    {_what_to_do(step, applied)}")
    lines.append("Save time, potential and mean current of each as a file like the first one's.")
    return lines


def _what_to_do(step: Step, applied: Recording) -> str:
    """How a step is recorded."""
    record, averaging = applied.t_s[-1], step.averaging
    held = step.rest_s + averaging.quiet * record
    words = f"hold its first potential for {held:.3g} s" if held else "at once"
    words += ", the cleaning on" if step.cleaning else ""
    words += f"; record {len(applied.t_s)} samples in {record:.4g} s"
    if averaging.records > 1:
        words += (
            f"; {averaging.records} times, with {averaging.gap * record:.3g} s at the first "
            "potential in between, of which the mean is taken"
        )
    return words
