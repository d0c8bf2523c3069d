"""Samples are lost on their way, and the later ones take their places."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class DroppedSamples(FailureMode):
    """Lost samples leave no gap: what follows moves forward on the time axis.

    The end is filled with the last reading. Chance picks what is lost; a higher severity loses the
    same samples and more.
    """

    name: ClassVar[str] = "dropped_samples"
    title: ClassVar[str] = "Lost samples"
    unit: ClassVar[str] = "share of the samples lost"
    full: ClassVar[float] = 0.1
    typical: ClassVar[str] = "0.001 to 0.05 over radio or a serial line without checks."
    source: ClassVar[str] = "Engineering practice."
    chances: ClassVar[int] = 3

    def instrument(
        self,
        experiment: Experiment,
        current: NDArray[np.floating],
        severity: NDArray[np.float64],
    ) -> NDArray[np.floating]:
        """What arrived, in order."""
        measured = experiment.measure(current)
        lost = np.asarray(experiment.chance) < self.magnitude(severity)[:, None]
        order = np.argsort(lost, axis=1, kind="stable")
        last = (~lost).sum(axis=1, keepdims=True) - 1
        place = np.minimum(np.arange(lost.shape[1]), np.maximum(last, 0))
        return np.take_along_axis(measured, np.take_along_axis(order, place, axis=1), axis=1)
