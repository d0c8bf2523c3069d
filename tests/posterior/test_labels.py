"""Twins: what is one region without an order of labels is one region to the samplers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard.posterior.labels import aligned
from ecguard.posterior.tempered import Particle, Path, TemperedSettings, sample_tempered

N = 2000
SEEN, WIDTH = 0.3, 0.02  # of the couple that shows; the other one is anywhere in 0..1


def pairs(share=0.5):
    """One thing seen and one anywhere [n, 2], a share of them the other way round."""
    rng = np.random.default_rng(4)
    both = np.stack([SEEN + WIDTH * rng.standard_normal(N), rng.random(N)], axis=1)
    return jnp.asarray(np.where(rng.random((N, 1)) < share, both[:, ::-1], both))


def twins(scores):
    return jnp.stack([scores, scores[..., ::-1]])


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_what_is_seen_ends_in_one_place(share):
    drawn = pairs(share)
    found = np.asarray(aligned(twins(drawn), jnp.full(N, 1 / N), jnp.asarray(7)))
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(drawn, axis=1))
    thin, wide = sorted(found.std(axis=0))
    assert thin < 1.3 * WIDTH
    assert wide > 0.25
    assert np.sort(drawn, axis=1).std(axis=0).min() > 4 * WIDTH  # an order keeps neither


def test_particles_without_weight_do_not_matter():
    drawn = pairs().at[: N // 2].add(50.0)
    weight = jnp.where(jnp.arange(N) < N // 2, 0.0, 2 / N)
    found = np.asarray(aligned(twins(drawn), weight, jnp.asarray(N - 1)))
    assert found[N // 2 :].std(axis=0).min() < 1.3 * WIDTH


def test_without_twins_nothing_moves():
    drawn = pairs()
    np.testing.assert_array_equal(aligned(drawn[None], jnp.full(N, 1 / N), jnp.asarray(0)), drawn)


class Seen(Path):
    """Scores N(0, 1) in any order, of which one is seen; `named` says whether twins are."""

    place: jax.Array
    named: bool = eqx.field(static=True)

    def draw(self, key, n):
        return jax.random.normal(key, (n, 2))

    def weigh(self, scores):
        base = jnp.sum(jax.scipy.stats.norm.logpdf(scores))
        gain = jax.nn.logsumexp(jax.scipy.stats.norm.logpdf(scores, self.place, WIDTH))
        return Particle(scores, base, gain)

    def twins(self, scores):
        return twins(scores) if self.named else scores[None]

    @property
    def axes(self):
        return Seen(0, self.named)


def test_moves_follow_one_region_where_labels_mean_nothing():
    keys = jax.random.split(jax.random.key(3), 4)
    settings = TemperedSettings(final_rounds=4)
    place = jnp.array([0.0, 0.5, -0.5, 1.0])
    one = sample_tempered(Seen(place, True), keys, settings)
    two = sample_tempered(Seen(place, False), keys, settings)
    thin, wide = np.sort(one.scores.std(axis=1), axis=1).T
    assert (thin < 1.3 * WIDTH).all()
    assert (wide > 0.85).all()
    assert (two.scores.std(axis=1) > 5 * WIDTH).all()
    assert (one.acceptance > 1.3 * two.acceptance).all()
    wanted = np.log(2.0) - 0.5 * (np.asarray(place) ** 2 + np.log(2 * np.pi))
    np.testing.assert_allclose(one.log_evidence, wanted, atol=0.25)
