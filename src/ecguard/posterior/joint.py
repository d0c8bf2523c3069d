"""The likelihood of several steps on one electrode: cell and coverage are carried along.

Every step starts from a solution at rest, as after stirring; only coverage remembers. A clean
electrode has none, and its likelihood is a product over the steps.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_batching import custom_vmap

from ecguard.fouling import Fouling
from ecguard.posterior import film
from ecguard.posterior.likelihood import (
    Likelihood,
    Observation,
    SolverGrid,
    as_device,
    repeated,
    solver_grid,
)
from ecguard.posterior.unknowns import simulated
from ecguard.simulator.grid import TimeGrid, time_grid
from ecguard.simulator.march import march


class Rest(NamedTuple):
    """What comes before a step: time (s) at its first potential, and strength of cleaning."""

    duration_s: float = 0.0
    cleaning: float = 0.0


class Schedule(NamedTuple):
    """What all traces of a batch share; hashable, so that it is compiled in.

    Args:
        grids: of the steps.
        rests: before the steps.
        fouled: whether the unknowns have those of a film.
    """

    grids: tuple[SolverGrid, ...]
    rests: tuple[Rest, ...]
    fouled: bool


class JointLikelihood(Likelihood):
    """Steps on one electrode of one couple, clean or fouled; batch with `jax.vmap`.

    Args:
        observation: samples of all steps, one after the other.
        potentials: on the grid of each step, V [G].
        durations: of each step, s.
        schedule: of the steps.
    """

    _observation: Observation
    potentials: tuple[Array, ...]
    durations: tuple[Array, ...]
    schedule: Schedule = eqx.field(static=True)

    @classmethod
    def of(
        cls, steps: Sequence[Observation], rests: Sequence[Rest], fouled: bool
    ) -> "JointLikelihood":
        """The likelihood of n cases; the leaves have a leading axis for `jax.vmap`.

        Args:
            steps: what was observed in each step, of the same n cases.
            rests: before each step.
            fouled: whether the electrode may be covered.

        Raises:
            InputError: the traces of a step do not share their relative time grid.
        """
        grids, potentials, durations = [], [], []
        for step in steps:
            grid, potential = solver_grid(step.time_s, step.E_V)
            time = np.asarray(step.time_s, np.float64)
            grids.append(grid)
            potentials.append(jnp.asarray(potential, jnp.float32))
            durations.append(jnp.asarray(time[:, -1] - time[:, 0], jnp.float32))
        schedule = Schedule(tuple(grids), tuple(rests), fouled)
        whole = jax.tree.map(as_device, joined(steps))
        return cls(whole, tuple(potentials), tuple(durations), schedule)

    @property
    def observation(self) -> Observation:
        return self._observation

    @property
    def axes(self) -> Any:
        return 0

    def expected(self, unknowns: Array) -> tuple[Array, Array | float]:
        run = _simulator(self.schedule)
        return run(unknowns, *self.potentials, *self.durations), 0.0

    def expected_of_all(self, unknowns: Array) -> Array:
        """Currents [n, samples] of n cases at once, unknowns [n, d]; differentiable."""
        return _run(self.schedule, unknowns, *self.potentials, *self.durations)


def joined(steps: Sequence[Observation]) -> Observation:
    """Observations of n cases, one step after the other along the samples and in time.

    The noise std has a value for each sample, [n, samples], as steps may differ in it.
    """
    times, end = [], 0.0
    for step in steps:
        times.append(np.asarray(step.time_s) + end)
        end = float(times[-1].max()) + 1.0

    def whole(name: str) -> Any:
        return np.concatenate([np.asarray(getattr(step, name)) for step in steps], axis=1)

    return Observation(
        np.concatenate(times, axis=1),
        whole("E_V"),
        whole("current"),
        whole("observed"),
        np.concatenate(
            [
                np.repeat(np.asarray(step.noise_std)[:, None], np.shape(step.current)[1], axis=1)
                for step in steps
            ],
            axis=1,
        ),
    )


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


def _run(schedule: Schedule, unknowns: Array, *arrays: Array) -> Array:
    """Currents [n, samples] of all steps; arrays are the potentials, then the durations."""
    count = len(schedule.grids)
    clean = unknowns.shape[1] - (len(film.NAMES) if schedule.fouled else 0)
    couples, cell = simulated(unknowns[:, :clean])
    fouling = film.to_fouling(unknowns[:, clean:]) if schedule.fouled else None
    currents = []
    for k, (grid, rest) in enumerate(zip(schedule.grids, schedule.rests, strict=True)):
        potential, duration = arrays[k], arrays[count + k]
        times = time_grid(np.concatenate([[0.0], np.cumsum(grid.step)])[None])
        step = jnp.asarray(grid.step, potential.dtype)[:, None]
        own = TimeGrid(duration, step, times.span, times.even)
        if fouling is not None:
            bulk = 1e-6 * jnp.sum(couples.C_ox + couples.C_red, axis=1)
            theta = rested(fouling.initial_theta, fouling, bulk, rest)
            fouling = eqx.tree_at(lambda f: f.initial_theta, fouling, theta)
        outputs: Any = ("coverage",) if schedule.fouled else ()
        found = march(
            potential, None, own, couples, cell, fouling, jumps=grid.jumps, outputs=outputs
        )
        currents.append(found["current_density_mA_cm2"][:, jnp.asarray(grid.recorded)])
        if fouling is not None:
            fouling = eqx.tree_at(lambda f: f.initial_theta, fouling, found["coverage"][:, -1])
    return jnp.concatenate(currents, axis=1)


_SIMULATORS: dict[Schedule, Any] = {}


def _simulator(schedule: Schedule) -> Any:
    """Current of all steps of unknowns [d]; batches run as one march a step."""
    if schedule in _SIMULATORS:
        return _SIMULATORS[schedule]

    @custom_vmap
    def many(*arguments: Array) -> Array:
        return _run(schedule, *arguments)

    @many.def_vmap
    def _(size: int, batched: list[bool], *arguments: Array) -> tuple[Array, bool]:
        full = repeated(size, batched, arguments)
        n = full[0].shape[1]
        flat = many(*(value.reshape(size * n, *value.shape[2:]) for value in full))
        return flat.reshape(size, n, -1), True

    @custom_vmap
    def one(*arguments: Array) -> Array:
        return _run(schedule, *(value[None] for value in arguments))[0]

    @one.def_vmap
    def _(size: int, batched: list[bool], *arguments: Array) -> tuple[Array, bool]:
        return many(*repeated(size, batched, arguments)), True

    _SIMULATORS[schedule] = one
    return one
