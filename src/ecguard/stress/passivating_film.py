"""A passivating film slows electron transfer and adds resistance; the double layer stays."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.fouling import Fouling
from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class PassivatingFilm(FailureMode):
    """A thin even film, an oxide or a polymer: k0 falls by decades, and the film has a resistance.

    Nothing betrays it at high frequency: a clean electrode with a smaller k0 gives almost the same
    trace.
    """

    name: ClassVar[str] = "passivating_film"
    title: ClassVar[str] = "Passivating film"
    unit: ClassVar[str] = "decades of k0"
    full: ClassVar[float] = 2.0
    typical: ClassVar[str] = "0.3 to 2 decades on carbon and noble metals kept in air or oxidised."
    source: ClassVar[str] = "Engineering practice; the film's resistance is the reference study's."
    at_electrode: ClassVar[bool] = True

    film_ohm: float = 1800.0  # at full magnitude

    def electrode(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """The film is there from the start and does not change."""
        film = Fouling(
            initial_theta=severity,
            k_ads=0.0,
            k_des=0.0,
            k_clean=0.0,
            k_reaction=0.0,
            Rfilm_theta_max_ohm=self.film_ohm,
            cdl_theta_fraction=0.0,
            area_floor_fraction=1.0,
            k0_theta_coeff=self.full * np.log(10.0),
            film_exponent=1.0,
            adsorption_mol_cm2=0.0,
        )
        return experiment.simulate(experiment.waveform, experiment.couples, experiment.cell, film)
