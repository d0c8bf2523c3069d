"""The vector of unknowns, and the family's prior over it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ks_2samp

from ecguard import family
from ecguard.posterior import unknowns as un
from ecguard.simulator import Cell, Couples

LEAST_P = 1e-3


def drawn_by_the_family(n_couples: int) -> np.ndarray:
    """Unknowns of the family's own rows and cells with so many couples."""
    rng = np.random.default_rng(8)
    rows = family.draw_parameters(rng, 20_000).reshape(-1, 7, family.N_COUPLES)
    own = rows[(rows[:, 2] > 0).sum(axis=1) == n_couples][:, :, :n_couples]
    spread = np.array([family.RU_SPREAD, family.CDL_SPREAD])
    cell = (family.RU_OHM, family.CDL_F) * rng.uniform(1 - spread, 1 + spread, (len(own), 2))
    return np.concatenate([own.reshape(len(own), -1), cell], axis=1)


def p_values(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.array([ks_2samp(a, b).pvalue for a, b in zip(first.T, second.T, strict=True)])


def allowed(n_couples: int) -> np.ndarray:
    """Unknowns in the middle of the support."""
    middle = np.mean(un.ranges(n_couples), axis=0)
    if n_couples == 2:
        middle[8:10] += [-0.1, 0.1]
    return middle


@pytest.mark.parametrize("n_couples", [1, 2])
def test_split_and_join_are_inverse(n_couples: int) -> None:
    values = np.arange(3.0 * un.n_unknowns(n_couples)).reshape(3, -1)
    electrode = un.split(values)
    np.testing.assert_array_equal(un.join(electrode), values)
    assert electrode.E0.shape == (3, n_couples)
    assert electrode.Ru_ohm.shape == (3,)


def test_names_say_what_stands_where() -> None:
    assert un.names(1)[4:] == ("E0", "ln k0", "alpha", "Ru", "Cdl")
    names = un.names(2)
    electrode = un.split(np.arange(float(un.n_unknowns(2))))
    assert len(names) == len(set(names)) == un.n_unknowns(2)
    assert names[int(electrode.C_ox[0])] == "C_ox 1"
    assert names[int(electrode.alpha[1])] == "alpha 2"
    assert names[int(electrode.Cdl_F)] == "Cdl"


@pytest.mark.parametrize("n_couples", [1, 2])
def test_the_simulator_gets_couples_and_cell(n_couples: int) -> None:
    values = un.draw_prior(jax.random.key(0), 5, n_couples)
    electrode = un.split(values)
    couples, cell = un.simulated(values)
    wanted = Couples(
        D_ox=jnp.exp(electrode.ln_D_ox),
        D_red=jnp.exp(electrode.ln_D_red),
        C_ox=electrode.C_ox,
        C_red=electrode.C_red,
        E0=electrode.E0,
        k0=jnp.exp(electrode.ln_k0),
        alpha=electrode.alpha,
    )
    whole = Cell(
        np.full(5, family.AREA_CM2),
        electrode.Ru_ohm,
        electrode.Cdl_F,
        np.full(5, family.TEMPERATURE_K),
    )
    jax.tree.map(np.testing.assert_array_equal, couples, wanted)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), cell, whole)


@pytest.mark.parametrize("n_couples", [1, 2])
def test_prior_draws_follow_the_family(n_couples: int) -> None:
    own = np.asarray(un.draw_prior(jax.random.key(2), 20_000, n_couples))
    assert p_values(own, drawn_by_the_family(n_couples)).min() > LEAST_P


def test_the_comparison_sees_couples_without_a_gap() -> None:
    own = np.array(un.draw_prior(jax.random.key(2), 20_000, 2))
    own[:, 9] -= family.E0_GAP_V
    assert np.flatnonzero(p_values(own, drawn_by_the_family(2)) < LEAST_P).tolist() == [9]


@pytest.mark.parametrize("n_couples", [1, 2])
def test_prior_draws_lie_in_the_support(n_couples: int) -> None:
    values = un.draw_prior(jax.random.key(0), 200_000, n_couples)
    assert np.isfinite(un.log_prior(values, n_couples)).all()


@pytest.mark.parametrize("n_couples", [1, 2])
def test_prior_integrates_to_one(n_couples: int) -> None:
    low, high = un.ranges(n_couples)
    margin = 0.1 * (high - low) * (np.arange(len(low)) < 2)
    low, high = low - margin, high + margin
    box = np.random.default_rng(0).uniform(low, high, (100_000, len(low)))
    inside = np.exp(np.asarray(un.log_prior(box, n_couples), np.float64) + np.log(high - low).sum())
    assert inside.mean() == pytest.approx(1.0, abs=4 * inside.std() / np.sqrt(len(box)))
    assert inside.std() > 0.5


@pytest.mark.parametrize("n_couples", [1, 2])
def test_density_is_constant_inside(n_couples: int) -> None:
    values = un.draw_prior(jax.random.key(1), 1000, n_couples)
    assert len(np.unique(un.log_prior(values, n_couples))) == 1


@pytest.mark.parametrize("n_couples", [1, 2])
@pytest.mark.parametrize("side", [0, 1])
def test_there_is_no_density_beyond_either_end(n_couples: int, side: int) -> None:
    ends = un.ranges(n_couples)
    beyond = np.tile(allowed(n_couples), (un.n_unknowns(n_couples), 1))
    np.fill_diagonal(beyond, ends[side] + (2 * side - 1) * 1e-3 * (ends[1] - ends[0]))
    assert np.isfinite(un.log_prior(allowed(n_couples), n_couples))
    assert (np.asarray(un.log_prior(beyond, n_couples)) == -np.inf).all()


@pytest.mark.parametrize(
    ("apart", "finite"), [(-0.2, False), (0.0, False), (0.079, False), (0.081, True)]
)
def test_couples_stand_in_order_and_apart(apart: float, finite: bool) -> None:
    values = allowed(2)
    values[8:10] = 0.0, apart
    assert bool(np.isfinite(un.log_prior(values, 2))) is finite
