"""The simulator held against solutions that do not use it: every check is a row of one table."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from ecguard.report.chapter import Chapter
from ecguard.report.claims import Claim
from ecguard.report.verification import (
    coverage,
    gradient,
    impedance,
    law,
    peak,
    step,
    voltammogram,
)
from ecguard.report.verification.bench import STEPS, Scope
from ecguard.report.verification.convergence import (
    Convergence,
    in_exponentials,
    in_steps,
    slope_sentence,
)
from ecguard.report.verification.gradient import sorted_errors
from ecguard.report.verification.row import Row, rows_table
from ecguard.report.verification.voltammogram import examples

__all__ = [
    "CHECKS",
    "STEPS",
    "Convergence",
    "Row",
    "Scope",
    "claims",
    "examples",
    "in_exponentials",
    "in_steps",
    "rows_table",
    "slope_sentence",
    "sorted_errors",
    "verify",
]

CHECKS: tuple[Callable[[Scope], list[Row]], ...] = (
    voltammogram.against_integral_equation,
    peak.reversible_peak,
    peak.peak_separation,
    peak.irreversible_peak,
    step.limiting_step,
    step.kinetic_step,
    step.reversible_square_wave,
    step.charging,
    impedance.randles,
    coverage.langmuir,
    coverage.clean_control,
    law.mass_balance,
    law.scaling,
    gradient.parameters,
)


def verify(scope: Scope) -> tuple[Row, ...]:
    """Run every check, two at once; the one that compiles longest starts first."""
    launched = sorted(CHECKS, key=lambda check: check is not gradient.parameters)
    with ThreadPoolExecutor(2) as pool:
        found = {check: pool.submit(check, scope) for check in launched}
    return tuple(row for check in CHECKS for row in found[check].result())


def claims(chapter: Chapter, rows: Iterable[Row]) -> tuple[Claim, ...]:
    """Each row as a claim on the worst of its cases."""
    return tuple(
        chapter.claim(
            row.key,
            f"{row.quantity}: largest error against {row.source}.",
            row.error,
            unit=row.error_unit,
            bound={"op": "<=", "value": row.bound},
            n=row.n,
        )
        for row in rows
    )
