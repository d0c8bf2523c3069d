"""Arguments of the builders: made columns [..., 1] of one batch, and refused when they are bad."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecguard.errors import InputError
from ecguard.simulator import Waveform


def columns(**values: ArrayLike) -> list[NDArray[np.float64]]:
    """Values as float64 columns [..., 1], in order.

    Raises:
        InputError: a value is not finite, or the batches differ.
    """
    arrays = {name: np.asarray(value, np.float64)[..., None] for name, value in values.items()}
    for name, array in arrays.items():
        require(name, array, np.isfinite(array), "finite", "check the value and its unit")
    agree(**arrays)
    return list(arrays.values())


def agree(**arrays: NDArray[np.floating]) -> None:
    """Refuse arrays whose leading axes do not broadcast together."""
    shapes = {name: array.shape[:-1] for name, array in arrays.items()}
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError:
        raise InputError(
            ", ".join(shapes),
            list(shapes.values()),
            "the batches agree: each is a scalar or has the same [batch]",
            "repeat the shorter one",
        ) from None


def require(
    name: str, value: NDArray[np.floating], fine: NDArray[np.bool_], allowed: str, remedy: str
) -> None:
    """Refuse `value` where it is not `fine`, naming the first bad one."""
    value, fine = np.broadcast_arrays(value, fine)
    if not np.all(fine):
        raise InputError(name, float(value[~fine][0]), allowed, remedy)


def at_least(least: int, **counts: int) -> None:
    """Refuse counts that are not whole or lie below `least`."""
    for name, count in counts.items():
        if not isinstance(count, int | np.integer) or count < least:
            raise InputError(name, count, f"a whole number >= {least}", "raise it")


def below_nyquist(
    name: str, frequency_Hz: NDArray[np.float64], step_s: NDArray[np.float64]
) -> None:
    """Refuse frequencies that sampling every `step_s` cannot carry."""
    limit = 0.5 / step_s
    # at half the sampling rate a sine is sampled at its zeros
    require(
        name,
        frequency_Hz,
        frequency_Hz < limit * (1 - 1e-9),
        f"> 0 and below half the sampling rate, {float(np.min(limit)):g} Hz",
        "take more samples, or a lower frequency",
    )


def phase(samples: int, least: int = 2) -> NDArray[np.float64]:
    """Equal steps from 0 to 1."""
    at_least(least, samples=samples)
    return np.linspace(0.0, 1.0, samples)


def build(
    time: NDArray[np.float64],
    potential: NDArray[np.float64],
    cleaning: NDArray[np.float64] | None = None,
) -> Waveform:
    """A waveform whose leaves have one shape and their own memory."""
    if cleaning is None:
        time, potential = np.broadcast_arrays(time, potential)
        return Waveform(time.copy(), potential.copy())
    return Waveform(*(leaf.copy() for leaf in np.broadcast_arrays(time, potential, cleaning)))
