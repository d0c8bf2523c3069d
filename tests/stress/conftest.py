"""Electrodes alike, without noise, to see what one failure mode does to them."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from ecguard.simulator import Cell, Couples, Waveform
from ecguard.stress import Experiment, FailureMode
from ecguard.waveforms import chronoamperometry, cyclic

N, L = 2, 257
COUPLE = {
    "D_ox": 1e-5,
    "D_red": 1e-5,
    "C_ox": 2.0,
    "C_red": 0.0,
    "E0": 0.0,
    "k0": 1.0,
    "alpha": 0.5,
}
CELL = {"area_cm2": 0.01, "Ru_ohm": 100.0, "Cdl_F": 2e-7, "temperature_K": 298.15}


@pytest.fixture(scope="session")
def bench() -> Callable[..., Experiment]:
    """Makes an experiment; keywords change the couple or the cell."""

    def make(waveform: Waveform, noise_std: float = 0.0, **changes: float) -> Experiment:
        rng = np.random.default_rng(7)
        couple = {name: np.full((N, 1), changes.get(name, value)) for name, value in COUPLE.items()}
        cell = {name: np.full(N, changes.get(name, value)) for name, value in CELL.items()}
        return Experiment(
            waveform,
            Couples(**couple),
            Cell(**cell),
            noise=rng.standard_normal((N, L)),
            chance=rng.random((N, L)),
            noise_std=np.full(N, noise_std),
        )

    return make


@pytest.fixture(scope="session")
def scan() -> Waveform:
    """From 0.5 to -0.5 V and back, at 0.05 and 0.5 V/s."""
    return cyclic([0.5, 0.5], -0.5, [0.05, 0.5], L)


@pytest.fixture(scope="session")
def step() -> Callable[[float], Waveform]:
    """Makes steps from 0.5 V to a potential, of 2 and 4 s after the rest."""
    return lambda E_V: chronoamperometry([0.5, 0.5], E_V, [16 / 7, 32 / 7], L)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, ...]]:
    """Tells what a mode has simulated: waveform, couples, cell and fouling, leaves [N]."""

    def ask(mode: FailureMode, experiment: Experiment, severity: float) -> tuple[Any, ...]:
        seen: list[tuple[Any, ...]] = []
        simulate = Experiment.simulate

        def listen(self: Experiment, *arguments: Any) -> Any:
            seen.append(arguments)
            return simulate(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Experiment, "simulate", listen)
            mode.observe(experiment, severity)
        *electrode, fouling = (*seen[-1], None)[:4]
        return *electrode, jax.tree.map(lambda leaf: np.broadcast_to(leaf, N), fouling)

    return ask
