"""Averaging: how often a step is recorded, and when.

An average is simulated as one record, where a current that falls with the root of time has its mean
over all records. Gaps must be long enough for the electrode to forget the record before. Coverage
goes on up to the end of that record, not of the last one.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ecguard.errors import InputError


@dataclass(frozen=True)
class Averaging:
    """Records of a step, whose mean is taken. All times are in units of a record's duration.

    Args:
        quiet: time held at the first potential before the first record.
        records: how many there are.
        gap: time held at the first potential between two of them.

    Raises:
        InputError: a value is out of range.
    """

    quiet: float = 0.0
    records: int = 1
    gap: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (("quiet", 0.0, 1e9), ("records", 1, 10**9), ("gap", 0.0, 1e9)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(name, value, f"{low:g} to {high:g}", "Choose one in the range.")

    @classmethod
    def over(cls, time_s: float, record_s: float, gap: float = 1.0) -> Self:
        """As many records as a time holds, after a quarter of it in quiet."""
        return cls(0.25 * time_s / record_s, round(time_s / record_s / (1.0 + gap)), gap)

    def faster(self, pace: float) -> "Averaging":
        """In the same time, of records that are `pace` times as short."""
        return Averaging(pace * self.quiet, max(1, round(pace * self.records)), self.gap)

    @property
    def held(self) -> float:
        """Time held before the record that is simulated."""
        if not self.quiet:  # the first record has no current at rest: as for many records
            return self._last / 4
        starts = self.quiet + (1.0 + self.gap) * np.arange(self.records)
        return float(np.mean(starts**-0.5) ** -2)

    @property
    def lasting(self) -> float:
        """Time from the first quiet to the end of the last record."""
        return self._last + 1.0

    @property
    def _last(self) -> float:
        """When the last record starts."""
        return self.quiet + (self.records - 1) * (1.0 + self.gap)
