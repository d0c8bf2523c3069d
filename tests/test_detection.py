"""What is caught, what is missed, and parts that are kept: on a planted result and a real one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecguard import detection
from ecguard.case_sets import CaseSetSettings, draw_case_sets
from ecguard.detection import (
    LEVELS,
    MODES,
    DetectionResult,
    DetectionSettings,
    Job,
    Part,
    confounded,
    run_detection,
)
from ecguard.errors import InputError
from ecguard.guardrail import ValidFor, reference_grid_search
from ecguard.known_faults import FAULTS, any_fault
from ecguard.posterior.amortised.artefacts import fingerprint, load_amortised
from ecguard.screening import DIAGNOSTICS, KNOWING
from ecguard.stress import Biofouling, MainsHum
from toy_detection import (
    HARMLESS,
    INVISIBLE,
    LN_K0,
    N_CELL,
    SETTINGS,
    SINGLE,
    VISIBLE,
    case_sets,
    result_of,
)

N_LEVELS = len(LEVELS)


@pytest.fixture(scope="module")
def toy() -> DetectionResult:
    return result_of()


def powers(result: DetectionResult, mode: str) -> np.ndarray:
    return np.array([result.power(result.cell(mode, k)).value for k in range(N_LEVELS)])


def with_cells(result: DetectionResult, mode: str, shifts: list[float]) -> DetectionResult:
    """The result with diagnostics of a mode far off in the cells whose shift is not 0."""
    part = result.tested[mode]
    away = np.repeat(shifts, N_CELL)[:, None]
    clean = result.clean["test"].diagnostics[part.case]
    changed = replace(part, diagnostics=clean + away)
    return replace(result, tested=result.tested | {mode: changed})


# Planted


def test_cells_are_the_traces_of_one_severity(toy: DetectionResult) -> None:
    for level, severity in enumerate(LEVELS):
        cell = toy.cell(VISIBLE, level)
        assert len(cell) == N_CELL
        assert set(cell.severity) == {severity}
        np.testing.assert_array_equal(cell.case, level * N_CELL + np.arange(N_CELL))


def test_power_rises_with_the_severity_of_what_shows(toy: DetectionResult) -> None:
    found = powers(toy, VISIBLE)
    assert (np.diff(found) >= -0.05).all()
    assert found[0] < 0.2
    assert found[-1] > 0.95


def test_power_of_what_does_not_show_is_the_false_alarm_rate(toy: DetectionResult) -> None:
    for mode in (INVISIBLE, HARMLESS):
        assert toy.power(toy.tested[mode]).value < 0.08
    assert toy.power(toy.clean["test"]).low < 0.05


def test_what_does_not_show_and_is_wrong_is_silent(toy: DetectionResult) -> None:
    cell = toy.cell(INVISIBLE, N_LEVELS - 1)
    assert cell.wrong.all()
    assert toy.coverage(cell).value == 0.0
    assert toy.silent(cell).value == pytest.approx(1 - toy.power(cell).value)
    assert toy.silent(cell).value > 0.8
    assert toy.silent(toy.cell(HARMLESS, N_LEVELS - 1)).value == 0.0
    assert toy.silent(toy.cell(VISIBLE, N_LEVELS - 1)).value == 0.0


@pytest.mark.parametrize("mode", [VISIBLE, SINGLE, INVISIBLE, HARMLESS])
def test_silent_caught_and_right_add_up(toy: DetectionResult, mode: str) -> None:
    for level in range(N_LEVELS):
        cell = toy.cell(mode, level)
        caught = (toy.judge(cell).flagged & cell.wrong).mean()
        total = toy.silent(cell).value + caught + toy.coverage(cell).value
        assert total == pytest.approx(1.0)


def test_rates_are_intervals_over_their_traces(toy: DetectionResult) -> None:
    cell = toy.cell(SINGLE, 4)
    for rate in (toy.power, toy.coverage, toy.silent):
        found = rate(cell)
        assert found.n == N_CELL
        assert found.low <= found.value <= found.high


def test_undetectable_is_what_is_not_flagged(toy: DetectionResult) -> None:
    """Whether or not it does any harm."""
    for mode in (INVISIBLE, HARMLESS):
        assert toy.undetectable(mode).all()
    shows = toy.undetectable(VISIBLE)
    assert shows[0]
    assert not shows[-1]
    seen = with_cells(toy, VISIBLE, [9] * 4 + [0] * 4)
    np.testing.assert_array_equal(seen.undetectable(VISIBLE), [False] * 4 + [True] * 4)


def test_seen_but_sometimes_silent_is_not_undetectable(toy: DetectionResult) -> None:
    """Every trace but a few is flagged, and those few are wrong."""
    part = with_cells(toy, VISIBLE, [9] * 8).tested[VISIBLE]
    missed = np.arange(len(part)) % N_CELL < 5
    clean = toy.clean["test"].diagnostics[part.case]
    part = replace(
        part,
        diagnostics=np.where(missed[:, None], clean - 9, part.diagnostics),
        credibility=np.where(missed, 0.0, 0.5),
    )
    mixed = replace(toy, tested={VISIBLE: part})
    assert not mixed.undetectable(VISIBLE).any()
    assert mixed.maybe_silent(VISIBLE).all()


@pytest.mark.parametrize(("flagged", "blind"), [(18, True), (24, True), (25, False), (36, False)])
def test_more_than_half_must_be_shown_to_be_flagged(
    toy: DetectionResult, flagged: int, blind: bool
) -> None:
    """Of 36 traces, 25 flagged leave more than a half; 24 leave 49 % possible."""
    part = toy.tested[HARMLESS].take(np.arange(8 * 36))
    shift = np.where(np.arange(len(part)) % 36 < flagged, 9.0, -9.0)
    few = replace(part, diagnostics=np.zeros_like(part.diagnostics) + shift[:, None])
    some = replace(toy, settings=replace(SETTINGS, n_cell=36), tested={HARMLESS: few})
    assert (some.undetectable(HARMLESS) == blind).all()


def test_verdicts_name_what_the_guardrail_does_not_see(toy: DetectionResult) -> None:
    tested = {mode: toy.tested[mode] for mode in (VISIBLE, INVISIBLE)}
    tested[VISIBLE] = with_cells(toy, VISIBLE, [0] + [9] * 7).tested[VISIBLE]
    seen, hidden = replace(toy, tested=tested).blind_spots()
    mode = MODES[VISIBLE]
    assert (seen.failure, seen.unit) == (mode.title, mode.unit)
    assert seen.magnitudes == (mode.full * LEVELS[0],)
    assert seen.flagged == 1.0
    assert len(hidden.magnitudes) == N_LEVELS
    assert hidden.flagged == toy.power(toy.cell(INVISIBLE, N_LEVELS - 1)).value
    knowing = replace(toy.guardrail, undetectable=(seen, hidden))
    verdict = knowing.judge(toy.clean["test"].diagnostics[:2])
    assert verdict.undetectable == (seen, hidden)
    assert f"{mode.full * LEVELS[0]:.3g} {mode.unit}" in str(seen)
    everywhere = with_cells(toy, VISIBLE, [9] * 8).tested[VISIBLE]
    assert replace(toy, tested={VISIBLE: everywhere}).blind_spots() == ()


def test_silence_not_excluded_is_what_may_be_silent(toy: DetectionResult) -> None:
    severe = np.array(LEVELS) >= 0.2
    np.testing.assert_array_equal(toy.maybe_silent(INVISIBLE), severe)
    assert not toy.maybe_silent(VISIBLE).any()
    assert not toy.maybe_silent(HARMLESS).any()


def test_too_few_cases_exclude_nothing(toy: DetectionResult) -> None:
    """None of 20 silent leaves 17 % possible; a limit above that is excluded all the same."""
    few = replace(toy, settings=replace(SETTINGS, n_cell=20))
    few = replace(few, tested={HARMLESS: toy.tested[HARMLESS].take(slice(8 * 20))})
    assert few.maybe_silent(HARMLESS).all()
    assert not few.maybe_silent(HARMLESS, limit=0.2).any()


def test_truth_on_the_edge_of_the_region_lies_in_it(toy: DetectionResult) -> None:
    """A credibility of 0.05 is inside, as `region_credibility` has it; 200 draws hit it often."""
    edge = np.array([0.045, 0.05, 0.055])
    part = replace(toy.control.take(slice(3)), credibility=edge)
    assert part.wrong.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("shifts", "limit"),
    [
        ([9] * 8, LEVELS[0]),
        ([0] * 8, None),
        ([0, 0, 0, 9, 9, 9, 9, 9], LEVELS[3]),
        ([0, 9, 9, 0, 9, 0, 9, 9], LEVELS[6]),
        ([9, 9, 9, 9, 9, 9, 9, 0], None),
        ([0, 0, 0, 0, 0, 0, 0, 9], LEVELS[7]),
    ],
)
def test_limit_is_the_severity_from_which_on_all_is_seen(
    toy: DetectionResult, shifts: list[float], limit: float | None
) -> None:
    assert with_cells(toy, VISIBLE, shifts).detection_limit(VISIBLE) == limit


def test_limit_depends_on_the_power_asked_for(toy: DetectionResult) -> None:
    found = powers(toy, VISIBLE)
    limit = toy.detection_limit(VISIBLE, 0.5)
    assert limit == LEVELS[np.flatnonzero(found < 0.5)[-1] + 1]
    assert limit <= toy.detection_limit(VISIBLE)


def test_combined_score_beats_singles_where_all_see_a_little(toy: DetectionResult) -> None:
    assert toy.beats(VISIBLE).shape == (len(DIAGNOSTICS),)
    assert toy.beats(VISIBLE).max() < 1e-6
    assert toy.beats(HARMLESS).max() > 0.01


def test_a_single_diagnostic_beats_it_where_it_alone_sees(toy: DetectionResult) -> None:
    found = toy.beats(SINGLE)
    assert np.argmax(found) == 4
    assert found[4] > 0.99
    assert np.delete(found, 4).max() < 1e-3


def test_a_score_that_never_met_a_mode_has_no_test_for_it(
    toy: DetectionResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its own test alone shows a mode, the score is blind to it without that test."""
    own = [fault.name == VISIBLE for fault in FAULTS]
    knowing = list(DIAGNOSTICS).index(KNOWING)

    def shown(part: Part) -> Part:
        evidence = np.where(own, 60.0 * part.severity[:, None], 0.1 * part.fault_evidence)
        clean = np.arange(len(part)) % SETTINGS.sets.n_design
        diagnostics = toy.clean["design"].diagnostics[clean].copy()
        diagnostics[:, knowing] = any_fault(evidence)
        return replace(part, diagnostics=diagnostics, fault_evidence=evidence)

    modes = {**toy.tested, VISIBLE: shown(toy.tested[VISIBLE])}
    faulty = {**toy.faulty, VISIBLE: shown(toy.faulty[VISIBLE])}
    result = replace(toy, tested=modes, faulty=faulty)
    strong = result.tested[VISIBLE].severity > 0.5
    assert result.equal_flags(result.tested[VISIBLE])[strong, knowing].mean() > 0.9
    assert result.unknown_flags(VISIBLE)[strong].mean() < 0.2
    assert result.beats(VISIBLE, unknown=True).max() > 0.5
    assert result.unknown_flags(HARMLESS).mean() < 0.15
    learnt, fit = [], detection.CombinedScore.fit

    def listen(
        names: tuple[str, ...], clean: np.ndarray, faulty: np.ndarray
    ) -> detection.CombinedScore:
        learnt.append(len(faulty))
        return fit(names, clean, faulty)

    monkeypatch.setattr(detection.CombinedScore, "fit", listen)
    result.unknown_flags(VISIBLE)
    assert learnt == [SETTINGS.n_faulty * (len(MODES) - 1)]


def test_rules_are_compared_where_each_flags_one_share_of_clean_traces(
    toy: DetectionResult,
) -> None:
    clean = [toy.equal_flags(toy.clean[name]) for name in ("calibration", "test")]
    assert clean[0].shape == (SETTINGS.sets.n_calibration, len(DIAGNOSTICS) + 1)
    alarms = np.concatenate(clean)
    np.testing.assert_array_equal(alarms.sum(axis=0), int(SETTINGS.alpha * len(alarms)))
    caught = toy.equal_flags(toy.cell(SINGLE, N_LEVELS - 1)).mean(axis=0)
    assert caught[4] > 0.9
    assert np.delete(caught[:-1], 4).max() < 0.2


def test_bias_is_in_units_of_the_prior(toy: DetectionResult) -> None:
    bias = toy.bias(toy.cell(INVISIBLE, N_LEVELS - 1))
    np.testing.assert_allclose(bias[:, LN_K0], -2.0, atol=1e-5)
    np.testing.assert_allclose(np.delete(bias, LN_K0, axis=1), 0.0, atol=1e-5)


def test_reference_rule_reads_score_and_calibration_error(toy: DetectionResult) -> None:
    part = replace(
        toy.control.take(slice(3)),
        reliability_score=np.array([99.0, 0.0, 99.0]),
        calibration_error=np.array([0.0, 0.0, 0.9]),
    )
    assert toy.reference_flags(part).tolist() == [False, True, True]


def test_take_takes_the_same_rows_of_everything(toy: DetectionResult) -> None:
    rows = np.array([5, 1])
    some = toy.control.take(rows)
    for name, values in vars(some).items():
        np.testing.assert_array_equal(values, getattr(toy.control, name)[rows])


@pytest.mark.parametrize(
    "wrong", [{"n_faulty": 161}, {"n_cell": 41}, {"n_control": 321}, {"n_cell": 0}], ids=str
)
def test_more_than_the_sets_hold_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError) as raised:
        replace(SETTINGS, **wrong)
    assert raised.value.name == next(iter(wrong))


def test_confounded_traces_differ_from_the_clean_by_more_than_fouling() -> None:
    cases = case_sets()["test"].take(np.arange(4))
    control = confounded(cases, np.zeros(4))
    own = np.asarray(cases.group.observation.current)
    assert np.abs(control - own).max() > 10 * 0.05
    amplitude = np.std(control - cases.experiment.measure(np.zeros(own.shape)), axis=1)
    assert (amplitude < 0.05 * own.std(axis=1)).any()
    assert np.abs(control - confounded(cases, np.ones(4))).max() > 0


# Real and small

TINY = DetectionSettings(
    sets=CaseSetSettings(n_design=8, n_calibration=46, n_test=8, task="tone", seed=71),
    n_faulty=1,
    n_cell=1,
    n_control=8,
)
TWO = {mode.name: mode() for mode in (Biofouling, MainsHum)}
N_PARTS = 3 + 5 + 2 * len(TWO)
N_TRACES = 8 + 46 + 8 + 5 * 8 + len(TWO) * (1 + len(LEVELS))


def run(folder: Path | None, digest: str = "code") -> DetectionResult:
    return run_detection(TINY, load_amortised(), folder, digest)


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """Two modes, and a summary space from few traces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detection, "MODES", TWO)
        patch.setattr(detection, "_FAMILIAR", 120)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module")
def real(small: None, folder: Path) -> DetectionResult:  # noqa: ARG001
    return run(folder)


@pytest.fixture
def screened(monkeypatch: pytest.MonkeyPatch, small: None) -> list[int]:  # noqa: ARG001
    """Numbers of the traces that are screened, call by call."""
    sizes: list[int] = []
    screen = detection.screen

    def listen(*arguments):
        sizes.append(len(arguments[3]))
        return screen(*arguments)

    monkeypatch.setattr(detection, "screen", listen)
    return sizes


def parts_of(result: DetectionResult) -> dict[str, Part]:
    named = {
        name: getattr(result, name)
        for name in ("control", "fouled", "confounded_control", "confounded_fouled")
    }
    return named | {
        f"{group} {name}": part
        for group in ("clean", "faulty", "tested")
        for name, part in getattr(result, group).items()
    }


def assert_equal(first: DetectionResult, second: DetectionResult) -> None:
    assert first.guardrail.score == second.guardrail.score
    assert first.guardrail.threshold == second.guardrail.threshold
    assert first.guardrail.calibration_scores == second.guardrail.calibration_scores
    assert first.reference == second.reference
    others = parts_of(second)
    for key, part in parts_of(first).items():
        for name, values in vars(part).items():
            np.testing.assert_array_equal(values, getattr(others[key], name), err_msg=key)


@pytest.mark.slow
def test_real_run_has_all_its_parts(real: DetectionResult, folder: Path) -> None:
    assert len(list(folder.iterdir())) == N_PARTS
    assert list(real.tested) == list(real.faulty) == list(TWO)
    for part in parts_of(real).values():
        for name, values in vars(part).items():
            assert np.isfinite(values).all(), name
        assert ((part.low <= part.mean) & (part.mean <= part.high)).all()
        assert ((part.credibility >= 0) & (part.credibility <= 1)).all()
    assert real.tested[MainsHum.name].severity.tolist() == list(LEVELS)
    assert real.clean["calibration"].wrong.mean() < 0.25


@pytest.mark.slow
def test_control_is_the_clean_trace_by_another_path(real: DetectionResult) -> None:
    clean = real.clean["test"]
    largest = np.abs(clean.current).max(axis=1, keepdims=True)
    assert (np.abs(real.control.current - clean.current) <= 1e-3 * largest).all()
    assert np.abs(real.fouled.current - clean.current).max() > 0.05
    assert np.abs(real.confounded_control.current - clean.current).max() > 0.5


@pytest.mark.slow
def test_guardrail_is_valid_for_its_own_calibration_traces(real: DetectionResult) -> None:
    seen = real.bench.sets["calibration"].group.observation
    given = (
        *(seen.time_s, seen.E_V, seen.current, seen.observed, seen.noise_std),
        fingerprint(load_amortised()),
    )
    real.guardrail.valid_for.check("tone", 1, *given)
    for wrong in (("cv", 1), ("tone", 2)):
        with pytest.raises(InputError, match="as calibrated"):
            real.guardrail.valid_for.check(*wrong, *given)


def test_new_clean_traces_are_nearly_always_within_the_ranges() -> None:
    """Among the extremes of 300 cases more than one in a hundred would not be."""
    settings, amortised = CaseSetSettings(n_design=2, n_calibration=300, n_test=2), load_amortised()
    known = draw_case_sets(settings)["calibration"].group.observation
    arrays = [np.asarray(leaf) for leaf in (known.time_s, known.E_V, known.current, known.observed)]
    valid, refused = ValidFor.around("cv", *arrays, 0.05, fingerprint(amortised)), 0
    new = draw_case_sets(replace(settings, seed=5))["calibration"].group.observation
    named = (new.time_s, new.E_V, new.current, new.observed, new.noise_std)
    arrays = [np.asarray(leaf) for leaf in named]
    for row in range(300):
        one = (leaf[row : row + 1] for leaf in arrays)
        try:
            valid.check("cv", 1, *one, fingerprint(amortised))
        except InputError:
            refused += 1
    assert refused <= 1


@pytest.mark.slow
def test_the_reference_rule_is_fitted_on_as_many_of_each_kind_as_it_is_judged_on(
    real: DetectionResult, folder: Path
) -> None:
    rows = np.arange(TINY.sets.n_design)
    job = Job("design-fouled", "design", rows, Biofouling.name, np.ones(len(rows)))
    ((_, fouled),) = real.bench.parts([job])
    assert len(list(folder.iterdir())) == N_PARTS
    both = [real.clean["design"], fouled]
    wanted = reference_grid_search(
        np.concatenate([part.reliability_score for part in both]),
        np.concatenate([part.calibration_error for part in both]),
        np.repeat([False, True], len(rows)),
    )
    assert real.reference == wanted


@pytest.mark.slow
def test_second_run_reads_the_parts(
    real: DetectionResult, folder: Path, screened: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No trace of theirs is simulated again."""

    def never(*arguments):
        raise RuntimeError(arguments[1].name)

    monkeypatch.setattr(detection.Bench, "_current", never)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert_equal(run(folder), real)
    assert screened == []
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.slow
def test_only_a_part_that_is_gone_runs_again(
    real: DetectionResult, folder: Path, screened: list[int]
) -> None:
    (gone,) = folder.glob(f"test-{MainsHum.name}-*.npz")
    gone.unlink()
    assert_equal(run(folder), real)
    assert screened == [len(LEVELS)]
    assert gone.is_file()


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([300, 300, 200, 400, 10], [2, 2, 1]),
        ([499, 1, 500, 501], [2, 1, 1]),
        ([7], [1]),
        ([], []),
    ],
    ids=str,
)
def test_every_job_is_in_one_group_of_enough_traces(sizes: list[int], groups: list[int]) -> None:
    jobs = [Job(str(k), "test", np.arange(n), "", np.zeros(n)) for k, n in enumerate(sizes)]
    found = list(detection._together(jobs))
    assert [len(some) for some in found] == groups
    assert [job.name for some in found for job in some] == [job.name for job in jobs]


def unscreened(*arguments):
    """Stands for `screen` where nothing should be screened."""
    raise RuntimeError(f"{len(arguments[3])} traces")


@pytest.mark.slow
def test_parts_of_other_code_are_not_used(
    real: DetectionResult,  # noqa: ARG001
    folder: Path,
    small: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detection, "screen", unscreened)
    with pytest.raises(RuntimeError, match=f"{N_TRACES} traces"):
        run(folder, "other code")
    with pytest.raises(RuntimeError, match=f"{N_TRACES} traces"):
        run(None)
    assert len(list(folder.iterdir())) == N_PARTS


@pytest.mark.slow
@pytest.mark.parametrize("other", ["rows", "severity"])
def test_parts_of_other_traces_are_not_used(
    real: DetectionResult,
    monkeypatch: pytest.MonkeyPatch,
    other: str,
) -> None:
    monkeypatch.setattr(detection, "screen", unscreened)
    (job,) = (job for job in detection._jobs(TINY) if job.name == "control")
    ((_, part),) = real.bench.parts([job])
    np.testing.assert_array_equal(part.current, real.control.current)
    changed = {"rows": job.rows[::-1].copy(), "severity": job.severity + 0.5}[other]
    with pytest.raises(RuntimeError, match=f"{len(job.rows)} traces"):
        list(real.bench.parts([job._replace(**{other: changed})]))


@pytest.mark.slow
def test_a_truncated_part_is_made_anew(
    real: DetectionResult,
    folder: Path,
    screened: list[int],
) -> None:
    (short,) = folder.glob("control-*.npz")
    whole = short.read_bytes()
    short.write_bytes(whole[: len(whole) // 2])
    again = run(folder)
    assert screened == [8]
    np.testing.assert_array_equal(again.control.diagnostics, real.control.diagnostics)
    np.testing.assert_array_equal(again.control.mean, real.control.mean)
