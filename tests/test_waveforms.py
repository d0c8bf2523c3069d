"""The waveform builders."""

import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.waveforms import chronoamperometry, cyclic, refine, square_wave, tone


def test_a_cycle_returns_at_its_scan_rate() -> None:
    waveform = cyclic(0.5, -0.3, 0.1, 161)
    assert waveform.t_s[-1] == pytest.approx(16.0)
    assert waveform.E_V[[0, 80, 160]] == pytest.approx([0.5, -0.3, 0.5])
    assert np.abs(np.diff(waveform.E_V) / np.diff(waveform.t_s)) == pytest.approx(0.1)


def test_a_batch_has_one_row_for_each_value() -> None:
    waveform = cyclic(np.array([0.5, 0.6]), -0.3, np.array([0.1, 1.0]), 11)
    assert waveform.E_V.shape == waveform.t_s.shape == (2, 11)
    assert waveform.t_s[:, -1] == pytest.approx([16.0, 1.8])


def test_a_square_wave_has_its_height_step_and_frequency() -> None:
    waveform = square_wave(0.2, -0.01, 0.025, 10.0, 41, 4)
    ends = waveform.E_V[2::2]  # the last sample of each half-period
    assert ends[0] - ends[1] == pytest.approx(-0.05)
    assert ends[2] - ends[0] == pytest.approx(-0.01)
    assert waveform.t_s[4] == pytest.approx(0.1)


def test_a_tone_has_its_amplitude() -> None:
    waveform = tone(0.1, 0.01, 5.0, 65)
    assert np.max(waveform.E_V) == pytest.approx(0.11)
    assert waveform.t_s[32] == pytest.approx(0.2)


def test_refining_keeps_the_samples_and_holds_after_a_jump() -> None:
    step = chronoamperometry(0.5, -0.2, 2.0, 17)
    fine = refine(step, 4)
    assert np.array_equal(fine.E_V[::4], step.E_V)
    assert fine.t_s[::4] == pytest.approx(step.t_s)
    jump = int(np.flatnonzero(np.diff(step.E_V))[0])
    assert np.all(fine.E_V[4 * jump + 1 :] == -0.2)
    ramp = refine(cyclic(0.0, 0.4, 0.1, 9), 4)
    assert np.diff(ramp.E_V[:17]) == pytest.approx(0.025)


@pytest.mark.parametrize("rate", [0.0, -1.0, np.nan])
def test_a_rate_that_is_not_positive_is_refused(rate: float) -> None:
    with pytest.raises(InputError):
        cyclic(0.5, -0.5, rate, 11)
    with pytest.raises(InputError):
        square_wave(0.5, -0.5, 0.025, rate, 11)
    with pytest.raises(InputError):
        tone(0.5, 0.025, rate, 11)


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(InputError, match="samples"):
        cyclic(0.5, -0.5, 0.1, 1)
