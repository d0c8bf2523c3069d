"""A passivating film."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import Waveform
from ecguard.stress import Experiment, PassivatingFilm


def test_without_its_resistance_it_is_a_smaller_k0(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    passive = PassivatingFilm(film_ohm=0.0).observe(bench(scan, k0=0.1), 1.0)
    slow = bench(scan, k0=1e-3).clean()
    np.testing.assert_allclose(passive, slow, atol=1e-4 * np.ptp(slow))


def test_the_resistance_delays_the_wave(bench: Callable[..., Experiment], scan: Waveform) -> None:
    experiment = bench(scan, C_ox=10.0)
    light, heavy = (PassivatingFilm(film_ohm=R).observe(experiment, 1.0) for R in (0.0, 1800.0))
    assert (np.argmin(heavy, axis=1) > np.argmin(light, axis=1)).all()


def test_the_double_layer_stays(bench: Callable[..., Experiment], scan: Waveform) -> None:
    blank = bench(scan, C_ox=0.0)
    clean = blank.clean()
    passive = PassivatingFilm().observe(blank, 1.0)
    np.testing.assert_allclose(passive[:, 8:120], clean[:, 8:120], rtol=1e-3)
