"""Continuous design: how fast and how large a step should be, by the gradient of its criterion.

The criterion is the mean over electrodes and severities of the log of the misfit that the closest
clean electrode leaves. By the envelope theorem its slope along a design is that at a fixed closest
electrode, so that one derivative of the two simulated currents gives it.

A faster step is averaged as often more, so that the noise stays. The quiet time before it shrinks
with the step on the way, and does not in the protocol that is returned.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ecguard.case_sets import CaseSet
from ecguard.errors import InputError
from ecguard.posterior import film
from ecguard.posterior.fouled import scores_of
from ecguard.posterior.joint import JointLikelihood, Rest, current_of
from ecguard.posterior.laplace import find_peak, unknowns_of
from ecguard.posterior.likelihood import SimulatorLikelihood
from ecguard.protocol.protocol import Protocol, currents, observe
from ecguard.stress import Biofouling

_LONGEST = np.log(2.0)  # step of a round
_SHRINK = 0.5
_LEAST = 0.02  # step at which a design is done


@dataclass(frozen=True)
class Tuned:
    """The way to a design.

    Attributes:
        pace, size: of the last step, in units of what it was, round by round [r].
        criterion: mean log misfit there [r].
        slope: of the criterion along ln pace and ln size [r, 2].
        confirmed: the criterion on other electrodes, at the first and at the last design [2]; NaN
            where there are none.
    """

    pace: NDArray[np.float64]
    size: NDArray[np.float64]
    criterion: NDArray[np.float64]
    slope: NDArray[np.float64]
    confirmed: NDArray[np.float64]

    def protocol(self, start: Protocol) -> Protocol:
        """The last design of a way that started at `start`."""
        last = start.steps[-1].scaled(float(self.pace[-1]), float(self.size[-1]))
        return Protocol(f"{start.name}-tuned", f"{start.title}, tuned", (*start.steps[:-1], last))


def tune(
    protocol: Protocol,
    cases: CaseSet,
    severities: tuple[float, ...],
    most_pace: float = 10.0,
    most_size: float = 2.0,
    rounds: int = 12,
    others: CaseSet | None = None,
) -> Tuned:
    """Climb to the pace and size of the last step that leave a clean model the largest misfit.

    Args:
        protocol: where it starts.
        cases: of the design set.
        severities: of biofouling.
        most_pace, most_size: factors, both ways, within which it stays; 1 keeps that one fixed.
        rounds: at most.
        others: electrodes of another set, on which the way's two ends are compared.

    Raises:
        InputError: a factor below 1, or a last step that cannot be scaled.
    """
    for name, value in (("most_pace", most_pace), ("most_size", most_size)):
        if not value >= 1.0:
            raise InputError(name, value, "1 or more", "Give a factor.")
    protocol.steps[-1].scaled(most_pace, most_size)
    limit = np.log([most_pace, most_size])
    sides = _sides(protocol, cases, severities)
    place, length = np.zeros(2), _LONGEST
    value, slope = _criterion(sides, place)
    trail = [(place, value, slope)]
    for _ in range(rounds):
        free = np.where((np.abs(place) >= limit) & (slope * place > 0) | (limit == 0), 0.0, slope)
        if not np.abs(free).any() or length < _LEAST:
            break
        tried = np.clip(place + length * free / np.abs(free).max(), -limit, limit)
        there, steep = _criterion(sides, tried)
        if not there > value:
            length *= _SHRINK
            continue
        place, value, slope = tried, there, steep
        trail.append((place, value, slope))
    confirmed = np.full(2, np.nan)
    if others is not None:
        sides = _sides(protocol, others, severities)
        confirmed = np.array([_criterion(sides, own)[0] for own in (np.zeros(2), place)])
    return Tuned(
        pace=np.exp([own[0][0] for own in trail]),
        size=np.exp([own[0][1] for own in trail]),
        criterion=np.array([own[1] for own in trail]),
        slope=np.stack([own[2] for own in trail]),
        confirmed=confirmed,
    )


class _Side:
    """Electrodes of one severity: what they show, and the clean electrodes closest to it."""

    def __init__(
        self, likelihood: JointLikelihood, unknowns: Array, scores: NDArray[np.float64]
    ) -> None:
        self.likelihood, self.unknowns, self.scores = likelihood, unknowns, scores

    @classmethod
    def of(cls, protocol: Protocol, cases: CaseSet, severity: float) -> "_Side":
        fouling = Biofouling().fouling(np.full(len(cases), severity))
        steps = observe(protocol, cases, currents(protocol, cases, None))
        truth = cases.group.unknowns.astype(np.float64)
        unknowns = np.column_stack([truth, film.of_fouling(fouling)])
        factor = np.log(np.asarray(fouling.cover(fouling.initial_theta).k0_factor))
        likelihood = JointLikelihood.of(steps, protocol.rests)
        return cls(likelihood, jnp.asarray(unknowns, jnp.float32), scores_of(truth, factor))

    def at(self, place: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Misfit [n] and its slopes [n, 2] for a design."""
        design = jnp.asarray(place, jnp.float32)
        *earlier, last = self.likelihood.steps
        rests = self.likelihood.rests
        designed = JointLikelihood((*earlier, _designed(last, design)), rests)
        found = designed.through(current_of, self.unknowns)
        steps = tuple(
            eqx.tree_at(lambda own: own._observation.current, step, shown)
            for step, (shown, _) in zip(designed.steps, found, strict=True)
        )
        likelihood = JointLikelihood(steps, rests)
        peak = find_peak(likelihood, self.scores)
        self.scores = peak.scores
        scores = jnp.asarray(peak.scores, jnp.float32)
        before = found[-2][1] if earlier else None
        slope = _slope(last, rests[-1], self.unknowns, before, scores, design)
        return 2.0 * peak.loss, np.asarray(slope, np.float64)


def _sides(protocol: Protocol, cases: CaseSet, severities: tuple[float, ...]) -> list[_Side]:
    return [_Side.of(protocol, cases, severity) for severity in severities]


def _criterion(sides: list[_Side], place: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    found = [side.at(place) for side in sides]
    value = np.concatenate([own[0] for own in found])
    slope = np.concatenate([own[1] for own in found])
    value = np.maximum(value, 1e-6)
    return float(np.log(value).mean()), np.asarray((slope / value[:, None]).mean(axis=0))


def _designed(step: SimulatorLikelihood, design: Array) -> SimulatorLikelihood:
    """A step with another pace and size, both as logs."""
    pace, size = jnp.exp(design)
    start = step.potential[:, :1]
    return eqx.tree_at(
        lambda own: (own.potential, own.duration_s),
        step,
        (start + size * (step.potential - start), step.duration_s / pace),
    )


@eqx.filter_jit
def _slope(
    step: SimulatorLikelihood,
    rest: Rest,
    unknowns: Array,
    theta: Array | None,
    scores: Array,
    design: Array,
) -> Array:
    """Slopes [n, 2] of the misfit of the last step, the only one that the design changes."""

    def misfit(design: Array) -> Array:
        own = _designed(step, design)
        shown, _ = current_of(own, rest, unknowns, theta)
        closest, _ = current_of(own, rest, unknowns_of(scores), None)
        seen = step.observation
        apart = jnp.where(seen.observed, (shown - closest) / seen.noise_std[:, None], 0.0)
        return jnp.sum(apart**2, axis=1)

    slopes: Array = jax.jacfwd(misfit)(design)
    return slopes
