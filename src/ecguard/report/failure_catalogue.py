"""Tables, figures and claims of the catalogue of failures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ecguard.detection import LEVELS, MODES, DetectionResult, Part
from ecguard.intervals import Interval, share
from ecguard.known_faults import FAULTS
from ecguard.posterior.unknowns import names
from ecguard.report.chapter import Chapter
from ecguard.report.claims import Claim
from ecguard.report.failure_modes import percent, table
from ecguard.report.figures import grid_figure, maps_figure
from ecguard.report.guardrail import SILENT_LIMIT, everything, titles
from ecguard.stress import Biofouling
from ecguard.stress.mode import FailureMode

MAP_FIGURE = "failure_absorption_map.png"
CATALOGUE_FIGURE = "failure_catalogue.png"
WORST_FIGURE = "failure_worst_detected.png"
TYPICAL_FIGURE = "failure_typical.png"
SILENT_FIGURE = "failure_most_convincing.png"
_LN_K0 = names(1).index("ln k0")
_SHOWN_LEVEL = len(LEVELS) - 3
_NAMED = 3  # likeliest faults that are looked at


def absorption_panel(result: DetectionResult) -> Figure:
    """Power, coverage and silent failures of every mode and severity."""
    cells = {
        "flagged": result.power,
        "truth in region": result.coverage,
        "accepted and wrong": result.silent,
    }
    panels = {
        name: np.array(
            [[rate(result.cell(mode, k)).value for k in range(len(LEVELS))] for mode in MODES]
        )
        for name, rate in cells.items()
    }
    return maps_figure(panels, titles(), [f"{level:g}" for level in LEVELS], "severity")


def mode_table(result: DetectionResult) -> Markdown:
    """Of every mode: what full severity is, how much of it is seen, and what it does unseen."""
    rows = []
    top = len(LEVELS) - 1
    for name, mode in MODES.items():
        part = result.cell(name, top)
        bias = np.median(result.bias(part), axis=0)
        worst = int(np.argmax(np.abs(bias)))
        limit = result.detection_limit(name)
        blind, silent = result.undetectable(name), result.maybe_silent(name, SILENT_LIMIT)
        rows.append(
            [
                mode.title,
                f"{mode.full:g} {mode.unit}",
                percent(result.power(part)),
                f"{names(1)[worst]} {bias[worst]:+.1f}",
                percent(result.coverage(part)),
                percent(result.silent(part)),
                "–" if limit is None else _sizes(mode, [limit]),
                *(_severities(mode, own) if own.any() else "–" for own in (blind, silent)),
            ]
        )
    head = [
        "failure",
        "at severity 1",
        "flagged",
        "largest bias / prior std",
        "truth in the region",
        "silent failures",
        "90 % flagged from",
        "undetectable severities",
        f"over {SILENT_LIMIT:.0%} silent not excluded",
    ]
    return Markdown(table(head, rows))


def named_table(result: DetectionResult) -> Markdown:
    """What known faults a flagged trace looks like, beside what it is."""
    own = {fault.name: place for place, fault in enumerate(FAULTS)}
    rows = []
    for name, mode in MODES.items():
        part = result.tested[name]
        evidence = part.fault_evidence[result.judge(part).flagged]
        ranked, n = np.argsort(-evidence, axis=1, kind="stable"), len(evidence)
        right = [
            percent(share(int((ranked[:, :k] == own[name]).any(axis=1).sum()), n))
            if n and name in own
            else "–"
            for k in (1, _NAMED)
        ]
        times = np.bincount(ranked[:, 0], minlength=len(FAULTS))
        if name in own:
            times[own[name]] = 0
        other = int(times.argmax())
        taken = f"{FAULTS[other].title} ({times[other] / n:.0%})" if times[other] else "–"
        rows.append([mode.title, n, *right, taken])
    head = [
        "failure", "flagged traces", "it is the likeliest", f"it is among the {_NAMED} likeliest",
        "taken for most often",
    ]  # fmt: skip
    return Markdown(table(head, rows))


def source_table() -> Markdown:
    """What every mode is in practice, and where its size comes from."""
    rows = [[mode.title, mode.typical, mode.source] for mode in MODES.values()]
    return Markdown(table(["failure", "met in practice", "source"], rows))


def silent_table(result: DetectionResult) -> Markdown:
    """Silent failures of every mode and severity, with their exact intervals."""
    rows = [
        [mode.title, *(percent(result.silent(result.cell(name, k))) for k in range(len(LEVELS)))]
        for name, mode in MODES.items()
    ]
    return Markdown(table(["severity", *(f"{level:g}" for level in LEVELS)], rows))


def catalogue_panel(result: DetectionResult) -> Figure:
    """Of every mode a trace at high severity, what is predicted, and the verdict."""
    time, current, mean, words = [], [], [], []
    for name, mode in MODES.items():
        part = result.cell(name, _SHOWN_LEVEL)
        verdict = result.judge(part)
        row = int(np.argsort(verdict.score)[len(part) // 2])
        seen = result.bench.sets["test"].group.observation
        case = part.case[row]
        time.append(np.asarray(seen.time_s)[case])
        current.append(np.where(np.asarray(seen.observed)[case], part.current[row], np.nan))
        mean.append(part.predicted_mean[row])
        wrong = "wrong" if part.wrong[row] else "right"
        told = "flagged" if verdict.flagged[row] else "accepted"
        words.append(f"{mode.title}\n{told}, p = {verdict.p_value[row]:.2f}; {wrong}")
    curves = {"predicted": np.stack(mean), "observed": np.stack(current)}
    return grid_figure(
        np.stack(time), curves, words, "time / s", "current density / mA cm$^{-2}$",
        columns=4, points=("observed",),
    )  # fmt: skip


def shown(result: DetectionResult, kind: str) -> tuple[tuple[NDArray[Any], ...], str]:
    """Curves for `trace_figure` and a title: the worst detected, a typical or a silent failure.

    The most convincing silent failure is the accepted trace of a fault whose score is highest
    among those that put ln k0 farther off than a prior std, or off at all where none does.
    """
    part = everything(result)
    verdict, error = result.judge(part), np.abs(result.bias(part)[:, _LN_K0])
    faulty = part.severity > 0
    if kind == "worst":
        row = int(np.argmin(np.where(faulty, verdict.score, np.inf)))
    elif kind == "typical":
        rows = np.flatnonzero(faulty)
        row = int(rows[np.argsort(verdict.score[rows], kind="stable")[len(rows) // 2]])
    else:
        silent = faulty & part.wrong & ~verdict.flagged
        far = silent & (error > 1.0)
        chosen = far if far.any() else silent if silent.any() else faulty
        row = int(np.argmax(np.where(chosen, verdict.score, -np.inf)))
    seen = result.bench.sets["test"].group.observation
    case = part.case[row]
    truth = round(float(result.bench.sets["test"].group.unknowns[case, _LN_K0]), 1) + 0.0
    mode = MODES[_mode_of(result, row)]
    told = "flagged" if verdict.flagged[row] else "accepted"
    title = (
        f"{mode.title}, severity {part.severity[row]:g}: {told} (p = {verdict.p_value[row]:.2g}); "
        f"ln k0 {part.mean[row, _LN_K0]:.1f} ({part.low[row, _LN_K0]:.1f} to "
        f"{part.high[row, _LN_K0]:.1f}), truth {truth:.1f}"
    )
    curves = (
        np.asarray(seen.time_s)[case], part.current[row], np.asarray(seen.observed)[case],
        part.predicted_mean[row], part.predicted_std[row],
    )  # fmt: skip
    return curves, title


def finding(result: DetectionResult) -> Markdown:
    """What the map says, in words."""
    top = len(LEVELS) - 1
    power = {name: result.power(result.cell(name, top)).value for name in MODES}
    silent = {name: result.silent(result.cell(name, top)).value for name in MODES}
    seen = [MODES[name].title.lower() for name, value in power.items() if value >= 0.9]
    worst = sorted(silent, key=lambda name: -silent[name])[:3]
    biofouling = result.fouled
    error = np.median(biofouling.mean[:, _LN_K0] - _truth(result, biofouling)[:, _LN_K0])
    lines = [
        f"At full severity {len(seen)} of {len(MODES)} failures are flagged in nine traces of ten "
        f"or more{': ' + ', '.join(seen) if seen else ''}.",
        "Most silent failures at full severity: "
        + ", ".join(f"{MODES[name].title.lower()} ({silent[name]:.0%})" for name in worst)
        + ".",
        f"{_unseen_words(result)}.",
        f"Static biofouling at a coverage of 0.78 moves ln k0 by {error:+.1f} in the median, and "
        f"{percent(result.power(biofouling))} of the traces are flagged. "
        f"Every cell of the map stands on {result.settings.n_cell} traces, the coverage of 0.78 "
        f"on {len(biofouling)}.",
    ]
    return Markdown("\n\n".join(lines))


def claims(chapter: Chapter, result: DetectionResult) -> tuple[Claim, ...]:
    """Every promised number of the catalogue."""
    cells = _cells(result)
    silent = {key: result.silent(part) for key, part in cells.items()}
    blind = {name: result.undetectable(name) for name in MODES}
    maybe = {name: result.maybe_silent(name, SILENT_LIMIT) for name in MODES}
    words = "; ".join(
        f"{MODES[name].title.lower()}, {_severities(MODES[name], own)}"
        for name, own in blind.items()
        if own.any()
    )
    n = result.settings.n_cell
    allowed = [hits for hits in range(n + 1) if share(hits, n).high <= SILENT_LIMIT]
    power = (
        f"With {n} cases a cell the limit allows {allowed[-1]} silent failures"
        if allowed
        else f"{n} cases a cell are too few to exclude it, whatever they do"
    )
    reference = result.silent(result.fouled)
    return (
        chapter.claim(
            "modes",
            "Failure modes tried at eight severities or more.",
            len(MODES),
            bound={"op": ">=", "value": 14},
            n=len(cells),
        ),
        chapter.claim(
            "silent-table",
            "Cells of the silent-failure table that have an interval.",
            sum(bool(found.high > found.low) for found in silent.values()),
            bound={"op": "==", "value": len(MODES) * len(LEVELS)},
            n=len(cells),
            figure=MAP_FIGURE,
        ),
        chapter.claim(
            "criterion-2-silent-biofouling",
            "Share of fouled traces (coverage 0.78) that are accepted with the truth outside the "
            "joint 95 % region.",
            reference.value,
            bound={"on": "upper", "op": "<=", "value": SILENT_LIMIT},
            interval=(reference.low, reference.high),
            n=reference.n,
            figure=MAP_FIGURE,
        ),
        chapter.claim(
            "criterion-3-undetectable",
            "Modes and severities not shown to be flagged more often than not: undetectable by "
            "this protocol.",
            int(sum(own.sum() for own in blind.values())),
            bound={"op": "==", "value": 0},
            n=len(cells),
            note=f"{_unseen_words(result)}. By severity: {words}." if words else "",
            figure=MAP_FIGURE,
        ),
        chapter.claim(
            "silent-not-excluded",
            f"Modes and severities whose cases do not show that at most {SILENT_LIMIT:.0%} fail "
            "silently.",
            int(sum(own.sum() for own in maybe.values())),
            bound={"op": "==", "value": 0},
            n=len(cells),
            note=f"{power}, where a calibrated posterior is wrong in one case of twenty.",
            figure=MAP_FIGURE,
        ),
    )


def payload(result: DetectionResult) -> dict[str, Any]:
    """The absorption map: every mode and severity with exact intervals."""
    rows = []
    blind = {name: result.undetectable(name) for name in MODES}
    maybe = {name: result.maybe_silent(name, SILENT_LIMIT) for name in MODES}
    for (name, level), part in _cells(result).items():
        rates = {"flagged": result.power, "covered": result.coverage, "silent": result.silent}
        rows.append(
            {
                "mode": name,
                "severity": LEVELS[level],
                "magnitude": MODES[name].full * LEVELS[level],
                "unit": MODES[name].unit,
                "n": len(part),
                "median_bias": np.median(result.bias(part), axis=0).round(6),
                "undetectable": bool(blind[name][level]),
                "maybe_silent": bool(maybe[name][level]),
                "few_effective_draws": float((part.effective < 50).mean()),
            }
            | {key: _limits(rate(part)) for key, rate in rates.items()}
        )
    return {
        "parameters": list(names(1)),
        "severities": list(LEVELS),
        "cells": rows,
        "modes": {
            name: {"title": mode.title, "typical": mode.typical, "source": mode.source}
            for name, mode in MODES.items()
        },
        "biofouling_at_reference": {
            "flagged": _limits(result.power(result.fouled)),
            "silent": _limits(result.silent(result.fouled)),
        },
    }


def _limits(rate: Interval) -> dict[str, float]:
    return {"value": rate.value, "low": rate.low, "high": rate.high}


def _cells(result: DetectionResult) -> dict[tuple[str, int], Part]:
    return {(name, k): result.cell(name, k) for name in MODES for k in range(len(LEVELS))}


def _truth(result: DetectionResult, part: Part) -> NDArray[np.floating]:
    return result.bench.sets["test"].group.unknowns[part.case]


def _unseen_words(result: DetectionResult) -> str:
    """How many cells are undetectable, and of how many it is sure that most cases pass."""
    blind = sum(int(result.undetectable(name).sum()) for name in MODES)
    cells = _cells(result).values()
    clearly = sum(result.power(part).high < 0.5 for part in cells)
    return (
        f"Of {len(cells)} modes and severities {blind} are undetectable: {clearly} are clearly "
        f"unseen (upper limit below one half), {blind - clearly} are merely not shown to be seen"
    )


def _severities(mode: FailureMode, chosen: NDArray[np.bool_]) -> str:
    """Some of `LEVELS` in words, with their sizes; most often they are the lowest ones."""
    levels = np.array(LEVELS)[chosen].tolist()
    if chosen.all():
        return f"all (up to {mode.full:g} {mode.unit})"
    if chosen[: chosen.sum()].all():
        return f"up to {_sizes(mode, levels[-1:])}"
    return _sizes(mode, levels)


def _sizes(mode: FailureMode, levels: Sequence[float]) -> str:
    """Severities, and what they are in the mode's own unit."""
    severities = ", ".join(f"{level:g}" for level in levels)
    sizes = ", ".join(f"{mode.full * level:.3g}" for level in levels)
    return f"{severities} ({sizes} {mode.unit})"


def _mode_of(result: DetectionResult, row: int) -> str:
    """The mode of a row of `everything`; a clean one counts as biofouling of severity 0."""
    row -= len(result.clean["test"])
    if row < 0:
        return Biofouling.name
    return list(MODES)[row // (result.settings.n_cell * len(LEVELS))]
