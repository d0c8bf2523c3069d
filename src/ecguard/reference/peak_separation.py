"""How far apart the two peaks of a cyclic voltammogram lie."""

import numpy as np
from numpy.typing import NDArray

from ecguard.errors import InputError
from ecguard.positive import check_positive
from ecguard.reference.thermal import thermal_voltage
from ecguard.reference.voltammogram import voltammogram

PRINTED_SEPARATION_MV = {
    20.0: 61.0,
    7.0: 63.0,
    6.0: 64.0,
    5.0: 65.0,
    4.0: 66.0,
    3.0: 68.0,
    2.0: 72.0,
    1.0: 84.0,
    0.75: 92.0,
    0.5: 105.0,
    0.35: 121.0,
    0.25: 141.0,
    0.1: 212.0,
}
"""Separation in mV at 25 C by psi, as table I of Nicholson (1965) prints it."""

_START_V = 0.4  # positive of E1/2; further on changes the separation by less than 0.001 mV
_HALF = 1000  # samples a sweep
_WINDOW = 8  # samples on either side of a peak that its position is taken from


def _peak(values: NDArray[np.float64], largest: int) -> float:
    """Position of a peak near the largest value, in samples, from a polynomial through some."""
    offset = np.arange(-_WINDOW, _WINDOW + 1)
    fit = np.polynomial.Polynomial.fit(offset, values[largest + offset], 8)
    roots = fit.deriv().roots()
    real = roots[np.abs(roots.imag) < 1e-9].real
    return largest + float(real[np.argmin(np.abs(real))])


def peak_separation(
    psi: float,
    alpha: float = 0.5,
    switched_past_V: float = 0.141,
    temperature_K: float = 298.15,
) -> float:
    """Peak separation of a quasi-reversible couple (Nicholson 1965), from its integral equation.

    The table of 1965, `PRINTED_SEPARATION_MV`, prints 0.4 to 1.6 mV more. The potential of the
    reverse peak is that of the largest current, whose baseline is zero.

    Args:
        psi: (D_ox / D_red)^(alpha / 2) k0 / sqrt(pi D_ox F v / RT), > 0.
        alpha: transfer coefficient of the reduction.
        switched_past_V: how far past the half-wave potential the sweep turns, > 0, V.
        temperature_K: K.

    Returns:
        Separation in V.

    Raises:
        InputError: a value is not physical, or the sweep turns before the peak.
    """
    check_positive(psi=psi, switched_past_V=switched_past_V)
    thermal = float(thermal_voltage(temperature_K))
    period = (_START_V + switched_past_V) / thermal  # with F v / RT = 1 and D = 1
    corners = np.array([0.0, period, 2 * period])
    potentials = np.array([_START_V, -switched_past_V, _START_V])

    time = np.linspace(0.0, 2 * period, 2 * _HALF + 1)
    current = voltammogram(
        time,
        corners,
        potentials,
        C_ox=1.0,
        D_ox=1.0,
        D_red=1.0,
        E0=0.0,
        k0=psi * np.sqrt(np.pi),
        alpha=alpha,
        temperature_K=temperature_K,
    ).current_density_mA_cm2
    forward, reverse = int(np.argmin(current)), int(np.argmax(current))
    if forward > _HALF - _WINDOW:
        raise InputError(
            "switched_past_V",
            switched_past_V,
            "far enough for the peak to lie before the turn",
            "turn the sweep further past the wave",
        )
    step = (_START_V + switched_past_V) / _HALF
    return step * (_peak(-current, forward) + _peak(current, reverse) - 2 * _HALF)
