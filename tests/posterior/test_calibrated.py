"""The corrected engine is calibrated on held-out traces; a fifth less width would not be."""

from functools import partial

import numpy as np
import pytest

from ecguard.calibration import N_RANKED
from ecguard.clean_cases import CleanSettings, draw_clean
from ecguard.diagnostics import log_gamma, ranks
from ecguard.engines import case_keys
from ecguard.posterior.amortised.artefacts import load_amortised
from ecguard.posterior.corrected import correct, from_amortised
from ecguard.posterior.likelihood import SimulatorLikelihood
from ecguard.posterior.tempered import thinned
from ecguard.posterior.unknowns import n_unknowns, names
from ecguard.report import posterior_calibration
from ecguard.screening import SCREENING

SEED, CASES, WIDTH = 9411, 150, 0.8
D = n_unknowns(1)
ALPHA = 0.05 / D  # of one parameter, so that any of them errs once in twenty

Draws = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def inferred() -> Draws:
    """Draws [cases, N_RANKED, D] and truths [cases, D], of a seed of no chapter and no training."""
    settings = CleanSettings(CASES, SEED, tasks=("cv", "ca", "tone"), most_couples=1)
    amortised = load_amortised()
    draws, truth = [], []
    for group in draw_clean(settings):
        likelihood = SimulatorLikelihood.of(group.observation)
        path = from_amortised(amortised, group.observation, likelihood, group.task, 1)
        found = correct(path, case_keys(0, group.case), SCREENING)
        draws.append(thinned(found.unknowns.astype(np.float64), N_RANKED))
        truth.append(group.unknowns)
    return np.concatenate(draws), np.concatenate(truth)


def rejected(draws: np.ndarray, truth: np.ndarray) -> list[str]:
    """Parameters whose ranks are not uniform."""
    found = ranks(draws, truth)
    return [
        name
        for name, own in zip(names(1), found.T, strict=True)
        if log_gamma(own, N_RANKED, ALPHA) < 0
    ]


def test_no_parameter_is_rejected(inferred: Draws) -> None:
    draws, truth = inferred
    assert draws.shape == (CASES, N_RANKED, D)
    assert rejected(draws, truth) == []


def test_a_fifth_less_width_is_rejected(inferred: Draws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's power against std x 0.8 of all nine, as if every posterior were Gaussian.

    One parameter is rejected in 37 % of repetitions; of nine whose ranks are independent, one or
    more in 98 %. Posteriors that fill the prior lose its ends and are rejected more often.
    """
    draws, truth = inferred
    mean = draws.mean(axis=1, keepdims=True)
    assert rejected(mean + WIDTH * (draws - mean), truth)
    monkeypatch.setattr(posterior_calibration, "log_gamma", partial(log_gamma, alpha=ALPHA))
    alone = posterior_calibration.power(CASES, WIDTH)
    assert alone == pytest.approx(0.37, abs=0.07)
    assert 1 - (1 - alone) ** D > 0.95
