"""Whether the currents that a posterior predicts look like the observed ones."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from ecguard.diagnostics.arguments import Array
from ecguard.errors import InputError


@dataclass(frozen=True)
class HeldOutScore:
    """How well a posterior predicts samples that it was not fitted to.

    Attributes:
        log_density: [cases] mean log predictive density a held-out sample, nat; changes with
            the unit.
        chi_square_z: [cases] chi-square of the held-out samples, less its expectation and over its
            std: mean 0 and std 1 on clean cases, large where the model does not fit.
    """

    log_density: Array
    chi_square_z: Array


def predictive_p_value(
    predicted_current: ArrayLike,
    observed_current: ArrayLike,
    observed_mask: ArrayLike,
    noise_std: ArrayLike,
    error_variance: ArrayLike = 0.0,
) -> Array:
    """Posterior predictive p-value of the chi-square discrepancy, case by case.

    P(T(replicate, theta) >= T(observed, theta)) over the posterior, T being the sum of squared
    residuals over their variance. Given theta the replicate's T is chi-square with one degree of
    freedom a sample, so that the mean of its tail over the draws takes the place of drawn
    replicates (Gelman, Meng and Stern 1996, Statistica Sinica 6, 733). The samples that were
    fitted are judged, so that clean p-values crowd about 0.5 and are not uniform: calibrate the
    threshold. Blind to draws that are a fifth too narrow or off by half a std, which move the
    current by less than its noise; the prior in the posterior's place is found.

    Args:
        predicted_current: [cases, draws, L], without noise, unit of the trace.
        observed_current: [cases, L], unit of the trace; hidden samples are never read.
        observed_mask: [cases, L] bool, true where a sample was observed.
        noise_std: [cases], unit of the trace.
        error_variance: scalar, [L] or [cases, L]: variance of the model's own error, independent
            from sample to sample, unit of the trace squared.

    Returns:
        [cases], small where the residuals are larger than noise and model error explain.

    Raises:
        InputError: a shape is wrong, a case has no observed sample, or a value that is used is not
            finite or, for the noise, not above 0 or, for the model error, below 0.
    """
    rows = _rows(
        predicted_current, observed_current, observed_mask, noise_std, error_variance, "observed"
    )
    return np.array([stats.chi2.sf((z**2).sum(axis=1), z.shape[1]).mean() for z, _ in rows], float)


def held_out_score(
    predicted_current: ArrayLike,
    observed_current: ArrayLike,
    held_out_mask: ArrayLike,
    noise_std: ArrayLike,
    error_variance: ArrayLike = 0.0,
) -> HeldOutScore:
    """Score posteriors on samples that they were not fitted to, case by case.

    The predictive density of a sample is the mean over draws of a Gaussian with the variance of
    noise and model error. The chi-square is r^T S^-1 r, with r the residual from the mean over the
    draws, and S the diagonal of noise and model error plus the draws' covariance from sample to
    sample, times 1 + 1/draws. On a clean case its expectation is the number n of samples and its
    std sqrt(2 n), if there are many more draws than parameters. Fitting and judging on
    different samples keeps it calibrated (split predictive checks, Li and Huggins 2026,
    arXiv 2203.15897). Both are blind to draws that are a fifth too narrow or off by half a std, and
    the chi-square also to the prior in the posterior's place, whose draws are as wide as they are
    off; the log density finds it.

    Args:
        predicted_current: [cases, draws, L], without noise, unit of the trace; two draws or more.
        observed_current: [cases, L], unit of the trace; only held-out samples are read.
        held_out_mask: [cases, L] bool, true where a sample was held out of the fit.
        noise_std: [cases], unit of the trace.
        error_variance: scalar, [L] or [cases, L]: variance of the model's own error, independent
            from sample to sample, unit of the trace squared.

    Raises:
        InputError: a shape is wrong, a case has no held-out sample, there is one draw only, or a
            value that is used is not finite or, for the noise, not above 0 or, for the model error,
            below 0.
    """
    rows = _rows(
        predicted_current, observed_current, held_out_mask, noise_std, error_variance, "held_out"
    )
    if np.shape(predicted_current)[1] < 2:
        raise InputError("predicted_current", 1, "two draws or more", "Take more draws a case.")
    found = np.array([(_log_density(z, std), _chi_square_z(z)) for z, std in rows], float)
    return HeldOutScore(found[:, 0], found[:, 1])


def leave_one_out_score(
    predicted_current: ArrayLike,
    observed_current: ArrayLike,
    observed_mask: ArrayLike,
    noise_std: ArrayLike,
) -> Array:
    """How badly every observed sample is predicted from all the others, case by case.

    The density of a sample given the others is the harmonic mean of its density over the draws
    (Gelfand, Dey and Chang 1992; Vehtari, Gelman and Gabry 2017, Statistics and Computing 27,
    1413): no second inference is needed. Their mean log, less that of pure noise, times
    -sqrt(2 n): large where samples surprise. As a harmonic mean it needs draws that cover the
    posterior, and one sample must not carry it. Blind to draws that are a fifth too narrow or off
    by half a std, and to a noise std that is granted too large; the prior in the posterior's place
    is found.

    Arguments and errors are those of `held_out_score`.
    """
    rows = _rows(predicted_current, observed_current, observed_mask, noise_std, 0.0, "observed")
    found = []
    for z, _ in rows:
        log_density = np.log(len(z)) - special.logsumexp(0.5 * z**2, axis=0)
        found.append(-np.sqrt(2 * z.shape[1]) * np.mean(log_density + 0.5))
    return np.array(found, float)


def _log_density(z: Array, std: Array) -> float:
    """Mean over samples of the log of the mean over draws; z [draws, n], std [n]."""
    each = stats.norm.logpdf(z) - np.log(std)
    return float(np.mean(special.logsumexp(each, axis=0) - np.log(len(z))))


def _chi_square_z(z: Array) -> float:
    """Standardised r^T S^-1 r by the Woodbury identity, in units of noise and model error."""
    draws, n = z.shape
    residual = z.mean(axis=0)
    spread = (z - residual) * np.sqrt((1 + 1 / draws) / (draws - 1))
    along = spread @ residual
    explained = along @ np.linalg.solve(np.eye(draws) + spread @ spread.T, along)
    return float((residual @ residual - explained - n) / np.sqrt(2 * n))


def _rows(
    predicted_current: ArrayLike,
    observed_current: ArrayLike,
    mask: ArrayLike,
    noise_std: ArrayLike,
    error_variance: ArrayLike,
    word: str,
) -> Iterator[tuple[Array, Array]]:
    """Of each case the standardised residuals [draws, n] and their std [n], at masked samples."""
    used, current = np.asarray(mask, bool), np.asarray(observed_current, float)
    predicted, noise = np.asarray(predicted_current, float), np.asarray(noise_std, float)
    if used.ndim != 2 or not len(used) or not used.any(axis=1).all():
        raise InputError(
            f"{word}_mask", used.shape, "[cases, L], a sample or more each", "Keep more samples."
        )
    if predicted.ndim != 3 or not predicted.size or predicted[:, 0].shape != used.shape:
        raise InputError(
            "predicted_current",
            predicted.shape,
            f"[cases, draws, L] with cases and L as in {word}_mask, {used.shape}",
            "Pass the current of each draw.",
        )
    if current.shape != used.shape:
        raise InputError(
            "observed_current", current.shape, f"shape {used.shape}", "Pass one row a case."
        )
    if not np.isfinite(current[used]).all():
        raise InputError(
            "observed_current", "NaN or infinite", f"finite in {word}_mask", "Check the trace."
        )
    if noise.shape != used.shape[:1]:
        raise InputError(
            "noise_std", noise.shape, f"shape {used.shape[:1]}", "Pass one std a case."
        )
    bad = ~(np.isfinite(noise) & (noise > 0))
    if bad.any():
        raise InputError(
            "noise_std",
            float(noise[bad][0]),
            "finite, above 0",
            "Pass the noise's std, not its log.",
        )
    extra = np.broadcast_to(_error_variance(error_variance, used.shape), used.shape)
    if not np.isfinite(predicted).all(axis=1)[used].all():
        raise InputError(
            "predicted_current", "NaN or infinite", "finite where used", "Leave out failed draws."
        )
    std = np.sqrt(noise[:, None] ** 2 + extra)
    return (
        ((current[i, used[i]] - predicted[i][:, used[i]]) / std[i, used[i]], std[i, used[i]])
        for i in range(len(used))
    )


def _error_variance(values: ArrayLike, shape: tuple[int, ...]) -> Array:
    array = np.asarray(values, float)
    if array.shape not in ((), shape[1:], shape):
        raise InputError(
            "error_variance",
            array.shape,
            f"a scalar, shape {shape[1:]} or {shape}",
            "Pass one variance a sample.",
        )
    bad = ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        raise InputError(
            "error_variance",
            float(array[bad].flat[0]),
            "finite, 0 or more",
            "Pass a variance, not a log.",
        )
    return array
