"""Recordings of a protocol's steps, held against what was to be applied."""

from dataclasses import replace

import numpy as np
import pytest

from ecguard.case_sets import CaseSet, CaseSetSettings, draw_case_sets
from ecguard.errors import InputError
from ecguard.posterior.likelihood import Observation
from ecguard.protocol import CANDIDATES, Own, Protocol, Tone, currents, observe
from ecguard.protocol.measured import in_words, observe_recordings, protocol_of, to_apply
from ecguard.recording import Recording

N, NOISE = 3, 0.05
PULSE, SCAN = CANDIDATES["pulse"], CANDIDATES["fast-scan"]


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return draw_case_sets(CaseSetSettings(n_design=N, n_calibration=2, n_test=2))["design"]


@pytest.fixture(scope="module", params=[PULSE, SCAN], ids=lambda own: own.name)
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return request.param


@pytest.fixture(scope="module")
def observed(protocol: Protocol, cases: CaseSet) -> tuple[Observation, ...]:
    """What a simulated bench shows."""
    return observe(protocol, cases, currents(protocol, cases, None))


@pytest.fixture
def recordings(protocol: Protocol, observed: tuple[Observation, ...]) -> list[list[Recording]]:
    """The same, as files would hold it: without quiet times, from time 0."""

    def of(step: Observation, quiet: int, row: int) -> Recording:
        time = np.asarray(step.time_s, float)[row, quiet:]
        potential, current = (leaf[row, quiet:].astype(float) for leaf in (step.E_V, step.current))
        return Recording(time - time[0], potential, current)

    pairs = [(step, own.n_quiet) for step, own in zip(observed, protocol.steps, strict=True)]
    return [[of(step, quiet, row) for step, quiet in pairs] for row in range(N)]


def test_recordings_come_back_as_they_were_observed(
    protocol: Protocol, observed: tuple[Observation, ...], recordings: list[list[Recording]]
) -> None:
    found = observe_recordings(protocol, recordings, NOISE)
    assert protocol.steps[1].n_quiet > 5
    for own, wanted, step in zip(found, observed, protocol.steps, strict=True):
        np.testing.assert_allclose(own.time_s, wanted.time_s, rtol=1e-5)
        np.testing.assert_allclose(own.E_V, wanted.E_V, atol=1e-4)
        np.testing.assert_allclose(own.noise_std, wanted.noise_std, rtol=1e-4)
        recorded = np.s_[:, step.n_quiet :]
        np.testing.assert_array_equal(own.current[recorded], wanted.current[recorded])
        assert not own.observed[:, : step.n_quiet].any()
    assert found[0].observed.all()


def test_as_many_samples_are_shown_as_trials_show(
    protocol: Protocol, recordings: list[list[Recording]]
) -> None:
    first, second = observe_recordings(protocol, recordings, NOISE, share=0.25)
    assert (first.observed.sum(axis=1) == 64).all()
    assert (second.observed.sum(axis=1) == round(0.4 * 256)).all()
    assert (first.observed[0] != first.observed[1]).any()
    again = observe_recordings(protocol, recordings, NOISE, share=0.25)
    other = observe_recordings(protocol, recordings, NOISE, share=0.25, seed=1)
    np.testing.assert_array_equal(again[1].observed, second.observed)
    assert (other[1].observed != second.observed).any()
    alone = observe_recordings(protocol, recordings[:2], NOISE, share=0.25)
    np.testing.assert_array_equal(alone[1].observed, second.observed[:2])


def test_a_first_step_that_shows_its_own_share_keeps_it(
    recordings: list[list[Recording]],
) -> None:
    tip = CANDIDATES["tip-samples"]
    (found,) = observe_recordings(tip, [own[:1] for own in recordings], NOISE, share=0.1)
    places = np.flatnonzero(found.observed[0])
    assert len(places) == pytest.approx(0.8 * 128, abs=2)
    assert places.min() >= 63
    assert places.max() <= 192


def test_what_is_to_be_applied_is_what_is_expected(
    protocol: Protocol, recordings: list[list[Recording]]
) -> None:
    for own in recordings:
        (applied,) = to_apply(protocol, own[0])
        np.testing.assert_allclose(applied.E_V, own[1].E_V, atol=1e-4)
        np.testing.assert_allclose(applied.t_s, own[1].t_s, rtol=1e-4, atol=1e-9)
        assert np.isnan(applied.current).all()


def test_finer_recordings_of_a_scan_come_to_its_samples() -> None:
    fine = np.linspace(0.0, 1.0, 1021)
    first = _triangle(2.0, fine).at(256)
    (applied,) = to_apply(SCAN, first)
    scan = _triangle(applied.t_s[-1], fine)
    _, second = observe_recordings(SCAN, [[first, scan]], NOISE)
    np.testing.assert_allclose(second.current[0, -256:], scan.at(256).current, rtol=1e-6)
    assert second.current.shape[1] == 256 + SCAN.steps[1].n_quiet


def _triangle(duration: float, share: np.ndarray) -> Recording:
    """From 0.5 V to -0.5 V and back."""
    return Recording(duration * share, np.abs(2.0 * share - 1.0) - 0.5, np.sin(share))


def test_another_step_is_refused(protocol: Protocol, recordings: list[list[Recording]]) -> None:
    good = recordings[1][1]
    spike = 0.02 * (np.arange(256) == 100)
    for bad, words in (
        (replace(good, t_s=1.01 * good.t_s), "duration of step 2 of electrode 2"),
        (replace(good, E_V=good.E_V + 0.003), "E_V of step 2 of electrode 2 .*within 2 mV"),
        (replace(good, E_V=good.E_V + spike), "E_V of step 2 of electrode 2 .*within 2 mV"),
        (Recording(*(leaf[::2] for leaf in (good.t_s, good.E_V, good.current))), "samples"),
    ):
        recordings[1][1] = bad
        with pytest.raises(InputError, match=words):
            observe_recordings(protocol, recordings, NOISE)
    recordings[1] = recordings[1][:1]
    with pytest.raises(InputError, match=r"recordings of electrode 2 = 1 .*2, one for each step"):
        observe_recordings(protocol, recordings, NOISE)


def test_candidates_are_known_by_their_steps() -> None:
    for protocol in CANDIDATES.values():
        assert protocol_of(in_words(protocol)) is protocol
    tone = Protocol("mine", "A tone", (Own(), Tone(frequency_Hz=777.0)))
    with pytest.raises(InputError, match="Fit the guardrail anew"):
        protocol_of(in_words(tone))
