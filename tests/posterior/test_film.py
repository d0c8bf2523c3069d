"""The film's unknowns: their prior, and the fouling that they stand for."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri

from ecguard.fouling import Fouling
from ecguard.posterior import film

LOW, HIGH = film.RANGES.T
KNOWN = (
    *("k_des", "k_clean", "cdl_theta_fraction", "area_floor_fraction", "k0_theta_coeff"),
    *("film_exponent", "area_exponent", "cdl_floor_fraction", "adsorption_mol_cm2"),
    *("clean_above_V", "patch_share"),
)


def test_ranges_are_named_and_hold_the_reference_film() -> None:
    assert film.RANGES.shape == (len(film.NAMES), 2)
    usual = Fouling()
    known = (usual.initial_theta, np.log(usual.k_ads), np.log(usual.Rfilm_theta_max_ohm))
    assert (LOW < known).all()
    assert (known < HIGH).all()


@pytest.mark.parametrize("score", [-40.0, -3.0, 0.7, 3.0, 40.0])
def test_scores_stay_within_the_ranges(score: float) -> None:
    found = np.asarray(film.from_scores(jnp.full((2, 3), score)))
    assert found.shape == (2, 3)
    assert np.isfinite(found).all()
    room = 1e-6 * np.abs(film.RANGES).max()
    assert (found >= LOW - room).all()
    assert (found <= HIGH + room).all()


def test_score_0_is_the_median() -> None:
    middle = (LOW + HIGH) / 2
    np.testing.assert_allclose(film.from_scores(jnp.zeros(3)), [1 / 8, *middle[1:]], rtol=1e-6)


def test_scores_are_normal_quantiles_of_the_prior() -> None:
    share = np.linspace(0.05, 0.95, 7)[:, None] * np.ones(3)
    found = film.from_scores(jnp.asarray(ndtri(share), jnp.float32))
    place = np.column_stack([share[:, 0] ** 3, share[:, 1:]])
    np.testing.assert_allclose(found, LOW + place * (HIGH - LOW), rtol=1e-5)


def test_light_films_are_as_likely_as_their_cube_root() -> None:
    drawn = np.random.default_rng(0).standard_normal((20_000, 3)).astype(np.float32)
    coverage = np.asarray(film.from_scores(jnp.asarray(drawn)))[:, 0]
    for least in (0.001, 0.01, 0.3):
        assert abs((coverage < least).mean() - least ** (1 / 3)) < 0.015


def test_ends_of_the_ranges_have_finite_scores() -> None:
    ends = jnp.asarray([LOW, HIGH, LOW - 9.0, HIGH + 9.0], jnp.float32)
    scores = np.asarray(film.to_scores(ends))
    assert np.isfinite(scores).all()
    assert (scores[[0, 2]] < -4).all()
    assert (scores[[1, 3]] > 4).all()


def test_values_become_fouling() -> None:
    values = np.array([[0.1, np.log(300.0), np.log(500.0)], [0.9, np.log(9000.0), np.log(7000.0)]])
    found, usual = film.to_fouling(jnp.asarray(values, jnp.float32)), Fouling()
    np.testing.assert_allclose(found.initial_theta, values[:, 0], rtol=1e-5)
    np.testing.assert_allclose(found.k_ads, [300.0, 9000.0], rtol=1e-5)
    np.testing.assert_allclose(found.Rfilm_theta_max_ohm, [500.0, 7000.0], rtol=1e-5)
    ratio = usual.k_reaction / usual.k_ads
    np.testing.assert_allclose(found.k_reaction / found.k_ads, ratio, rtol=1e-5)
    for name in KNOWN:
        leaf = getattr(found, name)
        assert leaf.shape == (2,)
        np.testing.assert_allclose(leaf, getattr(usual, name), rtol=1e-6)
    assert {*KNOWN, "initial_theta", "k_ads", "k_reaction", "Rfilm_theta_max_ohm"} == set(
        vars(usual)
    )


def test_scores_and_films_turn_back_into_values() -> None:
    values = np.array([[0.3, np.log(2000.0), np.log(900.0)], [0.9, np.log(150.0), np.log(7000.0)]])
    there = film.from_scores(film.to_scores(jnp.asarray(values)))
    np.testing.assert_allclose(there, values, rtol=1e-5)
    back = film.of_fouling(film.to_fouling(jnp.asarray(values)))
    np.testing.assert_allclose(back, values, rtol=1e-6)
