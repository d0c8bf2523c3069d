"""What a guardrail catches, and what passes it unseen.

Every trace is inferred once, by one engine with one set of settings. A part is a set of traces
that one fault made; parts are kept in files, so that a run that was killed goes on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ecguard import family
from ecguard.case_sets import CaseSet, CaseSetSettings, draw_case_sets
from ecguard.diagnostics import OUTSIDE, Familiarity, region_credibility
from ecguard.engines import case_keys
from ecguard.errors import InputError
from ecguard.guardrail import (
    BlindSpot,
    CertifiedGuardrail,
    CombinedScore,
    FittedGuardrail,
    ReferenceRule,
    ValidFor,
    Verdict,
    mostly_flagged,
    reference_grid_search,
)
from ecguard.intervals import Interval, excess_p_value, share
from ecguard.known_faults import FAULTS, any_fault
from ecguard.parts import digest_with, find, keep, place_of
from ecguard.posterior.amortised.artefacts import Amortised, fingerprint
from ecguard.posterior.corrected import summaries
from ecguard.posterior.likelihood import Observation
from ecguard.posterior.unknowns import prior_std
from ecguard.screening import DIAGNOSTICS, KNOWING, screen
from ecguard.simulator import Waveform
from ecguard.stress import ALL, Biofouling
from ecguard.stress.mode import FailureMode

LEVELS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.55, 0.75, 1.0)
"""Severities at which every mode is tried."""

MODES: dict[str, FailureMode] = {mode.name: mode() for mode in ALL}
CONFOUNDED = "confounded"
"""Stands for a mode where a part is made as the reference makes its stress split."""
_AT_ONCE = 500  # traces, or more, that are screened together
_FAMILIAR = 2000  # clean traces, of no case set, that the summary space is learnt from


@dataclass(frozen=True)
class DetectionSettings:
    """How much is tried.

    Args:
        sets: the three case sets.
        n_faulty: design cases of each mode, their severities in turn.
        n_cell: test cases of each mode and severity.
        n_control: test cases of the control for the simulator's path, and of full biofouling.
        alpha, delta: of the certificate.
    """

    sets: CaseSetSettings = field(default_factory=CaseSetSettings)
    n_faulty: int = 32
    n_cell: int = 36
    n_control: int = 200
    alpha: float = 0.05
    delta: float = 0.1

    def __post_init__(self) -> None:
        for name, most in (
            ("n_faulty", self.sets.n_design),
            ("n_cell", self.sets.n_test // len(LEVELS)),
            ("n_control", self.sets.n_test),
        ):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise InputError(name, value, f"1 to {most}", "Change it, or the case sets.")
        CertifiedGuardrail(self.alpha, self.delta).rank(self.sets.n_calibration)


@dataclass(frozen=True)
class Part:
    """Traces of one fault, and what was inferred from them.

    Attributes:
        case: row of each in its case set [n].
        severity: [n].
        current: as recorded, mA/cm^2 [n, L].
        diagnostics: [n, k].
        fault_evidence: ln evidence of each known fault [n, m].
        mean, low, high: of the posterior [n, d].
        credibility: share of the draws farther out than the truth [n].
        effective: effective draws [n].
        reliability_score, calibration_error: what the reference's rule reads [n].
        predicted_mean, predicted_std: mA/cm^2 [n, L].
    """

    case: NDArray[np.intp]
    severity: NDArray[np.float64]
    current: NDArray[np.float32]
    diagnostics: NDArray[np.float64]
    fault_evidence: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    credibility: NDArray[np.float64]
    effective: NDArray[np.float64]
    reliability_score: NDArray[np.float64]
    calibration_error: NDArray[np.float64]
    predicted_mean: NDArray[np.float32]
    predicted_std: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.case)

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Whether the true parameters lie outside the joint 95 % region [n]."""
        return self.credibility < OUTSIDE

    def take(self, rows: slice | NDArray[Any]) -> "Part":
        """Some of the traces."""
        return Part(**{name: values[rows] for name, values in vars(self).items()})


class Job(NamedTuple):
    """Traces to be screened.

    Args:
        name: of the part.
        of: case set.
        rows: of that set [n].
        mode: of `MODES`, or `CONFOUNDED`; empty for the clean traces.
        severity: [n].
    """

    name: str
    of: str
    rows: NDArray[np.intp]
    mode: str
    severity: NDArray[np.float64]

    @property
    def traces(self) -> bytes:
        """Which ones they are, of the set and the mode."""
        return self.rows.tobytes() + self.severity.tobytes()


@dataclass(frozen=True)
class Bench:
    """Case sets, engine and folder of a study.

    Attributes:
        settings: of the study.
        amortised: the trained density.
        sets: by name.
        familiarity: of clean traces.
        folder: of the parts that are done; None keeps none.
        digest: of all that a part depends on but its name, its rows and their severities.
    """

    settings: DetectionSettings
    amortised: Amortised
    sets: dict[str, CaseSet]
    familiarity: Familiarity
    folder: Path | None
    digest: str

    def parts(self, jobs: Iterable[Job]) -> Iterator[tuple[str, Part]]:
        """Names and parts of jobs; those that are not kept yet are screened together.

        A trace is inferred alike whatever stands beside it; many at once waste less.
        """
        for some in _together(jobs):
            paths = [place_of(self.folder, job.name, self.digest, job.traces) for job in some]
            known = [find(path, Part) for path in paths]
            new = self._screen([some[k] for k, part in enumerate(known) if part is None])
            for job, path, part in zip(some, paths, known, strict=True):
                yield job.name, keep(path, next(new)) if part is None else part

    def _current(self, job: Job) -> NDArray[np.float32]:
        """What is recorded, mA/cm^2 [n, L]."""
        own = self.sets[job.of].take(job.rows)
        if not job.mode:
            return np.asarray(own.group.observation.current)
        if job.mode == CONFOUNDED:
            return confounded(own, job.severity)
        return MODES[job.mode].observe(own.experiment, job.severity, own.group.current)

    def _screen(self, jobs: Sequence[Job]) -> Iterator[Part]:
        """Parts of jobs, of which there may be none."""
        if not jobs:
            return iter(())
        groups = [self.sets[job.of].group.take(job.rows) for job in jobs]
        names = Observation._fields
        together = Observation(
            *(np.concatenate([getattr(g.observation, name) for g in groups]) for name in names)
        )
        task, case, unknowns = (
            np.concatenate([getattr(group, name) for group in groups])
            for name in ("task", "case", "unknowns")
        )
        current = np.concatenate([self._current(job) for job in jobs])
        found = screen(
            self.amortised,
            self.familiarity,
            together._replace(current=current),
            task,
            1,
            case_keys(self.settings.sets.seed, case),
        )
        couple = slice(0, 7)
        every = Part(
            case=np.concatenate([job.rows for job in jobs]),
            severity=np.concatenate([job.severity for job in jobs]),
            current=current,
            diagnostics=found.diagnostics,
            fault_evidence=found.fault_evidence,
            mean=found.mean,
            low=found.low,
            high=found.high,
            credibility=region_credibility(
                found.draws[:, :, couple], unknowns[:, couple].astype(np.float64)
            ),
            effective=found.effective,
            reliability_score=found.reliability_score,
            calibration_error=found.calibration_error,
            predicted_mean=found.predicted_mean,
            predicted_std=found.predicted_std,
        )
        ends = np.cumsum([len(job.rows) for job in jobs])
        return (
            every.take(slice(end - len(job.rows), end)) for job, end in zip(jobs, ends, strict=True)
        )


def _together(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    """Jobs, as many at once as have `_AT_ONCE` traces or more."""
    some: list[Job] = []
    for job in jobs:
        some.append(job)
        if sum(len(own.rows) for own in some) >= _AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def confounded(cases: CaseSet, severity: NDArray[np.float64]) -> NDArray[np.float32]:
    """Traces as the reference makes its stress split, with fouling of a severity.

    Every trace lasts 8 s whatever its waveform says, and current in mA takes the place of its
    density: neither has anything to do with fouling.
    """
    experiment = cases.experiment
    time = np.asarray(experiment.waveform.t_s)
    stretched = Waveform(8.0 * experiment.elapsed + time[:, :1], experiment.waveform.E_V)
    current = experiment.simulate(
        stretched, experiment.couples, experiment.cell, Biofouling().fouling(severity)
    )
    return experiment.measure(family.AREA_CM2 * current).astype(np.float32)


@dataclass(frozen=True)
class DetectionResult:
    """All parts, and the guardrail fitted on two of the case sets.

    Attributes:
        settings: of the study.
        bench: what the parts were made with.
        clean: clean traces of each set, by its name.
        faulty: design traces that the score was learnt from, by mode.
        tested: test traces by mode, `n_cell` at each of `LEVELS` in their order.
        control: test traces through the path of the stress with fouling off.
        fouled: the same cases, fouled as the reference has it.
        confounded_fouled, confounded_control: the same two, made as the reference makes them.
        guardrail: fitted.
        reference: the reference's rule, fitted on the design set, clean and fouled at severity 1.
    """

    settings: DetectionSettings
    bench: Bench = field(repr=False)
    clean: dict[str, Part] = field(repr=False)
    faulty: dict[str, Part] = field(repr=False)
    tested: dict[str, Part] = field(repr=False)
    control: Part = field(repr=False)
    fouled: Part = field(repr=False)
    confounded_fouled: Part = field(repr=False)
    confounded_control: Part = field(repr=False)
    guardrail: FittedGuardrail
    reference: ReferenceRule

    def judge(self, part: Part) -> Verdict:
        """The guardrail's verdict on the traces of a part."""
        return self.guardrail.judge(part.diagnostics)

    def cell(self, mode: str, level: int) -> Part:
        """Test traces of a mode at `LEVELS[level]`."""
        n = self.settings.n_cell
        return self.tested[mode].take(slice(level * n, (level + 1) * n))

    def power(self, part: Part) -> Interval:
        """Share of the traces that the guardrail flags."""
        flagged = self.judge(part).flagged
        return share(int(flagged.sum()), len(flagged))

    def coverage(self, part: Part) -> Interval:
        """Share of the traces whose true parameters lie in the joint 95 % region."""
        return share(int((~part.wrong).sum()), len(part))

    def silent(self, part: Part) -> Interval:
        """Share of the traces that are accepted, and wrong."""
        missed = part.wrong & ~self.judge(part).flagged
        return share(int(missed.sum()), len(part))

    def bias(self, part: Part) -> NDArray[np.float64]:
        """Posterior mean less truth in units of the prior's std [n, d]."""
        truth = self.bench.sets["test"].group.unknowns[part.case]
        return np.asarray((part.mean - truth) / prior_std(1))

    def equal_flags(self, part: Part) -> NDArray[np.bool_]:
        """Flags of each diagnostic alone and of the combined score, last [n, k + 1].

        Thresholds are such that each flags a share `alpha` of the clean calibration and test
        traces: certified ones have one rate on average, but not each its own.
        """
        return self._equal_flags(
            part, lambda own: np.column_stack([own.diagnostics, -self.judge(own).score])
        )

    def unknown_flags(self, mode: str) -> NDArray[np.bool_]:
        """Flags of a mode's test traces by a combined score that never met the mode [n].

        It is learnt from the other modes, and the mode is not among the known faults.
        """
        others = np.array([fault.name != mode for fault in FAULTS])

        def diagnostics(part: Part) -> NDArray[np.float64]:
            found = part.diagnostics.copy()
            found[:, list(DIAGNOSTICS).index(KNOWING)] = any_fault(part.fault_evidence[:, others])
            return found

        faulty = [diagnostics(part) for name, part in self.faulty.items() if name != mode]
        score = CombinedScore.fit(
            tuple(DIAGNOSTICS), diagnostics(self.clean["design"]), np.concatenate(faulty)
        )
        found = self._equal_flags(self.tested[mode], lambda own: -score(diagnostics(own))[:, None])
        return np.asarray(found[:, 0])

    def _equal_flags(
        self, part: Part, suspicion: Callable[[Part], NDArray[np.float64]]
    ) -> NDArray[np.bool_]:
        clean = np.concatenate([suspicion(self.clean[name]) for name in ("calibration", "test")])
        most = int(self.settings.alpha * len(clean))
        threshold = -np.sort(-clean, axis=0)[most]
        return np.asarray(suspicion(part) > threshold)

    def beats(self, mode: str, unknown: bool = False) -> NDArray[np.float64]:
        """P-values that the combined score flags more of a mode than each diagnostic [k].

        Args:
            mode: of the test traces.
            unknown: whether to take a combined score that never met the mode.
        """
        *singles, combined = self.equal_flags(self.tested[mode]).T
        own = self.unknown_flags(mode) if unknown else combined
        return np.array([excess_p_value(own, single) for single in singles])

    def reference_flags(self, part: Part) -> NDArray[np.bool_]:
        """Flags of the reference's rule [n]."""
        return self.reference.flags(part.reliability_score, part.calibration_error)

    def undetectable(self, mode: str) -> NDArray[np.bool_]:
        """Levels whose traces do not show that more than half of such are flagged [levels]."""
        cells = [self.power(self.cell(mode, level)) for level in range(len(LEVELS))]
        return np.array([not mostly_flagged(found) for found in cells])

    def blind_spots(self) -> tuple[BlindSpot, ...]:
        """What the guardrail does not see of the modes that were tried."""
        found = []
        for name in self.tested:
            mode, unseen = MODES[name], self.undetectable(name)
            sizes = tuple(mode.full * level for level in np.array(LEVELS)[unseen].tolist())
            if sizes:
                flagged = self.power(self.cell(name, len(LEVELS) - 1)).value
                found.append(BlindSpot(mode.title, sizes, mode.unit, flagged))
        return tuple(found)

    def maybe_silent(self, mode: str, limit: float = 0.10) -> NDArray[np.bool_]:
        """Levels at which more silent failures than `limit` cannot be excluded [levels]."""
        cells = [self.silent(self.cell(mode, level)) for level in range(len(LEVELS))]
        return np.array([found.high > limit for found in cells])

    def detection_limit(self, mode: str, power: float = 0.9) -> float | None:
        """Lowest level from which on the guardrail flags at least `power` of the traces."""
        found = [self.power(self.cell(mode, level)).value for level in range(len(LEVELS))]
        enough = np.array(found) >= power
        if not enough[-1]:
            return None
        below = np.flatnonzero(~enough)
        return LEVELS[below[-1] + 1] if len(below) else LEVELS[0]


def run_detection(
    settings: DetectionSettings, amortised: Amortised, folder: Path | None, digest: str
) -> DetectionResult:
    """Draw the case sets, screen every part, fit the guardrail.

    Args:
        settings: of the study.
        amortised: the trained density.
        folder: where parts that are done are kept; None keeps none.
        digest: of the code and checkpoint that parts depend on.

    Raises:
        InputError: too few calibration cases for a certificate.
    """
    sets = draw_case_sets(settings.sets)
    bench = Bench(
        settings, amortised, sets, _familiarity(settings.sets, amortised), folder,
        digest_with(digest, settings.sets),
    )  # fmt: skip
    jobs = list(_jobs(settings))
    parts = {}
    with tqdm(total=sum(len(job.rows) for job in jobs), unit="trace") as bar:
        for name, part in bench.parts(jobs):
            parts[name] = part
            bar.update(len(part))
    clean = {name: parts[name] for name in sets}
    faulty = {mode: parts[f"design-{mode}"] for mode in MODES}
    score = CombinedScore.fit(
        tuple(DIAGNOSTICS),
        clean["design"].diagnostics,
        np.concatenate([part.diagnostics for part in faulty.values()]),
    )
    seen = sets["calibration"].group.observation
    guardrail = FittedGuardrail.fit(
        score,
        clean["calibration"].diagnostics,
        bench.familiarity,
        ValidFor.around(
            settings.sets.task,
            seen.time_s,
            seen.E_V,
            seen.current,
            seen.observed,
            settings.sets.noise_std,
            fingerprint(amortised),
        ),
        CertifiedGuardrail(settings.alpha, settings.delta),
    )
    pair = [clean["design"], parts["design-fouled"]]
    result = DetectionResult(
        settings=settings,
        bench=bench,
        clean=clean,
        faulty=faulty,
        tested={mode: parts[f"test-{mode}"] for mode in MODES},
        control=parts["control"],
        fouled=parts["fouled"],
        confounded_fouled=parts["confounded-fouled"],
        confounded_control=parts["confounded-control"],
        guardrail=guardrail,
        reference=reference_grid_search(
            np.concatenate([part.reliability_score for part in pair]),
            np.concatenate([part.calibration_error for part in pair]),
            np.repeat([False, True], [len(part) for part in pair]),
        ),
    )
    knowing = replace(guardrail, undetectable=result.blind_spots())
    return replace(result, guardrail=knowing)


def _jobs(settings: DetectionSettings) -> Iterator[Job]:
    """Every part."""
    sizes, levels = settings.sets, np.array(LEVELS)
    for name in ("design", "calibration", "test"):
        n = getattr(sizes, f"n_{name}")
        yield Job(name, name, np.arange(n), "", np.zeros(n))
    rows = np.arange(settings.n_control)
    never, full = np.zeros(len(rows)), np.ones(len(rows))
    yield Job("control", "test", rows, Biofouling.name, never)
    yield Job("fouled", "test", rows, Biofouling.name, full)
    yield Job("confounded-control", "test", rows, CONFOUNDED, never)
    yield Job("confounded-fouled", "test", rows, CONFOUNDED, full)
    rows = np.arange(sizes.n_design)
    yield Job("design-fouled", "design", rows, Biofouling.name, np.ones(len(rows)))
    for number, mode in enumerate(MODES):
        start = number * settings.n_faulty
        rows = (start + np.arange(settings.n_faulty)) % sizes.n_design
        yield Job(
            f"design-{mode}", "design", rows, mode, levels[np.arange(len(rows)) % len(levels)]
        )
    for mode in MODES:
        rows = np.arange(settings.n_cell * len(levels))
        yield Job(f"test-{mode}", "test", rows, mode, np.repeat(levels, settings.n_cell))


def _familiarity(settings: CaseSetSettings, amortised: Amortised) -> Familiarity:
    """The summary space of clean traces that are in no case set."""
    more = replace(settings, n_design=_FAMILIAR, n_calibration=2, n_test=2, seed=settings.seed + 1)
    group = draw_case_sets(more)["design"].group
    return Familiarity.fit(summaries(amortised, group.observation, group.task, 1))
