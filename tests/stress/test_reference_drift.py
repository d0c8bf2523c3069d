"""A reference electrode that has moved."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import Waveform
from ecguard.stress import Experiment, ReferenceDrift


def test_the_peak_moves_by_the_shift(bench: Callable[..., Experiment], scan: Waveform) -> None:
    experiment, mode = bench(scan), ReferenceDrift()
    rows = np.arange(2)
    before = np.argmin(mode.observe(experiment, 0.0), axis=1)
    after = np.argmin(mode.observe(experiment, 1.0), axis=1)
    shift = scan.E_V[rows, after] - scan.E_V[rows, before]
    grown = 2 / 3 + experiment.elapsed[rows, after] / 3
    step = abs(scan.E_V[0, 1] - scan.E_V[0, 0])
    np.testing.assert_allclose(shift, -0.090 * grown, atol=1.01 * step)


def test_an_offset_alone_is_another_standard_potential(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    shifted = ReferenceDrift(at_start=1.0).observe(bench(scan), 1.0)
    moved = bench(scan, E0=-0.090).clean()
    np.testing.assert_allclose(shifted, moved, atol=1e-3 * np.ptp(moved))
