"""One score of several diagnostics, learnt on design cases."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from ecguard.errors import InputError

_PENALTY = 1e-2  # on the squared weights, for each trace
_LEAST_SCALE = 1e-9

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CombinedScore:
    """Log odds that a trace is clean, by logistic regression on its diagnostics; high is good.

    A diagnostic enters as asinh((x - centre) / scale): its centre is the median of clean cases, its
    scale the distance from there to their 95 % quantile, and far values count by their logarithm.
    No weight is negative, so that a worse diagnostic never makes a trace look better.

    Attributes:
        names: of the diagnostics.
        centre, scale, weight: one for each.
        offset: log odds at the centre.
    """

    names: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]
    offset: float

    @classmethod
    def fit(cls, names: tuple[str, ...], clean: ArrayLike, faulty: ArrayLike) -> "CombinedScore":
        """Learn to tell faulty traces from clean ones; either group counts as half.

        Args:
            names: of the k diagnostics.
            clean: [n, k], large is suspect.
            faulty: [m, k].

        Raises:
            InputError: a group is empty, of another width or not finite.
        """
        groups = [
            _diagnostics(label, rows, len(names))
            for label, rows in (("clean", clean), ("faulty", faulty))
        ]
        centre = np.median(groups[0], axis=0)
        scale = np.maximum(np.quantile(groups[0], 0.95, axis=0) - centre, _LEAST_SCALE)
        features = _features(np.concatenate(groups), centre, scale)
        sign = np.repeat([1.0, -1.0], [len(rows) for rows in groups])
        share = np.repeat([0.5 / len(rows) for rows in groups], [len(rows) for rows in groups])

        def loss(values: Array) -> tuple[float, Array]:
            odds = sign * (values[-1] - features @ values[:-1])
            pull = -share * sign * special.expit(-odds)
            slope = np.append(-pull @ features + 2 * _PENALTY * values[:-1], pull.sum())
            cost = share @ np.logaddexp(0.0, -odds) + _PENALTY * values[:-1] @ values[:-1]
            return float(cost), slope

        bounds = [(0.0, None)] * len(names) + [(None, None)]
        start = np.append(np.full(len(names), 0.1), 0.0)
        found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
        return cls(
            names,
            tuple(centre.tolist()),
            tuple(scale.tolist()),
            tuple(found.x[:-1].tolist()),
            float(found.x[-1]),
        )

    def __call__(self, diagnostics: ArrayLike) -> Array:
        """Log odds [n] of diagnostics [n, k].

        Raises:
            InputError: another width, or not finite.
        """
        rows = _diagnostics("diagnostics", diagnostics, len(self.names))
        features = _features(rows, np.array(self.centre), np.array(self.scale))
        return np.asarray(self.offset - features @ np.array(self.weight))


def _features(rows: Array, centre: Array, scale: Array) -> Array:
    return np.asarray(np.arcsinh((rows - centre) / scale))


def _diagnostics(name: str, values: ArrayLike, width: int) -> Array:
    array = np.asarray(values, float)
    if array.ndim != 2 or not len(array) or array.shape[1] != width:
        raise InputError(
            name, array.shape, f"[n, {width}], a trace or more", "Pass one row a trace."
        )
    if not np.isfinite(array).all():
        raise InputError(name, "NaN or infinite", "finite", "Leave out the failed traces.")
    return array
