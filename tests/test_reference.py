"""The closed forms, each held against an independent derivation of it."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from ecguard import reference

C, D, RATE = 2.0, 1e-5, 0.1


def current_function(past: float, derivative: bool = False) -> float:
    """sqrt(pi) chi of a reversible wave `past` its half-wave potential, in RT/F; or its slope."""

    def integrand(root: float) -> float:
        x = (past - root**2) / 2
        return 0.25 / np.cosh(x) ** 2 * (-np.tanh(x) if derivative else 1.0)

    return 2 / np.sqrt(np.pi) * quad(integrand, 0, 12, epsabs=1e-13, epsrel=1e-12, limit=200)[0]


def test_constants_of_the_reversible_peak() -> None:
    shift = brentq(lambda x: current_function(x, derivative=True), 0.9, 1.3, xtol=1e-12)
    assert shift == pytest.approx(reference.PEAK_SHIFT, abs=1e-9)
    assert current_function(shift) == pytest.approx(reference.PEAK_CURRENT, abs=1e-10)
    position = reference.reversible_peak_potential(0.0, D, D, 298.15)
    assert 1e3 * position == pytest.approx(-28.4918, abs=5e-5)


def test_peak_current_in_the_textbooks_units() -> None:
    """Bard and Faulkner: 2.69e5 A s^1/2 / (mol V^1/2) at 25 C, with C in mol/cm^3."""
    expected = 2.69e5 * (C * 1e-6) * np.sqrt(D * RATE) * 1e3
    found = reference.reversible_peak_current(C, D, RATE)
    assert found == pytest.approx(-expected, rel=2e-3)


@pytest.mark.parametrize("D_red", [1e-6, 1e-5, 1e-4])
def test_sweep_has_the_peak_and_the_value_at_half_wave(D_red: float) -> None:
    peak = reference.reversible_peak_potential(0.1, D, D_red)
    half_wave = 0.1 + reference.thermal_voltage() * np.log(D_red / D) / 2
    potential = np.array([peak - 1e-4, peak, peak + 1e-4, half_wave])
    current = reference.reversible_sweep_current(potential, C, D, D_red, 0.1, RATE)
    height = reference.reversible_peak_current(C, D, RATE)
    assert current[1] == pytest.approx(height, rel=1e-8)
    assert current[1] < min(current[0], current[2])
    assert current[3] / height * reference.PEAK_CURRENT == pytest.approx(0.380105, abs=1e-6)


def test_sweep_decays_to_the_limiting_current() -> None:
    """Far past the wave the electrode has been depleted since the sweep passed E1/2."""
    potential = np.array([-1.5])
    current = reference.reversible_sweep_current(potential, C, D, D, 0.0, RATE)
    assert current == pytest.approx(reference.limiting_current(1.5 / RATE, C, D), rel=2e-3)


def test_limiting_current_carries_the_charge_that_diffusion_brings() -> None:
    """Anson: Q = 2 F C sqrt(D t / pi)."""
    charge = quad(lambda t: float(reference.limiting_current(t, C, D)), 0, 2.0)[0]
    assert charge == pytest.approx(-2 * reference.FARADAY * 1e-3 * C * np.sqrt(D * 2.0 / np.pi))


def test_kinetic_step_begins_at_the_rate_and_ends_at_diffusion() -> None:
    step = {"C_ox": C, "D_ox": D, "D_red": D, "E0": 0.0, "k0": 1e-3, "alpha": 0.4}
    k_f = 1e-3 * np.exp(0.4 * 0.1 / reference.thermal_voltage())
    first = reference.kinetic_step_current(0.0, -0.1, **step)
    assert first == pytest.approx(-reference.FARADAY * 1e-3 * C * k_f)
    late = reference.kinetic_step_current(1e4, -0.5, **step)
    assert late == pytest.approx(reference.limiting_current(1e4, C, D), rel=1e-3)
    assert reference.kinetic_step_current(1.0, -2.0, **step) == pytest.approx(
        reference.limiting_current(1.0, C, D), rel=1e-6
    )


def test_kinetic_step_solves_its_integral_equation() -> None:
    """f = k_f C - H S with S the semi-integral of f, at one time, by quadrature."""
    k0, potential = 2e-3, -0.03
    thermal = reference.thermal_voltage()
    k_f, k_b = k0 * np.exp([-0.5 * potential / thermal, 0.5 * potential / thermal])

    def flux(t: float) -> float:
        current = reference.kinetic_step_current(t, potential, C, D, 4e-5, 0.0, k0, 0.5)
        return -float(current) / (reference.FARADAY * 1e-3)

    time = 0.7
    half = quad(lambda u: 2 * flux(time - u**2), 0, np.sqrt(time))[0] / np.sqrt(np.pi)
    expected = k_f * C - (k_f / np.sqrt(D) + k_b / np.sqrt(4e-5)) * half
    assert flux(time) == pytest.approx(expected, rel=1e-6)


def test_coverage_solves_its_equation() -> None:
    time, gain, loss, h = 3.0, 0.2, 0.05, 1e-5
    before, now, after = reference.coverage(np.array([time - h, time, time + h]), 0.7, gain, loss)
    assert (after - before) / (2 * h) == pytest.approx(gain * (1 - now) - loss * now, abs=1e-9)
    assert reference.coverage(0.0, 0.7, gain, loss) == pytest.approx(0.7)
    assert reference.coverage(5.0, 0.7, 0.0, loss) == pytest.approx(0.7 * np.exp(-0.25))
