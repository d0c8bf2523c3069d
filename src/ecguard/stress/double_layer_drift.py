"""The double layer is far above what was declared."""

from typing import ClassVar

import equinox as eqx
import numpy as np
from numpy.typing import NDArray

from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class DoubleLayerDrift(FailureMode):
    """Capacitance is added: a surface that has roughened, swollen or opened its pores."""

    name: ClassVar[str] = "double_layer_drift"
    title: ClassVar[str] = "Double layer has grown"
    unit: ClassVar[str] = "µF cm⁻² added"
    full: ClassVar[float] = 180.0
    typical: ClassVar[str] = (
        "10 to 40 µF cm⁻² from electrode to electrode; a roughened metal or porous carbon has ten "
        "times that of a polished one."
    )
    source: ClassVar[str] = "Engineering practice."
    at_electrode: ClassVar[bool] = True

    def electrode(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """Charging takes more current; what reacts does not change."""
        cell = experiment.cell
        added = 1e-6 * self.magnitude(severity) * cell.area_cm2
        true = eqx.tree_at(lambda c: c.Cdl_F, cell, cell.Cdl_F + added)
        return experiment.simulate(experiment.waveform, experiment.couples, true)
