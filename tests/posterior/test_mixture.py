"""Densities on an interval: they integrate to one, and draws follow them, in every tail."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, logistic, norm

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

quantile = jax.jit(mx.quantile)
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


@pytest.fixture(scope="module", params=["quantile", "draw"])
def draws(request: pytest.FixtureRequest) -> np.ndarray:
    mixture, interval = stacked()
    many = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf[:, None], (len(leaf), N_DRAWS, *leaf.shape[1:])),
        (mixture, interval),
    )
    scores = jax.random.normal(jax.random.key(2), (len(mixture.logits), N_DRAWS))
    if request.param == "quantile":
        return np.asarray(quantile(*many, scores), np.float64)
    chance = jax.random.uniform(jax.random.key(3), scores.shape)
    return np.asarray(draw(*many, scores, chance).value, np.float64)


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
    low = jnp.full(4, 0.25)
    for high in (low, low - 1e-7):
        interval = Interval(low, high)
        drawn = quantile(mixture, interval, jnp.linspace(-2.0, 2.0, 4))
        np.testing.assert_allclose(drawn, 0.25, atol=1e-6)
        assert np.isfinite(log_density(mixture, drawn, interval)).all()


def test_a_draw_knows_its_score_and_its_density() -> None:
    mixture, interval = stacked()
    n = len(mixture.logits)
    many = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf[:, None], (n, 500, *leaf.shape[1:])), (mixture, interval)
    )
    normal = jax.random.normal(jax.random.key(4), (n, 500))
    found = draw(*many, normal, jax.random.uniform(jax.random.key(5), (n, 500)))
    assert all(np.isfinite(leaf).all() for leaf in found)
    again = np.asarray(quantile(*many, found.score), np.float64)
    value = np.asarray(found.value, np.float64)
    length = np.asarray(many[1].high - many[1].low)
    assert np.quantile(np.abs(again - value) / length, 0.999) < 1e-3
    off = np.abs(np.asarray(log_density(many[0], found.value, many[1]) - found.log_density))
    assert np.quantile(off, 0.999) < 1e-3


def test_quantiles_rise_with_the_score_and_stay_inside_however_far() -> None:
    mixture, interval = stacked()
    scores = jnp.array([-30.0, -6.0, -3.0, -0.5, 0.0, 1e-4, 0.5, 3.0, 6.0, 30.0])
    each = jax.vmap(lambda score: quantile(mixture, interval, jnp.full(len(interval.low), score)))
    found = np.asarray(each(scores), np.float64)
    assert np.isfinite(found).all()
    assert ((found >= interval.low) & (found <= interval.high)).all()
    room = 1e-5 * np.asarray(interval.high - interval.low) + 1e-7
    assert (np.diff(found, axis=0) > -room).all()


def test_quantiles_are_found_in_the_steps_that_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow components far apart, where Newton's steps leave the bracket."""
    rng = np.random.default_rng(4)
    logits, location, log_scale = rng.normal(size=(3, 4000, 8)).astype(np.float32)
    mixture = Mixture(*map(jnp.asarray, (logits, 0.5 * location, log_scale - 5.0)))
    ends, scores = Interval(-jnp.ones(4000), jnp.ones(4000)), jnp.asarray(rng.normal(size=4000))
    found = mx.quantile(mixture, ends, scores)
    monkeypatch.setattr(mx, "_STEPS", 60)
    off = np.abs(np.asarray(found - mx.quantile(mixture, ends, scores)))
    assert np.quantile(off, 0.98) < 1e-5
    assert off.max() < 0.01


def test_a_quantile_between_components_does_not_stick_to_an_end() -> None:
    """Where next to no mass lies between two narrow components, and some beyond either end."""
    logits = jnp.log(jnp.array([0.6, 0.39997, 3e-5]))
    for sign in (1.0, -1.0):
        location = sign * jnp.array([-0.5, 0.5, 1.5])
        mixture = Mixture(logits, location, jnp.log(jnp.full(3, 4e-4)))
        found = quantile(mixture, Interval(jnp.array(-1.0), jnp.array(1.0)), jnp.array(sign * 3.89))
        assert sign * float(found) == pytest.approx(0.504, abs=2e-3)


def test_far_quantiles_of_a_component_beyond_an_end_are_those_of_its_tail() -> None:
    """Against bisection in double precision, on either side and at both ends of the scores."""

    def log_mass(low: float, high: float, location: float) -> float:
        first, last = logistic.logcdf([low, high], location, np.exp(-4.8))
        return float(last + np.log(-np.expm1(first - last)))

    def bisected(location: float, odds: float) -> float:
        low, high = -1.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            below, above = log_mass(-1.0, middle, location), log_mass(middle, 1.0, location)
            low, high = (low, middle) if below - above > odds else (middle, high)
        return low

    for location in (1.2, -1.2, 0.1):
        own = Mixture(*(jnp.full((1, 1), v) for v in (0.0, location, -4.8)))
        for score in (-6.5, -5.5, -4.0, 0.3, 4.0, 5.5, 6.5):
            found = quantile(own, Interval(-jnp.ones(1), jnp.ones(1)), jnp.full(1, score))
            wanted = bisected(location, norm.logcdf(score) - norm.logsf(score))
            assert float(found[0]) == pytest.approx(wanted, abs=1e-4), (location, score)


def test_quantiles_of_one_wide_component_are_those_of_the_logistic() -> None:
    """Without a cut in reach."""
    mixture = Mixture(jnp.zeros((1, 1)), jnp.full((1, 1), 0.2), jnp.log(jnp.full((1, 1), 0.01)))
    for score in (-7.0, -5.6, -4.0, -1.0, 0.0, 2.0, 4.5, 7.0):
        found = quantile(mixture, Interval(-jnp.ones(1), jnp.ones(1)), jnp.full(1, score))
        wanted = 0.2 + 0.01 * (norm.logcdf(score) - norm.logsf(score))
        assert float(found[0]) == pytest.approx(wanted, abs=5e-5)


def test_quantiles_of_a_mirrored_mixture_are_mirrored() -> None:
    rng = np.random.default_rng(3)
    logits, location, log_scale = rng.normal(size=(3, 200, 8)).astype(np.float32)
    mixture = Mixture(*map(jnp.asarray, (logits, 0.6 * location, log_scale - 3.0)))
    mirrored = mixture._replace(location=-mixture.location)
    ends = Interval(-jnp.ones(200), jnp.ones(200))
    for score in (0.3, 2.0, 5.0, 6.5):
        found = quantile(mixture, ends, jnp.full(200, -score))
        np.testing.assert_allclose(
            found, -quantile(mirrored, ends, jnp.full(200, score)), atol=2e-3
        )
