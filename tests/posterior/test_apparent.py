"""Apparent scores: inverse maps, volumes, and what a trace hardly sees leaves it alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from ecguard import family
from ecguard.posterior import apparent
from ecguard.posterior import coordinates as co
from ecguard.posterior.exact import FromPrior
from ecguard.posterior.likelihood import Likelihood, Observation, SimulatorLikelihood
from ecguard.posterior.unknowns import draw_prior, join, ranges, split
from ecguard.waveforms import chronoamperometry, cyclic, square_wave, tone

N = 4000
HELD_V = -0.3
SWEEPING = np.nan
ALPHA, RATE = 3, 4

from_scores = jax.jit(apparent.from_scores, static_argnums=2)
to_scores = jax.jit(apparent.to_scores, static_argnums=2)
to_coordinates = jax.jit(lambda unknowns: co.to_coordinates(split(unknowns)))
to_unknowns = jax.jit(lambda coordinates: join(co.to_electrode(coordinates)))

both = pytest.mark.parametrize("n_couples", [1, 2])
traces = pytest.mark.parametrize("held", [HELD_V, 0.4, -1.5, SWEEPING])


def drawn(n_couples, n=N):
    return to_coordinates(draw_prior(jax.random.key(5), n, n_couples))


@pytest.mark.parametrize(
    ("waveform", "expected"),
    [
        (cyclic(0.7, -0.7, 0.1, 256), SWEEPING),
        (square_wave(0.55, -0.016, 0.025, 20.0, 256), SWEEPING),
        (chronoamperometry(0.7, -0.25, 3.0, 256), -0.25),
        (tone(0.1, 0.010, 10.0, 256), 0.09),
    ],
)
def test_potentials_are_held_or_sweep(waveform, expected):
    found = apparent.held_potential(np.asarray(waveform.E_V)[None])
    np.testing.assert_allclose(found, [expected], atol=1e-3)


@both
@traces
def test_scores_and_coordinates_are_inverse(n_couples, held):
    coordinates = drawn(n_couples)
    scores = to_scores(coordinates, jnp.full(N, held), n_couples)
    back = from_scores(scores, jnp.full(N, held), n_couples)
    assert np.asarray(back.inside).mean() > 0.999  # rounding at the ends of intervals
    low, high = ranges(n_couples)
    values, found = to_unknowns(coordinates), to_unknowns(back.coordinates)
    off = np.abs(values - found) / (high - low)
    assert np.quantile(off, 0.999) < 2e-3
    assert np.median(off) < 2e-6


@both
@traces
def test_volume_is_the_determinant_of_the_map(n_couples, held):
    with jax.enable_x64(True):
        coordinates = jnp.asarray(np.asarray(drawn(n_couples, 20)), jnp.float64)
        scores = apparent.to_scores(coordinates, jnp.full(20, held), n_couples)
        inner = np.abs(np.asarray(scores)).max(axis=1) < 4.5

        def place(own):
            return apparent.from_scores(own, jnp.asarray(held), n_couples).coordinates

        jacobian = jax.jit(jax.vmap(jax.jacfwd(place)))(scores)
        wanted = np.linalg.slogdet(np.asarray(jacobian))[1]
        found = apparent.from_scores(scores, jnp.full(20, held), n_couples).log_volume
        np.testing.assert_allclose(found[inner], wanted[inner], rtol=0, atol=1e-8)
    assert inner.sum() > 10
    assert np.ptp(wanted) > 1.0


@both
@traces
def test_what_is_inside_is_an_electrode_of_the_prior(n_couples, held):
    """The gap between two couples is left to the prior itself."""
    near = to_scores(drawn(n_couples), jnp.full(N, held), n_couples)
    scores = near + 0.2 * jax.random.normal(jax.random.key(0), near.shape)
    found = from_scores(scores, jnp.full(N, held), n_couples)
    assert np.isfinite(found.coordinates).all()
    inside = np.asarray(found.inside)
    assert 0.3 < inside.mean() < 1.0
    values = np.asarray(to_unknowns(found.coordinates), np.float64)
    low, high = ranges(n_couples)
    fits = ((values - low) / (high - low) > -1e-4) & ((high - values) / (high - low) > -1e-4)
    assert fits[inside].all(axis=1).mean() > 0.999
    # no other scores are the same electrode
    again = np.asarray(to_scores(found.coordinates, jnp.full(N, held), n_couples))
    apart = np.abs(again - np.asarray(scores)).max(axis=1)
    inner = inside & (np.abs(np.asarray(scores)).max(axis=1) < 4)
    assert np.quantile(apart[inner], 0.99) < 1e-2


@both
@traces
def test_prior_of_scores_integrates_to_one(n_couples, held):
    """By importance sampling from a wide normal law around draws of the prior, and its twin."""
    n = 100_000
    near = np.asarray(to_scores(drawn(n_couples), jnp.full(N, held), n_couples), np.float64)
    law = stats.multivariate_normal(near.mean(axis=0), 1.3 * np.cov(near.T))
    scores = law.rvs(n, random_state=0)
    seen = Observation(None, None, jnp.zeros((n, 1)), jnp.zeros((n, 1), bool), jnp.ones(n))
    path = FromPrior(Blind(seen), jnp.full(n, held, jnp.float32), n_couples)
    weigh = jax.jit(jax.vmap(lambda own, at: own.weigh(at), in_axes=(path.axes, 0)))
    base = np.asarray(weigh(path, jnp.asarray(scores, jnp.float32)).base, np.float64)
    each = [
        law.logpdf(np.asarray(own)) for own in path.twins(jnp.asarray(scores)[:, None])[..., 0, :]
    ]
    ratio = np.exp(base - logsumexp(each, axis=0) + np.log(len(each)))
    error = ratio.std() / np.sqrt(n)
    assert ratio.mean() == pytest.approx(1.0, abs=4 * error)
    assert error < 0.05


@traces
def test_twins_are_one_electrode(held):
    seen = Observation(None, None, jnp.zeros((N, 1)), jnp.zeros((N, 1), bool), jnp.ones(N))
    path = FromPrior(Blind(seen), jnp.full(N, held), 2)
    scores = to_scores(drawn(2), path.held, 2)
    own, twin = path.twins(scores[:, None])[:, :, 0]
    np.testing.assert_array_equal(own, scores)
    np.testing.assert_array_equal(path.twins(twin[:, None])[1, :, 0], scores)
    (_, ordered), (_, turned) = (path.weigh_many(at[:, None]) for at in (scores, twin))
    low, high = ranges(2)
    assert (np.abs(ordered - turned) / (high - low)).max() < 2e-3
    turned = from_scores(twin, path.held, 2)
    assert (np.diff(co.to_electrode(turned.coordinates).E0, axis=1) < 0).all()
    volume = from_scores(scores, path.held, 2).log_volume
    np.testing.assert_allclose(turned.log_volume, volume, rtol=0, atol=2e-3)


class Blind(Likelihood):
    """Of traces that show nothing."""

    seen: Observation

    def expected(self, unknowns):  # noqa: ARG002
        return self.seen.current, 0.0

    @property
    def observation(self):
        return self.seen

    @property
    def axes(self):
        return Blind(Observation(None, None, 0, 0, 0))


def middle(waveform, n_couples):
    """An electrode from the middle of the prior, and the current [L] of coordinates [n, d]."""
    E_V, time_s = (np.asarray(leaf)[None] for leaf in (waveform.E_V, waveform.t_s))
    seen = Observation(time_s, E_V, 0.0 * E_V, E_V > -9, np.full(1, 0.05))
    likelihood = jax.tree.map(lambda leaf: leaf[0], SimulatorLikelihood.of(seen))
    one = [[0.0, 0.1, 0.5, 0.3, 0.05, np.log(3e-3), 0.5]]
    two = [[0.0, 0.2, 0.1, -0.1, 0.5, 0.8, 0.3, 0.2, -0.1, 0.12, np.log(1e-3), -4.0, 0.5, 0.45]]
    values = np.array(one if n_couples == 1 else two)
    values[:, : 2 * n_couples] += np.log(1e-5)
    values[:, 2 * n_couples : 3 * n_couples] += 1.0
    values = np.column_stack([values, [[family.RU_OHM, family.CDL_F]]])
    run = jax.jit(jax.vmap(lambda own: likelihood.expected(own)[0]))
    return to_coordinates(values), lambda coordinates: np.asarray(run(to_unknowns(coordinates)))


def changed_by(coordinates, scores_of, electrode_of, current, moves):
    """Largest change of the current, as a share of its range, when scores move by half."""
    scores = np.repeat(np.asarray(scores_of(coordinates)), len(moves) + 1, axis=0)
    for row, position in enumerate(moves, start=1):
        scores[row, position] += 0.5
    traces = current(electrode_of(jnp.asarray(scores)))
    return np.abs(traces - traces[0]).max(axis=1)[1:] / np.ptp(traces[0])


def apparently(held, n_couples):
    """Scores of coordinates, and coordinates of scores."""
    return (
        lambda own: apparent.to_scores(own, held, n_couples),
        lambda scores: apparent.from_scores(scores, held, n_couples).coordinates,
    )


def in_the_priors(n_couples):
    """The same in the scores of the prior."""
    return (lambda own: co.to_scores(own, n_couples), lambda own: co.from_scores(own, n_couples))


def test_a_held_trace_is_left_alone_by_diffusion_coefficients_and_alpha():
    """Moves of D and alpha leave the rate that a step shows alone; in other scores they do not."""
    waveform = chronoamperometry(0.7, 0.02, 3.0, 256)
    coordinates, current = middle(waveform, 1)
    held = apparent.held_potential(np.asarray(waveform.E_V)[None])
    wide, thin = (1, 2, ALPHA), (0, RATE)
    maps = apparently(held, 1)
    assert changed_by(coordinates, *maps, current, wide).max() < 0.01
    assert changed_by(coordinates, *maps, current, thin).min() > 0.03
    assert changed_by(coordinates, *in_the_priors(1), current, wide).max() > 0.2


@both
def test_a_sweeping_trace_is_left_alone_by_the_diffusion_coefficients(n_couples):
    waveform = cyclic(0.7, -0.7, 0.1, 256)
    coordinates, current = middle(waveform, n_couples)
    wide = [co.couple_start(couple) + k for couple in range(n_couples) for k in (1, 2)]
    maps = apparently(jnp.full(1, jnp.nan), n_couples)
    assert changed_by(coordinates, *maps, current, wide).max() < 0.01
    assert changed_by(coordinates, *in_the_priors(n_couples), current, wide).max() > 0.05
