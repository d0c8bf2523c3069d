"""What the chapter on calibration computes; its tables and claims."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy import stats

from ecguard import family
from ecguard.calibration import (
    CALIBRATED,
    FAR,
    N_RANKED,
    ORDER,
    PARAMETERS,
    CalibrationResult,
    run_calibration,
)
from ecguard.clean_cases import CleanSettings
from ecguard.diagnostics import histogram, log_gamma
from ecguard.engines import AMORTISED, CORRECTED, EXACT, REFERENCE, Engines
from ecguard.errors import InputError
from ecguard.inputs import find_amortised_checkpoint, find_family_checkpoint
from ecguard.intervals import Interval, difference_interval
from ecguard.posterior.amortised.artefacts import check_trained_for, load_amortised
from ecguard.posterior.surrogate_error import measure_error
from ecguard.posterior.tempered import TemperedSettings
from ecguard.report.chapter import Chapter
from ecguard.report.claims import Claim
from ecguard.report.failure_modes import percent, table
from ecguard.report.figures import intervals_figure, lines_figure, map_figure, ranks_figure
from ecguard.surrogate import load_surrogate

LEVEL = 0.95
COVERAGE_BAND = (0.927, 0.967)
MOST_UNREACHED = 0.01
RANKS_FIGURE = "calibration_ranks.png"
COVERAGE_FIGURE = "calibration_coverage.png"
MAP_FIGURE = "calibration_contraction.png"
UNIT_FIGURE = "calibration_unit.png"
TRACE_FIGURE = "calibration_trace.png"
_BINS = 10
_ALIKE = 0.1  # of an error, by which two engines may differ and still be said to agree


def settings_of(chapter: Chapter) -> CleanSettings:
    """Settings of the cases, from the parameters of the chapter."""
    given = chapter.parameters
    return CleanSettings(
        n_cases=given["n_calibrated"],
        seed=given["seed"],
        tasks=tuple(given["tasks"].split()),
        most_couples=given["most_couples"],
        noise_std=given["eval_noise_std"],
    )


def load_engines(chapter: Chapter) -> Engines:
    """The engines on the checkpoints that the chapter names, or on the built-in ones.

    Raises:
        InputError: a file is missing, damaged or of another family.
    """
    given = chapter.parameters
    surrogate = load_surrogate(find_family_checkpoint(given["family_checkpoint"]).path)
    amortised = load_amortised(find_amortised_checkpoint(given["amortised_checkpoint"]).path)
    asked = settings_of(chapter)
    check_trained_for(amortised.meta, asked.noise_std, asked.keep_probability)
    error = measure_error(surrogate, chapter.profile.n_error_cases)
    tempered = TemperedSettings(chapter.profile.tempered_particles)
    return Engines(surrogate, error, amortised, tempered, seed=given["seed"])


def study(chapter: Chapter) -> CalibrationResult:
    """Run the study.

    Raises:
        InputError: too few cases to say anything of a parameter.
    """
    settings = settings_of(chapter)
    if settings.n_cases < 20:
        raise InputError("n_calibrated", settings.n_cases, "20 or more", "Ask for more cases.")
    return run_calibration(settings, load_engines(chapter))


def engine_table(result: CalibrationResult) -> Markdown:
    """Error, efficiency, evidence and time of every engine."""
    prior = np.sqrt(np.nanmean(result.prior_error()[:, :-2] ** 2, axis=1)).mean()
    rows: list[list[object]] = [["prior's mean", f"{prior:.2f}", "–", "–", "–", "–", "–"]]
    exact = result.engines[EXACT].log_evidence
    for name in ORDER:
        found = result.engines[name]
        gap = np.abs(found.log_evidence - exact)
        rows.append(
            [
                name,
                f"{result.case_error(name).mean():.2f}",
                _or_dash(np.nanmedian(found.efficiency) if name == CORRECTED else np.nan, ".1%"),
                _or_dash(
                    np.nanquantile(found.effective, 0.1) if name in CALIBRATED else np.nan, ".0f"
                ),
                percent(result.unreached(name)) if np.isfinite(found.lead).any() else "–",
                _or_dash(np.nanmedian(gap) if name == CORRECTED else np.nan, ".2f"),
                f"{found.seconds:.3f}",
            ]
        )
    head = [
        "engine",
        "parameter error",
        "median efficiency",
        "effective draws, lowest tenth",
        "truth out of reach",
        "median evidence gap / nat",
        "seconds a case",
    ]
    return Markdown(table(head, rows))


def parameter_table(result: CalibrationResult) -> Markdown:
    """Root mean square error of every parameter, prior and engines, in units of the prior's std."""
    names = (REFERENCE, AMORTISED, CORRECTED, EXACT)
    errors = {"prior's mean": result.prior_error()} | {name: result.error(name) for name in names}
    rows = []
    for k, parameter in enumerate(PARAMETERS):
        count = int(np.isfinite(result.truth[:, k]).sum())
        if not count:
            continue
        cells = [_or_dash(_rms(values[:, k]), ".2f") for values in errors.values()]
        rows.append([parameter, count, *cells])
    return Markdown(table(["parameter", "cases", *errors], rows))


def calibration_table(result: CalibrationResult) -> Markdown:
    """Rank statistic of every parameter and engine; below 0 uniform ranks are rejected."""
    found = {name: result.log_gamma(name) for name in (AMORTISED, *CALIBRATED)}
    rows = []
    for parameter in found[EXACT]:
        cells = [f"{values[parameter]:+.2f}" for values in found.values()]
        rows.append([parameter, *cells])
    rows.append(["TARP p-value", *(f"{result.tarp_p_value(name):.3f}" for name in found)])
    return Markdown(table(["log gamma", *found], rows))


def ranks_panels(result: CalibrationResult, name: str) -> Figure:
    """Rank histograms of an engine."""
    ranks = result.ranks(name)
    panels = {}
    for k, parameter in enumerate(PARAMETERS):
        own = ranks[ranks[:, k] >= 0, k]
        if len(own) >= 10:
            found = histogram(own, N_RANKED, bins=_BINS)
            low, high = np.median(found.low), np.median(found.high)
            panels[parameter] = (found.counts, float(low), float(high))
    return ranks_figure(panels)


def coverage_panel(result: CalibrationResult) -> Figure:
    """Coverage of the 95 % interval of every parameter and engine."""
    groups = {
        name: {p: (i.value, i.low, i.high) for p, i in result.coverage(name).items()}
        for name in (REFERENCE, AMORTISED, *CALIBRATED)
    }
    return intervals_figure(groups, "share of true values inside", LEVEL, COVERAGE_BAND)


def contraction_panel(result: CalibrationResult) -> Figure:
    """Mean contraction of the first couple's parameters by task and speed, single couples."""
    found = result.contraction(CORRECTED)
    columns, cells = [], []
    shown = [k for k, name in enumerate(PARAMETERS) if not name.endswith("2")]
    for task, task_name in enumerate(family.TASKS):
        for stage, speed in enumerate(("slow", "medium", "fast")):
            own = (result.task == task) & (result.stage == stage) & (result.n_couples == 1)
            if own.any():
                columns.append(f"{task_name}, {speed}")
                cells.append(found[np.ix_(own, shown)].mean(axis=0))
    names = [PARAMETERS[k].removesuffix(" 1") for k in shown]
    values = np.clip(np.array(cells).T, 0.0, 1.0)
    return map_figure(values, names, columns, "share of the prior's variance that is gone")


def unit_panel(result: CalibrationResult) -> Figure:
    """Both scores of the same posteriors in other units, and the calibrated score of new cases."""
    factors = np.array([1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3])
    scores = result.predictive.unit_scores
    score = np.sort(result.calibrated_score())
    even = 100.0 * (np.arange(len(score)) + 0.5) / len(score)
    return lines_figure(
        [
            {"reference's score": (np.log10(factors), scores[:, 1]),
             "reliability score": (np.log10(factors), scores[:, 0])},
            {"new clean cases": (score, even), "uniform": ([0, 100], [0, 100])},
        ],
        ["log10 of the factor on the current", "calibrated score"],
        ["mean score, 0 to 100", "share of cases below / %"],
    )  # fmt: skip


def finding(result: CalibrationResult) -> Markdown:
    """What the numbers of this run say, in words."""
    lines = []
    for name in CALIBRATED:
        found = result.log_gamma(name)
        rejected = [own for own, value in found.items() if value < 0]
        verdict = (
            f"the ranks of {' and '.join(rejected)} are rejected"
            if rejected
            else "no parameter's ranks are rejected"
        )
        lines.append(f"The {name} engine: {verdict} (lowest log gamma {_worst(found)[1]:+.2f}).")
    own, exact, reference = (
        result.case_error(name).mean() for name in (CORRECTED, EXACT, REFERENCE)
    )
    lines.append(
        f"The corrected engine's mean parameter error is {own / reference:.2f} times that of the "
        f"reference's posterior, {own:.2f} prior std; the exact engine, which relies on no "
        f"training, errs by {exact:.2f}."
        + (
            " What is left is mostly what one trace cannot tell."
            if abs(own - exact) <= _ALIKE * exact
            else " The difference is an engine's own."
        )
    )
    worst = {name: _farthest(result.coverage(name)) for name in CALIBRATED}
    lines.append(
        "Of 95 % intervals, those farthest from it hold the truth in "
        + " and ".join(
            f"{found.value:.0%} ({name} engine, {parameter}, {found.n} cases)"
            for name, (parameter, found) in worst.items()
        )
        + f"; {percent(result.unreached(EXACT))} of the truths are out of the exact engine's reach."
    )
    single = result.contraction(CORRECTED)[result.n_couples == 1]
    present = np.isfinite(single).any(axis=0)
    known = {PARAMETERS[k]: float(np.nanmean(single[:, k])) for k in np.flatnonzero(present)}
    best = max(known, key=lambda name: known[name])
    least = min(known, key=lambda name: known[name])
    lines.append(
        f"A single couple's trace tells most of {best.removesuffix(' 1')} (contraction "
        f"{known[best]:.2f}) and least of {least.removesuffix(' 1')} ({known[least]:.2f})."
    )
    return Markdown("\n\n".join(lines))


def power(n: int, width: float = 0.8, repetitions: int = 200) -> float:
    """Share of repetitions in which log gamma rejects posteriors of `width` times their std."""
    rng = np.random.default_rng(0)
    place = stats.norm.cdf(rng.standard_normal((repetitions, n)) / width)
    ranks = rng.binomial(N_RANKED, place)
    return float(np.mean([log_gamma(own, N_RANKED) < 0 for own in ranks]))


def power_words(result: CalibrationResult) -> Markdown:
    """What a test of this many cases can see."""
    counts = {_cases(result, CORRECTED, own) for own in result.log_gamma(CORRECTED)}
    seen = " and ".join(f"{power(n):.0%} ({n} cases)" for n in sorted({min(counts), max(counts)}))
    return Markdown(
        "Posteriors that are a fifth too narrow would be rejected by one parameter's ranks in "
        f"{seen} of repetitions (200 simulated ones); the parameters of a second couple have the "
        "fewest cases."
    )


def _cases(result: CalibrationResult, name: str, parameter: str) -> int:
    """Cases that have a parameter."""
    return int(result.present(name, PARAMETERS.index(parameter)).sum())


def claims(chapter: Chapter, result: CalibrationResult) -> tuple[Claim, ...]:
    """Every promised number of the chapter."""
    n = len(result.truth)
    corrected = result.engines[CORRECTED]
    found = []
    for name in CALIBRATED:
        found.append(
            _sbc(
                chapter,
                result,
                name,
                f"sbc-{name}",
                " over parameters",
                "; each parameter's own test errs once in twenty",
            )
        )
        coverage = result.coverage(name)
        counts = [own.n for own in coverage.values()]
        parameter, interval = _farthest(coverage)
        found.append(
            chapter.claim(
                f"coverage-{name}",
                f"Coverage of 95 % intervals, {name} engine, parameter farthest from 95 %.",
                interval.value,
                bound={"op": "within", "value": list(COVERAGE_BAND)},
                interval=(interval.low, interval.high),
                n=interval.n,
                note=f"Farthest for {parameter}. The band is one for 500 cases: calibrated "
                f"posteriors of as many as here would keep to it in {_chance(counts):.1%} of runs, "
                "were parameters independent.",
                figure=COVERAGE_FIGURE,
            )
        )
        found.append(
            chapter.claim(
                f"tarp-{name}",
                f"TARP p-value of the credibilities, {name} engine.",
                result.tarp_p_value(name),
                bound={"op": ">=", "value": 0.01},
                n=n,
            )
        )
        found += _together(chapter, result, name, 0.05 / len(counts))
    missed = result.unreached(EXACT)
    found.append(
        chapter.claim(
            "reach",
            f"Share of cases whose truth outweighs every draw by more than {FAR:g} nat, {EXACT} "
            "engine.",
            missed.value,
            bound={"op": "<=", "value": MOST_UNREACHED},
            interval=(missed.low, missed.high),
            n=missed.n,
            note="There a whole region of the posterior is missed.",
        )
    )
    efficiency = np.sort(corrected.efficiency)
    ratio = result.case_error(CORRECTED).mean() / result.case_error(REFERENCE).mean()
    gap = difference_interval(
        result.case_error(CORRECTED), result.case_error(REFERENCE) / 3, resamples=2000
    )
    shift = result.surrogate_shift
    found += [
        chapter.claim(
            "efficiency",
            "Median efficiency of the amortised draws before any adaptation.",
            float(np.median(efficiency)),
            bound={"op": ">=", "value": 0.10},
            interval=_median_limits(efficiency),
            n=n,
        ),
        chapter.claim(
            "error-ratio",
            "Mean parameter error of the corrected engine over the reference's.",
            float(ratio),
            bound={"op": "<=", "value": 1 / 3},
            n=n,
            note="A third of the reference's error is "
            f"{'' if gap.value > 0 else 'not '}below what these traces tell of the parameters.",
        ),
        chapter.claim(
            "evidence",
            "Median gap of log evidence between the corrected and the exact engine.",
            float(np.median(np.abs(corrected.log_evidence - result.engines[EXACT].log_evidence))),
            bound={"op": "<=", "value": 0.5},
            unit="nat",
            n=n,
        ),
        chapter.claim(
            "held-out",
            "Standardised chi-square of samples that the fit did not see, mean over cases.",
            float(result.predictive.held_out_z.mean()),
            bound={"op": "within", "value": [-3 / np.sqrt(n), 3 / np.sqrt(n)]},
            n=n,
        ),
        chapter.claim(
            "score-uniform",
            "Uniformity of the calibrated score on cases it was not fitted on, p-value.",
            result.score_p_value(),
            bound={"op": ">=", "value": 0.01},
            n=n // 2,
            figure=UNIT_FIGURE,
        ),
        chapter.claim(
            "surrogate-shift",
            "Median shift of a parameter, in posterior std, when the surrogate takes the "
            "simulator's place: one-couple cases of the largest group with one time grid.",
            float(np.median(shift)) if len(shift) else None,
            bound={"op": "<=", "value": 0.5},
            n=len(shift),
        ),
    ]
    return tuple(found)


def _sbc(
    chapter: Chapter,
    result: CalibrationResult,
    name: str,
    key: str,
    which: str,
    note: str = "",
    alpha: float = 0.05,
) -> Claim:
    """The lowest log gamma of an engine's ranks, each parameter tested at `alpha`."""
    parameter, lowest = _worst(result.log_gamma(name, alpha))
    return chapter.claim(
        key,
        f"Lowest log gamma of the ranks{which}, {name} engine.",
        lowest,
        bound={"op": ">=", "value": 0.0},
        n=_cases(result, name, parameter),
        note=f"Lowest for {parameter}{note}.",
        figure=RANKS_FIGURE,
    )


def _together(
    chapter: Chapter, result: CalibrationResult, name: str, alpha: float
) -> tuple[Claim, ...]:
    """Tests of all parameters at once, which calibrated posteriors fail once in twenty runs."""
    off = [k for k, own in result.coverage(name, alpha=alpha).items() if not own.contains(LEVEL)]
    return (
        _sbc(
            chapter,
            result,
            name,
            f"sbc-{name}-together",
            ", all parameters tested together",
            alpha=alpha,
        ),
        chapter.claim(
            f"coverage-{name}-together",
            "Parameters whose 95 % intervals are shown to hold another share of the truths, all "
            f"tested together, {name} engine.",
            len(off),
            bound={"op": "==", "value": 0},
            n=len(result.truth),
            note=f"{', '.join(off)}." if off else "",
            figure=COVERAGE_FIGURE,
        ),
    )


def _chance(counts: Sequence[int]) -> float:
    """That coverages of calibrated posteriors, of as many cases each, all keep to the band."""
    low, high = COVERAGE_BAND
    each = [stats.binom(n, LEVEL) for n in counts]
    inside = [
        own.cdf(np.floor(high * n)) - own.cdf(np.ceil(low * n) - 1)
        for own, n in zip(each, counts, strict=True)
    ]
    return float(np.prod(inside))


def speed_claims(chapter: Chapter, result: CalibrationResult) -> tuple[Claim, ...]:
    """How long the engines take, compilation left out."""
    return tuple(
        chapter.claim(
            f"seconds-{name}",
            f"Wall time of a case in a batch, {name} engine.",
            result.engines[name].seconds,
            bound={"op": "<=", "value": bound},
            unit="s",
            n=len(result.truth),
        )
        for name, bound in ((EXACT, 1.0), (CORRECTED, 0.05))
    )


def _rms(values: ArrayLike) -> float:
    kept = np.asarray(values, float)
    kept = kept[np.isfinite(kept)]
    return float(np.sqrt(np.mean(kept**2))) if len(kept) else float("nan")


def _or_dash(value: Any, form: str) -> str:
    return f"{value:{form}}" if np.isfinite(value) else "–"


def _worst(values: dict[str, float]) -> tuple[str, float]:
    name = min(values, key=lambda key: values[key])
    return name, values[name]


def _farthest(values: dict[str, Interval]) -> tuple[str, Interval]:
    name = max(values, key=lambda key: abs(values[key].value - LEVEL))
    return name, values[name]


def _median_limits(ordered: np.ndarray) -> tuple[float, float]:
    """Distribution-free 95 % limits of the median, from order statistics."""
    n = len(ordered)
    low = int(stats.binom.ppf(0.025, n, 0.5))
    return float(ordered[max(low - 1, 0)]), float(ordered[min(n - low, n - 1)])
