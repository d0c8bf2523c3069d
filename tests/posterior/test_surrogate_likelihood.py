"""The surrogate's likelihood: its flow, its error on held-out traces, and what it refuses."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import ArrayLike

from ecguard import family
from ecguard.chunk import Chunk
from ecguard.errors import InputError
from ecguard.posterior.exact import infer_exact
from ecguard.posterior.likelihood import Observation
from ecguard.posterior.population import PopulationSettings
from ecguard.posterior.surrogate_error import (
    N_STEPS,
    SurrogateError,
    error_of,
    measure_error,
    residuals,
)
from ecguard.posterior.surrogate_likelihood import SurrogateLikelihood, parameter_row
from ecguard.posterior.tempered import TemperedSettings, take
from ecguard.posterior.unknowns import draw_prior, log_prior, n_unknowns
from ecguard.surrogate import Surrogate, load_surrogate
from ecguard.surrogate.training import core_rows


@eqx.filter_jit
def log_likelihood(likelihood: SurrogateLikelihood, particles: ArrayLike) -> jax.Array:
    """Of particles [n, k, d], k for each of n traces."""
    return jax.vmap(lambda one, rows: jax.vmap(one)(rows), in_axes=(likelihood.axes, 0))(
        likelihood, jnp.asarray(particles)
    )


@eqx.filter_jit
def expected(
    likelihood: SurrogateLikelihood, rows: ArrayLike
) -> tuple[jax.Array, jax.Array | float]:
    """Currents and variances [n, L] of unknowns [n, d], one for each trace."""
    return jax.vmap(lambda one, row: one.expected(row), in_axes=(likelihood.axes, 0))(
        likelihood, jnp.asarray(rows)
    )


@pytest.fixture(scope="module")
def surrogate() -> Surrogate:
    return load_surrogate()


@pytest.fixture(scope="module")
def chunk() -> Chunk:
    """Held-out cases; the error is measured on the first half."""
    return family.draw(77, 8192)


@pytest.fixture(scope="module")
def residual(surrogate: Surrogate, chunk: Chunk) -> np.ndarray:
    return residuals(surrogate, chunk)


@pytest.fixture(scope="module")
def error(chunk: Chunk, residual: np.ndarray) -> SurrogateError:
    half = chunk.rows // 2
    return error_of(chunk.take(np.arange(half)), residual[:half])


def couples(chunk: Chunk) -> np.ndarray:
    return 1 + (chunk.parameters[:, 5] > 0)


def held_out(chunk: Chunk, n: int, n_couples: int) -> Chunk:
    """The last n cases with as many couples."""
    return chunk.take(np.flatnonzero(couples(chunk) == n_couples)[-n:])


def truth(chunk: Chunk, n_couples: int) -> np.ndarray:
    """Unknowns [n, 7 m + 2] of cases with m couples."""
    rows = chunk.parameters.reshape(chunk.rows, 7, -1)[:, :, :n_couples]
    return np.column_stack([rows.reshape(chunk.rows, -1), chunk.Ru_ohm, chunk.Cdl_F])


def observe(chunk: Chunk, noise_std: ArrayLike = 0.05) -> Observation:
    """The traces with noise, mA/cm^2; two samples in five are seen."""
    rng = np.random.default_rng(5)
    std = np.broadcast_to(noise_std, chunk.rows)
    current = chunk.current_mA_cm2 + std[:, None] * rng.normal(size=chunk.current_mA_cm2.shape)
    observed = rng.random(current.shape) < 0.4
    return Observation(chunk.time_s, chunk.potential_V, current, observed, std)


def likelihood_of(
    surrogate: Surrogate, error: SurrogateError, chunk: Chunk, **changes: Any
) -> SurrogateLikelihood:
    observation = observe(chunk)._replace(**changes)
    return SurrogateLikelihood.of(surrogate, error, observation, chunk.task_id, chunk.stage_id)


@pytest.mark.parametrize("n_couples", [1, 2])
def test_current_is_that_of_the_flow_from_zero_noise(
    surrogate: Surrogate, error: SurrogateError, chunk: Chunk, n_couples: int
) -> None:
    cases = held_out(chunk, 512, n_couples)
    current, variance = expected(likelihood_of(surrogate, error, cases), truth(cases, n_couples))
    start = np.zeros((cases.rows, surrogate.meta.state_dim))
    core = core_rows(surrogate, cases)
    wanted = np.asarray(surrogate.sample_current(start, cases.potential_V, core, N_STEPS))
    scale = family.current_scales(cases)[:, None]
    assert np.abs((current - wanted) / scale).max() < 5e-5
    std = np.asarray(error.std)[n_couples - 1, cases.task_id] * scale
    np.testing.assert_allclose(variance, std**2, rtol=1e-4)


@pytest.mark.parametrize("n_couples", [1, 2])
def test_row_is_the_family_s(chunk: Chunk, n_couples: int) -> None:
    cases = held_out(chunk, 3, n_couples)
    rows = [parameter_row(row) for row in truth(cases, n_couples)]
    np.testing.assert_allclose(rows, cases.parameters, rtol=1e-6)


def test_resistance_and_capacitance_do_not_matter(
    surrogate: Surrogate, error: SurrogateError, chunk: Chunk
) -> None:
    cases = held_out(chunk, 4, 1)
    rows = truth(cases, 1)
    of_cell = np.arange(9) >= 7
    moved = [rows * np.where(of_cell, factor, 1.0) for factor in (1.0, 0.8, 1.2)]
    values = log_likelihood(likelihood_of(surrogate, error, cases), np.stack(moved, axis=1))
    np.testing.assert_array_equal(values, np.tile(values[:, :1], 3))


def test_error_of_one_half_is_that_of_the_other(
    chunk: Chunk, residual: np.ndarray, error: SurrogateError
) -> None:
    # With some hundred to thousand traces a group and heavy tails, the root mean square scatters
    # by a tenth to a quarter between halves.
    half = chunk.rows // 2
    table = np.asarray(error.std)
    assert table.shape == (2, len(family.TASKS), family.N_SAMPLES)
    m, task = couples(chunk)[half:], chunk.task_id[half:]
    square = np.mean((residual[half:] / table[m - 1, task]) ** 2, axis=1)
    for k in range(len(family.TASKS)):
        assert 0.7 < np.sqrt(square[task == k].mean()) < 1.4
        for n_couples in (1, 2):
            assert 0.6 < np.sqrt(square[(task == k) & (m == n_couples)].mean()) < 1.6


def test_sixty_steps_are_no_nearer_to_the_simulator(
    surrogate: Surrogate, chunk: Chunk, residual: np.ndarray
) -> None:
    few = chunk.take(np.arange(512))
    slow = residuals(surrogate, few, 60)
    size, apart = (np.sqrt(np.mean(values**2, axis=1)) for values in (slow, slow - residual[:512]))
    fast = np.sqrt(np.mean(residual[:512] ** 2, axis=1))
    for k in range(len(family.TASKS)):
        own = few.task_id == k
        assert np.median(apart[own]) < 0.35 * np.median(size[own])
        assert np.median(fast[own]) < 1.1 * np.median(size[own])


@pytest.mark.parametrize("n_couples", [1, 2])
def test_without_its_error_the_surrogate_is_overconfident(
    surrogate: Surrogate, error: SurrogateError, chunk: Chunk, n_couples: int
) -> None:
    cases = held_out(chunk, 512, n_couples)
    noise = 0.01 * family.current_scales(cases)
    seen = observe(cases, noise)

    def chi_square(table: SurrogateError) -> np.ndarray:
        likelihood = likelihood_of(surrogate, table, cases, current=seen.current, noise_std=noise)
        mean, variance = (
            np.asarray(part) for part in expected(likelihood, truth(cases, n_couples))
        )
        squares = (seen.current - mean) ** 2 / (noise[:, None] ** 2 + variance)
        return np.sum(np.where(seen.observed, squares, 0.0), axis=1) / seen.observed.sum(axis=1)

    measured, planted = chi_square(error), chi_square(SurrogateError(0 * error.std, N_STEPS))
    for k in range(len(family.TASKS)):
        own = cases.task_id == k
        assert 0.4 < measured[own].mean() < 1.6
        assert planted[own].mean() > 2.5


def test_hidden_samples_never_matter(
    surrogate: Surrogate, error: SurrogateError, chunk: Chunk
) -> None:
    cases = held_out(chunk, 4, 1)
    seen = observe(cases)
    particles = draw_prior(jax.random.key(2), 12, 1).reshape(4, 3, -1)
    plain, hidden, shown = (
        log_likelihood(likelihood_of(surrogate, error, cases, current=current), particles)
        for current in (
            seen.current,
            np.where(seen.observed, seen.current, 1e6),
            np.where(seen.observed, seen.current + 0.1, seen.current),
        )
    )
    np.testing.assert_array_equal(plain, hidden)
    assert (plain != shown).all()


def test_batches_of_cases_and_particles_give_what_one_by_one_gives(
    surrogate: Surrogate, error: SurrogateError, chunk: Chunk
) -> None:
    cases = held_out(chunk, 4, 2)
    likelihood = likelihood_of(surrogate, error, cases)
    particles = draw_prior(jax.random.key(3), 12, 2).reshape(4, 3, -1)
    batched = log_likelihood(likelihood, particles)
    assert batched.shape == (4, 3)
    alone = eqx.filter_jit(lambda one, row: one(row))
    for case in range(4):
        one = take(likelihood, np.int64(case))
        assert one.surrogate is likelihood.surrogate
        values = [alone(one, row) for row in particles[case]]
        np.testing.assert_allclose(batched[case], values, rtol=1e-4, atol=1e-2)


def test_tempering_runs_on_it(surrogate: Surrogate, error: SurrogateError, chunk: Chunk) -> None:
    cases = held_out(chunk, 2, 1)
    settings = TemperedSettings(n_particles=64, chain_length=8, final_rounds=2, n_draws=64, block=2)
    likelihood = likelihood_of(surrogate, error, cases)
    few = PopulationSettings(n_proposals=64, effective=16, most_rounds=3, n_draws=64, block=2)
    found = infer_exact(likelihood, 1, jax.random.split(jax.random.key(0), 2), settings, few)
    assert found.unknowns.shape == (2, 64, n_unknowns(1))
    assert np.isfinite(log_prior(found.unknowns, 1)).all()
    assert np.isfinite(found.log_evidence).all()
    assert (found.effective >= 1).all()
    assert (found.rungs > 1).all()
    assert (found.acceptance > 0.02).all()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("noise_std", {"noise_std": 0.05}),
        ("time_s", {"time_s": np.zeros((2, 255))}),
        ("time_s", {"time_s": np.zeros((2, 256))}),
        ("time_s", {"time_s": np.linspace([0.0, 0.0], [1.0, 2.0], 256, axis=1) ** 2}),
        ("E_V", {"E_V": np.zeros((3, 256))}),
        ("E_V", {"E_V": np.full((2, 256), np.nan)}),
        ("current", {"current": np.zeros(256)}),
        ("observed", {"observed": np.ones((2, 1), bool)}),
        ("observed", {"observed": np.zeros((2, 256), bool)}),
        ("observed", {"observed": np.ones((2, 256))}),
        ("noise_std", {"noise_std": np.array([0.05, 0.0])}),
        ("noise_std", {"noise_std": np.array([0.05, np.nan])}),
        ("E_V", {"E_V": np.full((2, 256), 400.0)}),
        ("current", {"current": np.full((2, 256), np.nan)}),
    ],
)
def test_traces_that_do_not_fit_are_named(
    surrogate: Surrogate, error: SurrogateError, chunk: Chunk, name: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(InputError) as raised:
        likelihood_of(surrogate, error, held_out(chunk, 2, 1), **changes)
    assert raised.value.name == name


@pytest.mark.parametrize(
    ("name", "task_id", "n_steps", "std"),
    [
        ("task_id", [0, 4], N_STEPS, np.ones((2, 4, 256))),
        ("task_id", [0], N_STEPS, np.ones((2, 4, 256))),
        ("n_steps", [0, 1], 60, np.ones((2, 4, 256))),
        ("error.std", [0, 1], N_STEPS, np.ones((4, 256))),
    ],
)
def test_labels_and_error_that_do_not_fit_are_named(
    surrogate: Surrogate, chunk: Chunk, name: str, task_id: list, n_steps: int, std: np.ndarray
) -> None:
    observation = observe(held_out(chunk, 2, 1))
    table = SurrogateError(jnp.asarray(std), N_STEPS)
    with pytest.raises(InputError) as raised:
        SurrogateLikelihood.of(surrogate, table, observation, task_id, [0, 0], n_steps)
    assert raised.value.name == name


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("task_names", {"task_names": ("cv", "ca", "swv", "other")}),
        ("stage_names", {"stage_names": ()}),
        ("context_names", {"context_names": ("ln_duration_s", "pH"), "phys_dim_core": 23}),
    ],
)
def test_surrogate_of_another_family_is_refused(
    surrogate: Surrogate, error: SurrogateError, chunk: Chunk, name: str, changes: dict[str, Any]
) -> None:
    changes |= {"phys_dim": changes.get("phys_dim_core", surrogate.meta.phys_dim_core)}
    other = replace(surrogate, meta=replace(surrogate.meta, **changes))
    with pytest.raises(InputError) as raised:
        likelihood_of(other, error, held_out(chunk, 2, 1))
    assert raised.value.name == f"surrogate, {name}"
    with pytest.raises(InputError):
        measure_error(other, 64)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("max_species", {"target_len": 256, "state_dim": 260}),
        ("target_len", {"max_species": 2, "phys_dim_base": 14, "state_dim": 40}),
    ],
)
def test_surrogate_of_other_sizes_is_refused(
    surrogate: Surrogate, small_meta: Callable, name: str, changes: dict[str, Any]
) -> None:
    core = changes.get("phys_dim_base", 7) + 8
    meta = small_meta(
        context_names=("ln_duration_s",),
        task_names=family.TASKS,
        stage_names=family.STAGES,
        n_tasks=4,
        n_stages=3,
        phys_dim_core=core,
        phys_dim=core,
        **changes,
    )
    with pytest.raises(InputError) as raised:
        measure_error(replace(surrogate, meta=meta), 64)
    assert raised.value.name == f"surrogate, {name}"


@pytest.mark.parametrize("seed", [1, 2])
def test_error_is_measured_on_new_cases(surrogate: Surrogate, seed: int) -> None:
    with pytest.raises(InputError) as raised:
        measure_error(surrogate, 64, seed)
    assert raised.value.name == "seed"


def test_error_of_too_few_cases_is_refused(chunk: Chunk, residual: np.ndarray) -> None:
    with pytest.raises(InputError) as raised:
        error_of(chunk.take(np.arange(64)), residual[:64])
    assert raised.value.name == "n"


def test_measured_error_is_that_of_its_cases(surrogate: Surrogate) -> None:
    found = measure_error(surrogate, 512, 9, 60)
    cases = family.draw(9, 512)
    own = (cases.task_id == 2) & (couples(cases) == 2)
    spread = np.sqrt(np.mean(residuals(surrogate, cases, 60)[own] ** 2, axis=0))
    np.testing.assert_allclose(found.std[1, 2], spread, rtol=1e-5)
    assert found.n_steps == 60


@pytest.mark.parametrize("shape", [(), (8,), (23,), (2, 9)])
def test_unknowns_of_no_electrode_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as raised:
        parameter_row(np.zeros(shape))
    assert raised.value.name == "unknowns"
