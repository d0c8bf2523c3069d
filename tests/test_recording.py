"""Measured traces: what a file must hold, and how it comes to another number of samples."""

from pathlib import Path

import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.recording import Recording, read_recording
from ecguard.waveforms import square_wave

SHARED = Path(__file__).parents[2] / "shared" / "data" / "measured"


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def sweep(length: int, noise: float = 0.0) -> Recording:
    """Up and down, with a current that is straight but for the turn."""
    time = np.linspace(0.0, 10.0, length)
    rising = 1.0 - np.abs(1.0 - time / 5.0)
    white = np.random.default_rng(0).standard_normal(length)
    return Recording(time, 0.5 - rising, 2.0 * rising + noise * white)


@pytest.mark.parametrize(
    ("column", "value", "density"),
    [("I_A", 2e-5, 2.0), ("I_mA", 2e-2, 2.0), ("I_uA", 20.0, 2.0), ("j_mA_cm2", 2.0, 2.0)],
)
def test_units_are_those_of_the_column(
    tmp_path: Path, column: str, value: float, density: float
) -> None:
    path = written(
        tmp_path,
        "# a comment",
        f"E_V, {column},t_s,temperature",
        f"0.5,{value},3.0,25",
        "",
        "# another",
        f"0.4,{-value},3.5,25",
    )
    found = read_recording(path, area_cm2=0.01, shift_V=0.1)
    np.testing.assert_allclose(found.t_s, [0.0, 0.5])
    np.testing.assert_allclose(found.E_V, [0.6, 0.5])
    np.testing.assert_allclose(found.current, [density, -density])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), "header"),
        (("t_s,E_V,current", "0,0,0", "1,0,0"), "header"),
        (("t_s,I_A", "0,0", "1,0"), "header"),
        (("t_s,E_V,I_A,I_mA", "0,0,0,0", "1,0,0,0"), "header"),
        (("t_s;E_V;I_A", "0;0;0", "1;0;0"), "header .*comma between .*Put commas for semicolons"),
        (("t_s\tE_V\tI_A", "0\t0\t0"), "header .*comma between .*Put commas for tabs"),
        (("t_s E_V I_A", "0 0 0"), "header .*comma between .*Name the columns"),
        (("t_s,E_V,I_A", "0,0,0", "1,0"), "line 3 .*'1,0'"),
        (("t_s,E_V,I_mA", "0,0,1", "1,0,1,004.2"), "line 3 .* 3 fields .* 4; .*thousands"),
        (("t_s,E_V,I_A", "0,1,0,2,0,3"), "line 2 .*point as decimal sign"),
        (("t_s,E_V,I_A", '"0,1","0,2","0,3"'), "line 2 .*point as decimal sign"),
        (("t_s,E_V,I_A,note", "0,0,0,a", '1,0,0,"carbon'), "line 3 .*carbon.*quotes"),
        (("t_s,E_V,I_A,note", '0,0,0,"two', 'lines"', "1,0,0,a"), "line 2 .*two.*quotes"),
        (("t_s,E_V,I_A,note", '0,0,0,"' + 200_000 * "a"), "line 2 .*quotes"),
        (("t_s,E_V,I_A", "0,0,0", "1,0,x"), "line 3"),
        (("t_s,E_V,I_A", "# a word", "0,0,nan", "1,0,0"), "line 3 .*finite"),
        (("t_s,E_V,I_A", "0,0,0", "1,inf,0"), "line 3 .*finite"),
        (("t_s,E_V,I_A", "0,0,0"), "t_s .*1 cannot"),
        (("t_s,E_V,I_A", "0,0,0", "2,0,0", "1.5,0,0"), "t_s .*1.5 .*Sort"),
        (("t_s,E_V,I_A", "0,0,0", "0,0,0"), "t_s .*Sort"),
        (('t_s,E_V,I_A,"note',), "line 1 .*quotes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, lines: tuple[str, ...], words: str
) -> None:
    path = written(tmp_path, *lines)
    with pytest.raises(InputError, match=words) as caught:
        read_recording(path, area_cm2=0.01)
    assert str(path) in caught.value.name
    assert len(str(caught.value)) < 600


def test_quoted_notes_are_read_over(tmp_path: Path) -> None:
    path = written(tmp_path, "t_s,E_V,j_mA_cm2,note", '0,0.1,2,"glassy, ""GC"""', '1,0.2,3,5" disc')
    np.testing.assert_allclose(read_recording(path).current, [2.0, 3.0])


@pytest.mark.parametrize("area", [None, 0.0, -1.0, np.nan, np.inf])
def test_a_current_needs_an_area(tmp_path: Path, area: float | None) -> None:
    path = written(tmp_path, "t_s,E_V,I_A", "0,0,0", "1,0,0")
    with pytest.raises(InputError, match="area_cm2"):
        read_recording(path, area)


@pytest.mark.parametrize("area", [-1.0, np.nan, np.inf])
def test_an_area_that_is_none_is_refused_for_densities_as_well(tmp_path: Path, area: float) -> None:
    path = written(tmp_path, "t_s,E_V,j_mA_cm2", "0,0,0", "1,0,0")
    with pytest.raises(InputError, match="area_cm2"):
        read_recording(path, area)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("t_s,E_V,j_mA_cm2\n0,0,0\n1,0,0\n", encoding=encoding)
    with pytest.raises(InputError, match=r"trace.csv = 'UTF-16.*UTF-8 text, .*Save it as UTF-8"):
        read_recording(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_line_that_is_not_utf_8_is_named(tmp_path: Path, end: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_bytes(end.join(["# at", "# 25 °C", "t_s,E_V,I_A"]).encode("latin-1"))
    with pytest.raises(InputError, match=r"line 2 of .*trace.csv = '# 25 °C' .*Save it as UTF-8"):
        read_recording(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.csv' .*Correct the path"):
        read_recording(tmp_path / "none.csv")


def test_the_byte_order_mark_of_spreadsheets_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("t_s,E_V,j_mA_cm2\n0,0.1,2\n1,0.2,3\n", encoding="utf-8-sig")
    np.testing.assert_allclose(read_recording(path).current, [2.0, 3.0])


def test_even_samples_stay_as_they_are() -> None:
    own = sweep(256)
    assert own.at(256) is own


@pytest.mark.parametrize("length", [257, 600, 1021, 5000])
def test_lines_stay_lines(length: int) -> None:
    found, expected = sweep(length).at(256), sweep(256)
    np.testing.assert_allclose(found.t_s, expected.t_s)
    corner = np.abs(expected.t_s - 5.0) < 40.0 / 255
    for name in ("E_V", "current"):
        own, true = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(own[~corner], true[~corner], atol=1e-12)
        np.testing.assert_allclose(own, true, atol=0.02)


def test_uneven_samples_are_evened() -> None:
    own = sweep(3001)
    keep = np.sort(np.random.default_rng(1).choice(np.arange(1, 3000), 1500, replace=False))
    some = np.concatenate([[0], keep, [3000]])
    part = Recording(own.t_s[some], own.E_V[some], own.current[some])
    np.testing.assert_allclose(part.at(256).current, sweep(256).current, atol=0.02)


def rounded(own: Recording, resolution: float) -> Recording:
    """As it is exported with few digits of time."""
    return Recording(np.round(own.t_s / resolution) * resolution, own.E_V, own.current)


def pulses() -> Recording:
    wave = square_wave(0.5, -0.016, 0.025, 20.0, 256)
    return Recording(np.asarray(wave.t_s), np.asarray(wave.E_V), np.arange(256.0))


@pytest.mark.parametrize("share", [0.085, 0.3, 0.7])
@pytest.mark.parametrize("own", [pulses(), sweep(256, noise=0.1)], ids=["pulses", "sweep"])
def test_samples_whose_times_are_rounded_are_taken_in_order(own: Recording, share: float) -> None:
    found = rounded(own, share * own.t_s[1]).at(256)
    np.testing.assert_array_equal(found.current, own.current)
    np.testing.assert_array_equal(found.E_V, own.E_V)
    np.testing.assert_allclose(np.diff(found.t_s), found.t_s[1])
    assert found.at(256) is found


@pytest.mark.parametrize("own", [pulses(), sweep(256)], ids=["pulses", "sweep"])
def test_times_far_from_even_ones_are_told_with_what_is_allowed(own: Recording) -> None:
    step = own.t_s[1]
    off = own.t_s + 0.6 * step * (np.arange(256) == 100)
    words = rf"t_s = '{0.6 * step:.4g} s off .*at {off[100]:.4g} s' .*less than {step / 2:.4g} s"
    with pytest.raises(InputError, match=words):
        Recording(off, own.E_V, own.current).at(256)


def test_as_many_samples_at_uneven_times_are_moved_to_even_ones() -> None:
    even = np.linspace(0.0, 10.0, 256)
    jitter = np.random.default_rng(2).uniform(-0.4, 0.4, 256) * even[1]
    time = even + np.where((even == 0.0) | (even == 10.0), 0.0, jitter)
    found = Recording(time, 0.5 - 0.1 * time, 2.0 * time).at(256)
    np.testing.assert_allclose(found.t_s, even)
    np.testing.assert_allclose(found.current, 2.0 * even, atol=1e-9)


@pytest.mark.parametrize("length", [2, 100, 255])
def test_samples_are_not_made_up(length: int) -> None:
    with pytest.raises(InputError, match=rf"samples = {length} .*256 even times"):
        sweep(length).at(256)


def test_a_gap_is_named() -> None:
    own = sweep(2000)
    kept = np.abs(own.t_s - 3.0) > 0.05
    part = Recording(own.t_s[kept], own.E_V[kept], own.current[kept])
    with pytest.raises(InputError, match=r"none near (2\.9|3\.0)"):
        part.at(256)


def test_means_have_less_noise_and_scatter_tells_it() -> None:
    raw = sweep(4081, noise=0.1)
    assert raw.scatter() == pytest.approx(0.1, rel=0.1)
    even = raw.at(256)
    assert even.scatter() == pytest.approx(0.1 / 4, rel=0.2)
    off = even.current - sweep(256).current
    assert abs(np.corrcoef(off[1:], off[:-1])[0, 1]) < 3 / np.sqrt(256)
    assert sweep(4081).scatter() < 1e-3
    assert sweep(3).scatter() == 0.0


def test_pulses_are_not_averaged() -> None:
    wave = square_wave(0.5, -0.016, 0.025, 20.0, 512)
    own = Recording(np.asarray(wave.t_s), np.asarray(wave.E_V), np.zeros(512))
    with pytest.raises(InputError, match=r"samples = 512 .* 256, as the potential jumps"):
        own.at(256)
    assert own.at(512) is own


def test_a_step_right_at_the_start_is_not_averaged() -> None:
    time = np.linspace(0.0, 2.0, 1000)
    step = Recording(time, np.where(time < 0.001, 0.5, -0.5), np.zeros(1000))
    with pytest.raises(InputError, match="jumps"):
        step.at(256)


def test_a_turn_right_at_the_start_is_no_jump() -> None:
    time = np.linspace(0.0, 10.0, 1000)
    turning = Recording(time, 0.5 - 0.1 * np.abs(time - 0.03), time)
    np.testing.assert_allclose(turning.at(256).current, np.linspace(0.0, 10.0, 256), atol=1e-9)


def test_published_voltammograms_are_read() -> None:
    if not SHARED.is_dir():
        pytest.skip("the measured voltammograms are not in a user's clone")
    for path in sorted(SHARED.glob("*.csv")):
        found = read_recording(path, area_cm2=0.0227)
        even = found.at(256)
        assert np.ptp(even.current) == pytest.approx(np.ptp(found.current), rel=0.05), path.name
