"""A double layer that has grown."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import Waveform
from ecguard.stress import DoubleLayerDrift, Experiment


def test_a_blank_charges_the_declared_and_the_added_capacitance(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    blank = bench(scan, C_ox=0.0)
    for severity, microfarad in ((0.0, 20.0), (0.5, 110.0), (1.0, 200.0)):
        current = DoubleLayerDrift().observe(blank, severity)
        expected = -1e-3 * microfarad * np.array([0.05, 0.5])
        np.testing.assert_allclose(current[:, 8:128], np.tile(expected[:, None], 120), rtol=1e-3)
