"""The reference electrode has moved: the true potential is not the nominal one."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.simulator import Waveform
from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class ReferenceDrift(FailureMode):
    """The electrode sees the nominal potential plus an offset that grows during the trace.

    Two thirds of the magnitude are there at the start, the rest comes linearly in time.
    """

    name: ClassVar[str] = "reference_drift"
    title: ClassVar[str] = "Reference electrode has drifted"
    unit: ClassVar[str] = "mV at the end"
    full: ClassVar[float] = 90.0
    typical: ClassVar[str] = (
        "A few mV for a sealed reference; 59 mV for a decade of chloride lost by a bare Ag/AgCl "
        "wire, 100 mV and more for a pseudo-reference."
    )
    source: ClassVar[str] = "Nernst equation of the Ag/AgCl electrode."
    at_electrode: ClassVar[bool] = True

    at_start: float = 2 / 3  # share of the magnitude

    def electrode(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """Simulated at the true potential."""
        waveform = experiment.waveform
        grown = self.at_start + (1.0 - self.at_start) * experiment.elapsed
        shift = 1e-3 * self.magnitude(severity)[:, None] * grown
        true = Waveform(waveform.t_s, waveform.E_V + shift, waveform.cleaning)
        return experiment.simulate(true, experiment.couples, experiment.cell)
