"""A coarse converter."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import Waveform
from ecguard.stress import Experiment, Quantisation


def test_readings_are_multiples_of_the_step(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    experiment = bench(scan, noise_std=0.05)
    current = np.sin(np.linspace(0, 12, 257)) * np.array([[0.4], [4.0]])
    read = Quantisation().observe(experiment, [0.2, 1.0], current)
    step = np.array([[0.1], [0.5]])
    np.testing.assert_allclose(read / step, np.round(read / step), atol=1e-5)
    assert (np.abs(read - experiment.measure(current)) <= 0.5 * step + 1e-6).all()
    assert np.unique(read[1]).size > 10
