"""Steps: Cottrell, Anson, and a step of a couple with finite kinetics."""

import numpy as np
import pytest
from scipy.integrate import quad

from ecguard import reference
from ecguard.errors import InputError

C, D = 2.0, 1e-5


def test_limiting_charge_is_the_integral_of_the_current() -> None:
    def current(t: float) -> float:
        return float(reference.limiting_current(t, C, D, reversal_s=1.0))

    charge = quad(current, 0, 1)[0] + quad(current, 1, 3)[0]
    assert reference.limiting_charge(3.0, C, D, 1.0) == pytest.approx(charge, rel=1e-9)
    forward = quad(current, 0, 1)[0]
    assert reference.limiting_charge(1.0, C, D) == pytest.approx(forward, rel=1e-9)


def test_double_step_has_the_printed_ratios() -> None:
    """Bard and Faulkner: -i_r/i_f = 0.293 and -Q_r/Q_f = 0.586, a reversal time later."""
    forward, reverse = reference.limiting_current(np.array([1.0, 2.0]), C, D, reversal_s=1.0)
    assert -reverse / forward == pytest.approx(0.293, abs=5e-4)
    before, after = reference.limiting_charge(np.array([1.0, 2.0]), C, D, reversal_s=1.0)
    assert 1 - after / before == pytest.approx(0.586, abs=5e-4)


def test_limiting_current_carries_the_charge_that_diffusion_brings() -> None:
    """Anson: Q = 2 F C sqrt(D t / pi)."""
    charge = quad(lambda t: float(reference.limiting_current(t, C, D)), 0, 2.0)[0]
    assert charge == pytest.approx(-2 * reference.FARADAY * 1e-3 * C * np.sqrt(D * 2.0 / np.pi))


def test_kinetic_step_begins_at_the_rate_and_ends_at_diffusion() -> None:
    step = {"C_ox": C, "D_ox": D, "D_red": D, "E0": 0.0, "k0": 1e-3, "alpha": 0.4}
    k_f = 1e-3 * np.exp(0.4 * 0.1 / reference.thermal_voltage())
    first = reference.kinetic_step_current(0.0, -0.1, **step)
    assert first == pytest.approx(-reference.FARADAY * 1e-3 * C * k_f)
    late = reference.kinetic_step_current(1e4, -0.5, **step)
    assert late == pytest.approx(reference.limiting_current(1e4, C, D), rel=1e-3)
    assert reference.kinetic_step_current(1.0, -2.0, **step) == pytest.approx(
        reference.limiting_current(1.0, C, D), rel=1e-6
    )


def test_kinetic_step_solves_its_integral_equation() -> None:
    """f = k_f C - H S with S the semi-integral of f, at one time, by quadrature."""
    k0, potential = 2e-3, -0.03
    thermal = reference.thermal_voltage()
    k_f, k_b = k0 * np.exp([-0.5 * potential / thermal, 0.5 * potential / thermal])

    def flux(t: float) -> float:
        current = reference.kinetic_step_current(t, potential, C, D, 4e-5, 0.0, k0, 0.5)
        return -float(current) / (reference.FARADAY * 1e-3)

    time = 0.7
    half = quad(lambda u: 2 * flux(time - u**2), 0, np.sqrt(time))[0] / np.sqrt(np.pi)
    expected = k_f * C - (k_f / np.sqrt(D) + k_b / np.sqrt(4e-5)) * half
    assert flux(time) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("t_s", [0.0, -1.0, np.nan, np.array([1.0, 0.0])])
def test_limiting_current_at_the_step_is_refused(t_s: float) -> None:
    with pytest.raises(InputError, match=r"^t_s = "):
        reference.limiting_current(t_s, C, D)


@pytest.mark.parametrize("k0", [1e-9, 1e-5, 1e-3, 10.0])
def test_kinetic_charge_is_the_integral_of_the_current(k0: float) -> None:
    step = {"C_ox": C, "D_ox": D, "D_red": 4e-5, "E0": 0.0, "k0": k0, "alpha": 0.4}
    found = reference.kinetic_step_charge(np.array([0.0, 0.7]), -0.05, **step)

    def current(root: float) -> float:
        return 2 * root * float(reference.kinetic_step_current(root**2, -0.05, **step))

    expected = quad(current, 0, np.sqrt(0.7), epsrel=1e-12, limit=200)[0]
    assert found == pytest.approx([0.0, expected], rel=1e-10)


def test_kinetic_charge_keeps_its_digits_early_and_is_smooth_where_the_series_ends() -> None:
    step = {"C_ox": C, "D_ox": D, "D_red": D, "E0": 0.0, "k0": 1e-3, "alpha": 0.5}
    H = 2e-3 / np.sqrt(D)
    early = reference.kinetic_step_charge((1e-9 / H) ** 2, 0.0, **step)
    rate = reference.kinetic_step_current(0.0, 0.0, **step)
    assert early == pytest.approx(rate * (1e-9 / H) ** 2, rel=1e-8)
    sides = reference.kinetic_step_charge(
        (0.1 * np.array([1 - 1e-9, 1 + 1e-9]) / H) ** 2, 0.0, **step
    )
    assert sides[1] / sides[0] == pytest.approx(1 + 4e-9, abs=1e-9)
