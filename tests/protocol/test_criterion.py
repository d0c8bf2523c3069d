"""What a protocol is worth: nothing is left of clean electrodes, more samples tell more."""

from dataclasses import replace

import numpy as np
import pytest

from ecguard.case_sets import CaseSet, CaseSetSettings, draw_case_sets
from ecguard.protocol import CANDIDATES, DEFAULT, Protocol, Worth, refit, worth

N, SEVERITIES = 4, (0.0, 1.0)


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    settings = CaseSetSettings(n_design=N, n_calibration=2, n_test=2)
    return draw_case_sets(settings)["design"]


@pytest.fixture(scope="module")
def worths(cases: CaseSet) -> dict[str, Worth]:
    return {
        name: worth(CANDIDATES[name], cases, SEVERITIES)
        for name in ("default", "repeat", "tone-5000")
    }


def test_a_clean_electrode_leaves_nothing(worths: dict[str, Worth]) -> None:
    for found in worths.values():
        assert found.discrepancy.shape == found.power.shape == (2, N)
        assert (found.discrepancy[0] >= 0).all()
        assert (found.discrepancy[0] < 1).all()
        np.testing.assert_allclose(found.power[0], 0.05, atol=0.01)


def test_a_fouled_electrode_leaves_a_misfit(worths: dict[str, Worth]) -> None:
    for found in worths.values():
        assert (found.discrepancy[1] > 10 * found.discrepancy[0]).all()
        assert (found.power[1] > found.power[0] + 0.01).all()
        assert (found.power[1] <= 1).all()
    assert (worths["tone-5000"].power[1] > 0.99).all()


def test_a_fast_tone_tells_fouling_better(worths: dict[str, Worth]) -> None:
    tone, default = worths["tone-5000"], worths["default"]
    assert (tone.discrepancy[1] > 2 * default.discrepancy[1]).all()
    assert (tone.power[1] >= default.power[1]).all()


@pytest.mark.parametrize("name", ["repeat", "tone-5000"])
def test_a_second_step_tells_no_less_and_costs_more(worths: dict[str, Worth], name: str) -> None:
    more, default = worths[name], worths["default"]
    assert (more.information >= default.information - 1e-3).all()
    assert (more.cost_s > default.cost_s).all()


def test_the_same_once_more_gains_a_bounded_amount(worths: dict[str, Worth]) -> None:
    gain = worths["repeat"].information - worths["default"].information
    assert (gain > 0.5).all()
    # as many samples again: ln 2 / 2 for each of 7, more where those of the first step lie badly
    assert (gain < 7 * np.log(2)).all()


@pytest.mark.parametrize("protocol", [DEFAULT, CANDIDATES["pulse"]], ids=lambda own: own.name)
def test_a_refit_is_told_less_than_of_a_clean_electrode(cases: CaseSet, protocol: Protocol) -> None:
    clean = worth(protocol.cleaned(), cases, (0.0,)).information
    fouled = refit(protocol, cases).information
    assert fouled.shape == (N,)
    assert (fouled > 5).all()
    assert (fouled < clean).all()


def test_cleaning_tells_a_refit_more_than_a_repetition(
    cases: CaseSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def repeated(own: Protocol) -> Protocol:
        last = replace(own.steps[-1], rest_s=60.0)
        return Protocol(own.name, own.title, (*own.steps, last))

    cleaned = refit(CANDIDATES["pulse"], cases).information
    monkeypatch.setattr(Protocol, "cleaned", repeated)
    found = refit(CANDIDATES["pulse"], cases).information
    assert cleaned.mean() > found.mean() + 0.3
