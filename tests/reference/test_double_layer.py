"""Charging currents against the equation of the circuit."""

import numpy as np
import pytest

from ecguard import reference

RU, CDL, AREA = 2000.0, 5e-6, 0.07


def test_step_discharges_the_step_through_the_resistance() -> None:
    time = np.linspace(0, 0.05, 20001)
    current = reference.charging_step_current(time, -0.2, RU, CDL, AREA)
    charge = 1e-3 * AREA * np.trapezoid(current, time)
    interface = -0.2 - 1e-3 * AREA * current[-1] * RU
    assert current[0] == pytest.approx(-0.2 / RU / AREA * 1e3)
    assert charge == pytest.approx(CDL * interface, rel=1e-6)


def test_triangle_solves_the_equation_of_the_circuit() -> None:
    """i = Cdl d(E - Ru i)/dt on both flanks, and the current does not jump at the vertex."""
    turn, rate, h = 0.03, -0.5, 1e-6
    for time, slope in ((0.02, rate), (0.045, -rate)):
        around = np.array([time - h, time, time + h])
        i = 1e-3 * AREA * reference.charging_ramp_current(around, rate, RU, CDL, AREA, turn)
        assert i[1] == pytest.approx(CDL * (slope - RU * (i[2] - i[0]) / (2 * h)), rel=1e-6)
    sides = reference.charging_ramp_current(
        turn * np.array([1 - 1e-9, 1 + 1e-9]), rate, RU, CDL, AREA, turn
    )
    assert sides[0] == pytest.approx(sides[1], rel=1e-6)
    assert reference.charging_ramp_current(0.0, rate, RU, CDL, AREA, turn) == 0
    late = reference.charging_ramp_current(5.0, rate, RU, CDL, AREA)
    assert late == pytest.approx(1e3 * rate * CDL / AREA)
