"""The projection of traces: the closed form, what it does not depend on, what it recovers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard import family
from ecguard.chunk import Chunk
from ecguard.posterior.amortised import traces
from ecguard.posterior.amortised.traces import N_MODES, Projection, TraceBasis, fit_basis

N_HELD_OUT, NOISE_STD = 24, 0.1

project = jax.jit(traces.project)


class Task(NamedTuple):
    basis: TraceBasis
    clean: np.ndarray
    noisy: np.ndarray
    observed: np.ndarray


@pytest.fixture(scope="module", params=family.TASKS)
def task(request: pytest.FixtureRequest, cases: Chunk) -> Task:
    """A basis of one task, and held-out traces with noise, four in ten samples hidden."""
    current = cases.current_mA_cm2[cases.task_id == family.TASKS.index(request.param)]
    clean = current[-N_HELD_OUT:]
    rng = np.random.default_rng(2)
    noisy = clean + NOISE_STD * rng.normal(size=clean.shape)
    return Task(fit_basis(current[:-N_HELD_OUT]), clean, noisy, rng.random(clean.shape) < 0.6)


def projected(task: Task, noisy: np.ndarray | None = None, times: float = 1.0) -> Projection:
    current = task.noisy if noisy is None else noisy
    return project(
        task.basis,
        jnp.asarray(times * current, jnp.float32),
        jnp.asarray(task.observed),
        jnp.full(len(current), times * NOISE_STD),
    )


def same(first: Projection, second: Projection) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_mean_is_that_of_the_linear_gaussian_model(task: Task) -> None:
    found = projected(task)
    modes = np.asarray(task.basis.modes, np.float64)
    residual = np.asarray(task.basis.residual, np.float64)
    for row, size in enumerate(np.asarray(found.size, np.float64)):
        shown = task.observed[row]
        seen = modes[shown]
        variance = (NOISE_STD / size) ** 2 + residual[shown]
        precision = np.eye(N_MODES) + (seen.T / variance) @ seen
        wanted = np.linalg.solve(precision, seen.T @ (task.noisy[row, shown] / size / variance))
        off = np.linalg.norm(found.mean[row] - wanted)
        assert off < 1e-3 * np.linalg.norm(wanted)
        np.testing.assert_allclose(found.std[row], np.diag(precision) ** -0.5, rtol=1e-4)


def test_the_unit_of_the_current_does_not_matter(task: Task) -> None:
    plain, scaled = projected(task), projected(task, times=7.0)
    np.testing.assert_allclose(scaled.size, 7.0 * plain.size, rtol=1e-5)
    np.testing.assert_allclose(scaled.log_size, plain.log_size, atol=1e-5)
    np.testing.assert_allclose(scaled.std, plain.std, rtol=1e-5)
    np.testing.assert_allclose(scaled.mean, plain.mean, atol=2e-3)


def test_hidden_samples_have_no_influence(task: Task) -> None:
    garbage = np.where(task.observed, task.noisy, 1e9)
    assert same(projected(task), projected(task, garbage))
    assert not same(projected(task), projected(task, task.noisy + 0.1 * task.observed))


def test_the_trace_comes_back_to_within_the_noise(task: Task) -> None:
    found = projected(task)
    back = np.asarray(found.mean @ task.basis.modes.T * found.size[:, None])
    error = np.sqrt(np.mean((back - task.clean) ** 2, axis=1))
    assert np.median(error) < 0.6 * NOISE_STD
    assert np.quantile(error, 0.9) < NOISE_STD


def test_noise_alone_says_little(task: Task) -> None:
    noise = NOISE_STD * np.random.default_rng(3).normal(size=task.noisy.shape)
    loud, silent = projected(task, task.noisy), projected(task, noise)
    assert np.mean(np.square(silent.mean)) < 0.5 * np.mean(np.square(loud.mean))
    assert np.abs(silent.log_size).max() < 0.3
    assert np.isfinite(projected(task, 0.0 * noise).mean).all()


def test_modes_are_orthogonal_and_complete(task: Task) -> None:
    overlap = np.asarray(task.basis.modes.T @ task.basis.modes)
    scale = np.sqrt(np.diag(overlap))
    np.testing.assert_allclose(overlap, np.diag(scale**2), atol=1e-3 * scale[0] ** 2)
    # traces of unit size have a variance of one a sample
    total = (scale**2).sum() + np.asarray(task.basis.residual).sum()
    assert total == pytest.approx(family.N_SAMPLES, rel=1e-4)
