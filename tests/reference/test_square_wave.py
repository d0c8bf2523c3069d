"""Square wave of a fast couple."""

import numpy as np
import pytest

from ecguard import reference
from ecguard.errors import InputError

WAVE = {"C_ox": 2.0, "D_ox": 1e-5, "D_red": 3e-5, "E0": 0.02}


def test_net_peak_has_the_printed_value() -> None:
    """Osteryoung and O'Dea (1986): 0.9281 for 50 mV and 10 mV."""
    assert reference.reversible_square_wave_peak() == pytest.approx(0.9281, abs=5e-5)


def test_integral_equation_of_a_fast_couple_has_the_same_currents() -> None:
    frequency = 20.0
    wave = reference.reversible_square_wave(0.1, 0.03, **WAVE, frequency_Hz=frequency)
    levels = np.stack([wave.staircase_V - 0.05, wave.staircase_V + 0.05], axis=1).ravel()
    edges = np.arange(len(levels) + 1) / (2 * frequency)
    corner_t = np.append(0.0, np.repeat(edges, 2)[1:-1])
    corner_E = np.append(0.1, np.repeat(levels, 2))
    found = reference.voltammogram(
        edges[1:], corner_t, corner_E, **WAVE, k0=1e8, alpha=0.5
    ).current_density_mA_cm2
    pulses = np.stack([wave.forward, wave.reverse], axis=1).ravel()
    assert np.abs(found - pulses).max() < 1e-9 * np.abs(pulses).max()


def test_rising_staircase_is_refused() -> None:
    with pytest.raises(InputError, match="step_V"):
        reference.reversible_square_wave(-0.3, 0.2, **WAVE)
    with pytest.raises(InputError, match="step_V"):
        reference.reversible_square_wave(0.3, -0.2, **WAVE, step_V=0.0)


@pytest.mark.parametrize("name", ["frequency_Hz", "D_ox", "D_red", "temperature_K"])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_bad_values_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"^{name} = {value}"):
        reference.reversible_square_wave(0.3, -0.2, **{**WAVE, name: value})


@pytest.mark.parametrize("name", ["step_V", "temperature_K"])
def test_a_peak_of_no_step_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"^{name} = 0"):
        reference.reversible_square_wave_peak(**{name: 0.0})
