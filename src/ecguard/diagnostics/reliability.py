"""Reliability of posteriors, from arrays alone: one row a case, one column a sample."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecguard.errors import InputError

ONE_STD = 0.6827
TWO_STD = 0.9545
STD_FLOOR = 1e-6

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CaseDiagnostics:
    """Diagnostics of `cases` posteriors, each field one value per case.

    Attributes:
        param_nrmse: RMS error of the posterior mean over the physical parameters, normalised units.
        reliability_score: 0 to 100, higher is better; see `reliability_score`.
        reference_score: 0 to 100, the reference protocol's; see `reference_score`.
        pred_nrmse: RMSE of the predictive mean over the range of the observed samples.
        pred_nll: mean Gaussian negative log likelihood a sample, nat; depends on the unit.
        pred_calibration_error: |cov1 - 0.6827| + |cov2 - 0.9545|.
        pred_sharpness: mean predictive std over the range of the observed samples.
    """

    param_nrmse: Array
    reliability_score: Array
    reference_score: Array
    pred_nrmse: Array
    pred_nll: Array
    pred_calibration_error: Array
    pred_sharpness: Array


def reference_score(nrmse: Array, nll: Array, calibration_error: Array, sharpness: Array) -> Array:
    """The reference's score, 100 (0.45 e^-nrmse + 0.30 e^-nll + 0.15 e^(-4 cal) + 0.10 e^-sharp).

    Clipped to 0..100. Its likelihood term has no upper bound and changes with the current's unit,
    so that it drowns the other three; it is kept for comparison.
    """
    with np.errstate(over="ignore"):
        raw = (
            0.45 * np.exp(-nrmse)
            + 0.30 * np.exp(-nll)
            + 0.15 * np.exp(-4.0 * calibration_error)
            + 0.10 * np.exp(-sharpness)
        )
    return np.clip(100.0 * raw, 0.0, 100.0)


def reliability_score(
    nrmse: Array, mean_square_z: Array, calibration_error: Array, sharpness: Array
) -> Array:
    """Score of one posterior, 0 to 100, higher is better, free of the current's unit.

    100 (0.30 e^-nrmse + 0.30 min(r, 1/r) + 0.25 e^(-4 cal) + 0.15 e^-sharp), each term in [0, 1].
    r is the RMS of the standardised residuals: 1 for a calibrated predictive distribution, above 1
    for an overconfident one and below 1 for one that is too wide. It takes the place of the
    reference's likelihood term, whose value has no bound and shifts with the unit of the current.

    Args:
        nrmse: RMSE over the range of the observed samples.
        mean_square_z: mean square of the standardised residuals.
        calibration_error: |cov1 - 0.6827| + |cov2 - 0.9545|.
        sharpness: mean predictive std over the range of the observed samples.
    """
    r = np.sqrt(mean_square_z)
    residual_term = np.minimum(r, 1.0 / np.maximum(r, 1.0))
    return 100.0 * (
        0.30 * np.exp(-nrmse)
        + 0.30 * residual_term
        + 0.25 * np.exp(-4.0 * calibration_error)
        + 0.15 * np.exp(-sharpness)
    )


def case_diagnostics(
    observed_current: ArrayLike,
    observed_mask: ArrayLike,
    predictive_mean: ArrayLike,
    predictive_std: ArrayLike,
    posterior_mean: ArrayLike,
    true_parameters: ArrayLike,
) -> CaseDiagnostics:
    """Diagnose posteriors by their predictive distribution at the observed samples.

    The range of a case is that of its observed samples. Where they are all equal, the mean
    predictive std takes the place of the range, which keeps the ratios free of the unit.
    A predictive std below 1e-6 of the range counts as that much.

    Args:
        observed_current: [cases, L], unit of the trace; hidden samples are never read.
        observed_mask: [cases, L] bool, true where a sample was observed.
        predictive_mean: [cases, L], unit of the trace.
        predictive_std: [cases, L], unit of the trace, observation noise included.
        posterior_mean: [cases, d] physical parameters, normalised units.
        true_parameters: [cases, d] physical parameters, normalised units.

    Raises:
        InputError: shapes differ, a case has no observed sample, or a value that is used is NaN,
            infinite or, for the predictive std, negative.
    """
    mask = np.asarray(observed_mask, bool)
    if mask.ndim != 2 or not mask.any(axis=1).all():
        raise InputError(
            "observed_mask",
            mask.shape,
            "one row a case, at least one observed sample in each",
            "Observe more samples of the trace.",
        )
    current = _observed("observed_current", observed_current, mask)
    mean = _observed("predictive_mean", predictive_mean, mask)
    std = _observed("predictive_std", predictive_std, mask)
    estimate, truth = np.asarray(posterior_mean, float), np.asarray(true_parameters, float)
    if estimate.shape != truth.shape or estimate.shape[0] != len(mask):
        raise InputError(
            "posterior_mean",
            estimate.shape,
            f"the shape of true_parameters, {truth.shape}, one row a case",
            "Pass the physical parameters alone, normalised alike.",
        )
    if (std < 0).any():
        raise InputError(
            "predictive_std", float(std.min()), "0 or more", "Pass a std, not a log std."
        )

    def average(values: ArrayLike) -> Array:
        return np.asarray(np.sum(values, axis=1, where=mask) / mask.sum(axis=1), float)

    spread = np.max(current, axis=1, where=mask, initial=-np.inf) - np.min(
        current, axis=1, where=mask, initial=np.inf
    )
    scale = np.where(spread > 0, spread, average(std))
    if (scale == 0).any():
        raise InputError(
            "predictive_std",
            0.0,
            "above 0 where the observed samples are all equal",
            "Include the observation noise in the predictive std.",
        )
    std = np.maximum(std, STD_FLOOR * scale[:, None])
    residual = current - mean
    z = residual / std
    coverage_error = abs(average(abs(z) <= 1) - ONE_STD) + abs(average(abs(z) <= 2) - TWO_STD)
    nrmse = np.sqrt(average(residual**2)) / scale
    nll = average(0.5 * z**2 + np.log(std) + 0.5 * np.log(2 * np.pi))
    sharpness = average(std) / scale
    return CaseDiagnostics(
        param_nrmse=np.sqrt(np.mean((estimate - truth) ** 2, axis=1)),
        reliability_score=reliability_score(nrmse, average(z**2), coverage_error, sharpness),
        reference_score=reference_score(nrmse, nll, coverage_error, sharpness),
        pred_nrmse=nrmse,
        pred_nll=nll,
        pred_calibration_error=coverage_error,
        pred_sharpness=sharpness,
    )


def _observed(name: str, values: ArrayLike, mask: NDArray[np.bool_]) -> Array:
    """`values` in float64 with hidden samples 0, checked for shape and finiteness."""
    array = np.asarray(values, float)
    if array.shape != mask.shape:
        raise InputError(
            name, array.shape, f"the shape of observed_mask, {mask.shape}", "Pass one row a case."
        )
    hidden = np.where(mask, array, 0.0)
    if not np.isfinite(hidden).all():
        raise InputError(
            name, "NaN or infinite", "finite at every observed sample", "Check the trace."
        )
    return hidden
