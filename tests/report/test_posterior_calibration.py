"""Tables, figures and claims of the chapter on calibration."""

import time
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from ecguard.calibration import PARAMETERS
from ecguard.engines import CORRECTED, EXACT
from ecguard.posterior.unknowns import prior_std
from ecguard.report import posterior_calibration as pc
from ecguard.report.chapter import Chapter
from ecguard.report.profiles import profile_named

from .toy_calibration import result_of


@pytest.fixture(scope="module")
def result():
    return result_of()


@pytest.fixture
def chapter(tmp_path):
    return Chapter(
        name="posterior-calibration",
        parameters={},
        profile=profile_named("smoke"),
        seed=1,
        out_dir=tmp_path,
        started=time.perf_counter(),
    )


def test_tables_name_every_engine(result):
    for name in ("exact", "corrected", "amortised", "cross-entropy, reference"):
        assert name in pc.engine_table(result).data
        assert name in pc.parameter_table(result).data
    assert "TARP" in pc.calibration_table(result).data


def test_finding_is_computed(result):
    words = pc.finding(result).data
    assert "lowest log gamma" in words
    assert "nan" not in words


def test_finding_blames_the_traces_only_where_the_engines_agree(result):
    assert "what one trace cannot tell" in pc.finding(result).data
    exact = result.engines[EXACT]
    worse = replace(exact, mean=result.truth + 2 * (exact.mean - result.truth))
    apart = replace(result, engines=result.engines | {EXACT: worse})
    words = pc.finding(apart).data
    assert "The difference is an engine's own." in words
    assert "what one trace cannot tell" not in words


def test_finding_tells_the_worst_coverage_and_what_is_out_of_reach():
    words = pc.finding(result_of(width=0.6, unreached=24)).data
    assert "10% (7% to 15%) of the truths are out of the exact engine's reach" in words
    parameter, found = pc._farthest(result_of(width=0.6).coverage(CORRECTED))
    assert f"{found.value:.0%} (corrected engine, {parameter}, {found.n} cases)" in words


def test_numbers_of_cases_are_those_that_have_the_parameter(chapter, result):
    """Of 240 cases 80 have a second couple."""
    for name in (CORRECTED, EXACT):
        (claim,) = (c for c in pc.claims(chapter, result) if c.id.endswith(f"sbc-{name}"))
        second = claim.note.split(";")[0].endswith("2")
        assert claim.n == (80 if second else 240)
    assert {pc._cases(result, EXACT, name) for name in ("E0 1", "E0 2")} == {80, 240}
    words = pc.power_words(result).data
    for n in (80, 240):
        assert f"{pc.power(n):.0%} ({n} cases)" in words


def test_figures_are_drawn(result):
    for figure in (
        pc.ranks_panels(result, CORRECTED),
        pc.coverage_panel(result),
        pc.contraction_panel(result),
        pc.unit_panel(result),
    ):
        assert isinstance(figure, Figure)


def test_narrow_posteriors_fail_their_claims(chapter, result):
    good = {c.id: c for c in pc.claims(chapter, result)}
    bad = {c.id: c for c in pc.claims(chapter, result_of(width=0.6))}
    for key in ("sbc-corrected", "coverage-corrected", "tarp-corrected"):
        assert not bad[f"posterior-calibration.{key}"].passed
    assert good["posterior-calibration.tarp-corrected"].passed
    assert good["posterior-calibration.efficiency"].value == pytest.approx(0.2)


def test_parameters_tested_together_pass_if_calibrated_and_fail_if_narrow(chapter, result):
    def together(of):
        found = (c for c in pc.claims(chapter, of) if c.id.endswith("-together"))
        return {c.id.removeprefix("posterior-calibration."): c for c in found}

    assert all(c.passed for c in together(result).values())
    bad = together(result_of(width=0.6))
    for key in ("sbc-corrected-together", "coverage-corrected-together"):
        assert not bad[key].passed
    assert "E0 1" in bad["coverage-corrected-together"].note
    assert bad["sbc-exact-together"].passed
    assert bad["coverage-exact-together"].passed


def test_one_parameter_of_sixteen_off_by_chance_is_not_held_against_all(result):
    """Its own test rejects it, that of all together does not."""
    found = result.engines[CORRECTED]
    draws = found.draws.copy()
    k = PARAMETERS.index("E0 1")
    draws[:, :, k] += 0.25 * 0.3 * prior_std(2)[k]
    shifted = replace(result, engines=result.engines | {CORRECTED: replace(found, draws=draws)})
    assert (
        shifted.log_gamma(CORRECTED)["E0 1"] < 0 < shifted.log_gamma(CORRECTED, 0.05 / 16)["E0 1"]
    )


def test_chance_that_calibrated_posteriors_keep_to_the_band():
    draws = np.random.default_rng(0).binomial([[60, 24]], 0.95, (100_000, 2)) / [60, 24]
    inside = ((draws >= 0.927) & (draws <= 0.967)).all(axis=1).mean()
    assert pc._chance([60, 24]) == pytest.approx(inside, abs=0.005)


def test_truths_out_of_reach_are_counted_and_fail_their_claim(chapter):
    some = result_of(unreached=24)
    assert "10% (7" in pc.engine_table(some).data
    for result, value in ((result_of(), 0.0), (some, 0.1)):
        (claim,) = (c for c in pc.claims(chapter, result) if c.id.endswith("reach"))
        assert (claim.value, claim.n) == (value, len(result.truth))
        assert claim.passed == (value == 0)


def test_a_truth_that_weighs_nothing_is_out_of_reach():
    result = result_of()
    found = result.engines[EXACT]
    result.engines[EXACT] = replace(found, lead=np.where(np.arange(len(found.lead)) < 3, -1e30, 0))
    assert result.unreached(EXACT).value == 3 / len(found.lead)


def test_power_of_the_test_grows_with_the_cases():
    assert pc.power(400) > pc.power(20)
    assert pc.power(400) > 0.9


def test_speed_claims_have_bounds(chapter, result):
    assert [c.bound["value"] for c in pc.speed_claims(chapter, result)] == [1.0, 0.05]
