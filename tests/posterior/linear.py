"""Linear-Gaussian posteriors in closed form, which the samplers' tests share."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ecguard.posterior.tempered import Particle, Path

D, SEEN, NOISE, CASES = 4, 3, 0.3, 8


class Linear(Path):
    """Scores N(0, 1), seen through a matrix with noise; `width` plants a wrong noise."""

    seen: jax.Array
    matrix: jax.Array
    width: float = eqx.field(static=True)

    def draw(self, key, n):
        return jax.random.normal(key, (n, D))

    def weigh(self, scores):
        base = jnp.sum(jax.scipy.stats.norm.logpdf(scores))
        gain = jnp.sum(
            jax.scipy.stats.norm.logpdf(self.seen, self.matrix @ scores, NOISE * self.width)
        )
        return Particle(scores, base, gain)

    @property
    def axes(self):
        return Linear(0, None, self.width)


class Problem(NamedTuple):
    """A path, and of its posteriors the evidence [n], the mean [n, D] and the std [D]."""

    path: Linear
    evidence: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def problem(width=1.0, cases=CASES):
    """Cases drawn from the model; the closed form has the right noise, whatever the width."""
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((SEEN, D))
    seen = rng.standard_normal((cases, D)) @ matrix.T
    seen += NOISE * rng.standard_normal(seen.shape)
    covariance = matrix @ matrix.T + NOISE**2 * np.eye(SEEN)
    inverse = np.linalg.inv(covariance)
    evidence = -0.5 * np.einsum("ni,ij,nj->n", seen, inverse, seen)
    evidence -= 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]
    spread = np.linalg.inv(np.eye(D) + matrix.T @ matrix / NOISE**2)
    mean = seen @ matrix @ spread / NOISE**2
    path = Linear(jnp.asarray(seen, jnp.float32), jnp.asarray(matrix, jnp.float32), width)
    return Problem(path, evidence, mean, np.sqrt(np.diag(spread)))
