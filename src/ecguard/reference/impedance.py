"""The Randles circuit."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecguard.reference.thermal import FARADAY, Values, thermal_voltage


def randles_impedance(
    frequency_Hz: ArrayLike,
    E_V: Values,
    c_ox: Values,
    c_red: Values,
    D_ox: Values,
    D_red: Values,
    E0: Values,
    k0: Values,
    alpha: Values,
    area_cm2: Values,
    Ru_ohm: Values = 0.0,
    Cdl_F: Values = 0.0,
    temperature_K: Values = 298.15,
) -> NDArray[np.complex128]:
    """Ru in series with Cdl parallel to charge transfer and Warburg diffusion (Randles 1947).

    The response to a small tone about a steady state, which may carry a direct current, after the
    transient of switching the tone on. At equilibrium (`nernst_potential`) it is the textbook's
    circuit, with R_ct = RT / (F^2 A k0 c_ox^(1 - alpha) c_red^alpha) and
    Z_W = RT / (F^2 A sqrt(j w)) (1 / (c_ox sqrt(D_ox)) + 1 / (c_red sqrt(D_red))).

    Args:
        frequency_Hz: of the tone, > 0, Hz.
        E_V: steady potential of the interface, V.
        c_ox, c_red: steady concentrations at the surface, mM; those of the bulk at equilibrium.
        D_ox, D_red: diffusion coefficients, cm^2/s.
        E0: formal potential, V.
        k0: standard rate constant, cm/s.
        alpha: transfer coefficient of the reduction.
        area_cm2, Ru_ohm, Cdl_F, temperature_K: the cell.

    Returns:
        Complex impedance, ohm; all arguments broadcast.
    """
    thermal = thermal_voltage(temperature_K)
    s = 2j * np.pi * np.asarray(frequency_Hz, float)
    phi = (E_V - E0) / thermal
    k_f = k0 * np.exp(-alpha * phi)
    k_b = k_f * np.exp(phi)
    exchange = 1e-6 * (alpha * k_f * c_ox + (1 - alpha) * k_b * c_red)
    diffusion = 1 + (k_f / np.sqrt(D_ox) + k_b / np.sqrt(D_red)) / np.sqrt(s)
    faradaic = FARADAY * area_cm2 / thermal * exchange / diffusion
    return np.asarray(Ru_ohm + 1 / (faradaic + s * Cdl_F))


def nernst_potential(
    C_ox: Values, C_red: Values, E0: Values, temperature_K: Values = 298.15
) -> Values:
    """Potential in V at which concentrations (> 0, one unit) are at equilibrium (Nernst 1889)."""
    return E0 + thermal_voltage(temperature_K) * np.log(C_ox / C_red)
