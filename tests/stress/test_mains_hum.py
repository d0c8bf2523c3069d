"""Mains hum."""

from collections.abc import Callable

import numpy as np
import pytest

from ecguard.stress import Experiment, MainsHum
from ecguard.waveforms import hold


@pytest.mark.parametrize(("step_s", "seen_Hz"), [(1e-3, 50.0), (18e-3, 1 / 18e-3 - 50.0)])
def test_the_hum_has_the_frequency_of_the_mains_or_of_its_alias(
    bench: Callable[..., Experiment], step_s: float, seen_Hz: float
) -> None:
    still = bench(hold(np.zeros(2), 256 * step_s, 257))
    hum = MainsHum().observe(still, 1.0, np.zeros((2, 257)))
    frequency = np.fft.rfftfreq(4096, step_s)
    spectrum = np.abs(np.fft.rfft(hum * np.hanning(257), 4096, axis=1))
    np.testing.assert_allclose(frequency[spectrum.argmax(axis=1)], seen_Hz, rtol=0.01)
    np.testing.assert_allclose(hum.std(axis=1), 0.2 / np.sqrt(2), rtol=0.02)


def test_its_phase_is_that_of_chance(bench: Callable[..., Experiment]) -> None:
    still = bench(hold(np.zeros(2), 1.0, 257))
    hum = MainsHum().observe(still, 1.0, np.zeros((2, 257)))
    np.testing.assert_allclose(hum[:, 0], 0.2 * np.sin(2 * np.pi * still.chance[:, 0]), atol=1e-6)
