"""What the simulator returns."""

from typing import Any, Literal, get_args

import equinox as eqx

Output = Literal[
    "interface_V",
    "coverage",
    "mean_flux",
    "faradaic_mA_cm2",
    "capacitive_mA_cm2",
    "adsorption_mA_cm2",
    "surface_ox_mM",
    "surface_red_mM",
]
OUTPUTS: tuple[Output, ...] = get_args(Output)
"""All that can be recorded beside the current."""

USUAL: tuple[Output, ...] = ("interface_V", "coverage", "mean_flux")
"""What is recorded where nothing is asked for."""


class Trace(eqx.Module):
    """What the sensor records, every leaf [L] or, of a couple, [L, m]; oxidation is positive.

    Only `t_s`, `E_V` and `current_density_mA_cm2` are always there; the others are None where they
    were not asked for. The current is the sum of its faradaic, capacitive and adsorption parts.
    `mean_flux` (mol cm^-2 s^-1) is the reduction flux of each couple, averaged over the step that
    ends at the sample.
    """

    t_s: Any
    E_V: Any
    current_density_mA_cm2: Any
    interface_V: Any = None
    coverage: Any = None
    mean_flux: Any = None
    faradaic_mA_cm2: Any = None
    capacitive_mA_cm2: Any = None
    adsorption_mA_cm2: Any = None
    surface_ox_mM: Any = None
    surface_red_mM: Any = None
