"""Protocols: sequences of steps on one electrode, and what they measure."""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
from numpy.typing import NDArray

from ecguard.case_sets import CaseSet
from ecguard.errors import InputError
from ecguard.fouling import Fouling
from ecguard.posterior.joint import Rest, rested
from ecguard.posterior.laplace import BLOCK
from ecguard.posterior.likelihood import Observation
from ecguard.posterior.tempered import in_blocks
from ecguard.protocol.step import ONCE, Own, Step
from ecguard.simulator import Waveform, simulate_batch
from ecguard.waveforms import refine

SUBSTEPS = 4
_SEED = 71


@dataclass(frozen=True)
class Protocol:
    """Steps on one electrode; the first is the case's own voltammogram.

    Args:
        name: in tables.
        title: in plain words.
        steps: in order.

    Raises:
        InputError: it does not start with the case's own voltammogram, at once and once.
    """

    name: str
    title: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        first = self.steps[0] if self.steps else None
        if not isinstance(first, Own) or first.rest_s or first.averaging != ONCE:
            raise InputError(
                "steps", self.steps[:1], "the case's own voltammogram first", "Put Own() there."
            )

    @property
    def rests(self) -> tuple[Rest, ...]:
        """Before each step."""
        return tuple(Rest(step.rest_s, step.cleaning) for step in self.steps)

    def cleaned(self, rest_s: float = 60.0) -> "Protocol":
        """The same, and its last step once more after cleaning."""
        again = replace(self.steps[-1], rest_s=rest_s, cleaning=1.0)
        title = f"{self.title}, {rest_s:.0f} s of cleaning, and that again"
        return Protocol(f"{self.name}-cleaned", title, (*self.steps, again))

    def waveforms(self, first: Waveform) -> tuple[Waveform, ...]:
        """Of the steps, leaves [n, L], given the voltammograms that the cases start with."""
        return tuple(step.waveform(first) for step in self.steps)

    def cost_s(self, first: Waveform) -> NDArray[np.float64]:
        """Time that the protocol takes for each case [n], s."""
        return np.sum([step.lasting_s(first) for step in self.steps], axis=0)


def currents(
    protocol: Protocol, cases: CaseSet, fouling: Fouling | None, substeps: int = SUBSTEPS
) -> list[NDArray[np.float32]]:
    """Noise-free currents of each step [n, L], mA/cm^2; fouling has leaves [n]."""

    def some(rows: NDArray[np.intp]) -> list[NDArray[np.float32]]:
        own = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], fouling)
        return _currents(protocol, cases.take(rows), own, substeps)

    # in blocks of one size: another number of cases compiles nothing
    found: list[NDArray[np.float32]] = in_blocks(some, len(cases), BLOCK)
    return found


def _currents(
    protocol: Protocol, cases: CaseSet, fouling: Fouling | None, substeps: int
) -> list[NDArray[np.float32]]:
    experiment = cases.experiment
    couples, cell = experiment.couples, experiment.cell
    bulk = 1e-6 * (couples.C_ox + couples.C_red).sum(axis=1)
    found = []
    for rest, waveform in zip(protocol.rests, protocol.waveforms(experiment.waveform), strict=True):
        if fouling is not None:
            theta = np.asarray(rested(fouling.initial_theta, fouling, bulk, rest))
            fouling = eqx.tree_at(lambda f: f.initial_theta, fouling, theta)
        outputs: Any = ["coverage"] if fouling is not None else []
        trace = simulate_batch(refine(waveform, substeps), couples, cell, fouling, outputs)
        found.append(np.asarray(trace.current_density_mA_cm2)[:, ::substeps])
        if fouling is not None:
            theta = np.asarray(trace.coverage)[:, -1]
            fouling = eqx.tree_at(lambda f: f.initial_theta, fouling, theta)
    return found


def observe(
    protocol: Protocol, cases: CaseSet, noiseless: list[NDArray[np.float32]]
) -> tuple[Observation, ...]:
    """What is recorded of noise-free currents: noise and mask of a case depend on it alone."""
    seen = cases.group.observation
    steps = []
    for k, (step, waveform) in enumerate(
        zip(protocol.steps, protocol.waveforms(cases.experiment.waveform), strict=True)
    ):
        shape = noiseless[k].shape
        if step == Own() and k == 0:
            noise, shown = cases.experiment.noise, np.asarray(seen.observed)
        else:
            words = [(_SEED, cases.seed, k, int(case)) for case in cases.group.case]
            rngs = [np.random.default_rng(own) for own in words]
            noise = np.stack([rng.standard_normal(shape[1]) for rng in rngs])
            shown = np.stack([rng.random(shape[1]) for rng in rngs]) < step.keep
            shown &= step.shown(shape[1])
            if k == 0:
                noise = cases.experiment.noise
        factor = step.noise_factor(cases.experiment.waveform)
        std = (np.asarray(seen.noise_std) * factor).astype(np.float32)
        steps.append(
            Observation(
                np.asarray(waveform.t_s),
                np.asarray(waveform.E_V, np.float32),
                (noiseless[k] + std[:, None] * noise).astype(np.float32),
                shown,
                std,
            )
        )
    return tuple(steps)
