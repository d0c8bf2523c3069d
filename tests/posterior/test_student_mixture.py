"""Mixtures of Student t: their density, their draws, and fits to weighed draws."""

import numpy as np
import pytest
from scipy import integrate, stats

from ecguard.posterior.student_mixture import StudentMixture, fit_mixture

FREEDOM = 6.0


def mixture(d=2, shares=(0.3, 0.7)):
    """Components that overlap little, with correlated coordinates."""
    rng = np.random.default_rng(d)
    mean = 3.0 * rng.standard_normal((len(shares), d))
    root = np.tril(0.4 * rng.standard_normal((len(shares), d, d)), -1)
    root = root + np.eye(d) * rng.uniform(0.5, 1.5, (len(shares), d))[..., None]
    return StudentMixture(np.log(shares), mean, root)


def clusters(n=4000, share=0.25, seed=0):
    """Two Gaussian clusters, std 0.3 and 0.6, `share` of the draws in the first."""
    rng = np.random.default_rng(seed)
    first = rng.random(n) < share
    normals = rng.standard_normal((n, 2))
    places = np.where(first[:, None], [-3.0, 1.0] + 0.3 * normals, [3.0, -1.0] + 0.6 * normals)
    return places, first


def fit(places, log_weight=None, components=2, seed=0):
    log_weight = np.zeros(len(places)) if log_weight is None else log_weight
    return fit_mixture(np.random.default_rng(seed), places, log_weight, components)


def is_finite(found):
    leaves = all(np.isfinite(leaf).all() for leaf in found)
    return leaves and (np.diagonal(found.root, axis1=1, axis2=2) > 0).all()


@pytest.mark.parametrize("d", [1, 2, 5])
def test_one_component_is_scipys_multivariate_t(d):
    one = mixture(d, shares=(1.0,))
    places = np.random.default_rng(0).standard_normal((50, d)) * 4
    expected = stats.multivariate_t(one.mean[0], one.root[0] @ one.root[0].T, df=FREEDOM)
    np.testing.assert_allclose(one.log_density(places), expected.logpdf(places), rtol=1e-9)


def test_the_density_is_the_shares_times_the_components():
    both = mixture()
    places = np.random.default_rng(0).standard_normal((50, 2)) * 4
    each = [
        share * stats.multivariate_t(mean, root @ root.T, df=FREEDOM).pdf(places)
        for share, mean, root in zip((0.3, 0.7), both.mean, both.root, strict=True)
    ]
    np.testing.assert_allclose(np.exp(both.log_density(places)), sum(each), rtol=1e-9)


def test_the_density_integrates_to_one_in_one_dimension():
    both = mixture(1)
    total, _ = integrate.quad(
        lambda x: np.exp(both.log_density(np.array([[x]]))[0]), -np.inf, np.inf, limit=200
    )
    assert total == pytest.approx(1, abs=1e-6)


def test_the_density_integrates_to_one_in_two_dimensions():
    both = mixture(2)
    axis = np.linspace(-40, 40, 801)
    places = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    total = np.exp(both.log_density(places)).sum() * (axis[1] - axis[0]) ** 2
    assert total == pytest.approx(1, abs=1e-3)


def test_draws_have_the_moments_of_the_density():
    both = mixture()
    drawn = both.draw(np.random.default_rng(1), 200_000)
    share = np.exp(both.log_share)
    mean = share @ both.mean
    within = both.root @ both.root.transpose(0, 2, 1) * FREEDOM / (FREEDOM - 2)
    away = both.mean - mean
    covariance = np.einsum("k,kij->ij", share, within + away[:, :, None] * away[:, None])
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.02 * np.trace(covariance))


def test_draws_follow_the_density_also_in_the_tails():
    """Importance weights to a wider t of the same shape average to one."""
    one = mixture(2, shares=(1.0,))
    drawn = one.draw(np.random.default_rng(2), 100_000)
    away = np.linalg.solve(one.root[0], (drawn - one.mean[0]).T)
    square = (away**2).sum(axis=0) / 2
    assert stats.kstest(square, stats.f(2, FREEDOM).cdf).pvalue > 1e-3
    other = one._replace(root=0.8 * one.root)
    ratio = np.exp(other.log_density(drawn) - one.log_density(drawn))
    assert ratio.mean() == pytest.approx(1, abs=0.02)


def test_two_clusters_are_found_with_their_shares_and_widths():
    """Widths come out too large rather than too small: part of the whole covariance is added."""
    found = fit(clusters()[0])
    first, second = np.argsort(found.mean[:, 0])
    np.testing.assert_allclose(found.mean[[first, second]], [[-3, 1], [3, -1]], atol=0.15)
    assert np.exp(found.log_share[first]) == pytest.approx(0.25, abs=0.03)
    width = np.sqrt(np.diagonal(found.root @ found.root.transpose(0, 2, 1), axis1=1, axis2=2))
    assert ((width[first] > 0.25) & (width[first] < 0.6)).all()
    assert ((width[second] > 0.45) & (width[second] < 0.7)).all()


def test_a_fit_is_close_to_the_density_of_its_draws():
    """Kullback-Leibler divergence of the draws' Gaussians, nat; one t alone is far off."""
    places, first = clusters(seed=1)
    true = np.logaddexp(
        np.log(0.25) + stats.multivariate_normal([-3, 1], 0.09 * np.eye(2)).logpdf(places),
        np.log(0.75) + stats.multivariate_normal([3, -1], 0.36 * np.eye(2)).logpdf(places),
    )
    assert first.mean() == pytest.approx(0.25, abs=0.03)
    lost = [(true - fit(clusters()[0], None, k).log_density(places)).mean() for k in (1, 2, 16)]
    assert lost[0] > 1.0
    assert 0 <= lost[1] < 0.1
    assert 0 <= lost[2] < 0.15


@pytest.mark.parametrize("shift", [0.0, -1e4], ids=["near 0", "very low"])
def test_weights_are_followed_whatever_their_constant(shift):
    places, first = clusters(share=0.5)
    log_weight = shift + np.log(np.where(first, 0.9, 0.1))
    found = fit(places, log_weight)
    share = np.exp(found.log_share[found.mean[:, 0].argmin()])
    assert share == pytest.approx(0.9, abs=0.03)
    alone = fit(places, np.where(first, shift, -1e30))
    drawn = alone.draw(np.random.default_rng(0), 1000)
    assert (np.abs(drawn - [-3, 1]) < 5).all(axis=1).mean() > 0.99


def test_a_few_heavy_draws_count_as_often_as_they_weigh():
    places, first = clusters(n=400, share=0.05)
    log_weight = np.log(np.where(first, 0.9 / first.sum(), 0.1 / (~first).sum()))
    found = fit(places, log_weight)
    assert np.exp(found.log_share[found.mean[:, 0].argmin()]) == pytest.approx(0.9, abs=0.05)


def test_shares_sum_to_one_and_components_are_at_most_what_is_asked():
    for components in (1, 3, 16):
        found = fit(clusters()[0], components=components)
        assert len(found.mean) == components
        assert np.exp(found.log_share).sum() == pytest.approx(1)
    assert len(fit(clusters(n=3)[0], components=16).mean) <= 3


@pytest.mark.parametrize("components", [1, 16])
def test_all_weight_on_one_draw_gives_a_finite_mixture_about_it(components):
    places, _ = clusters()
    found = fit(places, np.where(np.arange(len(places)) == 7, 0.0, -1e30), components)
    assert is_finite(found)
    np.testing.assert_allclose(found.mean[0], places[7], atol=1e-6)
    assert np.isfinite(found.log_density(places)).all()


@pytest.mark.parametrize("components", [1, 16])
@pytest.mark.parametrize("distinct", [1, 2, 5])
def test_identical_places_give_a_finite_mixture(components, distinct):
    places = np.repeat(clusters(n=distinct)[0], 300, axis=0)
    found = fit(places, components=components)
    assert is_finite(found)
    assert np.isfinite(found.log_density(places)).all()
    drawn = found.draw(np.random.default_rng(0), 100)
    assert np.abs(drawn).max() < 100


def test_places_on_a_line_give_a_finite_mixture():
    line = np.random.default_rng(0).standard_normal((500, 1)) * [[1.0, 1.0, 0.0]]
    found = fit(line, components=4)
    assert is_finite(found)
    assert np.isfinite(found.log_density(line)).all()


def test_few_draws_never_make_a_spike():
    """Each of 16 components has about two draws: widths stay near those of all of them."""
    places = np.random.default_rng(3).standard_normal((30, 4))
    found = fit(places, components=16)
    scale = found.root @ found.root.transpose(0, 2, 1)
    assert np.linalg.eigvalsh(scale).min() > 0.02
    new = np.random.default_rng(4).standard_normal((1000, 4))
    lost = stats.multivariate_normal(np.zeros(4), np.eye(4)).logpdf(new) - found.log_density(new)
    assert lost.mean() < 1.0


def test_the_same_generator_gives_the_same_mixture():
    places, _ = clusters()
    one, again, other = (fit(places, components=4, seed=seed) for seed in (0, 0, 1))
    for left, right in zip(one, again, strict=True):
        np.testing.assert_array_equal(left, right)
    assert not np.array_equal(one.mean, other.mean)
    rng = np.random.default_rng
    np.testing.assert_array_equal(one.draw(rng(5), 10), again.draw(rng(5), 10))
