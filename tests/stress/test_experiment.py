"""What failure modes act on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ecguard import family
from ecguard.errors import InputError
from ecguard.parameters import decode_parameters, encode_parameters
from ecguard.simulator import Cell, Couples, Waveform
from ecguard.stress import BaselineDrift, Experiment


def test_clean_currents_are_those_of_the_family() -> None:
    rng = np.random.default_rng(2)
    rows = family.draw_parameters(rng, 5)
    *_, waveform = family.draw_waveforms(rng, 5)
    cell = Cell(*(np.full(5, value) for value in (0.01, 110.0, 2e-7, 298.15)))
    drawn = rng.random((5, family.N_SAMPLES))
    experiment = Experiment(waveform, decode_parameters(rows), cell, drawn, drawn, np.ones(5))
    expected, *_ = family.simulate_recorded(waveform, rows, cell)
    np.testing.assert_array_equal(experiment.clean(), expected)
    coarse = replace(experiment, substeps=1).clean()
    assert not np.array_equal(coarse, expected)
    assert (np.abs(coarse - expected) < 0.05 * np.ptp(expected, axis=1, keepdims=True)).all()


def test_a_measurement_has_the_declared_noise(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    experiment = bench(scan, noise_std=0.05)
    current = np.ones(scan.E_V.shape)
    np.testing.assert_allclose(experiment.measure(current), 1.0 + 0.05 * experiment.noise)


def test_time_is_counted_from_the_first_sample(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    later = bench(Waveform(scan.t_s + 3.0, scan.E_V))
    np.testing.assert_allclose(later.duration_s, [40.0, 4.0])
    np.testing.assert_allclose(later.elapsed, np.tile(np.linspace(0, 1, 257), (2, 1)), atol=1e-12)


def test_a_couple_beside_the_known_ones(bench: Callable[..., Experiment], scan: Waveform) -> None:
    other = Couples(1e-6, 1e-6, np.array([1.0, 2.0]), 0.0, 0.3, 0.1, 0.4)
    couples = bench(scan).couples_beside(other)
    np.testing.assert_array_equal(couples.C_ox, [[2.0, 1.0], [2.0, 2.0]])
    np.testing.assert_array_equal(couples.E0, [[0.0, 0.3], [0.0, 0.3]])
    assert encode_parameters(couples).shape == (2, 14)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("noise", np.zeros((2, 5))),
        ("noise", np.full((2, 257), np.nan)),
        ("chance", np.full((2, 257), 1.5)),
        ("noise_std", np.zeros(3)),
        ("noise_std", np.full(2, -0.1)),
    ],
)
def test_impossible_draws_are_named(
    bench: Callable[..., Experiment], scan: Waveform, name: str, value: Any
) -> None:
    fields = vars(bench(scan)) | {name: value}
    with pytest.raises(InputError, match=name):
        Experiment(**fields)


def test_a_severity_for_other_electrodes_is_named(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    with pytest.raises(InputError, match="severity"):
        BaselineDrift().observe(bench(scan), [0.1, 0.2, 0.3])
