"""Fouling that leaves during the trace."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ecguard.simulator import Waveform, simulate_batch
from ecguard.stress import BiofoulingCleaned, Experiment


def test_a_tenth_of_the_coverage_is_left(
    bench: Callable[..., Experiment], scan: Waveform, simulated: Callable[..., tuple[Any, ...]]
) -> None:
    mode = BiofoulingCleaned()
    electrode = simulated(mode, bench(scan), 0.6)
    coverage = np.asarray(simulate_batch(*electrode, outputs=["coverage"]).coverage)
    np.testing.assert_allclose(coverage[:, 0], mode.magnitude(0.6), rtol=1e-6)
    np.testing.assert_allclose(coverage[:, -1], 0.1 * mode.magnitude(0.6), rtol=0.01)
    assert (np.diff(coverage) < 0).all()
