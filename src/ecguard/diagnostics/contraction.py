"""What a posterior has learnt, and how far in its own std it is from the truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ecguard.diagnostics.arguments import Array, draws_and_truth, each_parameter, posterior_draws
from ecguard.errors import InputError


@dataclass(frozen=True)
class ZScoreTest:
    """Mean and mean square of the z-scores of many cases, parameter by parameter.

    Attributes:
        mean: [d], 0 for a calibrated posterior.
        mean_square: [d], 1 for a calibrated posterior, above 1 for an overconfident one.
        mean_p_value: [d] two-sided, of a mean of 0.
        mean_square_p_value: [d] two-sided, of a mean square of 1.
    """

    mean: Array
    mean_square: Array
    mean_p_value: Array
    mean_square_p_value: Array


def contraction(draws: ArrayLike, prior_std: ArrayLike) -> Array:
    """Posterior contraction: 1 - posterior variance over prior variance.

    0 where nothing was learnt, 1 where everything was, below 0 where the posterior is wider than
    the prior (Schad et al. 2021, arXiv 1904.12765). It is what tells a calibrated posterior
    from the prior, which passes every test of calibration.

    Args:
        draws: [cases, n_draws, d], two draws or more.
        prior_std: [d] or [cases, d], unit of the parameter.

    Returns:
        [cases, d].

    Raises:
        InputError: a shape is wrong or empty, a value is not finite, a prior std is not above 0,
            or there is one draw only.
    """
    samples = posterior_draws(draws)
    cases, n_draws, d = samples.shape
    _enough(n_draws, 2)
    scale = each_parameter("prior_std", prior_std, (cases, d), positive=True)
    return np.asarray(1 - samples.var(axis=1, ddof=1) / scale**2)


def z_scores(draws: ArrayLike, truth: ArrayLike) -> Array:
    """(posterior mean - truth) / posterior std.

    Args:
        draws: [cases, n_draws, d], two draws or more.
        truth: [cases, d].

    Returns:
        [cases, d].

    Raises:
        InputError: a shape is wrong or empty, a value is not finite, the draws of a case are all
            equal, or there is one draw only.
    """
    samples, parameters = draws_and_truth(draws, truth)
    _enough(samples.shape[1], 2)
    std = samples.std(axis=1, ddof=1)
    if (std == 0).any():
        raise InputError(
            "draws", "all equal in a case", "a posterior std above 0", "Leave out collapsed cases."
        )
    return np.asarray((samples.mean(axis=1) - parameters) / std)


def z_score_test(z: ArrayLike, n_draws: int) -> ZScoreTest:
    """Test z-scores of many cases for a mean of 0 and a mean square of 1, by Student's t.

    Under a calibrated posterior of any shape the z-scores of exact moments have this mean and
    mean square. With n draws the square is larger, for a Gaussian posterior by
    (n + 1) (n - 1) / (n (n - 3)); it is divided by that, which leaves an error below 2 / n for
    lighter tails. The mean square is tested by its logarithm, which makes the two tails of the test
    alike. No shape is assumed, but some hundred cases are needed, and with heavy tails (Student's t
    with 5 degrees of freedom) calibrated posteriors are rejected up to twice as often as stated.

    Each p-value is that of one parameter and one moment: for d parameters reject below
    0.05 / (2 d). A posterior that equals the prior passes; see `contraction`.

    Args:
        z: [cases, d] of `z_scores`, two cases or more.
        n_draws: independent posterior draws a case, four or more.

    Raises:
        InputError: a shape is wrong or empty, a value is not finite, the scores of a parameter are
            all of one size, or n_draws is below 4.
    """
    scores = np.asarray(z, float)
    if scores.ndim != 2 or scores.shape[0] < 2 or not scores.size:
        raise InputError("z", scores.shape, "[cases, d], two cases or more", "Run more cases.")
    if not np.isfinite(scores).all():
        raise InputError("z", "NaN or infinite", "finite", "Leave out the failed cases.")
    _enough(n_draws, 4)
    squares = scores**2 * n_draws * (n_draws - 3) / ((n_draws + 1) * (n_draws - 1))
    mean_square, error = squares.mean(axis=0), stats.sem(squares)
    if (error == 0).any():
        raise InputError("z", "all of one size", "scores that vary", "Pass one score a case.")
    t = np.log(mean_square) * mean_square / error
    return ZScoreTest(
        mean=scores.mean(axis=0),
        mean_square=mean_square,
        mean_p_value=np.asarray(stats.ttest_1samp(scores, 0.0).pvalue),
        mean_square_p_value=np.asarray(2 * stats.t.sf(abs(t), len(squares) - 1)),
    )


def _enough(n_draws: int, least: int) -> None:
    if n_draws < least:
        raise InputError("n_draws", n_draws, f"{least} or more", "Take more draws a case.")
