"""The Randles circuit against the textbook's elements and against a small step in time."""

import numpy as np
import pytest
from scipy.integrate import quad

from ecguard import reference

COUPLE = {"D_ox": 1e-5, "D_red": 3e-5, "E0": 0.05, "k0": 5e-3, "alpha": 0.4}
AREA, RU, CDL = 0.07, 150.0, 2e-6
C_OX, C_RED = 3.0, 1.5


def at_equilibrium(frequency: np.ndarray | float, **cell: float) -> np.ndarray:
    E = reference.nernst_potential(C_OX, C_RED, COUPLE["E0"])
    return reference.randles_impedance(frequency, E, C_OX, C_RED, **COUPLE, area_cm2=AREA, **cell)


def test_equilibrium_has_the_textbooks_elements() -> None:
    """Bard and Faulkner 10.3: charge transfer resistance and Warburg coefficient."""
    frequency = np.logspace(-1, 4, 11)
    root = np.sqrt(2j * np.pi * frequency)
    unit = reference.thermal_voltage() / (reference.FARADAY * AREA * 1e-6)
    transfer = unit / (COUPLE["k0"] * C_OX**0.6 * C_RED**0.4)
    warburg = unit * (1 / (C_OX * np.sqrt(1e-5)) + 1 / (C_RED * np.sqrt(3e-5))) / root
    series = transfer + warburg
    assert at_equilibrium(frequency) == pytest.approx(series, rel=1e-12)
    admittance = 1 / series + root**2 * CDL
    found = at_equilibrium(frequency, Ru_ohm=RU, Cdl_F=CDL)
    assert found == pytest.approx(RU + 1 / admittance, rel=1e-12)


def test_limits_of_the_frequency() -> None:
    low, high = at_equilibrium(np.array([1e-7, 1e9]), Ru_ohm=RU, Cdl_F=CDL)
    assert np.degrees(np.angle(low)) == pytest.approx(-45.0, abs=0.1)
    assert high == pytest.approx(RU, rel=1e-5)


def test_small_step_in_time_is_its_fourier_integral() -> None:
    """i(t) = 2/pi step integral of Re(1/Z)/w sin(w t) dw, against the integral equation."""
    step, time = 1e-5, np.array([1e-4, 1e-3, 1e-2, 0.3])
    rest = reference.nernst_potential(C_OX, C_RED, COUPLE["E0"])
    parameters = {"C_ox": C_OX, "C_red": C_RED, "area_cm2": AREA, "Ru_ohm": RU, "Cdl_F": CDL}
    current = sum(
        sign
        / 2
        * reference.voltammogram(
            time,
            [0.0, 0.0, 1.0],
            [rest, rest + sign * step, rest + sign * step],
            **COUPLE,
            **parameters,
        ).current_density_mA_cm2
        for sign in (1, -1)
    )

    def response(log_w: float) -> float:
        return float(np.real(1 / at_equilibrium(np.exp(log_w) / 2 / np.pi, Ru_ohm=RU, Cdl_F=CDL)))

    for t, found in zip(time, current, strict=True):
        # beyond w = 1e7/s the response is the constant 1/Ru, whose integral is known
        def excess(log_w: float, t: float = t) -> float:
            return (response(log_w) - 1 / RU) * np.sin(np.exp(log_w) * t)

        slow = quad(excess, -40.0, np.log(1 / t), epsabs=1e-16, limit=500)[0]
        fast = quad(
            lambda w: (response(np.log(w)) - 1 / RU) / w, 1 / t, np.inf, weight="sin", wvar=t
        )[0]
        expected = 1e3 * step / AREA * (2 / np.pi * (slow + fast) + 1 / RU)
        assert found == pytest.approx(expected, rel=1e-6)
