"""The likelihood of several steps on one electrode: cell and coverage are carried along.

Every step starts from a solution at rest, as after stirring; only coverage remembers. A clean
electrode has none, and its likelihood is a product over the steps. Each step is compiled by itself,
so that protocols which share a step share its program.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from ecguard.fouling import Fouling
from ecguard.posterior import film
from ecguard.posterior.likelihood import Observation, SimulatorLikelihood
from ecguard.posterior.unknowns import n_unknowns, simulated
from ecguard.simulator.march import march
from ecguard.simulator.trace import Output


class Rest(NamedTuple):
    """What comes before a step: time (s) at its first potential, and strength of cleaning."""

    duration_s: Any = 0.0
    cleaning: Any = 0.0


class JointLikelihood(eqx.Module):
    """Steps of n cases on one electrode of one couple each, clean or fouled.

    Args:
        steps: in order.
        rests: before each step; leaves, as those of the steps, have a leading axis over the cases.
    """

    steps: tuple[SimulatorLikelihood, ...]
    rests: tuple[Rest, ...]

    @classmethod
    def of(cls, steps: Sequence[Observation], rests: Sequence[Rest]) -> "JointLikelihood":
        """The likelihood of n cases.

        Args:
            steps: what was observed in each step, of the same n cases.
            rests: before each step.

        Raises:
            InputError: the traces of a step do not share their relative time grid.
        """
        n = len(steps[0].current)
        each = tuple(Rest(*(jnp.full(n, own, jnp.float32) for own in rest)) for rest in rests)
        return cls(tuple(SimulatorLikelihood.of(step) for step in steps), each)

    def __len__(self) -> int:
        return len(self.steps[0].duration_s)

    @property
    def n_observed(self) -> np.ndarray:
        """Samples of all steps that were observed [n]."""
        shown = [np.asarray(step.observation.observed).sum(axis=1) for step in self.steps]
        return np.asarray(np.sum(shown, axis=0))

    @property
    def axes(self) -> Any:
        """Axes of the leaves over cases, for `jax.vmap`."""
        return 0

    def currents(self, unknowns: Array) -> tuple[Array, ...]:
        """Currents [n, samples] of each step, mA/cm^2, of unknowns [n, 9 or 12]."""
        return tuple(current for current, _ in self.through(current_of, unknowns))

    def through(self, each: Callable[..., tuple[Any, Any]], values: Any) -> list[tuple[Any, Any]]:
        """What `each(step, rest, values, carried)` gives, step by step.

        Args:
            each: gives a result and what is carried to the next step; None comes to the first.
            values: the same for all steps.
        """
        found: list[tuple[Any, Any]] = []
        for step, rest in zip(self.steps, self.rests, strict=True):
            found.append(each(step, rest, values, found[-1][1] if found else None))
        return found


@eqx.filter_jit
def current_of(
    step: SimulatorLikelihood, rest: Rest, unknowns: Array, theta: Array | None
) -> tuple[Array, Array | None]:
    """Currents [n, samples] of one step, mA/cm^2, and the coverage after it; differentiable.

    Args:
        step: of n cases.
        rest: before it, leaves [n].
        unknowns: of a clean electrode [n, 9], or with those of its film [n, 12].
        theta: coverage before the rest [n]; None takes that of the unknowns, which is all there is
            where electrodes are clean.
    """
    clean = n_unknowns(1)
    couples, cell = simulated(unknowns[:, :clean])
    fouling: Fouling | None = None
    outputs: tuple[Output, ...] = ()
    if unknowns.shape[1] > clean:
        fouling, outputs = film.to_fouling(unknowns[:, clean:]), ("coverage",)
        bulk = 1e-6 * jnp.sum(couples.C_ox + couples.C_red, axis=1)
        theta = rested(fouling.initial_theta if theta is None else theta, fouling, bulk, rest)
        fouling = eqx.tree_at(lambda own: own.initial_theta, fouling, theta)
    grid = step.grid
    times = grid.times(step.duration_s)
    found = march(
        step.potential.T, None, times, couples, cell, fouling,
        jumps=grid.jumps, outputs=outputs, backward=False,
    )  # fmt: skip
    current = found["current_density_mA_cm2"][:, jnp.asarray(grid.recorded)]
    return current, None if fouling is None else found["coverage"][:, -1]


def rested(theta: Any, fouling: Fouling, bulk: Any, rest: Rest) -> Any:
    """Coverage after a rest below the potential that cleans; exact.

    Args:
        theta: before.
        fouling: of the electrode.
        bulk: summed concentration of the species, mol/cm^3.
        rest: how long, and how strongly cleaned.
    """
    gain = fouling.k_ads * bulk
    rate = gain + fouling.k_des + fouling.k_clean * rest.cleaning
    settled = gain / jnp.maximum(rate, 1e-30)
    return settled + (theta - settled) * jnp.exp(-rate * rest.duration_s)
