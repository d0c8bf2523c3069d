"""Resistance in series."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import Waveform
from ecguard.stress import Experiment, UncompensatedResistance


def test_a_concentrated_couple_obeys_the_law_of_ohm(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    experiment = bench(scan, C_ox=5e3, C_red=5e3, Cdl_F=0.0)
    for severity, ohm in ((0.5, 1600.0), (1.0, 3100.0)):
        current = UncompensatedResistance().observe(experiment, severity)
        expected = 1e3 * scan.E_V / (ohm * 0.01)
        np.testing.assert_allclose(current[:, 8:], expected[:, 8:], atol=0.02 * expected.max())
