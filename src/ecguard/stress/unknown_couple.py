"""A second redox couple that the user does not know of."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.simulator import Couples
from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class UnknownCouple(FailureMode):
    """An impurity that can be reduced; its potential and its k0 are left to chance."""

    name: ClassVar[str] = "unknown_couple"
    title: ClassVar[str] = "Unknown redox couple"
    unit: ClassVar[str] = "mM"
    full: ClassVar[float] = 1.0
    typical: ClassVar[str] = "0.01 to 0.5 mM of metal ions, quinones or drugs in real samples."
    source: ClassVar[str] = "Engineering practice; what the couple is, by construction."
    at_electrode: ClassVar[bool] = True

    E0_range_V: tuple[float, float] = (-0.4, 0.4)
    k0_range_cm_s: tuple[float, float] = (1e-3, 1e-1)

    def electrode(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """The impurity reacts beside what is known."""
        first, second = np.asarray(experiment.chance, np.float64)[:, :2].T
        impurity = Couples(
            D_ox=1e-5,
            D_red=1e-5,
            C_ox=self.magnitude(severity),
            C_red=0.0,
            E0=np.interp(first, (0, 1), self.E0_range_V),
            k0=np.exp(np.interp(second, (0, 1), np.log(self.k0_range_cm_s))),
            alpha=0.5,
        )
        couples = experiment.couples_beside(impurity)
        return experiment.simulate(experiment.waveform, couples, experiment.cell)
