"""Tables, figures and claims of the chapter on protocols; the study that two chapters share."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
from IPython.display import Markdown
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ecguard.engines import case_keys
from ecguard.guardrail import flag_rate
from ecguard.intervals import Interval, auroc_interval, difference_interval
from ecguard.protocol import CANDIDATES, DEFAULT
from ecguard.protocol.inference import FILM
from ecguard.protocol.trial import Trial, fit_clean
from ecguard.protocol_design import (
    ALIKE,
    LEVELS,
    RATED,
    ProtocolDesign,
    ProtocolDesignSettings,
    Tried,
    detection_limit,
    level_of,
    limit_of,
    run_protocol_design,
)
from ecguard.report.chapter import Chapter
from ecguard.report.claims import Claim
from ecguard.report.failure_modes import percent, table
from ecguard.report.figures import lines_figure, points_figure
from ecguard.report.guardrail import SILENT_LIMIT, materials, sets_of
from ecguard.report.provenance import provenance
from ecguard.stress import Biofouling

MAP_FIGURE = "protocol_candidates.png"
TRACE_FIGURE = "protocol_trace.png"
POWER_FIGURE = "protocol_power.png"
TUNING_FIGURE = "protocol_tuning.png"
GUARDRAIL_FILE = "protocol_guardrail.json"
CAUGHT, CAUGHT_SURELY = 281 / 300, 0.90
"""Share that is caught, and the lower limit of that share of 300 cases."""
GAIN = 0.15
LIMIT_RATIO = 3.0
MILD, EARLY = 0.30, 0.50  # power of one voltammogram, of the most informative protocol
_SHOWN = RATED.index(0.1)
_NO_LIMIT = Biofouling.full  # the highest coverage tried: a limit that is not reached lies above


def settings_of(chapter: Chapter) -> ProtocolDesignSettings:
    """Settings of the study, from the parameters and the profile of the chapter."""
    given, profile = chapter.parameters, chapter.profile
    return ProtocolDesignSettings(
        sets=replace(sets_of(chapter), n_test=profile.n_electrodes),
        n_rated=profile.n_rated,
        n_tuned=profile.n_tuned,
        n_cell=profile.n_coverage,
        alpha=given["alpha"],
        delta=given["delta"],
    )


def study(chapter: Chapter) -> ProtocolDesign:
    """Run the study; what an earlier run has finished is read from its files.

    Raises:
        InputError: a checkpoint cannot be used, or cases are too few for a certificate.
    """
    return run_protocol_design(settings_of(chapter), *materials(chapter))


def candidates_table(result: ProtocolDesign) -> Markdown:
    """What each candidate costs, leaves to a clean model, and tells of the couple."""
    rows = []
    for name, protocol in CANDIDATES.items():
        rated = result.rated[name]
        rows.append(
            [
                f"**{name}**" if name in (result.designed, result.informative) else name,
                protocol.title,
                f"{protocol.steps[-1].averaging.records}",
                f"{rated.cost_s.mean():.1f}",
                f"{np.median(rated.discrepancy[_SHOWN]):.3g}",
                f"{rated.power.mean():.2f}",
                f"{rated.information.mean():.1f}",
                f"{result.refits[name].information.mean():.2f}" if name in result.refits else "–",
            ]
        )
    head = [
        "candidate",
        "what is measured",
        "records averaged",
        "seconds",
        f"misfit left at severity {RATED[_SHOWN]:g}",
        "power",
        "information / nats",
        "refit / nats",
    ]
    return Markdown(table(head, rows))


def chosen_words(result: ProtocolDesign) -> Markdown:
    """The two chosen protocols, how they were chosen, and that they differ."""
    designed, informative = (CANDIDATES[n] for n in (result.designed, result.informative))
    chosen = [result.rated[name] for name in (result.designed, result.informative)]
    powers = [own.power.mean() for own in chosen]
    told = [own.information.mean() for own in chosen]
    same = "the same" if designed.name == informative.name else "not the same"
    return Markdown(
        f"Power within {ALIKE:g} of the largest: {', '.join(result.refits)}. Of these a refit is "
        f"told most by **{designed.name}** ({_inside(designed.title)}; power {powers[0]:.2f}, "
        f"{told[0]:.1f} nats). Most information about a clean couple: "
        f"**{informative.name}** ({_inside(informative.title)}; power {powers[1]:.2f}, "
        f"{told[1]:.1f} nats). They are {same}. {len(chosen[0].cost_s)} design "
        f"cases, severities {', '.join(f'{level:g}' for level in RATED)}."
    )


def map_panel(result: ProtocolDesign) -> Figure:
    """Candidates by cost, power and information."""
    cost = {name: float(own.cost_s.mean()) for name, own in result.rated.items()}
    power = {name: float(own.power.mean()) for name, own in result.rated.items()}
    told = {name: float(own.information.mean()) for name, own in result.rated.items()}
    return points_figure(
        [
            {name: (cost[name], power[name]) for name in cost},
            {name: (told[name], power[name]) for name in cost},
        ],
        ["time of measurement / s", "information about the couple / nats"],
        ["power", "power"],
        (result.designed, result.informative),
        log=["x", ""],
    )


def tuning_table(result: ProtocolDesign) -> Markdown:
    """Where the gradient leads from three candidates."""
    rows = []
    for name, tuned in result.tuned.items():
        pace, size = tuned.slope[-1]
        rows.append(
            [
                name,
                f"{tuned.pace[-1]:.2f}",
                f"{tuned.size[-1]:.2f}",
                f"{np.exp(tuned.criterion[0]):.3g}",
                f"{np.exp(tuned.criterion[-1]):.3g}",
                *(f"{np.exp(own):.3g}" for own in tuned.confirmed),
                f"{pace:+.2f}",
                f"{size:+.2f}",
            ]
        )
    head = [
        "step",
        "pace, times",
        "size, times",
        "misfit at the start",
        "misfit at the end",
        "on test cases, at the start",
        "at the end",
        "slope left along ln pace",
        "along ln size",
    ]
    return Markdown(
        f"{table(head, rows)}\nMisfit: geometric mean of chi-square over "
        f"{result.settings.n_tuned} design cases, on which the design is chosen, and as many test "
        f"cases, severities {RATED[1]:g} and {RATED[2]:g}. Pace "
        "may change tenfold, size twofold, the window of a scan not at all."
    )


def tuning_panel(result: ProtocolDesign) -> Figure:
    """The criterion on the way to each design."""
    lines = {name: (own.pace, np.exp(own.criterion)) for name, own in result.tuned.items()}
    return lines_figure(
        [lines], ["pace, in units of the candidate's"], ["misfit left, chi-square"], log=["xy"]
    )


def trials_table(result: ProtocolDesign) -> Markdown:
    """Alarms and power of every protocol that was tried."""
    rows = []
    for name, tried in result.tried.items():
        limit = detection_limit(tried.powers())
        rows.append(
            [
                name,
                percent(tried.power(tried.clean["test"])),
                percent(tried.power(tried.control)),
                percent(tried.power(tried.fouled)),
                "–" if limit is None else f"{limit:.2g}",
            ]
        )
        blind = tried.without(FILM)
        parts = (tried.clean["test"], tried.control, tried.fouled)
        limit = detection_limit(blind.powers())
        rows.append(
            [
                f"{name}, no test for a film",
                *(percent(blind.power(part)) for part in parts),
                "–" if limit is None else f"{limit:.2g}",
            ]
        )
        if tried.conflict is not None:
            conflict = (flag_rate(tried.conflict_flags(part)) for part in parts)
            rows.append([f"{name}, conflict alone", *map(percent, conflict), ""])
    head = ["protocol", "clean", "control", "fouled, coverage 0.78", "coverage caught in 90 %"]
    n = len(result.designed_trial.fouled)
    threshold = result.designed_trial.threshold
    return Markdown(
        f"{table(head, rows)}\n{n} test cases in each of the three columns; thresholds at rank "
        f"{threshold.rank} of {threshold.n} clean calibration cases."
    )


def power_table(result: ProtocolDesign) -> Markdown:
    """Share caught at every severity, by protocol."""
    columns = {name: tried.powers() for name, tried in result.tried.items()}
    bare = _bare(result)
    rows = [
        [
            f"{Biofouling.full * level:.2g}",
            *(percent(found[k]) for found in columns.values()),
            percent(bare[k]),
        ]
        for k, level in enumerate(LEVELS)
    ]
    head = ["coverage", *columns, f"{result.designed}, film without resistance"]
    n = len(result.designed_trial.tested) // len(LEVELS)
    return Markdown(f"{table(head, rows)}\n{n} test cases in each cell.")


def power_panel(result: ProtocolDesign) -> Figure:
    """Share caught against coverage, before and after."""
    coverage = Biofouling.full * np.array(LEVELS)
    lines = {
        name: (coverage, [found.value for found in tried.powers()])
        for name, tried in result.tried.items()
    }
    lines["film without resistance"] = (coverage, [found.value for found in _bare(result)])
    return lines_figure([lines], ["coverage at the start"], ["share flagged"], log=["x"])


def level_at(tried: Tried, power: float) -> int:
    """The level where a protocol catches a share closest to `power`."""
    powers = [found.value for found in tried.powers()]
    return int(np.argmin(np.abs(np.array(powers) - power)))


def separation(tried: Tried, faulty: Trial, clean: Trial) -> Interval:
    """AUROC of the certified score, case by case, with its bootstrap interval."""
    first, second = (-tried.scores(part) for part in (faulty, clean))
    return auroc_interval(first, second, paired=True)


def trace_panel(result: ProtocolDesign) -> Figure:
    """One mildly fouled test electrode on the designed protocol, with the closest clean one."""
    tried, bench = result.designed_trial, result.bench
    cases = bench.sets["test"].take(np.arange(1))
    fit = fit_clean(
        tried.protocol, cases, np.full(1, RATED[_SHOWN]), bench.amortised,
        case_keys(result.settings.sets.seed, cases.group.case),
    )  # fmt: skip
    panels: list[dict[str, tuple[Any, Any]]] = []
    labels = []
    for step, clean, kind in zip(fit.steps, fit.expected, tried.protocol.steps, strict=True):
        shown = np.asarray(step.observed[0])
        time = np.asarray(step.time_s[0], np.float64)[shown]
        fast = time[-1] - time[0] < 1.0
        place = 1e3 * (time - time[0]) if fast else time
        panels.append(
            {
                "observed": (place, np.asarray(step.current[0])[shown]),
                "closest clean electrode": (place, clean[0][shown]),
            }
        )
        labels.append(f"{kind.kind}: time / {'ms' if fast else 's'}")
    return lines_figure(panels, labels, ["current density / mA cm$^{-2}$"] * len(panels))


def limit_ratio(before: Tried, after: Tried, resamples: int = 2000) -> Interval:
    """Detection limit before over after, with its bootstrap interval; 0 where there is none after.

    Where the limit before is not reached, at least that much, and so are both ends.

    Electrodes of a level are drawn anew, the same ones before and after.
    """
    both = [own.flags(own.tested).reshape(len(LEVELS), -1) for own in (before, after)]
    n = both[0].shape[1]

    def ratio(rows: NDArray[np.intp]) -> float:
        first, last = (limit_of(np.take_along_axis(own, rows, 1).mean(axis=1)) for own in both)
        return 0.0 if last is None else (first or _NO_LIMIT) / last

    rng = np.random.default_rng(0)
    drawn = [ratio(rng.integers(n, size=(len(LEVELS), n))) for _ in range(resamples)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = ratio(np.tile(np.arange(n), (len(LEVELS), 1)))
    return Interval(value, float(low), float(high), both[0].size)


def gain(result: ProtocolDesign, other: str, level: int) -> Interval:
    """What the designed protocol catches at a level beyond what another one does."""
    mine, its = (
        own.flags(own.at(level)).astype(float)
        for own in (result.designed_trial, result.tried[other])
    )
    return difference_interval(mine, its)


def claims(chapter: Chapter, result: ProtocolDesign) -> tuple[Claim, ...]:
    """Every promised number of the designed protocol."""
    designed, default = result.designed_trial, result.default_trial
    level, early = level_at(default, MILD), level_at(result.tried[result.informative], EARLY)
    coverage = Biofouling.full * LEVELS[level]
    informed = result.tried[result.informative].powers()
    before, after = (detection_limit(own.powers()) for own in (default, designed))
    ratio = limit_ratio(default, designed)
    unseen = [f"{own:.2g}" for own in designed.undetectable()]
    blind = designed.without(FILM)

    def rate(key: str, text: str, found: Interval, bound: dict[str, Any], note: str = "") -> Claim:
        return chapter.claim(
            key, text, found.value, bound=bound, interval=(found.low, found.high), n=found.n,
            note=note, figure=POWER_FIGURE,
        )  # fmt: skip

    return (
        rate(
            "criterion-1-designed-separation",
            f"AUROC of the designed protocol's score ({result.designed}): fouled against controls.",
            separation(designed, designed.fouled, designed.control),
            {"on": "lower", "op": ">", "value": 0.5},
        ),
        rate(
            "criterion-1-designed-not-confounded",
            "AUROC of the designed protocol's score: controls against clean cases.",
            separation(designed, designed.control, designed.clean["test"]),
            {"on": "interval", "op": "contains", "value": 0.5},
        ),
        rate(
            "criterion-2-designed-alarms",
            f"Share of clean test cases that the designed protocol ({result.designed}) flags.",
            designed.power(designed.clean["test"]),
            {"on": "upper", "op": "<=", "value": result.settings.alpha},
        ),
        rate(
            "control-alarms",
            "Share of controls, simulated on the path of the stress with fouling off, that the "
            "designed protocol flags.",
            designed.power(designed.control),
            {"op": "<=", "value": result.settings.alpha},
        ),
        rate(
            "criterion-2-designed-protocol",
            "Share of fouled test cases (coverage 0.78) that the designed protocol flags.",
            designed.power(designed.fouled),
            {"on": "lower", "op": ">=", "value": CAUGHT_SURELY},
            f"{designed.flags(designed.fouled).sum()} of "
            f"{len(designed.fouled)}; one voltammogram, judged in the same way, "
            f"{percent(default.power(default.fouled))}.",
        ),
        rate(
            "fouled-without-film-test",
            "The same by a score that knows nothing of films: residuals, the peak's place and the "
            "conflict between steps alone.",
            blind.power(designed.fouled),
            {"on": "lower", "op": ">=", "value": CAUGHT_SURELY},
            f"{blind.flags(designed.fouled).sum()} of {len(designed.fouled)}.",
        ),
        rate(
            "criterion-2-designed-silent",
            "Share of fouled test cases (coverage 0.78) that the designed protocol accepts with "
            "the truth outside the joint 95 % region.",
            flag_rate(~designed.flags(designed.fouled) & designed.fouled.wrong),
            {"on": "upper", "op": "<=", "value": SILENT_LIMIT},
        ),
        chapter.claim(
            "criterion-3-designed-trace",
            "A mildly fouled electrode, with the closest clean one: shown as a figure.",
            int((chapter.out_dir / TRACE_FIGURE).is_file()),
            bound={"op": "==", "value": 1},
            n=1,
            figure=TRACE_FIGURE,
        ),
        chapter.claim(
            "criterion-3-designed-undetectable",
            "Coverages whose cases do not show that the designed protocol flags more than half of "
            "them: undetectable by it.",
            len(unseen),
            bound={"op": "==", "value": 0},
            n=len(LEVELS),
            note="Fouling alone was tried with it, none of the catalogue's other failures."
            + (f" Undetectable: a coverage of {', '.join(unseen)}." if unseen else ""),
            figure=POWER_FIGURE,
        ),
        rate(
            "no-resistance",
            "Share of electrodes at full severity, on a film without resistance, that the designed "
            "protocol flags; its rule was not learnt anew.",
            _bare(result)[-1],
            {"op": ">=", "value": CAUGHT},
        ),
        rate(
            "mild-over-default",
            f"Share that the designed protocol flags at coverage {coverage:.2g}, less that of one "
            "voltammogram.",
            gain(result, DEFAULT.name, level),
            {"op": ">=", "value": GAIN},
            f"One voltammogram catches {default.powers()[level].value:.0%} there, of all levels "
            f"the closest to {MILD:.0%}.",
        ),
        rate(
            "mild-over-informative",
            f"The same at coverage {coverage:.2g}, less that of the most informative protocol "
            f"({result.informative}).",
            gain(result, result.informative, level),
            {"op": ">=", "value": GAIN},
            f"The most informative protocol flags {informed[level].value:.0%} there, one "
            f"voltammogram {percent(default.power(default.at(level)))}.",
        ),
        rate(
            "early-over-informative",
            f"The same at coverage {Biofouling.full * LEVELS[early]:.2g}, of all levels the one "
            "where the most informative protocol is closest to one half.",
            gain(result, result.informative, early),
            {"op": ">=", "value": GAIN},
            f"The most informative protocol flags {informed[early].value:.0%} there.",
        ),
        rate(
            "conflict",
            "Share of fouled test cases that the conflict between steps flags by itself.",
            flag_rate(designed.conflict_flags(designed.fouled)),
            {"op": ">=", "value": 0.90},
            "No model of fouling is needed for it.",
        ),
        chapter.claim(
            "detection-limit",
            "Coverage caught in 90 % of cases: before over after.",
            None if after is None else ratio.value,
            bound={"op": ">=", "value": LIMIT_RATIO},
            interval=None if after is None else (ratio.low, ratio.high),
            n=ratio.n,
            note=(
                f"Before: {f'above {_NO_LIMIT:.2g}' if before is None else f'{before:.2g}'}; "
                f"after: {'none' if after is None else f'{after:.2g}'}."
                + (" The ratio is at least this." if before is None else "")
            ),
            figure=POWER_FIGURE,
        ),
    )  # fmt: skip


def save_guardrail(chapter: Chapter, result: ProtocolDesign) -> Markdown:
    """Write the designed protocol's guardrail beside the payload."""
    record = provenance(chapter.seed, chapter.profile.name, chapter.started)
    guardrail = result.guardrail()
    path = guardrail.save(chapter.out_dir / GUARDRAIL_FILE, record)
    unseen = "; ".join(map(str, guardrail.undetectable)) or "none of the coverages that were tried"
    return Markdown(
        f"The guardrail of **{result.designed}**: `{path.name}`, {path.stat().st_size} bytes. "
        "`ecguard plan` says from a voltammogram what to apply next, and `ecguard screen` judges "
        "the recordings. What an electrode that it accepts may hide "
        f"({result.settings.n_cell} test electrodes at each coverage): {unseen}."
    )


def payload(result: ProtocolDesign) -> dict[str, Any]:
    """Ratings, choices and trials."""
    return {
        "settings": asdict(result.settings),
        "levels": list(LEVELS),
        "rated_severities": list(RATED),
        "designed": result.designed,
        "informative": result.informative,
        "candidates": {
            name: {
                "title": protocol.title,
                "steps": [{"kind": own.kind, **asdict(own)} for own in protocol.steps],
                "cost_s": float(result.rated[name].cost_s.mean()),
                "power": result.rated[name].power.mean(axis=1).round(4),
                "misfit": np.median(result.rated[name].discrepancy, axis=1).round(4),
                "information_nats": float(result.rated[name].information.mean()),
                "refit_nats": (
                    float(result.refits[name].information.mean()) if name in result.refits else None
                ),
            }
            for name, protocol in CANDIDATES.items()
        },
        "tuned": {
            name: {
                "pace": own.pace,
                "size": own.size,
                "criterion": own.criterion.round(4),
                "confirmed": own.confirmed.round(4),
            }
            for name, own in result.tuned.items()
        },
        "tried": {name: _record(own) for name, own in result.tried.items()},
        "no_resistance": [found.value for found in _bare(result)],
    }


def _record(tried: Tried) -> dict[str, Any]:
    parts = {"clean": tried.clean["test"], "control": tried.control, "fouled": tried.fouled}
    return {
        "score": asdict(tried.score),
        "threshold": asdict(tried.threshold),
        "conflict": None if tried.conflict is None else asdict(tried.conflict),
        "power": [found.value for found in tried.powers()],
        "flagged": {name: tried.flags(part) for name, part in parts.items()},
    }


def _bare(result: ProtocolDesign) -> list[Interval]:
    """The designed protocol's power on a film without resistance."""
    tried = result.designed_trial
    return [tried.power(level_of(result.no_resistance, k)) for k in range(len(LEVELS))]


def _inside(title: str) -> str:
    """A title as part of a sentence."""
    return title[:1].lower() + title[1:]
