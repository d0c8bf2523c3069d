"""Nicholson's working curve."""

import pytest

from ecguard import reference
from ecguard.errors import InputError

# Nicholson 1965, table I: psi and mV
PRINTED = {20: 61, 7: 63, 6: 64, 5: 65, 4: 66, 3: 68, 2: 72, 1: 84, 0.75: 92, 0.5: 105}
PRINTED |= {0.35: 121, 0.25: 141, 0.1: 212}


@pytest.mark.parametrize(("psi", "printed"), PRINTED.items())
def test_separation_lies_close_below_the_printed_table(psi: float, printed: int) -> None:
    separation = 1e3 * reference.peak_separation(psi)
    assert 0.3 < printed - separation < 1.7


@pytest.mark.parametrize(
    ("past", "expected"),
    [(0.141, 58.95), (0.4, 57.41)],
)
def test_fast_couple(past: float, expected: float) -> None:
    separation = 1e3 * reference.peak_separation(1e5, switched_past_V=past)
    assert separation == pytest.approx(expected, abs=0.005)


def test_separation_scales_with_temperature() -> None:
    warm = reference.peak_separation(1.0, switched_past_V=0.141 * 1.1, temperature_K=1.1 * 298.15)
    assert warm == pytest.approx(1.1 * reference.peak_separation(1.0), rel=1e-6)


def test_sweep_that_turns_before_the_peak_is_refused() -> None:
    with pytest.raises(InputError, match="switched_past_V"):
        reference.peak_separation(0.01, switched_past_V=0.05)
