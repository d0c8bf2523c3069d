"""Tables, figures and claims of the catalogue of failures, on a planted result."""

import re
from dataclasses import replace

import numpy as np
import pytest

from ecguard.detection import LEVELS, MODES
from ecguard.intervals import share
from ecguard.known_faults import FAULTS
from ecguard.report import failure_catalogue as fc
from ecguard.report.figures import trace_figure
from ecguard.report.guardrail import everything, percent, titles
from ecguard.report.payload import load_payload
from toy_detection import HARMLESS, INVISIBLE, LN_K0, N_CELL, SINGLE, VISIBLE, result_of

from .chapters import chapter_in

TOP = len(LEVELS) - 1


@pytest.fixture(scope="module")
def result():
    return result_of()


@pytest.fixture(scope="module")
def blind():
    """Fouling that does not show."""
    return result_of(fouling=INVISIBLE)


@pytest.fixture
def chapter(tmp_path):
    return chapter_in(tmp_path, "failure-catalogue")


def claims_of(chapter, result):
    return {c.id.removeprefix("failure-catalogue."): c for c in fc.claims(chapter, result)}


def row(markdown, mode):
    """Cells of the row of a mode."""
    (line,) = re.findall(
        rf"^\| {re.escape(MODES[mode].title)} \|(.*)\|$", markdown.data, re.MULTILINE
    )
    return [cell.strip() for cell in line.split("|")]


def test_mode_table_tells_what_is_seen_and_what_is_not(result):
    table = fc.mode_table(result)
    full, flagged, bias, covered, silent, limit, unseen, maybe = row(table, VISIBLE)
    assert full == f"{MODES[VISIBLE].full:g} {MODES[VISIBLE].unit}"
    assert flagged.startswith("100% (")
    assert (bias, covered[:4], silent[:4]) == ("ln k0 -2.0", "0% (", "0% (")
    assert limit == fc._sizes(MODES[VISIBLE], [result.detection_limit(VISIBLE)])
    assert unseen == fc._severities(MODES[VISIBLE], result.undetectable(VISIBLE))
    assert maybe == "–"
    _, flagged, bias, covered, silent, limit, unseen, maybe = row(table, INVISIBLE)
    assert flagged == percent(result.power(result.cell(INVISIBLE, TOP)))
    assert silent == percent(result.silent(result.cell(INVISIBLE, TOP)))
    assert (bias, covered[:4], limit) == ("ln k0 -2.0", "0% (", "–")
    unit = MODES[INVISIBLE].unit
    assert unseen == f"all (up to 0.4 {unit})"
    assert maybe == f"0.2, 0.35, 0.55, 0.75, 1 (0.08, 0.14, 0.22, 0.3, 0.4 {unit})"
    assert row(table, HARMLESS)[3].startswith("100% (")
    assert row(table, HARMLESS)[7] == "–"


def test_named_table_tells_what_flagged_traces_look_like(result):
    """Three of four flagged traces look like themselves, one like a fault of another name."""
    names = [fault.name for fault in FAULTS]
    own, other = names.index(VISIBLE), names.index(INVISIBLE)
    part = result.tested[VISIBLE]
    evidence = np.zeros((len(part), len(FAULTS)))
    flagged = np.flatnonzero(result.judge(part).flagged)
    evidence[:, other], evidence[:, own] = 5.0, 1.0
    evidence[flagged, own] = np.where(np.arange(len(flagged)) % 4 == 3, 4.0, 6.0)
    planted = replace(part, fault_evidence=evidence)
    table = fc.named_table(replace(result, tested={**result.tested, VISIBLE: planted}))
    n, right = len(flagged), int((np.arange(len(flagged)) % 4 < 3).sum())
    assert row(table, VISIBLE) == [
        str(n),
        percent(share(right, n)),
        percent(share(n, n)),
        f"{MODES[INVISIBLE].title} ({(n - right) / n:.0%})",
    ]
    assert len(table.data.splitlines()) == 2 + len(MODES)
    scattered = [cell for name in set(MODES) - set(names) for cell in row(table, name)[1:3]]
    assert set(scattered) == {"–"}
    quiet = replace(part, diagnostics=part.diagnostics - 100.0)
    none = fc.named_table(replace(result, tested={**result.tested, VISIBLE: quiet}))
    assert row(none, VISIBLE) == ["0", "–", "–", "–"]


def test_source_table_has_every_mode():
    table = fc.source_table()
    for name, mode in MODES.items():
        assert row(table, name) == [mode.typical, mode.source]


def test_silent_table_is_complete(result):
    table = fc.silent_table(result)
    lines = table.data.splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[2:-1]] == [f"{x:g}" for x in LEVELS]
    assert len(lines) == 2 + len(MODES)
    for name in MODES:
        assert row(table, name) == [
            percent(result.silent(result.cell(name, k))) for k in range(len(LEVELS))
        ]
    assert row(table, INVISIBLE)[-1].startswith("100% (")
    assert set(row(table, HARMLESS)) == {"0% (0% to 9%)"}


def test_absorption_map_has_three_panels_of_all_cells(result):
    figure = fc.absorption_panel(result)
    panels = {axes.get_title(): axes for axes in figure.axes if axes.images}
    rates = {
        "flagged": result.power,
        "truth in region": result.coverage,
        "accepted and wrong": result.silent,
    }
    for title, rate in rates.items():
        axes = panels[title]
        cells = np.asarray(axes.images[0].get_array())
        assert cells.shape == (len(MODES), len(LEVELS))
        for number, mode in enumerate(MODES):
            for level in (0, 4, TOP):
                assert cells[number, level] == 100 * rate(result.cell(mode, level)).value
        assert len(axes.texts) == cells.size
        assert [label.get_text() for label in axes.get_xticklabels()] == [f"{x:g}" for x in LEVELS]
        assert axes.get_xlabel() == "severity"
    names = [[label.get_text() for label in axes.get_yticklabels()] for axes in panels.values()]
    assert names[0] == titles()
    assert set(names[1]) == {""}


def test_catalogue_shows_a_trace_and_a_verdict_of_every_mode(result):
    panels = [axes for axes in fc.catalogue_panel(result).axes if axes.get_title()]
    words = {axes.get_title().split("\n")[0]: axes.get_title().split("\n")[1] for axes in panels}
    assert list(words) == titles()
    assert re.fullmatch(r"flagged, p = 0\.00; wrong", words[MODES[VISIBLE].title])
    assert re.fullmatch(r"accepted, p = 0\.\d\d; wrong", words[MODES[INVISIBLE].title])
    assert words[MODES[HARMLESS].title].endswith("; right")
    for axes in panels:
        lines = {line.get_label(): line for line in axes.lines}
        assert (lines["observed"].get_linestyle(), lines["observed"].get_marker()) == ("None", ".")
        assert lines["predicted"].get_linestyle() == "-"
        shown = np.isfinite(lines["observed"].get_ydata())
        assert 0.2 < shown.mean() < 0.6


def test_worst_is_the_lowest_score_of_a_fault(result):
    part = everything(result)
    verdict = result.judge(part)
    curves, title = fc.shown(result, "worst")
    lowest = np.min(verdict.score[part.severity > 0])
    row_of = int(np.flatnonzero((verdict.score == lowest) & (part.severity > 0))[0])
    np.testing.assert_array_equal(curves[1], part.current[row_of])
    assert "severity 1: flagged (p = 0.0033)" in title
    assert "truth" in title


def test_typical_has_the_median_score_of_the_faults(result):
    part = everything(result)
    scores = np.sort(result.judge(part).score[part.severity > 0])
    curves, _ = fc.shown(result, "typical")
    same = np.flatnonzero((part.current == curves[1]).all(axis=1) & (part.severity > 0))
    assert scores[len(scores) // 2] in result.judge(part).score[same]


def test_most_convincing_is_a_silent_failure_of_the_mode_that_does_not_show(result):
    curves, title = fc.shown(result, "silent")
    assert title.startswith(MODES[INVISIBLE].title)
    assert "accepted" in title
    part = result.tested[INVISIBLE]
    silent = part.wrong & ~result.judge(part).flagged
    best = int(np.argmax(np.where(silent, result.judge(part).score, -np.inf)))
    np.testing.assert_array_equal(curves[1], part.current[best])
    low, high = part.low[best, LN_K0], part.high[best, LN_K0]
    assert f"({low:.1f} to {high:.1f})" in title
    assert f"severity {part.severity[best]:g}:" in title
    truth = result.bench.sets["test"].group.unknowns[part.case[best], LN_K0]
    assert title.endswith(f"truth {truth:.1f}")


@pytest.mark.parametrize("kind", ["worst", "typical", "silent"])
def test_shown_curves_make_a_figure(result, kind):
    curves, title = fc.shown(result, kind)
    assert [len(curve) for curve in curves] == [256] * 5
    assert trace_figure(*curves, title).axes[0].get_title() == title


def test_mode_of_a_row(result):
    n, own = 320, N_CELL * len(LEVELS)
    names = list(MODES)
    assert fc._mode_of(result, 0) == names[0]
    assert fc._mode_of(result, n) == names[0]
    assert fc._mode_of(result, n + own - 1) == names[0]
    assert fc._mode_of(result, n + own) == names[1]
    assert fc._mode_of(result, n + own * len(names) - 1) == names[-1]


def test_finding_counts_and_names(result, blind):
    words = fc.finding(result).data
    unseen = (INVISIBLE, HARMLESS, SINGLE)
    first, worst, split, fouling = words.split("\n\n")
    assert f"{fc._unseen_words(result)}." == split
    assert f"{len(MODES) - len(unseen)} of {len(MODES)} failures are flagged" in first
    for name, mode in MODES.items():
        assert (mode.title.lower() in first) == (name not in unseen)
    assert f"{MODES[INVISIBLE].title.lower()} (100%)" in worst
    assert worst.index(MODES[INVISIBLE].title.lower()) < worst.index("%")
    assert "100% (98% to 100%) of the traces are flagged" in fouling
    moved = re.search(r"moves ln k0 by ([+-]\d+\.\d)", fouling)[1]
    assert float(moved) < -1
    power = percent(blind.power(blind.fouled))
    assert f"{power} of the traces are flagged" in fc.finding(blind).data


def test_claims_tell_what_cannot_be_seen(chapter, result):
    found = claims_of(chapter, result)
    assert len(found) == len(fc.claims(chapter, result))
    assert found["modes"].passed
    assert found["modes"].value == len(MODES)
    table = found["silent-table"]
    assert table.passed
    assert table.value == table.n == len(MODES) * len(LEVELS)
    assert found["criterion-2-silent-biofouling"].passed
    unseen = found["criterion-3-undetectable"]
    assert not unseen.passed
    assert unseen.value == sum(result.undetectable(name).sum() for name in MODES)
    for name in (INVISIBLE, HARMLESS):
        mode = MODES[name]
        assert f"{mode.title.lower()}, all (up to {mode.full:g} {mode.unit})" in unseen.note
    assert unseen.note.startswith(f"{fc._unseen_words(result)}. By severity: ")
    maybe = found["silent-not-excluded"]
    assert not maybe.passed
    assert maybe.value == sum(result.maybe_silent(name).sum() for name in MODES)
    assert maybe.value < unseen.value


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ("11111111", "all (up to 0.26 mM of oxygen)"),
        ("11111000", "up to 0.35 (0.091 mM of oxygen)"),
        ("10000000", "up to 0.02 (0.0052 mM of oxygen)"),
        ("10100001", "0.02, 0.1, 1 (0.0052, 0.026, 0.26 mM of oxygen)"),
    ],
)
def test_severities_are_told_in_few_words(chosen, words):
    mode = MODES["oxygen_background"]
    assert fc._severities(mode, np.array([own == "1" for own in chosen])) == words


def test_clearly_unseen_is_told_from_not_shown(result, monkeypatch):
    monkeypatch.setattr(fc, "MODES", {VISIBLE: MODES[VISIBLE]})
    part = result.tested[VISIBLE]
    hits = np.repeat([8, 13, 14, 24, 24, 40, 40, 40], N_CELL)  # of 40, 13 end below one half
    away = np.where(np.arange(len(part)) % N_CELL < hits, 99.0, -99.0)[:, None]
    planned = replace(result, tested={VISIBLE: replace(part, diagnostics=part.diagnostics + away)})
    words = fc._unseen_words(planned)
    assert words.startswith("Of 8 modes and severities 5 are undetectable: 2 are clearly unseen")
    assert words.endswith(", 3 are merely not shown to be seen")


def test_silence_is_excluded_where_all_is_seen_or_right(chapter, result, monkeypatch):
    kept = {name: mode for name, mode in MODES.items() if name not in (INVISIBLE, SINGLE)}
    monkeypatch.setattr(fc, "MODES", kept)
    maybe = claims_of(chapter, result)["silent-not-excluded"]
    assert maybe.passed
    assert maybe.value == 0
    assert maybe.n == len(kept) * len(LEVELS)


def test_criterion_three_holds_where_all_is_seen(chapter, result, monkeypatch):
    monkeypatch.setattr(fc, "MODES", {VISIBLE: MODES[VISIBLE]})
    part = result.tested[VISIBLE]
    seen = replace(result, tested={VISIBLE: replace(part, diagnostics=part.diagnostics + 9)})
    unseen = claims_of(chapter, seen)["criterion-3-undetectable"]
    assert unseen.passed
    assert (unseen.value, unseen.note, unseen.n) == (0, "", len(LEVELS))


def test_silent_fouling_fails_criterion_two(chapter, blind):
    claim = claims_of(chapter, blind)["criterion-2-silent-biofouling"]
    assert not claim.passed
    assert claim.value > 0.9
    assert claim.n == 200


def test_payload_is_the_whole_map(chapter, result):
    claims = fc.claims(chapter, result)
    chapter.save("failure_catalogue.json", fc.payload(result), claims)
    saved = load_payload(chapter.out_dir / "failure_catalogue.json")
    assert saved["severities"] == list(LEVELS)
    assert list(saved["modes"]) == list(MODES)
    cells = {(cell["mode"], cell["severity"]): cell for cell in saved["cells"]}
    assert len(cells) == len(MODES) * len(LEVELS)
    cell = cells[INVISIBLE, 1.0]
    assert cell["n"] == N_CELL
    assert cell["undetectable"] is True
    assert cell["median_bias"][LN_K0] == pytest.approx(-2.0, abs=1e-4)
    assert cell["covered"]["value"] == 0.0
    assert cell["silent"]["value"] + cell["flagged"]["value"] == pytest.approx(1.0)
    assert cells[VISIBLE, 0.55]["magnitude"] == pytest.approx(MODES[VISIBLE].full * 0.55)
    assert cells[VISIBLE, 0.55]["few_effective_draws"] == 0.0
    assert saved["biofouling_at_reference"]["flagged"]["value"] == 1.0
    for key, claim in (("undetectable", claims[-2]), ("maybe_silent", claims[-1])):
        assert sum(cell[key] for cell in saved["cells"]) == claim.value
