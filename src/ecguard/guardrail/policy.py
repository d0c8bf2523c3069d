"""When to measure more and when to refit: two thresholds, chosen by what errors and time cost."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecguard.errors import InputError

ACTIONS = ("accept", "measure more", "refit")
"""What can be done with a trace, each after the one before."""


class Outcome(NamedTuple):
    """What comes of n traces.

    Args:
        action: index into `ACTIONS` of what was done last [n].
        failed: whether the posterior that is kept is wrong [n].
        seconds: of measurement beyond the first voltammogram [n].
    """

    action: NDArray[np.intp]
    failed: NDArray[np.bool_]
    seconds: NDArray[np.float64]

    def cost_s(self, failure_s: float) -> NDArray[np.float64]:
        """What each trace costs, where a failure that is kept costs `failure_s` [n]."""
        return np.asarray(self.seconds + failure_s * self.failed)


@dataclass(frozen=True)
class Traces:
    """What each action would find on n traces.

    Attributes:
        first_score: of the voltammogram; high is good [n].
        second_score: of the designed protocol [n].
        wrong: whether the posterior after each action is wrong [n, 3].
        seconds: of measurement that each action takes in all, beyond the voltammogram [n, 3].
    """

    first_score: NDArray[np.float64]
    second_score: NDArray[np.float64]
    wrong: NDArray[np.bool_]
    seconds: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.first_score)
        shapes = [np.shape(values) for values in vars(self).values()]
        if not n or shapes != [(n,), (n,), (n, len(ACTIONS)), (n, len(ACTIONS))]:
            raise InputError(
                "traces", shapes, f"[n], [n], [n, {len(ACTIONS)}] twice", "Pass one row a trace."
            )

        for name in ("first_score", "second_score", "seconds"):
            if not np.isfinite(getattr(self, name)).all():
                raise InputError(name, "NaN or infinite", "finite", "Leave out the failed traces.")

    def __len__(self) -> int:
        return len(self.first_score)


@dataclass(frozen=True)
class Policy:
    """Measure more where the first score is low; refit where the second is low as well.

    Attributes:
        first: threshold of the voltammogram's score.
        second: threshold of the designed protocol's score.
    """

    first: float
    second: float

    @classmethod
    def always_trust(cls) -> "Policy":
        """Accepts everything."""
        return cls(-np.inf, -np.inf)

    @classmethod
    def always_escalate(cls) -> "Policy":
        """Refits everything."""
        return cls(np.inf, np.inf)

    @classmethod
    def fit(cls, traces: Traces, failure_s: float, weight: ArrayLike = 1.0) -> "Policy":
        """The thresholds of least mean cost on design traces.

        Args:
            traces: of the design set.
            failure_s: what a wrong posterior that is kept costs, in seconds of measurement.
            weight: of each trace [n].

        Raises:
            InputError: a failure that costs nothing or without bound, or weights that are not
                finite, negative, all 0 or of another number.
        """
        if not 0 < failure_s < np.inf:
            raise InputError(
                "failure_s", failure_s, "above 0 s and finite", "Say what a failure costs."
            )
        each = np.asarray(weight, float)
        fine = each.shape in ((), (len(traces),)) and bool(np.isfinite(each).all())
        if not (fine and (each >= 0).all() and each.any()):
            raise InputError(
                "weight", weight, f"[{len(traces)}], finite, 0 or more, not all 0", "Leave it out."
            )
        each = np.broadcast_to(each, len(traces))
        cost = each[:, None] * (traces.seconds + failure_s * traces.wrong)
        seconds = _thresholds(traces.second_score)
        refit = traces.second_score < seconds[:, None]
        least, best = np.inf, cls.always_trust()
        for first in _thresholds(traces.first_score):
            more = traces.first_score < first
            kept = cost[~more, 0].sum()
            costs = kept + np.where(refit, cost[:, 2], cost[:, 1])[:, more].sum(axis=1)
            place = int(np.argmin(costs))
            if costs[place] < least:
                least, best = costs[place], cls(float(first), float(seconds[place]))
        return best

    def apply(self, traces: Traces) -> Outcome:
        """What the policy does, and what comes of it."""
        more = traces.first_score < self.first
        action = np.where(more, np.where(traces.second_score < self.second, 2, 1), 0)
        rows = np.arange(len(traces))
        return Outcome(action, traces.wrong[rows, action], traces.seconds[rows, action])


def _thresholds(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between all scores, and beyond both ends."""
    values = np.unique(score)
    return np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
