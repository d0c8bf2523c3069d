"""Constants that the reference solutions share."""

import numpy as np
from numpy.typing import NDArray
from scipy import constants

Values = float | NDArray[np.float64]

FARADAY = float(constants.N_A * constants.e)
"""C/mol."""


def thermal_voltage(temperature_K: Values = 298.15) -> Values:
    """RT/F in V; temperature in K."""
    return float(constants.R) / FARADAY * temperature_K
