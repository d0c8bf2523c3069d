"""Whether standardised residuals look like independent noise: one number a case, large is bad.

A residual is the observed current less the posterior's mean prediction, over the noise std. All
are taken at the observed samples, in the order of time. A fit takes up part of the noise, and more
of it in one task than in another: calibrate thresholds on clean cases of the same kind.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecguard.diagnostics.arguments import Array
from ecguard.errors import InputError


def excess_chi_square(residual: ArrayLike, observed: ArrayLike) -> Array:
    """(sum of squares - n) / sqrt(2 n) over the n observed samples: size of any kind.

    Args:
        residual: [cases, L] in units of the noise; hidden samples are never read.
        observed: [cases, L] bool.

    Raises:
        InputError: shapes differ, a case has fewer than two observed samples, or one is not finite.
    """
    z, _, n = _observed(residual, observed)
    return np.asarray(((z**2).sum(axis=1) - n) / np.sqrt(2 * n), float)


def lag_one(residual: ArrayLike, observed: ArrayLike) -> Array:
    """Correlation of neighbours among the observed samples, times sqrt(n): slow misfit.

    Arguments and errors are those of `excess_chi_square`.
    """
    z, mask, n = _observed(residual, observed)
    found = np.zeros(len(z))
    for case, own in enumerate(mask):
        each = z[case, own]
        power = each @ each
        found[case] = np.sqrt(n[case]) * (each[1:] @ each[:-1]) / power if power > 0 else 0.0
    return found


def cusum(residual: ArrayLike, observed: ArrayLike) -> Array:
    """Largest absolute cumulative sum over sqrt(n) (Page 1954): a shift that lasts.

    Arguments and errors are those of `excess_chi_square`.
    """
    z, _, n = _observed(residual, observed)
    return np.asarray(np.abs(np.cumsum(z, axis=1)).max(axis=1) / np.sqrt(n), float)


def largest_residual(residual: ArrayLike, observed: ArrayLike) -> Array:
    """Largest absolute residual: outliers.

    Arguments and errors are those of `excess_chi_square`.
    """
    z, _, _ = _observed(residual, observed)
    return np.asarray(np.abs(z).max(axis=1), float)


def sweep_asymmetry(residual: ArrayLike, observed: ArrayLike, E_V: ArrayLike) -> Array:
    """Difference of the mean residual between rising and falling potential, in its std.

    0 where the potential goes one way only.

    Args:
        residual: [cases, L] in units of the noise; hidden samples are never read.
        observed: [cases, L] bool.
        E_V: [cases, L] applied potential, V.

    Raises:
        InputError: as in `excess_chi_square`, or a potential is not finite.
    """
    z, mask, _ = _observed(residual, observed)
    potential = np.asarray(E_V, float)
    if potential.shape != z.shape or not np.isfinite(potential).all():
        raise InputError("E_V", potential.shape, f"finite, shape {z.shape}", "Pass the waveform.")
    slope = np.gradient(potential, axis=1)
    means, counts = [], []
    for own in (mask & (slope > 0), mask & (slope < 0)):
        counts.append(own.sum(axis=1))
        means.append(np.sum(z, axis=1, where=own) / np.maximum(counts[-1], 1))
    width = np.sqrt(sum(1.0 / np.maximum(count, 1) for count in counts))
    both = np.minimum(*counts) > 0
    return np.asarray(np.where(both, np.abs(means[0] - means[1]) / width, 0.0), float)


def _observed(
    residual: ArrayLike, observed: ArrayLike
) -> tuple[Array, NDArray[np.bool_], NDArray[np.intp]]:
    """Residuals with hidden samples 0, the mask, and the number of observed samples [cases]."""
    z, mask = np.asarray(residual, float), np.asarray(observed, bool)
    if mask.ndim != 2 or z.shape != mask.shape or (mask.sum(axis=1) < 2).any():
        raise InputError(
            "residual",
            (z.shape, mask.shape),
            "[cases, L] like observed, with two observed samples or more in each case",
            "Pass one row a case, and observe more samples.",
        )
    z = np.where(mask, z, 0.0)
    if not np.isfinite(z).all():
        raise InputError("residual", "NaN or infinite", "finite where observed", "Check the trace.")
    return z, mask, mask.sum(axis=1)
