"""The exact engine: what apparent scores are for, and what it does with impossible traces."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard.clean_cases import CleanSettings, draw_clean
from ecguard.errors import InputError
from ecguard.posterior import apparent
from ecguard.posterior import coordinates as co
from ecguard.posterior.exact import FromPrior, infer_exact
from ecguard.posterior.likelihood import SimulatorLikelihood
from ecguard.posterior.population import PopulationSettings, sample_population
from ecguard.posterior.tempered import LOWEST, Particle, Path
from ecguard.posterior.unknowns import join, log_prior, split

CASES = 4


class InCoordinates(Path):
    """The same posterior in scores whose intervals hang on the wide coordinates."""

    likelihood: SimulatorLikelihood
    n_couples: int = eqx.field(static=True)

    def draw(self, key, n):
        raise NotImplementedError

    def weigh(self, scores):
        coordinates = co.from_scores(scores, self.n_couples)
        electrode = co.to_electrode(coordinates)
        low, high = co.intervals(coordinates, self.n_couples)
        stretch = jnp.sum(jnp.log(high - low) + jax.scipy.stats.norm.logpdf(scores))
        base = log_prior(join(electrode), self.n_couples) + co.log_volume(electrode) + stretch
        return Particle(scores, base, self.likelihood(join(electrode)))

    @property
    def axes(self):
        return InCoordinates(0, self.n_couples)


def keys(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


@pytest.fixture(scope="module")
def group():
    found = draw_clean(CleanSettings(n_cases=24, tasks=("cv",)))
    return next(own for own in found if own.n_couples == 2).take(slice(0, CASES))


@pytest.fixture(scope="module")
def likelihood(group):
    return SimulatorLikelihood.of(group.observation)


@pytest.fixture(scope="module")
def found(likelihood, group):
    return infer_exact(likelihood, 2, keys(CASES), truth=group.unknowns)


def test_two_couples_end_with_enough_effective_draws(found):
    assert (found.effective >= PopulationSettings().effective).all()
    assert (found.acceptance > 0.15).all()


def test_draws_lie_in_the_prior_and_hold_the_truth(found, group):
    inside = np.isfinite(np.asarray(log_prior(jnp.asarray(found.unknowns), 2)))
    assert inside.mean() > 0.999
    low, high = np.quantile(found.unknowns, [0.005, 0.995], axis=1)
    assert ((group.unknowns > low) & (group.unknowns < high)).mean() > 0.92
    assert (found.lead < 0).all()


def test_the_same_draws_are_worth_little_in_other_scores(found, likelihood):
    """One normal shape fitted to a posterior's own draws holds it in apparent scores alone."""
    once = PopulationSettings(n_proposals=4096, components=1, most_rounds=1)
    path, bent = FromPrior.of(likelihood, 2), InCoordinates(likelihood, 2)
    coordinates = co.to_coordinates(split(jnp.asarray(found.unknowns)))
    start = np.asarray(apparent.to_scores(coordinates, path.held[:, None], 2))
    straight = sample_population(path, keys(CASES), once, start)
    other = sample_population(bent, keys(CASES), once, np.asarray(co.to_scores(coordinates, 2)))
    assert np.median(straight.efficiency) > 4 * np.median(other.efficiency)


@pytest.mark.parametrize(
    ("name", "n_couples", "own", "truth"),
    [
        ("n_couples", 0, keys(CASES), None),
        ("n_couples", 3, keys(CASES), None),
        ("n_couples", None, keys(CASES), None),
        ("keys", 2, keys(CASES - 1), None),
        ("keys", 2, keys(CASES + 1), None),
        ("keys", 2, jax.random.key(0), None),
        ("truth", 2, keys(CASES), np.zeros((CASES, 9))),
        ("truth", 1, keys(CASES), np.zeros((CASES - 1, 9))),
        ("truth", 1, keys(CASES), np.zeros(9)),
    ],
)
def test_arguments_that_do_not_fit_the_traces_are_named(likelihood, name, n_couples, own, truth):
    with pytest.raises(InputError) as raised:
        infer_exact(likelihood, n_couples, own, truth=truth)
    assert raised.value.name == name


def test_scores_off_the_prior_weigh_nothing(likelihood):
    """Held at 0.4 V, these would have a negative concentration, which is taken for none."""
    path = FromPrior(likelihood, jnp.full(CASES, 0.4), 2)
    moved = {0: 1.0, 4: -0.8, 5: -0.5, 13: -0.8, 14: 0.5}  # more flux, slower, E0 apart
    far = jnp.tile(jnp.array([moved.get(k, 0.0) for k in range(16)]), (CASES, 1, 1))
    electrode = co.to_electrode(apparent.from_scores(far[0], path.held[:1], 2).coordinates)
    assert np.isfinite(log_prior(join(electrode), 2)).all()
    weighed, _ = path.weigh_many(far)
    assert (np.asarray(weighed.base) == LOWEST).all()
    assert not np.isfinite(np.asarray(weighed.gain)).any()
