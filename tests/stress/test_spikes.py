"""Single readings that are far off."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import Waveform
from ecguard.stress import Experiment, Spikes


def test_chance_picks_the_samples_and_severity_adds_to_them(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    experiment = bench(scan)
    flat = np.zeros(scan.E_V.shape)
    some, all_ = (Spikes().observe(experiment, severity, flat) for severity in (0.5, 1.0))
    np.testing.assert_array_equal(some != 0, experiment.chance < 0.025)
    np.testing.assert_array_equal(all_ != 0, experiment.chance < 0.05)
    np.testing.assert_array_equal(some[some != 0], all_[some != 0])


def test_heights_are_bounded_and_of_either_sign(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    heights = Spikes().observe(bench(scan), 1.0, np.zeros(scan.E_V.shape))
    assert np.abs(heights).max() <= 2.0
    assert heights.min() < -1.0
    assert heights.max() > 1.0
