"""Arguments of the calibration tests: made float64 arrays, and refused when they are bad."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecguard.errors import InputError

Array = NDArray[np.float64]
Seed = int | np.random.Generator


def draws_and_truth(draws: ArrayLike, truth: ArrayLike) -> tuple[Array, Array]:
    """Posterior draws [cases, n_draws, d] and the true parameters [cases, d].

    Raises:
        InputError: a shape is wrong or empty, or a value is not finite.
    """
    samples = posterior_draws(draws)
    cases, _, d = samples.shape
    return samples, finite("truth", truth, (cases, d), "Pass the parameters that made each trace.")


def posterior_draws(draws: ArrayLike) -> Array:
    """Posterior draws [cases, n_draws, d].

    Raises:
        InputError: the shape is wrong or empty, or a value is not finite.
    """
    samples = np.asarray(draws, float)
    if samples.ndim != 3 or not samples.size:
        raise InputError(
            "draws",
            samples.shape,
            "[cases, n_draws, d], none of them 0",
            "Pass the draws of each case, also where there is one case or one parameter.",
        )
    return finite("draws", samples, samples.shape, "Leave out the failed cases.")


def finite(name: str, values: ArrayLike, shape: tuple[int, ...], remedy: str) -> Array:
    """`values` as float64 of that very shape.

    Raises:
        InputError: the shape differs, or a value is not finite.
    """
    array = np.asarray(values, float)
    if array.shape != shape:
        raise InputError(name, array.shape, f"shape {shape}", remedy)
    if not np.isfinite(array).all():
        raise InputError(name, "NaN or infinite", "finite", remedy)
    return array


def each_parameter(
    name: str, values: ArrayLike, shape: tuple[int, int], positive: bool = False
) -> Array:
    """`values` [d] or [cases, d], broadcast to [cases, d].

    Raises:
        InputError: the shape differs, a value is not finite, or, if asked, not above 0.
    """
    array = np.asarray(values, float)
    if array.shape not in (shape, shape[1:]):
        raise InputError(
            name, array.shape, f"shape {shape[1:]} or {shape}", "Pass one value a parameter."
        )
    if not np.isfinite(array).all() or (positive and (array <= 0).any()):
        allowed = "finite and above 0" if positive else "finite"
        worst = float(array.min()) if np.isfinite(array).all() else "NaN or infinite"
        raise InputError(name, worst, allowed, "Pass the prior's value in the parameter's unit.")
    return np.broadcast_to(array, shape)


def open_share(name: str, value: float) -> float:
    """A share above 0 and below 1.

    Raises:
        InputError: it is not.
    """
    if not 0.0 < value < 1.0:
        raise InputError(name, value, "above 0 and below 1", "Pass 0.95 for 95 %.")
    return value
