"""A row of the verification table: a quantity, where it comes from, and how far off ours is."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from IPython.display import Markdown
from numpy.typing import ArrayLike

from ecguard.report.failure_modes import table

HEAD = ("quantity", "reference", "its value", "ours", "cases", "error", "bound", "verdict")


@dataclass(frozen=True)
class Row:
    """One check, shown by the worst of its cases.

    Args:
        key: of its claim.
        quantity: what is compared.
        source: what it is compared with.
        reference: value of the source where the error is largest, in `unit`.
        ours: value of the simulator there.
        unit: of both.
        error: the largest, in `error_unit`.
        error_unit: of error and bound.
        bound: on the error.
        n: number of cases.
    """

    key: str
    quantity: str
    source: str
    reference: float
    ours: float
    unit: str
    error: float
    error_unit: str
    bound: float
    n: int

    @property
    def passed(self) -> bool:
        """Whether the error is a number within its bound."""
        return bool(self.error <= self.bound)


def row(
    key: str,
    quantity: str,
    source: str,
    *,
    ours: ArrayLike,
    reference: ArrayLike,
    errors: ArrayLike,
    unit: str,
    error_unit: str = "%",
    bound: float,
) -> Row:
    """The row of cases [n, ...]; all arrays broadcast to the errors, the first axis counts cases.

    An error that is not a number is the worst.
    """
    error = np.atleast_1d(np.asarray(errors, float))
    worst = np.unravel_index(int(np.argmax(error)), error.shape)
    true, found = (
        float(np.broadcast_to(np.asarray(values, float), error.shape)[worst])
        for values in (reference, ours)
    )
    return Row(
        key,
        quantity,
        source,
        reference=true,
        ours=found,
        unit=unit,
        error=float(error[worst]),
        error_unit=error_unit,
        bound=bound,
        n=len(error),
    )


def rows_table(rows: Iterable[Row]) -> Markdown:
    """The table of the chapter."""
    return Markdown(
        table(
            HEAD,
            (
                [
                    r.quantity,
                    r.source,
                    f"{r.reference:.5g} {r.unit}",
                    f"{r.ours:.5g} {r.unit}",
                    r.n,
                    f"{r.error:.1e} {r.error_unit}",
                    f"{r.bound:g} {r.error_unit}",
                    "pass" if r.passed else "**fail**",
                ]
                for r in rows
            ),
        )
    )
