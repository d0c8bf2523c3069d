"""Sweeps: the closed forms against independent derivations of them and against printed values."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import gammaln

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


def irreversible_function(x: float, derivative: bool = False) -> float:
    """Current function over sqrt(alpha), by the series of Nicholson and Shain (1964); its slope."""
    j = np.arange(1, 60)
    term = -((-1.0) ** j) * np.exp(j * x - gammaln(j) / 2)
    return float(np.sum(j * term if derivative else term))


def test_constants_of_the_irreversible_peak() -> None:
    peak = brentq(lambda x: irreversible_function(x, derivative=True), 0.5, 1.0, xtol=1e-12)
    height = irreversible_function(peak)
    half = brentq(lambda x: irreversible_function(x) - height / 2, -3, 0, xtol=1e-12)
    assert height == pytest.approx(reference.IRREVERSIBLE_PEAK_CURRENT, abs=1e-10)
    assert peak == pytest.approx(reference.IRREVERSIBLE_PEAK_SHIFT, abs=1e-9)
    assert peak - half == pytest.approx(reference.IRREVERSIBLE_PEAK_WIDTH, abs=1e-9)


def test_irreversible_peak_has_the_printed_constants() -> None:
    """Bard and Faulkner print 0.4958, 0.780 and 1.857 RT / (alpha F), 47.7 mV / alpha."""
    assert reference.IRREVERSIBLE_PEAK_CURRENT == pytest.approx(0.4958, abs=5e-5)
    assert reference.IRREVERSIBLE_PEAK_SHIFT == pytest.approx(0.780, abs=5e-4)
    assert reference.IRREVERSIBLE_PEAK_WIDTH == pytest.approx(1.857, abs=5e-4)
    assert 1e3 * reference.irreversible_peak_width(0.5) == pytest.approx(95.4, abs=0.05)


@pytest.mark.parametrize("alpha", [0.3, 0.5, 0.7])
def test_integral_equation_of_a_slow_couple_has_the_irreversible_peak(alpha: float) -> None:
    k0 = 1e-9
    peak = reference.irreversible_peak_potential(0.0, D, k0, alpha, RATE)
    half = peak + reference.irreversible_peak_width(alpha)
    potential = np.array([half, peak + 1e-3, peak, peak - 1e-3])
    current = reference.voltammogram(
        (0.5 - potential) / RATE,
        [0.0, 30.0],
        [0.5, -2.5],
        C_ox=C,
        D_ox=D,
        D_red=D,
        E0=0.0,
        k0=k0,
        alpha=alpha,
    ).current_density_mA_cm2
    height = reference.irreversible_peak_current(C, D, alpha, RATE)
    assert current[2] == pytest.approx(height, rel=1e-8)
    assert current[0] == pytest.approx(height / 2, rel=1e-7)
    assert current[1] == pytest.approx(current[3], rel=1e-4)
    assert current[2] < min(current[1], current[3])


def test_surface_confined_wave_carries_the_charge_of_a_layer_at_its_width() -> None:
    layer, thermal = 1e-10, reference.thermal_voltage()

    def current(E: float) -> float:
        return float(reference.surface_confined_current(E, layer, 0.1, RATE))

    charge = quad(current, -0.9, 1.1, points=[0.1], epsabs=1e-14)[0] / RATE
    assert charge == pytest.approx(-reference.FARADAY * 1e3 * layer, rel=1e-9)
    assert current(0.1) == pytest.approx(-reference.FARADAY * 1e3 * RATE * layer / (4 * thermal))
    half = reference.surface_confined_width() / 2
    assert current(0.1 + half) == pytest.approx(current(0.1) / 2)
    assert 2e3 * half == pytest.approx(90.6, abs=0.05)  # as Bard and Faulkner print it
