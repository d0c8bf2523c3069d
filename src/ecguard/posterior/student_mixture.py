"""Mixtures of multivariate Student t, fitted to weighed draws."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, softmax

_FREEDOM = 6.0
_DRAWS_A_DIMENSION = 200  # that a mixture is fitted to
_STEPS = 8  # of expectation and maximisation
_WIDTH = 0.5  # of a component that few draws support, as a share of the covariance of all
_LEAST_VARIANCE = 1e-7

Floats = NDArray[np.floating]


class StudentMixture(NamedTuple):
    """K components in d dimensions.

    Args:
        log_share: [K].
        mean: [K, d].
        root: lower triangular roots of the scale matrices [K, d, d].
    """

    log_share: Floats
    mean: Floats
    root: Floats

    def draw(self, rng: np.random.Generator, n: int) -> Floats:
        """Draws [n, d]."""
        share = np.exp(self.log_share)
        own = rng.choice(len(share), size=n, p=share / share.sum())
        normal = rng.standard_normal((n, self.mean.shape[1]))
        normal /= np.sqrt(rng.chisquare(_FREEDOM, n) / _FREEDOM)[:, None]
        return np.asarray(self.mean[own] + (self.root[own] @ normal[..., None])[..., 0])

    def log_density(self, places: Floats) -> Floats:
        """ln density [n] at places [n, d]."""
        K, d = self.mean.shape
        inverse = np.linalg.inv(self.root)
        white = (inverse.reshape(K * d, d) @ places.T).reshape(K, d, -1)
        white -= inverse @ self.mean[..., None]
        square = np.einsum("kdn,kdn->kn", white, white)
        return np.asarray(np.logaddexp.reduce(_by_component(self.log_share, self.root, square)))


def _by_component(log_share: Floats, root: Floats, square: Floats) -> Floats:
    """ln density times share [K, n] at squared distances [K, n] from the means."""
    d = root.shape[-1]
    log_volume = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    top = gammaln((_FREEDOM + d) / 2) - gammaln(_FREEDOM / 2)
    top += log_share - log_volume - d / 2 * np.log(_FREEDOM * np.pi)
    return np.asarray(top[:, None] - (_FREEDOM + d) / 2 * np.log1p(square / _FREEDOM))


def fit_mixture(
    rng: np.random.Generator, places: Floats, log_weight: Floats, components: int
) -> StudentMixture:
    """Fit by expectation and maximisation (Peel and McLachlan 2000) to weighed draws.

    A component that few draws support takes half the covariance of all of them, so that no
    mixture becomes a spike.

    Args:
        rng: picks draws and first centres.
        places: [n, d].
        log_weight: [n].
        components: at most.
    """
    places, weight = _picked(rng, places, log_weight)
    n, d = places.shape
    centre = weight @ places
    away = places - centre
    # squared distances are sums of these, and moments sums over them: one product of matrices each
    powers = np.hstack([(away[:, :, None] * away[:, None]).reshape(n, -1), away, np.ones((n, 1))])
    least = _LEAST_VARIANCE * np.eye(d)
    whole = (away * weight[:, None]).T @ away + least
    mean = away[_spread_out(rng, away, whole, weight, components)]
    share = np.full(len(mean), 1.0 / len(mean))
    scale = np.repeat(_WIDTH * whole[None], len(mean), axis=0)
    for _ in range(_STEPS):
        root = np.linalg.cholesky(scale)
        square = _in_powers(mean, root) @ powers.T
        each = _by_component(np.log(share), root, square)
        belongs = softmax(each, axis=0) * weight
        total = belongs.sum(axis=1) + 1e-9
        moments = (belongs * (_FREEDOM + d) / (_FREEDOM + square)) @ powers
        second, first, pull = np.split(moments, [d * d, d * d + d], axis=1)
        mean = first / (pull + 1e-12)
        spread = second.reshape(-1, d, d) - mean[:, :, None] * first[:, None]
        scale = spread / total[:, None, None]
        support = total**2 / ((belongs**2).sum(axis=1) + 1e-18)
        trust = (support / (support + d + 2))[:, None, None]
        scale = trust * scale + (1 - trust) * _WIDTH * whole + least
        share = total / total.sum()
    return StudentMixture(np.log(share), centre + mean, np.linalg.cholesky(scale))


def _in_powers(mean: Floats, root: Floats) -> Floats:
    """Squared distances from means [K, d] as coefficients of second, first and no powers."""
    inverse = np.linalg.inv(root)
    metric = inverse.transpose(0, 2, 1) @ inverse
    pulled = (metric @ mean[..., None])[..., 0]
    constant = (pulled * mean).sum(axis=1, keepdims=True)
    return np.hstack([metric.reshape(len(mean), -1), -2.0 * pulled, constant])


def systematic(log_weight: Floats, n: int, offset: float) -> NDArray[np.intp]:
    """n rows in proportion to their weights, at even steps that begin at `offset` in 0..1."""
    total = np.cumsum(np.exp(log_weight - log_weight.max()))
    at = (np.arange(n) + offset) / n * total[-1]
    return np.searchsorted(total, at).clip(max=len(total) - 1)


def _picked(rng: np.random.Generator, places: Floats, log_weight: Floats) -> tuple[Floats, Floats]:
    """Draws in proportion to their weights, each once, and their shares."""
    chosen = systematic(log_weight, _DRAWS_A_DIMENSION * places.shape[1], float(rng.random()))
    rows, count = np.unique(chosen, return_counts=True)
    return np.asarray(places[rows], np.float64), count / count.sum()


def _spread_out(
    rng: np.random.Generator, away: Floats, whole: Floats, weight: Floats, components: int
) -> list[int]:
    """Rows far from one another, as k-means++ picks them (Arthur and Vassilvitskii 2007)."""
    white = np.linalg.solve(np.linalg.cholesky(whole), away.T).T
    chosen = [int(rng.choice(len(weight), p=weight))]
    nearest = np.full(len(weight), np.inf)
    for _ in range(min(components, len(weight)) - 1):
        nearest = np.minimum(nearest, ((white - white[chosen[-1]]) ** 2).sum(axis=1))
        chance = nearest * weight
        if not chance.sum() > 0:
            break
        chosen.append(int(rng.choice(len(weight), p=chance / chance.sum())))
    return chosen
