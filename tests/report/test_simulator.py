"""What the chapter on the simulator computes, on few cases."""

from pathlib import Path

import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.report import simulator
from ecguard.report.chapter import Chapter
from ecguard.report.peers import Row
from ecguard.report.profiles import profile_named
from ecguard.report.simulator import Speed


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    return Chapter("simulator", {}, profile_named("smoke"), 2028, tmp_path, 0.0)


def test_fouling_lowers_and_parts_the_peaks() -> None:
    found = simulator.examples(0.25, 0.78)
    clean, fouled = (
        np.asarray(found.voltammogram[name].current_density_mA_cm2) for name in ("clean", "fouled")
    )
    assert np.ptp(fouled) < 0.9 * np.ptp(clean)
    assert fouled.argmin() > clean.argmin()
    assert found.time_s.shape == found.current["fouled"].shape == (4, 256)
    lines = simulator.fouling_table(found).data.splitlines()
    assert lines[2].startswith("| clean |")
    assert "0.00 to 0.00 | 100 | 100% | 100.0%" in lines[2]
    assert "0.78 to 0.79" in lines[3]


def test_bare_electrode_fouls_to_nothing_but_what_adsorbs() -> None:
    found = simulator.examples(0.25, 0.0)
    assert float(found.voltammogram["fouled"].coverage[0]) == 0.0


def test_throughput_counts_whole_blocks() -> None:
    speed = simulator.throughput(9, block=4, passes=1)
    assert speed.traces == 8
    assert speed.traces_per_s > 0
    assert speed.compile_s >= 0  # nothing where this shape was compiled before


@pytest.mark.parametrize("name", ["n_traces", "n_couples", "block", "passes"])
def test_throughput_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        simulator.throughput(**({"n_traces": 4} | {name: 0}))


@pytest.mark.parametrize(("rate", "passed"), [(39_999.0, False), (40_000.0, True)])
def test_speed_is_held_against_its_goal(chapter: Chapter, rate: float, passed: bool) -> None:
    claim, alone = simulator.speed_claims(chapter, Speed(rate, 2.0, 256, 2), 4.0)
    assert claim.passed is passed
    assert alone.passed
    assert "compiling took 2.0 s more" in claim.text


def test_slow_single_traces_and_dear_gradients_fail(chapter: Chapter) -> None:
    _, alone, gradient = simulator.speed_claims(chapter, Speed(1e5, 2.0, 256, 2), 5.1, 5.1)
    assert not alone.passed
    assert not gradient.passed


def test_one_trace_and_a_gradient_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "PASSES", 5)
    monkeypatch.setattr(simulator, "N_STEPS", 64)
    assert simulator.one_trace_ms() > 0
    assert simulator.gradient_ratio(4) > 1


def row(name: str, error: float | None = None, times: float | None = None) -> Row:
    ran = (1.0, error, 5.0) if times else (None,) * 3
    return Row("reversible", name, "1.0", *ran, times)


def test_the_fastest_peer_is_claimed(chapter: Chapter) -> None:
    rows = [
        row("ecguard, one trace", 1e-4, 50.0),
        row("ecguard, batch of 512", 1e-3, 1.0),
        row("quick", 2e-2, 600.0),
        row("slow", 1e-3, 6000.0),
        row("absent"),
    ]
    time, error = simulator.peer_claims(chapter, rows)
    assert time.value == 600.0
    assert error.value == pytest.approx(20.0)
    assert time.passed
    assert error.passed
    assert "quick" in time.text
    assert len(simulator.peers_table(rows).data.splitlines()) == 7
    assert "quick" in simulator.peer_sentences((time, error), rows).data


def test_without_peers_the_page_says_so(chapter: Chapter) -> None:
    rows = [row("ecguard, batch of 512", 1e-3, 1.0), row("absent")]
    assert simulator.peer_claims(chapter, rows) == ()
    assert "No other simulator" in simulator.peer_sentences((), rows).data
    assert "standard" in simulator.peers_table(()).data
