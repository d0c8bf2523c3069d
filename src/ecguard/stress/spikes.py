"""Spikes: single readings that are far off."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr
from scipy.stats import norm

from ecguard.stress.experiment import Experiment
from ecguard.stress.scatter import Scatter


class Spikes(Scatter):
    """Outliers of either sign at samples that chance picks; a higher severity hits more of them.

    Heights are uniform up to `highest_mA_cm2` either way, drawn by the chance of the sample before,
    so that they do not depend on the severity.
    """

    name: ClassVar[str] = "spikes"
    title: ClassVar[str] = "Spikes"
    unit: ClassVar[str] = "share of the samples hit"
    full: ClassVar[float] = 0.05
    typical: ClassVar[str] = "0.001 to 0.02 near motors, stirrers, radios and loose contacts."
    source: ClassVar[str] = "Engineering practice."

    highest_mA_cm2: float = 2.0

    def instrument(
        self,
        experiment: Experiment,
        current: NDArray[np.floating],
        severity: NDArray[np.float64],
    ) -> NDArray[np.floating]:
        """Spikes are added to some readings."""
        chance = np.asarray(experiment.chance, np.float64)
        hit = chance < self.magnitude(severity)[:, None]
        height = self.highest_mA_cm2 * (2.0 * np.roll(chance, 1, axis=1) - 1.0)
        return experiment.measure(current) + np.where(hit, height, 0.0)

    def log_ratio(
        self, residual: NDArray[np.float64], noise_std: NDArray[np.float64], severity: float
    ) -> NDArray[np.float64]:
        """Of noise alone, or of noise and a height, by the share of the samples hit."""
        share = self.magnitude(severity)
        reach = (self.highest_mA_cm2 / np.asarray(noise_std))[:, None]
        near, far = log_ndtr(reach - np.abs(residual)), log_ndtr(-reach - np.abs(residual))
        hit = near + np.log1p(-np.exp(far - near)) - np.log(2.0 * reach) - norm.logpdf(residual)
        return np.logaddexp(np.log1p(-share), np.log(share) + hit)
