"""What a model makes of the steps of a protocol: peaks of the posterior, and their misfit.

Electrodes are inferred at the peak of their posterior under the model of a clean electrode, or at
several peaks under that of one which may be covered. Diagnostics read the clean model's misfit.
None knows the truth.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray
from scipy.special import expit

from ecguard import diagnostics as dg
from ecguard.posterior.amortised.artefacts import Amortised
from ecguard.posterior.corrected import draw_amortised, from_amortised
from ecguard.posterior.fouled import find_peaks, scores_of
from ecguard.posterior.joint import JointLikelihood, Rest
from ecguard.posterior.laplace import BLOCK, Laplace, electrodes, find_peak, log_likelihoods
from ecguard.posterior.likelihood import Observation, SimulatorLikelihood
from ecguard.posterior.peaks import Peaks
from ecguard.posterior.tempered import in_blocks, take
from ecguard.posterior.unknowns import n_unknowns
from ecguard.protocol.film_evidence import film_evidence
from ecguard.protocol.protocol import Protocol

FILM = "film"
"""The one diagnostic that knows what a film does."""
MUCH = 0.1
"""Mean coverage from which on a film that fits leaves no doubt."""

_STEP_DIAGNOSTICS = ("chi_square", "lag_one", "cusum", "largest")
_DRAWS = 400  # of a posterior
_FIRST = 32  # amortised draws, of which the likeliest start the search
_STARTS = 2
_MISFIT = 1.0  # excess chi-square, in its std, above which another start is tried
_NO_FIT = 5.0  # the same, above which a film is in doubt however much of it is found
_SEED = 29


class Inferred(NamedTuple):
    """Posteriors of n electrodes.

    Args:
        draws: of the unknowns, of equal weight [n, n_draws, d].
        diagnostics: [n, k], in the order of `diagnostic_names`; none where the model has a film.
        log_evidence: ln p(samples | model), up to what no model changes [n].
        chi_square: of the observed samples at the highest peak [n].
        expected: current of the closest clean electrode, mA/cm^2, [n, L] for each step; none where
            the model has a film.
    """

    draws: NDArray[np.float64]
    diagnostics: NDArray[np.float64]
    log_evidence: NDArray[np.float64]
    chi_square: NDArray[np.float64]
    expected: tuple[NDArray[np.float32], ...]


def diagnostic_names(protocol: Protocol) -> tuple[str, ...]:
    """Of a trial's diagnostics.

    Each step's residuals, the peak's place, the evidence of a film, the steps' conflict.
    """
    numbers = range(1, 1 + len(protocol.steps))
    each = tuple(f"{name} {k}" for k in numbers for name in _STEP_DIAGNOSTICS)
    return (*each, "distance", FILM, *(("conflict",) if len(numbers) > 1 else ()))


def starts(
    amortised: Amortised, first: Observation, task: NDArray[np.integer], keys: Array
) -> NDArray[np.float64]:
    """Scores of amortised draws of the first step alone, where searches start [n, k, 9].

    Args:
        amortised: a trained density.
        first: the voltammograms of n electrodes.
        task: their labels [n].
        keys: a random key for each [n].

    Raises:
        InputError: the density was not trained for such traces.
    """
    path = from_amortised(amortised, first, SimulatorLikelihood.of(first), task, 1)
    draws = draw_amortised(path, keys, _FIRST)
    return scores_of(draws.reshape(-1, draws.shape[-1])).reshape(draws.shape)


def infer_clean(
    protocol: Protocol, steps: tuple[Observation, ...], draws: NDArray[np.float64]
) -> Inferred:
    """Infer n electrodes as clean ones, from `starts`."""
    peak = clean_peak(steps, protocol.rests, draws)
    expected = predict(protocol, steps, peak)
    peaks = Peaks.of((peak,))
    diagnostics = _diagnostics(protocol, steps, peak, expected)
    return _inferred(peaks, diagnostics, expected)


def infer_fouled(
    protocol: Protocol, steps: tuple[Observation, ...], draws: NDArray[np.float64]
) -> Inferred:
    """Infer n electrodes as ones that are covered, from `starts`."""
    first = clean_peak(steps[:1], protocol.rests[:1], draws)
    peaks = find_peaks(JointLikelihood.of(steps, protocol.rests), first.scores)
    none = np.zeros((len(draws), 0))
    return _inferred(peaks, none, ())


def infer_either(
    protocol: Protocol,
    steps: tuple[Observation, ...],
    draws: NDArray[np.float64],
    clean: Inferred | None = None,
) -> Inferred:
    """Infer n electrodes as ones that are clean or covered, equally likely before any sample.

    Draws come from both models in proportion to their evidence; a clean electrode has a coverage of
    0, and what its film would be like. Where much of a film fits, no clean one is looked for.
    Evidence and chi-square are those of the model with a film.

    Args:
        protocol: that was measured.
        steps: what was observed in each.
        draws: `starts` of the electrodes.
        clean: what `infer_clean` found of them, where it was asked.
    """
    found, coverage = infer_fouled(protocol, steps, draws), n_unknowns(1)
    samples = JointLikelihood.of(steps, protocol.rests).n_observed
    fits = _excess(found.chi_square, samples) <= _NO_FIT
    much = found.draws[:, :, coverage].mean(axis=1) >= MUCH
    rows = np.flatnonzero(~(fits & much))
    if not len(rows):
        return found
    if clean is None:
        some = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], steps)
        peaks = Peaks.of((clean_peak(some, protocol.rests, draws[rows]),))
        none, evidence = peaks.draw(_DRAWS, _SEED), peaks.log_evidence
    else:
        none, evidence = clean.draws[rows], clean.log_evidence[rows]
    film = expit(found.log_evidence[rows] - evidence)
    chance = (np.random.default_rng(_SEED + 1).permutation(_DRAWS) + 0.5) / _DRAWS
    kept = chance < film[:, None]
    both = found.draws[rows]
    both[:, :, :coverage] = np.where(kept[:, :, None], both[:, :, :coverage], none)
    both[:, :, coverage] *= kept
    every = found.draws.copy()
    every[rows] = both
    return found._replace(draws=every)


def _inferred(
    peaks: Peaks, diagnostics: NDArray[np.float64], expected: tuple[NDArray[np.float32], ...]
) -> Inferred:
    draws, highest = peaks.draw(_DRAWS, _SEED), peaks.chi_square[:, 0]
    return Inferred(draws, diagnostics, peaks.log_evidence, highest, expected)


def clean_peak(
    steps: tuple[Observation, ...], rests: tuple[Rest, ...], draws: NDArray[np.float64]
) -> Laplace:
    """Peaks from the likeliest of the draws [n, k, 9]; misfits are tried from the next ones too."""
    likelihood = JointLikelihood.of(steps, rests)
    order = np.argsort(-log_likelihoods(likelihood, draws), axis=1, kind="stable")
    best = np.take_along_axis(draws, order[:, :_STARTS, None], axis=1)
    found = find_peak(likelihood, best[:, 0])
    samples = likelihood.n_observed
    again = np.flatnonzero(_excess(found.chi_square, samples) > _MISFIT)
    if not len(again):
        return found
    some = take(likelihood, again)
    better = Laplace(*(values[again] for values in found))
    for k in range(1, _STARTS):
        better = better.better(find_peak(some, best[again, k]))
    for values, own in zip(found, better, strict=True):
        values[again] = own
    return found


def _excess(chi_square: NDArray[np.float64], samples: NDArray[Any]) -> NDArray[np.float64]:
    """Chi-square beyond the number of samples, in its std [n]."""
    return np.asarray((chi_square - samples) / np.sqrt(2 * samples))


def predict(
    protocol: Protocol, steps: tuple[Observation, ...], peak: Laplace
) -> tuple[NDArray[np.float32], ...]:
    """Current at clean peaks, mA/cm^2, [n, L] for each step."""
    whole = jax.tree.map(np.asarray, JointLikelihood.of(steps, protocol.rests))

    def block(rows: NDArray[np.intp]) -> tuple[Array, ...]:
        unknowns = jnp.asarray(electrodes(peak.scores[rows]), jnp.float32)
        currents: tuple[Array, ...] = take(whole, rows).currents(unknowns)
        return currents

    return tuple(in_blocks(block, len(peak.scores), BLOCK))


def _diagnostics(
    protocol: Protocol,
    steps: tuple[Observation, ...],
    peak: Laplace,
    expected: tuple[NDArray[np.float32], ...],
) -> NDArray[np.float64]:
    """Diagnostics of clean peaks [n, k], given the currents there."""
    columns = []
    for step, mean in zip(steps, expected, strict=True):
        residual = (step.current - mean) / step.noise_std[:, None]
        columns += [
            dg.excess_chi_square(residual, step.observed),
            dg.lag_one(residual, step.observed),
            dg.cusum(residual, step.observed),
            dg.largest_residual(residual, step.observed),
        ]
    columns.append((peak.scores**2).sum(axis=1))
    columns.append(film_evidence(JointLikelihood.of(steps, protocol.rests), peak.scores))
    if len(steps) > 1:
        parts = [
            find_peak(JointLikelihood.of(some, rests), peak.scores)
            for some, rests in (
                (steps[:1], protocol.rests[:1]),
                (steps[1:], protocol.rests[1:]),
            )
        ]
        columns.append(conflict(*parts))
    return np.stack(columns, axis=1)


def conflict(one: Laplace, other: Laplace) -> NDArray[np.float64]:
    """Squared distance of two peaks, in units of their joint uncertainty [n].

    Steps on the same clean electrode tell the same of it; no model of a failure is needed.
    """
    apart = one.scores - other.scores
    spread = np.linalg.inv(one.precision) + np.linalg.inv(other.precision)
    return np.asarray(
        np.einsum("ni,ni->n", apart, np.linalg.solve(spread, apart[..., None])[..., 0])
    )
