"""Trials: what a protocol finds on many electrodes, and what a model makes of it.

A trial infers the electrodes at the peak of their posterior under the model of a clean electrode,
or at several peaks under that of one which may be covered. Diagnostics read the clean model's
misfit. None knows the truth.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ecguard import diagnostics as dg
from ecguard.case_sets import CaseSet
from ecguard.posterior.amortised.artefacts import Amortised
from ecguard.posterior.corrected import draw_amortised, from_amortised
from ecguard.posterior.fouled import find_peaks, scores_of
from ecguard.posterior.joint import JointLikelihood, Rest
from ecguard.posterior.laplace import Laplace, electrodes, find_peak, log_likelihoods
from ecguard.posterior.likelihood import Observation, SimulatorLikelihood
from ecguard.posterior.peaks import Peaks
from ecguard.posterior.tempered import in_blocks, take
from ecguard.protocol.protocol import Protocol, currents, observe
from ecguard.stress import Biofouling

_STEP_DIAGNOSTICS = ("chi_square", "lag_one", "cusum", "largest")
BLOCK = 64
"""Electrodes simulated together, filling whole vectors: one compilation serves all sizes."""
_COUPLE = slice(0, 7)
_DRAWS = 400  # of a posterior
_FIRST = 32  # amortised draws, of which the likeliest start the search
_STARTS = 2
_MISFIT = 1.0  # excess chi-square, in its std, above which another start is tried
_SEED = 29


@dataclass(frozen=True)
class Trial:
    """A protocol on n electrodes.

    Attributes:
        case: number of each [n].
        severity: of biofouling; NaN where the electrode is clean [n].
        diagnostics: [n, k], in the order of `diagnostic_names`; none where the model has a film.
        mean, low, high: of the unknowns; low and high are the ends of the central 95 % [n, d].
        credibility: share of the draws farther out than the true couple [n].
        log_evidence: ln p(samples | model), up to what no model changes [n].
    """

    case: NDArray[np.intp]
    severity: NDArray[np.float64]
    diagnostics: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    credibility: NDArray[np.float64]
    log_evidence: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.case)

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Whether the true couple lies outside the joint 95 % region [n]."""
        return self.credibility < dg.OUTSIDE

    def take(self, rows: slice | NDArray[np.intp]) -> "Trial":
        """Some of the electrodes."""
        return Trial(**{name: values[rows] for name, values in vars(self).items()})


def diagnostic_names(protocol: Protocol) -> tuple[str, ...]:
    """Of a trial's diagnostics: each step's residuals, the peak's place, the steps' conflict."""
    numbers = range(1, 1 + len(protocol.steps))
    each = tuple(f"{name} {k}" for k in numbers for name in _STEP_DIAGNOSTICS)
    return (*each, "distance", *(("conflict",) if len(numbers) > 1 else ()))


def run_trial(
    protocol: Protocol,
    cases: CaseSet,
    severity: NDArray[np.float64],
    amortised: Amortised,
    keys: Array,
    fouled: bool = False,
    mode: Biofouling | None = None,
) -> Trial:
    """Measure electrodes by a protocol, and infer them.

    Args:
        protocol: what is measured.
        cases: the electrodes.
        severity: of biofouling; NaN takes the path that has no fouling in it [n].
        amortised: a trained density, from whose draws the search starts.
        keys: a random key for each case [n].
        fouled: whether the model knows that the electrode may be covered.
        mode: how the electrodes are fouled.
    """
    steps, draws = _measure(protocol, cases, severity, amortised, keys, mode)
    if fouled:
        first = _clean_peak(steps[:1], protocol.rests[:1], draws)
        peaks = find_peaks(JointLikelihood.of(steps, protocol.rests), first.scores)
        diagnostics = np.zeros((len(cases), 0))
    else:
        peak = _clean_peak(steps, protocol.rests, draws)
        peaks, diagnostics = Peaks.of((peak,)), _diagnostics(protocol, steps, peak)
    found = peaks.draw(_DRAWS, _SEED)
    low, high = np.quantile(found, [0.025, 0.975], axis=1)
    truth = cases.group.unknowns.astype(np.float64)
    return Trial(
        case=np.asarray(cases.group.case),
        severity=severity,
        diagnostics=diagnostics,
        mean=found.mean(axis=1),
        low=low,
        high=high,
        credibility=dg.region_credibility(found[:, :, _COUPLE], truth[:, _COUPLE]),
        log_evidence=peaks.log_evidence,
    )


class CleanFit(NamedTuple):
    """What was measured of n electrodes, and the clean electrodes closest to it.

    Args:
        steps: as observed.
        expected: current of the closest clean electrode, mA/cm^2, [n, L] for each step.
    """

    steps: tuple[Observation, ...]
    expected: tuple[NDArray[np.float32], ...]


def fit_clean(
    protocol: Protocol,
    cases: CaseSet,
    severity: NDArray[np.float64],
    amortised: Amortised,
    keys: Array,
) -> CleanFit:
    """Measure electrodes and fit clean ones to them; arguments are those of `run_trial`."""
    steps, draws = _measure(protocol, cases, severity, amortised, keys, None)
    peak = _clean_peak(steps, protocol.rests, draws)
    return CleanFit(steps, _predict(protocol, steps, peak))


def _measure(
    protocol: Protocol,
    cases: CaseSet,
    severity: NDArray[np.float64],
    amortised: Amortised,
    keys: Array,
    mode: Biofouling | None,
) -> tuple[tuple[Observation, ...], NDArray[np.float64]]:
    """What is observed in each step, and scores of amortised draws from the first [n, k, 9]."""
    clean = np.isnan(severity)
    groups = [rows for own in (True, False) if len(rows := np.flatnonzero(clean == own))]

    def block(
        group: NDArray[np.intp], places: NDArray[np.intp]
    ) -> tuple[tuple[Observation, ...], NDArray[np.float64]]:
        rows = group[places]
        own, fouling = cases.take(rows), None
        if not clean[rows].any():
            fouling = (mode or Biofouling()).fouling(severity[rows])
        steps = observe(protocol, own, currents(protocol, own, fouling))
        likelihood = SimulatorLikelihood.of(steps[0])
        path = from_amortised(amortised, steps[0], likelihood, own.group.task, 1)
        draws = draw_amortised(path, keys[rows], _FIRST)
        return steps, scores_of(draws.reshape(-1, draws.shape[-1])).reshape(draws.shape)

    found = [in_blocks(partial(block, group), len(group), BLOCK) for group in groups]
    back = np.argsort(np.concatenate(groups))
    steps, draws = jax.tree.map(lambda *own: np.concatenate(own)[back], *found)
    return steps, draws


def _clean_peak(
    steps: tuple[Observation, ...], rests: tuple[Rest, ...], draws: NDArray[np.float64]
) -> Laplace:
    """Peaks from the likeliest of the draws [n, k, 9]; misfits are tried from the next ones too."""
    likelihood = JointLikelihood.of(steps, rests)
    order = np.argsort(-log_likelihoods(likelihood, draws), axis=1, kind="stable")
    starts = np.take_along_axis(draws, order[:, :_STARTS, None], axis=1)
    found = find_peak(likelihood, starts[:, 0])
    samples = likelihood.n_observed
    again = np.flatnonzero(found.chi_square > samples + _MISFIT * np.sqrt(2 * samples))
    if not len(again):
        return found
    some = take(likelihood, again)
    best = Laplace(*(values[again] for values in found))
    for k in range(1, _STARTS):
        best = best.better(find_peak(some, starts[again, k]))
    for values, own in zip(found, best, strict=True):
        values[again] = own
    return found


def _predict(
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
    protocol: Protocol, steps: tuple[Observation, ...], peak: Laplace
) -> NDArray[np.float64]:
    """Diagnostics of clean peaks [n, k]."""
    columns = []
    for step, mean in zip(steps, _predict(protocol, steps, peak), strict=True):
        residual = (step.current - mean) / step.noise_std[:, None]
        columns += [
            dg.excess_chi_square(residual, step.observed),
            dg.lag_one(residual, step.observed),
            dg.cusum(residual, step.observed),
            dg.largest_residual(residual, step.observed),
        ]
    columns.append((peak.scores**2).sum(axis=1))
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
