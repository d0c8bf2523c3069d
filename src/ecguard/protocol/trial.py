"""Trials: what a protocol finds on many electrodes whose truth is known."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ecguard import diagnostics as dg
from ecguard.case_sets import CaseSet
from ecguard.posterior.amortised.artefacts import Amortised
from ecguard.posterior.likelihood import Observation
from ecguard.protocol.inference import (
    clean_peak,
    infer_clean,
    infer_either,
    predict,
    starts,
)
from ecguard.protocol.protocol import Protocol, currents, observe
from ecguard.stress import Biofouling

_COUPLE = slice(0, 7)


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
        fouled: whether the electrode may be covered for all that is known.
        mode: how the electrodes are fouled.
    """
    steps, draws = _measure(protocol, cases, severity, amortised, keys, mode)
    found = (infer_either if fouled else infer_clean)(protocol, steps, draws)
    low, high = np.quantile(found.draws, [0.025, 0.975], axis=1)
    truth = cases.group.unknowns.astype(np.float64)
    return Trial(
        case=np.asarray(cases.group.case),
        severity=severity,
        diagnostics=found.diagnostics,
        mean=found.draws.mean(axis=1),
        low=low,
        high=high,
        credibility=dg.region_credibility(found.draws[:, :, _COUPLE], truth[:, _COUPLE]),
        log_evidence=found.log_evidence,
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
    peak = clean_peak(steps, protocol.rests, draws)
    return CleanFit(steps, predict(protocol, steps, peak))


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

    def measured(
        rows: NDArray[np.intp],
    ) -> tuple[tuple[Observation, ...], NDArray[np.float64]]:
        own, fouling = cases.take(rows), None
        if not clean[rows].any():
            fouling = (mode or Biofouling()).fouling(severity[rows])
        steps = observe(protocol, own, currents(protocol, own, fouling))
        return steps, starts(amortised, steps[0], own.group.task, keys[rows])

    found = map(measured, groups)
    back = np.argsort(np.concatenate(groups))
    steps, draws = jax.tree.map(lambda *own: np.concatenate(own)[back], *found)
    return steps, draws
