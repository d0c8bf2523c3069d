"""The checks of the simulator hold, and planted faults fail their rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
import pytest

from ecguard import reference
from ecguard.report import verification
from ecguard.report.chapter import Chapter
from ecguard.report.profiles import profile_named
from ecguard.report.verification import (
    Row,
    Scope,
    bench,
    convergence,
    coverage,
    gradient,
    impedance,
    law,
    peak,
    step,
    voltammogram,
)
from ecguard.report.verification.row import row, rows_table
from ecguard.simulator import simulate_batch

FEW = Scope(3, few=True)


def failing(rows: list[Row]) -> set[str]:
    return {r.key for r in rows if not r.passed}


def plant(monkeypatch: pytest.MonkeyPatch, fault: Callable[..., tuple[Any, ...]]) -> None:
    """Let the bench simulate other electrodes than it is given."""
    monkeypatch.setattr(
        bench,
        "simulate_batch",
        lambda *given, outputs: simulate_batch(*fault(*given), outputs=outputs),
    )


def scaled(field: str, factor: float) -> Callable[..., tuple[Any, ...]]:
    """A fault in one leaf of the couples or, where they have none, of the cell."""

    def fault(waveform: Any, couples: Any, cell: Any, fouling: Any) -> tuple[Any, ...]:
        if hasattr(couples, field):
            couples = eqx.tree_at(
                lambda c: getattr(c, field), couples, getattr(couples, field) * factor
            )
        else:
            cell = eqx.tree_at(lambda c: getattr(c, field), cell, getattr(cell, field) * factor)
        return waveform, couples, cell, fouling

    return fault


@pytest.fixture(scope="module")
def rows() -> tuple[Row, ...]:
    return verification.verify(FEW)


def test_every_check_holds_and_is_claimed(rows: tuple[Row, ...], tmp_path: Path) -> None:
    chapter = Chapter("simulator", {}, profile_named("smoke"), 2028, tmp_path, 0.0)
    claims = verification.claims(chapter, rows)
    assert [c.id for c in claims] == [f"simulator.{r.key}" for r in rows]
    assert len({c.id for c in claims}) == len(claims)
    assert [c.id for c in claims if not c.passed] == []


def test_the_table_shows_every_row(rows: tuple[Row, ...]) -> None:
    lines = rows_table(rows).data.splitlines()
    assert len(lines) == len(rows) + 2
    assert all(line.endswith("| pass |") for line in lines[2:])


def test_the_source_of_the_separation_says_how_far_the_table_is(rows: tuple[Row, ...]) -> None:
    (found,) = (r for r in rows if r.key == "peak-separation")
    above = [
        printed - 1e3 * reference.peak_separation(psi)
        for psi, printed in reference.PRINTED_SEPARATION_MV.items()
        if psi in FEW.thin(peak.PSI)
    ]
    assert found.source.endswith(f"prints {min(above):.1f} to {max(above):.1f} mV more")


def test_the_worst_case_counts_and_no_number_is_worst() -> None:
    values = {"ours": [1.0, 2.0, 3.0], "reference": 1.0, "unit": "V", "bound": 1.5}
    found = row("a", "b", "c", errors=[0.0, 2.0, 1.0], **values)
    assert (found.ours, found.reference, found.error, found.n) == (2.0, 1.0, 2.0, 3)
    assert not found.passed
    lost = row("a", "b", "c", errors=[0.0, 2.0, np.nan], **values)
    assert lost.ours == 3.0
    assert not lost.passed


def test_a_wrong_rate_constant_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, scaled("k0", 1.1))
    assert failing(voltammogram.against_integral_equation(FEW)) >= {
        "kinetics-float64",
        "kinetics-float32",
    }
    assert failing(peak.peak_separation(FEW)) == {"peak-separation"}
    assert failing(peak.irreversible_peak(FEW)) == {"irreversible-peak-potential"}
    late = {"kinetic-step-later", "kinetic-charge-later"}
    assert failing(step.kinetic_step(FEW)) >= {*late, "kinetic-charge"}
    assert failing(step.limiting_step(FEW)) == set()


def test_a_wrong_diffusion_coefficient_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, scaled("D_ox", 1.001))
    assert failing(peak.reversible_peak(FEW)) >= {"peak-current", "reversible-sweep"}
    assert failing(step.limiting_step(FEW)) == {"limiting-current", "limiting-charge"}
    assert failing(step.reversible_square_wave(FEW)) == {"square-wave-peak"}
    assert failing(law.mass_balance(FEW)) == {"mass-balance", "surface-concentration"}


def test_a_wrong_transfer_coefficient_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, scaled("alpha", 1.01))
    assert failing(peak.irreversible_peak(FEW)) == {
        "irreversible-peak-current",
        "irreversible-peak-potential",
        "irreversible-peak-width",
    }


@pytest.mark.parametrize("field", ["Ru_ohm", "Cdl_F"])
def test_a_wrong_circuit_is_noticed(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    plant(monkeypatch, scaled(field, 1.05))
    assert failing(step.charging(FEW)) == {"charging-step", "charging-ramp"}
    assert "impedance-phase" in failing(impedance.randles(FEW))
    circuit = {"circuit-float64", "circuit-float32"}
    assert failing(voltammogram.against_integral_equation(FEW)) == circuit


def test_fewer_steps_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voltammogram, "STEPS", 400)
    assert failing(voltammogram.against_integral_equation(FEW)) == {"kinetics-float64"}


def test_wrong_rates_of_fouling_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(
        monkeypatch,
        lambda w, c, e, f: (w, c, e, f and eqx.tree_at(lambda t: t.k_ads, f, f.k_ads * 1.01 + 1)),
    )
    assert failing(coverage.langmuir(FEW)) == {"coverage"}
    assert failing(coverage.clean_control(FEW)) == {"clean-control"}


def test_laws_are_about_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(
        monkeypatch,
        lambda w, c, e, f: (w, eqx.tree_at(lambda t: t.C_ox, c, c.C_ox + 1e-6), e, f),
    )
    assert "linearity" in failing(law.scaling(FEW))


def test_gradients_in_single_precision_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient, "PRECISION", 32)
    assert "gradient-parameters" in failing(gradient.parameters(FEW))


def test_every_parameter_is_differentiated() -> None:
    found = gradient.gradients(64)
    assert set(found.names) == {
        "E_V",
        *vars(gradient.point().couples),
        *vars(gradient.point().cell),
        *vars(gradient.point().fouling),
    }
    assert np.all(found.differences[np.array(found.names) != "E_V"] != 0)
    lines = verification.sorted_errors()
    assert sum(len(x) for x, _ in lines.values()) == len(found.names)


def test_the_error_falls_in_second_order() -> None:
    found = verification.in_steps(FEW)
    assert all(-2.1 < slope < -1.9 for slope in found.slopes.values())
    words = verification.slope_sentence(found).data
    assert all(name in words for name in convergence.SWEEPS)


def test_more_exponentials_are_closer_down_to_the_tolerance() -> None:
    lines = verification.in_exponentials()
    _, tolerance = lines.pop("tolerance")
    for _, errors in lines.values():
        assert errors[0] > 1e3 * tolerance[0]
        assert errors[-1] < tolerance[0]


def test_examples_lie_on_the_integral_equation() -> None:
    traces, errors = verification.examples()
    assert traces.keys() == errors.keys()
    assert all(np.abs(error).max() < 0.05 for _, error in errors.values())


def test_semi_integral_of_a_ramp() -> None:
    time = np.linspace(0.0, 2.0, 21)
    found = law.semi_integral(time[None], np.full((1, 1), 0.1))
    np.testing.assert_allclose(found[0], 4 / 3 * time**1.5 / np.sqrt(np.pi), atol=1e-12)


def test_phasor_sees_through_drift() -> None:
    k = np.arange(voltammogram.STEPS + 1)
    turn = 2 * np.pi * k / impedance.SAMPLES_PER_PERIOD
    found = impedance.phasor((2 * np.sin(turn) - 3 * np.cos(turn) + 1e-3 * k - 4)[None])
    np.testing.assert_allclose(found, [2 - 3j])
