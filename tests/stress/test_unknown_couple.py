"""A couple that the user does not know of."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np

from ecguard.simulator import FARADAY, Waveform
from ecguard.stress import Experiment, UnknownCouple


def test_its_limiting_current_is_added(
    bench: Callable[..., Experiment], step: Callable[[float], Waveform]
) -> None:
    experiment = bench(step(-0.9))
    added = (UnknownCouple().observe(experiment, 0.5) - experiment.clean())[:, -1]
    cottrell = -1e3 * FARADAY * 0.5e-6 * np.sqrt(1e-5 / (np.pi * np.array([2.0, 4.0])))
    np.testing.assert_allclose(added, cottrell, rtol=0.01)


def test_chance_decides_where_it_reacts(
    bench: Callable[..., Experiment], scan: Waveform, simulated: Callable[..., tuple[Any, ...]]
) -> None:
    experiment = bench(scan)
    chance = experiment.chance.copy()
    chance[:, :2] = [[0.0, 1.0], [0.75, 0.5]]
    experiment = eqx.tree_at(lambda e: e.chance, experiment, chance)
    couples = simulated(UnknownCouple(), experiment, 1.0)[1]
    np.testing.assert_allclose(couples.E0[:, 1], [-0.4, 0.2])
    np.testing.assert_allclose(couples.k0[:, 1], [1e-1, 1e-2])
