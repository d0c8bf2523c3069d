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
    A = np.asarray(slopes, float)
    if A.ndim != 3 or np.ndim(shapes) != 3:
        raise InputError("slopes", (A.shape, np.shape(shapes)), "[n, L, d]", "Pass one row a case.")
    n, length, d = A.shape
    A = finite("slopes", A, (n, length, d), "Check the model.")
    off = finite("deviation", deviation, (n, length), "Check the trace.")
    place = finite("scores", scores, (n, d), "Check the posterior.")
    faults = finite("shapes", shapes, (n, np.shape(shapes)[1], length), "Check the faults.")
    precision = np.eye(d) + A.mT @ A

    def unexplained(rows: Array) -> Array:
        return np.asarray(rows - np.linalg.solve(precision, (rows @ A).mT).mT @ A.mT)

    left = unexplained((off + np.einsum("nld,nd->nl", A, place))[:, None])
    power = np.einsum("nml,nml->nm", faults, unexplained(faults))
    strength = np.sqrt(np.maximum(power, 0.0))
    along = (faults @ left.mT)[..., 0]
    there = strength > _LEAST_STRENGTH
    z = np.where(there, along / np.where(there, strength, 1.0), 0.0)
    return ScoreTest(z, np.where(there, strength, 0.0))


def log_bayes_factor(test: ScoreTest) -> Array:
    """ln evidence of each fault against none [n, m].

    A severity is above 0, half of a normal distribution whose std is 1: the scale's full length.
    """
    z, strength = test
    spread = 1.0 + strength**2
    pull = z * strength / np.sqrt(spread)
    return np.asarray(np.log(2.0) + log_ndtr(pull) + 0.5 * pull**2 - 0.5 * np.log(spread))


def fault_log_evidence(
    deviation: ArrayLike, slopes: ArrayLike, scores: ArrayLike, shapes: ArrayLike
) -> Array:
    """ln evidence of m faults against none [n, m], the mean of what k shapes of each give.

    A large fault is no multiple of a small one: k sizes of it have a shape each.

    Args:
        deviation, slopes, scores: those of `score_test`.
        shapes: what each fault adds to the trace, for each unit of its severity [n, m, k, L].

    Raises:
        InputError: as in `score_test`.
    """
    faults = np.asarray(shapes, float)
    if faults.ndim != 4:
        raise InputError("shapes", faults.shape, "[n, m, k, L]", "Pass k sizes of each fault.")
    n, m, k, length = faults.shape
    each = score_test(deviation, slopes, scores, faults.reshape(n, m * k, length))
    found = log_bayes_factor(each).reshape(n, m, k)
    return np.asarray(logsumexp(found, axis=2) - np.log(k))
