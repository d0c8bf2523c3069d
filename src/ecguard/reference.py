"""Closed forms that the simulator is held against. Independent of it: numpy and scipy alone.

Planar semi-infinite diffusion, one electron, Ru = 0, Cdl = 0. Currents are densities, in mA/cm^2;
a reduction is negative.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import constants
from scipy.special import erfcx

Values = float | NDArray[np.float64]

FARADAY = constants.N_A * constants.e
"""C/mol."""

PEAK_CURRENT = 0.4462946948
"""Largest sqrt(pi) chi of a reversible sweep (Nicholson and Shain 1964 print 0.4463)."""

PEAK_SHIFT = 1.1089492334
"""How far past the half-wave potential that is, in units of RT/F; 28.4918 mV at 25 C."""

_LONGEST_ROOT = 10.0
"""Root of the longest time before now that matters, in units of RT / (F v)."""


def thermal_voltage(temperature_K: Values = 298.15) -> Values:
    """RT/F in V; temperature in K."""
    return constants.R / FARADAY * temperature_K


def reversible_peak_current(
    C_ox: Values, D_ox: Values, scan_rate_V_s: Values, temperature_K: Values = 298.15
) -> Values:
    """Peak of a fast couple in a sweep from far positive of E0 (Randles 1948, Sevcik 1948).

    Args:
        C_ox: bulk concentration of the oxidised species, mM; the reduced one is absent.
        D_ox: its diffusion coefficient, cm^2/s.
        scan_rate_V_s: V/s.
        temperature_K: K.

    Returns:
        -0.4463 F C sqrt(F v D / RT), mA/cm^2.
    """
    rate = scan_rate_V_s / thermal_voltage(temperature_K)
    return -PEAK_CURRENT * FARADAY * 1e-3 * C_ox * np.sqrt(rate * D_ox)


def reversible_peak_potential(
    E0: Values, D_ox: Values, D_red: Values, temperature_K: Values = 298.15
) -> Values:
    """Potential of that peak in V (Nicholson and Shain 1964).

    Args:
        E0: formal potential, V.
        D_ox, D_red: diffusion coefficients, cm^2/s.
        temperature_K: K.
    """
    half_wave = np.log(D_red / D_ox) / 2
    return E0 + thermal_voltage(temperature_K) * (half_wave - PEAK_SHIFT)


def reversible_sweep_current(
    E_V: NDArray[np.float64],
    C_ox: float,
    D_ox: float,
    D_red: float,
    E0: float,
    scan_rate_V_s: float,
    temperature_K: float = 298.15,
) -> Values:
    """Current of a fast couple during the whole sweep towards reduction.

    The Nernst condition gives the semi-integral of the flux; the flux is its semi-derivative
    (Oldham 1972), evaluated by Gauss-Legendre quadrature.

    Args:
        E_V: potentials passed [L], V, in a sweep from far positive of E0.
        C_ox, D_ox, D_red, E0, scan_rate_V_s, temperature_K: scalars, as for the peak.
    """
    thermal = thermal_voltage(temperature_K)
    half_wave = E0 + thermal * np.log(D_red / D_ox) / 2
    past = (half_wave - E_V) / thermal
    node, weight = np.polynomial.legendre.leggauss(400)
    root = 0.5 * _LONGEST_ROOT * (node + 1)
    slope = 0.25 / np.cosh((past[:, None] - root**2) / 2) ** 2
    chi = 2 / np.sqrt(np.pi) * (0.5 * _LONGEST_ROOT) * slope @ weight
    scale = FARADAY * 1e-3 * C_ox * np.sqrt(scan_rate_V_s * D_ox / thermal)
    return -scale * chi


def limiting_current(t_s: Values, C_ox: Values, D_ox: Values) -> Values:
    """Current after a step to where all that arrives is reduced (Cottrell 1903).

    Args:
        t_s: time since the step, > 0, s.
        C_ox: bulk concentration, mM.
        D_ox: diffusion coefficient, cm^2/s.

    Returns:
        -F C sqrt(D / (pi t)), mA/cm^2.
    """
    return -FARADAY * 1e-3 * C_ox * np.sqrt(D_ox / (np.pi * t_s))


def kinetic_step_current(
    t_s: Values,
    E_V: Values,
    C_ox: Values,
    D_ox: Values,
    D_red: Values,
    E0: Values,
    k0: Values,
    alpha: Values,
    temperature_K: Values = 298.15,
) -> Values:
    """Current after a step of a couple with finite kinetics (Gerischer and Vielstich 1955).

    Args:
        t_s: time since the step, >= 0, s.
        E_V: potential stepped to, V.
        C_ox: bulk concentration, mM; the reduced species is absent.
        D_ox, D_red: diffusion coefficients, cm^2/s.
        E0: formal potential, V.
        k0: standard rate constant, cm/s.
        alpha: transfer coefficient of the reduction.
        temperature_K: K.

    Returns:
        -F k_f C exp(H^2 t) erfc(H sqrt(t)), mA/cm^2, with H = k_f / sqrt(D_ox) + k_b / sqrt(D_red).
    """
    phi = (E_V - E0) / thermal_voltage(temperature_K)
    k_f = k0 * np.exp(-alpha * phi)
    k_b = k_f * np.exp(phi)
    H = k_f / np.sqrt(D_ox) + k_b / np.sqrt(D_red)
    return -FARADAY * 1e-3 * k_f * C_ox * erfcx(H * np.sqrt(t_s))


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
