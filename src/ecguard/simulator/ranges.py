"""What values an electrode can have."""

import math
from collections.abc import Collection

import jax
import numpy as np
from jax.typing import ArrayLike

from ecguard.errors import InputError
from ecguard.fouling import Fouling
from ecguard.simulator.electrode import Cell, Couples, Waveform
from ecguard.simulator.trace import OUTPUTS

_COUPLE_RANGES = {
    "D_ox": (1e-12, 1.0),
    "D_red": (1e-12, 1.0),
    "C_ox": (0.0, 1e5),
    "C_red": (0.0, 1e5),
    "E0": (-20.0, 20.0),
    "k0": (1e-12, 1e4),
    "alpha": (0.0, 1.0),
}
_CELL_RANGES = {
    "area_cm2": (1e-12, 1e6),
    "Ru_ohm": (0.0, 1e9),
    "Cdl_F": (0.0, 1e3),
    "temperature_K": (200.0, 500.0),
}
_FOULING_RANGES = {
    "initial_theta": (0.0, 1.0),
    "k_ads": (0.0, math.inf),
    "k_des": (0.0, math.inf),
    "k_clean": (0.0, math.inf),
    "k_reaction": (0.0, math.inf),
    "Rfilm_theta_max_ohm": (0.0, 1e9),
    "cdl_theta_fraction": (0.0, 1.0),
    "area_floor_fraction": (0.0, 1.0),
    "k0_theta_coeff": (0.0, 30.0),
    "film_exponent": (0.0, 20.0),
    "area_exponent": (0.0, 20.0),
    "cdl_floor_fraction": (0.0, 1.0),
    "adsorption_mol_cm2": (0.0, 1e-3),
    "clean_above_V": (-math.inf, math.inf),
    "patch_share": (0.0, 1.0),
}


def check(
    waveform: Waveform,
    couples: Couples,
    cell: Cell,
    fouling: Fouling | None,
    outputs: Collection[str],
) -> None:
    """Refuse values that no electrode can have; traced values pass."""
    for name in outputs:
        if name not in OUTPUTS:
            raise InputError("outputs", name, f"any of {', '.join(OUTPUTS)}", "name one of these")
    for holder, ranges in (
        (waveform, {"t_s": (-math.inf, math.inf), "E_V": (-20.0, 20.0)}),
        (couples, _COUPLE_RANGES),
        (cell, _CELL_RANGES),
        (fouling, _FOULING_RANGES),
    ):
        if holder is None:
            continue
        for name, (low, high) in ranges.items():
            _check_range(f"{type(holder).__name__}.{name}", getattr(holder, name), low, high)
    if waveform.cleaning is not None:
        _check_range("Waveform.cleaning", waveform.cleaning, 0.0, 1.0)
    shape, times = np.shape(waveform.E_V), np.shape(waveform.t_s)
    if shape != times or len(shape) != 2 or shape[1] < 2:
        raise InputError(
            "Waveform",
            f"t_s {times}, E_V {shape}",
            "times and potentials have one shape, with at least two samples",
            "give both on the same grid",
        )
    if waveform.cleaning is not None and np.shape(waveform.cleaning) != shape:
        raise InputError(
            "Waveform.cleaning",
            np.shape(waveform.cleaning),
            f"the shape of Waveform.E_V, {shape}",
            "give one value for each sample",
        )
    if not isinstance(waveform.t_s, jax.core.Tracer):
        step = np.diff(np.asarray(waveform.t_s), axis=-1)
        if not np.all(step > 0):
            raise InputError(
                "Waveform.t_s",
                float(step.min()),
                "every step of time is > 0",
                "sort the samples by time and drop repeated ones",
            )
    for name in _COUPLE_RANGES:
        if np.shape(getattr(couples, name)) != np.shape(couples.E0):
            raise InputError(
                f"Couples.{name}",
                np.shape(getattr(couples, name)),
                f"the shape of Couples.E0, {np.shape(couples.E0)}",
                "give one value for each couple",
            )


def _check_range(name: str, value: ArrayLike, low: float, high: float) -> None:
    if isinstance(value, jax.core.Tracer):
        return
    values = np.asarray(value)
    if values.size == 0:
        raise InputError(name, "an empty array", "at least one value", "give a value")
    bad = ~((values >= low) & (values <= high) & np.isfinite(values))
    if np.any(bad):
        raise InputError(
            name,
            float(values[bad].flat[0]),
            f"finite and in [{low:g}, {high:g}]",
            "check the value and its unit",
        )
