"""Densities on an interval: they integrate to one, and draws follow them, in every tail."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, logistic

from ecguard.posterior.amortised import mixture as mx
from ecguard.posterior.amortised.mixture import Mixture
from ecguard.posterior.coordinates import Interval

N_DRAWS = 4000
FARTHEST = 0.035  # a share of 1e-4 of comparisons of so many draws lies beyond
ENDS = ((-1.0, 1.0), (0.3, 0.35), (0.3, 0.30001))
# of a component, in its scales: how far it lies outside of the interval, or None: in the middle
AWAY = (-1000.0, -200.0, -50.0, None, 50.0, 200.0, 1000.0)
SCALES = (1e-4, 1e-2, 0.3, 2.7, 100.0)
LONE = list(itertools.product(ENDS, SCALES, AWAY))

STD = np.pi / np.sqrt(3.0)
"""Of a logistic distribution, in its scales: log odds are as many scores."""

place = jax.jit(mx.place)
log_density = jax.jit(mx.log_density)
draw = jax.jit(mx.draw)


def location(ends: tuple[float, float], scale: float, away: float | None) -> float:
    if away is None:
        return sum(ends) / 2
    return ends[int(away > 0)] + away * scale


def stacked() -> tuple[Mixture, Interval]:
    """Every lone component, then mixtures of three [n, 3]."""
    rng = np.random.default_rng(1)
    lone = [
        ([0.0, -np.inf, -np.inf], [location(*case)] * 3, [np.log(case[1])] * 3) for case in LONE
    ]
    several = [
        (
            rng.normal(size=3),
            [location(ends, s, a) for s, a in zip(scales, aways, strict=True)],
            np.log(scales),
        )
        for ends in ENDS
        for scales, aways in (
            ((0.01, 0.3, 2.7), (None, 50.0, -50.0)),
            ((1e-3, 1e-2, 0.1), (-5.0, None, 3.0)),
        )
    ]
    leaves = (np.stack(leaf) for leaf in zip(*lone, *several, strict=True))
    ends = [case[0] for case in LONE] + [ends for ends in ENDS for _ in range(2)]
    mixture = Mixture(*(jnp.asarray(leaf, jnp.float32) for leaf in leaves))
    return mixture, Interval(*jnp.asarray(ends, jnp.float32).T)


def distance(values: np.ndarray, density: np.ndarray, drawn: np.ndarray) -> float:
    """Of Kolmogorov and Smirnov, between draws and a tabulated density."""
    area = np.diff(values) * (density[1:] + density[:-1]) / 2
    below = np.concatenate([[0.0], np.cumsum(area)])
    return kstest(drawn, lambda x: np.interp(x, values, below / below[-1])).statistic


@pytest.fixture(scope="module")
def tabulated() -> tuple[np.ndarray, np.ndarray]:
    """Values across each interval, dense where a component is steep, and densities [n, V]."""
    mixture, interval = stacked()
    low, high = (np.asarray(end, np.float64)[:, None] for end in interval)
    steps = np.concatenate([[0.0], np.geomspace(1e-4, 40.0, 400)])
    scale = np.exp(np.asarray(mixture.log_scale, np.float64))[:, :, None]
    centre = np.asarray(mixture.location, np.float64)[:, :, None]
    parts = [low + (high - low) * np.linspace(0.0, 1.0, 401)]
    for start, direction in ((low[..., None], 1), (high[..., None], -1), (centre, 1), (centre, -1)):
        parts.append((start + direction * steps * scale).reshape(len(low), -1))
    values = np.sort(np.clip(np.concatenate(parts, axis=1), low, high).astype(np.float32), axis=1)
    wide = jax.tree.map(lambda leaf: leaf[:, None], (mixture, interval))
    density = np.exp(np.asarray(log_density(wide[0], jnp.asarray(values), wide[1]), np.float64))
    return values.astype(np.float64), density


def repeated(n: int) -> tuple[Mixture, Interval]:
    """Those that are `stacked`, n times each [stacked, n, 3]."""
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf[:, None], (len(leaf), n, *leaf.shape[1:])), stacked()
    )


@pytest.fixture(scope="module")
def drawn() -> mx.Placed:
    many = repeated(N_DRAWS)
    shape = many[1].low.shape
    return draw(*many, *jax.random.uniform(jax.random.key(3), (2, *shape)))


@pytest.fixture(scope="module")
def draws(drawn: mx.Placed) -> np.ndarray:
    return np.asarray(drawn.value, np.float64)


def test_density_integrates_to_one(tabulated: tuple[np.ndarray, np.ndarray]) -> None:
    values, density = tabulated
    assert np.isfinite(density).all()
    np.testing.assert_allclose(np.trapezoid(density, values, axis=1), 1.0, atol=3e-3)


def test_draws_lie_in_the_interval(draws: np.ndarray) -> None:
    low, high = (np.asarray(end)[:, None] for end in stacked()[1])
    assert ((draws >= low) & (draws <= high)).all()


def test_draws_follow_the_density(
    tabulated: tuple[np.ndarray, np.ndarray], draws: np.ndarray
) -> None:
    assert max(distance(*case) for case in zip(*tabulated, draws, strict=True)) < FARTHEST


def test_the_comparison_sees_another_density(
    tabulated: tuple[np.ndarray, np.ndarray], draws: np.ndarray
) -> None:
    values, density = (leaf[LONE.index((ENDS[0], 0.3, -50.0))] for leaf in tabulated)
    mirrored = draws[LONE.index((ENDS[0], 0.3, 50.0))]
    assert distance(values, density, mirrored) > 0.3
    assert distance(values, density * np.exp(0.3 * values), -mirrored) > FARTHEST


def test_gradients_are_finite() -> None:
    mixture, interval = stacked()
    finite = mixture._replace(logits=jnp.maximum(mixture.logits, -30.0))

    @jax.jit
    @jax.grad
    def gradient(mixture: Mixture, share: float) -> jax.Array:
        value = interval.low + share * (interval.high - interval.low)
        return jnp.sum(log_density(mixture, value, interval))

    for share in (0.0, 0.3, 1.0):
        for leaf in gradient(finite, share):
            assert np.isfinite(leaf).all()


def test_an_interval_without_length_is_its_one_value() -> None:
    mixture = jax.tree.map(lambda leaf: leaf[:4], stacked()[0])
    low, scores = jnp.full(4, 0.25), jnp.linspace(-2.0, 2.0, 4)
    for high in (low, low - 1e-7):
        interval = Interval(low, high)
        chances = jnp.array([0.0, 0.1, 0.9, 1.0])
        for found in (
            place(mixture, interval, scores),
            draw(mixture, interval, chances[::-1], chances),
        ):
            np.testing.assert_allclose(found.value, 0.25, atol=1e-6)
            assert all(np.isfinite(leaf).all() for leaf in found)


def test_a_draw_knows_its_score_and_its_density(drawn: mx.Placed) -> None:
    many = repeated(N_DRAWS)
    assert all(np.isfinite(leaf).all() for leaf in drawn)
    again = place(*many, drawn.score)
    length = np.asarray(many[1].high - many[1].low)
    off = np.abs(np.asarray(again.value, np.float64) - np.asarray(drawn.value, np.float64))
    assert np.quantile(off / length, 0.999) < 1e-3
    for name in ("log_density", "log_score_density"):
        apart = np.asarray(getattr(again, name) - getattr(drawn, name))
        assert np.quantile(np.abs(apart), 0.999) < 1e-3


def eight(n: int, log_scale: float) -> tuple[Mixture, Interval]:
    """Mixtures of eight components of about this ln scale [n, 1, 8], cut at -1 and 1."""
    logits, location, moved = np.random.default_rng(3).normal(size=(3, n, 1, 8))
    leaves = (logits, 0.6 * location, log_scale + moved)
    mixture = Mixture(*(jnp.asarray(leaf, jnp.float32) for leaf in leaves))
    return mixture, Interval(-jnp.ones((n, 1)), jnp.ones((n, 1)))


def spread(given: tuple[Mixture, Interval], n: int) -> tuple[Mixture, Interval]:
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(leaf), n, *leaf.shape[2:])), given)


def test_the_density_of_scores_integrates_to_one() -> None:
    scores = jnp.broadcast_to(jnp.linspace(-25.0, 25.0, 20_001), (100, 20_001))
    found = place(*spread(eight(100, -3.0), 20_001), scores)
    density = np.exp(np.asarray(found.log_score_density, np.float64))
    area = np.trapezoid(density, np.asarray(scores, np.float64), axis=1)
    np.testing.assert_allclose(area, 1.0, atol=1e-3)


def test_it_does_where_most_lies_beyond_an_end() -> None:
    """And a light wide component within, far in the tail of the lone one that stands for both."""
    leaves = ([0.0, -12.0], [-1.2, 0.0], np.log([0.004, 0.3]))
    mixture = Mixture(*(jnp.asarray(leaf, jnp.float32)[None] for leaf in leaves))
    scores = np.linspace(-50.0, 500.0, 400_001)
    many = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (len(scores), *leaf.shape[1:])),
        (mixture, Interval(-jnp.ones(1), jnp.ones(1))),
    )
    found = place(*many, jnp.asarray(scores, jnp.float32))
    density = np.exp(np.asarray(found.log_score_density, np.float64))
    assert np.trapezoid(density, scores) == pytest.approx(1.0, abs=1e-3)


def test_scores_of_draws_follow_their_density() -> None:
    many = spread(eight(40, -3.0), N_DRAWS)
    shape = many[1].low.shape
    found = draw(*many, *jax.random.uniform(jax.random.key(6), (2, *shape)))
    scores = np.linspace(-25.0, 25.0, 20_001)
    even = jnp.broadcast_to(jnp.asarray(scores, jnp.float32), (40, 20_001))
    wanted = place(*spread(eight(40, -3.0), 20_001), even).log_score_density
    each = zip(np.exp(np.asarray(wanted, np.float64)), np.asarray(found.score), strict=True)
    assert max(distance(scores, *own) for own in each) < FARTHEST


def test_the_density_of_scores_is_that_of_values_over_their_slope() -> None:
    scores = jnp.broadcast_to(jnp.linspace(-4.0, 4.0, 81), (100, 81))
    many = spread(eight(100, -2.0), 81)
    slope = jax.jvp(lambda s: mx.place(*many, s).value, (scores,), (jnp.ones_like(scores),))[1]
    found = place(*many, scores)
    inside = np.abs(np.asarray(found.value)) < 0.999
    assert inside.mean() > 0.9
    off = np.asarray(found.log_density + jnp.log(slope) - found.log_score_density)
    assert np.abs(off[inside]).max() < 2e-3


def test_values_rise_with_the_score_and_stay_inside_however_far() -> None:
    mixture, interval = stacked()
    scores = jnp.array([-300.0, -30.0, -6.0, -3.0, -0.5, 0.0, 1e-4, 0.5, 3.0, 6.0, 30.0, 300.0])
    each = jax.vmap(lambda score: place(mixture, interval, jnp.full(len(interval.low), score)))
    found = each(scores)
    assert all(np.isfinite(leaf).all() for leaf in found)
    values = np.asarray(found.value, np.float64)
    assert ((values >= interval.low) & (values <= interval.high)).all()
    room = 1e-5 * np.asarray(interval.high - interval.low) + 1e-7
    assert (np.diff(values, axis=0) > -room).all()


def alone(location: float, scale: float) -> tuple[Mixture, Interval]:
    """One component, cut at -1 and 1."""
    leaves = (jnp.full((1, 1), value) for value in (0.0, location, np.log(scale)))
    return Mixture(*leaves), Interval(-jnp.ones(1), jnp.ones(1))


def test_far_values_of_a_component_beyond_an_end_are_those_of_its_tail() -> None:
    """Against bisection in double precision, on either side and at both ends of the scores."""
    scale = np.exp(-4.8)

    def log_mass(low: float, high: float, location: float) -> float:
        first, last = logistic.logcdf([low, high], location, scale)
        with np.errstate(divide="ignore"):
            return float(last + np.log(-np.expm1(first - last)))

    def bisected(location: float, odds: float) -> float:
        low, high = -1.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            below, above = log_mass(-1.0, middle, location), log_mass(middle, 1.0, location)
            low, high = (low, middle) if below - above > odds else (middle, high)
        return low

    for location in (1.2, -1.2, 0.1):
        for score in (-100.0, -60.0, -12.0, -4.0, 0.3, 4.0, 12.0, 60.0, 100.0):
            found = place(*alone(location, scale), jnp.full(1, score)).value
            wanted = bisected(location, STD * score)
            assert float(found[0]) == pytest.approx(wanted, abs=1e-4), (location, score)


def test_values_of_one_narrow_component_are_as_many_stds_away() -> None:
    """Without a cut in reach."""
    for score in (-40.0, -12.0, -4.0, -1.0, 0.0, 2.0, 9.0, 40.0):
        found = place(*alone(0.2, 0.01), jnp.full(1, score)).value
        assert float(found[0]) == pytest.approx(0.2 + 0.01 * STD * score, abs=5e-5)


def test_no_draw_is_farther_out_than_draws_of_its_chance() -> None:
    """Also where chance is 0 or 1, which single precision gives once in some million draws."""
    own = jax.tree.map(lambda leaf: jnp.repeat(leaf, 2, axis=0), alone(0.2, 0.01))
    found = draw(*own, jnp.full(2, 0.5), jnp.array([0.0, 1.0]))
    farthest = 0.01 * np.log(2.0**24)
    np.testing.assert_allclose(found.value, [0.2 - farthest, 0.2 + farthest], atol=1e-4)


def test_one_component_stands_for_the_mean_and_the_std_of_all() -> None:
    mixture, interval = eight(200, -6.0)
    narrow = mixture._replace(location=0.1 * mixture.location)
    weight = np.asarray(jax.nn.softmax(narrow.logits, axis=-1), np.float64)[:, 0]
    location, log_scale = (np.asarray(leaf, np.float64)[:, 0] for leaf in narrow[1:])
    mean = (weight * location).sum(axis=1)
    second = (weight * (location**2 + (STD * np.exp(log_scale)) ** 2)).sum(axis=1)
    std = np.sqrt(second - mean**2)
    for score in (-1.0, 0.0, 2.0):
        found = place(narrow, interval, jnp.full((200, 1), score)).value[:, 0]
        np.testing.assert_allclose(found, mean + score * std, atol=2e-5)


def test_values_of_a_mirrored_mixture_are_mirrored() -> None:
    mixture, ends = eight(200, -3.0)
    mirrored = mixture._replace(location=-mixture.location)
    for score in (0.3, 2.0, 5.0, 6.5):
        found = place(mixture, ends, jnp.full((200, 1), -score))
        other = place(mirrored, ends, jnp.full((200, 1), score))
        np.testing.assert_allclose(found.value, -other.value, atol=1e-5)
        np.testing.assert_allclose(found.log_score_density, other.log_score_density, atol=2e-3)
