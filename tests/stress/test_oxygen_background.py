"""Dissolved oxygen."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import FARADAY, Waveform
from ecguard.stress import Experiment, OxygenBackground


def added(bench: Callable[..., Experiment], waveform: Waveform, severity: float) -> np.ndarray:
    """Current of oxygen at the end of a step [2]."""
    experiment = bench(waveform, C_ox=0.0)
    return (OxygenBackground().observe(experiment, severity) - experiment.clean())[:, -1]


def limit(severity: float) -> np.ndarray:
    flux = severity * 0.26e-6 * np.sqrt(2e-5 / (np.pi * np.array([2.0, 4.0])))
    return -1e3 * 4 * FARADAY * flux


def test_its_limiting_current_is_that_of_four_electrons(
    bench: Callable[..., Experiment], step: Callable[[float], Waveform]
) -> None:
    for severity in (0.5, 1.0):
        found = added(bench, step(-0.8), severity)
        np.testing.assert_allclose(found, limit(severity), rtol=0.01)


def test_its_wave_lies_near_its_half_wave_potential(
    bench: Callable[..., Experiment], step: Callable[[float], Waveform]
) -> None:
    assert (np.abs(added(bench, step(0.2), 1.0) / limit(1.0)) < 0.02).all()
    share = added(bench, step(-0.2), 1.0) / limit(1.0)
    assert ((share > 0.2) & (share < 0.8)).all()
