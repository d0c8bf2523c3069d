"""Tables, figures and claims of the chapter on escalation, on planted studies."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ecguard.escalation import FAILURE_S, FAILURES_S
from ecguard.guardrail.policy import ACTIONS, Policy
from ecguard.posterior.stretch import Stretch
from ecguard.posterior.unknowns import names, ranges
from ecguard.protocol_design import LEVELS, level_of
from ecguard.report import escalation as es
from ecguard.report.payload import load_payload
from toy_protocols import (
    BIAS,
    COVERED,
    CYCLE,
    DESIGNED,
    LN_K0,
    N_CELL,
    SHORT_COVERED,
    design_of,
    escalation_of,
    whole,
)

from .chapters import chapter_in

COVERAGE = 0.78 * np.array(LEVELS)
N_LEVELS = len(LEVELS)
N_FOULED = N_CELL * N_LEVELS
WITHIN = {"op": "within", "value": [0.9, 0.98]}
BELOW = {"on": "upper", "op": "<", "value": 0.0}
BOUNDS = {
    "k0-error": {"op": "<=", "value": 0.2},
    "coverage": WITHIN,
    "worst-coverage": WITHIN,
    "most-coverage": WITHIN,
    "film": WITHIN,
    "coverage-all-severities": WITHIN,
    "worst-coverage-all-severities": WITHIN,
    "film-all-severities": WITHIN,
    "before-cleaning": WITHIN,
    "clean-coverage": WITHIN,
    "evidence": {"op": ">=", "value": 0.95},
    "criterion-2-policy-risk": BELOW,
    "criterion-2-cheaper-than-escalating": BELOW,
}

COVERAGES = {name for name, bound in BOUNDS.items() if bound is WITHIN} - {"clean-coverage"}

TWICE = Stretch(np.full(12, 2.0), 30)


@pytest.fixture(scope="module")
def result():
    return escalation_of()


@pytest.fixture(scope="module")
def overconfident():
    """Refits whose intervals are half as long as they should be."""
    return escalation_of(overconfident=True)


@pytest.fixture(scope="module")
def unsure():
    """Evidence that prefers a film whether there is one or not."""
    return escalation_of(separates=False)


@pytest.fixture
def chapter(tmp_path):
    return chapter_in(tmp_path, "escalation")


def claims_of(chapter, result):
    return {c.id.removeprefix("escalation."): c for c in es.claims(chapter, result)}


def failed(chapter, result):
    return {key for key, claim in claims_of(chapter, result).items() if not claim.passed}


def rows_of(markdown):
    lines = [line for line in markdown.data.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def words(flags):
    """A share with its exact interval, in percent."""
    hits, n = int(np.sum(flags)), len(flags)
    low = stats.beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    return f"{hits / n:.0%} ({low:.0%} to {high:.0%})"


def errors_of(trial):
    return trial.mean[:, LN_K0] - whole().group.unknowns[trial.case, LN_K0].astype(np.float64)


def inside(trial):
    truth = whole().group.unknowns[trial.case].astype(np.float64)
    return (trial.low[:, :9] <= truth) & (truth <= trial.high[:, :9])


def film_inside(trial):
    """Of the film's unknowns; adsorption is slower by the severity."""
    severity = trial.severity
    truth = np.array([0.78 * severity, np.log(4200.0 * severity), np.log(1800.0) + 0 * severity]).T
    return (trial.low[:, 9:] <= truth) & (truth <= trial.high[:, 9:])


def posteriors_of(result, job):
    """The posteriors of a job, by the names in the chapter."""
    tried, refit = result.design.tried, result.refit[job]
    trials = {
        "one voltammogram": trial_of(tried["default"], job),
        "designed protocol": trial_of(tried[DESIGNED], job),
        "the same, perhaps a film": result.evidence[job],
        "refit with a film": refit,
    }
    return trials | {"refit, stretched": stretched_by_hand(result, refit)}


def stretched_by_hand(result, refit):
    """Intervals about the means, in normal quantiles of the prior, by how much of a film it has."""
    low, high = refit.low.copy(), refit.high.copy()
    spans = [*np.transpose(ranges(1)), (0.0, 1.0), np.log((100.0, 1e4)), np.log((450.0, 7200.0))]
    for row in range(len(refit)):
        own = result.stretch if refit.mean[row, 9] >= 0.1 else result.little
        for k, factor in enumerate(own.factor):
            least, most = spans[k]
            power, edge = (3, 1e-6) if k == 9 else (1, 1e-9 if k < 9 else 1e-6)
            for ends in (low, high):
                places = (np.array([refit.mean[row, k], ends[row, k]]) - least) / (most - least)
                places = np.clip(places, 0.0, 1.0) ** (1 / power)
                mean, end = stats.norm.ppf(np.clip(places, edge, 1 - edge))
                moved = stats.norm.cdf(mean + factor * (end - mean)) ** power
                ends[row, k] = least + (most - least) * moved
    return replace(refit, low=low, high=high)


def trial_of(tried, job):
    return tried.clean["test"] if job == "test" else getattr(tried, job)


def judged(result, policy):
    """What a policy does to the test electrodes and whether it fails, trace by trace."""
    traces = result.traces("test")
    action = np.zeros(len(traces), int)
    action[traces.first_score < policy.first] = 1
    action[(action == 1) & (traces.second_score < policy.second)] = 2
    rows = np.arange(len(traces))
    return action, traces.wrong[rows, action], traces.seconds[rows, action]


def halves(values):
    """Mean over clean and fouled electrodes, half each."""
    return (np.mean(values[:CYCLE]) + np.mean(values[CYCLE:])) / 2


# Posteriors


def test_study_is_made_on_the_study_of_protocols(chapter, monkeypatch):
    monkeypatch.setattr(es, "protocol_study", lambda given: ("protocols", given))
    monkeypatch.setattr(es, "run_escalation", lambda design: ("escalation", design))
    assert es.study(chapter) == ("escalation", ("protocols", chapter))


@pytest.mark.parametrize("job", ["test", "fouled", "tested"])
def test_posteriors_are_of_the_same_electrodes(result, job):
    found = es.posteriors(result, job)
    assert list(found) == [es.VOLTAMMOGRAM, es.DESIGNED, es.FILMED, es.REFIT, es.STRETCHED]
    for name, own in posteriors_of(result, job).items():
        assert found[name] is own or name == es.STRETCHED
        for ends, wanted in ((found[name].low, own.low), (found[name].high, own.high)):
            np.testing.assert_allclose(ends[:, :9], wanted[:, :9])
            np.testing.assert_allclose(ends[:, 9:], wanted[:, 9:], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found[name].mean, own.mean)
        np.testing.assert_array_equal(own.case, result.refit[job].case)


def test_recovery_table_has_errors_and_coverages(result, overconfident):
    for study in (result, overconfident):
        rows = rows_of(es.recovery_table(study))
        wanted = [
            [kind, name, own]
            for job, kind in (("test", "clean"), ("fouled", "coverage 0.78"))
            for name, own in posteriors_of(study, job).items()
        ]
        assert len(rows) == 10
        for cells, (kind, name, own) in zip(rows, wanted, strict=True):
            error, covered = errors_of(own), inside(own)
            assert cells == [
                kind,
                name,
                f"{np.median(np.abs(error)):.2f}",
                f"{np.median(error):+.2f}",
                f"{covered.mean():.0%}",
                words(covered[:, LN_K0]),
                words(own.credibility < 0.05),
            ]
    rows = rows_of(es.recovery_table(result))
    assert rows[5][2:5] == ["3.00", "-3.00", "85%"]
    assert rows[5][5].startswith("0% (")
    assert rows[7][3:5] == rows[8][3:5] == rows[9][3:5] == ["+0.00", "96%"]
    rows = rows_of(es.recovery_table(replace(overconfident, stretch=TWICE)))
    assert (rows[8][4], rows[9][4]) == ("68%", "96%")
    assert "100 test electrodes in each row" in es.recovery_table(result).data


def test_stretch_table_names_each_unknown(result):
    factors = np.arange(1.0, 13.0)
    many = replace(result, stretch=Stretch(factors, 19), little=Stretch(factors[:9] / 2, 40))
    much, little = rows_of(es.stretch_table(many))
    assert much == ["0.1 or more", *(f"{factor}.00" for factor in range(1, 13))]
    halves = (f"{factor / 2:.2f}" for factor in range(1, 10))
    assert little == ["less than 0.1", *halves, "–", "–", "–"]
    text = es.stretch_table(many).data
    assert all(name in text for name in names(1))
    assert "| Cdl | coverage of the film | ln k_ads | ln R_film |" in text
    refit = result.refit["fouled"]
    stretched = stretched_by_hand(many, refit)
    before, after = (np.median(own.high[:, 9] - own.low[:, 9]) for own in (refit, stretched))
    assert f"coverage is {after:.2f} wide in the median, {before:.2f} before" in text
    assert after > 3 * before
    assert "from 19 calibration electrodes, fouled to 0.78; the second from 40 clean" in text
    assert "Fewer" not in text
    few = es.stretch_table(replace(result, stretch=Stretch(np.ones(12), 18))).data
    assert "Fewer than 19 do not support 95 %" in few


def test_levels_table_counts_truths_inside_by_coverage(result, overconfident):
    for study in (result, replace(overconfident, stretch=TWICE)):
        rows = rows_of(es.levels_table(study))
        refit = posteriors_of(study, "tested")[es.STRETCHED]
        assert len(rows) == N_LEVELS
        for k, cells in enumerate(rows):
            own = level_of(refit, k)
            covered, film = inside(own), film_inside(own)
            assert cells == [
                f"{COVERAGE[k]:.2g}",
                f"{covered.mean():.0%}",
                *(words(covered[:, column]) for column in (LN_K0, 7, 8)),
                *(words(film[:, column]) for column in (0, 2)),
                words(own.credibility < 0.05),
            ]
    # only where much of a film is found
    assert float(rows[-1][1][:-1]) > 85 > 75 > float(rows[N_LEVELS // 2][1][:-1])
    table = es.levels_table(result).data
    assert "| ln k0 | Ru | Cdl | coverage of the film | ln R_film |" in table
    assert f"{N_CELL} test electrodes in each row" in table


def test_median_error_is_absolute(result):
    own = result.refit["fouled"].take(slice(4))
    truth = whole().group.unknowns[own.case].astype(np.float64)
    mean = own.mean.copy()
    mean[:, LN_K0] = truth[:, LN_K0] + [-4.0, -2.0, 1.0, 3.0]
    assert es.median_error(result, replace(own, mean=mean)) == pytest.approx(2.5)


def test_error_panel_has_errors_and_films_by_coverage(result, chapter):
    figure = es.error_panel(result)
    left, right = figure.axes
    assert left.get_ylabel() == "median error of ln k0, absolute"
    assert right.get_ylabel() == "coverage found by the refit"
    assert left.get_xlabel() == right.get_xlabel() == "coverage at the start"
    lines = {line.get_label(): line for line in left.lines}
    trials = posteriors_of(result, "tested")
    del trials[es.STRETCHED]  # its errors are those of the refit
    assert list(lines) == list(trials)
    for name, own in trials.items():
        np.testing.assert_allclose(lines[name].get_xdata(), COVERAGE)
        medians = np.median(np.abs(errors_of(own)).reshape(N_LEVELS, N_CELL), axis=1)
        np.testing.assert_allclose(lines[name].get_ydata(), medians)
    assert lines["one voltammogram"].get_ydata()[-1] > 10 * lines[es.REFIT].get_ydata()[-1]
    found = result.refit["tested"].mean[:, 9].reshape(N_LEVELS, N_CELL)
    films = {line.get_label(): line for line in right.lines}
    assert list(films) == ["median", "10 %", "90 %", "truth"]
    for name, share in (("median", 0.5), ("10 %", 0.1), ("90 %", 0.9)):
        wanted = np.quantile(found, share, axis=1)
        shown = np.isfinite(films[name].get_ydata())
        np.testing.assert_array_equal(shown, wanted >= 1e-4)
        np.testing.assert_allclose(films[name].get_ydata()[shown], wanted[shown])
    assert np.isnan(films["10 %"].get_ydata()[0])
    np.testing.assert_allclose(films["truth"].get_ydata(), films["truth"].get_xdata())
    np.testing.assert_allclose(films["median"].get_ydata()[5:], COVERAGE[5:], atol=0.02)
    assert chapter.figure(figure, es.ERROR_FIGURE, "errors").data


def test_coverage_panel_has_every_unknown_and_posterior(result):
    (axes,) = es.coverage_panel(result).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(names(1))
    assert axes.get_xlabel() == "share with the truth inside the 95 % interval"
    bars = {bar.get_label(): bar for bar in axes.containers}
    trials = posteriors_of(result, "fouled")
    assert list(bars) == list(trials)
    for name, own in trials.items():
        shares = inside(own).mean(axis=0)
        middle, _, (spans,) = bars[name].lines
        np.testing.assert_allclose(middle.get_xdata(), shares)
        for share, span in zip(shares, spans.get_segments(), strict=True):
            low, high = np.sort(span[:, 0])
            assert low <= share <= high
    np.testing.assert_allclose(bars[es.REFIT].lines[0].get_xdata(), COVERED)
    assert bars[es.VOLTAMMOGRAM].lines[0].get_xdata()[LN_K0] == 0.0
    (band,) = axes.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((0.9, 0.98))


# Evidence


def factors_of(result, job):
    clean = trial_of(result.design.tried[DESIGNED], job)
    return result.evidence[job].log_evidence - clean.log_evidence


def test_evidence_panel_folds_factors_of_clean_and_fouled(result):
    (axes,) = es.evidence_panel(result).axes
    shown = [0, 3, 5, 7, 9, 11]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["clean", *(f"{COVERAGE[k]:.2g}" for k in shown)]
    tested = factors_of(result, "tested").reshape(N_LEVELS, N_CELL)
    groups = [factors_of(result, "test"), *tested[shown]]
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert len(points) == len(groups)
    for line, factor in zip(points, groups, strict=True):
        folded = np.sign(factor) * np.log10(np.abs(factor) / 2 + np.hypot(factor / 2, 1))
        np.testing.assert_allclose(line.get_ydata(), folded)
    (bound,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert bound.get_ydata()[0] == 0.0
    assert "log10 of |ln Bayes factor|" in axes.get_ylabel()
    assert "linear near 0" in axes.get_ylabel()
    assert axes.get_xlabel() == "coverage at the start"


def test_evidence_table_counts_preferences_by_coverage(result, unsure):
    for study in (result, unsure):
        rows = rows_of(es.evidence_table(study))
        clean = factors_of(study, "test")
        tested = factors_of(study, "tested").reshape(N_LEVELS, N_CELL)
        assert rows[0] == ["0 (clean)", words(clean > 0), f"{np.median(clean):.1f}"]
        assert rows[1:] == [
            [f"{coverage:.2g}", words(own > 0), f"{np.median(own):.3g}"]
            for coverage, own in zip(COVERAGE, tested, strict=True)
        ]
    rows = rows_of(es.evidence_table(result))
    assert rows[0][1:] == ["0% (0% to 4%)", "-2.0"]
    assert [cells[1][:4] for cells in rows[1:4]] == ["0% (", "0% (", "100%"]
    assert rows_of(es.evidence_table(unsure))[0][1].startswith("100% (")


# Films of another kind


def test_mistaken_table_puts_the_assumed_film_between_the_others(result):
    table = es.mistaken_table(result)
    few = result.refit["fouled"].take(slice(50))
    trials = {"1.4": result.mistaken[1.4], "2.8 (assumed)": few, "4.2": result.mistaken[4.2]}
    assert rows_of(table) == [
        [
            name,
            f"{np.median(np.abs(errors_of(own))):.2f}",
            f"{np.median(errors_of(own)):+.2f}",
            words(own.credibility < 0.05),
        ]
        for name, own in trials.items()
    ]
    signed = [float(cells[2]) for cells in rows_of(table)]
    assert signed[0] > 0.5 > 0.1 > abs(signed[1])
    assert signed[2] < -0.5
    assert "50 test electrodes at severity 1 in each row" in table.data


# The policy


def test_decision_table_tells_what_is_done_and_how_it_ends(result):
    table, policy = es.decision_table(result), result.policies[FAILURE_S]
    action, wrong, seconds = judged(result, policy)
    rows = rows_of(table)
    assert [cells[0] for cells in rows] == list(ACTIONS)
    for number, cells in enumerate(rows):
        wanted = []
        for part in (slice(CYCLE), slice(CYCLE, None)):
            chosen = action[part] == number
            wanted += [words(chosen), words(wrong[part][chosen]) if chosen.any() else "–"]
        assert cells[1:] == [*wanted, f"{seconds[action == number].mean():.0f}"]
    assert rows[2][1:3] == ["0% (0% to 4%)", "–"]
    assert [cells[-1] for cells in rows] == ["0", "25", "110"]
    assert f"score is below {policy.first:.2f};" in table.data
    assert f"protocol's is below {policy.second:.2f} as" in table.data
    assert "Chosen on 240 design electrodes for a failure that costs 600 s" in table.data
    assert f"judged on {CYCLE + N_FOULED} test electrodes" in table.data


def test_region_words_say_how_often_clean_electrodes_are_missed(result):
    own = result.refit["test"]
    credibility = np.where(np.arange(CYCLE) < 30, 0.0, 1.0)
    refit = result.refit | {"test": replace(own, credibility=credibility)}
    text = es.region_words(replace(result, refit=refit)).data
    assert "Exact regions would miss 5% of clean electrodes" in text
    assert f"one voltammogram {words(np.arange(CYCLE) < 5)}" in text
    assert f"designed protocol {words(np.arange(CYCLE) < 5)}" in text
    assert f"refit with a film {words(np.arange(CYCLE) < 30)}" in text


def test_risk_table_weighs_clean_and_fouled_as_half_each(result):
    traces, rows = result.traces("test"), iter(rows_of(es.risk_table(result)))
    costs = {}
    for failure_s in FAILURES_S:
        _, wrong, seconds = judged(result, result.policies[failure_s])
        for name, (fails, takes) in {
            "always trust": (traces.wrong[:, 0], traces.seconds[:, 0]),
            "policy": (wrong, seconds),
            "always escalate": (traces.wrong[:, 2], traces.seconds[:, 2]),
        }.items():
            risk, time_s = halves(fails), halves(takes)
            price, done, *cells = next(rows)
            assert (price, done) == (f"{failure_s:g}", name)
            assert cells[0].startswith(f"{risk:.1%} (")
            assert cells[1] == words(fails[:CYCLE])
            assert cells[2].startswith(f"{fails[CYCLE:].mean():.0%} (")
            assert cells[3].startswith(f"{time_s:.0f} (")
            cost = float(cells[4].split(" (")[0])
            assert cost == pytest.approx(time_s + failure_s * risk, abs=0.51)
            costs[failure_s, name] = cost
    assert next(rows, None) is None
    assert costs[60.0, "always trust"] == 15
    assert costs[600.0, "always escalate"] == 90
    for failure_s in (60.0, 600.0):
        others = [costs[failure_s, name] for name in ("always trust", "always escalate")]
        assert costs[failure_s, "policy"] <= min(others)


def prices_of(result, policies):
    return es.policy_words(replace(result, policies=policies)).data.split("costs: ")[1]


def test_policy_words_name_what_one_voltammogram_decides(result):
    action, _, _ = judged(result, result.policies[FAILURE_S])
    text = es.policy_words(result).data
    assert f"at 600 s accepts {words(action[:CYCLE] == 0)} of clean electrodes" in text
    other = replace(result, policies=dict.fromkeys(FAILURES_S, Policy.always_escalate()))
    assert f"accepts {words(np.zeros(CYCLE))} of clean" in es.policy_words(other).data


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        (None, "It is cheaper than always escalating"),
        (Policy.always_escalate(), "It is not shown to be cheaper than always escalating"),
        (Policy.always_trust(), "It is dearer than always escalating"),
    ],
)
def test_policy_words_compare_with_always_escalating(chapter, result, policy, verdict):
    policies = result.policies if policy is None else dict.fromkeys(FAILURES_S, policy)
    other = replace(result, policies=policies)
    claim = claims_of(chapter, other)["criterion-2-cheaper-than-escalating"]
    text = es.policy_words(other).data
    assert verdict in text
    low, high = claim.interval
    assert f"by {claim.value:+.1f} s ({low:+.1f} to {high:+.1f})" in text


def test_policy_words_tell_which_prices_decide_alike(result):
    trust, own = Policy.always_trust(), result.policies[FAILURE_S]
    more = Policy(np.inf, -np.inf)
    assert prices_of(result, dict(zip(FAILURES_S, (trust, own, own), strict=True))) == (
        "at 60 s it always trusts; at 600 s and 6000 s it decides alike for every test electrode."
    )
    assert prices_of(
        result, dict(zip(FAILURES_S, (own, more, Policy.always_escalate()), strict=True))
    ) == (
        "at 60 s it decides in its own way; at 600 s it decides in its own way; "
        "at 6000 s it always escalates."
    )


def test_policy_panel_places_every_way_to_decide(result):
    trust, own = Policy.always_trust(), result.policies[FAILURE_S]
    policies = dict(zip(FAILURES_S, (trust, own, Policy(np.inf, -np.inf)), strict=True))
    (axes,) = es.policy_panel(replace(result, policies=policies)).axes
    assert axes.get_xlabel() == "more measurement / s"
    assert axes.get_ylabel() == "undetected failures / %"
    points = {bar.get_label(): bar for bar in axes.containers}
    assert list(points) == [
        "always trust,\npolicy at 60 s", "always escalate", "policy at 600 s", "policy at 6000 s"
    ]  # fmt: skip
    traces = result.traces("test")
    _, wrong, seconds = judged(result, own)
    ways = [
        (traces.wrong[:, 0], traces.seconds[:, 0]),
        (traces.wrong[:, 2], traces.seconds[:, 2]),
        (wrong, seconds),
        (traces.wrong[:, 1], traces.seconds[:, 1]),
    ]
    for bar, (fails, takes) in zip(points.values(), ways, strict=True):
        middle, _, (span,) = bar.lines
        risk = result.mean(100.0 * fails)
        assert middle.get_xdata()[0] == pytest.approx(halves(takes))
        assert middle.get_ydata()[0] == pytest.approx(100 * halves(fails))
        np.testing.assert_allclose(span.get_segments()[0][:, 1], (risk.low, risk.high))
        assert risk.low < risk.high


# Claims


def test_claims_have_their_ids_and_bounds(chapter, result):
    found = claims_of(chapter, result)
    assert list(found) == list(BOUNDS)
    for key, bound in BOUNDS.items():
        assert found[key].bound == {"on": "value", **bound}, key
        low, high = found[key].interval
        assert low <= found[key].value <= high, key
    assert {key: claim.figure for key, claim in found.items()} == {
        "k0-error": es.ERROR_FIGURE,
        "coverage": es.COVERAGE_FIGURE,
        "worst-coverage": es.COVERAGE_FIGURE,
        "most-coverage": es.COVERAGE_FIGURE,
        "film": "",
        "coverage-all-severities": "",
        "worst-coverage-all-severities": "",
        "film-all-severities": "",
        "before-cleaning": "",
        "clean-coverage": "",
        "evidence": es.EVIDENCE_FIGURE,
        "criterion-2-policy-risk": es.POLICY_FIGURE,
        "criterion-2-cheaper-than-escalating": es.POLICY_FIGURE,
    }


def test_claims_hold_on_the_plan(chapter, result):
    assert failed(chapter, result) == set()
    found = claims_of(chapter, result)
    refit, before = result.refit["fouled"], result.design.default_trial.fouled
    medians = [np.median(np.abs(errors_of(own))) for own in (refit, before)]
    assert found["k0-error"].value == pytest.approx(medians[0] / medians[1])
    assert found["k0-error"].note == f"{medians[0]:.2f} against {medians[1]:.2f}."
    assert medians[1] == pytest.approx(-BIAS, abs=0.01)
    for key in ("coverage", "worst-coverage", "film", "clean-coverage"):
        assert (found[key].value, found[key].n) == (pytest.approx(COVERED), CYCLE)
    assert "for coverage of the film alone, the unknown of the film" in found["film"].text
    assert found["film"].note == "Before stretching 0.96 (coverage of the film)."
    evidence = result.evidence["tested"]
    before = found["before-cleaning"]
    assert (before.value, before.n) == (pytest.approx(inside(evidence).mean()), CYCLE)
    assert "before cleaning and without stretching" in before.text
    assert before.note.endswith("; of ln k0 at coverage 0.78 0.96.")
    film = stretched_by_hand(result, result.refit["tested"])
    covers, plain = (film_inside(own)[:, 0].mean() for own in (film, evidence))
    light = found["film-all-severities"]
    assert (light.value, light.n) == (pytest.approx(covers), CYCLE)
    assert light.note == f"Before cleaning, without stretching, {plain:.2f}."
    assert "coverage 0.78, where the stretch was learnt" in found["coverage"].text
    tested = inside(stretched_by_hand(result, result.refit["tested"]))
    everywhere = found["coverage-all-severities"]
    assert (everywhere.value, everywhere.n) == (pytest.approx(tested.mean()), CYCLE)
    assert "all severities that the policy is judged on" in everywhere.text
    assert f"{N_FOULED} traces at {N_LEVELS} severities" in everywhere.note
    assert "couple alone counts" in found["criterion-2-policy-risk"].text
    assert (found["evidence"].value, found["evidence"].n) == (1.0, CYCLE)
    traces = result.traces("test")
    _, wrong, seconds = judged(result, result.policies[FAILURE_S])
    risk = halves(wrong) - halves(traces.wrong[:, 0])
    assert found["criterion-2-policy-risk"].value == pytest.approx(risk)
    escalated = traces.seconds[:, 2] + FAILURE_S * traces.wrong[:, 2]
    cost = halves(seconds + FAILURE_S * wrong) - halves(escalated)
    assert found["criterion-2-cheaper-than-escalating"].value == pytest.approx(cost)
    note = found["criterion-2-policy-risk"].note
    assert note == (
        f"always trust {halves(traces.wrong[:, 0]):.1%}, policy {halves(wrong):.1%}, "
        f"always escalate {halves(traces.wrong[:, 2]):.1%}"
    )


def test_worst_coverage_is_that_of_the_unknown_covered_least(chapter, result):
    own = result.refit["fouled"]
    low = own.low.copy()
    low[:30, 6] = own.high[:30, 6] + 1.0
    other = replace(result, refit=result.refit | {"fouled": replace(own, low=low)})
    found = claims_of(chapter, other)
    covered = inside(other.refit["fouled"])
    assert covered[:, 6].mean() < 0.75
    assert found["worst-coverage"].value == pytest.approx(covered[:, 6].mean())
    assert not found["worst-coverage"].passed
    assert found["coverage"].passed
    assert found["coverage"].value == pytest.approx(covered.mean())
    assert f"from {covered[:, 6].mean():.2f} (alpha) to 0.96" in found["coverage"].note


def test_lighter_films_that_are_missed_fail_at_all_severities_alone(chapter, result):
    own = result.refit["tested"]
    low = own.low.copy()
    light = own.severity < 0.05
    low[light, 7] = own.high[light, 7] + 1.0
    other = replace(result, refit=result.refit | {"tested": replace(own, low=low)})
    assert failed(chapter, other) == {"worst-coverage-all-severities"}
    low[light, :7] = own.high[light, :7] + 1.0
    other = replace(result, refit=result.refit | {"tested": replace(own, low=low)})
    assert failed(chapter, other) == {"coverage-all-severities", "worst-coverage-all-severities"}
    found = claims_of(chapter, other)["worst-coverage-all-severities"]
    shares = inside(other.refit["tested"]).mean(axis=0)
    worst = names(1)[shares.argmin()]
    assert found.value == pytest.approx(shares.min())
    assert f"for {worst} alone" in found.text
    assert "all severities" in found.text
    assert found.n == CYCLE  # electrodes, some with several traces


def test_an_unknown_that_is_always_covered_fails_alone(chapter, result):
    own = result.refit["fouled"]
    low, high = own.low.copy(), own.high.copy()
    low[:, 7], high[:, 7] = np.array(ranges(1))[:, 7]
    other = replace(result, refit=result.refit | {"fouled": replace(own, low=low, high=high)})
    assert failed(chapter, other) == {"most-coverage"}
    found = claims_of(chapter, other)["most-coverage"]
    assert found.value == 1.0
    assert "for Ru alone" in found.text
    assert found.note == "Before stretching 1.00 (Ru)."


def test_films_that_are_missed_fail_alone(chapter, result):
    own = result.refit["fouled"]
    low = own.low.copy()
    low[:, 11] = own.high[:, 11] + 1.0  # the film's resistance in all
    other = replace(result, refit=result.refit | {"fouled": replace(own, low=low)})
    assert failed(chapter, other) == {"film"}
    found = claims_of(chapter, other)["film"]
    assert found.value == 0.0
    assert "for ln R_film alone" in found.text
    assert found.note == "Before stretching 0.00 (ln R_film)."


def test_light_films_that_are_missed_fail_alone(chapter, result):
    own = result.refit["tested"]
    low, light = own.low.copy(), own.severity < 0.05
    low[light, 9] = own.high[light, 9] + 1.0
    other = replace(result, refit=result.refit | {"tested": replace(own, low=low)})
    assert failed(chapter, other) == {"film-all-severities"}
    evidence = result.evidence["tested"]
    low = evidence.low.copy()
    low[light, :9] = evidence.high[light, :9] + 1.0
    other = replace(result, evidence=result.evidence | {"tested": replace(evidence, low=low)})
    assert failed(chapter, other) == {"before-cleaning"}
    evidence = result.evidence["fouled"]
    low = evidence.low.copy()
    low[:, LN_K0] = evidence.high[:, LN_K0] + 1.0
    other = replace(result, evidence=result.evidence | {"fouled": replace(evidence, low=low)})
    assert "; of ln k0 at coverage 0.78 0.00." in claims_of(chapter, other)["before-cleaning"].note


def test_overconfident_refits_fail_coverage_alone(chapter, overconfident):
    assert failed(chapter, overconfident) == COVERAGES
    found = claims_of(chapter, overconfident)
    assert found["coverage"].value == pytest.approx(SHORT_COVERED)
    # clean electrodes keep the clean model's posterior
    assert found["clean-coverage"].value == pytest.approx(COVERED)


def test_overconfident_refits_that_are_stretched_hold(chapter, overconfident):
    mended = replace(overconfident, stretch=TWICE)
    # lighter films are not stretched
    severities = {f"{name}-all-severities" for name in ("coverage", "worst-coverage", "film")}
    assert failed(chapter, mended) == severities | {"before-cleaning"}
    found = claims_of(chapter, mended)
    assert found["coverage"].value == pytest.approx(COVERED, abs=0.01)
    assert found["worst-coverage"].note == f"Before stretching {SHORT_COVERED:.2f} (ln D_ox)."


def test_refits_that_are_stretched_too_far_fail(chapter, result):
    wide = replace(result, stretch=TWICE)
    assert failed(chapter, wide) == {"coverage", "worst-coverage", "most-coverage", "film"}


def test_clean_electrodes_with_much_of_a_film_are_stretched_too(chapter, result):
    film = result.refit["fouled"]  # as if it were found on clean electrodes
    other = replace(result, refit=result.refit | {"test": film})
    found = claims_of(chapter, replace(other, stretch=Stretch(np.full(12, 0.5), 30)))
    assert found["clean-coverage"].value == pytest.approx(SHORT_COVERED, abs=0.02)
    assert f"; much of a film is found in {CYCLE} of them." in found["clean-coverage"].note
    plain = claims_of(chapter, result)["clean-coverage"]
    assert plain.value == pytest.approx(COVERED)
    assert "; much of a film is found in 0 of them." in plain.note


def test_overconfident_refits_of_clean_electrodes_fail_too(chapter):
    both = escalation_of(overconfident=True, separates=False)
    assert failed(chapter, both) == COVERAGES | {"clean-coverage", "evidence"}


def test_evidence_that_does_not_separate_fails_alone(chapter, unsure):
    assert failed(chapter, unsure) == {"evidence"}
    claim = claims_of(chapter, unsure)["evidence"]
    low, high = claim.interval
    assert low < 0.5 < high


def test_refits_that_recover_nothing_fail(chapter, result):
    clean = design_of().designed_trial.fouled
    other = replace(
        result,
        refit=result.refit
        | {
            "fouled": replace(
                result.refit["fouled"], mean=np.column_stack([clean.mean, np.ones((CYCLE, 3))])
            )
        },
    )
    claim = claims_of(chapter, other)["k0-error"]
    assert not claim.passed
    assert claim.value == pytest.approx(1.0)


def test_policy_that_never_looks_fails_its_claims(chapter, result):
    for policy, key in (
        (Policy.always_trust(), "criterion-2-policy-risk"),
        (Policy.always_escalate(), "criterion-2-cheaper-than-escalating"),
    ):
        other = replace(result, policies=dict.fromkeys(FAILURES_S, policy))
        found = claims_of(chapter, other)
        assert not found[key].passed
        assert found[key].value == 0.0


def test_policy_is_set_beside_both_that_never_look(result):
    traces = result.traces("test")
    _, wrong, _ = judged(result, result.policies[FAILURE_S])
    text = es.risk_table(result).data
    for name, column in (("always trust", 0), ("always escalate", 2)):
        apart = 100 * (halves(wrong) - halves(traces.wrong[:, column]))
        (line,) = re.findall(rf"([+-][\d.]+) \(([+-][\d.]+) to ([+-][\d.]+)\) against {name}", text)
        value, low, high = map(float, line)
        assert value == pytest.approx(apart, abs=0.051)
        assert low <= value <= high
    assert f"bootstraps of {len(np.unique(result.electrode('test')))} test electrodes" in text


def test_intervals_of_the_policy_are_bootstraps_of_electrodes(result):
    """An electrode that comes with several traces counts once, with all of them."""
    case, weight = result.electrode("test"), result.weight("test")
    own = np.random.default_rng(5).standard_normal(case.max() + 1)
    found = result.mean(own[case])
    assert found.value == pytest.approx(weight @ own[case])
    assert found.n == len(np.unique(case))
    total = np.array([weight[case == k].sum() for k in np.unique(case)]) * found.n
    apart = (total * own[np.unique(case)]).std() / np.sqrt(found.n)
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(apart, rel=0.1)


def test_blind_protocol_saves_less(chapter, result):
    blind = escalation_of(blind=True)
    costs = [
        claims_of(chapter, own)["criterion-2-cheaper-than-escalating"].value
        for own in (result, blind)
    ]
    assert costs[0] < costs[1] - 1.0


def test_median_ratio_is_that_of_the_same_electrodes():
    before = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    found = es._median_ratio(before / 4, before)
    assert (found.value, found.low, found.high, found.n) == (0.25, 0.25, 0.25, 5)
    after = np.array([0.1, 0.2, 4.0, 0.3, 0.5])
    found = es._median_ratio(after, before)
    assert found.value == pytest.approx(0.3 / 4.0)
    assert found.low < found.value < found.high


# Payload


def test_payload_has_the_stretch_of_each_unknown(result):
    factors = np.linspace(0.5, 2.5, 9)
    study = replace(result, stretch=Stretch(factors, 30), little=Stretch(factors / 2, 40))
    much, little = (es.payload(study)["stretch"][name] for name in ("much", "little"))
    assert (much["factor"].tolist(), much["n"]) == (factors.tolist(), 30)
    assert (little["factor"].tolist(), little["n"]) == ((factors / 2).round(5).tolist(), 40)


def test_payload_fits_the_schema(chapter, result):
    claims = es.claims(chapter, result)
    table = chapter.save("escalation_report.json", es.payload(result), claims).data
    assert "criterion-2-policy-risk" in table
    saved = load_payload(chapter.out_dir / "escalation_report.json")
    assert [claim["pass"] for claim in saved["claims"]] == [True] * len(BOUNDS)
    assert [claim["id"] for claim in saved["claims"]] == [f"escalation.{key}" for key in BOUNDS]
    assert saved["protocol"] == result.protocol.title
    assert saved["levels"] == list(LEVELS)
    for job in ("test", "fouled", "tested"):
        trials = posteriors_of(result, job)
        assert list(saved["posteriors"][job]) == list(trials)
        for name, own in trials.items():
            record = saved["posteriors"][job][name]
            np.testing.assert_allclose(record["ln_k0_error"], errors_of(own), atol=1e-5)
            np.testing.assert_allclose(record["covered"], inside(own).mean(axis=0), atol=1e-5)
            assert record["outside"] == pytest.approx((own.credibility < 0.05).mean())
        np.testing.assert_allclose(
            saved["log_bayes_factor"][job], factors_of(result, job), atol=1e-3
        )
    found = saved["coverage_found"]["tested"]
    np.testing.assert_allclose(found, result.refit["tested"].mean[:, 9], atol=1e-5)
    assert set(saved["mistaken"]) == {"1.4", "4.2"}
    assert set(saved["policies"]) == {"60", "600", "6000"}
    policy = result.policies[FAILURE_S]
    assert saved["policies"]["600"] == {"first": policy.first, "second": policy.second}
    action, wrong, seconds = judged(result, policy)
    outcome = saved["outcomes"]["policy"]
    assert outcome["action"] == action.tolist()
    assert outcome["failed"] == wrong.tolist()
    np.testing.assert_allclose(outcome["seconds"], seconds, atol=1e-3)


def test_payload_has_no_number_for_a_threshold_beyond_all_scores(chapter, result):
    other = replace(result, policies=dict.fromkeys(FAILURES_S, Policy(-np.inf, 1.5)))
    chapter.save("escalation_report.json", es.payload(other))
    saved = load_payload(chapter.out_dir / "escalation_report.json")
    assert saved["policies"]["60"] == {"first": None, "second": 1.5}


def test_levels_of_refits_are_those_of_the_trials(result):
    for level, severity in enumerate(LEVELS):
        assert set(level_of(result.refit["tested"], level).severity) == {severity}
