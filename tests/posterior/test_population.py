"""Population Monte Carlo against closed forms, on one mode and on two."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from ecguard.errors import InputError
from ecguard.posterior.population import PopulationSettings, sample_population
from ecguard.posterior.tempered import Particle, Path

from .linear import CASES, NOISE, D, problem


def keys(n=CASES, seed=1):
    return jax.random.split(jax.random.key(seed), n)


def off(found, closed):
    """Largest error of evidence (nat), mean (std) and std (share)."""
    _, evidence, mean, std = closed
    return (
        np.abs(found.log_evidence - evidence).max(),
        np.abs((found.unknowns.mean(axis=1) - mean) / std).max(),
        np.abs(found.unknowns.std(axis=1) / std - 1).max(),
    )


@pytest.fixture(scope="module")
def closed():
    return problem()


@pytest.fixture(scope="module")
def sampled(closed):
    return sample_population(closed.path, keys())


class TwoModes(Path):
    """Scores N(0, 3^2); the likelihood has modes about -2 and 2 with shares `share` and the rest.

    Where `spoilt`, the gain is NaN for scores above 4 and infinite below -4.
    """

    share: jax.Array
    spoilt: bool = eqx.field(static=True, default=False)

    def draw(self, key, n):
        return 3.0 * jax.random.normal(key, (n, 2))

    def weigh(self, scores):
        base = jnp.sum(jax.scipy.stats.norm.logpdf(scores, 0.0, 3.0))
        each = [jnp.sum(jax.scipy.stats.norm.logpdf(scores, at, 0.2)) for at in (-2.0, 2.0)]
        target = jnp.logaddexp(jnp.log(self.share) + each[0], jnp.log1p(-self.share) + each[1])
        gain = target - base
        if self.spoilt:
            gain = jnp.where(scores[0] > 4, jnp.nan, jnp.where(scores[0] < -4, jnp.inf, gain))
        return Particle(scores, base, gain)

    @property
    def axes(self):
        return TwoModes(0, self.spoilt)


class Mirrored(TwoModes):
    """The modes are one electrode under two names."""

    def twins(self, scores):
        return jnp.stack([scores, -scores])

    @property
    def axes(self):
        return Mirrored(0, self.spoilt)


SHARES = np.array([0.5, 0.8, 0.03])


def test_evidence_mean_and_std_are_those_of_the_closed_form(sampled, closed):
    evidence, mean, std = off(sampled, closed)
    assert evidence < 0.1
    assert mean < 0.15
    assert std < 0.12


def test_what_comes_back_has_the_shape_and_numbers_that_are_asked(sampled):
    settings = PopulationSettings()
    assert sampled.unknowns.shape == (CASES, settings.n_draws, D)
    assert sampled.unknowns.dtype == np.float32
    assert (sampled.effective >= settings.effective).all()
    assert (sampled.rounds < settings.most_rounds).all()
    assert ((sampled.efficiency > 0) & (sampled.efficiency < 1)).all()


@pytest.fixture(scope="module")
def repeated(closed):
    """The first case forty times, each with another key and few draws."""
    first = eqx.tree_at(lambda p: p.seen, closed.path, jnp.repeat(closed.path.seen[:1], 40, axis=0))
    settings = PopulationSettings(512, 400, n_draws=4000, block=40)
    return sample_population(first, keys(40), settings)


def test_means_scatter_as_the_effective_number_says(repeated, closed):
    """By std / root(effective), or up to a third more: mixtures adapt to the draws they weigh."""
    z = (repeated.unknowns.mean(axis=1) - closed.mean[0]) / closed.std
    z *= np.sqrt(repeated.effective)[:, None]
    assert 0.8 < np.sqrt(np.mean(z**2)) < 1.35
    assert np.abs(np.mean(z, axis=0)).max() < 4 * 1.3 / np.sqrt(40)


def test_evidence_has_no_bias(repeated, closed):
    """Draws must not be weighed by mixtures that were fitted to them, which lie highest there."""
    error = repeated.log_evidence - closed.evidence[0]
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(40) + 0.01


def test_two_modes_keep_their_shares_and_widths():
    path = TwoModes(jnp.asarray(SHARES))
    found = sample_population(path, keys(3), PopulationSettings(n_draws=4000))
    share = (found.unknowns[..., 0] < 0).mean(axis=1)
    np.testing.assert_allclose(share, SHARES, atol=0.06)
    np.testing.assert_allclose(found.log_evidence, 0, atol=0.1)
    away = found.unknowns - 2 * np.sign(found.unknowns)
    np.testing.assert_allclose(away.std(axis=(1, 2)), 0.2, atol=0.02)
    np.testing.assert_allclose(away.mean(axis=(1, 2)), 0.0, atol=0.03)


@pytest.mark.parametrize("share", [1.0, 0.5, None])
def test_evidence_is_the_same_wherever_twins_are_drawn(share):
    """From draws on one side, on both, or from the base, and over several rounds."""
    rng = np.random.default_rng(0)
    start = None
    if share is not None:
        side = rng.choice([2.0, -2.0], (3, 500, 1), p=[share, 1 - share])
        start = side + 0.2 * rng.standard_normal((3, 500, 2))
    settings = PopulationSettings(effective=4000)
    found = sample_population(Mirrored(jnp.full(3, 0.5)), keys(3), settings, start)
    assert (found.rounds > 1).all()
    np.testing.assert_allclose(found.log_evidence, 0.0, atol=0.05)
    np.testing.assert_allclose(np.abs(found.unknowns).std(axis=(1, 2)), 0.2, atol=0.02)


def test_one_of_two_twins_stands_for_both():
    """A mixture that finds one mode of two has found all, if they are twins, or half of it."""
    rng = np.random.default_rng(0)
    near = 2.0 + 0.2 * rng.standard_normal((3, 500, 2))
    alike = jnp.full(3, 0.5)
    once = PopulationSettings(most_rounds=1)
    apart = sample_population(TwoModes(alike), keys(3), once, near)
    found = sample_population(Mirrored(alike), keys(3), once, near)
    np.testing.assert_allclose(apart.log_evidence, np.log(0.5), atol=0.05)
    np.testing.assert_allclose(found.log_evidence, 0.0, atol=0.05)
    np.testing.assert_allclose(found.unknowns.mean(axis=(1, 2)), 2.0, atol=0.03)
    assert (found.effective > 0.8 * once.n_proposals).all()


def test_a_place_that_no_proposal_reaches_leads():
    """Half of the posterior is missed, with more effective draws than were asked for."""
    near = 2.0 + 0.2 * np.random.default_rng(0).standard_normal((3, 500, 2))
    alike, once = jnp.full(3, 0.5), PopulationSettings(most_rounds=1)
    here, there = np.full((3, 2), 2.1), np.full((3, 2), -2.1)

    def lead(path, place):
        found = sample_population(path, keys(3), once, near, place)
        assert (found.effective > 1.5 * once.effective).all()
        return found.lead

    assert (lead(TwoModes(alike), there) > 5).all()
    assert (lead(TwoModes(alike), here) < 0).all()
    assert (lead(Mirrored(alike), there) < 0).all()
    assert (lead(TwoModes(alike, spoilt=True), np.full((3, 2), 5.0)) < -1e20).all()
    assert np.isnan(sample_population(TwoModes(alike), keys(3), once, near).lead).all()


def test_gains_that_are_not_finite_weigh_nothing():
    path = TwoModes(jnp.asarray(SHARES), spoilt=True)
    found = sample_population(path, keys(3))
    assert np.isfinite(found.unknowns).all()
    assert (np.abs(found.unknowns[..., 0]) < 4).all()
    np.testing.assert_allclose((found.unknowns[..., 0] < 0).mean(axis=1), SHARES, atol=0.08)
    np.testing.assert_allclose(found.log_evidence, 0, atol=0.1)


def test_one_by_one_a_case_does_not_depend_on_the_others_at_all(closed):
    settings = PopulationSettings(512, 300, n_draws=64)
    together = sample_population(closed.path, keys(), settings)
    part = eqx.tree_at(lambda p: p.seen, closed.path, closed.path.seen[5:6])
    for alone, all_of_them in zip(
        sample_population(part, keys()[5:6], settings), together, strict=True
    ):
        np.testing.assert_array_equal(alone[0], all_of_them[5])


def test_a_case_does_not_depend_on_its_block(closed):
    settings = PopulationSettings(512, 300, n_draws=64, block=4)
    together = sample_population(closed.path, keys(), settings)
    some = [5, 2]
    part = eqx.tree_at(lambda p: p.seen, closed.path, closed.path.seen[np.array(some)])
    alone = sample_population(part, keys()[np.array(some)], settings)
    for name in ("log_evidence", "efficiency", "effective"):
        np.testing.assert_allclose(getattr(alone, name), getattr(together, name)[some], rtol=1e-3)
    np.testing.assert_array_equal(alone.rounds, together.rounds[some])
    same = np.isclose(alone.unknowns, together.unknowns[some], atol=1e-3).all(axis=2)
    assert same.mean() > 0.95


def test_a_round_of_the_base_is_importance_sampling(closed):
    settings = PopulationSettings(4096, most_rounds=1, n_draws=2000)
    found = sample_population(closed.path, keys(), settings)
    assert (found.rounds == 1).all()
    np.testing.assert_allclose(found.effective, found.efficiency * 4096)
    assert np.abs(found.log_evidence - closed.evidence).max() < 1.0

    draw = jax.vmap(lambda path, key: path.draw(key, 4096), in_axes=(closed.path.axes, 0))
    drawn = np.asarray(draw(closed.path, keys()), np.float64)
    predicted = drawn @ np.asarray(closed.path.matrix, np.float64).T
    square = ((np.asarray(closed.path.seen)[:, None] - predicted) ** 2).sum(axis=2)
    weight = np.exp(-0.5 * square / NOISE**2)
    effective = weight.sum(axis=1) ** 2 / (weight**2).sum(axis=1)
    np.testing.assert_allclose(found.effective, effective, rtol=1e-3)
    evidence = np.log(weight.mean(axis=1)) - 3 * np.log(NOISE * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(found.log_evidence, evidence, atol=1e-3)
    mean = (weight[..., None] * drawn).sum(axis=1) / weight.sum(axis=1)[:, None]
    np.testing.assert_allclose(found.unknowns.mean(axis=1), mean, atol=0.02)


@pytest.mark.parametrize("width", [0.05, 1.0, 8.0], ids=["too narrow", "right", "too wide"])
def test_draws_to_start_from_need_not_have_the_posterior_s_width(closed, width):
    rng = np.random.default_rng(0)
    near = closed.mean[:, None] + width * closed.std * rng.standard_normal((CASES, 300, D))
    found = sample_population(closed.path, keys(), start=near)
    evidence, mean, std = off(found, closed)
    assert evidence < 0.1
    assert mean < 0.15
    assert std < 0.12
    assert (found.effective >= 1000).all()


def test_draws_to_start_from_beside_the_posterior_lead_to_it(closed):
    rng = np.random.default_rng(0)
    near = closed.mean[:, None] + closed.std * (3 + 0.3 * rng.standard_normal((CASES, 300, D)))
    evidence, mean, std = off(sample_population(closed.path, keys(), start=near), closed)
    assert evidence < 0.1
    assert mean < 0.15
    assert std < 0.12


def test_a_good_start_has_a_higher_efficiency_than_the_base(sampled, closed):
    rng = np.random.default_rng(0)
    near = closed.mean[:, None] + closed.std * rng.standard_normal((CASES, 300, D))
    found = sample_population(closed.path, keys(), start=near)
    assert (found.efficiency > sampled.efficiency).all()
    assert (found.rounds <= sampled.rounds).all()


def test_a_mode_that_no_draw_of_the_start_is_near_can_be_lost():
    """Its limit, and the reason why the base should cover the posterior."""
    near = np.full((1, 300, 2), -2.0) + 0.2 * np.random.default_rng(0).standard_normal((1, 300, 2))
    path = TwoModes(jnp.asarray(SHARES[:1]))
    found = sample_population(path, keys(1), start=near)
    assert found.log_evidence[0] == pytest.approx(np.log(0.5), abs=0.1)
    assert (found.unknowns[..., 0] < 0).all()


def test_a_planted_noise_shows_in_evidence_and_width(closed):
    """With three samples for four unknowns, the evidence hardly depends on a slightly wrong one."""
    path, *_ = problem(width=3.0)
    found = sample_population(path, keys())
    assert np.abs(found.log_evidence - closed.evidence).max() > 0.3
    assert (found.unknowns.std(axis=1) / closed.std).mean() > 1.2


@pytest.mark.parametrize("kept", [1, 2])
def test_forgetting_old_mixtures_keeps_the_posterior(closed, kept):
    settings = PopulationSettings(512, 10**6, most_rounds=7, kept=kept, n_draws=1000)
    found = sample_population(closed.path, keys(), settings)
    evidence, mean, std = off(found, closed)
    assert evidence < 0.2
    assert mean < 0.35
    assert std < 0.25
    assert (found.effective <= (kept + 1) * 512).all()


class Named(TwoModes):
    """Unknowns that are not the scores, but tell them."""

    def weigh_many(self, scores):
        return super().weigh_many(scores)[0], 3.0 * scores[..., ::-1]

    @property
    def axes(self):
        return Named(0, self.spoilt)


def test_draws_are_the_unknowns_that_their_places_stand_for():
    """Over rounds of which some are forgotten."""
    settings = PopulationSettings(512, 10**6, most_rounds=5, kept=2, n_draws=800)
    shares = jnp.array([0.3, 0.5])
    scores = sample_population(TwoModes(shares), keys(2), settings).unknowns
    found = sample_population(Named(shares), keys(2), settings).unknowns
    np.testing.assert_array_equal(found, 3.0 * scores[..., ::-1])


def test_too_few_effective_draws_are_reported_and_not_raised(closed):
    settings = PopulationSettings(64, 10**6, most_rounds=2)
    found = sample_population(closed.path, keys(), settings)
    assert (found.rounds == 2).all()
    assert (found.effective < 2 * 64).all()
    assert np.isfinite(found.log_evidence).all()
    assert np.isfinite(found.unknowns).all()


def test_a_case_in_which_nothing_weighs_is_not_reported_as_done(closed):
    nothing = eqx.tree_at(lambda p: p.seen, closed.path, closed.path.seen.at[1].set(jnp.nan))
    found = sample_population(nothing, keys(), PopulationSettings(256, 100, most_rounds=12))
    assert np.isfinite(found.unknowns).all()
    assert (found.effective[1], found.efficiency[1]) == (0, 0)
    assert (np.delete(found.effective, 1) > 100).all()


def test_cases_that_are_done_rest_while_others_go_on():
    path, *_ = problem(cases=2)
    far = eqx.tree_at(lambda p: p.seen, path, path.seen.at[1].add(8.0))
    found = sample_population(far, keys(2), PopulationSettings(block=2))
    assert found.rounds[0] < found.rounds[1]
    assert (found.effective >= 1000).all()


def test_the_same_key_gives_the_same_draws_and_another_one_does_not(closed):
    settings = PopulationSettings(256, 200, n_draws=50, most_rounds=4)
    one, again, other = (
        sample_population(closed.path, keys(seed=seed), settings) for seed in (1, 1, 2)
    )
    for left, right in zip(one, again, strict=True):
        np.testing.assert_array_equal(left, right)
    assert (one.log_evidence != other.log_evidence).all()


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "many"])
@pytest.mark.parametrize(
    "name",
    ["n_proposals", "effective", "most_rounds", "kept", "components", "n_draws", "block"],
)
def test_settings_out_of_range_are_refused(name, wrong):
    with pytest.raises(InputError, match=name):
        PopulationSettings(**{name: wrong})


@pytest.mark.parametrize(("block", "n_couples", "wanted"), [(4, 1, 4), (4, 2, 2), (1, 2, 1)])
def test_two_couples_run_in_smaller_blocks(block: int, n_couples: int, wanted: int) -> None:
    found = PopulationSettings(block=block, components=3).sized(500, n_couples)
    assert found == PopulationSettings(n_proposals=500, block=wanted, components=3)


class Wide(Path):
    """Twenty scores, half as wide under the posterior as under the base."""

    centre: jax.Array

    def draw(self, key, n):
        return jax.random.normal(key, (n, 20))

    def weigh(self, scores):
        gain = -2.0 * jnp.sum((scores - self.centre) ** 2)
        return Particle(scores, -0.5 * jnp.sum(scores**2), gain)

    @property
    def axes(self):
        return Wide(0)


def test_draws_do_not_depend_on_the_threads_that_numpy_takes():
    """The products of twenty scores are large enough to be shared out."""
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, "blas"):
            found.append(sample_population(Wide(jnp.array([0.0, 0.3])), keys(2)))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
