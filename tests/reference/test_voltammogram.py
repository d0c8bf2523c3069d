"""The integral equation: against closed forms, against its own equations, and against itself."""

from typing import Any

import numpy as np
import pytest

from ecguard import reference
from ecguard.errors import InputError

C, D, RATE = 2.0, 1e-5, 0.1
COUPLE = {"C_ox": C, "D_ox": D, "D_red": 3e-5, "E0": 0.0, "alpha": 0.4}
TURN = 6.0
CORNERS = [0.0, TURN, 2 * TURN]
POTENTIALS = [0.3, -0.3, 0.3]
TIMES = np.linspace(0, 2 * TURN, 1601)


def k0_of(Lambda: float) -> float:
    return Lambda * float(np.sqrt(D * RATE / reference.thermal_voltage()))


def cycle(Lambda: float, times: np.ndarray = TIMES, **changes: Any) -> reference.Voltammogram:
    values = {**COUPLE, "k0": k0_of(Lambda), **changes}
    return reference.voltammogram(times, CORNERS, POTENTIALS, **values)


def _quadrature(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights of Gauss-Legendre quadrature between all of the edges."""
    node, weight = np.polynomial.legendre.leggauss(20)
    edges = np.sort(edges)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half + half * node).ravel(), (half * weight).ravel()


def test_fast_couple_has_the_reversible_current() -> None:
    potential = np.linspace(0.3, -0.3, 200)
    trace = reference.voltammogram(
        (1.0 - potential) / RATE, [0.0, 13.0], [1.0, -0.3], **COUPLE, k0=1e6
    )
    closed = reference.reversible_sweep_current(potential, C, D, 3e-5, 0.0, RATE)
    error = np.abs(trace.current_density_mA_cm2 - closed).max() / np.abs(closed).max()
    assert error < 1e-8


def test_step_has_the_kinetic_current() -> None:
    time = np.logspace(-6, 0, 40)
    trace = reference.voltammogram(time, [0, 0, 1], [0.5, -0.02, -0.02], **COUPLE, k0=1e-2)
    closed = reference.kinetic_step_current(time, -0.02, C, D, 3e-5, 0.0, 1e-2, 0.4)
    assert trace.current_density_mA_cm2 == pytest.approx(closed, rel=1e-10)


def test_double_step_has_the_limiting_current() -> None:
    time = np.append(np.logspace(-5, 0, 20), 1 + np.logspace(-5, 0, 20))
    trace = reference.voltammogram(
        time, [0, 0, 1, 1, 3], [0.9, -0.9, -0.9, 0.9, 0.9], **COUPLE, k0=1e2
    )
    closed = reference.limiting_current(time, C, D, reversal_s=1.0)
    assert trace.current_density_mA_cm2 == pytest.approx(closed, rel=1e-8)


@pytest.mark.parametrize(("Ru", "Cdl"), [(100.0, 2e-7), (2e4, 1e-5)])
def test_electrode_without_a_couple_has_the_charging_current(Ru: float, Cdl: float) -> None:
    cell = {"Ru_ohm": Ru, "Cdl_F": Cdl, "area_cm2": 0.07}
    trace = cycle(1.0, C_ox=0.0, **cell)
    closed = reference.charging_ramp_current(TIMES, -RATE, Ru, Cdl, 0.07, reversal_s=TURN)
    error = np.abs(trace.current_density_mA_cm2 - closed).max() / np.abs(closed).max()
    assert error < 1e-10
    time = np.linspace(0.001, 1, 100)
    trace = reference.voltammogram(
        time, [0, 0, 1], [0.0, 0.3, 0.3], **{**COUPLE, "C_ox": 0.0}, k0=1.0, **cell
    )
    closed = reference.charging_step_current(time, 0.3, Ru, Cdl, 0.07)
    error = np.abs(trace.current_density_mA_cm2 - closed).max() / (300.0 / Ru / 0.07)
    assert error < 1e-10


@pytest.mark.parametrize("Lambda", [1e3, 1.0, 0.01])
@pytest.mark.parametrize(
    "cell",
    [
        {},
        {"Ru_ohm": 100.0, "Cdl_F": 1e-5, "area_cm2": 0.07},
        {"Ru_ohm": 2e4, "Cdl_F": 2e-7, "area_cm2": 0.01},
    ],
)
def test_trace_solves_its_equations(Lambda: float, cell: dict[str, float]) -> None:
    """Semi-integral of the flux by Gauss-Legendre quadrature in sqrt(t - s)."""
    near = np.append(0.0, np.logspace(-9, -1.5, 16))
    for now in (2.9, 4.7, 8.1):
        start, turn = np.sqrt(now), np.sqrt(max(now - TURN, 0.0))
        edges = np.concatenate([np.linspace(0, start, 60), start - near, turn + near, turn - near])
        root, weight = _quadrature(edges[(edges >= 0) & (edges <= start)])
        trace = cycle(Lambda, np.append(np.maximum(now - root**2, 0.0), now), **cell)
        flux = -trace.faradaic_density_mA_cm2[:, 0] / (reference.FARADAY * 1e-3)
        S = 2 / np.sqrt(np.pi) * weight @ flux[:-1]
        phi = trace.interface_V[-1] / reference.thermal_voltage()
        k_f, k_b = k0_of(Lambda) * np.exp([-0.4 * phi, 0.6 * phi])
        H = k_f / np.sqrt(D) + k_b / np.sqrt(3e-5)
        assert np.abs(k_f * C - flux[-1] - H * S) < 1e-6 * (k_f + k_b) * C


@pytest.mark.parametrize("Lambda", [1e3, 1.0, 0.01])
def test_charge_that_does_not_react_is_in_the_double_layer(Lambda: float) -> None:
    cell = {"Ru_ohm": 5e3, "Cdl_F": 5e-6, "area_cm2": 0.03}
    time, weight = _quadrature(np.append(np.logspace(-16, -2, 60), np.linspace(0, 2 * TURN, 401)))
    trace = cycle(Lambda, np.append(time, [0.0, 2 * TURN]), **cell)
    charging = trace.current_density_mA_cm2 - trace.faradaic_density_mA_cm2[:, 0]
    charge = 1e-3 * 0.03 * weight @ charging[:-2]
    change = trace.interface_V[-1] - trace.interface_V[-2]
    assert charge == pytest.approx(5e-6 * change, abs=5e-6 * 1e-7)


@pytest.mark.parametrize("alpha", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("Lambda", [1e3, 10.0, 1.0, 0.1, 0.01])
def test_error_is_small(Lambda: float, alpha: float) -> None:
    assert cycle(Lambda, alpha=alpha).error < 1e-8


@pytest.mark.parametrize("Ru", [100.0, 2e4])
@pytest.mark.parametrize("Cdl", [2e-7, 1e-5])
@pytest.mark.parametrize("area", [0.01, 0.07])
def test_error_is_small_with_ohmic_drop_and_double_layer(
    Ru: float, Cdl: float, area: float
) -> None:
    for Lambda in (1e3, 1.0, 0.01):
        assert cycle(Lambda, Ru_ohm=Ru, Cdl_F=Cdl, area_cm2=area).error < 1e-7


def test_panels_follow_a_fast_change_between_corners() -> None:
    """A resistance that limits the current, until the couple is used up at the electrode."""
    cell = {"Ru_ohm": 1e6, "Cdl_F": 1e-7, "area_cm2": 0.01, "k0": 10.0}
    trace = reference.voltammogram(
        np.linspace(0, 4000, 401),
        [0, 0, 4000],
        [0.4, -1.0, -1.0],
        **{**COUPLE, "C_ox": 5.0},
        **cell,
    )
    assert np.ptp(trace.interface_V) > 1.0
    assert trace.error < 1e-7


def test_small_resistance_is_the_limit_of_none() -> None:
    none = cycle(1.0, Cdl_F=1e-6).current_density_mA_cm2[1:]
    small = cycle(1.0, Cdl_F=1e-6, Ru_ohm=1e-4).current_density_mA_cm2[1:]
    assert np.abs(small - none).max() < 1e-6 * np.abs(none).max()


def test_two_halves_of_a_couple_are_the_couple() -> None:
    cell = {"Ru_ohm": 1e3, "Cdl_F": 1e-6, "area_cm2": 0.03}
    one = cycle(1.0, **cell)
    two = cycle(1.0, C_ox=np.array([0.5, 1.5]), **cell)
    assert two.current_density_mA_cm2 == pytest.approx(one.current_density_mA_cm2, rel=1e-9)
    assert two.faradaic_density_mA_cm2[:, 1] == pytest.approx(
        3 * two.faradaic_density_mA_cm2[:, 0], rel=1e-9
    )


def test_oxidation_mirrors_reduction() -> None:
    cell = {"Ru_ohm": 1e3, "Cdl_F": 1e-6, "area_cm2": 0.03, "E0": 0.0, "k0": 1e-3}
    forward = reference.voltammogram(
        TIMES, CORNERS, POTENTIALS, C_ox=C, D_ox=D, D_red=3e-5, alpha=0.4, **cell
    )
    mirrored = reference.voltammogram(
        TIMES,
        CORNERS,
        [-0.3, 0.3, -0.3],
        C_ox=0.0,
        C_red=C,
        D_ox=3e-5,
        D_red=D,
        alpha=0.6,
        **cell,
    )
    largest = np.abs(forward.current_density_mA_cm2).max()
    total = forward.current_density_mA_cm2 + mirrored.current_density_mA_cm2
    assert np.abs(total).max() < 1e-12 * largest


def test_electrode_at_equilibrium_stays_there() -> None:
    rest = reference.nernst_potential(C, 0.5, 0.0)
    trace = reference.voltammogram(
        np.linspace(0, 1, 11), [0, 1], [rest, rest], **COUPLE, C_red=0.5, k0=1.0, Ru_ohm=100.0
    )
    assert np.abs(trace.current_density_mA_cm2).max() < 1e-9


def test_sample_at_a_jump_has_not_seen_it() -> None:
    trace = reference.voltammogram(
        [0.0, 0.5, 1.0], [0, 0.5, 0.5, 1], [0.3, 0.3, -0.1, -0.1], **COUPLE, k0=1e-2, Ru_ohm=10.0
    )
    assert trace.interface_V[:2] == pytest.approx([0.3, 0.3], abs=1e-4)
    assert trace.interface_V[2] < 0
    assert trace.current_density_mA_cm2[0] == 0


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("t_s", {"t_s": [-0.1]}),
        ("t_s", {"t_s": [12.1]}),
        ("t_s", {"t_s": [np.nan]}),
        ("corner_t_s", {"corner_t_s": [0.0, 6.0]}),
        ("corner_t_s", {"corner_t_s": [0.0, 6.0, 5.0]}),
        ("corner_t_s", {"corner_t_s": [1.0, 1.0, 1.0]}),
        (r"corner_t_s = .*finite", {"corner_t_s": [0.0, np.nan, 12.0]}),
        (r"corner_t_s = .*finite", {"corner_t_s": [0.0, 6.0, np.inf]}),
        ("temperature_K", {"temperature_K": -5.0}),
        ("temperature_K", {"temperature_K": np.nan}),
        ("corner_E_V", {"corner_E_V": [0.3, np.inf, 0.3]}),
        ("D_ox", {"D_ox": 0.0}),
        ("D_red", {"D_red": -1e-5}),
        ("k0", {"k0": 0.0}),
        ("C_ox", {"C_ox": -1.0}),
        ("C_red", {"C_red": np.nan}),
        ("alpha", {"alpha": 1.5}),
        ("area_cm2", {"area_cm2": 0.0}),
        ("Ru_ohm", {"Ru_ohm": -1.0}),
        ("Cdl_F", {"Cdl_F": -1e-6}),
    ],
)
def test_bad_values_are_refused(name: str, changes: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "t_s": [1.0],
        "corner_t_s": CORNERS,
        "corner_E_V": POTENTIALS,
        **COUPLE,
        "k0": 1e-3,
    }
    with pytest.raises(InputError, match=f"^{name}"):
        reference.voltammogram(**{**good, **changes})
