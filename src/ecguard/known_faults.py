"""Whether a trace shows a fault that is known: what each would do to the electrode as inferred."""

from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ecguard.diagnostics import fault_log_evidence, mean_evidence, standard_residuals
from ecguard.posterior import coordinates as co
from ecguard.posterior.likelihood import SimulatorLikelihood
from ecguard.posterior.tempered import in_blocks, take
from ecguard.posterior.unknowns import join, simulated, split
from ecguard.simulator import Waveform
from ecguard.simulator.march import march
from ecguard.stress import ALL, Experiment, FailureMode, Scatter

FAULTS: tuple[FailureMode, ...] = tuple(
    mode() for mode in ALL if mode.shaped or issubclass(mode, Scatter)
)
"""Failures that add a shape of their own to the expected current, or scatter by a known law."""

SEVERITIES = (0.02, 0.3)
"""Of the shapes, a slight fault and a plain one: large ones change their shape."""

_SPREADS = (1.0, 0.3)  # of the severities of a fault with a shape
_SCATTERED = (0.02, 0.05, 0.1, 0.2, 0.35, 0.55, 0.75, 1.0)  # severities of what has no shape
_BLOCK = 128


def fault_evidence(
    likelihood: SimulatorLikelihood, unknowns: NDArray[np.floating], n_couples: int
) -> NDArray[np.float64]:
    """ln evidence that a trace shows each of `FAULTS`, against none [n, m].

    Everything is taken to first order about one place of each posterior.

    Args:
        likelihood: of n clean electrodes.
        unknowns: the place, within the prior's ranges [n, 7 n_couples + 2].
        n_couples: of each electrode.
    """
    values = np.asarray(unknowns, np.float32)

    def some(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        return _evidence(take(likelihood, rows), values[rows], n_couples)

    with threadpool_limits(1, "blas"):  # small matrices, and sums in one order
        return np.asarray(in_blocks(some, len(values), _BLOCK))


def any_fault(evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln evidence that a trace shows any of m faults, all as likely, against none [n, m] -> [n]."""
    return mean_evidence(evidence)


def _evidence(
    likelihood: SimulatorLikelihood, unknowns: NDArray[np.float32], n_couples: int
) -> NDArray[np.float64]:
    scores = _scores(jnp.asarray(unknowns), n_couples)
    deviation, slopes, weight = linearised(likelihood, scores, n_couples)
    changes, fault = _changes(likelihood, unknowns)
    shaped = fault_log_evidence(
        deviation, slopes, scores, changes * weight[:, None], fault, _SPREADS
    )
    residual = standard_residuals(deviation, slopes, scores)
    shapes = iter(shaped.T)
    each = [
        _scatter(fault, residual, likelihood) if isinstance(fault, Scatter) else next(shapes)
        for fault in FAULTS
    ]
    return np.stack(each, axis=1)


def _scatter(
    fault: Scatter, residual: NDArray[np.float64], likelihood: SimulatorLikelihood
) -> NDArray[np.float64]:
    """ln evidence that residuals [n, L] follow the law of a fault, against noise alone [n]."""
    seen, noise = likelihood.observation.observed, np.asarray(likelihood.observation.noise_std)
    each = [
        np.where(seen, fault.log_ratio(residual, noise, severity), 0.0).sum(axis=1)
        for severity in _SCATTERED
    ]
    return mean_evidence(np.stack(each, axis=1))


def _changes(
    likelihood: SimulatorLikelihood, unknowns: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """What faults add to the current of clean electrodes, mA/cm^2 a severity [n, k, L].

    Beside it which of the faults with a shape, in their order, each of k shapes belongs to [k].
    """
    seen = likelihood.observation
    n, length = seen.current.shape
    couples, cell = jax.tree.map(np.asarray, simulated(unknowns))
    chance = np.random.default_rng(0).random(length)
    experiment = Experiment(
        waveform=Waveform(np.asarray(seen.time_s, np.float64), np.asarray(seen.E_V, np.float64)),
        couples=couples,
        cell=cell,
        noise=np.zeros((n, length)),
        chance=np.broadcast_to(chance, (n, length)),
        noise_std=np.asarray(seen.noise_std, np.float64),
        substeps=1,
    )
    clean = experiment.clean()
    shapes, own = [], []
    for number, fault in enumerate(fault for fault in FAULTS if fault.shaped):
        for turn in range(fault.chances):
            turned = (chance + turn / fault.chances) % 1.0
            drawn = replace(experiment, chance=np.broadcast_to(turned, (n, length)))
            for grade in SEVERITIES:
                shapes.append((fault.observe(drawn, grade, clean) - clean) / grade)
                own.append(number)
    return np.stack(shapes, axis=1, dtype=np.float64), np.array(own)


class Linearised(NamedTuple):
    """Traces about clean electrodes, in units of the noise; 0 where hidden.

    Args:
        deviation: observed less expected [n, L].
        slopes: of what is expected along scores [n, L, d].
        weight: what makes mA/cm^2 such units [n, L].
    """

    deviation: NDArray[np.float64]
    slopes: NDArray[np.float64]
    weight: NDArray[np.float64]


def linearised(likelihood: SimulatorLikelihood, scores: ArrayLike, n_couples: int) -> Linearised:
    """Traces to first order about n clean electrodes at scores [n, d]."""
    seen = likelihood.observation
    weight = np.where(seen.observed, 1.0 / np.asarray(seen.noise_std, np.float64)[:, None], 0.0)
    expected, slopes = _linearised(likelihood, jnp.asarray(scores, jnp.float32), n_couples)
    deviation = np.where(seen.observed, seen.current - np.asarray(expected), 0.0) * weight
    return Linearised(deviation, np.moveaxis(np.asarray(slopes), 0, 2) * weight[:, :, None], weight)


@eqx.filter_jit
def _scores(unknowns: Array, n_couples: int) -> Array:
    return co.to_scores(co.to_coordinates(split(unknowns)), n_couples)


@eqx.filter_jit
def _linearised(
    likelihood: SimulatorLikelihood, scores: Array, n_couples: int
) -> tuple[Array, Array]:
    grid = likelihood.grid

    def current(scores: Array) -> Array:
        electrode = join(co.to_electrode(co.from_scores(scores, n_couples)))
        couples, cell = simulated(electrode)
        times = grid.times(likelihood.duration_s)
        found = march(
            likelihood.potential.T, None, times, couples, cell, None,
            jumps=grid.jumps, outputs=(), backward=False,
        )  # fmt: skip
        return found["current_density_mA_cm2"][:, jnp.asarray(grid.recorded)]

    def along(direction: Array) -> tuple[Array, Array]:
        return jax.jvp(current, (scores,), (jnp.broadcast_to(direction, scores.shape),))

    return jax.vmap(along, out_axes=(None, 0))(jnp.eye(scores.shape[1]))
