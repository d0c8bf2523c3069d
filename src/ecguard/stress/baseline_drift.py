"""The baseline drifts: a background current grows with time."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class BaselineDrift(FailureMode):
    """A background that is nulled at the start and grows linearly in time."""

    name: ClassVar[str] = "baseline_drift"
    title: ClassVar[str] = "Drifting baseline"
    unit: ClassVar[str] = "mA cm⁻² at the end"
    full: ClassVar[float] = 0.5
    typical: ClassVar[str] = "0.01 to 0.2 mA cm⁻² while an electrode, an amplifier or a cell warms."
    source: ClassVar[str] = "Engineering practice."

    def instrument(
        self,
        experiment: Experiment,
        current: NDArray[np.floating],
        severity: NDArray[np.float64],
    ) -> NDArray[np.floating]:
        """The reading moves away from the current."""
        drift = self.magnitude(severity)[:, None] * experiment.elapsed
        return experiment.measure(current) + drift
