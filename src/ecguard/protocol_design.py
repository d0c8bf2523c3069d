"""Which measurement to add: candidates rated on design cases, the chosen ones tried on test cases.

Rating needs no noise: it takes the misfit that the closest clean electrode leaves. A protocol is
tried as a guardrail is: score from the design set, threshold from the calibration set, everything
reported on the test set. Ratings and trials are kept in files, so that a killed run goes on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ecguard.case_sets import NAMES, CaseSet, CaseSetSettings, draw_all, part
from ecguard.engines import case_keys
from ecguard.errors import InputError
from ecguard.fouling import Fouling
from ecguard.guardrail import (
    BlindSpot,
    CertifiedGuardrail,
    CertifiedThreshold,
    CombinedScore,
    FittedGuardrail,
    ValidFor,
    flag_rate,
    mostly_flagged,
)
from ecguard.intervals import Interval
from ecguard.parts import digest_with, kept
from ecguard.posterior.amortised.artefacts import Amortised, fingerprint
from ecguard.protocol import CANDIDATES, DEFAULT, Protocol, Refit, Worth, observe, refit, worth
from ecguard.protocol.inference import diagnostic_names
from ecguard.protocol.measured import in_words
from ecguard.protocol.trial import Trial, run_trial
from ecguard.protocol.tuning import Tuned, tune
from ecguard.stress import Biofouling

LEVELS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.55, 0.75, 1.0)
"""Severities at which protocols are tried."""

RATED = (0.05, 0.1, 0.35, 1.0)
"""Severities at which candidates are rated."""

ALIKE = 0.01
"""Difference of mean powers below which candidates count as equally able to show fouling."""
TUNED: dict[str, float] = {"fast-scan": 1.0, "tone-1000": 2.0, "pulse": 2.0}
"""Candidates whose last step is tuned, and the factor that its size may change by."""
NO_RESISTANCE = Biofouling(film=Fouling(initial_theta=Biofouling.full, Rfilm_theta_max_ohm=0.0))

_AT_ONCE = 2  # half of the time is compilation on one core
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class ProtocolDesignSettings:
    """How much is tried.

    Args:
        sets: the three case sets.
        n_rated: design cases on which candidates are rated.
        n_tuned: design cases on which steps are tuned; as many test cases confirm it, if there are.
        n_cell: test cases of each severity.
        alpha, delta: of the certificate.
    """

    sets: CaseSetSettings = field(default_factory=CaseSetSettings)
    n_rated: int = 50
    n_tuned: int = 12
    n_cell: int = 36
    alpha: float = 0.05
    delta: float = 0.1

    def __post_init__(self) -> None:
        for name, most in (
            ("n_rated", self.sets.n_design),
            ("n_tuned", self.sets.n_design),
            ("n_cell", self.sets.n_test),
        ):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise InputError(name, value, f"1 to {most}", "Change it, or the case sets.")
        CertifiedGuardrail(self.alpha, self.delta).rank(self.sets.n_calibration)


@dataclass(frozen=True)
class Bench:
    """What trials are made with.

    Attributes:
        settings: of the study.
        amortised: the trained density.
        whole: the cases of all sets.
        sets: by name.
        folder: of what is done; None keeps nothing.
        digest: of all that a result depends on but its own inputs.
    """

    settings: ProtocolDesignSettings
    amortised: Amortised
    whole: CaseSet
    sets: dict[str, CaseSet]
    folder: Path | None
    digest: str

    @property
    def rated(self) -> CaseSet:
        """Design cases on which protocols are rated."""
        return self.sets["design"].take(np.arange(self.settings.n_rated))

    def rate(self, protocol: Protocol) -> Worth:
        """Rate a protocol on design cases."""
        inputs = repr((protocol, RATED, self.settings.n_rated)).encode()
        return kept(
            self.folder, f"worth-{protocol.name}", self.digest, inputs, Worth,
            lambda: worth(protocol, self.rated, RATED),
        )  # fmt: skip

    def rate_refit(self, protocol: Protocol) -> Refit:
        """Rate what a refit would tell, on design cases."""
        inputs = repr((protocol, self.settings.n_rated)).encode()
        return kept(
            self.folder, f"refit-{protocol.name}", self.digest, inputs, Refit,
            lambda: refit(protocol, self.rated),
        )  # fmt: skip

    def trials(
        self,
        protocol: Protocol,
        jobs: "Sequence[Job]",
        fouled: bool = False,
        mode: Biofouling | None = None,
    ) -> dict[str, Trial]:
        """Try a protocol on all jobs at once, see `run_trial`."""
        first = {name: own.group.case[0] for name, own in self.sets.items()}
        rows = np.concatenate([first[job.of] + job.rows for job in jobs])
        severity = np.concatenate(
            [np.broadcast_to(np.asarray(job.severity, np.float64), len(job.rows)) for job in jobs]
        )
        what = (protocol, rows.tolist(), severity.tolist(), fouled, mode)
        cases = self.whole.take(rows)
        keys = case_keys(self.settings.sets.seed, cases.group.case)
        name = f"trial-{protocol.name}-{jobs[0].name}{'-film' * fouled}"
        found = kept(
            self.folder, name, self.digest, repr(what).encode(), Trial,
            lambda: run_trial(protocol, cases, severity, self.amortised, keys, fouled, mode),
        )  # fmt: skip
        ends = np.cumsum([0, *(len(job.rows) for job in jobs)])
        return {
            job.name: found.take(slice(start, stop))
            for job, start, stop in zip(jobs, ends[:-1], ends[1:], strict=True)
        }

    def tuned(self, name: str, most_size: float) -> Tuned:
        """Where the gradient leads from a candidate, and whether test electrodes confirm it."""
        rows = np.arange(self.settings.n_tuned)
        others = rows[: self.settings.sets.n_test]
        what = (rows, RATED[1:3], most_size)
        return kept(
            self.folder, f"tuned-{name}", self.digest, repr(what).encode(), Tuned,
            lambda: tune(
                CANDIDATES[name],
                self.sets["design"].take(rows),
                RATED[1:3],
                most_size=most_size,
                others=self.sets["test"].take(others),
            ),
        )  # fmt: skip


class Job(NamedTuple):
    """What a trial is made on: its name, case set, rows of it, and severities."""

    name: str
    of: str
    rows: NDArray[np.intp]
    severity: NDArray[np.float64] | float


@dataclass(frozen=True)
class Tried:
    """A protocol as it was tried.

    Attributes:
        protocol: what was measured.
        clean: clean electrodes of each case set, by its name.
        faulty: fouled electrodes of the design set, `LEVELS` in turn.
        control: test electrodes through the path of the stress, fouling off.
        fouled: the same, at severity 1.
        tested: test electrodes, `n_cell` at each of `LEVELS` in their order.
        score: of some or all of the diagnostics, learnt on the design set.
        threshold: of the score, from the calibration set.
        conflict: threshold of minus the conflict between steps; None with one step.
    """

    protocol: Protocol
    clean: dict[str, Trial] = field(repr=False)
    faulty: Trial = field(repr=False)
    control: Trial = field(repr=False)
    fouled: Trial = field(repr=False)
    tested: Trial = field(repr=False)
    score: CombinedScore
    threshold: CertifiedThreshold
    conflict: CertifiedThreshold | None

    @classmethod
    def fit(
        cls,
        protocol: Protocol,
        trials: Mapping[str, Trial],
        rule: CertifiedGuardrail,
        without: tuple[str, ...] = (),
    ) -> "Tried":
        """Learn the score on the design set, put thresholds on the calibration set.

        Args:
            protocol: what was measured.
            trials: of `jobs_of`, by name.
            rule: of the thresholds.
            without: diagnostics that the score is to do without.

        Raises:
            InputError: too few calibration cases for a certificate.
        """
        clean = {name: trials[name] for name in NAMES}
        names = tuple(name for name in diagnostic_names(protocol) if name not in without)
        score = CombinedScore.fit(
            names, *(_seen(protocol, names, own) for own in (clean["design"], trials["faulty"]))
        )
        calibration = clean["calibration"]
        return cls(
            protocol=protocol,
            clean=clean,
            faulty=trials["faulty"],
            control=trials["control"],
            fouled=trials["fouled"],
            tested=trials["tested"],
            score=score,
            threshold=rule.fit(score(_seen(protocol, names, calibration))),
            conflict=rule.fit(-calibration.diagnostics[:, -1]) if len(protocol.steps) > 1 else None,
        )

    def of(self, job: str) -> Trial:
        """What was found on a job of `jobs_of`, by its name."""
        parts = {"faulty": self.faulty, "control": self.control, "fouled": self.fouled}
        return {**self.clean, **parts, "tested": self.tested}[job]

    def without(self, *names: str) -> "Tried":
        """The same trials, with a score that does without some diagnostics."""
        jobs = (*NAMES, "faulty", "control", "fouled", "tested")
        rule = CertifiedGuardrail(self.threshold.alpha, self.threshold.delta)
        return Tried.fit(self.protocol, {job: self.of(job) for job in jobs}, rule, names)

    def scores(self, trial: Trial) -> NDArray[np.float64]:
        """Certified score of each electrode [n]."""
        return self.score(_seen(self.protocol, self.score.names, trial))

    def flags(self, trial: Trial) -> NDArray[np.bool_]:
        """Whether the certified score flags each electrode [n]."""
        return self.threshold.flags(self.scores(trial))

    def conflict_flags(self, trial: Trial) -> NDArray[np.bool_]:
        """Whether the conflict between steps alone flags each electrode [n].

        Raises:
            InputError: there is one step only.
        """
        if self.conflict is None:
            raise InputError("protocol", self.protocol.name, "two steps or more", "Add a step.")
        return self.conflict.flags(-trial.diagnostics[:, -1])

    def power(self, trial: Trial) -> Interval:
        """Share of the electrodes that the certified score flags."""
        return flag_rate(self.flags(trial))

    def at(self, level: int) -> Trial:
        """Test electrodes at `LEVELS[level]`."""
        return level_of(self.tested, level)

    def powers(self) -> list[Interval]:
        """At each of `LEVELS`."""
        return [self.power(self.at(level)) for level in range(len(LEVELS))]

    def undetectable(self) -> tuple[float, ...]:
        """Coverages whose cases do not show that more than half of such are flagged."""
        pairs = zip(LEVELS, self.powers(), strict=True)
        return tuple(Biofouling.full * level for level, own in pairs if not mostly_flagged(own))


def _seen(protocol: Protocol, names: tuple[str, ...], trial: Trial) -> NDArray[np.float64]:
    """Diagnostics of these names [n, k]."""
    every = diagnostic_names(protocol)
    return np.ascontiguousarray(trial.diagnostics[:, [every.index(name) for name in names]])


@dataclass(frozen=True)
class ProtocolDesign:
    """Ratings, the protocols chosen by them, and their trials.

    Attributes:
        settings: of the study.
        bench: what was used.
        rated: candidates by name.
        refits: what a refit would tell, for those whose power is about the largest.
        designed: name of the one of these whose refit tells most.
        informative: name of the one that tells most of a clean electrode.
        tried: the default and the two chosen ones.
        no_resistance: the designed protocol on a film that has no resistance, as `Tried.tested`.
        tuned: by name of the candidate.
    """

    settings: ProtocolDesignSettings
    bench: Bench = field(repr=False)
    rated: dict[str, Worth] = field(repr=False)
    refits: dict[str, Refit] = field(repr=False)
    designed: str
    informative: str
    tried: dict[str, Tried] = field(repr=False)
    no_resistance: Trial = field(repr=False)
    tuned: dict[str, Tuned] = field(repr=False)

    @property
    def default_trial(self) -> Tried:
        """One voltammogram."""
        return self.tried[DEFAULT.name]

    @property
    def designed_trial(self) -> Tried:
        """Of the protocols of about the largest power, the one whose refit tells most."""
        return self.tried[self.designed]

    def guardrail(self) -> FittedGuardrail:
        """For electrodes that are measured by the designed protocol."""
        settings, cases = self.settings, self.bench.sets["calibration"]
        sets, tried = settings.sets, self.designed_trial
        alone = replace(tried.protocol, steps=tried.protocol.steps[:1])
        (first,) = observe(alone, cases, [cases.group.current])
        found = FittedGuardrail.fit(
            tried.score,
            tried.clean["calibration"].diagnostics,
            None,
            ValidFor.around(
                sets.task, first.time_s, first.E_V, first.current, first.observed,
                sets.noise_std, fingerprint(self.bench.amortised), in_words(tried.protocol),
            ),
            CertifiedGuardrail(settings.alpha, settings.delta),
        )  # fmt: skip
        if not (unseen := tried.undetectable()):
            return found
        flagged = tried.powers()[-1].value
        spot = BlindSpot(Biofouling.title, unseen, Biofouling.unit, flagged)
        return replace(found, undetectable=(spot,))


def detection_limit(powers: list[Interval], power: float = 0.9) -> float | None:
    """Coverage from which on at least `power` of the electrodes are caught; None above all levels.

    Between two levels it is where the straight line in the log of the coverage crosses `power`.
    """
    return limit_of(np.array([found.value for found in powers]), power)


def limit_of(values: NDArray[np.float64], power: float = 0.9) -> float | None:
    """The same, of the shares that are caught at each of `LEVELS`."""
    enough = values >= power
    if not enough[-1]:
        return None
    below = np.flatnonzero(~enough)
    if not len(below):
        return LEVELS[0] * Biofouling.full
    low, high = below[-1], below[-1] + 1
    place = (power - values[low]) / (values[high] - values[low])
    ends = np.log([LEVELS[low], LEVELS[high]])
    return float(np.exp(ends[0] + place * (ends[1] - ends[0])) * Biofouling.full)


def level_of(trial: Trial, level: int) -> Trial:
    """Electrodes of one of `LEVELS`, where a trial holds all of them in their order."""
    n = len(trial) // len(LEVELS)
    return trial.take(slice(level * n, (level + 1) * n))


def run_protocol_design(
    settings: ProtocolDesignSettings, amortised: Amortised, folder: Path | None, digest: str
) -> ProtocolDesign:
    """Rate the candidates, choose, and try the chosen ones.

    Args:
        settings: of the study.
        amortised: the trained density.
        folder: where results that are done are kept; None keeps none.
        digest: of the code and checkpoint that results depend on.

    Raises:
        InputError: too few calibration cases for a certificate, or not voltammograms.
    """
    if settings.sets.task != "cv":
        raise InputError("task", settings.sets.task, "cv", "Protocols start with a voltammogram.")
    whole = draw_all(settings.sets)
    bench = Bench(
        settings, amortised, whole, part(whole, settings.sets), folder,
        digest_with(digest, settings.sets),
    )  # fmt: skip
    rated = _side_by_side(lambda name: bench.rate(CANDIDATES[name]), CANDIDATES, "candidate")
    power = {name: float(own.power.mean()) for name, own in rated.items()}
    able = [name for name in rated if power[name] > max(power.values()) - ALIKE]
    refits = _side_by_side(lambda name: bench.rate_refit(CANDIDATES[name]), able, "refit rated")
    designed, informative = most_information(refits), most_information(rated)
    jobs, tried = jobs_of(settings), {}
    rule = CertifiedGuardrail(settings.alpha, settings.delta)
    chosen = dict.fromkeys((DEFAULT.name, informative, designed))
    for name in tqdm(chosen, unit="protocol tried"):
        tried[name] = Tried.fit(CANDIDATES[name], bench.trials(CANDIDATES[name], jobs), rule)
    last = jobs[-1]._replace(name="no-resistance")
    bare = bench.trials(CANDIDATES[designed], [last], mode=NO_RESISTANCE)[last.name]
    return ProtocolDesign(
        settings=settings,
        bench=bench,
        rated=rated,
        refits=refits,
        designed=designed,
        informative=informative,
        tried=tried,
        no_resistance=bare,
        tuned=_side_by_side(lambda name: bench.tuned(name, TUNED[name]), TUNED, "step tuned"),
    )


def _side_by_side(
    job: Callable[[str], _Found], names: Iterable[str], unit: str
) -> dict[str, _Found]:
    """What a job finds for each name, some at once."""
    every = list(names)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        found = tqdm(threads.map(job, every), total=len(every), unit=unit)
        return dict(zip(every, found, strict=True))


def most_information(rated: Mapping[str, Worth] | Mapping[str, Refit]) -> str:
    """Name of the one that tells most of the couple on average."""
    return max(rated, key=lambda name: float(rated[name].information.mean()))


def jobs_of(settings: ProtocolDesignSettings) -> list[Job]:
    """The trials of a protocol."""
    sizes, levels = settings.sets, np.array(LEVELS)
    clean = [Job(name, name, np.arange(getattr(sizes, f"n_{name}")), np.nan) for name in NAMES]
    design, test = np.arange(sizes.n_design), np.arange(sizes.n_test)
    each = np.arange(settings.n_cell * len(levels))
    return [
        *clean,
        Job("faulty", "design", design, levels[design % len(levels)]),
        Job("control", "test", test, 0.0),
        Job("fouled", "test", test, 1.0),
        Job("tested", "test", each % sizes.n_test, np.repeat(levels, settings.n_cell)),
    ]
