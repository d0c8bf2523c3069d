"""Tables and claims of the chapter on failure modes."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from IPython.display import Markdown

from ecguard.intervals import Interval, share
from ecguard.report.chapter import Chapter
from ecguard.report.claims import Claim
from ecguard.study import CONTROL, SIGNIFICANCE, STRESS, HeldOut, StudyInput, StudyResult

NOMINAL_RATE = 0.05
STRONG_RECALL = 0.90
CHANCE = 0.5
"""Area under the ROC curve of a score that tells nothing."""
PRIOR_ERROR = 1.0
"""About the parameter error of the prior's mean, in the prior's standard deviations."""

SEPARATION_FIGURE = "posterior_failure_mode_separation.png"
THRESHOLD_FIGURE = "posterior_guardrail_threshold.png"
WORST_FIGURE = "posterior_worst_stress_trace.png"
TRUSTED_FIGURE = "posterior_trusted_stress_trace.png"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def percent(rate: Interval) -> str:
    """A share with its interval."""
    return f"{rate.value:.0%} ({rate.low:.0%} to {rate.high:.0%})"


def facts(inputs: StudyInput, result: StudyResult) -> Markdown:
    """What the study ran on, what the reader must know about it, and what it cost."""
    lines = (
        f"checkpoint: {inputs.checkpoint}",
        f"dataset: {inputs.dataset_chunk}, {inputs.chunk.rows} rows",
        *result.notes,
        f"{result.seconds / len(result.runs()):.2f} s for each posterior, compilation included",
    )
    return Markdown("\n".join(f"- {line}" for line in lines))


def split_table(result: StudyResult) -> Markdown:
    """Means of each split, and how fouling changes the score of a trace."""
    columns = {
        "score": "reliability_score_mean",
        "reference's score": "reference_score_mean",
        "parameter error": "param_nrmse_mean",
        "trace error": "pred_nrmse_mean",
        "calibration error": "pred_calibration_error_mean",
    }
    rows = (
        [
            row["split"].replace("_", " "),
            row["n_cases"],
            *(f"{row[c]:.2f}" for c in columns.values()),
        ]
        for row in result.split_summary()
    )
    change = result.separation.score_change
    sentence = (
        f"From a control to its fouled trace the score changes by {change.value:+.1f} points on "
        f"average (interval {change.low:+.1f} to {change.high:+.1f}, {change.n} cases)."
    )
    paragraphs = (sentence, little_told(result))
    words = "\n\n".join(filter(None, paragraphs))
    return Markdown(f"{table(['split', 'cases', *columns], rows)}\n{words}")


def little_told(result: StudyResult) -> str:
    """Splits whose posteriors err as the prior does, in words; empty where there is none."""
    errors = {split: found.param_nrmse.mean() for split, found in result.diagnostics.items()}
    far = [split.replace("_", " ") for split, error in errors.items() if error >= PRIOR_ERROR]
    if not far:
        return ""
    which = "every split errs" if len(far) == len(errors) else f"{' and '.join(far)} err"
    return (
        f"The prior's mean alone has a parameter error of about {PRIOR_ERROR:g}: {which} by no "
        "less, so that these posteriors tell little of the parameters"
        f"{', fouled or clean' if len(far) == len(errors) else ''}."
    )


def trusted_words(result: StudyResult) -> Markdown:
    """How wrong the posterior of the fouled trace of highest score is, beside its control's."""
    case = int(np.argmax(result.diagnostics[STRESS].reliability_score))
    fouled, control = (
        round(float(result.diagnostics[split].param_nrmse[case]), 2) for split in (STRESS, CONTROL)
    )
    word = "more than" if fouled > control else "no more than"
    return Markdown(
        f"Its parameters are off by {fouled:.2f} prior std, its clean control's by {control:.2f}: "
        f"of this trace the fouled posterior errs {word} the clean one."
    )


def rules_table(result: StudyResult) -> Markdown:
    """Share of flagged held-out traces by rule and split, each with its exact interval."""
    rules = {"reference's rule": result.held_out, "certified rule": result.certified}
    rows = [
        [
            name,
            found.calibration_cases,
            found.recall.n,
            *map(percent, (found.recall, found.false_alarms, found.control_flagged)),
        ]
        for name, found in rules.items()
        if found is not None
    ]
    head = ["rule", "calibration cases", "held-out cases"]
    head += [f"{split} flagged" for split in ("fouled", "in distribution", "control")]
    best = result.best_guardrail
    return Markdown(
        f"{table(head, rows)}\nOn the {len(result.cases)} cases that it was fitted on, the "
        f"reference's rule claims a recall of {best.recall:.0%} at {best.fpr:.0%} false positives."
    )


def verdict(result: StudyResult) -> str:
    """Whether the separation of the splits is evidence of fouling, in one sentence."""
    if result.confounded:
        return f"The separation is confounded: {result.confounded_because}."
    area = result.separation.stress_vs_in_distribution
    if not area.low > CHANCE:
        return (
            f"There is no separation to be confounded: its AUROC is {area.value:.2f} "
            f"({area.low:.2f} to {area.high:.2f}, {area.n} cases)."
        )
    return "Nothing in this run says that the separation is confounded."


def sentences(claims: Iterable[Claim]) -> Markdown:
    """Each claim as a sentence with its value, interval, number of cases and verdict."""
    lines = []
    for item in claims:
        value = "not computed"
        if item.value is not None:
            digits = ".3g" if abs(item.value) < 1000 else ".0f"
            value = f"{item.value:{digits}} {item.unit}".strip()
        limits = item.interval and f"interval {item.interval[0]:.2f} to {item.interval[1]:.2f}, "
        word = "pass" if item.passed else "fail"
        lines.append(f"{item.text} **{value}** ({limits or ''}{item.n} cases): **{word}**.")
    notes = dict.fromkeys(item.note for item in claims if item.note)
    return Markdown("\n\n".join([*lines, *notes]))


def separation_claims(chapter: Chapter, result: StudyResult) -> tuple[Claim, ...]:
    """The first criterion: fouled traces separate, also from their controls, and these do not."""
    areas = result.separation
    above_chance = {"on": "lower", "op": ">", "value": CHANCE}
    return tuple(
        chapter.claim(
            f"criterion-1-{key}",
            f"AUROC of the reliability score: {text}.",
            area.value,
            bound=bound,
            interval=(area.low, area.high),
            n=area.n,
            note=_note(result),
            figure=SEPARATION_FIGURE,
        )
        for key, text, area, bound in (
            (
                "separation",
                "fouled against in-distribution traces",
                areas.stress_vs_in_distribution,
                above_chance,
            ),
            (
                "matched-control",
                "fouled traces against their clean controls",
                areas.stress_vs_control,
                above_chance,
            ),
            (
                "not-confounded",
                "clean controls against in-distribution traces",
                areas.control_vs_in_distribution,
                {"on": "interval", "op": "contains", "value": CHANCE},
            ),
        )
    )


def guardrail_claims(chapter: Chapter, result: StudyResult) -> tuple[Claim, ...]:
    """The second criterion: recall and false alarms of the certified rule on held-out cases."""
    rule, note = result.certified, _note(result)
    if rule is None:
        few = f"{len(result.cases)} cases are too few to certify a threshold"
        note = f"{few}: it takes {result.certified_min_cases}. {note}".strip()
    at_nominal_rate = {"on": "upper", "op": "<=", "value": NOMINAL_RATE}
    notes = {"recall": note, "false-alarms": _too_few_to_show(rule)}
    return tuple(
        _rate_claim(
            chapter,
            f"criterion-2-{key}",
            text,
            rate,
            bound,
            result,
            notes.get(key, ""),
        )
        for key, text, rate, bound in (
            (
                "recall",
                "Share of held-out fouled traces that the certified rule flags.",
                rule.recall if rule else None,
                {"on": "lower", "op": ">=", "value": STRONG_RECALL},
            ),
            (
                "false-alarms",
                "Share of held-out in-distribution traces that the certified rule flags.",
                rule.false_alarms if rule else None,
                at_nominal_rate,
            ),
            (
                "control-alarms",
                "Share of held-out clean controls that the certified rule flags.",
                rule.control_flagged if rule else None,
                at_nominal_rate,
            ),
        )
    )


def _too_few_to_show(rule: HeldOut | None) -> str:
    """That held-out cases cannot show the promised rate, whatever they do; empty when they can."""
    if rule is None:
        return ""
    n = rule.false_alarms.n
    least = share(0, n).high
    if least <= NOMINAL_RATE:
        return ""
    return f"Even no alarm in {n} held-out cases would leave an upper limit of {least:.1%}."


def control_claim(chapter: Chapter, result: StudyResult) -> Claim:
    """The reference's rule flags clean controls no more often than in-distribution traces."""
    rule = result.held_out
    return chapter.claim(
        "criterion-1-control-flags",
        "Sign-test p-value of the reference's rule flagging more controls than in-distribution.",
        rule.control_excess_p if rule else None,
        bound={"op": ">=", "value": SIGNIFICANCE},
        n=rule.recall.n if rule else 0,
    )


def traces_claim(chapter: Chapter, result: StudyResult, figures: Sequence[str]) -> Claim:
    """The third criterion: the failure traces are shown, each as a figure of this chapter."""
    return chapter.claim(
        "criterion-3-traces-shown",
        "Fouled traces of lowest and highest score: shown as figures and recorded in the payload.",
        sum((chapter.out_dir / name).is_file() for name in figures),
        bound={"op": ">=", "value": len(result.failures)},
        n=len(result.cases),
        figure=figures[0],
    )


def _rate_claim(
    chapter: Chapter,
    key: str,
    text: str,
    rate: Interval | None,
    bound: Mapping[str, object],
    result: StudyResult,
    note: str,
) -> Claim:
    return chapter.claim(
        key,
        text,
        rate.value if rate else None,
        bound=bound,
        interval=(rate.low, rate.high) if rate else None,
        n=rate.n if rate else len(result.cases),
        note=note,
        figure=THRESHOLD_FIGURE,
    )


def _note(result: StudyResult) -> str:
    return verdict(result) if result.confounded else ""
