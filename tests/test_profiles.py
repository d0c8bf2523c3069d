"""Concentration profiles against closed forms of diffusion, and bad input."""

import jax
import numpy as np
import pytest
from scipy.special import erf

from ecguard import Cell, Couples, InputError, simulate, simulate_batch
from ecguard.simulator import Trace, concentration_profiles
from ecguard.waveforms import chronoamperometry, cyclic

D_OX, D_RED, C = 1e-5, 4e-6, 2.0
COUPLE = Couples(*[np.array([v]) for v in (D_OX, D_RED, C, 0.0, 0.0, 1e3, 0.5)])
IDEAL = Cell(Ru_ohm=0.0, Cdl_F=0.0)
DEPTH = np.linspace(0.0, 0.02, 41)


def stepped() -> Trace:
    return simulate(chronoamperometry(0.5, -0.5, 8.0, 801), COUPLE, IDEAL, None, ["mean_flux"])


def test_a_step_leaves_the_error_function_behind() -> None:
    since = np.array([0.5, 2.0, 6.9])
    ox, red = concentration_profiles(stepped(), COUPLE, 1.0 + since, DEPTH)
    width = 2 * np.sqrt(since)[:, None]
    expected_ox = C * erf(DEPTH / (width * np.sqrt(D_OX)))
    expected_red = C * np.sqrt(D_OX / D_RED) * (1 - erf(DEPTH / (width * np.sqrt(D_RED))))
    np.testing.assert_allclose(ox[..., 0], expected_ox, atol=2e-3 * C)
    np.testing.assert_allclose(red[..., 0], expected_red, atol=2e-3 * C)


def test_before_the_step_and_far_away_there_is_the_bulk() -> None:
    ox, red = concentration_profiles(stepped(), COUPLE, [0.0, 0.5, 8.0], [0.0, 1.0])
    np.testing.assert_allclose(ox[:2, :, 0], C, atol=1e-4)
    np.testing.assert_allclose(red[:2, :, 0], 0.0, atol=1e-4)
    assert ox[2, 1, 0] == pytest.approx(C)


def test_at_the_electrode_stands_the_surface_concentration() -> None:
    outputs = ("mean_flux", "surface_ox_mM", "surface_red_mM")
    trace = simulate(cyclic(0.4, -0.4, 0.1, 1601), COUPLE, IDEAL, None, outputs)
    rows = [400, 800, 1200, 1600]
    ox, red = concentration_profiles(trace, COUPLE, np.asarray(trace.t_s)[rows], 0.0)
    np.testing.assert_allclose(ox[:, 0], np.asarray(trace.surface_ox_mM)[rows], atol=2e-3 * C)
    np.testing.assert_allclose(red[:, 0], np.asarray(trace.surface_red_mM)[rows], atol=4e-3 * C)


def test_matter_is_conserved_across_the_profile() -> None:
    depth = np.linspace(0.0, 0.1, 4001)
    ox, red = (c[0, :, 0] for c in concentration_profiles(stepped(), COUPLE, 8.0, depth))
    assert np.trapezoid(C - ox, depth) == pytest.approx(np.trapezoid(red, depth), rel=1e-4)


@pytest.mark.parametrize(
    ("t_s", "depth_cm", "name"),
    [(9.0, 0.0, "t_s"), (-1.0, 0.0, "t_s"), (np.nan, 0.0, "t_s"), (1.0, -1e-3, "depth_cm")],
)
def test_bad_places_are_refused_by_name(t_s: float, depth_cm: float, name: str) -> None:
    with pytest.raises(InputError, match=name):
        concentration_profiles(stepped(), COUPLE, t_s, depth_cm)


def test_a_trace_without_flux_is_refused() -> None:
    trace = simulate(cyclic(0.4, -0.4, 0.1, 51), COUPLE, IDEAL, None, [])
    with pytest.raises(InputError, match="mean_flux"):
        concentration_profiles(trace, COUPLE, 1.0, 0.0)


def test_a_batch_is_refused_and_a_trace_of_it_is_not() -> None:
    arguments = (cyclic(0.4, -0.4, 0.1, 51), COUPLE, IDEAL, None)
    batch = jax.tree.map(lambda leaf: np.stack([leaf] * 2), arguments)
    trace = simulate_batch(*batch, ["mean_flux"])
    with pytest.raises(InputError, match=r"Trace\.t_s = 'shape \(2, 51\)'.*leaf\[0\]"):
        concentration_profiles(trace, batch[1], 1.0, 0.0)
    one = jax.tree.map(lambda leaf: leaf[0], trace)
    with pytest.raises(InputError, match=r"Couples\.D_ox = 'shape \(2, 1\)'"):
        concentration_profiles(one, batch[1], 1.0, 0.0)
    assert concentration_profiles(one, COUPLE, 1.0, 0.0)[0].shape == (1, 1, 1)
