"""Fouling that grows during the trace: the electrode is bare at its start."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.fouling import Fouling
from ecguard.simulator import Couples
from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode

_PROTEIN_MM = 1e3  # far above what reacts, so that it alone sets the pace
_PROTEIN = Couples(
    D_ox=1e-6, D_red=1e-6, C_ox=_PROTEIN_MM, C_red=0.0, E0=-20.0, k0=1e-12, alpha=1.0
)


class BiofoulingGrowing(FailureMode):
    """Proteins cover an electrode that is bare at the start.

    A species that does not react stands for them. Its adsorption follows from the duration, so that
    every trace, however short, ends with the coverage of the magnitude. No charge passes.
    """

    name: ClassVar[str] = "biofouling_growing"
    title: ClassVar[str] = "Fouling that grows during the trace"
    unit: ClassVar[str] = "coverage at the end"
    full: ClassVar[float] = 0.7
    typical: ClassVar[str] = "0.05 to 0.5 within the first minutes in undiluted serum or plasma."
    source: ClassVar[str] = "Adsorption kinetics of Langmuir (1918); its pace by construction."
    at_electrode: ClassVar[bool] = True

    def electrode(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """Coverage rises from 0."""
        return experiment.simulate(
            experiment.waveform,
            experiment.couples_beside(_PROTEIN),
            experiment.cell,
            self.fouling(experiment, severity),
        )

    def fouling(self, experiment: Experiment, severity: NDArray[np.float64]) -> Fouling:
        """Adsorption that covers 1 - exp(-exposure) of the electrode."""
        exposure = -np.log1p(-self.magnitude(severity))
        return Fouling(
            initial_theta=0.0,
            k_ads=exposure / (1e-6 * _PROTEIN_MM * experiment.duration_s),
            k_des=0.0,
            k_clean=0.0,
            k_reaction=0.0,
            adsorption_mol_cm2=0.0,
        )
