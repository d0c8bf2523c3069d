"""Steps of a protocol: their waveforms, what comes before them, and what they refuse."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.protocol import Averaging, MultiSine, Own, Pulse, Scan, Staircase, Step, Tone
from ecguard.protocol.step import SAMPLES
from ecguard.simulator import Waveform
from ecguard.simulator.grid import potential_jumps
from ecguard.waveforms import cyclic

START, VERTEX, RATE = np.array([0.5, -0.6]), np.array([-0.5, 0.6]), np.array([0.05, 0.5])
HALF_STEP_V = 1.2 / (SAMPLES - 1)  # by which the sampled tip may miss the vertex
OFTEN = Averaging(quiet=20.0, records=100, gap=3.0)
STEPS = (
    Own(),
    Own(averaging=Averaging(2.0)),
    Scan(),
    Scan(rate_V_s=20.0, averaging=Averaging(10.0)),
    Scan(rate_factor=0.2),
    Scan(backward=True, averaging=Averaging(0.2)),
    Staircase(rate_V_s=20.0, averaging=Averaging(10.0, 3, 100.0)),
    Tone(frequency_Hz=100.0, averaging=Averaging(20.0)),
    Tone(frequency_Hz=5000.0, place=0.5, averaging=OFTEN),
    MultiSine(averaging=Averaging(50.0)),
    Pulse(height=0.1, duration_s=1e-3, averaging=OFTEN),
)


@pytest.fixture(scope="module")
def first() -> Waveform:
    """Voltammograms downwards and upwards, at two rates."""
    return cyclic(START, VERTEX, RATE, SAMPLES)


@pytest.mark.parametrize("step", [Own, Scan, Tone, MultiSine, Pulse])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("keep", 0.0), ("keep", -0.1), ("keep", 1.01), ("keep", float("nan"))),
        *(("rest_s", -1.0), ("rest_s", float("inf"))),
        *(("cleaning", -0.1), ("cleaning", 1.1)),
        *(("span", (0.5, 0.5)), ("span", (-0.1, 1.0)), ("span", (0.0, 1.1))),
    ],
)
def test_values_out_of_range_are_refused(step: type[Step], name: str, value: Any) -> None:
    with pytest.raises(InputError, match=re.escape(str(value))) as raised:
        step(**{name: value})
    assert raised.value.name == name


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_step_records_as_many_samples_as_a_voltammogram(step: Step, first: Waveform) -> None:
    recorded = step.recorded(first)
    assert recorded.t_s.shape == recorded.E_V.shape == (2, SAMPLES)
    spacing = np.diff(recorded.t_s)
    assert spacing.min() > 0
    np.testing.assert_allclose(spacing, spacing[:, :1] * np.ones(SAMPLES - 1), rtol=1e-5)


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_quiet_time_holds_the_first_potential(step: Step, first: Waveform) -> None:
    recorded, whole = step.recorded(first), step.waveform(first)
    n = int(np.argmax(step.shown(whole.t_s.shape[1])))
    assert (n > 0) == (step.averaging.held > 0)
    assert whole.t_s.shape == whole.E_V.shape == (2, n + SAMPLES)
    assert np.diff(whole.t_s).min() > 0
    np.testing.assert_array_equal(whole.E_V[:, :n], np.repeat(recorded.E_V[:, :1], n, axis=1))
    np.testing.assert_allclose(whole.E_V[:, n:], recorded.E_V, atol=1e-12)
    lasting = recorded.t_s[:, -1] - recorded.t_s[:, 0]
    np.testing.assert_allclose(
        whole.t_s[:, n:] - whole.t_s[:, :1],
        recorded.t_s - recorded.t_s[:, :1] + step.averaging.held * lasting[:, None],
        rtol=1e-6,
    )


def test_own_is_the_voltammogram_of_the_case(first: Waveform) -> None:
    assert Own().waveform(first) is first


def test_a_scan_goes_over_the_window_at_the_rate_of_the_case(first: Waveform) -> None:
    scan = Scan().waveform(first)
    np.testing.assert_allclose(scan.t_s, first.t_s, rtol=1e-9)
    np.testing.assert_allclose(scan.E_V, first.E_V, atol=HALF_STEP_V)


@pytest.mark.parametrize("backward", [False, True])
def test_a_scan_has_the_rate_asked_for(first: Waveform, backward: bool) -> None:
    scan = Scan(rate_V_s=20.0, backward=backward).recorded(first)
    slope = np.abs(np.diff(scan.E_V) / np.diff(scan.t_s))
    assert np.median(slope) == pytest.approx(20.0, rel=1e-6)
    assert slope.max() < 20.0 * (1 + 1e-6)


@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_a_factor_scales_the_rate_of_the_case(first: Waveform, factor: float) -> None:
    scan = Scan(rate_factor=factor).recorded(first)
    np.testing.assert_allclose(factor * scan.t_s, first.t_s, rtol=1e-6)


def test_backward_swaps_the_ends(first: Waveform) -> None:
    scan = Scan(backward=True).recorded(first)
    for end, place in ((0, VERTEX), (SAMPLES // 2, START), (-1, VERTEX)):
        np.testing.assert_allclose(scan.E_V[:, end], place, atol=2 * HALF_STEP_V)


@pytest.mark.parametrize("place", [0.0, 0.5])
@pytest.mark.parametrize("frequency", [10.0, 5000.0])
def test_a_tone_has_its_frequency_and_amplitude(
    first: Waveform, frequency: float, place: float
) -> None:
    step = Tone(frequency_Hz=frequency, amplitude_V=0.02, place=place).recorded(first)
    mean = START + place * (VERTEX - START)
    for case in range(2):
        phase = 2 * np.pi * frequency * step.t_s[case]
        basis = np.column_stack([np.ones(SAMPLES), np.sin(phase), np.cos(phase)])
        found, *_ = np.linalg.lstsq(basis, step.E_V[case], rcond=None)
        assert found[0] == pytest.approx(mean[case], abs=HALF_STEP_V)
        assert np.hypot(*found[1:]) == pytest.approx(0.02, rel=1e-3)
        np.testing.assert_allclose(basis @ found, step.E_V[case], atol=1e-5)


def test_a_multi_sine_has_its_lines(first: Waveform) -> None:
    step = MultiSine(lowest_Hz=100.0, octaves=3, amplitude_V=0.005).recorded(first)
    spacing = step.t_s[0, 1] - step.t_s[0, 0]
    lines = 2 / (SAMPLES - 1) * np.abs(np.fft.rfft(step.E_V[0, :-1] - START[0]))
    frequencies = np.fft.rfftfreq(SAMPLES - 1, spacing)
    (loud,) = np.nonzero(lines > 1e-4)
    np.testing.assert_allclose(frequencies[loud], [100.0, 200.0, 400.0], rtol=1e-6)
    np.testing.assert_allclose(lines[loud], 0.005, rtol=1e-3)


def test_a_pulse_steps_and_comes_back(first: Waveform) -> None:
    pulse = Pulse(height=0.1, duration_s=1e-3).recorded(first)
    np.testing.assert_allclose(pulse.t_s[:, -1] - pulse.t_s[:, 0], 3e-3)
    top = START + 0.1 * (VERTEX - START)
    np.testing.assert_allclose(pulse.E_V[:, 130], top, atol=HALF_STEP_V)
    np.testing.assert_allclose(pulse.E_V[:, [0, 60, 200, 255]].T, [START] * 4)


def test_a_scaled_scan_is_faster_over_the_same_window(first: Waveform) -> None:
    for step in (Scan(rate_V_s=2.0, rest_s=5.0), Scan(rate_factor=0.5, backward=True)):
        faster = step.scaled(4.0, 1.0)
        assert faster.averaging.records == 4
        own = {"rate_V_s": step.rate_V_s, "rate_factor": step.rate_factor}
        assert replace(faster, **own, averaging=step.averaging) == step
        one, other = step.recorded(first), faster.recorded(first)
        np.testing.assert_allclose(other.t_s, one.t_s / 4.0, rtol=1e-6)
        np.testing.assert_allclose(other.E_V, one.E_V, atol=1e-9)


def test_a_scaled_tone_has_a_higher_frequency_and_a_larger_amplitude() -> None:
    step = Tone(frequency_Hz=100.0, amplitude_V=0.01, place=0.5, averaging=OFTEN)
    found = step.scaled(5.0, 1.5)
    assert found == replace(
        step, frequency_Hz=500.0, amplitude_V=0.015, averaging=OFTEN.faster(5.0)
    )


def test_a_scaled_pulse_is_shorter_and_higher() -> None:
    step = Pulse(height=0.1, duration_s=1e-3, averaging=OFTEN, keep=0.7)
    found = step.scaled(4.0, 2.0)
    assert found == replace(step, height=0.2, duration_s=2.5e-4, averaging=OFTEN.faster(4.0))


@pytest.mark.parametrize("step", [Tone(averaging=OFTEN), Pulse(averaging=OFTEN)], ids=str)
def test_a_faster_step_takes_as_long_and_is_as_noisy(step: Step, first: Waveform) -> None:
    faster = step.scaled(4.0, 1.0)
    np.testing.assert_allclose(faster.lasting_s(first), step.lasting_s(first), rtol=0.02)
    np.testing.assert_allclose(faster.noise_factor(first), step.noise_factor(first), rtol=1e-6)


@pytest.mark.parametrize("step", [Tone(), Pulse(height=0.1)], ids=str)
def test_a_scaled_step_is_the_stretched_waveform(step: Step, first: Waveform) -> None:
    one, other = step.recorded(first), step.scaled(3.0, 1.5).recorded(first)
    np.testing.assert_allclose(other.t_s, one.t_s / 3.0, rtol=1e-6)
    start = one.E_V[:, :1]
    np.testing.assert_allclose(other.E_V, start + 1.5 * (one.E_V - start), atol=1e-9)


@pytest.mark.parametrize("step", [Scan(), Tone(), Pulse()], ids=lambda step: step.kind)
def test_scaling_by_1_changes_nothing(step: Step) -> None:
    assert step.scaled(1.0, 1.0) == step


@pytest.mark.parametrize("step", [Own(), MultiSine()], ids=lambda step: step.kind)
def test_what_has_no_pace_of_its_own_cannot_be_scaled(step: Step) -> None:
    with pytest.raises(InputError, match=step.kind) as raised:
        step.scaled(1.0, 1.0)
    assert raised.value.name == "step"


@pytest.mark.parametrize("size", [0.5, 1.001, 2.0])
def test_a_scan_keeps_its_window(size: float) -> None:
    with pytest.raises(InputError, match=str(size)) as raised:
        Scan().scaled(2.0, size)
    assert raised.value.name == "size"


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (Own(), [1.0, 1.0]),
        (Own(averaging=Averaging(2.0)), [1.0, 1.0]),
        (Scan(rate_factor=4.0), [2.0, 2.0]),
        (Scan(rate_factor=4.0, averaging=Averaging(records=2)), [2.0**0.5, 2.0**0.5]),
        # never quieter than the voltammogram
        (Scan(rate_factor=0.25), [1.0, 1.0]),
        (Scan(rate_factor=4.0, averaging=Averaging(records=9)), [1.0, 1.0]),
        # at 0.05 V/s and 0.5 V/s
        (Scan(rate_V_s=20.0, averaging=Averaging(10.0)), [20.0, 40.0**0.5]),
    ],
    ids=str,
)
def test_noise_grows_with_the_root_of_the_sampling_rate_and_averages(
    step: Step, factor: list[float], first: Waveform
) -> None:
    # the sampled tip of the window may miss the vertex
    np.testing.assert_allclose(step.noise_factor(first), factor, rtol=3e-3)


def test_noise_of_a_pulse_is_by_its_own_sampling_rate(first: Waveform) -> None:
    # three times 1 ms against 40 s and 4.8 s, in as many samples
    step = Pulse(height=0.1, duration_s=1e-3, averaging=OFTEN)
    wanted = np.sqrt(np.array([40.0, 4.8]) / 3e-3 / 100)
    np.testing.assert_allclose(step.noise_factor(first), wanted, rtol=1e-6)


def test_a_staircase_holds_each_potential_of_a_scan(first: Waveform) -> None:
    scan, stairs = (own(rate_V_s=20.0).recorded(first) for own in (Scan, Staircase))
    np.testing.assert_array_equal(stairs.t_s, scan.t_s)
    np.testing.assert_array_equal(stairs.E_V[:, 1::8], stairs.E_V[:, 7::8])
    np.testing.assert_array_equal(stairs.E_V[:, 8::8], scan.E_V[:, :-8:8])
    steps = np.abs(np.diff(stairs.E_V, axis=1)) > 1e-6
    assert (np.flatnonzero(steps[0]) == np.arange(8, SAMPLES - 1, 8)).all()
    assert potential_jumps(stairs.E_V)[:, 8::8].any(axis=1).all()


@pytest.mark.parametrize("tread", [-1, 0, 1, 65])
def test_treads_of_another_length_are_refused(tread: int) -> None:
    with pytest.raises(InputError, match=str(tread)) as raised:
        Staircase(tread=tread)
    assert raised.value.name == "tread"


def test_samples_outside_the_span_are_not_kept() -> None:
    shown = Own(span=(0.25, 0.75)).shown(SAMPLES)
    assert shown.sum() == SAMPLES // 2
    assert (np.flatnonzero(shown)[[0, -1]] == [SAMPLES // 4, 3 * SAMPLES // 4 - 1]).all()
    assert Own().shown(SAMPLES).all()


# Averages


@pytest.mark.parametrize(
    ("name", "value"),
    [("quiet", -0.5), ("quiet", 1e10), ("records", 0), ("gap", -1.0), ("gap", float("nan"))],
)
def test_averages_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=str(value)) as raised:
        Averaging(**{name: value})
    assert raised.value.name == name


def test_times_of_an_average() -> None:
    assert Averaging().lasting == 1.0
    assert Averaging().held == 0.0
    assert Averaging(quiet=4.0).held == 4.0
    often = Averaging(quiet=4.0, records=4, gap=3.0)
    assert often.lasting == 4.0 + 3 * 4.0 + 1.0
    assert often.held == pytest.approx(np.mean(np.array([4.0, 8.0, 12.0, 16.0]) ** -0.5) ** -2)
    assert Averaging(records=9, gap=1.0).held == 4.0


def test_records_fill_the_time() -> None:
    found = Averaging.over(20.0, 2e-3, gap=1.0)
    assert found == Averaging(quiet=2500.0, records=5000, gap=1.0)
    assert found.lasting * 2e-3 == pytest.approx(25.0, rel=1e-3)
    assert found.faster(4.0) == Averaging(quiet=10000.0, records=20000, gap=1.0)
    assert Averaging(records=2).faster(0.1).records == 1


def test_the_simulated_record_lies_where_a_cottrell_current_has_its_mean() -> None:
    often = Averaging.over(20.0, 1e-3)
    first, last = often.quiet, often.quiet + 2.0 * often.records
    assert often.held**-0.5 == pytest.approx(
        2 * (last**0.5 - first**0.5) / (last - first), rel=1e-3
    )
