"""Linear sweeps towards reduction, from far positive of the wave; the reduced species is absent."""

import numpy as np
from numpy.typing import NDArray

from ecguard.reference.thermal import FARADAY, Values, thermal_voltage

PEAK_CURRENT = 0.4462946948
"""Largest sqrt(pi) chi of a reversible sweep (Nicholson and Shain 1964 print 0.4463)."""

PEAK_SHIFT = 1.1089492334
"""How far past the half-wave potential that is, in units of RT/F; 28.4918 mV at 25 C."""

IRREVERSIBLE_PEAK_CURRENT = 0.4957628605
"""Largest current function of an irreversible sweep over sqrt(alpha) (printed: 0.4958)."""

IRREVERSIBLE_PEAK_SHIFT = 0.7803843840
"""How far past E0 + RT / (alpha F) ln(k0 / sqrt(D alpha F v / RT)) that is, in units of
RT / (alpha F) (printed: 0.780)."""

IRREVERSIBLE_PEAK_WIDTH = 1.8572372251
"""From half the peak to the peak, in units of RT / (alpha F) (printed: 1.857)."""

_LONGEST_ROOT = 10.0
"""Root of the longest time before now that matters, in units of RT / (F v)."""


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


def irreversible_peak_current(
    C_ox: Values,
    D_ox: Values,
    alpha: Values,
    scan_rate_V_s: Values,
    temperature_K: Values = 298.15,
) -> Values:
    """Peak of a slow couple, whatever its k0 (Nicholson and Shain 1964).

    Args:
        C_ox, D_ox, scan_rate_V_s, temperature_K: as for the reversible peak.
        alpha: transfer coefficient of the reduction.

    Returns:
        -0.4958 F C sqrt(alpha F v D / RT), mA/cm^2.
    """
    rate = alpha * scan_rate_V_s / thermal_voltage(temperature_K)
    return -IRREVERSIBLE_PEAK_CURRENT * FARADAY * 1e-3 * C_ox * np.sqrt(rate * D_ox)


def irreversible_peak_potential(
    E0: Values,
    D_ox: Values,
    k0: Values,
    alpha: Values,
    scan_rate_V_s: Values,
    temperature_K: Values = 298.15,
) -> Values:
    """Potential of that peak in V (Nicholson and Shain 1964).

    Args:
        E0: formal potential, V.
        k0: standard rate constant, cm/s.
        D_ox, alpha, scan_rate_V_s, temperature_K: as for the current.
    """
    unit = thermal_voltage(temperature_K) / alpha
    return E0 + unit * (np.log(k0 / np.sqrt(D_ox * scan_rate_V_s / unit)) - IRREVERSIBLE_PEAK_SHIFT)


def irreversible_peak_width(alpha: Values, temperature_K: Values = 298.15) -> Values:
    """From the potential of half that peak to its own, V (Matsuda and Ayabe 1955).

    Args:
        alpha: transfer coefficient of the reduction.
        temperature_K: K.

    Returns:
        47.717 mV / alpha at 25 C.
    """
    return IRREVERSIBLE_PEAK_WIDTH * thermal_voltage(temperature_K) / alpha


def surface_confined_current(
    E_V: Values,
    surface_mol_cm2: Values,
    E0: Values,
    scan_rate_V_s: Values,
    temperature_K: Values = 298.15,
) -> Values:
    """Current of a fast couple bound to the electrode, with an ideal isotherm (Laviron 1979).

    Args:
        E_V: potential, V.
        surface_mol_cm2: oxidised and reduced molecules together, mol/cm^2.
        E0: formal potential, V.
        scan_rate_V_s: V/s, > 0 towards reduction.
        temperature_K: K.

    Returns:
        -F^2 v Gamma / (4 RT cosh^2(F (E - E0) / 2RT)), mA/cm^2.
    """
    thermal = thermal_voltage(temperature_K)
    wave = 4 * np.cosh((E_V - E0) / (2 * thermal)) ** 2
    return -FARADAY * 1e3 * scan_rate_V_s * surface_mol_cm2 / (thermal * wave)


def surface_confined_width(temperature_K: Values = 298.15) -> Values:
    """Width of that peak at half its height, V (Laviron 1979); temperature in K.

    2 ln(3 + sqrt(8)) RT/F, which is 90.58 mV at 25 C; textbooks print 3.53 RT/F or 90.6 mV.
    """
    return 2 * np.log(3 + np.sqrt(8)) * thermal_voltage(temperature_K)
