"""The uncompensated resistance is far above what was declared."""

from typing import ClassVar

import equinox as eqx
import numpy as np
from numpy.typing import NDArray

from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class UncompensatedResistance(FailureMode):
    """Resistance is added in series: a dry frit, a loose contact, too little electrolyte."""

    name: ClassVar[str] = "uncompensated_resistance"
    title: ClassVar[str] = "Uncompensated resistance"
    unit: ClassVar[str] = "ohm added"
    full: ClassVar[float] = 3000.0
    typical: ClassVar[str] = (
        "100 to 1000 ohm for dilute electrolyte or a distant reference, several kilohm for a "
        "clogged frit or a corroded contact."
    )
    source: ClassVar[str] = "Engineering practice."
    at_electrode: ClassVar[bool] = True

    def electrode(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """The ohmic drop grows, and the double layer charges more slowly."""
        cell = experiment.cell
        true = eqx.tree_at(lambda c: c.Ru_ohm, cell, cell.Ru_ohm + self.magnitude(severity))
        return experiment.simulate(experiment.waveform, experiment.couples, true)
