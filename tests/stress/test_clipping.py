"""An amplifier out of range."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import Waveform
from ecguard.stress import Clipping, Experiment


def test_no_reading_exceeds_the_range_and_all_others_stay(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    experiment = bench(scan, noise_std=0.05)
    current = np.sin(np.linspace(0, 12, 257)) * np.array([[0.4], [4.0]])
    measured = np.float32(experiment.measure(current))
    clipped = Clipping().observe(experiment, 0.6, current)
    limit = 0.7 * np.abs(measured).max(axis=1, keepdims=True)
    assert (np.abs(clipped) <= limit * (1 + 1e-6)).all()
    inside = np.abs(measured) < limit
    np.testing.assert_array_equal(clipped[inside], measured[inside])
    assert (np.abs(clipped) > 0.999 * limit).any(axis=1).all()
