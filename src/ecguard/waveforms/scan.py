"""Scans: potentials that move at a constant rate."""

import numpy as np
from numpy.typing import ArrayLike

from ecguard.positive import check_positive
from ecguard.simulator import Waveform
from ecguard.waveforms.arguments import at_least, build, columns, phase, require


def cyclic(
    E_start_V: ArrayLike,
    E_vertex_V: ArrayLike,
    scan_rate_V_s: ArrayLike,
    samples: int,
    cycles: int = 1,
    E_second_vertex_V: ArrayLike | None = None,
) -> Waveform:
    """Cycles from `E_start_V` to `E_vertex_V`, to `E_second_vertex_V` and back to `E_start_V`.

    Time steps are equal. A vertex is hit where a whole number of them leads there: for cycles from
    the edge of the window, where `samples - 1` is a multiple of `2 cycles`. Elsewhere the samples
    lie on the triangle and its tip falls between two of them.

    Args:
        E_start_V: V, within the window of the vertices.
        E_vertex_V: V, where the scan turns first.
        scan_rate_V_s: V/s.
        samples: of all cycles, at least `2 cycles + 1`.
        cycles: how many.
        E_second_vertex_V: V, where the scan turns next; the start if None.

    Raises:
        InputError: a value is not finite, the rate is not positive, the vertices are equal, the
            start lies outside their window, batches differ or samples are too few.
    """
    given = E_start_V if E_second_vertex_V is None else E_second_vertex_V
    start, first, second, rate = columns(
        E_start_V=E_start_V,
        E_vertex_V=E_vertex_V,
        E_second_vertex_V=given,
        scan_rate_V_s=scan_rate_V_s,
    )
    check_positive(scan_rate_V_s=rate)
    at_least(1, cycles=cycles)
    other = "E_start_V" if E_second_vertex_V is None else "E_second_vertex_V"
    require("E_vertex_V", first, first != second, f"other than {other}", "open the window")
    low, high = np.minimum(first, second), np.maximum(first, second)
    require(
        "E_start_V",
        start,
        (low <= start) & (start <= high),
        "within the window from E_vertex_V to E_second_vertex_V",
        "start between the vertices, or concatenate a linear_sweep that leads there",
    )
    width = np.abs(first - second)
    way = phase(samples, 2 * cycles + 1)
    # in widths from the second vertex, as if the scan had come from there
    travelled = 2 * cycles * way + (1 - np.abs(first - start) / width)
    distance = 1 - np.abs(np.mod(travelled, 2) - 1)
    return build(2 * cycles * width / rate * way, second + (first - second) * distance)


def linear_sweep(
    E_start_V: ArrayLike, E_end_V: ArrayLike, scan_rate_V_s: ArrayLike, samples: int
) -> Waveform:
    """One sweep from `E_start_V` to `E_end_V` (V) at `scan_rate_V_s` (V/s).

    Raises:
        InputError: a value is not finite, the rate is not positive, the ends are equal, batches
            differ or samples are fewer than two.
    """
    start, end, rate = columns(E_start_V=E_start_V, E_end_V=E_end_V, scan_rate_V_s=scan_rate_V_s)
    check_positive(scan_rate_V_s=rate)
    require("E_end_V", end, end != start, "other than E_start_V", "open the window, or use hold")
    way = phase(samples)
    return build(np.abs(end - start) / rate * way, start + (end - start) * way)
