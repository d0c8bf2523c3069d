"""An electrode smaller than declared."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import Waveform
from ecguard.stress import ElectrodeArea, Experiment


def test_the_faradaic_density_falls_by_the_share_lost(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    ideal = bench(scan, Ru_ohm=0.0, Cdl_F=0.0)
    clean = ideal.clean()
    for severity, left in ((0.5, 0.8), (1.0, 0.6)):
        smaller = ElectrodeArea().observe(ideal, severity)
        np.testing.assert_allclose(smaller, left * clean, atol=1e-5 * np.ptp(clean))


def test_the_double_layer_stays(bench: Callable[..., Experiment], scan: Waveform) -> None:
    blank = bench(scan, C_ox=0.0)
    np.testing.assert_allclose(ElectrodeArea().observe(blank, 1.0), blank.clean(), atol=1e-6)
