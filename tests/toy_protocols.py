"""Studies of protocols and of escalation whose trials are planted: nothing is inferred.

Diagnostics are normal numbers that belong to the case, moved by the log of the severity beyond an
onset. Errors of a posterior are the quantiles of a normal distribution, each once in 100 cases, so
that coverage is known to the case.
"""

import zlib
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ecguard.case_sets import CaseSet, CaseSetSettings, draw_all, part
from ecguard.escalation import FAILURES_S, OTHER_COEFFICIENTS, Escalation
from ecguard.guardrail import CertifiedGuardrail
from ecguard.guardrail.policy import Policy
from ecguard.posterior.stretch import Stretch
from ecguard.posterior.unknowns import names, prior_std
from ecguard.protocol import CANDIDATES, DEFAULT, Protocol, Refit, Worth
from ecguard.protocol.inference import diagnostic_names
from ecguard.protocol.trial import Trial
from ecguard.protocol.tuning import Tuned
from ecguard.protocol_design import (
    LEVELS,
    RATED,
    TUNED,
    Bench,
    Job,
    ProtocolDesign,
    ProtocolDesignSettings,
    Tried,
    jobs_of,
)
from ecguard.stress import Biofouling

Floats = NDArray[np.float64]

DESIGNED, INFORMATIVE, RIVAL = "pulse", "slower", "tone-5000"
REFITS = {RIVAL: 13.0, DESIGNED: 14.0}
CYCLE = 100  # cases in which every quantile of the errors comes once
N_CELL = 40
SETTINGS = ProtocolDesignSettings(
    sets=CaseSetSettings(n_design=120, n_calibration=100, n_test=CYCLE, seed=71),
    n_rated=6,
    n_tuned=2,
    n_cell=N_CELL,
    alpha=0.1,  # a hundred cases can show that, by their upper limit
    delta=0.001,
)
ONSETS = {DEFAULT.name: 0.1, INFORMATIVE: 0.14, DESIGNED: 0.005}
"""Severity from which on the diagnostics of a protocol move."""
NO_RESISTANCE_ONSET, NEVER = 0.05, 2.0
STEEP = 2.0  # clean standard deviations for each decade beyond the onset

LN_K0 = names(1).index("ln k0")
BIAS = -3.0  # of ln k0 at severity 1, where a clean electrode is believed in
WRONG_FROM = 0.2  # severity from which on that posterior misses the truth
ERROR = 0.1  # std of a posterior's error, of the prior's
REACH, SHORT_REACH = 2.0, 1.0  # half the length of an interval, of that std
COVERED, SHORT_COVERED = 0.96, 0.68
WRONG, SHORT_WRONG = 0.05, 0.35
FILM = np.array([Biofouling.full, np.log(4200.0), np.log(1800.0)])
FILM_STD = np.array([0.02, 0.2, 0.1])
KEPT, KEPT_CLEAN = (Stretch(np.ones(d), 0) for d in (12, 9))

PACE, SIZE, MISFIT = (1.0, 2.0, 4.0), (1.0, 1.5, 2.0), (10.0, 20.0, 40.0)
CONFIRMED = (41.0, 77.0)  # misfit of test electrodes at the first and the last design
SLOPE = ((1.0, 2.0), (0.5, 1.5), (0.03, 0.9))


@cache
def whole() -> CaseSet:
    """Real cases, whose truth and waveforms the studies need."""
    return draw_all(SETTINGS.sets)


@cache
def case_sets() -> dict[str, CaseSet]:
    """The three sets."""
    return part(whole(), SETTINGS.sets)


# Diagnostics


def shift(severity: Floats, onset: float) -> Floats:
    """How far every diagnostic is moved [n], in clean standard deviations."""
    dirty = np.where(severity > 0, severity, onset)
    return STEEP * np.log10(np.maximum(dirty / onset, 1.0))


def diagnostics(protocol: Protocol, case: NDArray[np.intp], away: Floats) -> Floats:
    """Diagnostics [n, k] of cases, moved by `away` [n]; the test for a film shows nothing."""
    rng = np.random.default_rng((1, zlib.crc32(protocol.name.encode())))
    names = diagnostic_names(protocol)
    noise = rng.standard_normal((len(whole()), len(names) - 1))
    return np.insert(noise[case] + away[:, None], names.index("film"), 0.0, axis=1)


# Posteriors


def place(case: NDArray[np.intp], stride: int) -> Floats:
    """Places of cases in (0, 1) [n]: each once in `CYCLE` cases."""
    return (case * stride % CYCLE + 0.5) / CYCLE


def errors(case: NDArray[np.intp], n: int) -> Floats:
    """Standard normal errors [n cases, n unknowns], each quantile once in `CYCLE` cases."""
    strides = [stride for stride in range(1, CYCLE) if np.gcd(stride, CYCLE) == 1]
    return stats.norm.ppf(np.stack([place(case, own) for own in strides[:n]], axis=1))


@dataclass(frozen=True)
class Posterior:
    """What is planted of a posterior.

    Attributes:
        bias: of ln k0 at severity 1; it grows with the severity.
        reach: half the length of an interval, in std of the error.
        wrong: share of the cases whose truth lies outside the joint region.
        wrong_from: severity from which on it does in all of them.
        film: whether film unknowns are inferred too.
    """

    bias: float = 0.0
    reach: float = REACH
    wrong: float = WRONG
    wrong_from: float = np.inf
    film: bool = False


CLEAN_MODEL = Posterior(bias=BIAS, wrong_from=WRONG_FROM)
FILM_MODEL = Posterior(film=True)
OVERCONFIDENT = Posterior(reach=SHORT_REACH, wrong=SHORT_WRONG, film=True)


def trial(
    case: NDArray[np.intp],
    severity: Floats,
    plan: Posterior,
    found: Floats | None = None,
    log_evidence: Floats | float = 0.0,
) -> Trial:
    """A planted trial; `found` are its diagnostics [n, k]."""
    graded = np.nan_to_num(severity)
    truth = whole().group.unknowns[case].astype(np.float64)
    middle, std = truth.copy(), ERROR * prior_std(1)
    middle[:, LN_K0] += plan.bias * graded
    if plan.film:
        films = np.broadcast_to(FILM, (len(case), len(FILM))).copy()
        films[:, 0] *= graded
        middle, std = np.column_stack([middle, films]), np.concatenate([std, FILM_STD])
    mean = middle + errors(case, middle.shape[1]) * std
    credibility = place(case, 7) + 0.05 - plan.wrong
    return Trial(
        case=case,
        severity=severity,
        diagnostics=np.zeros((len(case), 0)) if found is None else found,
        mean=mean,
        low=mean - plan.reach * std,
        high=mean + plan.reach * std,
        credibility=np.where(graded >= plan.wrong_from, 0.0, credibility.clip(0.0, 1.0)),
        log_evidence=np.broadcast_to(np.asarray(log_evidence, float), len(case)).copy(),
    )


def electrodes(job: Job) -> tuple[NDArray[np.intp], Floats]:
    """Case numbers and severities of a job."""
    case = case_sets()[job.of].group.case[job.rows]
    return case, np.broadcast_to(np.asarray(job.severity, np.float64), len(case))


# Studies


def rating(cost_s: float, power: float, information: float) -> Worth:
    """A planted rating: misfit and power rise with the severity and differ by case."""
    n = SETTINGS.n_rated
    cases, graded = np.linspace(-0.05, 0.05, n), np.array([-0.2, -0.1, 0.1, 0.2])
    return Worth(
        discrepancy=np.outer(np.array(RATED), 100.0 * power * (1.0 + cases)),
        power=power + graded[:, None] + cases,
        information=information + cases,
        cost_s=cost_s + cases,
    )


def ratings(most_power: str, most_information: str) -> dict[str, Worth]:
    """Of all candidates; each costs 10 s more than the one before, and `RIVAL` is about as able."""
    return {
        name: rating(
            10.0 * number,
            {most_power: 0.7, RIVAL: 0.695}.get(name, 0.5),
            30.0 if name == most_information else 20.0 + 0.1 * number,
        )
        for number, name in enumerate(CANDIDATES, start=1)
    }


def tried_of(protocol: Protocol, onset: float, path: float = 0.0) -> Tried:
    """A protocol's trials; `path` moves the diagnostics of all that passes through the stress."""
    found = {}
    for job in jobs_of(SETTINGS):
        case, severity = electrodes(job)
        away = shift(severity, onset) + np.where(np.isnan(severity), 0.0, path)
        found[job.name] = trial(case, severity, CLEAN_MODEL, diagnostics(protocol, case, away))
    return Tried.fit(protocol, found, CertifiedGuardrail(SETTINGS.alpha, SETTINGS.delta))


@cache
def design_of(blind: bool = False, rival: bool = False, path: float = 0.0) -> ProtocolDesign:
    """A study of protocols.

    Args:
        blind: the designed protocol shows nothing of a film.
        rival: the informative protocol shows as much of it as the designed one.
        path: what the path of the stress adds to the diagnostics by itself.
    """
    onsets = dict(ONSETS)
    if blind:
        onsets |= {DESIGNED: NEVER}
    protocols = {name: CANDIDATES[name] for name in (DEFAULT.name, INFORMATIVE, DESIGNED)}
    tried = {name: tried_of(own, onsets[name], path) for name, own in protocols.items()}
    if rival:
        tried[INFORMATIVE] = replace(tried[DESIGNED], protocol=protocols[INFORMATIVE])
    case, severity = electrodes(jobs_of(SETTINGS)[-1])
    bare = shift(severity, NEVER if blind else NO_RESISTANCE_ONSET)
    return ProtocolDesign(
        settings=SETTINGS,
        bench=Bench(SETTINGS, None, whole(), case_sets(), None, "toy"),
        rated=ratings(DESIGNED, INFORMATIVE),
        refits={name: Refit(np.full(SETTINGS.n_rated, told)) for name, told in REFITS.items()},
        designed=DESIGNED,
        informative=INFORMATIVE,
        tried=tried,
        no_resistance=trial(
            case, severity, CLEAN_MODEL, diagnostics(protocols[DESIGNED], case, bare)
        ),
        tuned={
            name: Tuned(
                *(np.array(values) for values in (PACE, SIZE, np.log(MISFIT), SLOPE)),
                confirmed=np.log(CONFIRMED),
            )
            for name in TUNED
        },
    )


def bayes_factors(case: NDArray[np.intp], severity: Floats, separates: bool) -> Floats:
    """Planted log Bayes factors of a film [n]: above 0 from severity 0.005 on, or always."""
    noise = 0.1 * errors(case, 1)[:, 0]
    if not separates:
        return 5.0 + noise * np.where(severity > 0, 1.0, -1.0)
    return -2.0 + 3.0 * np.log10(1.0 + np.nan_to_num(severity) / 1e-3) + noise


@cache
def escalation_of(
    blind: bool = False, overconfident: bool = False, separates: bool = True
) -> Escalation:
    """A study of escalation.

    Args:
        blind: as in `design_of`.
        overconfident: intervals and regions of the model with a film are too small.
        separates: whether the evidence tells fouled from clean electrodes.
    """
    design = design_of(blind)
    plan = OVERCONFIDENT if overconfident else FILM_MODEL
    evidence, refit = {}, {}
    for job in jobs_of(SETTINGS):
        case, severity = electrodes(job)
        factor = bayes_factors(case, severity, separates)
        evidence[job.name] = refit[job.name] = either(case, severity, plan, factor)
    for made in (evidence, refit):
        del made["calibration"], made["control"]
    case, severity = electrodes(Job("fouled", "test", np.arange(50), 1.0))
    mistaken = {
        own: trial(case, severity, replace(plan, bias=-0.5 * (own - 2.8), wrong_from=0.5))
        for own in OTHER_COEFFICIENTS
    }
    protocol = design.designed_trial.protocol.cleaned()
    found = Escalation(design, protocol, evidence, refit, mistaken, KEPT, KEPT_CLEAN, {})
    traces, weight = found.traces("design"), found.weight("design")
    found.policies.update({own: Policy.fit(traces, own, weight) for own in FAILURES_S})
    return found


def either(
    case: NDArray[np.intp], severity: Floats, plan: Posterior, factor: Floats | float
) -> Trial:
    """A planted trial of both models: the clean one's electrode where no film is preferred."""
    kept, new = trial(case, severity, CLEAN_MODEL), trial(case, severity, plan, None, factor)
    film, d = new.log_evidence > 0, kept.mean.shape[1]

    def along(values: Floats, others: Floats) -> Floats:
        clean = np.column_stack([values, others[:, d:]])
        return np.where(film[:, None], others, clean)

    return replace(
        new,
        mean=along(kept.mean, new.mean),
        low=along(kept.low, new.low),
        high=along(kept.high, new.high),
        credibility=np.where(film, new.credibility, kept.credibility),
    )


def powers_of(tried: Tried) -> list[float]:
    """Shares flagged at `LEVELS`, counted here."""
    flags = tried.score(tried.tested.diagnostics) < tried.threshold.threshold
    return flags.reshape(len(LEVELS), -1).mean(axis=1).tolist()
