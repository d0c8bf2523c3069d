"""What the chapter on the simulator computes, on few cases."""

from pathlib import Path

import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.report import simulator
from ecguard.report.chapter import Chapter
from ecguard.report.profiles import profile_named
from ecguard.report.simulator import Checks, Speed


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    return Chapter("simulator", {}, profile_named("smoke"), 2028, tmp_path, 0.0)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "N_CHECKED", 4)


def test_every_closed_form_is_claimed_and_holds(chapter: Chapter) -> None:
    found = simulator.claims(chapter, simulator.closed_forms(3))
    assert [claim.id.partition(".")[2] for claim in found] == list(simulator.BOUNDS)
    assert all(claim.passed for claim in found)
    assert all(claim.n == 4 for claim in found)


def test_slow_kinetics_fail_the_reversible_peak(
    chapter: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator, "FAST_CM_S", 0.1)
    failing = {c.id for c in simulator.claims(chapter, simulator.closed_forms(3)) if not c.passed}
    assert {"simulator.peak-current", "simulator.peak-potential"} <= failing
    assert "simulator.kinetic-step" not in failing


def test_a_claim_is_about_the_worst_case(chapter: Chapter) -> None:
    errors = {
        key: np.array([0.0, 2 * bound if key == "coverage" else bound])
        for key, (_, _, bound) in simulator.BOUNDS.items()
    }
    failing = [c.id for c in simulator.claims(chapter, Checks(errors, {})) if not c.passed]
    assert failing == ["simulator.coverage"]


def test_curves_lie_on_their_closed_forms() -> None:
    for name, curve in simulator.closed_forms(3).curves.items():
        late = slice(len(curve.x) // 2, None)
        scale = np.abs(curve.closed_form).max()
        np.testing.assert_allclose(
            curve.simulated[late], curve.closed_form[late], atol=1e-3 * scale, err_msg=name
        )


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


@pytest.mark.parametrize(("rate", "passed"), [(7999.0, False), (8000.0, True)])
def test_speed_is_held_against_its_goal(chapter: Chapter, rate: float, passed: bool) -> None:
    claim = simulator.speed_claim(chapter, Speed(rate, 2.0, 256, 2))
    assert claim.passed is passed
    assert "compiling took 2.0 s more" in claim.text
