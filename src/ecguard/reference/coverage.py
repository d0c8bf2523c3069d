"""Adsorption that fills and leaves sites at constant rates."""

import numpy as np

from ecguard.reference.thermal import Values


def coverage(t_s: Values, theta_0: Values, gain: Values, loss: Values) -> Values:
    """Coverage at constant rates: d theta/dt = gain (1 - theta) - loss theta (Langmuir 1918).

    Args:
        t_s: time, s.
        theta_0: coverage at t = 0.
        gain, loss: rates, 1/s, of which one is > 0.
    """
    total = gain + loss
    final = gain / total
    return final + (theta_0 - final) * np.exp(-total * t_s)
