"""Nicholson's working curve."""

import pytest

from ecguard import reference
from ecguard.errors import InputError


@pytest.mark.parametrize(("psi", "printed"), reference.PRINTED_SEPARATION_MV.items())
def test_separation_lies_close_below_the_printed_table(psi: float, printed: float) -> None:
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


@pytest.mark.parametrize(
    ("name", "value"), [("psi", -1.0), ("switched_past_V", -0.1), ("temperature_K", -5.0)]
)
def test_bad_values_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"^{name} = {value}"):
        reference.peak_separation(**{"psi": 1.0, name: value})
