"""The waveform builders."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.simulator import Waveform, potential_jumps
from ecguard.simulator.grid import jumps_anywhere
from ecguard.waveforms import (
    ac_voltammetry,
    biofouling_protocol,
    chronoamperometry,
    cleaning_pulses,
    concatenate,
    cyclic,
    differential_pulse,
    differential_pulse_samples,
    double_step,
    hold,
    linear_sweep,
    multi_sine,
    refine,
    schroeder_phases,
    square_wave,
    square_wave_samples,
    tone,
)


class Builder(NamedTuple):
    build: Callable[..., Waveform]
    values: dict[str, float]  # scalars or [batch]
    counts: dict[str, tuple[int, int]]  # a count, and the least that is allowed


BUILDERS = {
    "cyclic": Builder(
        cyclic,
        {"E_start_V": 0.1, "E_vertex_V": 0.5, "scan_rate_V_s": 0.2, "E_second_vertex_V": -0.3},
        {"samples": (101, 5), "cycles": (2, 1)},
    ),
    "linear_sweep": Builder(
        linear_sweep,
        {"E_start_V": 0.5, "E_end_V": -0.3, "scan_rate_V_s": 0.2},
        {"samples": (33, 2)},
    ),
    "hold": Builder(hold, {"E_V": 0.4, "duration_s": 3.0, "cleaning": 0.5}, {"samples": (7, 2)}),
    "chronoamperometry": Builder(
        chronoamperometry,
        {"E_rest_V": 0.5, "E_step_V": -0.2, "duration_s": 2.0},
        {"samples": (17, 2)},
    ),
    "double_step": Builder(
        double_step,
        {
            "E_rest_V": 0.5,
            "E_first_V": -0.2,
            "E_second_V": 0.5,
            "rest_s": 0.1,
            "first_s": 2.0,
            "second_s": 1.0,
        },
        {"samples_per_step": (20, 2)},
    ),
    "square_wave": Builder(
        square_wave,
        {"E_start_V": 0.2, "step_V": -0.01, "amplitude_V": 0.025, "frequency_Hz": 10.0},
        {"samples": (41, 2), "samples_per_period": (4, 2)},
    ),
    "differential_pulse": Builder(
        differential_pulse,
        {"E_start_V": 0.2, "step_V": -0.01, "pulse_V": -0.05, "period_s": 0.2, "pulse_s": 0.05},
        {"samples": (81, 2), "base_samples": (6, 2), "pulse_samples": (2, 2)},
    ),
    "tone": Builder(
        tone,
        {"E_dc_V": 0.1, "amplitude_V": 0.01, "frequency_Hz": 5.0},
        {"samples": (65, 2), "samples_per_period": (16, 3)},
    ),
    "ac_voltammetry": Builder(
        ac_voltammetry,
        {
            "E_start_V": -0.4,
            "E_end_V": 0.4,
            "scan_rate_V_s": 0.1,
            "amplitude_V": 0.05,
            "frequency_Hz": 9.0,
        },
        {"samples": (801, 2)},
    ),
    "cleaning_pulses": Builder(
        cleaning_pulses,
        {"E_rest_V": 0.0, "E_pulse_V": 1.0, "rest_s": 2.0, "pulse_s": 0.5, "strength": 0.8},
        {"pulses": (3, 1), "samples_per_step": (5, 2)},
    ),
}
EACH = pytest.mark.parametrize("builder", BUILDERS.values(), ids=BUILDERS)


def built(builder: Builder, **changed: Any) -> Waveform:
    counts = {name: count for name, (count, _) in builder.counts.items()}
    return builder.build(**{**builder.values, **counts, **changed})


def rates(waveform: Waveform) -> Any:
    return np.diff(waveform.E_V) / np.diff(waveform.t_s)


def jumps(waveform: Waveform) -> list[int]:
    """Last samples before a jump of the potential, as the simulator sees them."""
    return np.flatnonzero(potential_jumps(waveform.E_V)).tolist()


def test_whether_anything_jumps_is_what_the_jumps_say() -> None:
    """Of waveforms one by one, and of all of them, with steps on both sides of what counts."""
    rng = np.random.default_rng(3)
    step = rng.choice([0.0, 2e-4, 9e-4, 1.1e-3, 3e-3, -9e-4, -1.1e-3, -3e-3], (2000, 7))
    some = np.cumsum(np.where(rng.random((2000, 7)) < 0.7, 3e-3, step), axis=1)
    each = potential_jumps(some).any(axis=1)
    assert 0.1 < each.mean() < 0.9
    for length in (2, 3, 7):
        for row in some[:, :length]:
            jumps = bool(potential_jumps(row[None]).any())
            assert jumps_anywhere(row[:, None]) == jumps
    assert not jumps_anywhere(some[~each].T)
    assert jumps_anywhere(some[np.r_[np.flatnonzero(~each), np.flatnonzero(each)[:1]]].T)


@EACH
def test_time_starts_at_zero_and_increases(builder: Builder) -> None:
    waveform = built(builder)
    assert waveform.t_s.dtype == waveform.E_V.dtype == np.float64
    assert waveform.t_s.shape == waveform.E_V.shape
    assert waveform.t_s[0] == 0
    assert np.all(np.diff(waveform.t_s) > 0)


@EACH
def test_a_row_of_a_batch_is_the_waveform_of_its_values(builder: Builder) -> None:
    for name, value in builder.values.items():
        batch = built(builder, **{name: np.array([value, 0.9 * value])})
        for row, single in enumerate((built(builder), built(builder, **{name: 0.9 * value}))):
            assert np.array_equal(batch.t_s[row], single.t_s)
            assert np.array_equal(batch.E_V[row], single.E_V)
            if single.cleaning is not None:
                assert np.array_equal(batch.cleaning[row], single.cleaning)


@EACH
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_by_name(builder: Builder, bad: float) -> None:
    for name, value in builder.values.items():
        for given in (bad, np.array([value, bad])):
            with pytest.raises(InputError, match=f"{name} = {bad}.*finite"):
                built(builder, **{name: given})


@EACH
def test_batches_that_differ_are_refused(builder: Builder) -> None:
    first, *others = builder.values
    for other in others:
        values = {
            first: np.full(2, builder.values[first]),
            other: np.full(3, builder.values[other]),
        }
        with pytest.raises(InputError, match=r"(?s)\(2,\).*\(3,\).*batches agree"):
            built(builder, **values)


@EACH
def test_counts_that_are_too_small_or_not_whole_are_refused(builder: Builder) -> None:
    for name, (count, least) in builder.counts.items():
        for bad in (least - 1, -count, float(count)):
            with pytest.raises(InputError, match=rf"{name} = {bad}.*>= {least}"):
                built(builder, **{name: bad})


@EACH
@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_rates_and_times_that_are_not_positive_are_refused(builder: Builder, bad: float) -> None:
    for name in builder.values:
        if name.endswith(("_s", "_Hz")):
            with pytest.raises(InputError, match=rf"{name} = {bad}.*> 0.*unit"):
                built(builder, **{name: bad})


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("cyclic", {"E_vertex_V": -0.3}, "E_vertex_V = -0.3.*other than E_second_vertex_V"),
        ("cyclic", {"E_start_V": 0.6}, "E_start_V = 0.6.*within the window.*linear_sweep"),
        ("cyclic", {"E_start_V": -0.4}, "E_start_V = -0.4.*within the window"),
        ("linear_sweep", {"E_end_V": 0.5}, "E_end_V = 0.5.*other than E_start_V"),
        ("hold", {"cleaning": 1.5}, r"cleaning = 1.5.*in \[0, 1\]"),
        ("cleaning_pulses", {"strength": -0.1}, r"-0.1.*in \[0, 1\]"),
        ("square_wave", {"step_V": 0.0}, "step_V = 0.0.*not 0"),
        ("square_wave", {"amplitude_V": -0.1}, "amplitude_V = -0.1.*>= 0"),
        ("differential_pulse", {"pulse_s": 0.2}, "pulse_s = 0.2.*shorter than period_s"),
        ("differential_pulse", {"pulse_s": [0.1, 0.3]}, "pulse_s = 0.3.*shorter"),
        ("ac_voltammetry", {"frequency_Hz": 60.0}, "frequency_Hz = 60.0.*50 Hz.*more samples"),
        ("ac_voltammetry", {"frequency_Hz": 50.0}, "half the sampling rate"),
        ("ac_voltammetry", {"E_end_V": -0.4}, "E_end_V = -0.4"),
    ],
)
def test_what_no_instrument_can_do_is_refused(
    name: str, changed: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        built(BUILDERS[name], **changed)


def test_a_cycle_returns_at_its_scan_rate() -> None:
    waveform = cyclic(0.5, -0.3, 0.1, 161)
    assert waveform.t_s[-1] == pytest.approx(16.0)
    assert waveform.E_V[[0, 80, 160]] == pytest.approx([0.5, -0.3, 0.5])
    assert np.abs(rates(waveform)) == pytest.approx(0.1)


def test_a_batch_has_one_row_for_each_value() -> None:
    waveform = cyclic(np.array([0.5, 0.6]), -0.3, np.array([0.1, 1.0]), 11)
    assert waveform.E_V.shape == waveform.t_s.shape == (2, 11)
    assert waveform.t_s[:, -1] == pytest.approx([16.0, 1.8])


def test_a_window_that_is_closed_is_refused() -> None:
    with pytest.raises(InputError, match=r"E_vertex_V = 0.5.*other than E_start_V.*open"):
        cyclic(0.5, 0.5, 0.1, 11)


@pytest.mark.parametrize("start", [-0.3, -0.1, 0.1, 0.5])
@pytest.mark.parametrize("first", [-0.3, 0.5])
def test_cycles_turn_at_both_vertices_and_repeat(start: float, first: float) -> None:
    second = 0.2 - first
    waveform = cyclic(start, first, 0.2, 3 * 160 + 1, 3, second)  # 10 mV a step
    potential = waveform.E_V
    assert waveform.t_s[-1] == pytest.approx(3 * 1.6 / 0.2)
    assert np.abs(rates(waveform)) == pytest.approx(0.2)
    assert potential[[0, 160, 320, 480]] == pytest.approx([start] * 4)
    assert potential[:161] == pytest.approx(potential[160:321])
    assert (potential.min(), potential.max()) == pytest.approx((-0.3, 0.5), abs=1e-12)
    turns = np.flatnonzero(np.diff(np.sign(np.diff(potential)))) + 1
    inside = potential[turns]
    assert inside == pytest.approx(np.resize(inside[:2], len(turns)))  # one vertex, then the other
    assert set(np.round(inside, 9)) == {-0.3, 0.5}
    if start not in (first, second):
        assert len(turns) == 6
        assert inside[0] == pytest.approx(first)


def test_a_vertex_between_two_samples_is_cut_and_nothing_else_is() -> None:
    waveform = cyclic(0.03, 0.5, 0.1, 238, 2, -0.29)
    exact = cyclic(0.03, 0.5, 0.1, 2 * 158 + 1, 2, -0.29)  # 10 mV a step: hits every vertex
    expected = np.interp(waveform.t_s, exact.t_s, exact.E_V)
    assert waveform.E_V == pytest.approx(expected, abs=1e-12)
    assert np.diff(waveform.t_s) == pytest.approx(waveform.t_s[1])
    assert waveform.E_V.max() < 0.5


def test_cycles_of_a_batch_may_start_anywhere() -> None:
    starts = np.array([-0.3, 0.0, 0.5])
    batch = cyclic(starts, 0.5, 0.1, 65, 2, -0.3)
    assert batch.E_V[:, [0, 32, 64]] == pytest.approx(np.tile(starts[:, None], 3))


def test_a_sweep_goes_one_way() -> None:
    waveform = linear_sweep(0.4, -0.4, 0.05, 81)
    assert rates(waveform) == pytest.approx(-0.05)
    assert waveform.E_V[[0, -1]] == pytest.approx([0.4, -0.4])
    assert waveform.t_s[-1] == pytest.approx(16.0)


def test_a_hold_is_constant_and_has_a_signal_only_when_it_is_given() -> None:
    waveform = hold(0.4, 3.0, 7)
    assert np.all(waveform.E_V == 0.4)
    assert waveform.t_s[-1] == 3.0
    assert waveform.cleaning is None
    assert np.all(hold(0.4, 3.0, 7, 0.0).cleaning == 0)


def test_a_step_comes_after_an_eighth() -> None:
    waveform = chronoamperometry(0.5, -0.2, 2.0, 17)
    assert waveform.t_s[jumps(waveform)] == pytest.approx([0.25])
    assert set(waveform.E_V) == {0.5, -0.2}


def test_a_double_step_has_exact_times() -> None:
    waveform = double_step(0.5, -0.2, 0.4, 0.3, 2.0, 1.0, 20)
    assert waveform.t_s[jumps(waveform)] == pytest.approx([0.3, 2.3])
    assert waveform.t_s[-1] == pytest.approx(3.3)
    assert waveform.E_V[[20, 21, 40, 41, 60]] == pytest.approx([0.5, -0.2, -0.2, 0.4, 0.4])


def test_a_square_wave_has_its_height_step_and_frequency() -> None:
    waveform = square_wave(0.2, -0.01, 0.025, 10.0, 41, 4)
    ends = waveform.E_V[2::2]  # the last sample of each half-period
    assert ends[0] - ends[1] == pytest.approx(-0.05)
    assert ends[2] - ends[0] == pytest.approx(-0.01)
    assert waveform.t_s[4] == pytest.approx(0.1)


@pytest.mark.parametrize("step", [0.004, -0.01])
@pytest.mark.parametrize("per_period", [4, 5, 16])
def test_square_wave_currents_are_read_at_the_ends_of_halves(step: float, per_period: int) -> None:
    samples = 10 * per_period + 3
    waveform = square_wave(0.2, step, 0.025, 25.0, samples, per_period)
    forward, reverse = square_wave_samples(samples, per_period)
    assert len(forward) == len(reverse) == 10
    # the potential flips just after each of them, so they are the last of their halves
    flips = jumps(waveform)
    assert flips == sorted([*forward, *reverse])
    assert waveform.E_V[forward] - waveform.E_V[reverse] == pytest.approx(np.sign(step) * 0.05)
    stairs = (waveform.E_V[forward] + waveform.E_V[reverse]) / 2
    assert stairs == pytest.approx(0.2 + step * np.arange(10))
    assert waveform.t_s[reverse] == pytest.approx(np.arange(1, 11) / 25.0)


@pytest.mark.parametrize("pulse", [0.05, -0.05])
@pytest.mark.parametrize("pulse_s", [0.05, 0.013])
def test_a_pulse_ends_each_stair(pulse: float, pulse_s: float) -> None:
    samples = 8 * 16 + 1
    waveform = differential_pulse(0.2, -0.01, pulse, 0.2, pulse_s, samples)
    before, end = differential_pulse_samples(samples)
    assert jumps(waveform) == sorted([*before, *end[:-1]])
    assert waveform.t_s[end] == pytest.approx(0.2 * np.arange(1, 9))
    assert waveform.t_s[end] - waveform.t_s[before] == pytest.approx(pulse_s)
    assert waveform.E_V[before] == pytest.approx(0.2 - 0.01 * np.arange(8))
    assert waveform.E_V[end] - waveform.E_V[before] == pytest.approx(pulse)
    assert waveform.E_V[0] == 0.2


def test_a_pulse_of_its_share_of_the_period_has_equal_steps() -> None:
    waveform = differential_pulse(0.2, -0.01, 0.05, 0.2, 0.05, 129, 12, 4)
    assert np.diff(waveform.t_s) == pytest.approx(0.2 / 16)


@pytest.mark.parametrize("read", [square_wave_samples, differential_pulse_samples])
def test_currents_of_no_whole_period_are_refused(read: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="samples = 4"):
        read(4)
    with pytest.raises(InputError, match="samples"):
        read(99, 1)


def test_a_tone_has_its_amplitude() -> None:
    waveform = tone(0.1, 0.01, 5.0, 65)
    assert np.max(waveform.E_V) == pytest.approx(0.11)
    assert waveform.t_s[32] == pytest.approx(0.2)


def test_a_tone_has_no_net_potential_and_one_frequency() -> None:
    waveform = tone(0.1, 0.01, 5.0, 8 * 20 + 1, 20)
    lines = np.abs(np.fft.rfft(waveform.E_V[:-1] - 0.1)) / 80
    assert lines[8] == pytest.approx(0.01)
    assert np.delete(lines, 8) == pytest.approx(0.0, abs=1e-12)
    assert waveform.t_s[-1] == pytest.approx(8 / 5.0)


def test_ac_voltammetry_is_a_ramp_with_a_sine() -> None:
    waveform = ac_voltammetry(-0.4, 0.4, 0.1, 0.05, 10.0, 1601)  # 20 samples a period
    mean = np.convolve(waveform.E_V, np.full(20, 1 / 20), "valid")
    assert np.diff(mean) / waveform.t_s[1] == pytest.approx(0.1)
    sine = waveform.E_V - linear_sweep(-0.4, 0.4, 0.1, 1601).E_V
    lines = np.abs(np.fft.rfft(sine[:-1])) / 800
    assert np.argmax(lines) == 80  # 10 Hz in 8 s
    assert lines[80] == pytest.approx(0.05)
    assert waveform.E_V[[0, -1]] == pytest.approx([-0.4, 0.4])


def test_a_multi_sine_has_its_lines_and_no_net_potential() -> None:
    frequencies, amplitudes = np.array([1.0, 3.0, 7.0]), np.array([0.005, 0.01, 0.002])
    phases = np.array([0.3, -1.0, 2.0])
    waveform = multi_sine(0.2, frequencies, amplitudes, 2.0, 129, phases)
    lines = np.fft.rfft(waveform.E_V[:-1] - 0.2) / 64
    assert np.abs(lines[[2, 6, 14]]) == pytest.approx(amplitudes)
    # sin(x + p) = cos(x + p - pi/2)
    assert np.angle(lines[[2, 6, 14]]) + np.pi / 2 == pytest.approx(phases)
    assert np.delete(np.abs(lines), [2, 6, 14]) == pytest.approx(0.0, abs=1e-12)
    assert waveform.E_V[0] == pytest.approx(waveform.E_V[-1])


@pytest.mark.parametrize("count", [8, 31, 100])
def test_schroeder_phases_keep_the_crest_factor_low(count: int) -> None:
    lines = np.arange(1.0, count + 1)
    for amplitudes in (np.ones(count), np.sqrt(lines)):

        def crest(phases: float | None, a: Any = amplitudes) -> float:
            wave = multi_sine(0.0, lines, a, 1.0, 64 * count + 1, phases).E_V[:-1]
            return float(np.max(np.abs(wave)) / np.std(wave))

        assert crest(None) < 2.0 < crest(0.0)


def test_schroeder_phases_of_equal_lines_are_those_of_the_paper() -> None:
    n = np.arange(1, 17)
    assert schroeder_phases(np.ones(16)) == pytest.approx(-np.pi * n * (n - 1) / 16)


def test_a_multi_sine_batch_has_its_own_lines_in_each_row() -> None:
    frequencies = np.array([[1.0, 3.0], [2.0, 5.0]])
    batch = multi_sine([0.0, 0.1], frequencies, 0.01, [1.0, 2.0], 65)
    for row in range(2):
        single = multi_sine([0.0, 0.1][row], frequencies[row], 0.01, [1.0, 2.0][row], 65)
        assert np.array_equal(batch.E_V[row], single.E_V)
        assert np.array_equal(batch.t_s[row], single.t_s)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"frequencies_Hz": []}, "frequencies_Hz.*at least one"),
        ({"frequencies_Hz": [1.0, np.nan]}, "frequencies_Hz = nan.*finite"),
        ({"frequencies_Hz": [1.0, 0.0]}, "frequencies_Hz = 0.0.*> 0"),
        ({"frequencies_Hz": [1.0, 32.0]}, "frequencies_Hz = 32.0.*32 Hz.*more samples"),
        ({"frequencies_Hz": [[1.0, 2.0]] * 3, "E_dc_V": [0.0, 0.1]}, "batches agree"),
        ({"amplitudes_V": [0.01] * 3}, "one amplitude and one phase for each frequency"),
        ({"amplitudes_V": [0.01, 0.0]}, "amplitudes_V = 0.0.*> 0"),
        ({"amplitudes_V": [0.01, np.inf]}, "amplitudes_V = inf.*finite"),
        ({"phases_rad": [0.0] * 3}, "one amplitude and one phase for each frequency"),
        ({"phases_rad": np.nan}, "phases_rad = nan.*finite"),
        ({"duration_s": 0.0}, "duration_s = 0.0.*> 0"),
        ({"E_dc_V": np.nan}, "E_dc_V = nan.*finite"),
        ({"samples": 1}, "samples = 1.*>= 2"),
    ],
)
def test_bad_lines_are_refused(changed: dict[str, Any], message: str) -> None:
    good = {
        "E_dc_V": 0.0,
        "frequencies_Hz": [1.0, 4.0],
        "amplitudes_V": 0.01,
        "duration_s": 1.0,
        "samples": 65,
    }
    multi_sine(**good)
    with pytest.raises(InputError, match=message):
        multi_sine(**{**good, **changed})


def test_bad_powers_are_refused() -> None:
    for bad in (np.nan, 0.0, -1.0):
        with pytest.raises(InputError, match=f"amplitudes = {bad}"):
            schroeder_phases([1.0, bad])


def test_parts_follow_one_another_at_exact_times() -> None:
    slow, fast = cyclic(0.5, -0.3, 0.1, 161), cyclic(0.5, -0.3, 1000.0, 81)
    whole = concatenate(hold(0.5, 3600.0, 11), slow, fast, slow)
    assert whole.t_s.shape == whole.E_V.shape == (11 + 160 + 80 + 160,)
    assert whole.t_s[[10, 170, 250, 410]] == pytest.approx(
        np.cumsum([3600.0, 16.0, 0.0016, 16.0]), rel=1e-15
    )
    assert rates(whole)[170:250] == pytest.approx(rates(fast), rel=1e-6)
    assert np.array_equal(whole.E_V[170:251], fast.E_V)
    assert np.abs(np.diff(whole.E_V)).max() == pytest.approx(0.02)  # no jump
    assert whole.cleaning is None


def test_a_part_that_starts_elsewhere_steps_there_at_once() -> None:
    whole = concatenate(hold(0.5, 1.0, 5), hold(-0.2, 2.0, 5), linear_sweep(0.1, 0.3, 0.1, 21))
    assert jumps(whole) == [4, 8]
    assert whole.E_V[[4, 5, 8]] == pytest.approx([0.5, -0.2, -0.2])
    assert whole.E_V[9:] == pytest.approx(0.1 + 0.01 * np.arange(1, 21))


def test_parts_keep_their_own_start_of_time() -> None:
    late = Waveform(np.array([5.0, 6.0, 8.0]), np.zeros(3))
    assert concatenate(late, late).t_s == pytest.approx([5.0, 6.0, 8.0, 9.0, 11.0])


def test_a_single_part_repeats_along_the_batch_of_the_others() -> None:
    scan = cyclic(np.array([0.5, 0.4]), -0.3, np.array([0.1, 1.0]), 11)
    whole = concatenate(hold(0.5, 1.0, 5), scan, hold(0.1, 1.0, 5, 1.0))
    assert whole.t_s.shape == whole.E_V.shape == whole.cleaning.shape == (2, 19)
    assert whole.t_s[:, -1] == pytest.approx([2.0 + 16.0, 2.0 + 1.4])


def test_parts_without_a_signal_are_not_cleaned() -> None:
    whole = concatenate(hold(0.0, 1.0, 3), hold(1.0, 1.0, 3, 0.7), hold(0.0, 1.0, 3))
    assert np.array_equal(whole.cleaning, [0, 0, 0, 0.7, 0.7, 0, 0])


RAMP = np.linspace(0.0, 1.0, 5)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "waveforms = 'no part'.*at least one"),
        ([Waveform(RAMP, RAMP[:4])], r"waveforms\[0\].*one shape"),
        ([Waveform(RAMP, RAMP, RAMP[:4])], r"waveforms\[0\].*one shape"),
        ([Waveform(RAMP[:1], RAMP[:1])], r"waveforms\[0\].*L >= 2"),
        ([Waveform(0.0, 0.0)], r"waveforms\[0\].*L >= 2"),
        ([Waveform(RAMP, RAMP), Waveform(RAMP[::-1], RAMP)], r"waveforms\[1\].t_s = -0.25.*sort"),
        ([Waveform(RAMP, RAMP * np.nan)], r"waveforms\[0\].E_V = nan.*finite"),
        ([Waveform(RAMP + np.inf, RAMP)], r"waveforms\[0\].t_s = .*finite"),
        ([Waveform(RAMP, RAMP, 2 * RAMP)], r"waveforms\[0\].cleaning = 1.5.*in \[0, 1\]"),
        ([Waveform(RAMP, RAMP, RAMP * np.nan)], r"waveforms\[0\].cleaning = nan.*finite"),
        ([hold([0, 0], 1, 3), hold([0, 0, 0], 1, 3)], r"(?s)\(2,\).*\(3,\).*batches agree"),
        ([hold(0, 1e9, 3), hold(0, 1e-9, 3)], "a step of t_s = 0.0.*float64"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: list[Waveform], message: str) -> None:
    with pytest.raises(InputError, match=message):
        concatenate(*parts)


def test_cleaning_pulses_clean_while_they_last() -> None:
    waveform = cleaning_pulses(0.0, 1.0, 2.0, 0.5, 3, 5, 0.8)
    assert waveform.t_s[-1] == pytest.approx(3 * 2.5)
    step = np.diff(waveform.t_s)
    assert np.sum(step * waveform.cleaning[1:]) == pytest.approx(3 * 0.5 * 0.8)
    assert np.array_equal(waveform.cleaning > 0, waveform.E_V == 1.0)
    assert waveform.t_s[jumps(waveform)] == pytest.approx([0.5, 2.5, 3.0, 5.0, 5.5])


def protocol_parts() -> dict[str, Waveform]:
    return {
        "scan": cyclic(0.4, -0.4, 0.1, 81),
        "fouling": hold(0.3, 600.0, 61),
        "probe": cyclic(0.4, -0.4, 10.0, 41),
        "cleaning": cleaning_pulses(0.0, 1.0, 2.0, 1.0, 4, 5),
    }


def test_the_protocol_names_every_phase() -> None:
    parts = protocol_parts()
    waveform, segments = biofouling_protocol(**parts, repeats=3)
    once = ["baseline", "fouling", "probe", "cleaning", "recovery"]
    assert [(s.name, s.cycle) for s in segments] == [(n, c) for c in range(3) for n in once]
    held = np.concatenate([np.arange(s.start, s.stop) for s in segments])
    assert np.array_equal(held, np.arange(1, len(waveform.t_s)))
    parts["baseline"] = parts["recovery"] = parts["scan"]
    for s in segments:
        part = parts[s.name]
        assert np.array_equal(waveform.E_V[s.start : s.stop], part.E_V[1:])
        lasted = waveform.t_s[s.stop - 1] - waveform.t_s[s.start - 1]
        assert lasted == pytest.approx(part.t_s[-1], rel=1e-10)
        signal = waveform.cleaning[s.start : s.stop]
        assert np.any(signal > 0) == (s.name == "cleaning")


def test_the_protocol_takes_batches() -> None:
    parts = {**protocol_parts(), "fouling": hold(0.3, np.array([60.0, 600.0]), 61)}
    waveform, segments = biofouling_protocol(**parts)
    assert waveform.E_V.shape == waveform.cleaning.shape == (2, segments[-1].stop)
    assert np.diff(waveform.t_s[:, -1]) == pytest.approx(540.0)


def test_a_protocol_that_does_not_clean_is_refused() -> None:
    parts = protocol_parts()
    with pytest.raises(InputError, match=r"cleaning.cleaning = None.*cleaning_pulses"):
        biofouling_protocol(**{**parts, "cleaning": hold(1.0, 1.0, 5)})
    with pytest.raises(InputError, match="repeats = 0"):
        biofouling_protocol(**parts, repeats=0)


def test_refining_keeps_the_samples_and_holds_after_a_jump() -> None:
    step = chronoamperometry(0.5, -0.2, 2.0, 17)
    fine = refine(step, 4)
    assert np.array_equal(fine.E_V[::4], step.E_V)
    assert fine.t_s[::4] == pytest.approx(step.t_s)
    assert fine.cleaning is None
    jump = int(np.flatnonzero(np.diff(step.E_V))[0])
    assert np.all(fine.E_V[4 * jump + 1 :] == -0.2)
    ramp = refine(cyclic(0.0, 0.4, 0.1, 9), 4)
    assert np.diff(ramp.E_V[:17]) == pytest.approx(0.025)


def test_refining_holds_the_cleaning_signal_over_its_step() -> None:
    pulses = cleaning_pulses(0.0, 1.0, np.array([2.0, 3.0]), 0.5, 2, 3, np.array([1.0, 0.4]))
    fine = refine(pulses, 5)
    assert np.array_equal(fine.cleaning[:, ::5], pulses.cleaning)
    dose = np.sum(np.diff(fine.t_s) * fine.cleaning[:, 1:], axis=-1)
    assert dose == pytest.approx([2 * 0.5 * 1.0, 2 * 0.5 * 0.4])


@pytest.mark.parametrize("substeps", [0, -1, 1.5])
def test_no_part_of_a_step_is_refused(substeps: int) -> None:
    with pytest.raises(InputError, match=f"substeps = {substeps}"):
        refine(hold(0.0, 1.0, 3), substeps)
