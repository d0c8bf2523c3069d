"""What to do with a flagged trace: accept, measure more, or refit with the film in the model.

A refit first asks the evidence of the designed protocol. Where it prefers a film, the electrode is
cleaned, the last step is measured once more, and all of it is inferred anew. Clean and covered are
equally likely beforehand, and every posterior is of both, in proportion to their evidence: a light
film that no evidence shows is not ruled out.

The policy's thresholds are chosen on design electrodes by what time and failures cost, and judged
on test electrodes, half of them clean and half fouled at all severities. Intervals are stretched by
what calibration electrodes show them to lack: fouled ones where a refit finds much of a film, clean
ones, which have no film to tell of, elsewhere.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from tqdm.auto import tqdm

from ecguard.fouling import Fouling
from ecguard.guardrail.policy import Outcome, Policy, Traces
from ecguard.intervals import Interval, auroc_interval, mean_interval
from ecguard.posterior.film import from_scores, of_fouling, to_scores
from ecguard.posterior.laplace import row_by_row
from ecguard.posterior.stretch import Stretch, stretch_of, stretched
from ecguard.posterior.unknowns import names, ranges
from ecguard.protocol import DEFAULT, Protocol
from ecguard.protocol.inference import MUCH
from ecguard.protocol.trial import Trial
from ecguard.protocol_design import Job, ProtocolDesign, ProtocolDesignSettings, jobs_of
from ecguard.stress import Biofouling

Floats = NDArray[np.float64]

FAILURES_S = (60.0, 600.0, 6000.0)
"""What a wrong posterior that is kept may cost, in seconds of measurement."""
FAILURE_S = 600.0
ASSUMED = Fouling().k0_theta_coeff
OTHER_COEFFICIENTS = (1.4, 4.2)
"""True fall of ln k0 at full coverage, where the refit takes `ASSUMED`."""
REFITTED = ("design", "faulty", "test", "fouled", "tested")
"""Jobs of the study of protocols whose electrodes are refitted."""
_MISTAKEN = 50  # test electrodes for each other coefficient
LN_K0 = names(1).index("ln k0")
_EDGE = 1e-9  # of the prior's width
_FILM = slice(len(names(1)), None)
_film_scores, _film_unknowns = jax.jit(to_scores), jax.jit(from_scores)


@dataclass(frozen=True)
class Escalation:
    """Refits, evidence and the policy.

    Attributes:
        design: the study of protocols.
        protocol: the designed one, cleaning, and its last step once more.
        evidence: the designed protocol on electrodes that may be covered, by job of `REFITTED`.
        refit: what a refit ends with, by the same jobs.
        mistaken: refits of fouled electrodes whose film slows otherwise than assumed.
        stretch: of the intervals of couple, cell and film where a refit finds much of a film [12].
        little: of those of couple and cell elsewhere [9].
        policies: fitted on the design set, by what a failure costs, s.
    """

    design: ProtocolDesign = field(repr=False)
    protocol: Protocol
    evidence: dict[str, Trial] = field(repr=False)
    refit: dict[str, Trial] = field(repr=False)
    mistaken: dict[float, Trial] = field(repr=False)
    stretch: Stretch
    little: Stretch
    policies: dict[float, Policy]

    def truth(self, trial: Trial) -> NDArray[np.float64]:
        """Unknowns of the clean electrodes below the film [n, 9]."""
        return _truth(self.design, trial)

    def error(self, trial: Trial) -> NDArray[np.float64]:
        """Posterior mean less truth of ln k0, test set [n]."""
        return np.asarray(trial.mean[:, LN_K0] - self.truth(trial)[:, LN_K0])

    def coverage(self, trial: Trial) -> NDArray[np.bool_]:
        """Whether the intervals of a trial hold the truth of each unknown [n, 9]."""
        truth = self.truth(trial)
        d = truth.shape[1]
        return (truth >= trial.low[:, :d]) & (truth <= trial.high[:, :d])

    def film_coverage(self, trial: Trial) -> NDArray[np.bool_]:
        """Whether the intervals of covered electrodes hold the truth of their films [n, 3]."""
        truth = _film_truth(trial)
        return (truth >= trial.low[:, _FILM]) & (truth <= trial.high[:, _FILM])

    def stretched(self, trial: Trial) -> Trial:
        """A refit with stretched intervals."""
        low, high = trial.low.copy(), trial.high.copy()
        much = finds_much(trial)
        for rows, own in ((much, self.stretch), (~much, self.little)):
            d = len(own.factor)
            ends = stretched(*_intervals(trial.take(np.flatnonzero(rows)), d), own.factor)
            for values, end in zip((low, high), ends, strict=True):
                values[rows, :d] = _unknowns(end)
        return replace(trial, low=low, high=high)

    def log_bayes_factor(self, job: str) -> NDArray[np.float64]:
        """ln evidence of the model with a film over the clean one's, designed protocol [n]."""
        return log_bayes_factor(self.design, self.evidence[job], job)

    def auroc(self) -> Interval:
        """Evidence of test electrodes at severity 1 against the same electrodes clean."""
        fouled, clean = self.log_bayes_factor("fouled"), self.log_bayes_factor("test")
        return auroc_interval(fouled, clean, paired=True)

    def traces(self, of: str) -> Traces:
        """What each action would find: clean electrodes of a set, then its fouled ones."""
        design, jobs = self.design, both(of)
        pair = (design.default_trial, design.designed_trial)
        scores = [np.concatenate([tried.scores(tried.of(job)) for job in jobs]) for tried in pair]
        found = [[tried.of(job) for job in jobs] for tried in pair]
        found.append([self.refit[job] for job in jobs])
        case = self.electrode(of)
        first = design.bench.whole.experiment.waveform
        lasting = [own.cost_s(first)[case] for own in (DEFAULT, pair[1].protocol, self.protocol)]
        film = np.concatenate([self.log_bayes_factor(job) for job in jobs]) > 0
        lasting[2] = np.where(film, lasting[2], lasting[1])
        return Traces(
            first_score=scores[0],
            second_score=scores[1],
            wrong=np.stack([np.concatenate([p.wrong for p in parts]) for parts in found], axis=1),
            seconds=np.stack([own - lasting[0] for own in lasting], axis=1),
        )

    def electrode(self, of: str) -> NDArray[np.intp]:
        """Of each of `traces`: its row in the set; several traces are of one electrode."""
        return np.concatenate([self.design.default_trial.of(job).case for job in both(of)])

    def weight(self, of: str) -> NDArray[np.float64]:
        """Of each of `traces`: clean and fouled electrodes count as half each; the sum is 1."""
        sizes = [len(self.refit[job]) for job in both(of)]
        return np.repeat([0.5 / size for size in sizes], sizes)

    def outcomes(self, failure_s: float = FAILURE_S) -> dict[str, Outcome]:
        """What comes of the test electrodes under the policy and under the two that never look."""
        traces = self.traces("test")
        policies = {
            "always trust": Policy.always_trust(),
            "policy": self.policies[failure_s],
            "always escalate": Policy.always_escalate(),
        }
        return {name: policy.apply(traces) for name, policy in policies.items()}

    def risk_difference(self, failure_s: float = FAILURE_S) -> Interval:
        """Share of undetected failures under the policy less that of always trusting."""
        found = self.outcomes(failure_s)
        return self.mean(found["policy"].failed - found["always trust"].failed.astype(float))

    def mean(self, values: NDArray[Any]) -> Interval:
        """Mean over the test `traces` [n], clean and fouled ones counting as half each."""
        return mean_of_electrodes(values, self.electrode("test"), self.weight("test"))


def mean_of_electrodes(
    values: NDArray[Any], case: NDArray[np.intp], weight: Floats | None = None
) -> Interval:
    """Mean of traces, with a bootstrap of electrodes, each of which comes with all of its traces.

    Args:
        values: of the traces [n].
        case: the electrode of each [n].
        weight: of each, 1 in all [n]; None counts all alike.
    """
    each = np.full(len(case), 1.0 / len(case)) if weight is None else weight
    own = np.bincount(case, each * values)[np.unique(case)]
    return mean_interval(len(own) * own)


def both(of: str) -> tuple[str, str]:
    """Jobs with the clean and the fouled electrodes of the design or the test set."""
    return ("design", "faulty") if of == "design" else ("test", "tested")


def log_bayes_factor(design: ProtocolDesign, evidence: Trial, job: str) -> NDArray[np.float64]:
    """ln evidence of the model with a film over the clean one's, designed protocol [n]."""
    return np.asarray(evidence.log_evidence - design.designed_trial.of(job).log_evidence)


def run_escalation(design: ProtocolDesign) -> Escalation:
    """Refit electrodes of the design and test sets under a model that knows of films.

    Args:
        design: the study of protocols, whose folder and settings hold here too.
    """
    bench, tried = design.bench, design.designed_trial
    protocol = tried.protocol.cleaned()
    jobs = [job for job in jobs_of(design.settings) if job.name in REFITTED]
    few = np.arange(min(_MISTAKEN, design.settings.sets.n_test))
    mistaken = {}
    with tqdm(total=3 + len(OTHER_COEFFICIENTS), unit="trial") as bar:
        bar.set_postfix_str("evidence")
        evidence = bench.trials(tried.protocol, jobs, fouled=True)
        bar.update()
        bar.set_postfix_str("refits")
        film = {
            job.name: log_bayes_factor(design, evidence[job.name], job.name) > 0 for job in jobs
        }
        found = bench.trials(protocol, [_some(job, film[job.name]) for job in jobs], fouled=True)
        refit = {name: _replaced(evidence[name], own, film[name]) for name, own in found.items()}
        bar.update()
        for coefficient in OTHER_COEFFICIENTS:
            bar.set_postfix_str(f"another film, {coefficient:g}")
            other = Fouling(initial_theta=Biofouling.full, k0_theta_coeff=coefficient)
            job = Job(f"film-{coefficient:g}", "test", few, 1.0)
            own = bench.trials(protocol, [job], fouled=True, mode=Biofouling(film=other))
            mistaken[coefficient] = own[job.name]
            bar.update()
        bar.set_postfix_str("stretching")
        job = _stretching(design.settings)
        known = bench.trials(protocol, [job], fouled=True)[job.name]
        stretch = _stretch(known.take(np.flatnonzero(finds_much(known))), design)
        little = _stretch(tried.of("calibration"), design)
        bar.update()
    result = Escalation(design, protocol, evidence, refit, mistaken, stretch, little, {})
    traces, weight = result.traces("design"), result.weight("design")
    result.policies.update({own: Policy.fit(traces, own, weight) for own in FAILURES_S})
    return result


def _stretching(settings: ProtocolDesignSettings) -> Job:
    """Calibration electrodes whose refits tell by how much intervals are stretched.

    At the severity that is reported; as many as the design set has electrodes twice, at most.
    """
    sizes = settings.sets
    rows = np.arange(min(sizes.n_calibration, 2 * sizes.n_design))
    return Job("stretching", "calibration", rows, 1.0)


def _truth(design: ProtocolDesign, trial: Trial) -> Floats:
    """Unknowns of the clean electrodes below the film [n, 9]."""
    return design.bench.whole.group.unknowns[trial.case].astype(np.float64)


def _film_truth(trial: Trial) -> Floats:
    """Unknowns of the films of covered electrodes [n, 3]."""
    films = of_fouling(Biofouling().fouling(trial.severity))
    return np.asarray(films, np.float64)


def _stretch(trial: Trial, design: ProtocolDesign) -> Stretch:
    """From all electrodes of a trial; 1 where there are none."""
    d = trial.mean.shape[1]
    if not len(trial):
        return Stretch(np.ones(d), 0)
    truth = _truth(design, trial)
    if d > truth.shape[1]:
        truth = np.column_stack([truth, _film_truth(trial)])
    return stretch_of(*_intervals(trial, d), _scores(truth))


def finds_much(trial: Trial) -> NDArray[np.bool_]:
    """Which posteriors of electrodes that may be covered have a mean coverage of `MUCH` [n]."""
    return np.asarray(trial.mean[:, _FILM.start] >= MUCH)


def _intervals(trial: Trial, d: int) -> tuple[Floats, Floats, Floats]:
    """Scores of the means and ends of the first d unknowns [n, d]."""
    mean, low, high = (_scores(own[:, :d]) for own in (trial.mean, trial.low, trial.high))
    return mean, low, high


def _scores(unknowns: Floats) -> Floats:
    """Normal quantiles of places in the prior [n, 9 or 12]: what is not known stays inside."""
    low, high = ranges(1)
    own, films = np.split(unknowns, [_FILM.start], axis=1)
    found = ndtri(((own - low) / (high - low)).clip(_EDGE, 1.0 - _EDGE))
    if not films.shape[1]:
        return np.asarray(found)
    return np.concatenate([found, row_by_row(_film_scores, films)], axis=1)


def _unknowns(scores: Floats) -> Floats:
    """The inverse of `_scores`, inside of the prior [n, 9 or 12]."""
    low, high = ranges(1)
    own, films = np.split(scores, [_FILM.start], axis=1)
    found = low + (high - low) * ndtr(own)
    if not films.shape[1]:
        return np.asarray(found)
    return np.concatenate([found, row_by_row(_film_unknowns, films)], axis=1)


def _some(job: Job, rows: NDArray[np.bool_]) -> Job:
    severity = np.broadcast_to(np.asarray(job.severity, np.float64), len(job.rows))
    return job._replace(rows=job.rows[rows], severity=severity[rows])


def _replaced(trial: Trial, others: Trial, rows: NDArray[np.bool_]) -> Trial:
    """A trial with `rows` from another one, which has those alone."""
    found = {name: values.copy() for name, values in vars(trial).items()}
    for name, values in found.items():
        values[rows] = getattr(others, name)
    return Trial(**found)
