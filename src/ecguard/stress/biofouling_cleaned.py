"""Fouling that leaves during the trace: the electrode is covered at its start."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.fouling import Fouling
from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class BiofoulingCleaned(FailureMode):
    """A covered electrode loses nine tenths of its film by the end of the trace.

    Rinsing or the potential itself frees it; the rate follows from the duration. No charge passes.
    """

    name: ClassVar[str] = "biofouling_cleaned"
    title: ClassVar[str] = "Fouling that leaves during the trace"
    unit: ClassVar[str] = "initial coverage"
    full: ClassVar[float] = 0.78
    typical: ClassVar[str] = "0.2 to 0.8 where a fouled electrode is rinsed or cycled clean in use."
    source: ClassVar[str] = "Desorption of first order (Langmuir 1918); its pace by construction."
    at_electrode: ClassVar[bool] = True

    left: float = 0.1  # share of the initial coverage at the end

    def electrode(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """Coverage decays from its initial value."""
        leaving = Fouling(
            initial_theta=self.magnitude(severity),
            k_ads=0.0,
            k_des=-np.log(self.left) / experiment.duration_s,
            k_clean=0.0,
            k_reaction=0.0,
            adsorption_mol_cm2=0.0,
        )
        return experiment.simulate(
            experiment.waveform, experiment.couples, experiment.cell, leaving
        )
