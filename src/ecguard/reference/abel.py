"""Semi-integrals of polynomials, by direct quadrature of the Abel kernel 1 / sqrt(pi t)."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import roots_jacobi

Array = NDArray[np.float64]

NODES_PER_PANEL = 12


def _radau(count: int) -> Array:
    """Right Radau points on (0, 1]; the last is 1."""
    inner = roots_jacobi(count - 1, 1.0, 0.0)[0]
    return np.append((inner + 1) / 2, 1.0)


def lagrange(x: Array, nodes: Array) -> Array:
    """Lagrange polynomials [..., m] of the nodes [m] at x [...]."""
    same = np.eye(len(nodes), dtype=bool)
    factor = (x[..., None, None] - nodes) / np.where(same, 1.0, nodes[:, None] - nodes)
    return np.prod(np.where(same, 1.0, factor), axis=-1)


_GAUSS = np.polynomial.legendre.leggauss(NODES_PER_PANEL)
_HALF_NODE, _HALF_WEIGHT = (_GAUSS[0] + 1) / 2, _GAUSS[1] / 2

NODES = _radau(NODES_PER_PANEL)
"""Collocation points of a panel of unit length."""

WEIGHTS = _HALF_WEIGHT @ lagrange(_HALF_NODE, NODES)
"""Weights of the quadrature on these points."""


def near_weights(past_end: Array) -> Array:
    """Semi-integral over a unit panel, seen from times after it, exact for polynomials.

    With y^2 the time to the target, the integrand is a polynomial in y.

    Args:
        past_end: time since the end of the panel, >= 0 [...].

    Returns:
        Weights [..., m] of the values on `NODES`.
    """
    first, last = np.sqrt(past_end)[..., None], np.sqrt(1.0 + past_end)[..., None]
    y = first + (last - first) * _HALF_NODE
    basis = lagrange(1.0 + past_end[..., None] - y**2, NODES)
    weight = 2.0 / np.sqrt(np.pi) * (last - first) * _HALF_WEIGHT
    return np.einsum("...q,...qm->...m", weight, basis)


def _own_weights() -> Array:
    """Semi-integral from the start of a unit panel to each of its nodes [m, m]."""
    x = NODES[:, None] * (1.0 - _HALF_NODE**2)
    weight = 2.0 * np.sqrt(NODES[:, None] / np.pi) * _HALF_WEIGHT
    return np.einsum("iq,iqm->im", weight, lagrange(x, NODES))


def _derivative() -> Array:
    """Derivative at the nodes of a polynomial known at 0 and at the nodes [m, m + 1]."""
    points = np.append(0.0, NODES)
    same = np.eye(len(points), dtype=bool)
    gap = np.where(same, 1.0, points[:, None] - points)
    scale = np.prod(gap, axis=1)
    slope = np.where(same, 0.0, scale[:, None] / scale / gap)
    slope[same] = -slope.sum(axis=1)
    return slope[1:]


OWN_WEIGHTS = _own_weights()
DERIVATIVE = _derivative()
