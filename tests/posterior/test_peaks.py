"""Several peaks: each counts once and by its evidence, and draws follow the mixture."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from ecguard.posterior import coordinates as co
from ecguard.posterior import film
from ecguard.posterior.laplace import Laplace, unknowns_of, with_prior
from ecguard.posterior.peaks import Peaks
from ecguard.posterior.unknowns import n_unknowns, split

D = n_unknowns(1)


def searched(scores: np.ndarray, precision: np.ndarray, loss: np.ndarray | None = None) -> Laplace:
    """What a search found, n cases."""
    zero = np.zeros(len(scores))
    return Laplace(scores, precision, zero, zero if loss is None else loss)


def one_peak(scores: np.ndarray, precision: np.ndarray) -> Peaks:
    return Peaks.of((searched(scores, precision),))


def normal(d: int, n: int = 2) -> Peaks:
    """Peaks that need no search: correlated, and narrow enough to stay off the prior's ends."""
    rng = np.random.default_rng(d)
    mixing = rng.normal(size=(n, d, d))
    precision = 25 * np.eye(d) + 2 * np.einsum("nij,nkj->nik", mixing, mixing)
    return one_peak(rng.uniform(-0.5, 0.5, (n, d)), precision)


def scores_of_draws(draws: np.ndarray) -> np.ndarray:
    """Scores [cases, n, d] of unknowns, by the inverse transforms."""
    flat = draws.reshape(-1, draws.shape[-1])
    clean = co.to_scores(co.to_coordinates(split(jnp.asarray(flat[:, :D], jnp.float32))), 1)
    low, high = film.RANGES.T
    place = (flat[:, D:] - low[: flat.shape[1] - D]) / (high - low)[: flat.shape[1] - D]
    place[:, :1] = np.cbrt(place[:, :1])  # the prior of the coverage
    both = [np.asarray(clean, np.float64), special.ndtri(place)]
    return np.concatenate(both, axis=1).reshape(draws.shape)


@pytest.mark.parametrize("d", [D, D + 3])
def test_draws_have_the_mean_and_the_covariance_of_the_peak(d: int) -> None:
    peak, n = normal(d), 4000
    draws = peak.draw(n, seed=3)
    assert draws.shape == (2, n, d)
    scores = scores_of_draws(draws)
    covariance = np.linalg.inv(peak.precision[:, 0])
    np.testing.assert_allclose(scores.mean(axis=1), peak.scores[:, 0], atol=5e-3)
    for case in range(2):
        root = np.linalg.cholesky(peak.precision[case, 0])
        whitened = (scores[case] - peak.scores[case, 0]) @ root
        np.testing.assert_allclose(np.cov(whitened.T), np.eye(d), atol=0.12)
        found = np.cov(scores[case].T)
        np.testing.assert_allclose(np.diag(found), np.diag(covariance[case]), rtol=0.12)


def test_a_steep_direction_leaves_flat_ones_the_precision_of_the_prior() -> None:
    """Its rounding may make information negative there, and no draw possible."""
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(D, D)))[0]
    values = np.array([-1.65, 0.0, *np.geomspace(1.0, 4e7, D - 2)])
    information = ((turn * values) @ turn.T)[None]
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(np.linalg.inv(information + np.eye(D)))
    precision = with_prior(information)
    wanted = 1.0 + np.maximum(values, 0.0)
    np.testing.assert_allclose(np.diag(turn.T @ precision[0] @ turn), wanted, rtol=1e-6)
    np.testing.assert_allclose(precision, precision.mT, rtol=1e-12)
    peak = one_peak(np.zeros((1, D)), precision)
    found = scores_of_draws(peak.draw(4000, seed=3))[0] @ turn
    np.testing.assert_allclose(found.std(axis=0), wanted**-0.5, rtol=0.1, atol=2e-2)


def test_means_of_draws_are_those_of_scores_pushed_forward() -> None:
    peak, n = normal(D), 4000
    rng, draws = np.random.default_rng(8), peak.draw(n, seed=3)
    for case in range(2):
        spread = np.linalg.inv(peak.precision[case, 0])
        places = rng.multivariate_normal(peak.scores[case, 0], spread, n)
        wanted = np.asarray(unknowns_of(jnp.asarray(places, jnp.float32)), np.float64)
        error = wanted.std(axis=0) * np.sqrt(2 / n)
        assert (np.abs(draws[case].mean(axis=0) - wanted.mean(axis=0)) < 5 * error).all()
        np.testing.assert_allclose(draws[case].std(axis=0), wanted.std(axis=0), rtol=0.08)


def test_draws_come_in_pairs_of_opposite_sign() -> None:
    peak = normal(D)
    scores = scores_of_draws(peak.draw(20, seed=3))
    one, other = scores[:, :10], scores[:, 10:]
    np.testing.assert_allclose(one + other, np.repeat(2 * peak.scores, 10, 1), atol=2e-2)
    assert (np.abs(one - other).max(axis=2) > 0.05).all()


@pytest.mark.parametrize("n", [1, 2, 7])
def test_there_are_as_many_draws_as_asked_for(n: int) -> None:
    assert normal(D).draw(n, seed=3).shape == (2, n, D)


def test_draws_depend_on_the_seed_alone() -> None:
    peak = normal(D)
    np.testing.assert_array_equal(peak.draw(20, seed=3), peak.draw(20, seed=3))
    assert (peak.draw(20, seed=3) != peak.draw(20, seed=4)).mean() > 0.9
    # a case is drawn as it is alone
    alone = Peaks(*(values[1:] for values in peak))
    np.testing.assert_allclose(alone.draw(20, seed=3)[0], peak.draw(20, seed=3)[1], rtol=1e-5)


def two_peaks(loss: tuple[float, float], apart: float = 2.0) -> Peaks:
    """Of one case: narrow, in round shapes of different size."""
    place = np.zeros((2, 1, D))
    place[1, 0, 0] = apart
    shape = np.stack([400.0 * np.eye(D), 100.0 * np.eye(D)])[:, None]
    return Peaks.of(
        tuple(searched(place[k], shape[k], np.array([loss[k]])) for k in range(2)),
    )


def test_peaks_share_draws_by_their_evidence() -> None:
    # the volume of the second is 2^9 times that of the first
    found = two_peaks((0.0, 9 * np.log(2.0) + np.log(3.0)))
    np.testing.assert_allclose(found.weight, [[0.75, 0.25]])
    scores = scores_of_draws(found.draw(1000, seed=3))[0]
    second = scores[:, 0] > 1.0
    assert second.mean() == pytest.approx(0.25, abs=1e-3)
    np.testing.assert_allclose(scores[second].mean(axis=0), 2.0 * np.eye(D)[0], atol=0.02)
    np.testing.assert_allclose(scores[~second].mean(axis=0), np.zeros(D), atol=0.01)
    np.testing.assert_allclose(scores[second].std(axis=0), 0.1, rtol=0.25)
    np.testing.assert_allclose(scores[~second].std(axis=0), 0.05, rtol=0.25)


def test_the_evidence_of_two_pieces_is_their_sum() -> None:
    # posterior 0.7 N(0, s^2) + 0.3 N(1, t^2) of known mass, two narrow pieces
    mass, place, std = np.array([0.7, 0.3]), np.array([0.0, 1.0]), np.array([0.01, 0.03])
    peaks = Peaks.of(
        tuple(
            searched(
                np.array([[place[k]]]),
                np.array([[[std[k] ** -2]]]),
                -np.log(mass[k] * stats.norm.pdf(0.0, scale=std[k : k + 1])),
            )
            for k in range(2)
        )
    )
    # Laplace leaves out the root of 2 pi of each dimension
    assert peaks.log_evidence[0] == pytest.approx(-0.5 * np.log(2 * np.pi))
    np.testing.assert_allclose(peaks.weight[0], mass)


def test_the_highest_peak_comes_first() -> None:
    found = two_peaks((5.0, 1.0))
    assert found.scores[0, :, 0].tolist() == [2.0, 0.0]
    assert found.precision[0, :, 0, 0].tolist() == [100.0, 400.0]


@pytest.mark.parametrize(("apart", "n"), [(0.0, 1), (0.049, 1), (0.051, 2)])
def test_a_peak_found_twice_counts_once(apart: float, n: int) -> None:
    found = two_peaks((0.0, 1.0), apart)  # the higher one's std is 0.05
    assert np.isfinite(found.log_evidence_each).sum() == n
    alone = two_peaks((0.0, np.inf), apart).log_evidence
    assert (found.log_evidence == alone).all() == (n == 1)
    assert (found.draw(100, seed=3).std(axis=1) > 0).all()


def test_searches_that_failed_have_no_share() -> None:
    found = two_peaks((np.inf, 4.0))
    np.testing.assert_array_equal(found.weight, [[1.0, 0.0]])
    assert found.scores[0, 0, 0] == 2.0
    none = two_peaks((np.inf, np.inf))
    np.testing.assert_array_equal(none.weight, [[1.0, 0.0]])
    assert none.log_evidence == -np.inf
    assert np.isfinite(none.draw(10, seed=3)).all()
