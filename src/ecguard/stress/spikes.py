"""Spikes: single readings that are far off."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class Spikes(FailureMode):
    """Outliers of either sign at samples that chance picks; a higher severity hits more of them.

    Heights are uniform up to `highest_mA_cm2` either way, drawn by the chance of the sample before,
    so that they do not depend on the severity.
    """

    name: ClassVar[str] = "spikes"
    title: ClassVar[str] = "Spikes"
    unit: ClassVar[str] = "share of the samples hit"
    full: ClassVar[float] = 0.05
    typical: ClassVar[str] = "0.001 to 0.02 near motors, stirrers, radios and loose contacts."
    source: ClassVar[str] = "Engineering practice."
    shaped: ClassVar[bool] = False

    highest_mA_cm2: float = 2.0

    def instrument(
        self,
        experiment: Experiment,
        current: NDArray[np.floating],
        severity: NDArray[np.float64],
    ) -> NDArray[np.floating]:
        """Spikes are added to some readings."""
        chance = np.asarray(experiment.chance, np.float64)
        hit = chance < self.magnitude(severity)[:, None]
        height = self.highest_mA_cm2 * (2.0 * np.roll(chance, 1, axis=1) - 1.0)
        return experiment.measure(current) + np.where(hit, height, 0.0)
