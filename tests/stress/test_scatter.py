"""Faults that scatter readings: their laws are those that their readings follow."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from ecguard.errors import InputError
from ecguard.simulator import Waveform
from ecguard.stress import ALL, Experiment, NoiseUnderestimated, Scatter, Spikes

MODES = [mode() for mode in ALL if issubclass(mode, Scatter)]
NOISE = 0.05
N, L = 400, 257


def test_scatter_is_what_has_no_shape_and_is_not_rounded() -> None:
    assert {mode.name for mode in MODES} == {"noise_underestimated", "spikes"}
    assert {mode.name for mode in ALL if not mode.shaped} == {
        "noise_underestimated",
        "spikes",
        "quantisation",
    }


def law(mode: Scatter, severity: float, noise_std: float = NOISE) -> Callable[[float], float]:
    """Density of residuals under the fault."""

    def density(residual: float) -> float:
        place = np.full((1, 1), residual)
        ratio = mode.log_ratio(place, np.array([noise_std]), severity)
        return float(np.exp(ratio[0, 0] + stats.norm.logpdf(residual)))

    return density


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("severity", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("noise_std", [0.05, 5.0])
def test_laws_are_densities(mode: Scatter, severity: float, noise_std: float) -> None:
    ends = [-60.0, -8.0, 0.0, 8.0, 60.0]
    density = law(mode, severity, noise_std)
    assert sum(integrate.quad(density, *pair)[0] for pair in pairwise(ends)) == pytest.approx(
        1, abs=1e-6
    )


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_readings_follow_the_law(
    mode: Scatter, bench: Callable[..., Experiment], scan: Waveform
) -> None:
    """Of 400 traces, without a current; the law of another severity is told from it."""
    rng = np.random.default_rng(11)
    one = bench(scan, noise_std=NOISE)
    residual = []
    for _ in range(N // 2):
        draws = {"noise": rng.standard_normal((2, L)), "chance": rng.random((2, L))}
        experiment = Experiment(**vars(one) | draws)
        residual.append(mode.observe(experiment, 1.0, np.zeros((2, L))) / NOISE)
    sizes = np.sort(np.abs(np.ravel(residual)))
    grid = np.concatenate([np.linspace(0.0, 12.0, 600), np.linspace(12.1, 60.0, 200)])

    def distance(severity: float) -> float:
        density = np.array([2.0 * law(mode, severity)(place) for place in grid])
        below = integrate.cumulative_trapezoid(density, grid, initial=0.0)
        share = np.searchsorted(sizes, grid) / len(sizes)
        return float(np.abs(share - below).max())

    critical = 1.95 / np.sqrt(len(sizes))  # one in a thousand
    assert distance(1.0) < critical
    assert distance(0.5) > critical


@pytest.mark.parametrize("noise_std", [0.05, 0.5, 4.0])
@pytest.mark.parametrize("residual", [0.0, 3.0, -9.0])
def test_a_spike_is_a_height_and_noise(noise_std: float, residual: float) -> None:
    """Against quadrature over heights up to 2 mA/cm^2; one in twenty samples is hit."""
    reach = 2.0 / noise_std

    def gain(height: float) -> float:
        return np.exp(residual * height - 0.5 * height**2) / (2.0 * reach)

    near = [end for end in (residual - 8.0, residual, residual + 8.0) if abs(end) < reach]
    hit = sum(integrate.quad(gain, *pair)[0] for pair in pairwise([-reach, *near, reach]))
    found = Spikes().log_ratio(np.full((1, 1), residual), np.array([noise_std]), 1.0)
    assert found[0, 0] == pytest.approx(np.log(0.95 + 0.05 * hit), abs=1e-6)


def test_severities_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="severity"):
        NoiseUnderestimated().log_ratio(np.zeros((1, 1)), np.array([0.05]), 1.5)
