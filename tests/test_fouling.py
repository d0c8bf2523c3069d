"""Coverage kinetics and what coverage does to the cell."""

import jax
import numpy as np
import pytest

from ecguard import Cell, Couples, Fouling, simulate
from ecguard.waveforms import chronoamperometry, cyclic

COUPLE = Couples(*[np.array([v]) for v in (1e-5, 1e-5, 1.0, 0.0, 0.0, 1e-2, 0.5)])
ABSENT = Couples(*[np.array([v]) for v in (1e-5, 1e-5, 0.0, 0.0, 0.0, 1e-2, 0.5)])


def test_desorption_follows_its_closed_form() -> None:
    waveform = chronoamperometry(0.1, 0.2, 50.0, 101)
    trace = simulate(waveform, ABSENT, Cell(), Fouling(initial_theta=0.6, k_des=0.03))
    expected = 0.6 * np.exp(-0.03 * waveform.t_s)
    assert np.allclose(trace.coverage, expected, rtol=1e-5)


def test_cleaning_acts_above_its_potential_only() -> None:
    waveform = chronoamperometry(0.1, 0.9, 80.0, 161)
    trace = simulate(waveform, ABSENT, Cell(Ru_ohm=0.0), Fouling(k_des=0.0, k_clean=0.05))
    step = 80.0 / 8
    expected = 0.78 * np.exp(-0.05 * np.maximum(waveform.t_s - step, 0.0))
    # the simulator sees the interface one sample late
    assert np.allclose(trace.coverage, expected, rtol=0.03)
    assert np.allclose(trace.coverage[:21], 0.78)


def test_adsorption_approaches_the_langmuir_isotherm() -> None:
    waveform = cyclic(0.6, 0.4, 0.0005, 401)  # no reaction there: the surface stays at bulk
    fouling = Fouling(initial_theta=0.0, k_ads=4200.0, k_des=0.01, k_reaction=0.0)
    trace = simulate(waveform, COUPLE, Cell(), fouling)
    gain = 4200.0 * 1e-6
    expected = gain / (gain + 0.01) * (1 - np.exp(-(gain + 0.01) * waveform.t_s))
    assert np.allclose(trace.coverage[1:], expected[1:], rtol=1e-3)


@pytest.mark.parametrize("Ru", [0.0, 100.0])
def test_no_coverage_is_no_fouling(Ru: float) -> None:
    waveform, cell = cyclic(0.5, -0.5, 0.2, 257), Cell(Ru_ohm=Ru)
    off = Fouling(initial_theta=0.0, k_ads=0.0, k_reaction=0.0)
    clean, fouled = (simulate(waveform, COUPLE, cell, f) for f in (None, off))
    assert np.allclose(clean.current_density_mA_cm2, fouled.current_density_mA_cm2, atol=1e-6)


def test_static_fouling_looks_like_a_smaller_k0() -> None:
    """The silent failure of the study: a covered electrode equals a slow clean one."""
    waveform, cell = cyclic(0.7, -0.7, 0.1, 513), Cell(Ru_ohm=100.0, Cdl_F=0.0)
    static = Fouling(k_ads=0.0, k_des=0.0, k_reaction=0.0, Rfilm_theta_max_ohm=0.0)
    factor = (0.09 + 0.91 * 0.22) * np.exp(-2.8 * 0.78)
    slow = Couples(*[np.array([v]) for v in (1e-5, 1e-5, 1.0, 0.0, 0.0, 1e-2 * factor, 0.5)])
    fouled = simulate(waveform, COUPLE, cell, static)
    clean = simulate(waveform, slow, cell)
    assert np.allclose(fouled.current_density_mA_cm2, clean.current_density_mA_cm2, atol=1e-5)


def test_gradients_are_finite_at_zero_coverage() -> None:
    def total(theta: jax.Array) -> jax.Array:
        fouling = Fouling(initial_theta=theta)
        return simulate(cyclic(0.5, -0.5, 0.2, 65), COUPLE, Cell(), fouling).interface_V.sum()

    assert np.isfinite(jax.grad(total)(0.0))
