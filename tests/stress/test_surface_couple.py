"""A couple bound to the surface."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import FARADAY, GAS_CONSTANT, Waveform
from ecguard.stress import Experiment, SurfaceCouple

CHARGE = 1e3 * FARADAY * 1e-9  # of the full monolayer, mC/cm^2


def added(experiment: Experiment, severity: float) -> np.ndarray:
    return SurfaceCouple().observe(experiment, severity) - experiment.clean()


def test_the_area_under_the_curve_is_the_charge_of_the_monolayer(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    charge = np.cumsum(added(bench(scan), 0.5)[:, 1:] * np.diff(scan.t_s), axis=1)
    np.testing.assert_allclose(charge[:, 127], -0.5 * CHARGE, rtol=1e-4)
    np.testing.assert_allclose(charge[:, -1], 0.0, atol=1e-4 * CHARGE)


def test_a_step_passes_all_of_it(
    bench: Callable[..., Experiment], step: Callable[[float], Waveform]
) -> None:
    waveform = step(-0.5)
    passed = (added(bench(waveform), 1.0)[:, 1:] * np.diff(waveform.t_s)).sum(axis=1)
    np.testing.assert_allclose(passed, -CHARGE, rtol=1e-3)


def test_its_peak_is_that_of_a_reversible_monolayer(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    current = added(bench(scan, E0=0.05), 1.0)
    rate = np.array([0.05, 0.5])
    peak = CHARGE * rate * FARADAY / (4 * GAS_CONSTANT * 298.15)
    np.testing.assert_allclose(-current.min(axis=1), peak, rtol=0.01)
    np.testing.assert_allclose(scan.E_V[0, current.argmin(axis=1)], 0.15, atol=0.008)
