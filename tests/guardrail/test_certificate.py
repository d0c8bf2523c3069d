"""The certificate by hand and by repetition."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ecguard.errors import InputError
from ecguard.guardrail import CertifiedGuardrail, certified_rank, flag_rate

REPETITIONS = 2000


def cauchy(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_cauchy((REPETITIONS, n))


def rounded(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.round(cauchy(rng, n))


def lumped(rng: np.random.Generator, n: int) -> np.ndarray:
    """One case in twenty-five far off, all at one place; the others at ten places."""
    far = rng.random((REPETITIONS, n)) < 0.04
    return np.where(far, -1e9, rng.integers(10, size=(REPETITIONS, n)))


# Scores of clean cases and P(score < threshold), both exact.
AWKWARD = {
    "heavy tails": (cauchy, stats.cauchy.cdf),
    "heavy tails, ties": (rounded, lambda at: stats.cauchy.cdf(at - 0.5)),
    "lumps": (lumped, lambda at: np.where(at < 0, 0.0, 0.04 + 0.96 * np.clip(at, 0, 10) / 10)),
}


def kept(
    rates: Callable[[np.ndarray], np.ndarray], thresholds: np.ndarray, alpha: float = 0.05
) -> float:
    """Share of the calibrations whose false positive rate is alpha or less."""
    return float(np.mean(rates(thresholds) <= alpha))


@pytest.mark.parametrize("n", [45, 120, 300])
@pytest.mark.parametrize("kind", AWKWARD)
def test_the_promise_holds_for_awkward_scores(kind: str, n: int) -> None:
    """Nine calibrations in ten keep 5 %, less 3 standard errors of the repetition."""
    draw, rates = AWKWARD[kind]
    scores = draw(np.random.default_rng(n), n)
    thresholds = np.array([CertifiedGuardrail().fit(row).threshold for row in scores])
    assert kept(rates, thresholds) >= 0.9 - 3 * np.sqrt(0.09 / REPETITIONS)


@pytest.mark.parametrize("n", [45, 120, 300])
def test_a_plain_quantile_breaks_the_promise(n: int) -> None:
    scores = cauchy(np.random.default_rng(n), n)
    thresholds = np.quantile(scores, 0.05, axis=1)
    assert kept(stats.cauchy.cdf, thresholds) < 0.7


@pytest.mark.parametrize(
    ("n", "rank"), [(44, 0), (45, 1), (100, 2), (200, 6), (300, 10), (500, 19), (1000, 41)]
)
def test_certified_rank(n: int, rank: int) -> None:
    assert certified_rank(n) == rank


@pytest.mark.parametrize("alpha", [0.02, 0.05, 0.2])
@pytest.mark.parametrize("delta", [0.05, 0.1, 0.3])
def test_fewest_cases_are_the_first_with_a_rank(alpha: float, delta: float) -> None:
    fewest = CertifiedGuardrail(alpha, delta).min_cases
    assert certified_rank(fewest, alpha, delta) == 1
    assert certified_rank(fewest - 1, alpha, delta) == 0


@pytest.mark.parametrize("ties", [False, True])
def test_the_promise_holds_by_repetition(ties: bool) -> None:
    """Of 2000 calibration sets at most a tenth (and 3 standard errors) may exceed 5 %."""
    generator = np.random.default_rng(7)
    clean = generator.random((2000, 200))
    if ties:
        clean = np.round(clean, 2)
    thresholds = np.array([CertifiedGuardrail().fit(row).threshold for row in clean])
    rates = np.maximum(thresholds - 0.005, 0.0) if ties else thresholds
    broken = np.mean(rates > 0.05)
    assert broken <= 0.1 + 3 * np.sqrt(0.09 / 2000)
    if not ties:
        assert broken > 0.02


def test_fitted_guardrail_flags_strictly_below_its_threshold() -> None:
    fitted = CertifiedGuardrail().fit(np.arange(100.0))
    assert (fitted.rank, fitted.n, fitted.threshold) == (2, 100, 1.0)
    assert fitted.flags([0.9, 1.0]).tolist() == [True, False]


def test_too_few_cases_say_so() -> None:
    with pytest.raises(InputError, match="45 clean calibration cases"):
        CertifiedGuardrail().fit(np.arange(44.0))
    with pytest.raises(InputError, match="alpha"):
        CertifiedGuardrail(alpha=0.0)
    with pytest.raises(InputError, match="delta"):
        CertifiedGuardrail(delta=1.0)


def test_flag_rate_is_exact() -> None:
    rate = flag_rate([True, False, False, False])
    assert (rate.value, rate.n) == (0.25, 4)
    assert rate.low == pytest.approx(1 - 0.975 ** (1 / 4))


def test_a_score_that_is_no_number_is_flagged() -> None:
    fitted = CertifiedGuardrail().fit(np.arange(100.0))
    assert fitted.flags([np.nan, 99.0, -1.0]).tolist() == [True, False, True]


@pytest.mark.parametrize("scores", [np.zeros((100, 1)), 3.0])
def test_scores_of_another_shape_are_refused(scores: Any) -> None:
    with pytest.raises(InputError, match="clean_scores"):
        CertifiedGuardrail().fit(scores)


def test_too_few_cases_are_known_before_they_are_run() -> None:
    assert CertifiedGuardrail().rank(45) == 1
    words = r"n_calibration = 44 .*45 clean calibration cases or more for alpha = 0\.05"
    with pytest.raises(InputError, match=words):
        CertifiedGuardrail().rank(44)
