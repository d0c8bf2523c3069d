"""The clock is wrong: the true scan is faster than its user believes."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.simulator import Waveform
from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class TimeAxis(FailureMode):
    """Every step of the waveform takes less time than the file says."""

    name: ClassVar[str] = "time_axis"
    title: ClassVar[str] = "Scan faster than declared"
    unit: ClassVar[str] = "share by which the speed is higher"
    full: ClassVar[float] = 0.3
    typical: ClassVar[str] = (
        "0.001 for a free-running clock, 0.02 to 0.3 where steps are rounded to whole ticks."
    )
    source: ClassVar[str] = "Engineering practice."
    at_electrode: ClassVar[bool] = True

    def electrode(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """Simulated at the true times."""
        waveform = experiment.waveform
        speed = 1.0 + self.magnitude(severity)[:, None]
        true = Waveform(waveform.t_s / speed, waveform.E_V, waveform.cleaning)
        return experiment.simulate(true, experiment.couples, experiment.cell)
