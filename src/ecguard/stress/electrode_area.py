"""The electrode is smaller than the area by which its current is divided."""

from typing import ClassVar

import equinox as eqx
import numpy as np
from numpy.typing import NDArray

from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class ElectrodeArea(FailureMode):
    """A share of the area is lost, to a bubble or a misprint; resistance and double layer stay."""

    name: ClassVar[str] = "electrode_area"
    title: ClassVar[str] = "Electrode smaller than declared"
    unit: ClassVar[str] = "share of the area lost"
    full: ClassVar[float] = 0.4
    typical: ClassVar[str] = "0.05 to 0.15 for printed electrodes, up to 0.5 under a gas bubble."
    source: ClassVar[str] = "Engineering practice."
    at_electrode: ClassVar[bool] = True

    def electrode(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """The true current, divided by the nominal area."""
        cell, left = experiment.cell, 1.0 - self.magnitude(severity)
        true = eqx.tree_at(lambda c: c.area_cm2, cell, cell.area_cm2 * left)
        return left[:, None] * experiment.simulate(experiment.waveform, experiment.couples, true)
