"""The amortised density: one law of all its forms, on the support, of unit mass."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ecguard import family
from ecguard.posterior import coordinates as co
from ecguard.posterior.amortised.network import (
    N_COORDINATES,
    N_PREFIX,
    Draws,
    Network,
    Seen,
    Sizes,
    describe_waveform,
    log_density_of,
    prefix_features,
    sample,
    transport,
)
from ecguard.posterior.amortised.traces import N_MODES, Projection
from ecguard.posterior.unknowns import MAX_COUPLES, join, log_prior, n_unknowns

N, N_TRACES = 4000, 3

log_density = jax.jit(log_density_of)
mixtures = jax.jit(Network.mixtures, static_argnums=3)
intervals = jax.jit(co.intervals, static_argnums=1)

both = pytest.mark.parametrize("n_couples", [1, 2])


class Given(NamedTuple):
    network: Network
    summary: jax.Array


@pytest.fixture(scope="module")
def given() -> Given:
    """A random network whose densities are wide, and summaries of three traces."""
    sizes = Sizes(width=32, depth=1, summary=16, hidden=16, components=3)
    network = Network(sizes, key=jax.random.key(0))
    wide = network.out_bias.at[:, 2 * sizes.components :].set(1.0)
    network = eqx.tree_at(lambda n: n.out_bias, network, wide)
    return Given(network, jax.random.normal(jax.random.key(1), (N_TRACES, sizes.summary)))


@pytest.fixture(scope="module")
def drawn(given: Given) -> dict[int, Draws]:
    """N draws of every trace in one row, for each number of couples."""

    def draws(m: int) -> Draws:
        shape = 2, N_TRACES, N, n_unknowns(m)
        return sample(*given, *jax.random.uniform(jax.random.key(40 + m), shape))

    return {
        m: Draws(*(leaf.reshape(N_TRACES * N, *leaf.shape[2:]) for leaf in draws(m)))
        for m in (1, 2)
    }


def density(given: Given, coordinates: jax.Array, n_couples: int) -> np.ndarray:
    """ln density of as many coordinates of each trace [n, 7 m + 2]."""
    found = log_density(
        given.network,
        jnp.repeat(given.summary, len(coordinates) // N_TRACES, axis=0),
        coordinates,
        intervals(coordinates, n_couples),
        jnp.ones(coordinates.shape, bool),
    )
    return np.asarray(found, np.float64)


@both
def test_draws_know_their_density(given: Given, drawn: dict[int, Draws], n_couples: int) -> None:
    coordinates, _, own, _ = drawn[n_couples]
    off = np.abs(density(given, coordinates, n_couples) - own)
    assert np.quantile(off, 0.99) < 1e-4
    assert off.max() < 0.02
    interval = intervals(coordinates, n_couples)
    narrowest = np.asarray(interval.high - interval.low).min(axis=1)
    assert (off < 2e-3 + 1e-7 / narrowest).all()  # ends of an interval round, and its width with it
    assert np.ptp(own) > 1.0


@both
def test_draws_are_electrodes_of_the_prior(drawn: dict[int, Draws], n_couples: int) -> None:
    unknowns = join(co.to_electrode(drawn[n_couples].coordinates))
    assert np.isfinite(log_prior(unknowns, n_couples)).all()


@both
def test_draws_follow_their_density(drawn: dict[int, Draws], n_couples: int) -> None:
    coordinates, _, own, _ = drawn[n_couples]
    electrode = co.to_electrode(coordinates)
    prior = log_prior(join(electrode), n_couples) + co.log_volume(electrode)
    ratio = np.exp(np.asarray(prior - own, np.float64))
    error = ratio.std() / np.sqrt(len(ratio))
    assert ratio.mean() == pytest.approx(1.0, abs=4 * error)
    assert error < 0.1


@both
def test_scores_are_those_that_transport_would_take(
    given: Given, drawn: dict[int, Draws], n_couples: int
) -> None:
    own = drawn[n_couples]
    d = n_unknowns(n_couples)
    again = transport(*given, own.scores.reshape(N_TRACES, N, d))
    low, high = co.widest(MAX_COUPLES)[:d].T
    off = np.abs(np.asarray(again.coordinates.reshape(-1, d) - own.coordinates)) / (high - low)
    assert np.quantile(off, 0.999) < 1e-4
    for name in ("log_density", "log_score_density"):
        apart = getattr(again, name).ravel() - getattr(own, name)
        assert np.quantile(np.abs(np.asarray(apart)), 0.99) < 2e-3


@both
def test_the_density_over_scores_integrates_to_one(given: Given, n_couples: int) -> None:
    shape = N_TRACES, N, n_unknowns(n_couples)
    scores = jax.random.logistic(jax.random.key(20 + n_couples), shape) * np.sqrt(3.0) / np.pi
    found = transport(*given, scores)
    proposal = stats.logistic.logpdf(np.asarray(scores), scale=np.sqrt(3.0) / np.pi).sum(axis=-1)
    ratio = np.exp(np.asarray(found.log_score_density, np.float64) - proposal)
    error = ratio.std(axis=1) / np.sqrt(N)
    assert (np.abs(ratio.mean(axis=1) - 1.0) < 4 * error).all()
    assert ((error > 0.002) & (error < 0.2)).all()


@both
def test_density_integrates_to_one(given: Given, n_couples: int) -> None:
    scores = jax.random.normal(jax.random.key(2), (N_TRACES * N, n_unknowns(n_couples)))
    coordinates = co.from_scores(scores, n_couples)
    low, high = intervals(coordinates, n_couples)
    uniform = -np.log(np.asarray(high - low, np.float64)).sum(axis=1)
    ratio = np.exp(density(given, coordinates, n_couples) - uniform).reshape(N_TRACES, N)
    error = ratio.std(axis=1) / np.sqrt(N)
    assert (np.abs(ratio.mean(axis=1) - 1.0) < 4 * error).all()
    assert ((error > 0.002) & (error < 0.2)).all()


@pytest.mark.parametrize("value", [0.5, -7.0])
def test_coordinates_of_an_absent_couple_have_no_influence(
    given: Given, drawn: dict[int, Draws], value: float
) -> None:
    coordinates = drawn[1].coordinates
    ends = intervals(coordinates, 1)

    def filled(values: jax.Array, absent: float) -> jax.Array:
        whole = jnp.full((len(values), N_COORDINATES), absent)
        return whole.at[:, : values.shape[1]].set(values)

    found = log_density(
        given.network,
        jnp.repeat(given.summary, N, axis=0),
        filled(coordinates, value),
        co.Interval(filled(ends.low, 0.0), filled(ends.high, 1.0)),
        jnp.arange(N_COORDINATES) < jnp.full((len(coordinates), 1), n_unknowns(1)),
    )
    np.testing.assert_allclose(found, density(given, coordinates, 1), rtol=1e-5, atol=1e-5)


def test_a_coordinate_is_told_of_those_before_it_only(given: Given) -> None:
    coordinates = jax.random.uniform(jax.random.key(3), (1, N_COORDINATES))
    moved = coordinates + 0.5 * jnp.eye(N_COORDINATES)
    plain, changed = (
        mixtures(given.network, given.summary[:1], prefix_features(rows), N_COORDINATES)
        for rows in (jnp.broadcast_to(coordinates, moved.shape), moved)
    )
    for before, after in zip(plain, changed, strict=True):
        told = np.any(np.asarray(before != after), axis=-1)  # [density, moved]
        np.testing.assert_array_equal(told, np.tri(N_COORDINATES, k=-1, dtype=bool))


def test_one_density_is_that_of_all(given: Given) -> None:
    features = jax.random.normal(jax.random.key(4), (N_TRACES, N_PREFIX))
    every = mixtures(given.network, given.summary, features, N_COORDINATES)
    for position in (0, 8, 15):
        told = given.network.tell(position, given.summary)
        one = given.network.mixture(position, told, features)
        for a, b in zip(one, every, strict=True):
            np.testing.assert_allclose(a, b[position], rtol=1e-4, atol=1e-4)


def test_the_summary_reads_everything_it_is_shown(given: Given) -> None:
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=(2, 1, N_MODES))
    E_V = np.linspace([0.7], [-0.7], family.N_SAMPLES, axis=1)
    time_s = np.linspace([0.0], [5.0], family.N_SAMPLES, axis=1)
    seen = Seen(
        Projection(mean, std, np.ones(1), np.ones(1)),
        describe_waveform(jnp.asarray(time_s), jnp.asarray(E_V)),
        np.zeros(1, int),
        np.ones(1, int),
    )
    others = [
        seen._replace(projection=seen.projection._replace(**{name: 1.1 * value + 0.1}))
        for name, value in seen.projection._asdict().items()
    ]
    others += [
        seen._replace(waveform=describe_waveform(jnp.asarray(time_s), jnp.asarray(E_V + 0.05))),
        seen._replace(waveform=describe_waveform(jnp.asarray(2 * time_s), jnp.asarray(E_V))),
        seen._replace(task=np.ones(1, int)),
        seen._replace(n_couples=np.full(1, 2)),
    ]
    summary = given.network.summarise(seen)
    assert all(np.abs(given.network.summarise(other) - summary).max() > 1e-3 for other in others)
