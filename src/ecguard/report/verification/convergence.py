"""How the error falls with the number of steps, and with the number of exponentials."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from IPython.display import Markdown

from ecguard.report.verification.bench import Scope
from ecguard.report.verification.voltammogram import (
    Lines,
    Sweep,
    exact,
    nrmse,
    rate_constant,
    simulated,
)
from ecguard.semi_integral import TOLERANCE, fitted_sum

SWEEPS: Mapping[str, Sweep] = {
    "reversible": Sweep(rate_constant(1e3)),
    "irreversible": Sweep(rate_constant(1e-2), turn_V=-1.0),
    "with Ru and Cdl": Sweep(1e-2, 0.5, 0.5, -0.5, 5e3, 2e-6),
}
STEPS = {
    "float64": (64, 128, 256, 512, 1024, 2048, 4096, 8192),
    "float32": (64, 256, 1024, 4096),
}
FEW_STEPS = {"float64": (160, 1600), "float32": (160, 1600)}
SPANS = (256, 1024, 8192)
TERMS = tuple(range(4, 25))


@dataclass(frozen=True)
class Convergence:
    """Errors of the sweeps, % of the largest current.

    Args:
        errors: numbers of steps and errors, each [sizes], by precision and sweep.
        slopes: of the logarithms in float64, by sweep.
    """

    errors: Mapping[str, Lines]
    slopes: Mapping[str, float]


def slope_sentence(found: Convergence) -> Markdown:
    """How fast the errors fall."""
    listed = ", ".join(f"{slope:.2f} ({name})" for name, slope in found.slopes.items())
    return Markdown(
        f"In float64 the error falls with the number of steps to the power {listed}: second order."
    )


def in_steps(scope: Scope) -> Convergence:
    """Sweep the same couples in ever shorter steps."""
    errors = {
        precision: _errors(sizes, precision == "float64")
        for precision, sizes in (FEW_STEPS if scope.few else STEPS).items()
    }
    slopes = {
        name: float(np.polyfit(np.log(steps), np.log(error), 1)[0])
        for name, (steps, error) in errors["float64"].items()
    }
    return Convergence(errors, slopes)


def in_exponentials() -> Lines:
    """Relative error of the kernel's sum of exponentials, for traces of some lengths."""
    terms = np.array(TERMS)
    lines = {
        f"{span} steps": (
            terms,
            np.array([fitted_sum(span, count).relative_error(span) for count in TERMS]),
        )
        for span in SPANS
    }
    return lines | {"tolerance": (terms, np.full(len(terms), TOLERANCE))}


def _errors(sizes: tuple[int, ...], x64: bool) -> Lines:
    sweeps = tuple(SWEEPS.values())
    found = np.array([nrmse(simulated(sweeps, n, x64), exact(sweeps, n)) for n in sizes])
    steps = np.array(sizes, float)
    return {name: (steps, error) for name, error in zip(SWEEPS, found.T, strict=True)}
