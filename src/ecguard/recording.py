"""One measured trace, as a potentiostat wrote it down."""

import csv
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecguard.errors import InputError
from ecguard.simulator import potential_jumps

CURRENT_COLUMNS = {"I_A": 1e3, "I_mA": 1.0, "I_uA": 1e-3, "j_mA_cm2": None}
"""Names that a column of currents can have, and the mA in their unit; None for a density."""

_FORM = "UTF-8 text, a comma between columns, a point as decimal sign, nothing between thousands"
_OTHER_MARKS = {";": "semicolons", "\t": "tabs"}
_SHOWN = 80  # characters of a line that cannot be used
_EVEN = 1e-2  # of a step
_SLOPE = 5  # samples of which a slope is the mean


@dataclass(frozen=True)
class Recording:
    """A trace, leaves [L].

    Attributes:
        t_s: from 0, rising.
        E_V: potential.
        current: density, oxidation positive, mA/cm^2.
    """

    t_s: NDArray[np.float64]
    E_V: NDArray[np.float64]
    current: NDArray[np.float64]

    def at(self, n_samples: int) -> "Recording":
        """The trace at so many even times.

        A sample is the mean of those around it, moved to its time by the slope of several. A trace
        that has them already stays as it is. So many samples, each less than half a step off, are
        taken at the even times, in order, where their potential jumps or is smoother so than
        moved: then their times are rounded.

        Raises:
            InputError: none was measured near one of the times, or the potential jumps, so that
                means would mix what is before and after.
        """
        time = np.linspace(0.0, self.t_s[-1], n_samples)
        length = len(self.t_s)
        step = time[1]
        if length == n_samples:
            off = np.abs(self.t_s - time)
            if off.max() < _EVEN * step:
                return self
            if off.max() >= step / 2:
                raise InputError(
                    "t_s",
                    f"{off.max():.4g} s off even times at {self.t_s[off.argmax()]:.4g} s",
                    f"{n_samples} samples less than {step / 2:.4g} s off, or more of them",
                    "Record evenly.",
                )
        near = np.floor(self.t_s / step + 0.5).astype(int).clip(max=n_samples - 1)
        count = np.bincount(near, minlength=n_samples)
        if not count.all():
            raise InputError(
                "samples",
                length,
                f"one or more around each of {n_samples} even times",
                f"Record without gaps; there is none near {time[count.argmin()]:.4g} s.",
            )
        place = np.bincount(near, self.t_s) / count
        few = np.ones(_SLOPE)
        among = np.convolve(np.ones(n_samples), few, "same")

        def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
            own = np.bincount(near, values) / count
            slope = np.convolve(np.gradient(own, place), few, "same") / among
            return np.asarray(own + slope * (time - place))

        potential = mean(self.E_V)
        jumps, change = potential_jumps(potential), np.abs(np.diff(potential))
        jumps[[0, -1]] &= change[[0, -1]] > 3.0 * np.median(change)  # else a turn at an end
        if length == n_samples and (jumps.any() or _rough(self.E_V) < _rough(potential)):
            return Recording(time, self.E_V, self.current)
        if jumps.any():
            raise InputError(
                "samples", length, f"{n_samples}, as the potential jumps", "Record so many."
            )
        return Recording(time, potential, mean(self.current))

    @property
    def number(self) -> int:
        """Of what was recorded: random draws that go by it are the same wherever the trace is."""
        return zlib.crc32(np.ascontiguousarray(self.current).tobytes())

    def scatter(self) -> float:
        """Std of white noise that differences of neighbours show, mA/cm^2; 0 for short traces.

        A median, so that a few spikes or the steps of a pulse do not matter.
        """
        third = np.diff(self.current, 3)
        if not len(third):
            return 0.0
        return float(np.median(np.abs(third)) / (0.6745 * np.sqrt(20.0)))


def _rough(potential: NDArray[np.float64]) -> float:
    """How much a potential bends from sample to sample, V."""
    return float(np.abs(np.diff(potential, 2)).sum())


def read_recording(
    path: Path | str, area_cm2: float | None = None, shift_V: float = 0.0
) -> Recording:
    """Read a CSV file with the columns `t_s`, `E_V` and one of `CURRENT_COLUMNS`.

    It is UTF-8 text with commas between columns and points as decimal signs. Lines that begin with
    # are comments. The time starts at 0 afterwards.

    Args:
        path: the file.
        area_cm2: of the electrode, for columns that hold a current and not its density.
        shift_V: added to potentials, for another reference electrode.

    Raises:
        InputError: no such file, another form of text, a column that is not there, a line with
            another number of fields than the header or an open quote, a value that is no finite
            number, times that do not rise, or an area that is missing or not finite.
    """
    path = Path(path)
    lines = _lines(path)
    number, line = lines[0] if lines else (1, "")
    header = [name.strip() for name in _fields(path, number, line)]
    named = [name for name in CURRENT_COLUMNS if name in header]
    if not {"t_s", "E_V"} <= set(header) or len(named) != 1:
        other = [f"Put commas for {word}." for mark, word in _OTHER_MARKS.items() if mark in line]
        raise InputError(
            f"the header of {path}",
            line[:_SHOWN],
            f"columns t_s, E_V and one of {', '.join(CURRENT_COLUMNS)}; {_FORM}",
            " ".join(other) or "Name the columns, and their units with them.",
        )
    places = [header.index(name) for name in ("t_s", "E_V", named[0])]
    values = np.empty((len(lines) - 1, 3))
    for index, (number, line) in enumerate(lines[1:]):
        row = _fields(path, number, line)
        if len(row) != len(header):
            wanted = f"{len(header)} fields as in the header, where it has {len(row)}; {_FORM}"
            raise _unusable(path, number, line, wanted)
        try:
            values[index] = [float(row[place]) for place in places]
        except ValueError as error:
            raise _unusable(path, number, line, f"a number in each column; {_FORM}") from error
        if not np.isfinite(values[index]).all():
            raise _unusable(path, number, line, "finite numbers", "Remove the line.")
    time, potential, current = values.T
    falls = np.flatnonzero(np.diff(time) <= 0)
    if len(values) < 2 or len(falls):
        found = float(time[falls[0] + 1]) if len(falls) else len(values)
        raise InputError(
            f"t_s in {path}", found, "two samples or more, each later", "Sort them by time."
        )
    per_unit = CURRENT_COLUMNS[named[0]]
    needed = per_unit is not None or area_cm2 is not None
    if needed and not 0 < (area_cm2 or 0.0) < np.inf:
        raise InputError(
            "area_cm2",
            area_cm2,
            "a finite number above 0, which columns of current need",
            "Give the area of the electrode.",
        )
    if per_unit is not None and area_cm2 is not None:
        current = current * (per_unit / area_cm2)
    return Recording(time - time[0], potential + shift_V, current)


def _lines(path: Path) -> list[tuple[int, str]]:
    """Lines that are neither empty nor comments, with their numbers from 1."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(
            "trace", str(path), f"a file that can be read ({error.strerror})", "Correct the path."
        ) from error
    if b"\0" in raw:
        raise InputError(
            f"the encoding of {path}", "UTF-16, or no text", _FORM, "Save it as UTF-8."
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = len(error.object[: error.start + 1].splitlines())
        line = error.object.splitlines()[number - 1].decode("latin-1")
        raise _unusable(path, number, line, _FORM, "Save it as UTF-8.") from error
    return [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


def _fields(path: Path, number: int, line: str) -> list[str]:
    """Fields of a line."""
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        wanted = f"quotes that are closed on their line ({error})"
        raise _unusable(path, number, line, wanted, "Remove the quotes.") from error


def _unusable(
    path: Path, number: int, line: str, allowed: str, remedy: str = "Mend it."
) -> InputError:
    return InputError(f"line {number} of {path}", line[:_SHOWN], allowed, remedy)
