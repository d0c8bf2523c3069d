"""Faults that scatter readings, each by itself."""

import abc
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.stress.mode import FailureMode


class Scatter(FailureMode):
    """A fault that moves readings one by one: it has a law of its own, and no shape."""

    shaped: ClassVar[bool] = False

    @abc.abstractmethod
    def log_ratio(
        self, residual: NDArray[np.float64], noise_std: NDArray[np.float64], severity: float
    ) -> NDArray[np.float64]:
        """ln density of residuals under the fault, over that of the noise alone [n, L].

        Args:
            residual: of readings, in units of the noise [n, L].
            noise_std: declared, mA/cm^2 [n].
            severity: above 0, at most 1.
        """
