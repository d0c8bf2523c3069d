"""The product of the electron transfer reacts on in solution."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
from scipy.linalg import solve_banded

from ecguard.simulator import FARADAY, GAS_CONSTANT, Waveform
from ecguard.stress import Experiment, FollowUpReaction
from ecguard.waveforms import cyclic

L = 257
PER_VOLT = FARADAY / (GAS_CONSTANT * 298.15)
IDEAL = {"Ru_ohm": 0.0, "Cdl_F": 0.0}


class UpToFast(FollowUpReaction):
    """Up to 10 1/s, whatever the catalogue tries."""

    full: ClassVar[float] = 10.0


def finite_differences(
    waveform: Waveform, k0: float, alpha: float, decay: float, substeps: int = 16
) -> np.ndarray:
    """Current of the second waveform by implicit finite differences, mA/cm^2 [L]."""
    D, C, ratio = 1e-5, 2e-6, 1.06
    time = np.interp(np.arange((L - 1) * substeps + 1) / substeps, np.arange(L), waveform.t_s[1])
    E_V = np.interp(time, waveform.t_s[1], waveform.E_V[1])
    h = time[1] - time[0]
    first = 0.05 * np.sqrt(D * h)
    n = int(np.log(1 + 6 * np.sqrt(D * time[-1]) * (ratio - 1) / first) / np.log(ratio)) + 2
    edge = np.concatenate([[0.0], first * (ratio ** np.arange(1, n) - 1) / (ratio - 1)])
    width, gap = np.diff(edge), np.diff(0.5 * (edge[1:] + edge[:-1]))
    between = D / gap
    ox, red, flux = np.full(n - 1, C), np.zeros(n - 1), np.zeros(len(time))

    def implicit(rate: float) -> np.ndarray:
        """Response of the profile to itself; columns of a banded matrix."""
        band = np.zeros((3, n - 1))
        band[1] = width * (1 / h + rate)
        band[1, :-1] += between
        band[1, 1:] += between
        band[1, -1] += 2 * D / width[-1]
        band[0, 1:], band[2, :-1] = -between, -between
        return band

    bands = implicit(0.0), implicit(decay)
    source = np.eye(1, n - 1)[0]
    unit = [solve_banded((1, 1), band, source) for band in bands]
    near = 0.5 * width[0] / D
    for i in range(1, len(time)):
        known = width * ox / h
        known[-1] += 2 * D / width[-1] * C
        ox_0 = solve_banded((1, 1), bands[0], known)
        red_0 = solve_banded((1, 1), bands[1], width * red / h)
        phi = E_V[i] * PER_VOLT
        forth, back = k0 * np.exp(-alpha * phi), k0 * np.exp((1 - alpha) * phi)
        slope = forth * (unit[0][0] + near) + back * (unit[1][0] + near)
        flux[i] = (forth * ox_0[0] - back * red_0[0]) / (1 + slope)
        ox, red = ox_0 - unit[0] * flux[i], red_0 + unit[1] * flux[i]
    return -1e3 * FARADAY * flux[::substeps]


@pytest.mark.parametrize(("k0", "severity"), [(1.0, 0.03), (1.0, 0.3), (0.005, 0.1)])
def test_it_agrees_with_finite_differences(
    bench: Callable[..., Experiment], scan: Waveform, k0: float, severity: float
) -> None:
    found = UpToFast().observe(bench(scan, k0=k0, **IDEAL), severity)[1]
    expected = finite_differences(scan, k0, 0.5, 10.0 * severity)
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()
    clean = finite_differences(scan, k0, 0.5, 0.0)
    assert np.abs(clean - expected).max() > 0.05 * np.abs(expected).max()


def test_a_fast_reaction_shifts_and_raises_the_reversible_peak(
    bench: Callable[..., Experiment],
) -> None:
    """Savéant and Vianello: 0.496 at -0.78 + ln(k RT / F v) / 2, where nothing comes back."""
    rate = 0.005
    experiment = bench(cyclic([0.4, 0.4], -0.2, [rate, rate], L), **IDEAL)
    current = -UpToFast().observe(experiment, 1.0)[0, : L // 2]
    unit = 1e3 * FARADAY * 2e-6 * np.sqrt(1e-5 * rate * PER_VOLT)
    top = int(current.argmax())
    fit = np.polyfit(experiment.waveform.E_V[0, top - 2 : top + 3], current[top - 2 : top + 3], 2)
    place = -fit[1] / (2 * fit[0])
    assert np.polyval(fit, place) / unit == pytest.approx(0.4956, rel=0.01)
    shift = -0.78 + 0.5 * np.log(10.0 / (PER_VOLT * rate))
    assert place * PER_VOLT == pytest.approx(shift, abs=0.05)


def test_nothing_comes_back_from_a_fast_reaction(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    back = slice(L // 2, None)
    clean = bench(scan).clean()[:, back].max(axis=1)
    gone = UpToFast().observe(bench(scan), 1.0)[:, back].max(axis=1)
    assert gone[0] < 0.05 * clean[0]
    assert gone[0] / clean[0] < gone[1] / clean[1] < 0.6


def test_a_current_that_diffusion_limits_stays(
    bench: Callable[..., Experiment], step: Callable[[float], Waveform]
) -> None:
    experiment = bench(step(-0.5))
    clean = experiment.clean()
    change = np.abs(UpToFast().observe(experiment, 1.0) - clean)
    assert change.max() < 1e-3 * np.abs(clean).max()


def test_the_potential_at_the_interface_decides(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    """As much is added to an electrode with resistance as to one without at what is left of E."""
    mode, severity = UpToFast(), np.full(2, 0.3)
    resisting = bench(scan, Ru_ohm=2000.0, Cdl_F=0.0)
    clean = resisting.clean()
    found = mode.added(resisting, clean, severity)
    left = scan.E_V - 1e-3 * 2000.0 * 0.01 * clean
    ideal = bench(Waveform(scan.t_s, left), **IDEAL)
    expected = mode.added(ideal, ideal.clean(), severity)
    np.testing.assert_allclose(found, expected, atol=1e-5 * float(np.ptp(clean)))
    elsewhere = bench(scan, **IDEAL)
    apart = mode.added(elsewhere, elsewhere.clean(), severity) - found
    assert np.abs(apart).max() > 0.02 * np.ptp(clean)


def test_both_couples_react_on(bench: Callable[..., Experiment], scan: Waveform) -> None:
    experiment = bench(scan, **IDEAL)
    alone = UpToFast().observe(experiment, 0.1)
    double = type(experiment.couples)(
        **{
            name: np.column_stack([leaf, leaf]) * (0.5 if name.startswith("C_") else 1.0)
            for name, leaf in vars(experiment.couples).items()
        }
    )
    halves = Experiment(
        *(scan, double, experiment.cell, experiment.noise, experiment.chance, experiment.noise_std)
    )
    both = UpToFast().observe(halves, 0.1)
    np.testing.assert_allclose(both, alone, atol=1e-4 * float(np.ptp(alone)))
