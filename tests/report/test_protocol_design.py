"""Tables, figures and claims of the chapter on protocols, on a planted study."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from ecguard.errors import InputError
from ecguard.guardrail import load_guardrail
from ecguard.posterior.amortised.artefacts import fingerprint, load_amortised
from ecguard.protocol import CANDIDATES
from ecguard.protocol.measured import protocol_of
from ecguard.protocol.trial import CleanFit
from ecguard.protocol_design import LEVELS, RATED
from ecguard.report import guardrail as gr
from ecguard.report import protocol_design as pd
from ecguard.report.payload import load_payload
from toy_protocols import (
    CYCLE,
    DESIGNED,
    INFORMATIVE,
    MISFIT,
    N_CELL,
    PACE,
    RIVAL,
    SETTINGS,
    case_sets,
    design_of,
    powers_of,
)

from .chapters import chapter_in

PARAMETERS = {
    "n_calibration": 300,
    "seed": 11,
    "eval_noise_std": 0.05,
    "alpha": 0.1,
    "delta": 0.2,
    "amortised_checkpoint": None,
}
COVERAGE = 0.78 * np.array(LEVELS)
TRIED = ["default", INFORMATIVE, DESIGNED]
ALARMS = {"op": "<=", "value": 0.1}
CAUGHT = {"on": "lower", "op": ">=", "value": 0.90}
GAIN = {"op": ">=", "value": 0.15}
UNSEEN = "criterion-3-designed-undetectable"
BOUNDS = {
    "criterion-1-designed-separation": {"on": "lower", "op": ">", "value": 0.5},
    "criterion-1-designed-not-confounded": {"on": "interval", "op": "contains", "value": 0.5},
    "criterion-2-designed-alarms": ALARMS | {"on": "upper"},
    "control-alarms": ALARMS,
    "criterion-2-designed-protocol": CAUGHT,
    "fouled-without-film-test": CAUGHT,
    "criterion-2-designed-silent": {"on": "upper", "op": "<=", "value": 0.1},
    "criterion-3-designed-trace": {"op": "==", "value": 1},
    "criterion-3-designed-undetectable": {"op": "==", "value": 0},
    "no-resistance": {"op": ">=", "value": 281 / 300},
    "mild-over-default": GAIN,
    "mild-over-informative": GAIN,
    "early-over-informative": GAIN,
    "conflict": {"op": ">=", "value": 0.9},
    "detection-limit": {"op": ">=", "value": 3.0},
}


@pytest.fixture(scope="module")
def result():
    return design_of()


@pytest.fixture(scope="module")
def blind():
    """The designed protocol shows nothing."""
    return design_of(blind=True)


@pytest.fixture
def chapter(tmp_path):
    return chapter_in(tmp_path, "protocol-design", "standard", PARAMETERS)


@pytest.fixture
def shown(chapter):
    """The chapter, whose trace has been drawn."""
    (chapter.out_dir / pd.TRACE_FIGURE).write_bytes(b"drawn")
    return chapter


def claims_of(chapter, result):
    return {c.id.removeprefix("protocol-design."): c for c in pd.claims(chapter, result)}


def failed(chapter, result):
    return {key for key, claim in claims_of(chapter, result).items() if not claim.passed}


def row(markdown, name):
    """Cells of the row of a table that begins with a name."""
    (line,) = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", markdown.data, re.MULTILINE)
    return [cell.strip() for cell in line.split("|")]


def head(markdown):
    return [cell.strip() for cell in markdown.data.splitlines()[0].split("|")[1:-1]]


def flagged(tried, part):
    """Flags of a trial, from its score and threshold."""
    return tried.score(part.diagnostics) < tried.threshold.threshold


def words(flags):
    """A share with its exact interval, in percent."""
    hits, n = int(np.sum(flags)), len(flags)
    low = stats.beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    return f"{hits / n:.0%} ({low:.0%} to {high:.0%})"


def limit_of(powers):
    """Coverage from which on nine in ten are caught, by linear interpolation in its log."""
    last = max(k for k, power in enumerate(powers) if power < 0.9)
    ends = slice(last, last + 2)
    return float(np.exp(np.interp(0.9, powers[ends], np.log(COVERAGE[ends]))))


# The study


def test_settings_come_from_parameters_and_profile(chapter):
    found = pd.settings_of(chapter)
    sets = found.sets
    assert (sets.n_design, sets.n_calibration, sets.n_test) == (200, 300, 300)
    assert (sets.task, sets.seed, sets.noise_std) == ("cv", 11, 0.05)
    assert (found.n_rated, found.n_tuned, found.n_cell) == (50, 12, 36)
    assert (found.alpha, found.delta) == (0.1, 0.2)


def test_parts_are_kept_in_the_checkout_under_the_code(chapter, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(pd, "run_protocol_design", lambda *arguments: seen.append(arguments))
    monkeypatch.setattr(gr, "load_amortised", lambda path: SimpleNamespace(path=path, meta=None))
    monkeypatch.setattr(gr, "check_trained_for", lambda *_: None)
    pd.study(chapter)
    checkpoint = tmp_path / "density.eqx"
    checkpoint.write_bytes(b"weights")
    pd.study(replace(chapter, parameters=PARAMETERS | {"amortised_checkpoint": str(checkpoint)}))
    monkeypatch.setattr(gr, "find_root", lambda: None)
    pd.study(chapter)
    (settings, loaded, folder, digest), (_, other, _, longer), (*_, nowhere, same) = seen
    assert settings == pd.settings_of(chapter)
    assert loaded.path is None
    assert other.path == checkpoint
    assert folder.name == "parts"
    assert nowhere is None
    assert digest == same
    assert longer.startswith(digest)
    assert len(longer) > len(digest)


# Candidates


def test_candidates_table_has_every_rating(result):
    table = pd.candidates_table(result)
    lines = table.data.splitlines()
    assert len(lines) == 2 + len(CANDIDATES)
    assert "misfit left at severity 0.1" in head(table)
    for number, (name, protocol) in enumerate(CANDIDATES.items(), start=1):
        chosen = name in (DESIGNED, INFORMATIVE)
        cells = row(table, f"**{name}**" if chosen else name)
        power = {DESIGNED: 0.7, RIVAL: 0.695}.get(name, 0.5)
        told = 30.0 if name == INFORMATIVE else 20.0 + 0.1 * number
        assert cells == [
            protocol.title,
            str(protocol.steps[-1].averaging.records),
            f"{10 * number}.0",
            f"{10 * power:.3g}",
            f"{power:.2f}",
            f"{told:.1f}",
            {DESIGNED: "14.00", RIVAL: "13.00"}.get(name, "–"),
        ]


def test_misfit_in_the_table_is_the_median_at_its_severity(result):
    misfit = np.full((len(RATED), SETTINGS.n_rated), 999.0)
    misfit[1] = [1.0, 1.0, 3.0, 5.0, 50.0, 50.0]
    rated = result.rated | {"hold": replace(result.rated["hold"], discrepancy=misfit)}
    assert row(pd.candidates_table(replace(result, rated=rated)), "hold")[3] == "4"


def test_chosen_words_name_both_and_say_whether_they_differ(result):
    found = pd.chosen_words(result).data
    assert "Power within 0.01 of the largest: tone-5000, pulse. Of these" in found
    assert "**pulse** (pulses of 1 ms, a tenth of the window; power 0.70, 21.8 nats)" in found
    assert "**slower** (a scan at a fifth of the rate; power 0.50, 30.0 nats)" in found
    assert "They are not the same. 6 design cases, severities 0.05, 0.1, 0.35, 1." in found
    same = pd.chosen_words(replace(result, informative=DESIGNED)).data
    assert "They are the same." in same
    tone = pd.chosen_words(replace(result, designed="tone-1000")).data
    assert "(10 mV at 1 kHz;" in tone


def points_of(axes):
    return {
        line.get_label().split(" ", 1)[1]: (line.get_xdata()[0], line.get_ydata()[0], line)
        for line in axes.lines
    }


def test_map_places_candidates_by_cost_information_and_power(result):
    figure = pd.map_panel(result)
    by_cost, by_information = figure.axes
    assert (by_cost.get_xscale(), by_information.get_xscale()) == ("log", "linear")
    assert by_cost.get_xlabel() == "time of measurement / s"
    assert by_information.get_xlabel() == "information about the couple / nats"
    assert by_cost.get_ylabel() == by_information.get_ylabel() == "power"
    costs, told = points_of(by_cost), points_of(by_information)
    assert list(costs) == list(told) == list(CANDIDATES)
    for number, name in enumerate(CANDIDATES, start=1):
        power = {DESIGNED: 0.7, RIVAL: 0.695}.get(name, 0.5)
        nats = 30.0 if name == INFORMATIVE else 20.0 + 0.1 * number
        np.testing.assert_allclose(costs[name][:2], (10.0 * number, power))
        np.testing.assert_allclose(told[name][:2], (nats, power))
    marked = {name for name, (*_, line) in costs.items() if line.get_marker() == "D"}
    assert marked == {DESIGNED, INFORMATIVE}


def test_tuning_table_tells_where_each_way_ends(result):
    table = pd.tuning_table(result)
    for name in ("fast-scan", "tone-1000", "pulse"):
        assert row(table, name) == ["4.00", "2.00", "10", "40", "41", "77", "+0.03", "+0.90"]
    assert "over 2 design cases, on which the design is chosen, and as many test" in table.data
    assert "severities 0.1 and 0.35" in table.data


def test_tuning_panel_draws_the_way(result):
    (axes,) = pd.tuning_panel(result).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [line.get_label() for line in axes.lines] == ["fast-scan", "tone-1000", "pulse"]
    for line in axes.lines:
        np.testing.assert_allclose(line.get_xdata(), PACE)
        np.testing.assert_allclose(line.get_ydata(), MISFIT)


# Trials


def test_trials_table_has_alarms_powers_and_limits(result):
    table = pd.trials_table(result)
    for name in TRIED:
        tried = result.tried[name]
        parts = (tried.clean["test"], tried.control, tried.fouled)
        *cells, limit = row(table, name)
        assert cells == [words(flagged(tried, part)) for part in parts]
        assert limit == f"{limit_of(powers_of(tried)):.2g}"
        without = tried.without("film")
        *cells, limit = row(table, f"{name}, no test for a film")
        assert cells == [words(without.flags(part)) for part in parts]
        assert limit == f"{limit_of([own.value for own in without.powers()]):.2g}"
        if name == "default":
            assert f"{name}, conflict" not in table.data
            continue
        bar = np.sort(tried.clean["calibration"].diagnostics[:, -1])[-2]
        cells = row(table, f"{name}, conflict alone")
        assert cells == [*(words(part.diagnostics[:, -1] > bar) for part in parts), ""]
    assert row(table, DESIGNED)[2] == "100% (96% to 100%)"
    assert "100 test cases in each of the three columns" in table.data
    assert "at rank 2 of 100 clean calibration cases" in table.data


def test_trials_table_marks_what_has_no_limit(blind):
    table = pd.trials_table(blind)
    assert row(table, DESIGNED)[-1] == "–"
    assert row(table, DESIGNED)[2] == words(np.zeros(CYCLE))
    assert row(table, "default")[-1] != "–"


def bare_of(result):
    flags = flagged(result.designed_trial, result.no_resistance)
    return flags.reshape(len(LEVELS), N_CELL).mean(axis=1)


def test_power_table_has_a_row_a_level_and_a_column_a_protocol(result):
    table = pd.power_table(result)
    assert head(table) == ["coverage", *TRIED, "pulse, film without resistance"]
    columns = [powers_of(result.tried[name]) for name in TRIED]
    columns.append(bare_of(result).tolist())
    for level, coverage in enumerate(COVERAGE):
        shown = row(table, f"{coverage:.2g}")
        assert [cell.split(" (")[0] for cell in shown] == [f"{own[level]:.0%}" for own in columns]
    assert row(table, "0.0078")[2] == "48% (32% to 64%)"
    assert f"{N_CELL} test cases in each cell" in table.data


def test_power_panel_has_a_line_a_protocol(result):
    (axes,) = pd.power_panel(result).axes
    assert axes.get_xscale() == "log"
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines) == [*TRIED, "film without resistance"]
    for name in TRIED:
        np.testing.assert_allclose(lines[name].get_xdata(), COVERAGE)
        np.testing.assert_array_equal(lines[name].get_ydata(), powers_of(result.tried[name]))
    bare = lines["film without resistance"].get_ydata()
    np.testing.assert_array_equal(bare, bare_of(result))
    assert (np.asarray(bare) <= powers_of(result.designed_trial)).all()
    assert max(bare[:6]) < 0.15 < 0.9 < bare[-1]


def test_level_is_where_a_share_is_closest(result):
    default = result.default_trial
    powers = powers_of(default)
    assert powers[7:9] == [0.075, 0.425]
    assert pd.level_at(default, 0.3) == 8
    assert pd.level_at(default, 0.2) == 7
    assert pd.level_at(default, 1.0) == len(LEVELS) - 1
    assert pd.level_at(default, 0.0) == 0


def test_separation_counts_pairs_in_order(result):
    tried = result.default_trial
    faulty, clean = tried.at(8), tried.clean["test"].take(slice(N_CELL))
    scores = [tried.score(part.diagnostics) for part in (faulty, clean)]
    others = ~np.eye(N_CELL, dtype=bool)  # a case is not compared with itself
    pairs = (scores[0][:, None] < scores[1])[others].mean()
    found = pd.separation(tried, faulty, clean)
    assert found.value == pytest.approx(pairs)
    assert 0.8 < found.low < found.value < found.high <= 1.0
    turned = pd.separation(tried, clean, faulty)
    assert turned.value == pytest.approx(1 - pairs)


def test_gain_is_the_difference_of_shares(result, blind):
    for level in (3, 7, 8):
        mine, its = (powers_of(result.tried[name])[level] for name in (DESIGNED, INFORMATIVE))
        found = pd.gain(result, INFORMATIVE, level)
        assert found.value == pytest.approx(mine - its)
        assert found.low <= found.value <= found.high
        assert found.n == N_CELL
    assert pd.gain(result, DESIGNED, 3).value == 0.0
    assert pd.gain(blind, "default", 8).high < 0


# A trace


def planted_fit(asked):
    """A fit whose closest clean electrode is half of what is observed."""

    def fit(protocol, cases, severity, amortised, keys):
        asked.append((protocol, cases.group.case, severity, amortised, len(keys)))
        observation = cases.group.observation
        fast = observation._replace(time_s=1e-4 * np.asarray(observation.time_s))
        half = 0.5 * np.asarray(observation.current)
        return CleanFit((observation, fast), (half, half))

    return fit


def test_trace_panel_shows_a_mild_test_electrode_step_by_step(result, monkeypatch):
    asked = []
    monkeypatch.setattr(pd, "fit_clean", planted_fit(asked))
    figure = pd.trace_panel(result)
    ((protocol, case, severity, amortised, n),) = asked
    assert (protocol, amortised, n) == (CANDIDATES[DESIGNED], None, 1)
    assert (case.tolist(), severity.tolist()) == ([220], [0.1])
    own = case_sets()["test"].take(np.arange(1)).group.observation
    seen = np.asarray(own.observed[0])
    assert 0.3 < seen.mean() < 0.5
    time_s = np.asarray(own.time_s[0], np.float64)[seen]
    current = np.asarray(own.current[0])[seen]
    first, second = figure.axes
    assert first.get_xlabel() == "voltammogram: time / s"
    assert second.get_xlabel() == "pulse: time / ms"
    ms = 1e3 * 1e-4 * (time_s - time_s[0])
    for axes, place in ((first, time_s), (second, ms)):
        lines = {line.get_label(): line for line in axes.lines}
        assert list(lines) == ["observed", "closest clean electrode"]
        for line, values in zip(lines.values(), (current, 0.5 * current), strict=True):
            np.testing.assert_allclose(line.get_xdata(), place, rtol=1e-5)
            np.testing.assert_allclose(line.get_ydata(), values)


# Claims


def test_claims_have_their_ids_and_bounds(chapter, result):
    found = claims_of(chapter, result)
    assert list(found) == list(BOUNDS)
    for key, bound in BOUNDS.items():
        assert found[key].bound == {"on": "value", **bound}, key


def test_claims_hold_on_the_plan(shown, result):
    found = claims_of(shown, result)
    assert failed(shown, result) == {UNSEEN}
    tried = result.designed_trial
    whole = {
        "criterion-2-designed-alarms": flagged(tried, tried.clean["test"]),
        "control-alarms": flagged(tried, tried.control),
        "criterion-2-designed-protocol": flagged(tried, tried.fouled),
        "conflict": tried.fouled.diagnostics[:, -1]
        > np.sort(tried.clean["calibration"].diagnostics[:, -1])[-2],
    }
    for key, flags in whole.items():
        assert (found[key].value, found[key].n) == (flags.mean(), CYCLE), key
    assert (found["no-resistance"].value, found["no-resistance"].n) == (
        bare_of(result)[-1],
        N_CELL,
    )
    assert found["criterion-1-designed-separation"].value == 1.0
    assert found["criterion-1-designed-not-confounded"].value == 0.5
    # all electrodes at full severity are wrong, and all are flagged
    assert tried.fouled.wrong.all()
    assert found["criterion-2-designed-silent"].value == 0.0
    powers = {name: powers_of(result.tried[name]) for name in TRIED}
    mild = powers[DESIGNED][8] - powers["default"][8]
    assert found["mild-over-default"].value == pytest.approx(mild)
    early = int(np.argmin(np.abs(np.array(powers[INFORMATIVE]) - 0.5)))
    for key, level in (("mild-over-informative", 8), ("early-over-informative", early)):
        gain = powers[DESIGNED][level] - powers[INFORMATIVE][level]
        assert found[key].value == pytest.approx(gain)
    ratio = limit_of(powers["default"]) / limit_of(powers[DESIGNED])
    assert found["detection-limit"].value == pytest.approx(ratio)
    low, high = found["detection-limit"].interval
    assert 1.0 < low < ratio < high < 3 * ratio


def test_claims_say_what_they_stand_on(shown, result):
    found = claims_of(shown, result)
    note = found["criterion-2-designed-protocol"].note
    assert note.startswith("100 of 100; one voltammogram")
    default = result.default_trial
    assert words(flagged(default, default.fouled)) in note
    assert "coverage 0.27" in found["mild-over-default"].text
    assert "catches 42% there" in found["mild-over-default"].note
    assert f"({INFORMATIVE})" in found["mild-over-informative"].text
    limits = [limit_of(powers_of(result.tried[name])) for name in ("default", DESIGNED)]
    note = found["detection-limit"].note
    assert f"Before: {limits[0]:.2g}" in note
    assert f"after: {limits[1]:.2g}" in note
    figures = {key: claim.figure for key, claim in found.items()}
    assert figures.pop("criterion-3-designed-trace") == pd.TRACE_FIGURE
    assert set(figures.values()) == {pd.POWER_FIGURE}


def test_trace_is_claimed_where_it_was_drawn(chapter, result):
    assert failed(chapter, result) == {"criterion-3-designed-trace", UNSEEN}


def test_coverages_that_are_not_shown_to_be_flagged_are_named(shown, result, blind):
    """Of 40 cases, 27 flagged leave more than a half."""
    for own in (result, blind):
        found = claims_of(shown, own)[UNSEEN]
        flagged = np.array(powers_of(own.designed_trial)) * N_CELL
        unseen = [f"{c:.2g}" for c, k in zip(COVERAGE, flagged, strict=True) if round(k) < 27]
        assert found.value == len(unseen)
        assert f"a coverage of {', '.join(unseen)}." in found.note
    assert found.value == len(LEVELS)


@pytest.mark.parametrize(("flagged", "unseen"), [(26, True), (27, False)])
def test_a_bare_majority_does_not_show_that_more_than_half_are_flagged(
    shown, result, flagged, unseen
):
    tried = result.designed_trial
    clean = tried.clean["test"]
    accepted = clean.diagnostics[~tried.flags(clean)][0]
    shows = np.arange(N_CELL * len(LEVELS)) >= N_CELL - flagged
    found = np.where(shows[:, None], tried.fouled.diagnostics[0], accepted)
    some = replace(tried, tested=replace(tried.tested, diagnostics=found))
    other = replace(result, tried=result.tried | {DESIGNED: some})
    claim = claims_of(shown, other)[UNSEEN]
    assert (claim.value, claim.passed) == (int(unseen), not unseen)


def test_blind_protocol_fails(shown, blind):
    assert failed(shown, blind) == {
        "criterion-1-designed-separation",
        "criterion-2-designed-protocol",
        "criterion-2-designed-silent",
        "fouled-without-film-test",
        "no-resistance",
        "mild-over-default",
        "mild-over-informative",
        "early-over-informative",
        "conflict",
        "detection-limit",
        UNSEEN,
    }
    found = claims_of(shown, blind)
    assert found["criterion-2-designed-silent"].value == 1.0
    assert found["detection-limit"].value is None
    assert "after: none" in found["detection-limit"].note


def test_rival_that_is_as_good_fails_the_comparison_alone(shown):
    rival = design_of(rival=True)
    over = {"mild-over-informative", "early-over-informative"}
    assert failed(shown, rival) == over | {UNSEEN}
    found = claims_of(shown, rival)
    assert {found[key].value for key in over} == {0.0}


def test_path_that_shows_by_itself_fails_controls(shown):
    found = failed(shown, design_of(path=3.0))
    assert {"criterion-1-designed-not-confounded", "control-alarms"} <= found
    assert "criterion-2-designed-alarms" not in found


def test_limit_ratio_is_drawn_anew_by_electrode(result):
    """The same protocol twice: the same electrodes are drawn for both, so that nothing differs."""
    designed = result.designed_trial
    same = pd.limit_ratio(designed, designed)
    assert (same.value, same.low, same.high) == (1.0, 1.0, 1.0)
    assert same.n == len(designed.tested)


def test_voltammogram_that_finds_nothing_counts_up_to_the_highest_coverage_tried(shown, result):
    nothing = replace(result.default_trial, tested=result.default_trial.tested)
    clean = nothing.clean["test"].diagnostics[nothing.tested.case - 220]
    nothing = replace(nothing, tested=replace(nothing.tested, diagnostics=clean))
    other = replace(result, tried=result.tried | {"default": nothing})
    claim = claims_of(shown, other)["detection-limit"]
    assert claim.value == pytest.approx(0.78 / limit_of(powers_of(result.designed_trial)))
    assert "Before: above 0.78;" in claim.note
    assert "The ratio is at least this." in claim.note
    assert "at least" not in claims_of(shown, result)["detection-limit"].note


def test_alarms_of_the_designed_protocol_are_its_own(shown, result):
    tried = result.designed_trial
    loud = replace(tried, threshold=replace(tried.threshold, threshold=np.inf))
    found = failed(shown, replace(result, tried=result.tried | {DESIGNED: loud}))
    assert {"criterion-2-designed-alarms", "control-alarms"} <= found


# The guardrail's file


@pytest.fixture(scope="module")
def known(result):
    """The study with the density that its trials would start from."""
    return replace(result, bench=replace(result.bench, amortised=load_amortised()))


def test_guardrail_flags_what_the_designed_protocol_flags(shown, known):
    words = pd.save_guardrail(shown, known).data
    path = shown.out_dir / pd.GUARDRAIL_FILE
    assert f"**{DESIGNED}**: `{path.name}`, {path.stat().st_size} bytes" in words
    assert f"({N_CELL} test electrodes at each coverage): Biofouled electrode at " in words
    assert "claims" not in load_payload(path)
    guardrail, tried = load_guardrail(path), known.designed_trial
    for part in (tried.clean["test"], tried.fouled):
        verdict = guardrail.judge(part.diagnostics)
        np.testing.assert_array_equal(verdict.flagged, flagged(tried, part))
    assert protocol_of(guardrail.valid_for.steps).name == DESIGNED
    seen = case_sets()["calibration"].group.observation
    given = (seen.time_s, seen.E_V, seen.current, seen.observed, seen.noise_std)
    own = (fingerprint(known.bench.amortised), guardrail.valid_for.steps)
    guardrail.valid_for.check("cv", 1, *given, *own)
    assert json.loads(path.read_text())["provenance"]["seed"] == shown.seed


def test_guardrail_names_the_coverages_that_it_does_not_see(known):
    (spot,) = known.guardrail().undetectable
    powers = np.array(powers_of(known.designed_trial))
    assert 0 < len(spot.magnitudes) < len(LEVELS)
    assert spot.magnitudes == tuple(COVERAGE[: len(spot.magnitudes)])
    assert (powers[len(spot.magnitudes) :] > 0.5).all()
    assert spot.flagged == powers[-1]
    loud = replace(known.designed_trial.threshold, threshold=np.inf)
    tried = replace(known.designed_trial, threshold=loud)
    assert replace(known, tried=known.tried | {DESIGNED: tried}).guardrail().undetectable == ()


# Payload


def test_payload_fits_the_schema(shown, result):
    claims = pd.claims(shown, result)
    words = shown.save("protocol_design_report.json", pd.payload(result), claims).data
    assert "criterion-2-designed-protocol" in words
    saved = load_payload(shown.out_dir / "protocol_design_report.json")
    assert [claim["pass"] for claim in saved["claims"]] == [key != UNSEEN for key in BOUNDS]
    assert (saved["designed"], saved["informative"]) == (DESIGNED, INFORMATIVE)
    assert (saved["levels"], saved["rated_severities"]) == (list(LEVELS), list(RATED))
    assert saved["settings"]["sets"]["n_test"] == CYCLE
    assert list(saved["candidates"]) == list(CANDIDATES)
    one = saved["candidates"][DESIGNED]
    assert [step["kind"] for step in one["steps"]] == ["voltammogram", "pulse"]
    assert one["steps"][1]["duration_s"] == 1e-3
    assert one["steps"][1]["averaging"] == {"quiet": 5.0 / 3e-3, "records": 606, "gap": 10.0}
    assert one["power"] == pytest.approx([0.5, 0.6, 0.8, 0.9])
    assert one["misfit"] == pytest.approx([3.5, 7.0, 24.5, 70.0])
    assert one["information_nats"] == pytest.approx(21.8)
    assert one["refit_nats"] == 14.0
    assert saved["candidates"]["default"]["refit_nats"] is None
    assert saved["tuned"]["pulse"]["pace"] == list(PACE)
    assert saved["tuned"]["pulse"]["criterion"] == pytest.approx(np.log(MISFIT), abs=1e-4)
    assert list(saved["tried"]) == TRIED
    assert saved["tried"]["default"]["conflict"] is None
    assert saved["tried"][DESIGNED]["conflict"]["rank"] == 2
    assert saved["tried"][DESIGNED]["power"] == powers_of(result.designed_trial)
    tried = result.designed_trial
    for name, part in (("clean", tried.clean["test"]), ("fouled", tried.fouled)):
        assert saved["tried"][DESIGNED]["flagged"][name] == flagged(tried, part).tolist()
    assert saved["no_resistance"] == bare_of(result).tolist()


def test_payload_holds_no_number_that_is_not_finite(chapter, result):
    tried = result.designed_trial
    broken = replace(tried, threshold=replace(tried.threshold, threshold=np.nan))
    other = replace(result, tried=result.tried | {DESIGNED: broken})
    with pytest.raises(InputError, match="finite"):
        chapter.save("protocol_design_report.json", pd.payload(other))
