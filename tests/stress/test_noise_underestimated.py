"""Noise larger than declared."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import Waveform
from ecguard.stress import Experiment, NoiseUnderestimated


def test_the_extra_noise_is_gaussian_of_its_std_and_independent(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    experiment = bench(scan, noise_std=0.05)
    flat = np.zeros(scan.E_V.shape)
    extra = NoiseUnderestimated().observe(experiment, 0.5, flat) - experiment.measure(flat)
    unit = extra / (1.5 * 0.05)
    assert np.abs(unit.mean()) < 0.15
    assert np.abs(unit.std() - 1) < 0.1
    assert np.abs((unit**4).mean() - 3) < 1.0
    assert np.abs(np.corrcoef(unit.ravel(), experiment.noise.ravel())[0, 1]) < 0.15


def test_draws_at_the_ends_stay_finite(bench: Callable[..., Experiment], scan: Waveform) -> None:
    for end in (0.0, 1.0):
        fields = vars(bench(scan, noise_std=0.05)) | {"chance": np.full((2, 257), end)}
        read = NoiseUnderestimated().observe(Experiment(**fields), 1.0, np.zeros((2, 257)))
        assert np.isfinite(read).all()
