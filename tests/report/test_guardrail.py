"""Tables, figures and claims of the chapter on the guardrail, on a planted result."""

import json
import re
from dataclasses import replace
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from ecguard.detection import MODES
from ecguard.errors import InputError
from ecguard.guardrail import BlindSpot, load_guardrail
from ecguard.guardrail import certificate as cert
from ecguard.intervals import auroc
from ecguard.report import guardrail as gr
from ecguard.report.payload import load_payload
from ecguard.screening import DIAGNOSTICS, KNOWING
from toy_detection import HARMLESS, INVISIBLE, SETTINGS, SINGLE, VISIBLE, result_of

from .chapters import chapter_in

PARAMETERS = {
    "n_calibration": 300,
    "task": "cv",
    "seed": 11,
    "eval_noise_std": 0.05,
    "alpha": 0.1,
    "delta": 0.2,
    "amortised_checkpoint": None,
}


@pytest.fixture(scope="module")
def result():
    return result_of()


@pytest.fixture(scope="module")
def alarmed():
    """A guardrail that flags what the simulator's path does by itself."""
    return result_of(path=3.0)


@pytest.fixture(scope="module")
def blind():
    """Fouling that does not show, and a reference's path that does."""
    return result_of(fouling=INVISIBLE)


@pytest.fixture
def chapter(tmp_path):
    return chapter_in(tmp_path, "guardrail", "standard", PARAMETERS)


def claims_of(chapter, result):
    return {c.id.removeprefix("guardrail."): c for c in gr.claims(chapter, result)}


def row(markdown, name):
    """Cells of the row of a table that begins with a name."""
    (line,) = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", markdown.data, re.MULTILINE)
    return [cell.strip() for cell in line.split("|")]


def test_settings_come_from_parameters_and_profile(chapter):
    found = gr.settings_of(chapter)
    sets = found.sets
    assert (sets.n_design, sets.n_calibration, sets.n_test) == (200, 300, 480)
    assert (sets.task, sets.seed, sets.noise_std) == ("cv", 11, 0.05)
    assert (found.n_faulty, found.n_cell, found.n_control) == (32, 60, 200)
    assert (found.alpha, found.delta) == (0.1, 0.2)
    assert sets.keep_probability == 0.4
    whole = replace(chapter, parameters=PARAMETERS | {"keep_probability": 1.0})
    assert gr.settings_of(whole).sets.keep_probability == 1.0


def test_parts_depend_on_the_code_but_not_on_the_report(chapter, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(gr, "run_detection", lambda *arguments: seen.append(arguments))
    monkeypatch.setattr(gr, "load_amortised", lambda path: SimpleNamespace(path=path, meta=None))
    monkeypatch.setattr(gr, "check_trained_for", lambda *_: None)
    gr.study(chapter)
    root, files = gr.find_root(), []
    monkeypatch.setattr(gr, "digest_of", lambda paths, _: files.extend(paths) or "digest")
    checkpoint = tmp_path / "density.eqx"
    checkpoint.write_bytes(b"weights")
    gr.study(replace(chapter, parameters=PARAMETERS | {"amortised_checkpoint": str(checkpoint)}))
    (settings, loaded, folder, digest), (_, other, _, longer) = seen
    assert settings == gr.settings_of(chapter)
    assert loaded.path is None
    assert other.path == checkpoint
    assert folder.is_relative_to(root)
    assert digest
    assert longer == "digest" + json.dumps(gr.versions()) + gr.sha256(checkpoint)
    names = {path.relative_to(gr.PACKAGE).as_posix() for path in files}
    assert {"detection.py", "screening.py", "stress/biofouling.py"} <= names
    assert not any(name.startswith("report/") for name in names)


def test_traces_that_the_density_was_not_trained_for_are_refused_before_any_work(
    chapter, monkeypatch
):
    monkeypatch.setattr(gr, "run_detection", lambda *_: pytest.fail("something was run"))
    for name, value, allowed in (
        ("eval_noise_std", 0.01, r"0\.025 to 0\.1"),
        ("eval_noise_std", 0.2, r"0\.025 to 0\.1"),
        ("keep_probability", 0.1, r"0\.2 to 1"),
    ):
        given = replace(chapter, parameters=PARAMETERS | {name: value})
        with pytest.raises(InputError, match=rf"{name} = .*{allowed}"):
            gr.study(given)


def test_sets_table_has_sizes_and_rates(result):
    table = gr.sets_table(result)
    for name, size in {"design": 160, "calibration": 300, "test": 320}.items():
        cells = row(table, name)
        assert cells[0] == str(size)
        assert cells[3] == gr.percent(result.coverage(result.clean[name]))
    assert row(table, "calibration")[2].startswith("3% (")
    assert "95% (" in row(table, "test")[3]


def test_score_table_names_every_diagnostic_and_the_threshold(result):
    table = gr.score_table(result)
    for name, weight in zip(DIAGNOSTICS, result.guardrail.score.weight, strict=True):
        cells = row(table, name.replace("_", " "))
        assert cells[0] == DIAGNOSTICS[name]
        assert cells[3] == f"{weight:.2f}"
    assert "at rank 10 from below of 300" in table.data
    assert f"{result.guardrail.threshold.threshold:.3f}" in table.data
    assert "at most 5% false alarms with a probability of 90%" in table.data


def test_certainty_table_trades_false_alarms_for_power(result):
    table = gr.certainty_table(result)
    rows = [row(table, name) for name in ("90% (taken)", "99%", "99.9%")]
    assert [cells[:2] for cells in rows] == [["10", "3.3%"], ["7", "2.3%"], ["5", "1.7%"]]
    chances = [float(cells[2].rstrip("%")) for cells in rows]
    assert chances == sorted(chances)
    assert rows[0][3:6] == [
        gr.percent(result.power(part))
        for part in (result.clean["test"], result.control, result.fouled)
    ]
    caught = [float(cells[6].rstrip("%")) for cells in rows]
    assert caught == sorted(caught, reverse=True)
    assert caught[0] > caught[-1]


def test_chance_to_show_the_rate_is_that_of_repeated_calibrations():
    rng, rule = np.random.default_rng(0), cert.CertifiedGuardrail(0.05, 0.1)
    found = rule.fit(rng.random(300))
    rates = np.array([rule.fit(rng.random(300)).threshold for _ in range(4000)])
    at_most_seven = (rng.binomial(300, rates) <= 7).mean()
    assert gr.chance_to_show(found, 300) == pytest.approx(at_most_seven, abs=0.03)
    assert gr.chance_to_show(found, 50) == 0.0


def test_certainty_that_the_calibration_cases_cannot_give_is_left_out(result):
    few = result.clean["calibration"].take(slice(100))
    table = gr.certainty_table(replace(result, clean={**result.clean, "calibration": few}))
    assert "99%" in table.data
    assert "99.9%" not in table.data


def test_control_table_shows_alarms_on_controls(result, alarmed):
    table = gr.control_table(result)
    assert row(table, "clean")[0] == "320"
    assert row(table, "control")[0] == "200"
    assert row(table, "control")[1] == gr.percent(result.power(result.control))
    assert row(table, "fouled")[1].startswith("100% (")
    assert row(table, "reference control")[1] == row(table, "reference fouled")[1]
    assert float(row(table, "clean")[3]) == pytest.approx(90, abs=1)
    assert row(gr.control_table(alarmed), "control")[1].startswith("100% (")


def test_confounded_words_tell_how_much_survives(result, blind):
    words = gr.confounded_words(blind).data
    assert "AUROC of **1.00**" in words
    assert "alone it is **0.50**" in words
    assert "0% survives" in words
    assert "one simulator for both it is 0.50" in words
    kept = int(re.search(r"(\d+)% survives", gr.confounded_words(result).data)[1])
    assert kept > 80


def test_reference_table_tells_in_sample_from_held_out(result):
    table = gr.reference_table(result)
    inside = row(table, "reference's rule, fitted on these very cases")
    assert inside == ["100%", "0%"]
    clean, fouled = result.clean["test"].take(slice(200)), result.fouled
    held_out = row(table, "reference's rule, fitted on the design set")
    shares = [result.reference_flags(part).mean() for part in (fouled, clean)]
    assert [cell.split(" (")[0] for cell in held_out] == [f"{x:.0%}" for x in shares]
    assert row(table, "guardrail")[0].startswith("100% (")
    assert f"claims {result.reference.tpr:.0%} at {result.reference.fpr:.0%}" in table.data


def test_figures_show_what_they_say(result):
    scores = gr.scores_panel(result).axes[0]
    assert [label.get_text() for label in scores.get_xticklabels()][:3] == [
        "clean",
        "control",
        "fouled",
    ]
    bounds = [line for line in scores.lines if line.get_label().startswith("threshold")]
    assert bounds[0].get_ydata()[0] == result.guardrail.threshold.threshold
    left, right = gr.roc_panel(result).axes
    assert "fouled against control, 1.00" in left.get_legend_handles_labels()[1]
    assert len(right.lines) == 3
    risk = gr.risk_panel(result).axes[0]
    assert "best possible" in risk.get_legend_handles_labels()[1]


def test_ablation_has_a_row_a_mode_and_a_column_a_diagnostic(result):
    figure = gr.ablation_panel(result)
    assert isinstance(figure, Figure)
    axes = figure.axes[0]
    cells = np.asarray(axes.images[0].get_array())
    assert cells.shape == (len(MODES), len(DIAGNOSTICS) + 2)
    assert [label.get_text() for label in axes.get_yticklabels()] == gr.titles()
    shown = [label.get_text() for label in axes.get_xticklabels()]
    assert shown[-2:] == [gr.COMBINED, gr.UNKNOWN]
    single, visible = (cells[list(MODES).index(mode)] for mode in (SINGLE, VISIBLE))
    assert visible[-2] == result.equal_flags(result.tested[VISIBLE])[:, -1].mean()
    assert visible[-1] == result.unknown_flags(VISIBLE).mean()
    assert single[4] == single.max()
    assert visible[-2] == visible.max()


def test_claims_hold_on_the_plan(chapter, result):
    found = claims_of(chapter, result)
    assert len(found) == len(gr.claims(chapter, result))
    assert all(c.passed for c in found.values())
    assert found["certificate"].n == 200_000
    assert found["held-out-alarms"].n == 320
    assert found["held-out-alarms"].value == result.power(result.clean["test"]).value
    assert found["control-alarms"].n == 200
    assert found["joint-coverage"].value == 0.95
    assert found["criterion-2-one-voltammogram"].value == 1.0
    # All but the two that do not show and the one that a single diagnostic sees.
    assert found["beats-singles"].value == len(MODES) - 3
    assert found["beats-reliability"].value == len(MODES) - 2
    for key in ("beats-singles", "beats-reliability"):
        assert "Biofouling is among them" in found[key].note
    assert found["criterion-1-fouled-auroc"].value > 0.95
    assert found["beats-singles"].n == len(MODES)


def test_the_diagnostic_that_knows_faults_is_no_rival_and_stands_beside(chapter, result):
    """It alone sees a mode: the score beats all others there, unless the mode is unknown to it."""
    part, knowing = result.tested[SINGLE], list(DIAGNOSTICS).index(KNOWING)
    order = np.arange(len(DIAGNOSTICS))
    order[[4, knowing]] = knowing, 4
    own = replace(part, diagnostics=part.diagnostics[:, order])
    found = claims_of(chapter, replace(result, tested={**result.tested, SINGLE: own}))
    assert found["beats-singles"].value == len(MODES) - 2
    assert f"alone as well: on {len(MODES) - 3}." in found["beats-singles"].note
    assert found["beats-singles-unknown"].value == len(MODES) - 3


def test_a_guardrail_that_flags_controls_fails(chapter, alarmed):
    found = claims_of(chapter, alarmed)
    assert not found["control-alarms"].passed
    assert not found["path-auroc"].passed
    assert found["control-alarms"].value > 0.9
    assert found["path-auroc"].value > 0.95
    assert found["held-out-alarms"].passed


def test_fouling_that_does_not_show_fails_criterion_two(chapter, blind):
    found = claims_of(chapter, blind)
    assert not found["criterion-2-one-voltammogram"].passed
    assert found["criterion-2-one-voltammogram"].value < 0.1
    assert found["path-auroc"].passed
    assert not found["criterion-1-fouled-auroc"].passed
    for key in ("beats-singles", "beats-reliability"):
        assert "Biofouling is not among them" in found[key].note
    assert found["beats-singles"].value == len(MODES) - 4


def test_posteriors_too_narrow_fail_their_claim(chapter, result):
    clean = result.clean["test"]
    wrong = replace(clean, credibility=np.where(np.arange(len(clean)) % 5, 0.5, 0.0))
    found = claims_of(chapter, replace(result, clean=result.clean | {"test": wrong}))
    assert not found["joint-coverage"].passed
    assert found["joint-coverage"].value == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("n", "alpha", "delta"), [(100, 0.05, 0.1), (300, 0.05, 0.1), (60, 0.2, 0.05)]
)
def test_certificate_holds(n, alpha, delta):
    found = gr.certificate(n, alpha, delta)
    assert found.n == 200_000
    assert found.low >= 1 - delta
    k = cert.certified_rank(n, alpha, delta)
    assert found.contains(stats.beta.cdf(alpha, k, n + 1 - k))


def test_certificate_fails_for_a_wrong_rank(chapter, result, monkeypatch):
    """The plain quantile has rank alpha (n + 1); one rank too many is seen as well."""
    usual = cert.certified_rank
    for wrong in (
        lambda n, alpha, delta: round(alpha * (n + 1)),  # noqa: ARG005
        lambda n, alpha, delta: usual(n, alpha, delta) + 1,
    ):
        monkeypatch.setattr(cert, "certified_rank", wrong)
        assert gr.certificate(300, 0.05, 0.1).high < 0.9
        assert not claims_of(chapter, result)["certificate"].passed


def test_roc_runs_from_none_to_all(result):
    for faulty, clean in (
        (result.fouled, result.control),
        (result.control, result.clean["test"]),
        (result.tested[VISIBLE], result.clean["test"]),
    ):
        false_alarms, alarms = gr.roc(result, faulty, clean)
        assert (false_alarms[0], alarms[0]) == (0.0, 0.0)
        assert (false_alarms[-1], alarms[-1]) == (1.0, 1.0)
        assert (np.diff(false_alarms) >= 0).all()
        assert (np.diff(alarms) >= 0).all()
        area = np.trapezoid(alarms, false_alarms)
        scores = (-result.judge(part).score for part in (faulty, clean))
        assert area == pytest.approx(auroc(*scores))


def test_separation_pairs_the_same_cases(result):
    paired = gr.separation(result, result.fouled, result.control)
    same = gr.separation(result, result.control, result.control)
    assert paired.value == pytest.approx(1.0, abs=0.01)
    assert (same.low, same.value, same.high) == (0.5, 0.5, 0.5)
    other = gr.separation(result, result.control, result.clean["test"])
    assert other.low < 0.5 < other.high


def test_best_possible_order_has_the_lowest_risk(result):
    part = gr.everything(result)
    share, best = gr.risk_coverage(-part.wrong.astype(float), part.wrong)
    scores = {
        "combined": result.judge(part).score,
        "reliability": part.reliability_score,
        "chance": np.random.default_rng(0).random(len(part)),
        "worst": part.wrong.astype(float),
    }
    for name, score in scores.items():
        own, risk = gr.risk_coverage(score, part.wrong)
        np.testing.assert_array_equal(own, share)
        assert (risk >= best - 1e-12).all(), name
        assert risk[-1] == best[-1] == pytest.approx(part.wrong.mean())
    assert share[-1] == 1.0
    assert best[0] == 0.0
    right = int((~part.wrong).sum())
    assert best[right - 1] == 0.0
    assert best[right] > 0.0
    assert gr.risk_coverage(scores["combined"], part.wrong)[1].mean() < 0.7 * part.wrong.mean()


def test_risk_by_hand():
    share, risk = gr.risk_coverage(
        np.array([1.0, 3.0, 2.0, 0.0]), np.array([True, False, True, False])
    )
    np.testing.assert_allclose(share, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(risk, [0.0, 1 / 2, 2 / 3, 1 / 2])


def test_everything_is_clean_and_faulty_in_their_order(result):
    part = gr.everything(result)
    assert len(part) == 320 * (1 + len(MODES))
    assert (part.severity[:320] == 0).all()
    place = 320 * (1 + list(MODES).index(HARMLESS))
    np.testing.assert_array_equal(
        part.diagnostics[place : place + 320], result.tested[HARMLESS].diagnostics
    )


def test_guardrail_is_saved_with_its_provenance(chapter, result):
    spots = (BlindSpot("a film", (0.1, 0.5), "of the area", 0.2),)
    result = replace(result, guardrail=replace(result.guardrail, undetectable=spots))
    words = gr.save_guardrail(chapter, result).data
    assert "may hide 1 of the" in words
    assert "- a film at 0.1, 0.5 of the area" in words
    assert "claims" not in load_payload(chapter.out_dir / gr.GUARDRAIL_FILE)
    path = chapter.out_dir / gr.GUARDRAIL_FILE
    assert f"{path.stat().st_size} bytes" in words
    verdict = load_guardrail(path).judge(result.fouled.diagnostics)
    np.testing.assert_array_equal(verdict.flagged, result.judge(result.fouled).flagged)
    assert verdict.undetectable == spots
    assert json.loads(path.read_text())["provenance"]["seed"] == 1


def test_payload_fits_the_schema(chapter, result):
    claims = gr.claims(chapter, result)
    chapter.save("guardrail_report.json", gr.payload(result), claims)
    saved = load_payload(chapter.out_dir / "guardrail_report.json")
    assert len(saved["claims"]) == len(claims)
    cases = saved["case_sets"]
    assert {name: len(own) for name, own in cases.items()} == {
        "design": 160,
        "calibration": 300,
        "test": 320,
    }
    assert len(set(chain.from_iterable(cases.values()))) == 780
    assert saved["threshold"]["rank"] == 10
    assert saved["diagnostics"] == list(DIAGNOSTICS)
    assert list(saved["ablation"]) == list(MODES)
    splits = saved["splits"]
    assert set(splits) >= {"design", "calibration", "test", "clean", "control", "fouled"}
    assert np.mean(splits["fouled"]["flagged"]) == 1.0
    assert len(splits["control"]["diagnostics"]) == SETTINGS.n_control
