"""Continuous design: its gradient is right, and the way to a design goes up and stays in bounds."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ecguard.case_sets import CaseSet, CaseSetSettings, draw_case_sets
from ecguard.errors import InputError
from ecguard.posterior import laplace
from ecguard.protocol import CANDIDATES, DEFAULT, Protocol, tuning
from ecguard.protocol.tuning import Tuned, _criterion, _Side, tune

N, SEVERITY = 3, 0.1
USUAL = CANDIDATES["pulse"]
TONE = CANDIDATES["tone-1000"]
OTHERS = draw_case_sets(CaseSetSettings(n_design=2, n_calibration=2, n_test=N, seed=7))["test"]
PLACES = {"start": (0.0, 0.0), "elsewhere": (0.5, -0.3)}


@pytest.fixture(scope="module")
def cases() -> Iterator[CaseSet]:
    """Few electrodes, in batches of as many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laplace, "BLOCK", N)
        yield draw_case_sets(CaseSetSettings(n_design=N, n_calibration=2, n_test=2))["design"]


@pytest.fixture(scope="module")
def sides(cases: CaseSet) -> dict[str, list[_Side]]:
    return {own.name: [_Side.of(own, cases, SEVERITY)] for own in (USUAL, TONE)}


@pytest.fixture(scope="module")
def tuned(cases: CaseSet) -> Tuned:
    return tune(USUAL, cases, (0.1, 0.35), most_pace=3.0, most_size=1.5, rounds=4, others=OTHERS)


@pytest.mark.parametrize("name", [USUAL.name, TONE.name])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_slope_is_that_of_differences(
    sides: dict[str, list[_Side]], name: str, place: tuple[float, float]
) -> None:
    own, h = sides[name], 0.02
    _, slope = _criterion(own, np.array(place))
    for k in range(2):
        up, down = (_criterion(own, place + sign * h * np.eye(2)[k])[0] for sign in (1, -1))
        assert slope[k] == pytest.approx((up - down) / (2 * h), rel=0.04)
        assert abs(slope[k]) > 0.5


def test_a_design_is_rated_as_the_protocol_that_has_it(cases: CaseSet) -> None:
    first, last = USUAL.steps[0], replace(USUAL.steps[1], keep=1.0)  # one mask for both
    usual, scaled = (replace(USUAL, steps=(first, own)) for own in (last, last.scaled(2.0, 1.5)))
    wanted, _ = _criterion([_Side.of(scaled, cases, SEVERITY)], np.zeros(2))
    found, _ = _criterion([_Side.of(usual, cases, SEVERITY)], np.log([2.0, 1.5]))
    # a quiet time is shortened with its step here, and is not in the protocol
    assert found == pytest.approx(wanted, abs=0.05)


def test_the_criterion_is_a_mean_over_electrodes_and_severities(
    cases: CaseSet, tuned: Tuned
) -> None:
    values = [_Side.of(USUAL, cases, severity).at(np.zeros(2))[0] for severity in (0.1, 0.35)]
    assert np.shape(values) == (2, N)
    assert tuned.criterion[0] == pytest.approx(np.log(values).mean(), abs=0.01)


def test_the_way_goes_up_within_its_bounds(tuned: Tuned) -> None:
    rounds = len(tuned.criterion)
    assert 1 < rounds <= 5
    assert tuned.pace.shape == tuned.size.shape == (rounds,)
    assert tuned.slope.shape == (rounds, 2)
    assert tuned.pace[0] == tuned.size[0] == 1.0
    assert (np.diff(tuned.criterion) > 0).all()
    assert tuned.criterion[-1] > tuned.criterion[0] + 0.5
    assert_within(tuned, 3.0, 1.5)


def test_the_tuned_protocol_has_the_best_design_in_its_last_step(tuned: Tuned) -> None:
    found = tuned.protocol(USUAL)
    assert found.name == "pulse-tuned"
    assert found.title == f"{USUAL.title}, tuned"
    assert found.steps[:-1] == USUAL.steps[:-1]
    assert found.steps[-1] == USUAL.steps[-1].scaled(tuned.pace[-1], tuned.size[-1])


def test_other_electrodes_confirm_the_design(tuned: Tuned) -> None:
    """Their criterion is that of a way of no rounds, and rises as that of the chosen ones does."""
    own = tune(USUAL, OTHERS, (0.1, 0.35), rounds=0)
    assert tuned.confirmed[0] == pytest.approx(own.criterion[0], abs=1e-6)
    assert tuned.confirmed[0] != pytest.approx(tuned.criterion[0], abs=1e-3)
    assert tuned.confirmed[1] > tuned.confirmed[0] + 0.5
    assert np.isnan(own.confirmed).all()


def assert_within(tuned: Tuned, most_pace: float, most_size: float) -> None:
    for values, most in ((tuned.pace, most_pace), (tuned.size, most_size)):
        assert (np.abs(np.log(values)) <= np.log(most) + 1e-9).all()


# A hill whose top is known takes the place of the criterion.

Climb = Callable[..., Tuned]


@pytest.fixture
def climb(monkeypatch: pytest.MonkeyPatch) -> Climb:
    """Tunes a protocol on a hill with its top at a pace and a size."""
    monkeypatch.setattr(_Side, "of", lambda *_: None)

    def one(protocol: Protocol, pace: float, size: float, **most: Any) -> Tuned:
        top, steepness = np.log([pace, size]), np.array([3.0, 1.0])

        def hill(_: Any, place: np.ndarray) -> tuple[float, np.ndarray]:
            apart = place - top
            return float(-(steepness * apart**2).sum()), -2 * steepness * apart

        monkeypatch.setattr(tuning, "_criterion", hill)
        return tune(protocol, None, (0.1, 1.0), **most)

    return one


@pytest.mark.parametrize(("pace", "size"), [(1.3, 1.4), (0.4, 1.2), (5.0, 0.6), (1.0, 1.0)])
def test_a_top_within_the_bounds_is_found(climb: Climb, pace: float, size: float) -> None:
    found = climb(USUAL, pace, size, rounds=100)
    assert (np.diff(found.criterion) > 0).all()
    assert_within(found, 10.0, 2.0)
    assert found.criterion[-1] > -0.01
    np.testing.assert_allclose([found.pace[-1], found.size[-1]], [pace, size], rtol=0.1)


@pytest.mark.parametrize(("pace", "size"), [(100.0, 9.0), (0.01, 0.1), (100.0, 0.01)])
def test_a_top_beyond_the_bounds_leads_to_their_corner(
    climb: Climb, pace: float, size: float
) -> None:
    found = climb(USUAL, pace, size, most_pace=3.0, most_size=1.5)
    assert (np.diff(found.criterion) > 0).all()
    assert_within(found, 3.0, 1.5)
    wanted = [3.0 ** np.sign(np.log(pace)), 1.5 ** np.sign(np.log(size))]
    np.testing.assert_allclose([found.pace[-1], found.size[-1]], wanted, rtol=1e-9)


def test_a_scan_keeps_its_size_where_that_is_asked_for(climb: Climb) -> None:
    start = CANDIDATES["fast-scan"]
    found = climb(start, 2.5, 1.7, most_size=1.0, rounds=100)
    assert (found.size == 1.0).all()
    assert found.pace[-1] == pytest.approx(2.5, rel=0.05)
    assert found.protocol(start).steps[-1] == start.steps[-1].scaled(found.pace[-1], 1.0)


def test_nothing_moves_where_both_are_fixed(climb: Climb) -> None:
    found = climb(USUAL, 5.0, 2.0, most_pace=1.0, most_size=1.0)
    assert len(found.criterion) == 1
    assert found.protocol(USUAL).steps == USUAL.steps


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_rounds_bound_the_way(climb: Climb, rounds: int) -> None:
    assert len(climb(USUAL, 1e3, 1.0, most_pace=1e4, rounds=rounds).criterion) == rounds + 1


@pytest.mark.parametrize("name", ["most_pace", "most_size"])
@pytest.mark.parametrize("value", [0.99, 0.0, -2.0, float("nan")])
def test_a_factor_below_1_is_refused(cases: CaseSet, name: str, value: float) -> None:
    with pytest.raises(InputError, match=str(value)) as raised:
        tune(USUAL, cases, (0.1,), **{name: value})
    assert raised.value.name == name


@pytest.mark.parametrize("protocol", [DEFAULT, CANDIDATES["repeat"], CANDIDATES["multi-sine"]])
def test_a_last_step_that_cannot_be_scaled_is_refused(cases: CaseSet, protocol: Protocol) -> None:
    with pytest.raises(InputError) as raised:
        tune(protocol, cases, (0.1,))
    assert raised.value.name == "step"


def test_the_window_of_a_scan_cannot_grow(cases: CaseSet) -> None:
    with pytest.raises(InputError) as raised:
        tune(CANDIDATES["fast-scan"], cases, (0.1,), most_size=2.0)
    assert raised.value.name == "size"
