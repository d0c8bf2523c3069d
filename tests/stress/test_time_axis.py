"""A clock that is wrong."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import Waveform
from ecguard.stress import Experiment, TimeAxis


def test_a_reversible_peak_grows_with_the_root_of_the_scan_rate(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    ideal = bench(scan, Ru_ohm=0.0, Cdl_F=0.0)
    clean = ideal.clean().min(axis=1)
    for severity, speed in ((0.5, 1.15), (1.0, 1.3)):
        faster = TimeAxis().observe(ideal, severity).min(axis=1)
        np.testing.assert_allclose(faster / clean, np.sqrt(speed), rtol=0.002)
