"""Dissolved oxygen that was not purged is reduced beside what is measured."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.simulator import Couples
from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class OxygenBackground(FailureMode):
    """An irreversible wave of four electrons, half-way near -0.2 V.

    A couple of one electron stands for it: without a way back, n electrons of a concentration C
    give the current of one electron of n C.
    """

    name: ClassVar[str] = "oxygen_background"
    title: ClassVar[str] = "Dissolved oxygen"
    unit: ClassVar[str] = "mM of oxygen"
    full: ClassVar[float] = 0.26
    typical: ClassVar[str] = "0.01 mM after purging; 0.26 mM in water open to air at 25 °C."
    source: ClassVar[str] = "Solubility of oxygen in water, 8.3 mg/L at 25 °C under air."
    at_electrode: ClassVar[bool] = True

    electrons: float = 4.0
    D_cm2_s: float = 2e-5
    E0_V: float = 0.6
    k0_cm_s: float = 1e-10

    def electrode(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """Oxygen reacts beside what is known."""
        oxygen = Couples(
            D_ox=self.D_cm2_s,
            D_red=self.D_cm2_s,
            C_ox=self.electrons * self.magnitude(severity),
            C_red=0.0,
            E0=self.E0_V,
            k0=self.k0_cm_s,
            alpha=0.5,
        )
        couples = experiment.couples_beside(oxygen)
        return experiment.simulate(experiment.waveform, couples, experiment.cell)
