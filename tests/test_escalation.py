"""Refits, evidence and what a policy makes of them, on planted studies and faked trials."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ecguard import escalation, protocol_design
from ecguard.escalation import (
    ASSUMED,
    FAILURE_S,
    FAILURES_S,
    OTHER_COEFFICIENTS,
    REFITTED,
    Escalation,
    both,
    mean_of_electrodes,
    run_escalation,
)
from ecguard.fouling import Fouling
from ecguard.guardrail import flag_rate
from ecguard.guardrail.policy import Policy
from ecguard.posterior.stretch import Stretch
from ecguard.posterior.unknowns import prior_std, ranges
from ecguard.protocol import DEFAULT, Protocol
from ecguard.protocol.trial import Trial
from ecguard.protocol_design import LEVELS, jobs_of, level_of
from ecguard.stress import Biofouling
from toy_protocols import (
    BIAS,
    COVERED,
    CYCLE,
    DESIGNED,
    ERROR,
    FILM,
    FILM_MODEL,
    LN_K0,
    N_CELL,
    SETTINGS,
    SHORT_COVERED,
    SHORT_WRONG,
    WRONG,
    WRONG_FROM,
    bayes_factors,
    design_of,
    either,
    electrodes,
    errors,
    escalation_of,
    trial,
    whole,
)

N_FOULED = N_CELL * len(LEVELS)


@pytest.fixture(scope="module")
def toy() -> Escalation:
    return escalation_of()


@pytest.fixture(scope="module")
def overconfident() -> Escalation:
    return escalation_of(overconfident=True)


@pytest.fixture(scope="module")
def unsure() -> Escalation:
    """Evidence that prefers a film whether there is one or not."""
    return escalation_of(separates=False)


# Posteriors


def test_truth_is_that_of_the_clean_electrode(toy: Escalation) -> None:
    for own in (toy.refit["fouled"], toy.refit["design"], toy.mistaken[1.4]):
        truth = toy.truth(own)
        assert truth.dtype == np.float64
        np.testing.assert_array_equal(truth, whole().group.unknowns[own.case])


def test_error_is_what_was_planted(toy: Escalation) -> None:
    std = ERROR * prior_std(1)[LN_K0]
    own = toy.refit["fouled"]
    planted = std * errors(own.case, 9)[:, LN_K0]
    np.testing.assert_allclose(toy.error(own), planted, atol=1e-9)
    voltammogram = toy.design.default_trial.fouled
    np.testing.assert_allclose(toy.error(voltammogram), BIAS + planted, atol=1e-9)
    low = level_of(toy.design.default_trial.tested, 8)
    assert np.median(toy.error(low)) == pytest.approx(BIAS * 0.35, abs=0.1)


def test_coverage_is_what_was_planted(toy: Escalation, overconfident: Escalation) -> None:
    for result, covered in ((toy, COVERED), (overconfident, SHORT_COVERED)):
        inside = result.coverage(result.refit["fouled"])
        assert inside.shape == (CYCLE, 9)
        assert inside.dtype == bool
        np.testing.assert_allclose(inside.mean(axis=0), covered)
    voltammogram = toy.coverage(toy.design.default_trial.fouled).mean(axis=0)
    assert voltammogram[LN_K0] == 0.0
    np.testing.assert_allclose(np.delete(voltammogram, LN_K0), COVERED)


def scores(unknowns: np.ndarray) -> np.ndarray:
    """Normal quantiles of places in the prior; that of a film's coverage is of its cube root."""
    low, high = ranges(1)
    found = stats.norm.ppf(((unknowns[:, :9] - low) / (high - low)).clip(1e-9, 1 - 1e-9))
    if unknowns.shape[1] == 9:
        return np.asarray(found)
    low, high = np.transpose([(0.0, 1.0), np.log((100.0, 1e4)), np.log((450.0, 7200.0))])
    places = ((unknowns[:, 9:] - low) / (high - low)).clip(0.0, 1.0)
    places[:, 0] = np.cbrt(places[:, 0])
    return np.concatenate([found, stats.norm.ppf(places.clip(1e-6, 1 - 1e-6))], axis=1)


def test_what_is_not_known_stays_inside_of_the_prior(toy: Escalation) -> None:
    """An interval that is the prior's own is no reason to claim all of it."""
    low, high = ranges(1)
    own = toy.refit["fouled"]
    wide = [part.copy() for part in (own.mean, own.low, own.high)]
    for part, share in zip(wide, (0.5, 0.025, 0.975), strict=True):
        part[:, :9] = low + share * (high - low)
    prior = replace(own, mean=wide[0], low=wide[1], high=wide[2])
    found = replace(toy, stretch=Stretch(np.full(12, 1.1), 30)).stretched(prior)
    place = (found.low[:, :9] - low) / (high - low)
    np.testing.assert_allclose(place, stats.norm.cdf(1.1 * stats.norm.ppf(0.025)))
    np.testing.assert_allclose((found.high[:, :9] - low) / (high - low), 1 - place)


def test_refits_are_stretched_by_whether_they_find_much_of_a_film(toy: Escalation) -> None:
    much, little = np.linspace(0.5, 2.5, 12), np.linspace(1.5, 0.7, 9)
    result = replace(toy, stretch=Stretch(much, 30), little=Stretch(little, 40))
    own = toy.refit["tested"]
    found, film = result.stretched(own), own.mean[:, 9] >= 0.1
    assert 0 < film.sum() < len(film)
    least, most = ranges(1)
    for rows, factor in ((film, much[:9]), (~film, little)):
        mean, low, high = (scores(part[rows, :9]) for part in (own.mean, own.low, own.high))
        for ends, moved in ((low, found.low), (high, found.high)):
            place = stats.norm.cdf(mean + factor * (ends - mean))
            np.testing.assert_allclose(moved[rows, :9], least + (most - least) * place)
    assert ((found.low[:, :9] >= least) & (found.high[:, :9] <= most)).all()
    np.testing.assert_array_equal(found.credibility, own.credibility)


def test_films_are_stretched_in_their_own_prior_where_much_is_found(toy: Escalation) -> None:
    """In the cube root of the coverage, where the prior is uniform; not where little is found."""
    factor = np.concatenate([np.ones(9), [2.0, 0.5, 3.0]])
    result = replace(toy, stretch=Stretch(factor, 30))
    own = toy.refit["tested"]
    found, much = result.stretched(own), own.mean[:, 9] >= 0.1
    for ends, moved in ((own.low, found.low), (own.high, found.high)):
        np.testing.assert_array_equal(moved[~much, 9:], ends[~much, 9:])
        for k, power, least, most in (
            (9, 3, 0.0, 1.0),
            (10, 1, np.log(100.0), np.log(1e4)),
            (11, 1, np.log(450.0), np.log(7200.0)),
        ):
            places = ((part[much, k] - least) / (most - least) for part in (own.mean, ends, moved))
            inside = (place.clip(0.0, 1.0) ** (1 / power) for place in places)
            mean, before, after = (stats.norm.ppf(own.clip(1e-6, 1 - 1e-6)) for own in inside)
            wanted = mean + factor[k] * (before - mean)
            np.testing.assert_allclose(after, wanted.clip(-4.75, 4.75), atol=5e-3)


def test_film_coverage_is_of_the_film_that_was_planted(
    toy: Escalation, overconfident: Escalation
) -> None:
    for result, covered in ((toy, COVERED), (overconfident, SHORT_COVERED)):
        np.testing.assert_allclose(result.film_coverage(result.refit["fouled"]).mean(0), covered)
    light = level_of(toy.refit["tested"], 2)  # of which the rate of adsorption is a 200th
    inside = toy.film_coverage(light).mean(axis=0)
    assert inside[1] == 0.0
    assert (inside[[0, 2]] > 0.8).all()


def test_truth_on_the_end_of_an_interval_is_covered(toy: Escalation) -> None:
    own = toy.refit["test"].take(slice(3))
    truth = toy.truth(own)
    assert toy.coverage(replace(own, low=truth, high=truth)).all()
    above = np.nextafter(truth, np.inf)
    assert not toy.coverage(replace(own, low=above, high=above + 1)).any()
    below = np.nextafter(truth, -np.inf)
    assert not toy.coverage(replace(own, low=below - 1, high=below)).any()


def test_share_wrong_counts_truths_outside_the_joint_region(
    toy: Escalation, overconfident: Escalation
) -> None:
    found = flag_rate(toy.refit["fouled"].wrong)
    assert (found.value, found.n) == (WRONG, CYCLE)
    assert flag_rate(overconfident.refit["fouled"].wrong).value == SHORT_WRONG
    assert flag_rate(toy.design.default_trial.fouled.wrong).value == 1.0
    assert flag_rate(toy.design.default_trial.clean["test"].wrong).value == WRONG
    edge = replace(toy.refit["test"].take(slice(3)), credibility=np.array([0.045, 0.05, 0.055]))
    assert flag_rate(edge.wrong).value == pytest.approx(1 / 3)


# Evidence


def test_bayes_factor_is_that_of_a_film_over_none(toy: Escalation) -> None:
    for job in jobs_of(SETTINGS):
        if job.name not in REFITTED:
            continue
        planted = bayes_factors(*electrodes(job), separates=True)
        np.testing.assert_allclose(toy.log_bayes_factor(job.name), planted, atol=1e-9)


def test_bayes_factor_reads_the_designed_protocol_of_the_same_job(toy: Escalation) -> None:
    tried = toy.design.designed_trial
    moved = replace(tried, fouled=replace(tried.fouled, log_evidence=np.full(CYCLE, 7.0)))
    design = replace(toy.design, tried=toy.design.tried | {DESIGNED: moved})
    other = replace(toy, design=design)
    for job in ("design", "faulty", "test", "tested"):
        np.testing.assert_array_equal(other.log_bayes_factor(job), toy.log_bayes_factor(job))
    np.testing.assert_allclose(
        other.log_bayes_factor("fouled"), toy.log_bayes_factor("fouled") - 7.0
    )


def test_auroc_tells_whether_evidence_separates(toy: Escalation, unsure: Escalation) -> None:
    assert toy.auroc().value == 1.0
    assert toy.auroc().low == pytest.approx(0.025 ** (1 / 50))  # of a hundred paired cases
    factors = [unsure.log_bayes_factor(job) for job in ("fouled", "test")]
    above = factors[0][:, None] > factors[1]
    ties = factors[0][:, None] == factors[1]
    found = unsure.auroc()
    assert found.value == pytest.approx(above.mean() + 0.5 * ties.mean())
    assert found.low < 0.5 < found.high
    assert found.n == CYCLE
    turned = replace(toy, evidence=toy.evidence | {"fouled": toy.evidence["test"]})
    assert turned.auroc().value == pytest.approx(0.5)


# Traces


def test_jobs_of_both_kinds() -> None:
    assert both("design") == ("design", "faulty")
    assert both("test") == ("test", "tested")


@pytest.mark.parametrize(("of", "n"), [("design", (120, 120)), ("test", (100, N_FOULED))])
def test_traces_are_clean_ones_and_then_fouled_ones(
    toy: Escalation, of: str, n: tuple[int, int]
) -> None:
    traces, design = toy.traces(of), toy.design
    parts = [(tried.of(both(of)[0]), tried.of(both(of)[1])) for tried in design.tried.values()]
    assert [len(part) for part in parts[0]] == list(n)
    assert len(traces) == sum(n)
    assert traces.wrong.shape == traces.seconds.shape == (sum(n), 3)
    for score, name in ((traces.first_score, DEFAULT.name), (traces.second_score, DESIGNED)):
        tried = design.tried[name]
        clean, fouled = (tried.score(tried.of(job).diagnostics) for job in both(of))
        np.testing.assert_array_equal(score, np.concatenate([clean, fouled]))
    assert np.median(traces.second_score[: n[0]]) > np.median(traces.second_score[n[0] :])
    for action, found in enumerate((design.default_trial.of, design.designed_trial.of)):
        for job, place in zip(both(of), (slice(n[0]), slice(n[0], None)), strict=True):
            np.testing.assert_array_equal(
                traces.wrong[place, action], found(job).credibility < 0.05
            )
    np.testing.assert_array_equal(
        traces.wrong[:, 2],
        np.concatenate([toy.refit[job].credibility < 0.05 for job in both(of)]),
    )


def test_planted_failures_are_in_the_traces(toy: Escalation) -> None:
    wrong = toy.traces("test").wrong
    np.testing.assert_allclose(wrong[:CYCLE].mean(axis=0), WRONG)
    fouled = wrong[CYCLE:].reshape(len(LEVELS), N_CELL, 3)
    severe = np.array(LEVELS) >= WRONG_FROM
    assert fouled[severe, :, :2].all()
    assert fouled[~severe].mean() < 0.1
    assert fouled[..., 2].mean() < 0.1


def test_seconds_grow_with_the_action(toy: Escalation) -> None:
    traces = toy.traces("test")
    assert (traces.seconds[:, 0] == 0).all()
    assert (np.diff(traces.seconds, axis=1) >= 0).all()
    film = np.concatenate([toy.log_bayes_factor(job) for job in both("test")]) > 0
    assert 0 < film.sum() < len(film)
    # without a preferred film nothing is cleaned
    np.testing.assert_array_equal(traces.seconds[~film, 2], traces.seconds[~film, 1])
    # 606 pulses of 3 ms with gaps of 30 ms, after 5 s; 60 s of cleaning, and that again
    probe = 5.0 + 605 * 0.033 + 0.003
    np.testing.assert_allclose(traces.seconds[:, 1], probe, rtol=1e-3)
    np.testing.assert_allclose(traces.seconds[film, 2], 60 + 2 * probe, rtol=1e-3)


def test_seconds_are_those_of_each_case(toy: Escalation) -> None:
    slower = toy.design.tried["slower"]
    other = replace(toy, design=replace(toy.design, designed="slower"))
    first = whole().experiment.waveform.t_s
    case = np.concatenate([slower.of(job).case for job in both("test")])
    own = (first[:, -1] - first[:, 0])[case]
    assert np.ptp(own) > 1.0
    np.testing.assert_allclose(other.traces("test").seconds[:, 1], 5 * own, rtol=1e-3)


def test_weight_counts_clean_and_fouled_as_half_each(toy: Escalation) -> None:
    for of, (clean, fouled) in (("design", (120, 120)), ("test", (CYCLE, N_FOULED))):
        weight = toy.weight(of)
        assert len(weight) == len(toy.traces(of))
        assert weight.sum() == pytest.approx(1.0)
        np.testing.assert_allclose(weight[:clean], 0.5 / clean)
        np.testing.assert_allclose(weight[clean:], 0.5 / fouled)


def test_mean_of_electrodes_draws_electrodes_with_all_their_traces() -> None:
    case = np.array([7, 7, 7, 2])
    found = mean_of_electrodes(np.array([1.0, 1.0, 1.0, 0.0]), case)
    assert (found.value, found.n) == (0.75, 2)
    weighted = mean_of_electrodes(np.array([1.0, 1.0, 1.0, 0.0]), case, np.array([0.1] * 3 + [0.7]))
    assert weighted.value == pytest.approx(0.3)
    alike = np.tile(np.arange(50) % 2, 4).astype(float)
    once = mean_of_electrodes(alike[:50], np.arange(50))
    again = mean_of_electrodes(alike, np.tile(np.arange(50), 4))
    assert (again.low, again.high) == (once.low, once.high)


# Policies


def mean_cost(result: Escalation, name: str, failure_s: float = FAILURE_S) -> float:
    outcome = result.outcomes(failure_s)[name]
    return float(result.weight("test") @ (outcome.seconds + failure_s * outcome.failed))


def test_outcomes_of_those_that_never_look(toy: Escalation) -> None:
    found, traces = toy.outcomes(), toy.traces("test")
    assert list(found) == ["always trust", "policy", "always escalate"]
    for name, action in (("always trust", 0), ("always escalate", 2)):
        assert (found[name].action == action).all()
        np.testing.assert_array_equal(found[name].failed, traces.wrong[:, action])
        np.testing.assert_array_equal(found[name].seconds, traces.seconds[:, action])


def test_policy_acts_on_its_two_thresholds(toy: Escalation) -> None:
    traces = toy.traces("test")
    for failure_s in FAILURES_S:
        policy, found = toy.policies[failure_s], toy.outcomes(failure_s)["policy"]
        action = [
            0 if first >= policy.first else 1 if second >= policy.second else 2
            for first, second in zip(traces.first_score, traces.second_score, strict=True)
        ]
        assert found.action.tolist() == action
        failed = [traces.wrong[row, own] for row, own in enumerate(action)]
        assert found.failed.tolist() == failed
    assert set(toy.outcomes()["policy"].action) == {0, 1, 2}


def test_policy_is_cheaper_than_those_that_never_look(toy: Escalation) -> None:
    assert mean_cost(toy, "policy") < 0.5 * mean_cost(toy, "always trust")
    assert mean_cost(toy, "policy") < mean_cost(toy, "always escalate")


def test_policies_are_of_least_cost_on_the_design_set(toy: Escalation) -> None:
    traces, weight = toy.traces("design"), toy.weight("design")
    for failure_s, policy in toy.policies.items():
        cost = weight @ policy.apply(traces).cost_s(failure_s)
        for first in (-np.inf, -1.0, 0.0, policy.first, 1.0, np.inf):
            for second in (-np.inf, -3.0, policy.second, 0.0, np.inf):
                other = weight @ Policy(first, second).apply(traces).cost_s(failure_s)
                assert cost <= other + 1e-9


def test_risk_falls_under_the_policy(toy: Escalation) -> None:
    found, outcomes = toy.risk_difference(), toy.outcomes()
    halves = [
        outcomes[name].failed[part].mean()
        for name in ("policy", "always trust")
        for part in (slice(CYCLE), slice(CYCLE, None))
    ]
    assert found.value == pytest.approx((halves[0] + halves[1] - halves[2] - halves[3]) / 2)
    assert found.low <= found.value <= found.high < 0
    assert found.n == CYCLE  # electrodes, each with all of its traces


def test_risk_stays_where_nothing_is_done_and_rises_where_refits_spoil(toy: Escalation) -> None:
    trusting = replace(toy, policies={FAILURE_S: Policy.always_trust()})
    same = trusting.risk_difference()
    assert (same.low, same.value, same.high) == (0.0, 0.0, 0.0)
    spoilt = {name: replace(own, credibility=np.zeros(len(own))) for name, own in toy.refit.items()}
    worse = replace(toy, refit=spoilt, policies={FAILURE_S: Policy.always_escalate()})
    assert worse.risk_difference().low > 0
    assert worse.outcomes()["policy"].failed.all()


def test_risk_depends_on_what_a_failure_costs(toy: Escalation) -> None:
    risks = [toy.risk_difference(failure_s).value for failure_s in FAILURES_S]
    assert risks[0] > risks[1] >= risks[2]


def test_a_blind_protocol_escalates_more_for_the_same_risk(toy: Escalation) -> None:
    blind = escalation_of(blind=True)
    assert mean_cost(blind, "policy") > mean_cost(toy, "policy") + 1.0
    n = [(own.outcomes()["policy"].action == 2).sum() for own in (blind, toy)]
    assert n[0] > n[1]
    assert mean_cost(blind, "always escalate") == mean_cost(toy, "always escalate")


def test_overconfident_refits_leave_more_risk(toy: Escalation, overconfident: Escalation) -> None:
    assert overconfident.risk_difference().value > toy.risk_difference().value + 0.03
    assert overconfident.risk_difference().value < 0
    assert mean_cost(overconfident, "policy") > mean_cost(toy, "policy")


def test_evidence_that_does_not_separate_cleans_clean_electrodes(
    toy: Escalation, unsure: Escalation
) -> None:
    cleaned = [own.traces("test").seconds[:CYCLE, 2] > 60 for own in (toy, unsure)]
    assert not cleaned[0].any()
    assert cleaned[1].all()
    assert mean_cost(unsure, "always escalate") > mean_cost(toy, "always escalate") + 25


# Faked trials


class Fake:
    """Trials with a film as they are planted; remembers what was asked."""

    def __init__(self, factor: float | None) -> None:
        self.asked: list[tuple[str, np.ndarray, np.ndarray, bool, Any]] = []
        self.factor = factor

    def __call__(
        self,
        protocol: Protocol,
        cases: Any,
        severity: np.ndarray,
        amortised: Any,  # noqa: ARG002
        keys: np.ndarray,
        fouled: bool,
        mode: Biofouling | None,
    ) -> Trial:
        case = cases.group.case
        assert len(case) == len(severity) == len(keys)
        self.asked.append((protocol.name, case, severity, fouled, mode))
        factor = bayes_factors(case, severity, separates=True)
        return either(case, severity, FILM_MODEL, factor if self.factor is None else self.factor)


def run(monkeypatch: pytest.MonkeyPatch, factor: float | None = None) -> tuple[Escalation, Fake]:
    fake = Fake(factor)
    monkeypatch.setattr(protocol_design, "run_trial", fake)
    return run_escalation(design_of()), fake


def test_study_asks_the_evidence_and_refits_what_prefers_a_film(
    toy: Escalation, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, fake = run(monkeypatch)
    cleaned = f"{DESIGNED}-cleaned"
    assert [name for name, *_ in fake.asked] == [DESIGNED, *[cleaned] * 4]
    assert all(fouled for *_, fouled, _ in fake.asked)
    jobs = [job for job in jobs_of(SETTINGS) if job.name in REFITTED]
    case, severity = (np.concatenate(own) for own in zip(*map(electrodes, jobs), strict=True))
    np.testing.assert_array_equal(fake.asked[0][1], case)
    np.testing.assert_array_equal(fake.asked[0][2], severity)
    film = bayes_factors(case, severity, separates=True) > 0
    assert 0 < film.sum() < len(film)
    np.testing.assert_array_equal(fake.asked[1][1], case[film])
    np.testing.assert_array_equal(fake.asked[1][2], severity[film])
    assert set(result.evidence) == set(result.refit) == set(REFITTED)
    for name in REFITTED:
        for kind in ("evidence", "refit"):
            mine, its = getattr(result, kind)[name], getattr(toy, kind)[name]
            for part in ("case", "severity", "mean", "low", "high", "credibility"):
                np.testing.assert_array_equal(getattr(mine, part), getattr(its, part))
        assert result.refit[name].diagnostics.shape == (len(result.refit[name]), 0)
    assert result.policies == toy.policies


def test_refits_keep_what_was_found_where_no_film_is_preferred(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = Fake(None)

    def told_apart(protocol: Protocol, *given: Any) -> Trial:
        found = again(protocol, *given)
        moved = 1.0 * (protocol.name != DESIGNED)
        return replace(found, mean=found.mean + moved, credibility=found.credibility - moved)

    monkeypatch.setattr(protocol_design, "run_trial", told_apart)
    result = run_escalation(design_of())
    for name, own in result.refit.items():
        before, film = result.evidence[name], result.log_bayes_factor(name) > 0
        for part, moved in (("mean", 1.0), ("low", 0.0), ("high", 0.0), ("credibility", -1.0)):
            change = np.array(getattr(own, part) - getattr(before, part))
            np.testing.assert_allclose(change[film], moved, atol=1e-9)
            np.testing.assert_array_equal(change[~film], np.zeros_like(change[~film]))
        assert own.mean.shape == (len(own), 12)
    assert (result.log_bayes_factor("test") <= 0).all()
    assert (result.log_bayes_factor("fouled") > 0).all()


def factors_of(known: Trial) -> np.ndarray:
    """By how much a hundred posteriors' intervals are to be stretched, in scores."""
    mean, low, high = map(scores, (known.mean, known.low, known.high))
    truth = whole().group.unknowns[known.case].astype(float)
    if known.mean.shape[1] == 12:
        truth = np.column_stack([truth, np.tile(FILM, (len(truth), 1))])
    truth = scores(truth)
    above, below = ((end - mean).clip(1e-12) for end in (high, 2 * mean - low))
    off = np.maximum((truth - mean) / above, (mean - truth) / below)
    return np.asarray(np.sort(off, axis=0)[95])


def test_stretch_comes_from_calibration_electrodes_with_much_of_a_film(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result, fake = run(monkeypatch)
    name, case, severity, fouled, mode = fake.asked[-1]
    assert (name, fouled, mode) == (result.protocol.name, True, None)
    np.testing.assert_array_equal(case, 120 + np.arange(100))  # the calibration set
    assert (severity == 1.0).all()
    own = trial(case, severity, FILM_MODEL)
    heavy = own.mean[:, 9] >= 0.1
    assert heavy.all()
    assert result.stretch.n == 100
    wanted = factors_of(own)
    np.testing.assert_allclose(result.stretch.factor[:9], wanted[:9])
    np.testing.assert_allclose(result.stretch.factor[9:], wanted[9:], rtol=1e-4)  # in float32


def test_little_of_a_film_is_stretched_as_clean_calibration_electrodes_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = design_of().designed_trial
    own = tried.clean["calibration"]
    narrow = replace(own, low=(own.mean + own.low) / 2, high=(own.mean + own.high) / 2)
    tried = replace(tried, clean=tried.clean | {"calibration": narrow})
    monkeypatch.setattr(protocol_design, "run_trial", Fake(None))
    design = replace(design_of(), tried=design_of().tried | {DESIGNED: tried})
    result = run_escalation(design)
    assert result.little.n == 100
    np.testing.assert_allclose(result.little.factor, factors_of(narrow))
    assert (result.little.factor > 1.5 * result.stretch.factor[:9]).all()


def test_light_films_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(escalation, "MUCH", Biofouling.full)
    result, fake = run(monkeypatch)
    _, case, severity, *_ = fake.asked[-1]
    heavy = trial(case, severity, FILM_MODEL).mean[:, 9] >= Biofouling.full
    assert 19 < heavy.sum() < 80
    assert result.stretch.n == heavy.sum()


def test_without_heavy_films_there_is_no_factor_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(escalation, "MUCH", 2.0)
    result, _ = run(monkeypatch)
    assert result.stretch.n == 0
    np.testing.assert_array_equal(result.stretch.factor, np.ones(12))


def test_other_films_slow_the_reaction_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    result, fake = run(monkeypatch)
    assert list(result.mistaken) == list(OTHER_COEFFICIENTS)
    usual = Fouling(initial_theta=Biofouling.full)
    for coefficient, (_, case, severity, _, mode) in zip(
        OTHER_COEFFICIENTS, fake.asked[2:4], strict=True
    ):
        np.testing.assert_array_equal(case, 220 + np.arange(50))
        assert (severity == 1.0).all()
        film = vars(mode.film)
        assert film.pop("k0_theta_coeff") == coefficient != ASSUMED
        assert film == {name: own for name, own in vars(usual).items() if name in film}
        assert len(result.mistaken[coefficient]) == 50


def test_every_electrode_is_refitted_where_all_prefer_a_film(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result, fake = run(monkeypatch, factor=1.0)
    np.testing.assert_array_equal(fake.asked[1][1], fake.asked[0][1])
    for own in result.refit.values():
        assert np.isfinite(own.mean).all()
        assert flag_rate(own.wrong).value < 0.1


def test_planted_errors_are_the_quantiles_of_a_normal() -> None:
    """The toy's coverage is computed from them."""
    own = errors(np.arange(CYCLE), 12)
    assert own.shape == (CYCLE, 12)
    quantiles = stats.norm.ppf((np.arange(CYCLE) + 0.5) / CYCLE)
    for column in np.sort(own, axis=0).T:
        np.testing.assert_allclose(column, quantiles)
    assert (np.abs(quantiles) < 2).mean() == COVERED
    assert (np.abs(quantiles) < 1).mean() == SHORT_COVERED
    assert escalation.LN_K0 == LN_K0
