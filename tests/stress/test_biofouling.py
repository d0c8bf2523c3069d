"""The reference stress."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ecguard.simulator import Waveform, simulate_batch
from ecguard.stress import Biofouling, Experiment


def test_full_biofouling_is_the_reference_stress() -> None:
    full = Biofouling().fouling(1.0)
    assert full.initial_theta == pytest.approx(0.78)
    assert full.k_ads == pytest.approx(4200.0)
    assert full.k_reaction == pytest.approx(0.004)


def test_coverage_starts_at_its_magnitude(
    bench: Callable[..., Experiment], scan: Waveform, simulated: Callable[..., tuple[Any, ...]]
) -> None:
    mode, experiment = Biofouling(), bench(scan)
    for severity in (0.0, 0.5, 1.0):
        electrode = simulated(mode, experiment, severity)
        coverage = np.asarray(simulate_batch(*electrode, outputs=["coverage"]).coverage)
        np.testing.assert_allclose(coverage[:, 0], mode.magnitude(severity), rtol=1e-6)
        assert (np.ptp(coverage, axis=1) > 0).all() == (severity > 0)


def test_a_fouled_electrode_reacts_less(bench: Callable[..., Experiment], scan: Waveform) -> None:
    experiment = bench(scan, k0=1e-3)
    peaks = [Biofouling().observe(experiment, s).min(axis=1) for s in (0.0, 0.5, 1.0)]
    assert (np.diff(peaks, axis=0) > 0).all()
