"""Clipping: the amplifier's range ends before the current does."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class Clipping(FailureMode):
    """A range, even about zero, that lacks a share of the largest current in the trace."""

    name: ClassVar[str] = "clipping"
    title: ClassVar[str] = "Amplifier out of range"
    unit: ClassVar[str] = "share of the largest current cut"
    full: ClassVar[float] = 0.5
    typical: ClassVar[str] = "0.05 to 0.5 where a fixed range was set by a weaker sample."
    source: ClassVar[str] = "Engineering practice."

    def instrument(
        self,
        experiment: Experiment,
        current: NDArray[np.floating],
        severity: NDArray[np.float64],
    ) -> NDArray[np.floating]:
        """Readings beyond the range stay at its end."""
        measured = experiment.measure(current)
        largest = np.abs(measured).max(axis=1, keepdims=True)
        limit = (1.0 - self.magnitude(severity)[:, None]) * largest
        return np.clip(measured, -limit, limit)
