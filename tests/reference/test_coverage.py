"""Langmuir kinetics."""

import numpy as np
import pytest

from ecguard import reference


def test_coverage_solves_its_equation() -> None:
    time, gain, loss, h = 3.0, 0.2, 0.05, 1e-5
    before, now, after = reference.coverage(np.array([time - h, time, time + h]), 0.7, gain, loss)
    assert (after - before) / (2 * h) == pytest.approx(gain * (1 - now) - loss * now, abs=1e-9)
    assert reference.coverage(0.0, 0.7, gain, loss) == pytest.approx(0.7)
    assert reference.coverage(5.0, 0.7, 0.0, loss) == pytest.approx(0.7 * np.exp(-0.25))
    assert reference.coverage(1e6, 0.7, gain, loss) == pytest.approx(gain / (gain + loss))


def test_nothing_comes_and_nothing_goes() -> None:
    assert reference.coverage(5.0, 0.7, gain=0.0, loss=0.0) == 0.7
