"""Quantisation: the converter has too few bits for the current."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class Quantisation(FailureMode):
    """Readings are whole numbers of a step."""

    name: ClassVar[str] = "quantisation"
    title: ClassVar[str] = "Coarse converter"
    unit: ClassVar[str] = "mA cm⁻² a step"
    full: ClassVar[float] = 0.5
    typical: ClassVar[str] = (
        "0.003 to 0.2 mA cm⁻²: 16 to 10 bits of a range of 100 mA cm⁻² either way."
    )
    source: ClassVar[str] = "Engineering practice: 2^b steps in a range of b bits."
    shaped: ClassVar[bool] = False

    def instrument(
        self,
        experiment: Experiment,
        current: NDArray[np.floating],
        severity: NDArray[np.float64],
    ) -> NDArray[np.floating]:
        """The reading is rounded, noise and all."""
        measured = experiment.measure(current)
        step = self.magnitude(severity)[:, None]
        coarse = step > 0
        width = np.where(coarse, step, 1.0)
        return np.where(coarse, width * np.round(measured / width), measured)
