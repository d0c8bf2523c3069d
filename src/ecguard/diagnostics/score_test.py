"""Score tests for faults of a known shape, beside parameters that were fitted to the same trace.

To first order a trace is A x + severity * shape + noise, in units of the noise, with parameters x
that are standard normal under the prior. What the parameters can take up is projected out.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, logsumexp

from ecguard.diagnostics.arguments import Array, finite
from ecguard.errors import InputError

_LEAST_STRENGTH = 1e-6  # of a shape that still is one
_LEAST_VARIANCE = 0.05  # of a residual, of which parameters take up nearly all


class ScoreTest(NamedTuple):
    """Score tests of m shapes in n traces.

    Args:
        z: standard normal where a trace is clean; high where the shape is in it [n, m].
        strength: mean of z at severity 1 [n, m]: 0 for a shape that the parameters take up whole.
    """

    z: Array
    strength: Array


def score_test(
    deviation: ArrayLike, slopes: ArrayLike, scores: ArrayLike, shapes: ArrayLike
) -> ScoreTest:
    """Rao's score test (1948, Proc. Camb. Phil. Soc. 44, 50) under a normal prior.

    Args:
        deviation: observed less expected, in units of the noise; 0 where hidden [n, L].
        slopes: of what is expected, along the parameters [n, L, d].
        scores: parameters at which all is taken, in units of their standard normal prior [n, d].
        shapes: what each fault adds to the trace, for each unit of its severity [n, m, L].

    Raises:
        InputError: shapes disagree, or a value is not finite.
    """
    parameters, trace = _linear(deviation, slopes, scores)
    if np.ndim(shapes) != 3:
        raise InputError("shapes", np.shape(shapes), "[n, m, L]", "Pass m rows a case.")
    n, length = trace.shape
    faults = finite("shapes", shapes, (n, np.shape(shapes)[1], length), "Check the faults.")
    left = parameters.leave(trace[:, None])
    power = np.einsum("nml,nml->nm", faults, parameters.leave(faults))
    strength = np.sqrt(np.maximum(power, 0.0))
    along = (faults @ left.mT)[..., 0]
    there = strength > _LEAST_STRENGTH
    z = np.where(there, along / np.where(there, strength, 1.0), 0.0)
    return ScoreTest(z, np.where(there, strength, 0.0))


def standard_residuals(deviation: ArrayLike, slopes: ArrayLike, scores: ArrayLike) -> Array:
    """What the parameters leave of traces, each sample in units of its own std [n, L].

    Standard normal where a trace is clean, and nearly independent where there are many more samples
    than parameters; 0 where hidden.

    Args:
        deviation, slopes, scores: those of `score_test`.

    Raises:
        InputError: as in `score_test`.
    """
    parameters, trace = _linear(deviation, slopes, scores)
    variance = np.maximum(1.0 - parameters.leverage, _LEAST_VARIANCE)
    return np.asarray(parameters.leave(trace[:, None])[:, 0] / np.sqrt(variance))


class _Parameters(NamedTuple):
    """Slopes of what is expected along parameters [n, L, d], and their precision [n, d, d]."""

    slopes: Array
    precision: Array

    def leave(self, rows: Array) -> Array:
        """What they cannot take up of rows [n, m, L]."""
        taken = np.linalg.solve(self.precision, (rows @ self.slopes).mT).mT
        return np.asarray(rows - taken @ self.slopes.mT)

    @property
    def leverage(self) -> Array:
        """Share of the variance of each sample that they take up [n, L]."""
        turned = np.linalg.solve(self.precision, self.slopes.mT)
        return np.einsum("nld,ndl->nl", self.slopes, turned)


def _linear(
    deviation: ArrayLike, slopes: ArrayLike, scores: ArrayLike
) -> tuple[_Parameters, Array]:
    """Parameters of traces to first order, and the traces less what is expected of none [n, L]."""
    A = np.asarray(slopes, float)
    if A.ndim != 3:
        raise InputError("slopes", A.shape, "[n, L, d]", "Pass one row a case.")
    n, length, d = A.shape
    A = finite("slopes", A, (n, length, d), "Check the model.")
    off = finite("deviation", deviation, (n, length), "Check the trace.")
    place = finite("scores", scores, (n, d), "Check the posterior.")
    return _Parameters(A, np.eye(d) + A.mT @ A), off + np.einsum("nld,nd->nl", A, place)


def log_bayes_factor(test: ScoreTest) -> Array:
    """ln evidence of each fault against none [n, m].

    A severity is above 0, half of a normal distribution whose std is 1: the scale's full length.
    """
    z, strength = test
    spread = 1.0 + strength**2
    pull = z * strength / np.sqrt(spread)
    return np.asarray(np.log(2.0) + log_ndtr(pull) + 0.5 * pull**2 - 0.5 * np.log(spread))


def mean_evidence(log_evidence: ArrayLike) -> Array:
    """ln of the mean evidence of k alternatives, all as likely [n, k] -> [n]."""
    each = np.asarray(log_evidence)
    return np.asarray(logsumexp(each, axis=1) - np.log(each.shape[1]))


def fault_log_evidence(
    deviation: ArrayLike,
    slopes: ArrayLike,
    scores: ArrayLike,
    shapes: ArrayLike,
    fault: ArrayLike,
    spreads: tuple[float, ...] = (1.0,),
) -> Array:
    """ln evidence of faults against none [n, largest of `fault` + 1], from k shapes in all.

    A large fault is no multiple of a small one, and what chance decides gives it many shapes: the
    evidence of a fault is the mean of what its shapes give.

    Args:
        deviation, slopes, scores: those of `score_test`.
        shapes: what faults add to the trace, for each unit of their severity [n, k, L].
        fault: which of them each shape belongs to, from 0 on, none left out [k].
        spreads: of severities, all as likely: stds of the normal laws whose halves they follow.

    Raises:
        InputError: as in `score_test`, or `fault` does not name one for each shape.
    """
    z, strength = score_test(deviation, slopes, scores, shapes)
    own, numbers = np.asarray(fault), np.unique(fault)
    if own.shape != z.shape[1:] or not np.array_equal(numbers, np.arange(len(numbers))):
        raise InputError(
            "fault", own.tolist(), f"{z.shape[1]} numbers from 0 on", "Name each shape's fault."
        )
    found = [log_bayes_factor(ScoreTest(z, spread * strength)) for spread in spreads]
    each = (np.concatenate([row[:, own == number] for row in found], axis=1) for number in numbers)
    return np.stack([mean_evidence(rows) for rows in each], axis=1)
