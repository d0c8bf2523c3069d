"""Sweeps against the integral equation, which knows neither steps of time nor exponentials."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from ecguard import reference
from ecguard.report.verification.bench import (
    AREA_CM2,
    D_OX,
    D_RED,
    STEPS,
    THERMAL_V,
    Array,
    Scope,
    cell,
    couple,
    current,
)
from ecguard.report.verification.row import Row, row
from ecguard.waveforms import cyclic

RATE_V_S = 0.1
FINEST = 8192


Lines = dict[str, tuple[Array, Array]]
"""x and y by the name of a line."""


@dataclass(frozen=True)
class Sweep:
    """A cycle from `start_V` to `turn_V` and back, of a couple with E0 = 0 in a cell."""

    k0: float
    alpha: float = 0.5
    start_V: float = 0.4
    turn_V: float = -0.4
    Ru_ohm: float = 0.0
    Cdl_F: float = 0.0


def rate_constant(reversibility: float) -> float:
    """k0 in cm/s at Lambda = k0 / sqrt(D F v / RT) (Matsuda and Ayabe 1955)."""
    return reversibility * float(np.sqrt(D_OX * RATE_V_S / THERMAL_V))


LAMBDAS = (1e3, 1e2, 10.0, 1.0, 0.1, 0.01)
SLOW_TURN_V = -1.0
KINETIC = tuple(
    Sweep(rate_constant(reversibility), alpha, turn_V=-0.4 if reversibility > 0.1 else SLOW_TURN_V)
    for reversibility in LAMBDAS
    for alpha in (0.3, 0.5, 0.7)
)
"""Reversible to irreversible."""
CIRCUIT = tuple(
    Sweep(k0, 0.5, 0.5, -0.5, Ru_ohm, Cdl_F)
    for Cdl_F in (2e-7, 2e-6, 1e-5)
    for k0 in (1.0, 1e-3)
    for Ru_ohm in (1e2, 1e3, 2e4)
)
"""Time constants from far below a step to many steps."""


@cache
def _exact(sweep: Sweep, steps: int) -> Array:
    turn_s = abs(sweep.turn_V - sweep.start_V) / RATE_V_S
    found = reference.voltammogram(
        np.linspace(0.0, 2 * turn_s, steps + 1),
        [0.0, turn_s, 2 * turn_s],
        [sweep.start_V, sweep.turn_V, sweep.start_V],
        C_ox=1.0,
        D_ox=D_OX,
        D_red=D_RED,
        E0=0.0,
        k0=sweep.k0,
        alpha=sweep.alpha,
        area_cm2=AREA_CM2,
        Ru_ohm=sweep.Ru_ohm,
        Cdl_F=sweep.Cdl_F,
    )
    return found.current_density_mA_cm2


def exact(sweeps: tuple[Sweep, ...], steps: int) -> Array:
    """Current densities [n, steps + 1] of the integral equation, mA/cm^2."""
    finest = FINEST if FINEST % steps == 0 else STEPS if STEPS % steps == 0 else steps
    return np.stack([_exact(sweep, finest)[:: finest // steps] for sweep in sweeps])


def simulated(sweeps: tuple[Sweep, ...], steps: int, x64: bool) -> Array:
    """Current densities [n, steps + 1] of the simulator, mA/cm^2."""
    k0, alpha, start, turn, Ru, Cdl = np.array([list(vars(sweep).values()) for sweep in sweeps]).T
    n = len(sweeps)
    waveform = cyclic(start, turn, np.full(n, RATE_V_S), steps + 1)
    return current(waveform, couple(n, k0=k0, alpha=alpha), cell(n, Ru, Cdl), x64=x64)


def nrmse(ours: Array, truth: Array) -> Array:
    """Root mean square error over the largest absolute current, % [n]."""
    rms = np.sqrt(np.mean((ours - truth) ** 2, axis=-1))
    return np.asarray(100 * rms / np.abs(truth).max(axis=-1))


def against_integral_equation(scope: Scope) -> list[Row]:
    """The whole trace, without and with resistance and double layer, in both precisions."""
    found = []
    for key, sweeps, words, bounds in (
        ("kinetics", KINETIC, "Lambda 1000 to 0.01, alpha 0.3 to 0.7", (0.005, 0.05)),
        ("circuit", CIRCUIT, "Ru 100 ohm to 20 kohm, Cdl 0.2 to 10 µF", (0.05, 0.05)),
    ):
        cases = scope.thin(sweeps)
        truth = exact(cases, STEPS)
        for precision, bound in zip((64, 32), bounds, strict=True):
            ours = simulated(cases, STEPS, precision == 64)
            found.append(
                row(
                    f"{key}-float{precision}",
                    f"NRMSE of sweeps of {STEPS} steps, {words}, float{precision} (shown: peak)",
                    "integral equation",
                    ours=ours.min(axis=1),
                    reference=truth.min(axis=1),
                    errors=nrmse(ours, truth),
                    unit="mA cm⁻²",
                    bound=bound,
                )
            )
    return found


def examples() -> tuple[Lines, Lines]:
    """Three voltammograms beside the integral equation, and how far they are from it.

    Returns:
        Potential and current (mA/cm^2) by name, and potential and error (% of the peak) by name.
    """
    shown = {
        "reversible": KINETIC[0],
        "quasi-reversible": KINETIC[9],
        "with Ru and Cdl": CIRCUIT[-3],
    }
    sweeps = tuple(shown.values())
    ours, truth = simulated(sweeps, STEPS, True), exact(sweeps, STEPS)
    error = 100 * (ours - truth) / np.abs(truth).max(axis=1, keepdims=True)
    traces: Lines = {}
    errors: Lines = {}
    for name, sweep, found, off in zip(shown, sweeps, ours, error, strict=True):
        potential = np.asarray(cyclic(sweep.start_V, sweep.turn_V, RATE_V_S, STEPS + 1).E_V)
        traces[name], errors[name] = (potential, found), (potential, off)
    return traces, errors
