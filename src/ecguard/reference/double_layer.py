"""A resistance and a double layer, without a reaction (Bard and Faulkner 2001, section 1.2.4)."""

import numpy as np

from ecguard.reference.thermal import Values


def charging_step_current(
    t_s: Values, step_V: Values, Ru_ohm: Values, Cdl_F: Values, area_cm2: Values = 1.0
) -> Values:
    """Current after a step of the potential.

    Args:
        t_s: time since the step, >= 0, s.
        step_V: V.
        Ru_ohm: > 0, ohm.
        Cdl_F: > 0, F.
        area_cm2: cm^2.

    Returns:
        step / Ru exp(-t / Ru Cdl), mA/cm^2.
    """
    return 1e3 * step_V / (Ru_ohm * area_cm2) * np.exp(-t_s / (Ru_ohm * Cdl_F))


def charging_ramp_current(
    t_s: Values,
    rate_V_s: Values,
    Ru_ohm: Values,
    Cdl_F: Values,
    area_cm2: Values = 1.0,
    reversal_s: Values = np.inf,
) -> Values:
    """Current since the start of a ramp, or of a triangle.

    Args:
        t_s: time since the start, >= 0, s.
        rate_V_s: slope of the potential, V/s, negative for a reduction.
        Ru_ohm, Cdl_F, area_cm2: as for the step.
        reversal_s: time at which the slope changes its sign, s.

    Returns:
        v Cdl (1 - exp(-t / Ru Cdl)), less twice the same since the reversal, mA/cm^2.
    """
    tau = Ru_ohm * Cdl_F
    since = np.maximum(t_s - reversal_s, 0.0)
    return -1e3 * rate_V_s * Cdl_F / area_cm2 * (np.expm1(-t_s / tau) - 2 * np.expm1(-since / tau))
