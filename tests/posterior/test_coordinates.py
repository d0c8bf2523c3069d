"""Coordinates and scores: inverse maps, intervals, and the volumes that densities need."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard import family
from ecguard.posterior import coordinates as co
from ecguard.posterior.unknowns import draw_prior, join, log_prior, n_unknowns, ranges, split

N = 40_000
ROUNDING = 1e-6

from_scores = jax.jit(co.from_scores, static_argnums=1)
to_scores = jax.jit(co.to_scores, static_argnums=1)
intervals = jax.jit(co.intervals, static_argnums=1)
to_coordinates = jax.jit(lambda unknowns: co.to_coordinates(split(unknowns)))
to_unknowns = jax.jit(lambda coordinates: join(co.to_electrode(coordinates)))

both = pytest.mark.parametrize("n_couples", [1, 2])


def drawn(n_couples: int) -> jax.Array:
    return draw_prior(jax.random.key(3), N, n_couples)


def normal(n_couples: int) -> jax.Array:
    return jax.random.normal(jax.random.key(0), (N, n_unknowns(n_couples)))


@both
def test_coordinates_and_electrodes_are_inverse(n_couples: int) -> None:
    values = drawn(n_couples)
    back = to_unknowns(to_coordinates(values))
    low, high = ranges(n_couples)
    assert (np.abs(back - values) / (high - low)).max() < 3 * ROUNDING


@both
def test_electrodes_of_the_prior_lie_in_their_intervals(n_couples: int) -> None:
    coordinates = to_coordinates(drawn(n_couples))
    low, high = intervals(coordinates, n_couples)
    widest = co.widest(n_couples)
    assert (low < high).all()
    assert (coordinates > low - 3 * ROUNDING).all()
    assert (coordinates < high + 3 * ROUNDING).all()
    assert (low > widest[:, 0] - 3 * ROUNDING).all()
    assert (high < widest[:, 1] + 3 * ROUNDING).all()


@both
def test_scores_and_coordinates_are_inverse(n_couples: int) -> None:
    scores = jnp.clip(normal(n_couples), -3.0, 3.0)
    coordinates = from_scores(scores, n_couples)
    back = from_scores(to_scores(coordinates, n_couples), n_couples)
    assert np.abs(back - coordinates).max() < 20 * ROUNDING
    # a place in a narrow interval is known to fewer digits
    off = np.abs(to_scores(coordinates, n_couples) - scores)
    assert np.quantile(off, 0.999) < 2e-3


def test_the_score_is_the_quantile_of_the_place_in_the_interval() -> None:
    scores = jnp.zeros((N, 9)).at[0, 3].set(1.0)
    alpha = from_scores(scores, 1)[0, 3]
    low, high = family.ALPHA_RANGE
    assert float(alpha) == pytest.approx(low + 0.841345 * (high - low), rel=1e-5)


@both
def test_volume_is_the_determinant_of_the_map(n_couples: int) -> None:
    values = np.asarray(drawn(n_couples))[:20]
    with jax.enable_x64(True):
        electrode = split(jnp.asarray(values, jnp.float64))
        coordinates = co.to_coordinates(electrode)
        jacobian = jax.jit(jax.vmap(jax.jacfwd(to_unknowns)))(coordinates)
        wanted = np.linalg.slogdet(np.asarray(jacobian))[1]
        np.testing.assert_allclose(co.log_volume(electrode), wanted, rtol=0, atol=1e-9)
    assert np.ptp(wanted) > 0.5


@both
@pytest.mark.parametrize("size", [1.0, 10.0, 1e6])
def test_any_scores_are_an_electrode_of_the_prior(n_couples: int, size: float) -> None:
    coordinates = from_scores(size * normal(n_couples), n_couples)
    values = np.asarray(to_unknowns(coordinates), np.float64)
    low, high = ranges(n_couples)
    assert (values >= low - ROUNDING * (high - low)).all()
    assert (values <= high + ROUNDING * (high - low)).all()
    if n_couples == 2:
        assert (np.diff(values[:, 8:10]) >= family.E0_GAP_V - ROUNDING).all()
    if size == 1.0:
        assert np.isfinite(log_prior(values, n_couples)).all()


def test_the_first_couple_and_the_cell_come_before_the_second() -> None:
    electrode = split(drawn(2))
    alone = type(electrode)(*(leaf[:, :1] if leaf.ndim == 2 else leaf for leaf in electrode))
    coordinates = co.to_coordinates(electrode)
    np.testing.assert_array_equal(coordinates[:, :9], co.to_coordinates(alone))
    assert [co.couple_start(couple) for couple in (0, 1)] == [0, 9]
    first, second = (co.standard_potential(coordinates[:, start : start + 7]) for start in (0, 9))
    np.testing.assert_allclose(jnp.stack([first, second], axis=1), electrode.E0, atol=ROUNDING)
