"""What the chapters on the guardrail and on the catalogue of failures share; tables, claims."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from IPython.display import Markdown
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from ecguard.case_sets import CaseSetSettings
from ecguard.detection import (
    MODES,
    DetectionResult,
    DetectionSettings,
    Part,
    run_detection,
)
from ecguard.files import sha256
from ecguard.guardrail import (
    CertifiedGuardrail,
    CertifiedThreshold,
    flag_rate,
    reference_grid_search,
)
from ecguard.inputs import find_amortised_checkpoint
from ecguard.intervals import Interval, auroc_interval, share
from ecguard.posterior.amortised.artefacts import Amortised, check_trained_for, load_amortised
from ecguard.report.chapter import Chapter
from ecguard.report.claims import Claim
from ecguard.report.failure_modes import percent, table
from ecguard.report.figures import groups_figure, lines_figure, map_figure
from ecguard.report.paths import PACKAGE, Layout, find_root
from ecguard.report.provenance import provenance, versions
from ecguard.report.runner import companions, digest_of, files_under
from ecguard.screening import DIAGNOSTICS, KNOWING
from ecguard.stress import Biofouling

COMBINED = "combined"
UNKNOWN = "combined, unknown"
SCORES_FIGURE = "guardrail_scores.png"
ROC_FIGURE = "guardrail_roc.png"
RISK_FIGURE = "guardrail_risk_coverage.png"
ABLATION_FIGURE = "guardrail_ablation.png"
GUARDRAIL_FILE = "guardrail.json"
SIGNIFICANT = 0.01
SILENT_LIMIT = 0.10
CERTAINTIES = (0.1, 0.01, 0.001)
"""Probabilities of a broken promise that the chapter compares."""
MOST_CONTROL_ALARMS = 11 / 200
_REPETITIONS = 200_000
_BLOCK = 5000  # of these at once


def settings_of(chapter: Chapter) -> DetectionSettings:
    """Settings of the study, from the parameters and the profile of the chapter."""
    given, profile = chapter.parameters, chapter.profile
    return DetectionSettings(
        sets=replace(sets_of(chapter), task=given["task"]),
        n_faulty=profile.n_faulty,
        n_cell=profile.n_cell,
        n_control=profile.n_control,
        alpha=given["alpha"],
        delta=given["delta"],
    )


def sets_of(chapter: Chapter) -> CaseSetSettings:
    """Settings of the case sets, voltammograms unless something else is asked for."""
    given, profile = chapter.parameters, chapter.profile
    return CaseSetSettings(
        n_design=profile.n_design,
        n_calibration=given["n_calibration"],
        n_test=profile.n_test,
        seed=given["seed"],
        noise_std=given["eval_noise_std"],
        keep_probability=given.get("keep_probability", CaseSetSettings.keep_probability),
    )


def study(chapter: Chapter) -> DetectionResult:
    """Run the study; parts that an earlier run has finished are read from its files.

    Raises:
        InputError: a checkpoint cannot be used, or cases are too few for a certificate.
    """
    return run_detection(settings_of(chapter), *materials(chapter))


def materials(chapter: Chapter) -> tuple[Amortised, Path | None, str]:
    """What a study is made with: the density, the folder of what is done, and their digest.

    The digest is of the code, the versions and the checkpoint that results depend on.

    Raises:
        InputError: the checkpoint cannot be used, or was not trained for such traces.
    """
    found = find_amortised_checkpoint(chapter.parameters["amortised_checkpoint"])
    root = find_root()
    files = [
        path for path in files_under(PACKAGE) if "report" not in path.relative_to(PACKAGE).parts
    ]
    digest = digest_of(files, PACKAGE) + json.dumps(versions())
    digest += "".join(sha256(path) for path in companions(found.path)) if found.path else ""
    amortised = load_amortised(found.path)
    sets = sets_of(chapter)
    check_trained_for(amortised.meta, sets.noise_std, sets.keep_probability)
    return amortised, Layout(root).parts if root else None, digest


def sets_table(result: DetectionResult) -> Markdown:
    """The three case sets, what each is for, and what the guardrail does to them."""
    purpose = {
        "design": "the combined score is learnt here",
        "calibration": "the threshold is put here",
        "test": "everything is reported here",
    }
    rows = [
        [
            name,
            len(part),
            purpose[name],
            percent(result.power(part)),
            percent(result.coverage(part)),
        ]
        for name, part in result.clean.items()
    ]
    head = ["set", "clean cases", "purpose", "flagged", "truth in the joint 95 % region"]
    return Markdown(table(head, rows))


def score_table(result: DetectionResult) -> Markdown:
    """What the combined score makes of each diagnostic."""
    score = result.guardrail.score
    rows = [
        [
            name.replace("_", " "),
            DIAGNOSTICS[name],
            f"{centre:.2f}",
            f"{scale:.2f}",
            f"{weight:.2f}",
        ]
        for name, centre, scale, weight in zip(
            score.names, score.centre, score.scale, score.weight, strict=True
        )
    ]
    threshold = result.guardrail.threshold
    certain = f"{100 * (1 - threshold.delta):g}%"
    head = ["diagnostic", "looks at", "clean median", "to the clean 95 % quantile", "weight"]
    return Markdown(
        f"{table(head, rows)}\nThe threshold is the score at rank {threshold.rank} from below of "
        f"{threshold.n} clean calibration cases, {threshold.threshold:.3f}: at most "
        f"{threshold.alpha:.0%} false alarms with a probability of {certain}."
    )


def certainty_table(result: DetectionResult) -> Markdown:
    """What is flagged at thresholds of the same promise, by how sure it is."""
    settings, clean = result.settings, result.clean
    groups = (clean["calibration"], clean["test"], result.control, result.fouled)
    scores, *shown = (result.judge(part).score for part in groups)
    n_test = len(clean["test"])
    faulty = result.judge(everything(result)).score[n_test:]
    rows = []
    for delta in sorted({*CERTAINTIES, settings.delta}, reverse=True):
        rule = CertifiedGuardrail(settings.alpha, delta)
        if len(scores) < rule.min_cases:
            continue
        found = rule.fit(scores)
        rows.append(
            [
                f"{100 * (1 - delta):g}%{' (taken)' if delta == settings.delta else ''}",
                found.rank,
                f"{found.rank / (found.n + 1):.1%}",
                f"{chance_to_show(found, n_test):.0%}",
                *(percent(flag_rate(found.flags(own))) for own in shown),
                f"{found.flags(faulty).mean():.0%}",
            ]
        )
    head = [
        f"certain that at most {settings.alpha:.0%} of clean traces are flagged", "rank",
        "flagged on average", f"chance that {n_test} new ones alone show it", "clean test cases",
        "controls", "fouled", "all faults and severities",
    ]  # fmt: skip
    return Markdown(table(head, rows))


def chance_to_show(threshold: CertifiedThreshold, n: int) -> float:
    """Chance that n new clean cases, by their exact interval alone, show the promised rate."""
    shown = [k for k in range(n) if share(k, n).high <= threshold.alpha]
    rest = threshold.n + 1 - threshold.rank
    return float(stats.betabinom.cdf(len(shown) - 1, n, threshold.rank, rest)) if shown else 0.0


def control_table(result: DetectionResult) -> Markdown:
    """Simulator path by fouling: alarms of the guardrail and of the reference's rule."""
    rows = [
        [
            name.replace("_", " "),
            len(part),
            percent(result.power(part)),
            percent(flag_rate(result.reference_flags(part))),
            f"{part.reliability_score.mean():.1f}",
        ]
        for name, part in _splits(result).items()
    ]
    head = ["traces", "cases", "guardrail", "reference's rule", "mean reliability score"]
    return Markdown(table(head, rows))


def confounded_words(result: DetectionResult) -> Markdown:
    """How much of the reference's separation survives a control."""
    clean = result.clean["test"].take(slice(len(result.control)))
    shown = separation(result, result.confounded_fouled, clean)
    left = separation(result, result.confounded_fouled, result.confounded_control)
    own = separation(result, result.fouled, result.control)
    survives = max(left.value - 0.5, 0.0) / max(shown.value - 0.5, 1e-9)
    return Markdown(
        "Made as the reference makes them, fouled traces are told from clean ones with an AUROC "
        f"of **{shown.value:.2f}** ({shown.low:.2f} to {shown.high:.2f}). Against controls that "
        f"differ by the fouling alone it is **{left.value:.2f}** ({left.low:.2f} to "
        f"{left.high:.2f}): of the distance from 0.5, {survives:.0%} survives. With one simulator "
        f"for both it is {own.value:.2f} ({own.low:.2f} to {own.high:.2f}). {own.n} cases each."
    )


def reference_table(result: DetectionResult) -> Markdown:
    """The reference's rule in-sample and held-out, beside the guardrail."""
    inside = result.reference
    n = len(result.fouled)
    clean, fouled = result.clean["test"].take(slice(n)), result.fouled.take(slice(n))
    both = [clean, fouled]
    again = reference_grid_search(
        np.concatenate([part.reliability_score for part in both]),
        np.concatenate([part.calibration_error for part in both]),
        np.repeat([False, True], n),
    )
    held_out = (percent(flag_rate(result.reference_flags(part))) for part in (fouled, clean))
    rows = [
        ["reference's rule, fitted on these very cases", f"{again.tpr:.0%}", f"{again.fpr:.0%}"],
        ["reference's rule, fitted on the design set", *held_out],
        ["guardrail", *(percent(result.power(part)) for part in (fouled, clean))],
    ]
    text = (
        f"On its own design cases the reference's rule claims {inside.tpr:.0%} at "
        f"{inside.fpr:.0%} false alarms ({len(result.clean['design'])} of each kind); the table "
        f"stands on {n} test cases of each kind."
    )
    return Markdown(f"{table(['rule', 'fouled, flagged', 'clean, flagged'], rows)}\n{text}")


def scores_panel(result: DetectionResult) -> Figure:
    """Combined score of clean, control and fouled traces."""
    groups = {name: result.judge(part).score for name, part in _splits(result).items()}
    threshold = result.guardrail.threshold.threshold
    return groups_figure(groups, "combined score, log odds", threshold, bound_name="threshold")


def roc_panel(result: DetectionResult) -> Figure:
    """ROC curves: fouling, the simulator's path, and the reference's confounded pair."""
    clean, same = result.clean["test"], slice(len(result.control))
    left, right = (
        {
            f"{name}, {separation(result, one, other).value:.2f}": roc(result, one, other)
            for name, one, other in rows
        }
        for rows in (
            (
                ("fouled against control", result.fouled, result.control),
                ("control against clean", result.control, clean.take(same)),
            ),
            (
                ("fouled against clean", result.confounded_fouled, clean.take(same)),
                ("fouled against its control",
                 result.confounded_fouled, result.confounded_control),
                ("control against clean", result.confounded_control, clean.take(same)),
            ),
        )
    )  # fmt: skip
    rate = "false alarms"
    return lines_figure(
        [left, right], [rate, rate], ["alarms", "alarms"],
        ["one simulator", "as the reference pairs them"],
    )  # fmt: skip


def risk_panel(result: DetectionResult) -> Figure:
    """Share of wrong posteriors among the accepted ones, by the share that is accepted."""
    part = everything(result)
    scores = {
        "combined score": result.judge(part).score,
        "reliability score": part.reliability_score,
        "best possible": -part.wrong.astype(float),
    }
    lines = {name: risk_coverage(score, part.wrong) for name, score in scores.items()}
    return lines_figure([lines], ["share accepted"], ["share of the accepted that is wrong"])


def ablation_panel(result: DetectionResult) -> Figure:
    """Power of each diagnostic alone and of all combined, by mode, at one false-alarm rate."""
    cells = np.array(
        [
            [*result.equal_flags(part).mean(axis=0), result.unknown_flags(mode).mean()]
            for mode, part in result.tested.items()
        ]
    )
    columns = [*(name.replace("_", " ") for name in DIAGNOSTICS), COMBINED, UNKNOWN]
    return map_figure(cells, titles(), columns, "share of the mode's traces flagged")


def claims(chapter: Chapter, result: DetectionResult) -> tuple[Claim, ...]:
    """Every promised number of the guardrail."""
    settings, clean = result.settings, result.clean["test"]
    rank, n = result.guardrail.threshold.rank, result.guardrail.threshold.n
    kept = certificate(settings.sets.n_calibration, settings.alpha, settings.delta)
    alarms, control = result.power(clean), result.power(result.control)
    path = separation(result, result.control, clean.take(slice(len(result.control))))
    power, coverage = result.power(result.fouled), result.coverage(clean)
    better = {mode: result.beats(mode) < SIGNIFICANT for mode in MODES}
    blind = [name != KNOWING for name in DIAGNOSTICS]
    every = [mode for mode, found in better.items() if found[blind].all()]
    alone = [mode for mode, found in better.items() if found.all()]
    unknown = [
        mode for mode in MODES if (result.beats(mode, unknown=True)[blind] < SIGNIFICANT).all()
    ]
    column = list(DIAGNOSTICS).index("unreliability")
    reference = [mode for mode, found in better.items() if found[column]]
    fouling = result.beats(Biofouling.name)[blind].max()

    def rate(key: str, text: str, found: Interval, bound: dict[str, Any], note: str = "") -> Claim:
        return chapter.claim(
            key, text, found.value, bound=bound, interval=(found.low, found.high), n=found.n,
            note=note, figure=ROC_FIGURE,
        )  # fmt: skip

    return (
        rate(
            "certificate",
            f"Share of {_REPETITIONS} calibrations on simulated scores that keep the false-alarm "
            f"rate at {settings.alpha:.0%} or below.",
            kept,
            {"on": "lower", "op": ">=", "value": 1 - settings.delta},
        ),
        rate(
            "held-out-alarms",
            "Share of clean test cases that the guardrail flags.",
            alarms,
            {"on": "upper", "op": "<=", "value": settings.alpha},
            f"A threshold at rank {rank} of {n} flags {rank / (n + 1):.1%} of clean cases on "
            f"average: the certificate keeps {settings.alpha:.0%}, which these cases alone need "
            "not show.",
        ),
        rate(
            "control-alarms",
            "Share of clean traces through the path of the stress, fouling off, that it flags.",
            control,
            {"op": "<=", "value": MOST_CONTROL_ALARMS},
        ),
        rate(
            "criterion-1-fouled-auroc",
            "AUROC of the combined score, held out: fouled traces against their controls.",
            separation(result, result.fouled, result.control),
            {"on": "lower", "op": ">", "value": 0.5},
        ),
        rate(
            "path-auroc",
            "AUROC of the simulator's path alone: controls against clean traces.",
            path,
            {"on": "interval", "op": "contains", "value": 0.5},
        ),
        rate(
            "joint-coverage",
            "Share of clean test cases whose true parameters lie in the joint 95 % region.",
            coverage,
            {"on": "interval", "op": "contains", "value": 0.95},
        ),
        rate(
            "criterion-2-one-voltammogram",
            f"Share of fouled test traces (coverage 0.78, one {result.settings.sets.task} trace) "
            "that the guardrail flags.",
            power,
            {"on": "lower", "op": ">=", "value": 0.90},
        ),
        chapter.claim(
            "beats-singles",
            "Modes on which the combined score flags more than every single diagnostic that knows "
            f"no fault, where each flags {settings.alpha:.0%} of clean traces (sign test, p < "
            f"{SIGNIFICANT}).",
            len(every),
            bound={"op": ">=", "value": 11},
            n=len(MODES),
            note=f"Biofouling is {'among' if Biofouling.name in every else 'not among'} them: p = "
            f"{fouling:.2g} against the best single one. More than the tests for known faults "
            f"alone as well: on {len(alone)}.",
            figure=ABLATION_FIGURE,
        ),
        chapter.claim(
            "beats-singles-unknown",
            "The same where the combined score never met the mode: it is not learnt from it, and "
            "has no test for it.",
            len(unknown),
            bound={"op": ">=", "value": 11},
            n=len(MODES),
            note=f"Biofouling is {'among' if Biofouling.name in unknown else 'not among'} them.",
            figure=ABLATION_FIGURE,
        ),
        chapter.claim(
            "beats-reliability",
            "Modes on which it flags more than the study's reliability score, where each flags "
            f"{settings.alpha:.0%} of clean traces (p < {SIGNIFICANT}).",
            len(reference),
            bound={"op": ">=", "value": 11},
            n=len(MODES),
            note=f"Biofouling is {'among' if Biofouling.name in reference else 'not among'} them.",
            figure=ABLATION_FIGURE,
        ),
    )  # fmt: skip


def save_guardrail(chapter: Chapter, result: DetectionResult) -> Markdown:
    """Write the fitted guardrail beside the payload."""
    record = provenance(chapter.seed, chapter.profile.name, chapter.started)
    path = result.guardrail.save(chapter.out_dir / GUARDRAIL_FILE, record)
    unseen = [f"- {own}" for own in result.guardrail.undetectable]
    return Markdown(
        f"The fitted guardrail: `{path.name}`, {path.stat().st_size} bytes. A trace that it "
        f"accepts may hide {len(unseen)} of the {len(MODES)} failures that it was tried on "
        f"({result.settings.n_cell} traces at each magnitude), which do not show that it flags "
        "more than half of such traces; each verdict lists them:\n\n" + "\n".join(unseen)
    )


def payload(result: DetectionResult) -> dict[str, Any]:
    """The record of the fit and of what was held out."""
    return {
        "settings": asdict(result.settings),
        "case_sets": {name: cases.group.case.tolist() for name, cases in result.bench.sets.items()},
        "diagnostics": list(DIAGNOSTICS),
        "score": asdict(result.guardrail.score),
        "threshold": asdict(result.guardrail.threshold),
        "reference_rule": asdict(result.reference),
        "splits": {
            name: {
                "score": result.judge(part).score.round(6),
                "flagged": result.judge(part).flagged,
                "wrong": part.wrong,
                "diagnostics": part.diagnostics.round(6),
            }
            for name, part in {**result.clean, **_splits(result)}.items()
        },
        "ablation": {
            mode: {
                "single": result.equal_flags(part)[:, :-1].mean(axis=0),
                COMBINED: float(result.equal_flags(part)[:, -1].mean()),
                "unknown": float(result.unknown_flags(mode).mean()),
                "p_values": result.beats(mode),
                "p_values_unknown": result.beats(mode, unknown=True),
            }
            for mode, part in result.tested.items()
        },
    }


def titles() -> list[str]:
    """Names of the failure modes, in plain words."""
    return [mode.title for mode in MODES.values()]


def everything(result: DetectionResult) -> Part:
    """All test traces, clean ones and those of every mode and severity, as one part."""
    parts = [result.clean["test"], *result.tested.values()]
    names = vars(parts[0])
    return Part(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in names})


def separation(result: DetectionResult, faulty: Part, clean: Part) -> Interval:
    """AUROC of the combined score with its bootstrap interval; case by case where paired."""
    first, second = (-result.judge(part).score for part in (faulty, clean))
    paired = len(first) == len(second) and bool((faulty.case == clean.case).all())
    return auroc_interval(first, second, paired=paired)


def roc(
    result: DetectionResult, faulty: Part, clean: Part
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False alarms and alarms at every threshold."""
    first, second = (np.sort(-result.judge(part).score) for part in (faulty, clean))
    at = np.concatenate([[np.inf], np.unique(np.concatenate([first, second]))[::-1]])

    def above(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1.0 - np.searchsorted(ordered, at, side="left") / len(ordered)

    return above(second), above(first)


def risk_coverage(
    score: NDArray[np.floating], wrong: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share accepted and share wrong among them, the highest scores accepted first."""
    order = np.argsort(-np.asarray(score), kind="stable")
    accepted = np.arange(1, len(order) + 1)
    return accepted / len(order), np.cumsum(wrong[order]) / accepted


def certificate(n: int, alpha: float, delta: float) -> Interval:
    """Share of simulated calibrations whose threshold keeps its promise.

    Scores of clean cases are uniform without loss of generality: the rate of a threshold is then
    the threshold itself.
    """
    rank, scores = CertifiedGuardrail(alpha, delta).rank(n), np.random.default_rng(0)
    blocks = (scores.random((_BLOCK, n)) for _ in range(_REPETITIONS // _BLOCK))
    rates = (np.partition(own, rank - 1, axis=1)[:, rank - 1] for own in blocks)
    return share(sum(int((own <= alpha).sum()) for own in rates), _REPETITIONS)


def _splits(result: DetectionResult) -> dict[str, Part]:
    return {
        "clean": result.clean["test"],
        "control": result.control,
        "fouled": result.fouled,
        "reference_control": result.confounded_control,
        "reference_fouled": result.confounded_fouled,
    }
