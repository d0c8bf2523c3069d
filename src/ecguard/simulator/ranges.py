"""What values an electrode can have."""

from collections.abc import Collection

import jax
import numpy as np
from jax.typing import ArrayLike

from ecguard.errors import InputError
from ecguard.fouling import Fouling
from ecguard.simulator.electrode import Cell, Couples, Waveform
from ecguard.simulator.trace import OUTPUTS

COUPLE_RANGES = {
    "D_ox": (1e-12, 1.0),
    "D_red": (1e-12, 1.0),
    "C_ox": (0.0, 1e5),
    "C_red": (0.0, 1e5),
    "E0": (-20.0, 20.0),
    "k0": (1e-12, 1e4),
    "alpha": (0.0, 1.0),
}
CELL_RANGES = {
    "area_cm2": (1e-10, 1e4),
    "Ru_ohm": (0.0, 1e7),
    "Cdl_F": (0.0, 1.0),
    "temperature_K": (200.0, 500.0),
}
FOULING_RANGES = {
    "initial_theta": (0.0, 1.0),
    "k_ads": (0.0, 1e9),
    "k_des": (0.0, 1e6),
    "k_clean": (0.0, 1e6),
    "k_reaction": (0.0, 1e6),
    "Rfilm_theta_max_ohm": (0.0, 1e7),
    "cdl_theta_fraction": (0.0, 1.0),
    "area_floor_fraction": (0.0, 1.0),
    "k0_theta_coeff": (0.0, 30.0),
    "film_exponent": (0.5, 10.0),
    "area_exponent": (0.5, 10.0),
    "cdl_floor_fraction": (0.0, 1.0),
    "adsorption_mol_cm2": (0.0, 1e-6),
    "clean_above_V": (-1e3, 1e3),
    "patch_share": (0.0, 1.0),
}


def check_couples(couples: Couples, axes: tuple[str, ...]) -> None:
    """Refuse leaves that have not one axis for each of these, of which the last counts couples."""
    for name, value in vars(couples).items():
        if np.ndim(value) != len(axes):
            one = "np.array([1e-5])" if len(axes) == 1 else "np.full((batch, 1), 1e-5)"
            raise InputError(
                f"Couples.{name}",
                f"shape {np.shape(value)}",
                f"leaves are [{', '.join(axes)}], with one value for each of m couples",
                f"write {one} for a single couple",
            )


def check_shapes(waveform: Waveform, couples: Couples, cell: Cell, fouling: Fouling | None) -> None:
    """Refuse leaves whose shapes disagree: waveform [B, L], couples [B, m], all others [B]."""
    shape, times = np.shape(waveform.E_V), np.shape(waveform.t_s)
    if shape != times or len(shape) != 2 or shape[1] < 2 or shape[0] < 1:
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
    check_couples(couples, ("batch", "m"))
    pairs = np.shape(couples.E0)[1]
    for holder, expected in ((couples, (shape[0], pairs)), (cell, shape[:1]), (fouling, shape[:1])):
        if holder is None:
            continue
        for name, value in vars(holder).items():
            if np.shape(value) != expected or 0 in expected:
                raise InputError(
                    f"{type(holder).__name__}.{name}",
                    f"shape {np.shape(value)}",
                    f"the shape {expected} of {shape[0]} traces"
                    + (", as Couples.E0" if holder is couples else ""),
                    "give one value for each couple"
                    if holder is couples
                    else "give one value for each trace",
                )


def check_outputs(outputs: Collection[str]) -> None:
    """Refuse names of outputs that there are not."""
    for name in outputs:
        if name not in OUTPUTS:
            raise InputError("outputs", name, f"any of {', '.join(OUTPUTS)}", "name one of these")


def check_electrode(couples: Couples, cell: Cell, fouling: Fouling | None) -> None:
    """Refuse values that no electrode can have; traced values pass."""
    for holder, ranges in (
        (couples, COUPLE_RANGES),
        (cell, CELL_RANGES),
        (fouling, FOULING_RANGES),
    ):
        if holder is None:
            continue
        for name, (low, high) in ranges.items():
            _check_range(f"{type(holder).__name__}.{name}", getattr(holder, name), low, high)


def check_waveform(waveform: Waveform) -> None:
    """Refuse potentials and cleaning signals out of their ranges; traced values pass."""
    _check_range("Waveform.E_V", waveform.E_V, -20.0, 20.0)
    if waveform.cleaning is not None:
        _check_range("Waveform.cleaning", waveform.cleaning, 0.0, 1.0)


def _check_range(name: str, value: ArrayLike, low: float, high: float) -> None:
    if isinstance(value, jax.core.Tracer):
        return
    values = np.asarray(value)
    if low <= values.min() and values.max() <= high:
        return
    bad = ~((values >= low) & (values <= high) & np.isfinite(values))
    if np.any(bad):
        raise InputError(
            name,
            float(values[bad].flat[0]),
            f"finite and in [{low:g}, {high:g}]",
            "check the value and its unit",
        )
