"""Constants that the reference solutions share."""

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from ecguard.positive import check_positive

Values = float | NDArray[np.float64]

FARADAY = float(constants.N_A * constants.e)
"""C/mol."""


def thermal_voltage(temperature_K: Values = 298.15) -> Values:
    """RT/F in V; temperature in K, refused by an InputError where it is not finite and > 0."""
    check_positive(temperature_K=temperature_K)
    return float(constants.R) / FARADAY * temperature_K
