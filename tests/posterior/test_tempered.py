"""Tempered sampling against a linear-Gaussian closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.posterior.tempered import (
    TemperedSettings,
    blocks,
    over_blocks,
    sample_tempered,
    thinned,
)

from .linear import CASES, problem


@pytest.fixture(scope="module")
def sampled():
    path, *closed = problem()
    settings = TemperedSettings(8192, 32, share=0.8)
    return sample_tempered(path, jax.random.split(jax.random.key(1), CASES), settings), *closed


def test_evidence_is_that_of_the_closed_form(sampled):
    found, evidence, _, _ = sampled
    assert np.abs(found.log_evidence - evidence).max() <= 0.1


def test_draws_have_the_closed_forms_moments(sampled):
    found, _, mean, std = sampled
    assert np.abs((found.scores.mean(axis=1) - mean) / std).max() < 0.3
    assert np.abs(found.scores.std(axis=1) / std - 1).max() < 0.15


def test_a_planted_noise_shows_in_evidence_and_width(sampled):
    """With three samples for four unknowns, the evidence hardly depends on a slightly wrong one."""
    _, evidence, _, std = sampled
    path, *_ = problem(width=3.0)
    keys = jax.random.split(jax.random.key(1), CASES)
    found = sample_tempered(path, keys, TemperedSettings(2048, 32))
    assert np.abs(found.log_evidence - evidence).max() > 0.5
    assert (found.scores.std(axis=1) / std).mean() > 1.2


def test_a_case_does_not_depend_on_its_block():
    path, *_ = problem()
    keys = jax.random.split(jax.random.key(2), CASES)
    settings = TemperedSettings(128, 8, final_rounds=2, n_draws=64, block=4)
    together = sample_tempered(path, keys, settings)
    first = eqx.tree_at(lambda p: p.seen, path, path.seen[:2])
    alone = sample_tempered(first, keys[:2], settings)
    np.testing.assert_array_equal(alone.scores, together.scores[:2])
    np.testing.assert_array_equal(alone.log_evidence, together.log_evidence[:2])


def test_blocks_have_one_size_and_hold_every_row():
    found = blocks(np.arange(10), 4)
    assert [len(rows) for rows in found] == [4, 4, 4]
    np.testing.assert_array_equal(np.unique(np.concatenate(found)), np.arange(10))


def test_blocks_come_back_in_their_order():
    found = over_blocks(lambda rows: rows.tolist(), np.arange(5), 2)
    assert found == [[0, 1], [2, 3], [4, 4]]


def test_thinned_draws_are_even_and_hold_both_ends():
    draws = np.arange(20).reshape(2, 10, 1)
    np.testing.assert_array_equal(thinned(draws, 4)[..., 0], [[0, 3, 6, 9], [10, 13, 16, 19]])
    np.testing.assert_array_equal(thinned(draws, 10), draws)


def test_a_path_draws_for_many_cases_as_for_each():
    path, *_ = problem()
    keys = jax.random.split(jax.random.key(4), CASES)
    each = [path.draw(key, 3) for key in keys]
    np.testing.assert_allclose(path.draw_many(keys, 3), each, rtol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_particles": 100, "chain_length": 32},
        {"share": 1.0},
        {"share": float("nan")},
        {"n_draws": 10**6},
        {"final_rounds": 0},
        {"chain_length": 1},
        {"block": True},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        TemperedSettings(**wrong)


def test_no_finite_weight_is_an_error():
    path, *_ = problem(cases=1)
    nothing = eqx.tree_at(lambda p: p.seen, path, path.seen * jnp.nan)
    with pytest.raises(InputError, match="no particle has a finite likelihood"):
        sample_tempered(nothing, jax.random.split(jax.random.key(0), 1), TemperedSettings(64, 8))
