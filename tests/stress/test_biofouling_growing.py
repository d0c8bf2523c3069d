"""Fouling that grows during the trace."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ecguard.simulator import Waveform, simulate_batch
from ecguard.stress import BiofoulingGrowing, Experiment


@pytest.mark.parametrize("D_red", [1e-5, 1e-6])
def test_coverage_rises_from_nothing_to_its_magnitude(
    bench: Callable[..., Experiment],
    scan: Waveform,
    simulated: Callable[..., tuple[Any, ...]],
    D_red: float,
) -> None:
    mode = BiofoulingGrowing()
    electrode = simulated(mode, bench(scan, D_red=D_red), 0.6)
    coverage = np.asarray(simulate_batch(*electrode, outputs=["coverage"]).coverage)
    assert (coverage[:, 0] == 0).all()
    np.testing.assert_allclose(coverage[:, -1], mode.magnitude(0.6), rtol=0.01)
    assert (np.diff(coverage) > 0).all()


def test_the_start_of_a_trace_is_clean(bench: Callable[..., Experiment], scan: Waveform) -> None:
    experiment = bench(scan, k0=1e-3)
    change = np.abs(BiofoulingGrowing().observe(experiment, 1.0) - experiment.clean())
    assert (change[:, :32].max(axis=1) < 0.05 * change[:, 128:].max(axis=1)).all()
