"""A drifting baseline."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import Waveform
from ecguard.stress import BaselineDrift, Experiment


def test_the_drift_is_linear_in_time(bench: Callable[..., Experiment], scan: Waveform) -> None:
    flat = np.zeros(scan.E_V.shape)
    drift = BaselineDrift().observe(bench(scan), [0.5, 1.0], flat)
    expected = np.array([[0.25], [0.5]]) * np.linspace(0, 1, 257)
    np.testing.assert_allclose(drift, expected, atol=1e-6)
