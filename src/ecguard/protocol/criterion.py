"""What a protocol is worth: the misfit it leaves to a clean model, and what it tells of parameters.

T-optimality (Atkinson and Fedorov 1975): the discrepancy between a fouled electrode and the clean
model that comes closest to it, under the prior. Expected information gain: the log ratio of prior
to posterior volume of the couple's parameters, the cell's being nuisances, in the normal
approximation at the truth of clean electrodes. The two ask for different things.

What a refit would tell is that log ratio for a fouled electrode that is cleaned and probed again,
the film's unknowns being nuisances too.
"""

from dataclasses import dataclass

import jax
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ecguard.case_sets import CaseSet
from ecguard.posterior import film
from ecguard.posterior.fouled import scores_of
from ecguard.posterior.joint import JointLikelihood
from ecguard.posterior.laplace import curvature, find_peak, with_prior
from ecguard.posterior.likelihood import Observation
from ecguard.posterior.unknowns import n_unknowns
from ecguard.protocol.protocol import Protocol, currents, observe
from ecguard.stress import Biofouling

_COUPLE = slice(0, 7)
_ALPHA = 0.05


@dataclass(frozen=True)
class Worth:
    """A protocol's figures on n cases and k severities.

    Attributes:
        discrepancy: chi-square that the closest clean electrode leaves [k, n].
        power: of a chi-square test at 5 % against that discrepancy [k, n].
        information: gained about the couple's parameters, nats [n].
        cost_s: time of measurement [n].
    """

    discrepancy: NDArray[np.float64]
    power: NDArray[np.float64]
    information: NDArray[np.float64]
    cost_s: NDArray[np.float64]


def worth(protocol: Protocol, cases: CaseSet, severities: tuple[float, ...]) -> Worth:
    """Rate a protocol on cases that no report is made on.

    Args:
        protocol: a candidate.
        cases: of the design set.
        severities: of biofouling, 0 to 1.
    """
    truth = cases.group.unknowns.astype(np.float64)
    graded, starts = [], []
    for severity in severities:
        fouling = Biofouling().fouling(np.full(len(cases), severity))
        graded.append(_exact(protocol, cases, currents(protocol, cases, fouling)))
        factor = np.log(np.asarray(fouling.cover(fouling.initial_theta).k0_factor))
        starts.append(scores_of(truth, factor))
    together = jax.tree.map(lambda *own: np.concatenate(own), *graded)
    likelihood = JointLikelihood.of(together, protocol.rests)
    peak = find_peak(likelihood, np.concatenate(starts))
    discrepancy = peak.chi_square.reshape(len(severities), len(cases))
    samples = likelihood.n_observed[: len(cases)]
    # the slopes of a clean electrode do not depend on what was seen
    slopes = curvature(likelihood, np.tile(scores_of(truth), (len(severities), 1)))[: len(cases)]
    freedom = samples - n_unknowns(1)
    critical = stats.chi2.isf(_ALPHA, freedom)
    return Worth(
        discrepancy=discrepancy,
        power=stats.ncx2.sf(critical, freedom, np.maximum(discrepancy, 1e-9)),
        information=_told(slopes),
        cost_s=protocol.cost_s(cases.experiment.waveform),
    )


@dataclass(frozen=True)
class Refit:
    """What a refit tells of n fouled electrodes.

    Attributes:
        information: gained about the couple's parameters, nats [n].
    """

    information: NDArray[np.float64]


def refit(protocol: Protocol, cases: CaseSet, severity: float = 1.0) -> Refit:
    """Rate what a protocol tells of fouled electrodes that are cleaned and probed again.

    Args:
        protocol: a candidate.
        cases: of the design set.
        severity: of biofouling.
    """
    again = protocol.cleaned()
    fouling = Biofouling().fouling(np.full(len(cases), severity))
    steps = _exact(again, cases, currents(again, cases, fouling))
    likelihood = JointLikelihood.of(steps, again.rests)
    films = film.to_scores(film.of_fouling(fouling))
    truth = np.column_stack([scores_of(cases.group.unknowns.astype(np.float64)), films])
    return Refit(_told(curvature(likelihood, truth)))


def _told(slopes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Information about the couple [n] of slopes [n, d, d] and the prior."""
    spread = np.linalg.inv(with_prior(slopes))[:, _COUPLE, _COUPLE]
    return np.asarray(-0.5 * np.linalg.slogdet(spread)[1])


def _exact(
    protocol: Protocol, cases: CaseSet, noiseless: list[NDArray[np.float32]]
) -> tuple[Observation, ...]:
    """Noise-free currents, seen where they would be recorded."""
    steps = observe(protocol, cases, noiseless)
    return tuple(step._replace(current=own) for step, own in zip(steps, noiseless, strict=True))
