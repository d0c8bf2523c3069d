"""Mains hum: the power line couples into the current."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode


class MainsHum(FailureMode):
    """A sine of the mains, read at the recorded times: samples rarer than it see its alias.

    Its phase is left to chance.
    """

    name: ClassVar[str] = "mains_hum"
    title: ClassVar[str] = "Mains hum"
    unit: ClassVar[str] = "mA cm⁻² amplitude"
    full: ClassVar[float] = 0.2
    typical: ClassVar[str] = (
        "0.001 to 0.1 mA cm⁻², that is 0.01 to 1 µA on 0.01 cm², for leads without a shield."
    )
    source: ClassVar[str] = "Engineering practice."
    chances: ClassVar[int] = 4

    frequency_Hz: float = 50.0

    def instrument(
        self,
        experiment: Experiment,
        current: NDArray[np.floating],
        severity: NDArray[np.float64],
    ) -> NDArray[np.floating]:
        """The hum is added to the reading."""
        time = np.asarray(experiment.waveform.t_s, np.float64)
        turns = self.frequency_Hz * time + np.asarray(experiment.chance)[:, :1]
        hum = self.magnitude(severity)[:, None] * np.sin(2 * np.pi * turns)
        return experiment.measure(current) + hum
