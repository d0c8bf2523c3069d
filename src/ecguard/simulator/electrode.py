"""What is simulated: a waveform, redox couples and the cell they react in."""

from typing import Any

import equinox as eqx


class Waveform(eqx.Module):
    """Applied potential `E_V` at increasing times `t_s`, each [L] (V, s).

    The potential is linear between samples; where it jumps it does so just after the earlier one.
    The electrode rests at the first potential before.

    `cleaning` [L], in 0..1, is the cleaning signal u of `Fouling` over the step that ends at a
    sample (rinsing, ultrasound). None leaves cleaning to the potential.
    """

    t_s: Any
    E_V: Any
    cleaning: Any = None


class Couples(eqx.Module):
    """Redox couples, every leaf [m]: D in cm^2/s, C in mM, E0 in V, k0 in cm/s, alpha in 0..1.

    `alpha` belongs to the reduction. One electron each. An absent couple has C = 0. What each may
    be stands in `ecguard.simulator.ranges`: D 1e-12 to 1, C up to 1e5, k0 1e-12 to 1e4, E0 and all
    potentials within 20 V.
    """

    D_ox: Any
    D_red: Any
    C_ox: Any
    C_red: Any
    E0: Any
    k0: Any
    alpha: Any


class Cell(eqx.Module):
    """Electrode area (cm^2), uncompensated resistance (ohm), double layer (F), temperature (K).

    `Ru_ohm = 0` and `Cdl_F = 0` are valid; Ru goes up to 1e7 ohm, Cdl up to 1 F, the area from
    1e-10 to 1e4 cm^2, the temperature from 200 to 500 K.
    """

    area_cm2: Any = 0.01
    Ru_ohm: Any = 100.0
    Cdl_F: Any = 2e-7
    temperature_K: Any = 298.15
