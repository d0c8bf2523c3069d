"""The semi-integral kernel 1/sqrt(pi t) as a short sum of decaying exponentials.

Planar semi-infinite diffusion enters an electrode's current through one convolution,

    S(t) = integral_0^t f(s) / sqrt(pi (t - s)) ds .

Replacing the kernel by exponentials turns the convolution into one recursion per exponential,
so a trace of N steps costs O(N Q) time and O(Q) memory.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 5e-6
"""Relative error that `exponential_sum` promises on its span."""

_TERMS = (12, 14, 16, 20, 24, 32, 40)


class ExponentialSum(NamedTuple):
    """sum_q weight[q] exp(-rate[q] t), close to 1/sqrt(pi t) for t in [1, span]."""

    rate: NDArray[np.float64]
    weight: NDArray[np.float64]

    def relative_error(self, span: float) -> float:
        """Largest relative error against 1/sqrt(pi t) for t in [1, span]."""
        time = np.geomspace(1.0, span, 4_000)
        value = np.exp(-np.outer(time, self.rate)) @ self.weight
        return float(np.max(np.abs(value * np.sqrt(np.pi * time) - 1.0)))


@cache
def exponential_sum(span: float) -> ExponentialSum:
    """The shortest fitted sum whose relative error on [1, span] stays below `TOLERANCE`.

    Args:
        span: ratio of the longest to the shortest time, at least 2.

    Returns:
        Rates, in units of one over the shortest time, and weights, each [terms].

    Raises:
        ValueError: no sum of up to 40 terms reaches the tolerance (span above about 1e11).
    """
    for terms in _TERMS:
        fitted = fitted_sum(span, terms)
        if fitted.relative_error(span) <= TOLERANCE:
            return fitted
    raise ValueError(f"no exponential sum reaches {TOLERANCE} on a span of {span}")


def fitted_sum(span: float, terms: int) -> ExponentialSum:
    """The sum of so many exponentials, whatever its error.

    Rates are log-spaced from 0.3/span to 8; weights follow by least squares of the relative error.
    """
    time = np.geomspace(1.0, span, 40 * terms)
    rate = np.geomspace(0.3 / span, 8.0, terms)
    relative = np.exp(-np.outer(time, rate)) * np.sqrt(np.pi * time)[:, None]
    scale = relative.max(axis=0)
    weight, *_ = np.linalg.lstsq(relative / scale, np.ones_like(time), rcond=None)
    return ExponentialSum(rate, weight / scale)
