"""The noise is larger than declared."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ecguard.stress.experiment import Experiment
from ecguard.stress.scatter import Scatter

_LEAST = 1e-7  # keeps the quantile finite


class NoiseUnderestimated(Scatter):
    """Gaussian noise beside the declared, independent of it."""

    name: ClassVar[str] = "noise_underestimated"
    title: ClassVar[str] = "Noise larger than declared"
    unit: ClassVar[str] = "extra std, in declared ones"
    full: ClassVar[float] = 3.0
    typical: ClassVar[str] = "0.5 to 3 between a shielded bench and the field."
    source: ClassVar[str] = "Engineering practice."

    def instrument(
        self,
        experiment: Experiment,
        current: NDArray[np.floating],
        severity: NDArray[np.float64],
    ) -> NDArray[np.floating]:
        """The reading has the noise of both."""
        extra = ndtri(np.clip(np.asarray(experiment.chance, np.float64), _LEAST, 1 - _LEAST))
        std = self.magnitude(severity) * np.asarray(experiment.noise_std)
        return experiment.measure(current) + std[:, None] * extra

    def log_ratio(
        self,
        residual: NDArray[np.float64],
        noise_std: NDArray[np.float64],  # noqa: ARG002
        severity: float,
    ) -> NDArray[np.float64]:
        """Of a normal law with both variances."""
        variance = 1.0 + self.magnitude(severity) ** 2
        return np.asarray(0.5 * residual**2 * (1.0 - 1.0 / variance) - 0.5 * np.log(variance))
