"""Potential steps in an unstirred solution; the reduced species is absent at first."""

import numpy as np
from scipy.special import erfcx, gamma

from ecguard.positive import check_positive
from ecguard.reference.thermal import FARADAY, Values, thermal_voltage

_SMALL = 0.1
_TERMS = 12


def limiting_current(
    t_s: Values, C_ox: Values, D_ox: Values, reversal_s: Values = np.inf
) -> Values:
    """Current after a step to where all that arrives is reduced (Cottrell 1903).

    Args:
        t_s: time since the step, > 0, s.
        C_ox: bulk concentration, mM.
        D_ox: diffusion coefficient, cm^2/s.
        reversal_s: time of a second step, to where all of the product is oxidised again
            (Kambara 1954), s.

    Returns:
        -F C sqrt(D / pi) (1 / sqrt(t) - 1 / sqrt(t - reversal)), mA/cm^2; the second term counts
        after the reversal.

    Raises:
        InputError: a time is not > 0; the current has no bound at the step.
    """
    check_positive(t_s=t_s)
    since = np.asarray(t_s - reversal_s, float)
    back = np.where(since > 0, 1 / np.sqrt(np.where(since > 0, since, 1.0)), 0.0)
    return -FARADAY * 1e-3 * C_ox * np.sqrt(D_ox / np.pi) * (1 / np.sqrt(t_s) - back)


def limiting_charge(t_s: Values, C_ox: Values, D_ox: Values, reversal_s: Values = np.inf) -> Values:
    """Charge passed since such a step, and after the reversal of it (Anson 1966).

    Args:
        t_s: time since the step, >= 0, s.
        C_ox, D_ox, reversal_s: as for the current.

    Returns:
        -2 F C sqrt(D / pi) (sqrt(t) - sqrt(t - reversal)), mC/cm^2.
    """
    back = np.sqrt(np.maximum(t_s - reversal_s, 0.0))
    return -2 * FARADAY * 1e-3 * C_ox * np.sqrt(D_ox / np.pi) * (np.sqrt(t_s) - back)


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
    k_f, H = _rates(E_V, D_ox, D_red, E0, k0, alpha, temperature_K)
    return -FARADAY * 1e-3 * k_f * C_ox * erfcx(H * np.sqrt(t_s))


def kinetic_step_charge(
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
    """Charge passed since such a step (Christie, Lauer and Osteryoung 1964).

    Args:
        t_s, E_V, C_ox, D_ox, D_red, E0, k0, alpha, temperature_K: as for the current.

    Returns:
        -F k_f C / H^2 (exp(H^2 t) erfc(H sqrt(t)) - 1 + 2 H sqrt(t / pi)), mC/cm^2.
    """
    k_f, H = _rates(E_V, D_ox, D_red, E0, k0, alpha, temperature_K)
    return -FARADAY * 1e-3 * k_f * C_ox * t_s * _mean_erfcx(H * np.sqrt(t_s))


def _rates(
    E_V: Values,
    D_ox: Values,
    D_red: Values,
    E0: Values,
    k0: Values,
    alpha: Values,
    temperature_K: Values,
) -> tuple[Values, Values]:
    """k_f in cm/s, and H = k_f / sqrt(D_ox) + k_b / sqrt(D_red) in s^-1/2."""
    phi = (E_V - E0) / thermal_voltage(temperature_K)
    k_f = k0 * np.exp(-alpha * phi)
    return k_f, k_f * (1 / np.sqrt(D_ox) + np.exp(phi) / np.sqrt(D_red))


def _mean_erfcx(x: Values) -> Values:
    """Mean of exp(s) erfc(sqrt(s)) over s from 0 to x^2; a series where the closed form cancels."""
    powers = np.arange(_TERMS)
    near = np.asarray(np.minimum(x, _SMALL))[..., None]
    series = np.sum((-near) ** powers / gamma(powers / 2 + 2), axis=-1)
    far = np.maximum(x, _SMALL)
    return np.where(x < _SMALL, series, (erfcx(far) - 1 + 2 * far / np.sqrt(np.pi)) / far**2)
