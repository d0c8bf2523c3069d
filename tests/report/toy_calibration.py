"""A calibration result whose posteriors are Gaussian, calibrated or too narrow as planned."""

from dataclasses import replace

import numpy as np

from ecguard.calibration import (
    N_RANKED,
    PARAMETERS,
    CalibrationResult,
    EngineResult,
    Predictive,
)
from ecguard.diagnostics import case_diagnostics
from ecguard.engines import AMORTISED, CORRECTED, EXACT, REFERENCE, SUMMED
from ecguard.posterior.unknowns import prior_std, ranges

N = 240


def engine(name, truth, width=1.0, seed=0, spread=0.3):
    """Draws of a Gaussian posterior of std `spread` prior std, told `width` times as wide."""
    std = spread * prior_std(2)
    mean = truth + std * np.random.default_rng(99).standard_normal(truth.shape)  # one data set
    rng = np.random.default_rng(seed)
    draws = mean[:, None] + width * std * rng.standard_normal((len(truth), N_RANKED, 16))
    nothing = np.zeros(len(truth))
    return EngineResult(name, draws, mean, nothing, nothing + 0.2, nothing, np.nan * nothing, 0.01)


def result_of(width=1.0, unreached=0):
    """The first `unreached` cases are out of the exact engine's reach."""
    rng = np.random.default_rng(1)
    low, high = ranges(2)
    truth = (low + high) / 2 + prior_std(2) * rng.standard_normal((N, 16))
    couples = np.where(np.arange(N) % 3 == 0, 2, 1)
    absent = [k for k, name in enumerate(PARAMETERS) if name.endswith("2")]
    truth[np.ix_(couples == 1, absent)] = np.nan
    engines = {REFERENCE: replace(engine(REFERENCE, truth, seed=7), draws=_none_of_cell(truth))}
    engines |= {
        name: engine(name, truth, width if name == CORRECTED else 1.0, seed)
        for seed, name in enumerate((SUMMED, AMORTISED, CORRECTED, EXACT))
    }
    lead = np.where(np.arange(N) < unreached, 9.0, -1.0)
    engines[EXACT] = replace(engines[EXACT], lead=lead)
    for found in engines.values():
        found.draws[np.ix_(couples == 1, range(N_RANKED), absent)] = np.nan
    mean = np.tile(np.sin(np.linspace(0, 6, 64)), (N, 1))
    current = mean + 0.05 * rng.standard_normal(mean.shape)
    mask = rng.random(mean.shape) < 0.4
    one = np.zeros((N, 1))
    diagnostics = case_diagnostics(current, mask, mean, np.full_like(mean, 0.05), one, one)
    shown = (np.arange(64.0), current[0], mask[0], mean[0], np.full(64, 0.05))
    scores = np.tile([90.0, 50.0], (7, 1))
    predictive = Predictive(diagnostics, scores, np.full(N, 0.5), np.zeros(N), shown)
    task, stage = np.arange(N) % 4, np.arange(N) % 3
    return CalibrationResult(truth, task, stage, couples, engines, predictive, np.full(8, 0.1))


def _none_of_cell(truth):
    draws = engine(REFERENCE, truth, seed=8).draws
    draws[:, :, -2:] = np.nan
    return draws
