"""Protocols: their cost, coverage that is carried from step to step, and what is recorded."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from ecguard.case_sets import CaseSet, CaseSetSettings, draw_case_sets
from ecguard.errors import InputError
from ecguard.fouling import Fouling
from ecguard.protocol import (
    CANDIDATES,
    DEFAULT,
    Averaging,
    Own,
    Protocol,
    Scan,
    Tone,
    currents,
    observe,
)
from ecguard.protocol.step import SAMPLES
from ecguard.simulator import Waveform, simulate_batch
from ecguard.stress import Biofouling
from ecguard.waveforms import concatenate, hold, refine

N, NOISE_STD = 4, 0.05
TWICE = Protocol("twice", "The same twice", (Own(), Own()))
ABSENT = dict.fromkeys(("k_ads", "k_des", "k_clean", "k_reaction"), 0.0)


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    settings = CaseSetSettings(n_design=N, n_calibration=2, n_test=2)
    return draw_case_sets(settings)["design"]


def fouling(severity: float, **changes: float) -> Fouling:
    """Of N electrodes alike."""
    usual = Biofouling().fouling(np.full(N, severity))
    changed = {name: np.full(N, value) for name, value in changes.items()}
    leaves = {name: np.asarray(getattr(usual, name)) for name in vars(usual)}
    return Fouling(**(leaves | changed))


@pytest.mark.parametrize(
    "steps",
    [(), (Scan(),), (Tone(), Own()), (Own(rest_s=1.0), Own()), (Own(averaging=Averaging(2.0)),)],
    ids=str,
)
def test_a_protocol_starts_with_the_own_voltammogram(steps: tuple[Any, ...]) -> None:
    with pytest.raises(InputError) as raised:
        Protocol("wrong", "Starts with something else", steps)
    assert raised.value.name == "steps"


def test_rests_and_durations_add_up(cases: CaseSet) -> None:
    waveform = cases.experiment.waveform
    own = waveform.t_s[:, -1] - waveform.t_s[:, 0]
    steps = (Own(), Own(rest_s=30.0), Scan(rate_factor=0.5, rest_s=7.0, averaging=Averaging(0.5)))
    protocol = Protocol("three", "Three steps", steps)
    np.testing.assert_allclose(DEFAULT.cost_s(waveform), own)
    np.testing.assert_allclose(protocol.cost_s(waveform), 2 * own + 3 * own + 37.0, rtol=1e-6)
    assert [rest.duration_s for rest in protocol.rests] == [0.0, 30.0, 7.0]


def test_candidates_are_many_and_named() -> None:
    assert len(CANDIDATES) >= 10
    assert CANDIDATES["default"] is DEFAULT
    for name, protocol in CANDIDATES.items():
        assert protocol.name == name
    for texts in ([p.title for p in CANDIDATES.values()], [p.steps for p in CANDIDATES.values()]):
        assert len(set(texts)) == len(CANDIDATES)


def test_clean_currents_are_those_of_the_cases(cases: CaseSet) -> None:
    (found,) = currents(DEFAULT, cases, None)
    np.testing.assert_allclose(found, cases.group.current, atol=2e-2 * NOISE_STD)


def test_no_fouling_is_fouling_of_severity_0(cases: CaseSet) -> None:
    clean, bare = currents(TWICE, cases, None), currents(TWICE, cases, fouling(0.0))
    for one, other in zip(clean, bare, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3 * NOISE_STD)
    np.testing.assert_array_equal(clean[0], clean[1])


def test_coverage_is_carried_along(cases: CaseSet) -> None:
    first, second = currents(TWICE, cases, fouling(1.0))
    assert (np.abs(second - first).max(axis=1) > 0.01 * NOISE_STD).all()


def test_coverage_that_cannot_change_leaves_both_steps_the_same(cases: CaseSet) -> None:
    first, second = currents(TWICE, cases, fouling(1.0, **ABSENT))
    np.testing.assert_allclose(first, second, atol=1e-3 * NOISE_STD)
    (clean,) = currents(DEFAULT, cases, None)
    assert (np.abs(first - clean).max(axis=1) > NOISE_STD).all()


def test_cleaning_brings_the_electrode_nearer_to_a_clean_one(cases: CaseSet) -> None:
    clean = currents(DEFAULT, cases, None)[0]
    off = []
    for cleaning in (0.0, 1.0):
        steps = (Own(), Own(rest_s=60.0, cleaning=cleaning))
        first, second = currents(Protocol("rest", "After a rest", steps), cases, fouling(1.0))
        off.append(np.square(second - clean).mean(axis=1))
    assert (off[1] < 0.8 * off[0]).all()
    assert (off[1] < 0.8 * np.square(first - clean).mean(axis=1)).all()


def zeros(protocol: Protocol, cases: CaseSet) -> list[np.ndarray]:
    """Currents of none."""
    waveforms = protocol.waveforms(cases.experiment.waveform)
    return [np.zeros(waveform.t_s.shape, np.float32) for waveform in waveforms]


@pytest.mark.parametrize("name", ["default", "repeat", "more-samples", "tone-5000"])
def test_noise_and_mask_depend_on_the_case_alone(cases: CaseSet, name: str) -> None:
    protocol, rows = CANDIDATES[name], np.array([3, 1])
    whole = observe(protocol, cases, zeros(protocol, cases))
    part = observe(protocol, cases.take(rows), zeros(protocol, cases.take(rows)))
    for one, other in zip(whole, part, strict=True):
        for leaf, taken in zip(one, other, strict=True):
            np.testing.assert_array_equal(np.asarray(leaf)[rows], taken)


def test_noise_and_mask_of_another_draw_are_others(cases: CaseSet) -> None:
    """Else all studies would share those of the steps that were added."""
    still = [np.zeros((N, SAMPLES), np.float32)] * 2
    one, other = (
        observe(CANDIDATES["pulse"], replace(cases, seed=seed), still)[1] for seed in (1, 2)
    )
    assert (one.current != other.current).all()
    assert (one.observed != other.observed).any()


def test_the_first_step_is_seen_as_in_the_case(cases: CaseSet) -> None:
    seen = cases.group.observation
    (first,) = observe(DEFAULT, cases, [cases.group.current])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), first, seen)
    again, other = observe(TWICE, cases, [cases.group.current] * 2)
    np.testing.assert_array_equal(again.current, first.current)
    assert (np.abs(other.current - again.current).std(axis=1) > NOISE_STD / 2).all()
    assert not (other.observed == again.observed).all(axis=1).any()


@pytest.mark.parametrize("name", ["backward", "tone-10", "multi-sine", "pulse"])
def test_a_quiet_time_is_never_recorded(cases: CaseSet, name: str) -> None:
    protocol = CANDIDATES[name]
    step = observe(protocol, cases, zeros(protocol, cases))[1]
    n = step.observed.shape[1] - SAMPLES + 1
    assert n > 0
    assert not step.observed[:, : n - 1].any()
    assert step.observed[:, n - 1 :].mean() == pytest.approx(0.4, abs=0.07)
    spread = (step.current / step.noise_std[:, None]).std()
    assert spread == pytest.approx(1.0, abs=0.1)


def test_all_samples_are_kept_where_asked_for(cases: CaseSet) -> None:
    (step,) = observe(CANDIDATES["more-samples"], cases, [cases.group.current])
    assert step.observed.all()
    np.testing.assert_allclose(step.current, cases.group.observation.current, atol=1e-5)


def test_noise_is_as_wide_as_its_std_says(cases: CaseSet) -> None:
    protocol = Protocol("faster", "Faster", (Own(), Scan(rate_factor=4.0)))
    first, step = observe(protocol, cases, zeros(protocol, cases))
    np.testing.assert_allclose(first.noise_std, NOISE_STD, rtol=1e-5)
    np.testing.assert_allclose(step.noise_std, 2 * NOISE_STD, rtol=1e-5)
    assert step.current.std() == pytest.approx(2 * NOISE_STD, rel=0.1)


def test_samples_near_the_tip_are_about_as_many(cases: CaseSet) -> None:
    (usual,), (near,) = (
        observe(own, cases, [cases.group.current]) for own in (DEFAULT, CANDIDATES["tip-samples"])
    )
    assert near.observed.mean() == pytest.approx(usual.observed.mean(), rel=0.15)
    places = np.flatnonzero(near.observed.any(axis=0))
    assert places.min() >= 64
    assert places.max() < 192
    np.testing.assert_array_equal(near.current, usual.current)


@pytest.mark.parametrize("severity", [None, 1.0])
@pytest.mark.parametrize("name", ["tone-5000", "tone-1000", "multi-sine", "impedance", "pulse"])
def test_an_average_is_the_record_that_stands_for_all(
    cases: CaseSet, name: str, severity: float | None
) -> None:
    """Three records in a row, with their gaps, are alike: the electrode forgets in between."""
    step = CANDIDATES[name].steps[1]
    first, cell = cases.experiment.waveform, cases.experiment.cell
    whole, record = step.waveform(first), step.recorded(first)
    gap = hold(record.E_V[:, 0], step.averaging.gap * record.t_s[:, -1], 64)
    train = concatenate(whole, gap, record, gap, record)
    film = None if severity is None else fouling(severity)
    trace = simulate_batch(refine(train, 4), cases.experiment.couples, cell, film)
    found = np.asarray(trace.current_density_mA_cm2)[:, ::4]
    n, length = whole.t_s.shape[1], record.t_s.shape[1]
    apart = found[:, n - length + 1 : n] - found[:, 1 - length :]
    noise = NOISE_STD * step.noise_factor(first)
    assert (np.sqrt(np.square(apart).mean(axis=1)) < 0.1 * noise).all()


@pytest.mark.parametrize("severity", [None, 1.0])
def test_the_current_at_rest_has_its_mean_where_the_record_is(
    cases: CaseSet, severity: float | None
) -> None:
    """Over the time of all records of a probe, at its first potential."""
    step = CANDIDATES["tone-5000"].steps[1]
    first, often = cases.experiment.waveform, step.averaging
    once = step.recorded(first).t_s[0, -1]
    start, end, place = (once * own for own in (often.quiet, often.lasting - 1, often.held))
    times = np.concatenate([[0.0], np.geomspace(1e-4, start, 80), np.linspace(start, end, 200)[1:]])
    rest = Waveform(
        np.broadcast_to(times, (N, len(times))),
        np.broadcast_to(first.E_V[:, :1], (N, len(times))),
    )
    film = None if severity is None else fouling(severity)
    trace = simulate_batch(rest, cases.experiment.couples, cases.experiment.cell, film)
    current = np.asarray(trace.current_density_mA_cm2, np.float64)
    recorded = times >= start
    mean = np.trapezoid(current[:, recorded], times[recorded], axis=1) / (end - start)
    for k in range(N):
        at = np.interp(place, times, current[k])
        assert abs(mean[k] - at) < 0.02 * NOISE_STD
        assert abs(current[k, -1] - current[k, recorded][0]) > 0.05 * NOISE_STD


def test_a_cleaned_protocol_does_its_last_step_again_after_cleaning(cases: CaseSet) -> None:
    usual = CANDIDATES["pulse"]
    found = usual.cleaned()
    assert found.name == "pulse-cleaned"
    assert found.title == f"{usual.title}, 60 s of cleaning, and that again"
    assert found.steps[:2] == usual.steps
    assert found.steps[2:] == (replace(usual.steps[1], rest_s=60.0, cleaning=1.0),)
    first, _, last = found.rests
    assert (first.duration_s, first.cleaning) == (0.0, 0.0)
    assert (last.duration_s, last.cleaning) == (60.0, 1.0)
    waveform = cases.experiment.waveform
    # s: 606 pulses of 3 ms with gaps of 30 ms, after 5 s
    lasting = 5.0 + 605 * 0.033 + 0.003
    np.testing.assert_allclose(
        found.cost_s(waveform) - usual.cost_s(waveform), 60 + lasting, rtol=1e-6
    )


def test_cleaning_may_take_another_time() -> None:
    found = DEFAULT.cleaned(rest_s=5.0)
    assert found.steps == (Own(), Own(rest_s=5.0, cleaning=1.0))
    assert "5 s of cleaning" in found.title
