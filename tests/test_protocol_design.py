"""Which protocol is chosen and how it is tried: on planted results, faked trials and a real run."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from ecguard import escalation, protocol_design
from ecguard.case_sets import CaseSetSettings
from ecguard.engines import case_keys
from ecguard.errors import InputError
from ecguard.escalation import Escalation, run_escalation
from ecguard.fouling import Fouling
from ecguard.guardrail import CertifiedGuardrail
from ecguard.intervals import Interval
from ecguard.posterior import fouled, laplace
from ecguard.posterior.amortised.artefacts import load_amortised
from ecguard.protocol import CANDIDATES, DEFAULT, Protocol, Refit, Worth
from ecguard.protocol import protocol as protocols
from ecguard.protocol.inference import diagnostic_names
from ecguard.protocol.trial import Trial
from ecguard.protocol.tuning import Tuned
from ecguard.protocol_design import (
    LEVELS,
    NO_RESISTANCE,
    RATED,
    TUNED,
    Bench,
    ProtocolDesign,
    ProtocolDesignSettings,
    Tried,
    detection_limit,
    jobs_of,
    level_of,
    most_information,
    run_protocol_design,
)
from ecguard.stress import Biofouling
from toy_protocols import (
    CLEAN_MODEL,
    DESIGNED,
    FILM_MODEL,
    INFORMATIVE,
    N_CELL,
    ONSETS,
    REFITS,
    RIVAL,
    SETTINGS,
    case_sets,
    design_of,
    diagnostics,
    powers_of,
    rating,
    shift,
    trial,
    whole,
)

N_LEVELS = len(LEVELS)
FULL = Biofouling.full
JOBS = ["design", "calibration", "test", "faulty", "control", "fouled", "tested"]


@pytest.fixture(scope="module")
def toy() -> ProtocolDesign:
    return design_of()


@pytest.fixture(scope="module")
def blind() -> ProtocolDesign:
    return design_of(blind=True)


def shares(values: list[float]) -> list[Interval]:
    return [Interval(value, value, value, 10) for value in values]


# What follows from powers


def test_no_limit_where_full_severity_is_missed() -> None:
    assert detection_limit(shares([0.0] * N_LEVELS)) is None
    assert detection_limit(shares([1.0] * (N_LEVELS - 1) + [0.899])) is None


def test_limit_is_the_lowest_level_where_all_are_caught() -> None:
    assert detection_limit(shares([0.9] * N_LEVELS)) == pytest.approx(0.001 * 0.78)


@pytest.mark.parametrize(
    ("values", "power", "limit"),
    [
        # from 0.5 at 0.05 to 1 at 0.1: 0.9 is four fifths of the way
        ([0.0] * 5 + [0.5] + [1.0] * 6, 0.9, 0.78 * 0.05 * 2**0.8),
        ([0.0] * 5 + [0.5] + [1.0] * 6, 0.6, 0.78 * 0.05 * 2**0.2),
        ([0.0] * 5 + [0.5] + [1.0] * 6, 0.5, 0.78 * 0.02 * 2.5),
        # just reached
        ([0.3] * 11 + [0.9], 0.9, 0.78),
        # what is missed again counts from there on
        ([1.0] * 8 + [0.8] + [1.0] * 3, 0.9, 0.78 * 0.35 * (0.55 / 0.35) ** 0.5),
        ([0.0] + [1.0] * 11, 0.9, 0.78 * 0.001 * 2**0.9),
    ],
)
def test_limit_lies_between_levels_on_the_log_of_the_coverage(
    values: list[float], power: float, limit: float
) -> None:
    assert detection_limit(shares(values), power) == pytest.approx(limit)


def test_most_information_is_that_of_the_mean() -> None:
    rated = {"weak": rating(1.0, 0.5, 12.4), "told": rating(1e3, 0.1, 12.402)}
    assert most_information(rated) == "told"
    assert most_information(dict(reversed(rated.items()))) == "told"
    refits = {"one": Refit(np.array([1.0, 9.0])), "two": Refit(np.full(2, 4.0))}
    assert most_information(refits) == "one"


def test_chosen_ones_are_the_best(toy: ProtocolDesign) -> None:
    assert toy.designed == most_information(toy.refits) == DESIGNED
    assert toy.informative == most_information(toy.rated) == INFORMATIVE


# Jobs


def test_jobs_have_their_sizes_and_severities() -> None:
    jobs = {job.name: job for job in jobs_of(SETTINGS)}
    assert list(jobs) == JOBS
    assert {name: job.of for name, job in jobs.items()} == {
        "design": "design", "calibration": "calibration", "test": "test", "faulty": "design",
        "control": "test", "fouled": "test", "tested": "test",
    }  # fmt: skip
    assert {name: len(job.rows) for name, job in jobs.items()} == {
        "design": 120, "calibration": 100, "test": 100, "faulty": 120, "control": 100,
        "fouled": 100, "tested": N_CELL * N_LEVELS,
    }  # fmt: skip
    for name in ("design", "calibration", "test"):
        assert np.isnan(jobs[name].severity)
    assert jobs["control"].severity == 0.0
    assert jobs["fouled"].severity == 1.0
    np.testing.assert_array_equal(jobs["faulty"].severity, np.tile(LEVELS, 10))
    np.testing.assert_array_equal(jobs["tested"].severity, np.repeat(LEVELS, N_CELL))


def test_test_rows_wrap_around_and_differ_within_a_cell() -> None:
    rows = jobs_of(SETTINGS)[-1].rows
    np.testing.assert_array_equal(rows, np.arange(N_CELL * N_LEVELS) % 100)
    assert max(np.bincount(rows)) == 5
    for cell in rows.reshape(N_LEVELS, N_CELL):
        assert len(set(cell)) == N_CELL


def test_design_calibration_and_test_electrodes_are_disjoint() -> None:
    used: dict[str, set[int]] = {"design": set(), "calibration": set(), "test": set()}
    for job in jobs_of(SETTINGS):
        used[job.of] |= set(case_sets()[job.of].group.case[job.rows].tolist())
    assert [len(own) for own in used.values()] == [120, 100, 100]
    assert len(set().union(*used.values())) == 320


@pytest.mark.parametrize(
    "wrong",
    [{"n_rated": 0}, {"n_rated": 121}, {"n_tuned": 121}, {"n_tuned": 0}, {"n_cell": 101}],
    ids=str,
)
def test_more_than_the_sets_hold_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError) as raised:
        replace(SETTINGS, **wrong)
    assert raised.value.name == next(iter(wrong))


def test_only_voltammograms_are_designed_on(tmp_path: Path) -> None:
    tone = replace(SETTINGS, sets=replace(SETTINGS.sets, task="tone"))
    with pytest.raises(InputError, match="start with a voltammogram") as raised:
        run_protocol_design(tone, None, tmp_path, "code")
    assert raised.value.name == "task"


# Trials of a protocol


def test_level_of_takes_the_electrodes_of_one_severity(toy: ProtocolDesign) -> None:
    tested = toy.designed_trial.tested
    for level, severity in enumerate(LEVELS):
        own = level_of(tested, level)
        assert len(own) == N_CELL
        assert set(own.severity) == {severity}
        np.testing.assert_array_equal(own.case, 220 + (level * N_CELL + np.arange(N_CELL)) % 100)
        np.testing.assert_array_equal(toy.designed_trial.at(level).diagnostics, own.diagnostics)


def test_jobs_are_found_by_their_names(toy: ProtocolDesign) -> None:
    tried = toy.designed_trial
    named = [*tried.clean.values(), tried.faulty, tried.control, tried.fouled, tried.tested]
    assert all(tried.of(name) is own for name, own in zip(JOBS, named, strict=True))


def test_flags_are_scores_below_the_threshold(toy: ProtocolDesign) -> None:
    for tried in toy.tried.values():
        for part in (tried.clean["test"], tried.control, tried.fouled, tried.tested):
            below = tried.score(part.diagnostics) < tried.threshold.threshold
            np.testing.assert_array_equal(tried.flags(part), below)
            power = tried.power(part)
            assert (power.value, power.n) == (below.mean(), len(part))
            assert power.low <= power.value <= power.high


def test_certificates_hold_on_the_calibration_set(toy: ProtocolDesign) -> None:
    for tried in toy.tried.values():
        calibration = tried.clean["calibration"]
        assert (tried.threshold.rank, tried.threshold.n) == (2, 100)
        assert tried.flags(calibration).sum() == 1
        if tried.conflict is not None:
            assert (tried.conflict.rank, tried.conflict.n) == (2, 100)
            assert tried.conflict_flags(calibration).sum() == 1


def test_conflict_flags_what_is_far_apart(toy: ProtocolDesign) -> None:
    tried = toy.designed_trial
    assert diagnostic_names(tried.protocol)[-1] == "conflict"
    last = tried.clean["calibration"].diagnostics[:, -1]
    second = np.sort(last)[-2]
    for part in (tried.clean["test"], tried.fouled):
        np.testing.assert_array_equal(tried.conflict_flags(part), part.diagnostics[:, -1] > second)
    assert tried.conflict_flags(tried.fouled).mean() > 0.9
    few = tried.fouled.take(slice(3))
    few = replace(few, diagnostics=np.append(few.diagnostics[:, :-1], np.zeros((3, 1)), axis=1))
    assert not tried.conflict_flags(few).any()
    assert tried.flags(few).all()


def test_a_score_without_a_diagnostic_never_reads_it(toy: ProtocolDesign) -> None:
    rule = CertifiedGuardrail(SETTINGS.alpha, SETTINGS.delta)
    names = diagnostic_names(toy.designed_trial.protocol)
    film = names.index("film")

    def shown(trial: Trial) -> Trial:
        found = np.insert(np.delete(trial.diagnostics, film, 1), film, trial.severity > 0, axis=1)
        return replace(trial, diagnostics=found)

    jobs = ("design", "calibration", "test", "faulty", "control", "fouled", "tested")
    trials = {job: shown(toy.designed_trial.of(job)) for job in jobs}
    tried = Tried.fit(toy.designed_trial.protocol, trials, rule)
    blind = tried.without("film")
    assert blind.score.names == tuple(name for name in names if name != "film")
    assert blind.threshold.rank == tried.threshold.rank
    diagnostics = tried.fouled.diagnostics.copy()
    diagnostics[:, film] = 1e6
    other = replace(tried.fouled, diagnostics=diagnostics)
    np.testing.assert_array_equal(blind.scores(other), blind.scores(tried.fouled))
    assert (tried.scores(other) < tried.scores(tried.fouled)).all()
    np.testing.assert_array_equal(tried.without().scores(other), tried.scores(other))


def test_one_step_is_in_conflict_with_nothing(toy: ProtocolDesign) -> None:
    tried = toy.default_trial
    assert tried.conflict is None
    with pytest.raises(InputError, match="two steps or more") as raised:
        tried.conflict_flags(tried.fouled)
    assert "default" in str(raised.value)


def test_powers_rise_beyond_the_onset(toy: ProtocolDesign) -> None:
    for name, tried in toy.tried.items():
        found = [power.value for power in tried.powers()]
        assert found == powers_of(tried)
        hidden = np.array(LEVELS) <= ONSETS[name]
        assert max(np.array(found)[hidden]) < 0.15
        assert found[-1] > 0.9
    limits = [detection_limit(toy.tried[name].powers()) for name in ONSETS]
    assert 0.1 * FULL < limits[0] < 0.75 * FULL
    assert 0.005 * FULL < limits[2] < 0.02 * FULL
    assert limits[2] < limits[0]


def test_mild_fouling_is_caught_by_the_designed_protocol_alone(toy: ProtocolDesign) -> None:
    mild = LEVELS.index(0.05)
    for name, caught in ((DEFAULT.name, 0.0), (INFORMATIVE, 0.0), (DESIGNED, 1.0)):
        assert toy.tried[name].power(toy.tried[name].at(mild)).value == caught


def test_blind_protocol_catches_nothing(blind: ProtocolDesign) -> None:
    tried = blind.designed_trial
    assert max(power.value for power in tried.powers()) < 0.1
    assert detection_limit(tried.powers()) is None
    assert tried.conflict_flags(tried.fouled).mean() < 0.1
    assert blind.default_trial.powers()[-1].value > 0.9


def test_rival_is_as_good_as_the_designed_one() -> None:
    rival = design_of(rival=True)
    assert rival.informative == INFORMATIVE
    assert rival.tried[INFORMATIVE].protocol == CANDIDATES[INFORMATIVE]
    assert rival.tried[INFORMATIVE].powers() == rival.designed_trial.powers()


def test_paths_of_their_own_are_flagged() -> None:
    tried = design_of(path=3.0).designed_trial
    assert tried.power(tried.control).value == 1.0
    assert tried.power(tried.clean["test"]).value < 0.1


# Faked trials


class Fake:
    """Stands for everything that costs time; remembers what it was asked."""

    def __init__(self) -> None:
        self.trials: list[tuple[str, np.ndarray, np.ndarray, np.ndarray, bool, Any]] = []
        self.rated: list[tuple[str, int, tuple[float, ...]]] = []
        self.tuned: list[tuple[str, int, tuple[float, ...], float]] = []
        self.refitted: list[tuple[str, int]] = []
        self.told = dict(REFITS)

    def run_trial(
        self,
        protocol: Protocol,
        cases: Any,
        severity: np.ndarray,
        amortised: Any,  # noqa: ARG002
        keys: np.ndarray,
        fouled: bool,
        mode: Biofouling | None,
    ) -> Trial:
        case = cases.group.case
        self.trials.append((protocol.name, case, severity, keys, fouled, mode))
        away = shift(severity, ONSETS.get(protocol.name, 0.1))
        found = None if fouled else diagnostics(protocol, case, away)
        return trial(case, severity, FILM_MODEL if fouled else CLEAN_MODEL, found)

    def worth(self, protocol: Protocol, cases: Any, severities: tuple[float, ...]) -> Worth:
        self.rated.append((protocol.name, len(cases), severities))
        power = {DESIGNED: 0.7, RIVAL: 0.695}.get(protocol.name, 0.5)
        return rating(10.0, power, 30.0 if protocol.name == INFORMATIVE else 20.0)

    def refit(self, protocol: Protocol, cases: Any) -> Refit:
        self.refitted.append((protocol.name, len(cases)))
        return Refit(np.full(len(cases), self.told[protocol.name]))

    def tune(
        self,
        protocol: Protocol,
        cases: Any,
        severities: tuple[float, ...],
        most_size: float,
        others: Any,
    ) -> Tuned:
        assert len(others) == len(cases)
        assert not set(others.group.case) & set(cases.group.case)
        self.tuned.append((protocol.name, len(cases), severities, most_size))
        return Tuned(*np.ones((3, 1)), np.zeros((1, 2)), np.zeros(2))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    for name in ("run_trial", "worth", "refit", "tune"):
        monkeypatch.setattr(protocol_design, name, getattr(made, name))
    monkeypatch.setattr(protocol_design, "_AT_ONCE", 1)  # in order
    # the cases are drawn already
    monkeypatch.setattr(protocol_design, "draw_all", lambda settings: whole())  # noqa: ARG005
    return made


def bench(folder: Path | None, digest: str = "code") -> Bench:
    return Bench(SETTINGS, None, whole(), case_sets(), folder, digest)


def assert_same(first: Any, second: Any) -> None:
    for name, values in vars(first).items():
        np.testing.assert_array_equal(values, getattr(second, name), err_msg=name)


def test_bench_tries_all_jobs_at_once_and_parts_them(fake: Fake) -> None:
    protocol, jobs = CANDIDATES[DESIGNED], jobs_of(SETTINGS)
    found = bench(None).trials(protocol, jobs)
    assert list(found) == JOBS
    ((name, case, severity, keys, film, mode),) = fake.trials
    assert (name, film, mode) == (DESIGNED, False, None)
    ends = np.cumsum([0, *(len(job.rows) for job in jobs)])
    assert len(case) == len(severity) == len(keys) == ends[-1]
    for job, (start, stop) in zip(jobs, pairwise(ends), strict=True):
        own = found[job.name]
        np.testing.assert_array_equal(own.case, case[start:stop])
        np.testing.assert_array_equal(own.case, case_sets()[job.of].group.case[job.rows])
        np.testing.assert_array_equal(own.severity, severity[start:stop])
        np.testing.assert_array_equal(own.severity, np.broadcast_to(job.severity, len(own)))
    numbers, usual = (
        np.asarray(jax.random.key_data(own))
        for own in (keys, case_keys(SETTINGS.sets.seed, np.arange(320)))
    )
    np.testing.assert_array_equal(numbers, usual[case])


def test_bench_keeps_trials_under_all_that_they_depend_on(fake: Fake, tmp_path: Path) -> None:
    jobs = jobs_of(SETTINGS)[3:5]
    protocol = CANDIDATES[DESIGNED]
    first = bench(tmp_path).trials(protocol, jobs)
    again = bench(tmp_path).trials(protocol, jobs)
    assert len(fake.trials) == 1
    for name, own in first.items():
        assert_same(own, again[name])
    other = jobs[0]._replace(severity=jobs[0].severity[::-1])
    bench(tmp_path).trials(protocol, [other, jobs[1]])
    bench(tmp_path).trials(protocol, jobs, fouled=True)
    bench(tmp_path).trials(protocol, jobs, mode=NO_RESISTANCE)
    film = Biofouling(film=Fouling(initial_theta=FULL, k0_theta_coeff=1.4))
    bench(tmp_path).trials(protocol, jobs, mode=film)
    louder = replace(protocol, steps=(*protocol.steps[:-1], replace(protocol.steps[-1], keep=0.5)))
    bench(tmp_path).trials(louder, jobs)
    bench(tmp_path).trials(replace(protocol, steps=protocol.cleaned().steps), jobs)
    bench(tmp_path, "other").trials(protocol, jobs)
    assert len(fake.trials) == len(list(tmp_path.iterdir())) == 8
    bench(None).trials(protocol, jobs)
    assert len(fake.trials) == 9
    assert len(list(tmp_path.iterdir())) == 8


def test_bench_rates_design_cases(fake: Fake, tmp_path: Path) -> None:
    own = bench(tmp_path)
    found = own.rate(CANDIDATES[INFORMATIVE])
    assert fake.rated == [(INFORMATIVE, SETTINGS.n_rated, RATED)]
    assert_same(own.rate(CANDIDATES[INFORMATIVE]), found)
    fewer = replace(own, settings=replace(SETTINGS, n_rated=5))
    fewer.rate(CANDIDATES[INFORMATIVE])
    assert [n for _, n, _ in fake.rated] == [6, 5]


def test_study_rates_chooses_and_tries(fake: Fake, tmp_path: Path) -> None:
    found = run_protocol_design(SETTINGS, None, tmp_path, "code")
    assert (found.designed, found.informative) == (DESIGNED, INFORMATIVE)
    assert list(found.rated) == [name for name, _, _ in fake.rated] == list(CANDIDATES)
    assert list(found.tried) == ["default", INFORMATIVE, DESIGNED]
    assert fake.refitted == [(name, SETTINGS.n_rated) for name in (RIVAL, DESIGNED)]
    assert {name: own.information.mean() for name, own in found.refits.items()} == REFITS
    assert [name for name, *_ in fake.trials] == [*found.tried, DESIGNED]
    assert {name: own.protocol.name for name, own in found.tried.items()} == {
        name: name for name in found.tried
    }
    assert [mode for *_, mode in fake.trials] == [None] * 3 + [NO_RESISTANCE]
    assert float(NO_RESISTANCE.film.Rfilm_theta_max_ohm) == 0.0
    assert float(NO_RESISTANCE.film.initial_theta) == FULL
    np.testing.assert_array_equal(found.no_resistance.case, found.designed_trial.tested.case)
    np.testing.assert_array_equal(found.no_resistance.severity, np.repeat(LEVELS, N_CELL))
    assert fake.tuned == [
        ("fast-scan", 2, (0.1, 0.35), 1.0),
        ("tone-1000", 2, (0.1, 0.35), 2.0),
        ("pulse", 2, (0.1, 0.35), 2.0),
    ]
    assert list(found.tuned) == list(TUNED)
    planted = design_of()
    for name, own in found.tried.items():
        assert own.score == planted.tried[name].score
        assert own.threshold == planted.tried[name].threshold
        assert own.conflict == planted.tried[name].conflict
        for job in JOBS:
            assert_same(own.of(job), planted.tried[name].of(job))


def test_of_equally_able_ones_the_refit_decides(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.told[RIVAL] = 15.0
    assert run_protocol_design(SETTINGS, None, None, "code").designed == RIVAL
    monkeypatch.setattr(protocol_design, "ALIKE", 0.001)
    found = run_protocol_design(SETTINGS, None, None, "code")
    assert (found.designed, list(found.refits)) == (DESIGNED, [DESIGNED])


def test_results_of_other_settings_or_code_are_not_used(fake: Fake, tmp_path: Path) -> None:
    digests = {
        run_protocol_design(settings, None, None, code).bench.digest
        for settings, code in (
            (SETTINGS, "code"),
            (SETTINGS, "other"),
            (replace(SETTINGS, sets=replace(SETTINGS.sets, noise_std=0.06)), "code"),
        )
    }
    assert len(digests) == 3
    run_protocol_design(SETTINGS, None, tmp_path, "code")
    before = len(fake.trials)
    run_protocol_design(replace(SETTINGS, alpha=0.2), None, tmp_path, "code")
    assert len(fake.trials) == before
    run_protocol_design(SETTINGS, None, tmp_path, "other")
    assert len(fake.trials) == before + 4


def test_one_best_of_both_kinds_is_tried_once(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: CANDIDATES[name] for name in ("default", DESIGNED)}
    monkeypatch.setattr(protocol_design, "CANDIDATES", few)
    monkeypatch.setattr(protocol_design, "TUNED", {})
    monkeypatch.setattr(protocol_design, "most_information", lambda rated: DESIGNED)  # noqa: ARG005
    found = run_protocol_design(SETTINGS, None, None, "code")
    assert list(found.tried) == ["default", DESIGNED]
    assert len(fake.trials) == 3
    assert found.tuned == {}


def test_too_few_calibration_cases_are_refused_before_any_trial() -> None:
    for n, alpha in ((44, 0.05), (100, 0.01)):
        with pytest.raises(
            InputError, match=rf"n_calibration = {n} .* or more for alpha = {alpha}"
        ):
            replace(SETTINGS, sets=replace(SETTINGS.sets, n_calibration=n), alpha=alpha)


# Real and small

BLOCK = 8  # of everything, so that each function is compiled once a protocol
TINY = ProtocolDesignSettings(
    sets=CaseSetSettings(n_design=BLOCK, n_calibration=46, n_test=6, seed=71),
    n_rated=BLOCK,
    n_tuned=BLOCK,
    n_cell=1,
)
N_FILES = 2 + 1 + 2 + 1 + 1 + 4  # rated, refit rated, tried, no resistance, tuned, escalation


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """Two candidates, one step that is tuned, one other film, and small blocks."""
    few = {name: CANDIDATES[name] for name in ("default", "pulse")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol_design, "CANDIDATES", few)
        patch.setattr(protocol_design, "TUNED", {"pulse": 2.0})
        patch.setattr(escalation, "OTHER_COEFFICIENTS", (1.4,))
        patch.setattr(fouled, "FIRST_COVERAGES", (0.05, 0.5))
        patch.setattr(laplace, "BLOCK", BLOCK)
        patch.setattr(protocols, "BLOCK", BLOCK)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


def run(folder: Path) -> tuple[ProtocolDesign, Escalation]:
    design = run_protocol_design(TINY, load_amortised(None), folder, "code")
    return design, run_escalation(design)


@pytest.fixture(scope="module")
def real(small: None, folder: Path) -> tuple[ProtocolDesign, Escalation]:  # noqa: ARG001
    return run(folder)


def all_trials(design: ProtocolDesign, result: Escalation) -> dict[str, Trial]:
    found = {f"{name} {job}": own.of(job) for name, own in design.tried.items() for job in JOBS}
    found["no resistance"] = design.no_resistance
    for kind in ("evidence", "refit", "mistaken"):
        found |= {f"{kind} {name}": own for name, own in getattr(result, kind).items()}
    return found


def assert_equal(
    first: tuple[ProtocolDesign, Escalation], second: tuple[ProtocolDesign, Escalation]
) -> None:
    for one, other in zip(first[0].tried.values(), second[0].tried.values(), strict=True):
        assert one.score == other.score
        assert one.threshold == other.threshold
        assert one.conflict == other.conflict
    assert first[1].policies == second[1].policies
    assert first[1].stretch.n == second[1].stretch.n > 0
    np.testing.assert_array_equal(first[1].stretch.factor, second[1].stretch.factor)
    others = all_trials(*second)
    for name, own in all_trials(*first).items():
        assert_same(own, others[name])


def test_real_run_keeps_all_its_parts(
    real: tuple[ProtocolDesign, Escalation], folder: Path
) -> None:
    design, result = real
    assert len(list(folder.iterdir())) == N_FILES
    assert (design.designed, design.informative) == ("pulse", "pulse")
    assert list(design.tried) == ["default", "pulse"]
    for name, rated in design.rated.items():
        assert rated.discrepancy.shape == rated.power.shape == (len(RATED), BLOCK), name
        assert rated.information.shape == rated.cost_s.shape == (BLOCK,)
        assert (np.diff(np.median(rated.discrepancy, axis=1)) > 0).all()
    assert design.rated["pulse"].power.mean() > design.rated["default"].power.mean() + 0.1
    assert (design.rated["pulse"].information > design.rated["default"].information).all()
    for name, own in all_trials(design, result).items():
        film = name.startswith(("evidence", "refit", "mistaken"))
        steps = {"default": 1}.get(name.split()[0], 2)
        assert own.diagnostics.shape == (len(own), 0 if film else 4 * steps + 2 + (steps > 1))
        assert own.mean.shape == own.low.shape == own.high.shape == (len(own), 12 if film else 9)
        assert np.isfinite(own.diagnostics).all()
        assert np.isfinite(own.log_evidence).all()
        assert ((own.credibility >= 0) & (own.credibility <= 1)).all()
        between = (own.low < own.mean) & (own.mean < own.high)
        assert between[:, :9].all(), name
    steps = design.tuned["pulse"]
    assert steps.confirmed[1] > steps.confirmed[0]
    assert (np.diff(steps.criterion) > 0).all()
    assert (steps.pace[0], steps.size[0]) == (1.0, 1.0)


def test_real_run_infers_and_detects(real: tuple[ProtocolDesign, Escalation]) -> None:
    design, result = real
    tried = design.designed_trial
    assert tried.clean["calibration"].wrong.mean() < 0.25
    assert tried.power(tried.fouled).value == 1.0
    assert tried.power(tried.clean["test"]).value < 0.5
    close = np.abs(tried.control.mean - tried.clean["test"].mean)
    assert (close < 0.1 * (tried.control.high - tried.control.low)).all()
    assert (design.no_resistance.mean[-1] != tried.tested.mean[-1]).all()
    factor = result.log_bayes_factor("fouled")
    assert (factor > 0).all()
    assert np.median(result.log_bayes_factor("test")) < 0
    refit, voltammogram = result.refit["fouled"], design.default_trial.fouled
    assert np.median(np.abs(result.error(refit))) < np.median(np.abs(result.error(voltammogram)))
    none = result.log_bayes_factor("test") <= 0
    kept = result.refit["test"].mean[none]
    np.testing.assert_array_equal(kept, result.evidence["test"].mean[none])
    clean, couple = tried.clean["test"], slice(0, 7)
    width = (clean.high - clean.low)[none, couple]
    assert (np.abs(kept[:, couple] - clean.mean[none, couple]) < width).all()
    assert (kept[:, 9] < 0.1).all()


def test_second_run_reads_everything(
    real: tuple[ProtocolDesign, Escalation], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: Any) -> None:
        raise AssertionError(arguments[0])

    for name in ("run_trial", "worth", "refit", "tune"):
        monkeypatch.setattr(protocol_design, name, never)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert_equal(run(folder), real)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "pattern", ["trial-pulse-no-resistance-*", "worth-default-*", "tuned-pulse-*"]
)
def test_a_damaged_file_is_made_anew(
    real: tuple[ProtocolDesign, Escalation],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    pattern: str,
) -> None:
    made: list[str] = []

    def listen(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **more: Any) -> Any:
            made.append(f"{name} {arguments[0].name}")
            return function(*arguments, **more)

        return wrapped

    for name in ("run_trial", "worth", "refit", "tune"):
        monkeypatch.setattr(protocol_design, name, listen(name, getattr(protocol_design, name)))
    (path,) = folder.glob(pattern)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    again = run(folder)
    name, protocol = pattern.split("-")[:2]
    assert made == [f"{ {'trial': 'run_trial', 'tuned': 'tune'}.get(name, name) } {protocol}"]
    assert_equal(again, real)
    assert len(list(folder.iterdir())) == N_FILES
    run(folder)
    assert len(made) == 1
