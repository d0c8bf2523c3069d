"""Tables, figures and claims of the chapter on escalation."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from IPython.display import Markdown
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ecguard.diagnostics import OUTSIDE
from ecguard.escalation import (
    ASSUMED,
    FAILURE_S,
    FAILURES_S,
    LN_K0,
    Escalation,
    finds_much,
    mean_of_electrodes,
    run_escalation,
)
from ecguard.guardrail import flag_rate
from ecguard.guardrail.policy import ACTIONS
from ecguard.intervals import Interval
from ecguard.posterior.film import NAMES as FILM
from ecguard.posterior.stretch import FEWEST, Stretch
from ecguard.posterior.unknowns import names
from ecguard.protocol.inference import MUCH
from ecguard.protocol.trial import Trial
from ecguard.protocol_design import LEVELS, level_of
from ecguard.report.chapter import Chapter
from ecguard.report.claims import Claim
from ecguard.report.failure_modes import percent, table
from ecguard.report.figures import groups_figure, intervals_figure, lines_figure, spans_figure
from ecguard.report.protocol_design import study as protocol_study
from ecguard.stress import Biofouling

ERROR_FIGURE = "escalation_error.png"
COVERAGE_FIGURE = "escalation_coverage.png"
EVIDENCE_FIGURE = "escalation_evidence.png"
POLICY_FIGURE = "escalation_policy.png"
ERROR_RATIO = 1 / 5
COVERED = (0.90, 0.98)
LEAST_AUROC = 0.95
VOLTAMMOGRAM, DESIGNED = "one voltammogram", "designed protocol"
FILMED, REFIT, STRETCHED = "the same, perhaps a film", "refit with a film", "refit, stretched"
JUDGED = {
    "test": "clean electrodes",
    "fouled": f"coverage {Biofouling.full:g}, where the stretch was learnt",
    "tested": "all severities that the policy is judged on",
}
"""Jobs whose refits the claims judge."""
OF_THE_COUPLE = "(the couple alone counts, not resistance and double layer)"
_COVERAGE = len(names(1))
_CELL = (_COVERAGE - 2, _COVERAGE - 1)
_RESISTANCE = FILM.index("ln R_film")
_OF_FILM = ("coverage of the film", *FILM[1:])
_LEAST_DRAWN = 1e-4  # coverage, below which what is found is as good as none


def study(chapter: Chapter) -> Escalation:
    """Run both studies; what an earlier run has finished is read from its files."""
    return run_escalation(protocol_study(chapter))


def posteriors(result: Escalation, job: str) -> dict[str, Trial]:
    """Test electrodes of a job under each kind of posterior: test, fouled or tested."""
    design = result.design
    return {
        VOLTAMMOGRAM: design.default_trial.of(job),
        DESIGNED: design.designed_trial.of(job),
        FILMED: result.evidence[job],
        REFIT: result.refit[job],
        STRETCHED: result.stretched(result.refit[job]),
    }


def recovery_table(result: Escalation) -> Markdown:
    """Error of each kind of posterior, clean and fouled, and how often the truth is inside."""
    rows = []
    for job, words in (("test", "clean"), ("fouled", f"coverage {Biofouling.full:g}")):
        for name, trial in posteriors(result, job).items():
            covered = result.coverage(trial)
            rows.append(
                [
                    words,
                    name,
                    f"{np.median(np.abs(result.error(trial))):.2f}",
                    f"{np.median(result.error(trial)):+.2f}",
                    f"{covered.mean():.0%}",
                    percent(flag_rate(covered[:, LN_K0])),
                    percent(flag_rate(trial.wrong)),
                ]
            )
    head = [
        "electrodes",
        "posterior",
        "median error of ln k0, absolute",
        "signed",
        "truth inside 95 %, all of couple and cell",
        "truth inside 95 %, ln k0",
        "couple outside the joint region",
    ]
    n = len(result.refit["fouled"])
    return Markdown(f"{table(head, rows)}\n{n} test electrodes in each row.")


def stretch_table(result: Escalation) -> Markdown:
    """By how much the intervals of a refit are stretched, and what tells."""
    unknowns = (*names(1), *_OF_FILM)

    def row(words: str, own: Stretch) -> list[str]:
        none = ["–"] * (len(unknowns) - len(own.factor))
        return [words, *(f"{factor:.2f}" for factor in own.factor), *none]

    rows = [
        row(f"{MUCH:g} or more", result.stretch),
        row(f"less than {MUCH:g}", result.little),
    ]
    words = (
        f"The first row is from {result.stretch.n} calibration electrodes, fouled to "
        f"{Biofouling.full:g}; the second from {result.little.n} clean ones, by the clean model."
    )
    refit = result.refit["fouled"]
    before, after = (
        np.median(own.high[:, _COVERAGE] - own.low[:, _COVERAGE])
        for own in (refit, result.stretched(refit))
    )
    words += (
        f" At severity 1 the interval of the film's coverage is {after:.2f} wide in the median, "
        f"{before:.2f} before stretching."
    )
    if result.stretch.n < FEWEST:
        words += f" Fewer than {FEWEST} do not support 95 %: their largest ratio is taken."
    return Markdown(f"{table(['coverage that the refit finds', *unknowns], rows)}\n{words}")


def levels_table(result: Escalation) -> Markdown:
    """How often the truth is inside the stretched refit's intervals, by coverage."""
    refit, shown = posteriors(result, "tested")[STRETCHED], (LN_K0, *_CELL)
    rows = []
    for k, level in enumerate(LEVELS):
        own = level_of(refit, k)
        inside, film = result.coverage(own), result.film_coverage(own)
        rows.append(
            [
                f"{Biofouling.full * level:.2g}",
                f"{inside.mean():.0%}",
                *(percent(flag_rate(inside[:, unknown])) for unknown in shown),
                *(percent(flag_rate(film[:, unknown])) for unknown in (0, _RESISTANCE)),
                percent(flag_rate(own.wrong)),
            ]
        )
    head = [
        "coverage",
        "truth inside 95 %, all of couple and cell",
        *(names(1)[unknown] for unknown in shown),
        *(_OF_FILM[unknown] for unknown in (0, _RESISTANCE)),
        "couple outside the joint region",
    ]
    n = len(result.refit["tested"]) // len(LEVELS)
    return Markdown(f"{table(head, rows)}\n{n} test electrodes in each row.")


def error_panel(result: Escalation) -> Figure:
    """Median error of ln k0 against coverage, and the coverage that the refit finds."""
    coverage = Biofouling.full * np.array(LEVELS)
    errors: dict[str, tuple[Any, Any]] = {
        name: (coverage, [median_error(result, level_of(trial, k)) for k in range(len(LEVELS))])
        for name, trial in posteriors(result, "tested").items()
        if name != STRETCHED  # moves no mean
    }
    refit = result.refit["tested"]
    found = [level_of(refit, k).mean[:, _COVERAGE] for k in range(len(LEVELS))]
    films: dict[str, tuple[Any, Any]] = {}
    for name, share in (("median", 0.5), ("10 %", 0.1), ("90 %", 0.9)):
        values = np.quantile(found, share, axis=1)
        films[name] = (coverage, np.where(values >= _LEAST_DRAWN, values, np.nan))
    films["truth"] = (coverage, coverage)
    x = "coverage at the start"
    return lines_figure(
        [errors, films],
        [x, x],
        ["median error of ln k0, absolute", "coverage found by the refit"],
        log=["xy", "xy"],
    )


def coverage_panel(result: Escalation) -> Figure:
    """Share of fouled electrodes whose intervals hold the truth, by unknown."""
    groups = {}
    for name, trial in posteriors(result, "fouled").items():
        rates = [flag_rate(column) for column in result.coverage(trial).T]
        groups[name] = {
            unknown: (rate.value, rate.low, rate.high)
            for unknown, rate in zip(names(1), rates, strict=True)
        }
    return intervals_figure(groups, "share with the truth inside the 95 % interval", 0.95, COVERED)


def evidence_panel(result: Escalation) -> Figure:
    """Log Bayes factor of film against no film, clean and fouled electrodes."""
    factor = result.log_bayes_factor("tested")
    n = len(factor) // len(LEVELS)
    shown = [0, *range(3, len(LEVELS), 2), len(LEVELS) - 1]
    groups = {"clean": result.log_bayes_factor("test")}
    for k in dict.fromkeys(shown):
        groups[f"{Biofouling.full * LEVELS[k]:.2g}"] = factor[k * n : (k + 1) * n]
    folded = {name: np.arcsinh(own / 2) / np.log(10) for name, own in groups.items()}
    label = "sign times log10 of |ln Bayes factor|,\nlinear near 0"
    return groups_figure(
        folded, label, 0.0, bound_name="even odds,", x_label="coverage at the start"
    )


def evidence_table(result: Escalation) -> Markdown:
    """How often the evidence prefers a film, by coverage."""
    factor = result.log_bayes_factor("tested")
    n = len(factor) // len(LEVELS)
    clean = result.log_bayes_factor("test")
    rows = [["0 (clean)", percent(flag_rate(clean > 0)), f"{np.median(clean):.1f}"]]
    for k, level in enumerate(LEVELS):
        own = factor[k * n : (k + 1) * n]
        rows.append(
            [f"{Biofouling.full * level:.2g}", percent(flag_rate(own > 0)), f"{np.median(own):.3g}"]
        )
    return Markdown(table(["coverage", "film preferred", "median ln Bayes factor"], rows))


def mistaken_table(result: Escalation) -> Markdown:
    """What the refit does where the film slows the reaction otherwise than it assumes."""
    few = len(next(iter(result.mistaken.values())))
    rows = [
        (coefficient, trial)
        for coefficient, trial in sorted(
            [*result.mistaken.items(), (ASSUMED, result.refit["fouled"].take(slice(few)))]
        )
    ]
    words = [
        [
            f"{coefficient:g}{' (assumed)' if coefficient == ASSUMED else ''}",
            f"{np.median(np.abs(result.error(trial))):.2f}",
            f"{np.median(result.error(trial)):+.2f}",
            percent(flag_rate(trial.wrong)),
        ]
        for coefficient, trial in rows
    ]
    head = ["true coefficient", "median error of ln k0, absolute", "signed", "couple outside"]
    return Markdown(f"{table(head, words)}\n{few} test electrodes at severity 1 in each row.")


def region_words(result: Escalation) -> Markdown:
    """How often a posterior of a clean electrode is wrong, and how often it should be."""
    found = posteriors(result, "test")
    shares = ", ".join(
        f"{name} {percent(flag_rate(found[name].wrong))}"
        for name in (VOLTAMMOGRAM, DESIGNED, REFIT)
    )
    return Markdown(
        f"Exact regions would miss {OUTSIDE:.0%} of clean electrodes; these approximations miss: "
        f"{shares}."
    )


def decision_table(result: Escalation) -> Markdown:
    """What the policy does with clean and with fouled electrodes."""
    found, policy = result.outcomes()["policy"], result.policies[FAILURE_S]
    n_clean = len(result.refit["test"])
    rows = []
    for number, action in enumerate(ACTIONS):
        row: list[object] = [action]
        for part in (slice(0, n_clean), slice(n_clean, None)):
            chosen = found.action[part] == number
            row.append(percent(flag_rate(chosen)))
            failed = found.failed[part][chosen]
            row.append(percent(flag_rate(failed)) if len(failed) else "–")
        taken = found.seconds[found.action == number]
        rows.append([*row, f"{taken.mean():.0f}" if len(taken) else "–"])
    head = [
        "action",
        "of clean",
        "of these wrong",
        "of fouled",
        "of these wrong",
        "seconds it takes where it is done",
    ]
    return Markdown(
        f"{table(head, rows)}\nMeasure more where the voltammogram's score is below "
        f"{policy.first:.2f}; refit where the designed protocol's is below {policy.second:.2f} as "
        "well; both scores are learnt from biofouling alone, neither is that of the guardrail's "
        f"chapter. Chosen on {len(result.traces('design'))} design electrodes for a failure that "
        f"costs {FAILURE_S:.0f} s of measurement; judged on {len(found.failed)} test electrodes."
    )


def risk_table(result: Escalation) -> Markdown:
    """Risk and cost of the policy beside always trusting and always escalating."""
    n_clean, case = len(result.refit["test"]), result.electrode("test")
    rows = []
    for failure_s in FAILURES_S:
        for name, outcome in result.outcomes(failure_s).items():
            risk = result.mean(outcome.failed)
            fouled = mean_of_electrodes(outcome.failed[n_clean:], case[n_clean:])
            seconds = result.mean(outcome.seconds)
            cost = result.mean(outcome.cost_s(failure_s))
            rows.append(
                [
                    f"{failure_s:g}",
                    name,
                    f"{risk.value:.1%} ({risk.low:.1%} to {risk.high:.1%})",
                    percent(flag_rate(outcome.failed[:n_clean])),
                    percent(fouled),
                    f"{seconds.value:.0f} ({seconds.low:.0f} to {seconds.high:.0f})",
                    f"{cost.value:.0f} ({cost.low:.0f} to {cost.high:.0f})",
                ]
            )
    head = [
        "a failure costs / s",
        "what is done",
        "undetected failures",
        "of clean",
        "of fouled",
        "more measurement / s",
        "cost / s",
    ]
    found = result.outcomes()
    failed = found["policy"].failed.astype(float)
    apart = {name: result.mean(failed - found[name].failed) for name in found if name != "policy"}
    differences = " and ".join(
        f"{100 * own.value:+.1f} ({100 * own.low:+.1f} to {100 * own.high:+.1f}) against {name}"
        for name, own in apart.items()
    )
    n = len(np.unique(case))
    return Markdown(
        f"{table(head, rows)}\nUndetected failures under the policy at {FAILURE_S:g} s, in "
        f"percentage points: {differences}. Intervals are bootstraps of {n} test electrodes: one "
        "counts with all of its traces; those of clean electrodes alone are exact."
    )


def policy_words(result: Escalation) -> Markdown:
    """What the voltammogram decides by itself, what that saves, and which prices decide alike."""
    action = result.outcomes()["policy"].action[: len(result.refit["test"])]
    saved = _over_escalating(result)
    verdict = "is not shown to be cheaper than"
    if saved.high < 0:
        verdict = "is cheaper than"
    elif saved.low > 0:
        verdict = "is dearer than"
    alike: dict[tuple[int, ...], list[str]] = {}
    for failure_s in FAILURES_S:
        done = tuple(result.outcomes(failure_s)["policy"].action.tolist())
        alike.setdefault(done, []).append(f"{failure_s:g} s")
    prices = "; ".join(
        f"at {' and '.join(group)} it {_habit(done, len(group))}" for done, group in alike.items()
    )
    return Markdown(
        f"The policy at {FAILURE_S:g} s accepts {percent(flag_rate(action == 0))} of clean "
        f"electrodes on the voltammogram alone. It {verdict} always escalating: its cost differs "
        f"by {saved.value:+.1f} s ({saved.low:+.1f} to {saved.high:+.1f}). By what a failure "
        f"costs: {prices}."
    )


def _habit(done: tuple[int, ...], n_prices: int) -> str:
    """What a policy does to the test electrodes, in words."""
    if set(done) == {0}:
        return "always trusts"
    if set(done) == {2}:
        return "always escalates"
    return "decides alike for every test electrode" if n_prices > 1 else "decides in its own way"


def _over_escalating(result: Escalation) -> Interval:
    """Mean cost of the policy less that of always escalating, s."""
    found = result.outcomes()
    costs = [found[name].cost_s(FAILURE_S) for name in ("policy", "always escalate")]
    return result.mean(costs[0] - costs[1])


def policy_panel(result: Escalation) -> Figure:
    """Undetected failures against time; ways to decide that end alike share a point."""
    ways = {name: own for name, own in result.outcomes().items() if name != "policy"}
    for failure_s in FAILURES_S:
        ways[f"policy at {failure_s:g} s"] = result.outcomes(failure_s)["policy"]
    places: dict[tuple[float, float, float, float], list[str]] = {}
    for name, own in ways.items():
        risk = result.mean(100.0 * own.failed)
        place = (result.mean(own.seconds).value, risk.value, risk.low, risk.high)
        places.setdefault(place, []).append(name)
    points = {",\n".join(alike): place for place, alike in places.items()}
    return spans_figure(points, "more measurement / s", "undetected failures / %")


def claims(chapter: Chapter, result: Escalation) -> tuple[Claim, ...]:
    """Every promised number of the escalation."""
    trials = {job: posteriors(result, job) for job in JUDGED}
    before, after = (np.abs(result.error(trials["fouled"][name])) for name in (VOLTAMMOGRAM, REFIT))
    rates: dict[str, Callable[[NDArray[Any]], Interval]] = {
        "fouled": flag_rate,
        "tested": partial(mean_of_electrodes, case=result.refit["tested"].case),
    }
    covers, before_cleaning = (
        result.film_coverage(trials["tested"][name])[:, 0] for name in (STRETCHED, FILMED)
    )
    heavy = result.coverage(trials["fouled"][FILMED])[:, LN_K0]
    risks = {name: result.mean(own.failed).value for name, own in result.outcomes().items()}

    def claim(
        key: str, text: str, found: Interval, bound: dict[str, Any], figure: str, note: str = ""
    ) -> Claim:
        return chapter.claim(
            key, text, found.value, bound=bound, interval=(found.low, found.high), n=found.n,
            note=note, figure=figure,
        )  # fmt: skip

    def together(
        key: str,
        job: str,
        note: str = "",
        of: str = STRETCHED,
        whose: str = "the refit's stretched",
    ) -> Claim:
        held = result.coverage(trials[job][of])
        each = held.mean(axis=0)
        return claim(
            key,
            f"Share of true values inside {whose} 95 % intervals, all unknowns of couple and cell: "
            f"{JUDGED[job]}.",
            mean_of_electrodes(held.mean(axis=1), result.refit[job].case),
            {"op": "within", "value": list(COVERED)},
            COVERAGE_FIGURE if job == "fouled" else "",
            f"By unknown from {each.min():.2f} ({names(1)[each.argmin()]}) to "
            f"{each.max():.2f}{note}.",
        )

    def alone(
        key: str, job: str, pick: Callable[[NDArray[Any]], Any], words: str, film: bool = False
    ) -> Claim:
        cover, labels = (result.film_coverage, _OF_FILM) if film else (result.coverage, names(1))
        held, unstretched = cover(trials[job][STRETCHED]), cover(trials[job][REFIT]).mean(axis=0)
        own, before = int(pick(held.mean(axis=0))), int(pick(unstretched))
        return claim(
            key,
            f"The same for {labels[own]} alone, the unknown{' of the film' if film else ''} whose "
            f"truth is inside {words}: {JUDGED[job]}.",
            rates[job](held[:, own]),
            {"op": "within", "value": list(COVERED)},
            COVERAGE_FIGURE if job == "fouled" and not film else "",
            f"Before stretching {unstretched[before]:.2f} ({labels[before]}).",
        )

    return (
        claim(
            "k0-error",
            f"Median absolute error of ln k0 at coverage {Biofouling.full:g}: refit over one "
            "voltammogram.",
            _median_ratio(after, before),
            {"op": "<=", "value": ERROR_RATIO},
            ERROR_FIGURE,
            f"{np.median(after):.2f} against {np.median(before):.2f}.",
        ),
        together("coverage", "fouled"),
        alone("worst-coverage", "fouled", np.argmin, "least often"),
        alone("most-coverage", "fouled", np.argmax, "most often"),
        alone("film", "fouled", np.argmin, "least often", film=True),
        together(
            "coverage-all-severities",
            "tested",
            f"; {len(result.refit['tested'])} traces at {len(LEVELS)} severities",
        ),
        alone("worst-coverage-all-severities", "tested", np.argmin, "least often"),
        claim(
            "film-all-severities",
            f"The same for the coverage of the film alone: {JUDGED['tested']}.",
            rates["tested"](covers),
            {"op": "within", "value": list(COVERED)},
            "",
            f"Before cleaning, without stretching, {before_cleaning.mean():.2f}.",
        ),
        together(
            "before-cleaning",
            "tested",
            f"; of ln k0 at coverage {Biofouling.full:g} {heavy.mean():.2f}",
            of=FILMED,
            whose="the designed protocol's, before cleaning and without stretching,",
        ),
        together(
            "clean-coverage",
            "test",
            f"; much of a film is found in {finds_much(result.refit['test']).sum()} of them",
        ),
        claim(
            "evidence",
            f"AUROC of the evidence for a film, designed protocol: coverage {Biofouling.full:g} "
            "against clean.",
            result.auroc(),
            {"op": ">=", "value": LEAST_AUROC},
            EVIDENCE_FIGURE,
        ),
        claim(
            "criterion-2-policy-risk",
            f"Undetected failures {OF_THE_COUPLE} under the policy less those of always trusting.",
            result.risk_difference(),
            {"on": "upper", "op": "<", "value": 0.0},
            POLICY_FIGURE,
            ", ".join(f"{name} {own:.1%}" for name, own in risks.items()),
        ),
        claim(
            "criterion-2-cheaper-than-escalating",
            "Mean cost of the policy less that of always escalating, s; an undetected failure "
            f"{OF_THE_COUPLE} costs {FAILURE_S:.0f} s.",
            _over_escalating(result),
            {"on": "upper", "op": "<", "value": 0.0},
            POLICY_FIGURE,
        ),
    )


def payload(result: Escalation) -> dict[str, Any]:
    """Posteriors, evidence and the policy."""
    return {
        "protocol": result.protocol.title,
        "levels": list(LEVELS),
        "posteriors": {
            job: {
                name: {
                    "ln_k0_error": result.error(trial).round(5),
                    "covered": result.coverage(trial).mean(axis=0).round(5),
                    "outside": flag_rate(trial.wrong).value,
                }
                for name, trial in posteriors(result, job).items()
            }
            for job in ("test", "fouled", "tested")
        },
        "stretch": {
            name: {"factor": own.factor.round(5), "n": own.n}
            for name, own in (("much", result.stretch), ("little", result.little))
        },
        "log_bayes_factor": {
            job: result.log_bayes_factor(job).round(3) for job in ("test", "fouled", "tested")
        },
        "coverage_found": {
            job: result.refit[job].mean[:, _COVERAGE].round(5) for job in ("fouled", "tested")
        },
        "mistaken": {
            f"{coefficient:g}": result.error(trial).round(5)
            for coefficient, trial in result.mistaken.items()
        },
        "policies": {
            f"{failure_s:g}": {
                name: None if not np.isfinite(value) else value
                for name, value in asdict(policy).items()
            }
            for failure_s, policy in result.policies.items()
        },
        "outcomes": {
            name: {"action": own.action, "failed": own.failed, "seconds": own.seconds.round(3)}
            for name, own in result.outcomes().items()
        },
    }


def median_error(result: Escalation, trial: Trial) -> float:
    """Median absolute error of ln k0."""
    return float(np.median(np.abs(result.error(trial))))


def _median_ratio(
    after: NDArray[np.floating], before: NDArray[np.floating], resamples: int = 2000
) -> Interval:
    """Ratio of two medians over the same electrodes, with its bootstrap interval."""
    rows = np.random.default_rng(0).integers(len(after), size=(resamples, len(after)))
    drawn = np.median(after[rows], axis=1) / np.median(before[rows], axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = float(np.median(after) / np.median(before))
    return Interval(value, float(low), float(high), len(after))
