"""What a masked, noisy trace says of the whole trace, under a Gaussian model of the family.

Traces of unit root mean square are modelled, task by task, as a Gaussian of K modes, learnt from
the family by principal components. Given the observed samples and their noise, mean and standard
deviation of the K coefficients are the closed form of a linear Gaussian model: they use every
observed sample at its own place and carry what the missing ones would have said.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

N_MODES = 64
_ITERATIONS = 24
_TINY = 1e-30
_SMALLEST_SHARE = 0.3  # of the noise that the size of a trace is never below


class TraceBasis(eqx.Module):
    """The Gaussian model of one task's traces, or of every task's with a leading axis.

    Args:
        modes: times the root of their variance [L, K].
        residual: variance of what the modes leave, by sample [L].
    """

    modes: Array
    residual: Array


class Projection(NamedTuple):
    """What n traces say of their coefficients.

    Args:
        mean: of the coefficients, a priori 0 [n, K].
        std: of each coefficient were the others known, a priori 1 [n, K].
        log_size: ln of the root mean square of the observed current over the noise [n].
        size: that root mean square, noise taken off, mA/cm^2 [n].
    """

    mean: Array
    std: Array
    log_size: Array
    size: Array


def fit_basis(current: NDArray[np.floating], n_modes: int = N_MODES) -> TraceBasis:
    """Modes of clean traces [n, L] of one task.

    Args:
        current: mA/cm^2.
        n_modes: kept.
    """
    size = np.sqrt(np.mean(np.square(current, dtype=np.float64), axis=1))
    unit = current / np.maximum(size, 1e-9)[:, None]
    variance, vectors = np.linalg.eigh(unit.T @ unit / len(unit))
    kept = vectors[:, ::-1][:, :n_modes]
    modes = kept * np.sqrt(np.maximum(variance[::-1][:n_modes], 0.0))
    left = unit - unit @ kept @ kept.T
    return TraceBasis(
        jnp.asarray(modes, jnp.float32), jnp.asarray(np.mean(left**2, axis=0), jnp.float32)
    )


def project(basis: TraceBasis, current: Array, observed: Array, noise_std: Array) -> Projection:
    """Coefficients of traces of one task.

    Args:
        basis: of the task.
        current: mA/cm^2 [n, L]; any finite value where not observed.
        observed: [n, L] bool.
        noise_std: mA/cm^2 [n].
    """
    count = jnp.sum(observed, axis=1)
    power = jnp.sum(jnp.where(observed, current**2, 0.0), axis=1) / count
    least = (_SMALLEST_SHARE * noise_std) ** 2
    size = jnp.sqrt(jnp.maximum(power - noise_std**2, least))
    unit, noise = current / size[:, None], (noise_std / size)[:, None]
    weight = jnp.where(observed, 1.0 / (noise**2 + basis.residual), 0.0)
    mean = _solve(basis.modes, weight, (weight * unit) @ basis.modes)
    std = jax.lax.rsqrt(1.0 + weight @ basis.modes**2)
    return Projection(mean, std, jnp.log(jnp.sqrt(jnp.maximum(power, least)) / noise_std), size)


def _solve(modes: Array, weight: Array, moment: Array) -> Array:
    """(1 + modes^T weight modes)^-1 moment [n, K] by conjugate gradients.

    Modes are orthogonal over all samples, so that with the mean weight the matrix is diagonal; that
    diagonal preconditions the iteration. Only products with the modes are taken: factorising a
    batch of small matrices is slower on a processor. The iteration is stopped, converged or not
    (strong traces with few samples are not): networks are trained on what it gives.
    """
    scale = jax.lax.rsqrt(1.0 + jnp.mean(weight, axis=1)[:, None] * jnp.sum(modes**2, axis=0))

    def product(x: Array) -> Array:
        y = scale * x
        return scale * (y + (weight * (y @ modes.T)) @ modes)

    def improve(_: int, state: tuple[Array, ...]) -> tuple[Array, ...]:
        x, left, direction, norm = state
        changed = product(direction)
        step = norm / jnp.maximum(jnp.sum(direction * changed, axis=1), _TINY)
        x, left = x + step[:, None] * direction, left - step[:, None] * changed
        following = jnp.sum(left**2, axis=1)
        ratio = following / jnp.maximum(norm, _TINY)
        return x, left, left + ratio[:, None] * direction, following

    start = scale * moment
    first = (jnp.zeros_like(start), start, start, jnp.sum(start**2, axis=1))
    return scale * jax.lax.fori_loop(0, _ITERATIONS, improve, first)[0]
