"""Whether the steps of a protocol show a film, to first order about the closest clean electrode."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ecguard.diagnostics import fault_log_evidence
from ecguard.known_faults import SEVERITIES, linearised
from ecguard.posterior import film
from ecguard.posterior.joint import JointLikelihood
from ecguard.posterior.laplace import BLOCK, electrodes
from ecguard.posterior.tempered import in_blocks, take
from ecguard.stress import Biofouling


def film_evidence(likelihood: JointLikelihood, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln evidence of a film on n electrodes, all steps together, against none [n].

    Args:
        likelihood: of the steps.
        scores: of the closest clean electrodes [n, 9].
    """
    held = jax.tree.map(np.asarray, likelihood)

    def some(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        return _evidence(take(held, rows), scores[rows])

    with threadpool_limits(1, "blas"):  # small matrices, and sums in one order
        return np.asarray(in_blocks(some, len(scores), BLOCK))


def _evidence(likelihood: JointLikelihood, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = [linearised(step, scores, 1) for step in likelihood.steps]
    changes = _changes(likelihood, electrodes(scores))
    shapes = [own * step.weight[:, None] for own, step in zip(changes, steps, strict=True)]
    found = fault_log_evidence(
        np.concatenate([step.deviation for step in steps], axis=1),
        np.concatenate([step.slopes for step in steps], axis=1),
        scores,
        np.concatenate(shapes, axis=2),
        np.zeros(len(SEVERITIES), int),
    )
    return np.asarray(found[:, 0])


def _changes(
    likelihood: JointLikelihood, unknowns: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """What a film adds to the current of each step, mA/cm^2 a severity [n, k, L]."""

    def currents(severity: float) -> list[NDArray[np.float64]]:
        fouling = Biofouling().fouling(np.full(len(unknowns), severity))
        own = np.concatenate([unknowns, np.asarray(film.of_fouling(fouling))], axis=1)
        found = likelihood.currents(jnp.asarray(own, jnp.float32))
        return [np.asarray(current, np.float64) for current in found]

    clean = currents(0.0)  # the logarithm of no adsorption is -inf, which comes back as none
    each = [
        [(step - none) / grade for step, none in zip(currents(grade), clean, strict=True)]
        for grade in SEVERITIES
    ]
    return [np.stack(own, axis=1) for own in zip(*each, strict=True)]
