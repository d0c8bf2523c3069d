"""Verdicts on measured traces, from the command line to pictures."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecguard import Cell, Couples, Fouling, Waveform, cli, simulate
from ecguard.diagnostics import Familiarity
from ecguard.guardrail import BlindSpot, CombinedScore, FittedGuardrail, ValidFor
from ecguard.known_faults import FAULTS
from ecguard.posterior import laplace
from ecguard.posterior.amortised.artefacts import fingerprint, load_amortised
from ecguard.posterior.likelihood import Observation
from ecguard.protocol import CANDIDATES, DEFAULT, inference
from ecguard.protocol.inference import diagnostic_names
from ecguard.protocol.measured import in_words, to_apply
from ecguard.recording import read_recording
from ecguard.report import screening as sc
from ecguard.report.payload import load_payload
from ecguard.screening import DIAGNOSTICS, ScreenedSteps
from ecguard.waveforms import cyclic

pytestmark = pytest.mark.slow

NOISE = 0.05
TONE = CANDIDATES["tone-1000"]
CELL = Cell(0.01, 100.0, 2e-7, 298.15)
COUPLES = Couples(*(np.array([value]) for value in (8e-6, 8e-6, 3.0, 0.2, 0.05, 2e-2, 0.5)))


def write(path: Path, t_s: np.ndarray, E_V: np.ndarray, current: np.ndarray) -> str:
    """A recording of a potentiostat whose reference electrode is 0.2 V off.

    It resolves 1 nA, so that a file is the same whichever way a machine rounds: which samples are
    shown depends on what was recorded.
    """
    rows = zip(t_s, E_V - 0.2, 1e-5 * np.round(current, 4), strict=True)
    lines = [",".join(f"{value:.9g}" for value in row) for row in rows]
    path.write_text("# made up\nt_s,E_V,I_A\n" + "\n".join(lines))
    return str(path)


@pytest.fixture(scope="module")
def guardrail() -> FittedGuardrail:
    """Takes large diagnostics for suspect; for voltammograms of which 0.3 to 0.5 is seen."""
    rng = np.random.default_rng(3)
    spread = np.full(len(DIAGNOSTICS), 30.0)
    design, calibration = spread * rng.standard_normal((2, 200, len(spread)))
    score = CombinedScore.fit(tuple(DIAGNOSTICS), design, design + 20 * spread)
    amortised, wide = load_amortised(), (-1.0, 1.0)
    ranges = ((0.5, 100.0), wide, (0.3, 0.5), (0.1, 1e4), (wide,) * 5)
    valid = ValidFor("cv", 256, 1, NOISE, fingerprint(amortised), *ranges, ())
    known = Familiarity.fit(rng.standard_normal((100, amortised.meta.sizes.summary)))
    fitted = FittedGuardrail.fit(score, calibration, known, valid)
    return replace(fitted, undetectable=(BlindSpot("Dust", (0.1, 0.2), "mg", 0.3),))


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean one of four times the samples, one far from any electrode, and a loud one."""
    folder = tmp_path_factory.mktemp("traces")
    waveform = cyclic(0.7, -0.7, 0.2, 1021)
    trace = simulate(waveform, COUPLES, CELL)
    current = np.asarray(trace.current_density_mA_cm2)
    white = NOISE * np.random.default_rng(3).standard_normal(len(current))
    for name, values in (
        ("clean", current + 2 * white),
        ("huge", 1000.0 * current + 2 * white),
        ("loud", current + 20 * white),
    ):
        write(folder / f"{name}.csv", waveform.t_s, waveform.E_V, values)
    return folder


@pytest.fixture
def command(guardrail: FittedGuardrail, tmp_path: Path) -> list[str]:
    """All but the traces."""
    path = guardrail.save(tmp_path / "guardrail.json", {})
    options = ["--area-cm2", "0.01", "--shift-V", "0.2", "--out", str(tmp_path / "out")]
    return ["screen", "--guardrail", str(path), *options]


def test_traces_are_judged_in_words_pictures_and_json(
    command: list[str], traces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("clean", "huge", "loud")
    given = [str(traces / f"{name}.csv") for name in names]
    assert cli.main([*command, *given]) == 0
    said = capsys.readouterr().out
    assert re.search(r"clean.csv: not flagged \(p = 0\.\d+\)", said)
    assert re.search(r"huge.csv: FLAGGED, do not trust its posterior \(p = 0\.0", said)
    assert re.search(r"loud.csv: .*\n  samples of loud.csv scatter by 0\.[45]", said)
    assert said.count("scatter by") == 1
    # of 200 the threshold has rank 6
    assert "5% or fewer are flagged, with a certainty of 90.0%: those up to p = 0.03." in said
    assert "Of 256 samples of a trace 102 were looked at" in said
    assert "tried on films alone" not in said
    assert "may hide:\n  Dust at 0.1, 0.2 mg\nA film shows in one more step: `ecguard plan`" in said

    payload = load_payload(tmp_path / "out" / "screening.json")
    assert [row["paths"] for row in payload["traces"]] == [[path] for path in given]
    assert [row["flagged"] for row in payload["traces"]][:2] == [False, True]
    clean = payload["traces"][0]
    assert clean["posterior"]["E0"]["low"] < 0.05 < clean["posterior"]["E0"]["high"]
    assert set(clean["diagnostics"]) == set(DIAGNOSTICS)
    assert set(clean["fault_evidence"]) == {fault.name for fault in FAULTS}
    huge = payload["traces"][1]["fault_evidence"]
    likeliest = max(FAULTS, key=lambda fault: huge[fault.name])
    nats = f"{huge[likeliest.name]:.1f} nats"
    assert f"than none, to first order: {likeliest.title.lower()} ({nats})" in said
    assert "known faults" not in said.partition("huge.csv")[0]
    assert payload["undetectable"] == ["Dust at 0.1, 0.2 mg"]
    pictures = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert pictures == ["000-clean.png", "001-huge.png", "002-loud.png"]
    assert [row["pictures"] for row in payload["traces"]] == [[name] for name in pictures]
    assert clean["observed"] == [102]

    first = (tmp_path / "out" / "screening.json").read_text().partition('"provenance"')[0]
    assert cli.main([*command, *given]) == 0
    again = (tmp_path / "out" / "screening.json").read_text().partition('"provenance"')[0]
    assert first == again


def test_a_file_has_one_verdict_wherever_it_stands(
    command: list[str], traces: Path, tmp_path: Path
) -> None:
    """A spike among the samples that are put aside is not seen; it is not to be seen by chance."""
    clean, loud = (str(traces / f"{name}.csv") for name in ("clean", "loud"))
    assert cli.main([*command, clean, loud, clean]) == 0
    first, _, again = load_payload(tmp_path / "out" / "screening.json")["traces"]
    for name in ("score", "diagnostics", "posterior"):
        assert first[name] == again[name]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--shift-V", "0.9"], r"E_V of .*clean.csv = .*as calibrated\. "),
        (["--area-cm2", "0"], "area_cm2"),
        (["--area-cm2", "0.0707"], r"area_cm2 = 0.0707 cannot be used: 0.01 within 5%"),
        (["--area-cm2", "inf"], "area_cm2"),
        (["--guardrail", "none.json"], "guardrail = 'none.json'"),
        (["--checkpoint", "none.eqx"], "none.eqx"),
        (["none.csv"], "trace = 'none.csv'"),
    ],
)
def test_what_cannot_be_judged_is_one_line_and_leaves_nothing(
    command: list[str],
    traces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    extra: list[str],
    words: str,
) -> None:
    assert cli.main([*command, str(traces / "clean.csv"), *extra]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(words, line)
    assert not (tmp_path / "out").exists()


# Protocols


@pytest.fixture(scope="module")
def protocol_guardrail() -> FittedGuardrail:
    """Takes large diagnostics for suspect."""
    rng, names, wide = np.random.default_rng(5), diagnostic_names(TONE), (-1.0, 1.0)
    design, calibration = 10.0 * rng.standard_normal((2, 200, len(names)))
    score = CombinedScore.fit(names, design, design + 200)
    own = fingerprint(load_amortised())
    ranges = ((0.5, 100.0), wide, (0.3, 0.5), (0.1, 1e4), (wide,) * 5)
    valid = ValidFor("cv", 256, 1, NOISE, own, *ranges, in_words(TONE))
    found = FittedGuardrail.fit(score, calibration, None, valid)
    return replace(found, undetectable=(BlindSpot("Biofouling", (0.001,), "coverage", 1.0),))


def recorded(waveform: Waveform, fouling: Fouling | None, seed: int) -> np.ndarray:
    """A trace with noise whose std is `NOISE` to the last digit."""
    trace = simulate(waveform, COUPLES, CELL, fouling)
    current = np.asarray(trace.current_density_mA_cm2)
    noise = np.random.default_rng(seed).standard_normal(len(current))
    return current + NOISE * noise / noise.std()


@pytest.fixture
def bench(protocol_guardrail: FittedGuardrail, tmp_path: Path) -> list[str]:
    path = protocol_guardrail.save(tmp_path / "protocol_guardrail.json", {})
    return ["--guardrail", str(path), "--area-cm2", "0.01", "--shift-V", "0.2"]


def test_a_protocol_is_planned_measured_and_judged(
    bench: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (inference, laplace):
        monkeypatch.setattr(module, "BLOCK", 2)
    first, files = cyclic(0.7, -0.7, 0.2, 256), []
    film = Fouling(initial_theta=0.6)
    for k, fouling in enumerate((None, film)):
        name = tmp_path / f"cv-{k}.csv"
        files.append(write(name, first.t_s, first.E_V, recorded(first, fouling, k)))
    plan = tmp_path / "plan"
    assert cli.main(["plan", files[0], *bench, "--out", str(plan)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"step-2.csv:\n    hold its first potential for 4.98 s; record 256 ", said)
    assert f"{TONE.steps[1].averaging.records} times, with" in said
    applied = np.loadtxt(plan / "step-2.csv", delimiter=",", skiprows=1)
    assert applied[0, 1] == pytest.approx(0.5, abs=0.01)  # its own reference
    assert np.ptp(applied[:, 1]) == pytest.approx(0.02, rel=0.05)

    # the mean of many records is simulated as one after an effective quiet time
    step, given = TONE.steps[1], []
    held = step.waveform(Waveform(first.t_s[None], first.E_V[None]))
    own = Waveform(held.t_s[0], held.E_V[0])
    for k, fouling in enumerate((None, film)):
        current = recorded(own, fouling, 10 + k)[step.n_quiet :]
        given.append(write(tmp_path / f"tone-{k}.csv", applied[:, 0], applied[:, 1] + 0.2, current))
    pairs = [files[0], given[0], files[1], given[1]]
    out, shown, draw = tmp_path / "out", [], sc.trace_figure

    def drawn(time: np.ndarray, *others: Any) -> Any:
        shown.append(time)
        return draw(time, *others)

    monkeypatch.setattr(sc, "trace_figure", drawn)
    assert cli.main(["screen", *pairs, *bench, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"cv-0.csv and .*tone-0.csv: not flagged", said)
    assert re.search(r"cv-1.csv and .*tone-1.csv: FLAGGED.*\n  a film explains it better by", said)
    assert "may hide:\n  Biofouling at 0.001 coverage\nSee " in said
    assert "The protocol was tried on films alone." in said
    assert re.search(r"with a coverage of .* a resistance in series .* looks alike", said)
    assert "scatter by" not in said
    payload = load_payload(out / "screening.json")
    assert [row["paths"] for row in payload["traces"]] == [pairs[:2], pairs[2:]]
    clean, fouled = payload["traces"]
    assert clean["film"]["log_bayes_factor"] < 0 < fouled["film"]["log_bayes_factor"]
    coverage = fouled["film"]["posterior"]["coverage"]
    assert coverage["low"] < 0.6 < coverage["high"], coverage
    assert clean["film"]["posterior"]["coverage"]["low"] == 0.0  # it may be clean as well
    assert set(clean["diagnostics"]) == set(diagnostic_names(TONE))
    assert "fault_evidence" not in clean
    assert fouled["observed"] == clean["observed"] == [102, 102]
    assert fouled["film"]["chi_square"] == pytest.approx(204, rel=0.3)
    assert clean["scatter_mA_cm2"] == pytest.approx([NOISE, NOISE], rel=0.3)
    pictures = sorted(path.name for path in out.glob("*.png"))
    stems = ("000-step-1-cv-0", "000-step-2-tone-0", "001-step-1-cv-1", "001-step-2-tone-1")
    assert pictures == [f"{stem}.png" for stem in stems]
    np.testing.assert_allclose(shown[1], applied[:, 0], atol=1e-6)  # no quiet time


def test_scatter_is_that_of_what_the_fit_leaves() -> None:
    """Of a fast sine, whose own neighbours differ."""
    time, rng = np.arange(256.0)[None], np.random.default_rng(2)
    sine = np.sin(time)
    current = sine + NOISE * rng.standard_normal(time.shape)
    step = Observation(time, 0 * time, current, np.ones(time.shape, bool), np.full(1, NOISE))
    given = dict.fromkeys(field.name for field in fields(sc.Judged))
    known = {"protocol": DEFAULT, "steps": (step,), "predicted": ((sine, 0 * sine),)}
    assert sc.Judged(**(given | known)).scatter(0, 0) == pytest.approx(NOISE, rel=0.3)


def test_samples_that_were_put_aside_and_are_far_from_the_fit_are_counted() -> None:
    """One that was looked at is the verdict's to judge, one in the quiet time was not recorded."""
    time, current = np.arange(256.0)[None], np.zeros((1, 256))
    seen = np.arange(256)[None] % 2 == 0
    current[0, [1, 100, 101, 103]] = 7 * NOISE
    current[0, 105] = 5 * NOISE
    step = Observation(time, 0 * time, current, seen, np.full(1, NOISE))
    given = dict.fromkeys(field.name for field in fields(sc.Judged))
    predicted = ((0 * current, NOISE + 0 * current),)
    judged = sc.Judged(
        **given | {"protocol": TONE, "steps": (step, step), "predicted": predicted * 2}
    )
    assert TONE.steps[1].n_quiet > 1
    assert [judged.stray(0, k) for k in range(2)] == [3, 2]
    assert seen.sum() == 128


def test_a_protocol_takes_a_file_for_each_step(
    bench: list[str], traces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = str(traces / "clean.csv")
    assert cli.main(["screen", clean, *bench]) == 2
    assert "traces = 1 cannot be used: 2 files for each electrode" in capsys.readouterr().err
    assert cli.main(["screen", clean, str(traces / "loud.csv"), *bench]) == 2
    assert "duration of step 2 of electrode 1" in capsys.readouterr().err
    assert cli.main(["screen", clean, clean, *bench]) == 2
    assert f"traces = '{clean}' cannot be used: a recording of its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("nats", "chi_square", "words"),
    [
        (-3.0, 200.0, "a film does not explain it better than a clean electrode"),
        (50.0, 210.0, "a film explains it better by 50.0 nats, with a coverage of 0.3 to 0.3"),
        (50.0, 300.0, "but does not fit either .chi-square 300 of 200 samples.: something else"),
    ],
)
def test_a_film_is_advised_only_where_it_fits(nats: float, chi_square: float, words: str) -> None:
    nothing, one = np.zeros((1, 0)), np.ones(1)
    clean = inference.Inferred(np.zeros((1, 4, 9)), nothing, 0.0 * one, 900.0 * one, ())
    fouled = clean._replace(
        draws=np.full((1, 4, 12), 0.3), log_evidence=nats * one, chi_square=chi_square * one
    )
    said = sc._of_film(ScreenedSteps(clean, fouled), 0, 200)
    assert re.search(words, said)
    assert ("clean the electrode" in said) == (nats > 0 and chi_square < 300)


def test_a_plan_says_how_any_step_is_recorded(traces: Path) -> None:
    first = read_recording(traces / "clean.csv", 0.01, 0.2).at(256)
    words = {}
    for name in ("hold", "clean-repeat", "repeat", "fast-scan"):
        protocol = CANDIDATES[name]
        (applied,) = to_apply(protocol, first)
        words[name] = sc._what_to_do(protocol.steps[1], applied)
    assert words["hold"].startswith("hold its first potential for 30 s; record 256 samples in 14")
    assert words["clean-repeat"].startswith("hold its first potential for 60 s, the cleaning on; ")
    assert words["repeat"].startswith("at once; record 256 samples in 14")
    assert "3 times, with" in words["fast-scan"]
    assert not any("times" in words[name] for name in ("hold", "clean-repeat", "repeat"))


def test_nothing_is_planned_after_a_trace_of_another_kind(
    bench: list[str], traces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "plan")]
    assert cli.main(["plan", *bench, *out, str(traces / "clean.csv"), "--shift-V", "0.9"]) == 2
    assert re.search(r"E_V of .*clean.csv", capsys.readouterr().err)
    assert not (tmp_path / "plan").exists()


def test_there_is_no_plan_for_one_voltammogram(
    command: list[str], traces: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["plan", *command[1:], str(traces / "clean.csv")]) == 2
    assert "one of a protocol of several steps" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
