"""Adsorption that fills and leaves sites at constant rates."""

import numpy as np
from scipy.special import exprel

from ecguard.reference.thermal import Values


def coverage(t_s: Values, theta_0: Values, gain: Values, loss: Values) -> Values:
    """Coverage at constant rates: d theta/dt = gain (1 - theta) - loss theta (Langmuir 1918).

    Args:
        t_s: time, s.
        theta_0: coverage at t = 0, which stays where both rates are 0.
        gain, loss: rates, >= 0, 1/s.
    """
    passed = (gain + loss) * t_s
    return theta_0 * np.exp(-passed) + gain * t_s * exprel(-passed)
