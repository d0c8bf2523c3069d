"""Verdicts on measured traces, from the command line to pictures."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecguard import Cell, Couples, cli, simulate
from ecguard.diagnostics import Familiarity
from ecguard.guardrail import BlindSpot, CombinedScore, FittedGuardrail, ValidFor
from ecguard.posterior.amortised.artefacts import fingerprint, load_amortised
from ecguard.report.payload import load_payload
from ecguard.screening import DIAGNOSTICS
from ecguard.waveforms import cyclic

pytestmark = pytest.mark.slow

NOISE = 0.05


@pytest.fixture(scope="module")
def guardrail() -> FittedGuardrail:
    """Takes large diagnostics for suspect; for voltammograms of which 0.3 to 0.5 is seen."""
    rng = np.random.default_rng(3)
    spread = np.full(len(DIAGNOSTICS), 30.0)
    design, calibration = spread * rng.standard_normal((2, 200, len(spread)))
    score = CombinedScore.fit(tuple(DIAGNOSTICS), design, design + 20 * spread)
    amortised, wide = load_amortised(), (-1.0, 1.0)
    valid = ValidFor(
        "cv", 256, 1, NOISE, fingerprint(amortised), (0.5, 100.0), wide, (0.3, 0.5), (wide,) * 5
    )
    known = Familiarity.fit(rng.standard_normal((100, amortised.meta.sizes.summary)))
    fitted = FittedGuardrail.fit(score, calibration, known, valid)
    return replace(fitted, undetectable=(BlindSpot("Dust", (0.1, 0.2), "mg", 0.3),))


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean one of four times the samples, one far from any electrode, and a loud one."""
    folder = tmp_path_factory.mktemp("traces")
    waveform = cyclic(0.7, -0.7, 0.2, 1021)
    couples = Couples(*(np.array([value]) for value in (8e-6, 8e-6, 3.0, 0.2, 0.05, 2e-2, 0.5)))
    trace = simulate(waveform, couples, Cell(0.01, 100.0, 2e-7, 298.15))
    current = np.asarray(trace.current_density_mA_cm2)
    white = NOISE * np.random.default_rng(3).standard_normal(len(current))
    for name, values in (
        ("clean", current + 2 * white),
        ("huge", 1000.0 * current + 2 * white),
        ("loud", current + 20 * white),
    ):
        rows = zip(waveform.t_s, waveform.E_V - 0.2, 1e-5 * values, strict=True)
        lines = [",".join(f"{value:.9g}" for value in row) for row in rows]
        (folder / f"{name}.csv").write_text("# made up\nt_s,E_V,I_A\n" + "\n".join(lines))
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
    assert re.search(r"loud.csv: .*\n  its samples scatter by 0\.[45]", said)
    assert said.count("its samples scatter") == 1
    assert "5% or fewer are flagged, with a certainty of 90.0%." in said
    assert "may hide:\n  Dust at 0.1, 0.2 mg\n" in said

    payload = load_payload(tmp_path / "out" / "screening.json")
    assert [row["path"] for row in payload["traces"]] == given
    assert [row["flagged"] for row in payload["traces"]][:2] == [False, True]
    clean = payload["traces"][0]
    assert clean["posterior"]["E0"]["low"] < 0.05 < clean["posterior"]["E0"]["high"]
    assert set(clean["diagnostics"]) == set(DIAGNOSTICS)
    assert payload["undetectable"] == ["Dust at 0.1, 0.2 mg"]
    pictures = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert pictures == ["000-clean.png", "001-huge.png", "002-loud.png"]

    first = (tmp_path / "out" / "screening.json").read_text().partition('"provenance"')[0]
    assert cli.main([*command, *given]) == 0
    again = (tmp_path / "out" / "screening.json").read_text().partition('"provenance"')[0]
    assert first == again


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--shift-V", "0.9"], "E_V = .*as calibrated"),
        (["--area-cm2", "0"], "area_cm2"),
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
