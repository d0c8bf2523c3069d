"""A couple bound to the surface: the product is adsorbed and adds a wave of its own."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.simulator import FARADAY, GAS_CONSTANT
from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class SurfaceCouple(FailureMode):
    """A reversible monolayer reacts at a potential above that of the first couple.

    The oxidised share is Nernst's, 1 / (1 + exp(-F (E - E0) / RT)), at the nominal potential. A
    sample reads the mean of the current over the step that ends there, so that no charge is lost
    where the potential jumps. Ohmic drop of its current is left out.
    """

    name: ClassVar[str] = "surface_couple"
    title: ClassVar[str] = "Adsorbed redox couple"
    unit: ClassVar[str] = "nmol cm⁻²"
    full: ClassVar[float] = 1.0
    typical: ClassVar[str] = "0.05 to 0.5 nmol cm⁻² for a monolayer, more on a rough surface."
    source: ClassVar[str] = (
        "E. Laviron, J. Electroanal. Chem. 101 (1979) 19; R. H. Wopschall and I. Shain, Anal. "
        "Chem. 39 (1967) 1514."
    )
    at_electrode: ClassVar[bool] = True

    shift_V: float = 0.1  # of its E0; an adsorbed product reacts before the dissolved one

    def electrode(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """The clean current and that of the monolayer."""
        return experiment.clean() + self.monolayer(experiment, severity)

    def monolayer(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Current of the adsorbed couple alone, mA/cm^2 [n, L]; 0 at the first sample."""
        waveform, cell = experiment.waveform, experiment.cell
        E0 = np.asarray(experiment.couples.E0)[:, :1] + self.shift_V
        thermal = GAS_CONSTANT * np.asarray(cell.temperature_K, np.float64)[:, None] / FARADAY
        half = 0.5 * (np.asarray(waveform.E_V, np.float64) - E0) / thermal
        oxidised = 0.5 + 0.5 * np.tanh(half)
        rate = np.diff(oxidised) / np.diff(np.asarray(waveform.t_s, np.float64))
        charge = 1e-6 * FARADAY * self.magnitude(severity)[:, None]  # mC/cm^2
        return np.pad(charge * rate, ((0, 0), (1, 0)))
