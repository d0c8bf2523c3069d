"""The exact likelihood: its grid against the family's, its value, batches and compilation."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from ecguard import family
from ecguard.chunk import Chunk
from ecguard.errors import InputError
from ecguard.posterior.likelihood import (
    LANES,
    Observation,
    SimulatorLikelihood,
    SolverGrid,
    check_observation,
    solver_grid,
)
from ecguard.posterior.likelihood import log_likelihood as many_log_likelihoods
from ecguard.posterior.unknowns import draw_prior
from ecguard.waveforms import cyclic

N_CASES, NOISE_STD = 400, 0.05
LARGEST_ERROR = 0.15  # root mean square over a trace, in units of the noise
N_TRACES, LENGTH = 3, 48

expected = jax.jit(jax.vmap(lambda likelihood, unknowns: likelihood.expected(unknowns)[0]))
log_likelihood = jax.jit(jax.vmap(lambda likelihood, unknowns: likelihood(unknowns)))


def traces(seed: int = 0) -> Observation:
    """Three voltammograms of different rates, a third of their samples hidden."""
    rng = np.random.default_rng(seed)
    waveform = cyclic(rng.uniform(0.6, 0.8, 3), -0.7, rng.uniform(0.05, 1.0, 3), LENGTH)
    return Observation(
        waveform.t_s,
        waveform.E_V,
        rng.normal(size=(N_TRACES, LENGTH)),
        rng.random((N_TRACES, LENGTH)) < 0.67,
        rng.uniform(0.03, 0.1, N_TRACES),
    )


def particles(seed: int = 0, n: int = N_TRACES) -> jax.Array:
    return draw_prior(jax.random.key(seed), n, 1)


def errors(chunk: Chunk, task: str, grid: Callable[..., Any] | None = None) -> np.ndarray:
    """Of the solver's current against that of the family, by case, in units of the noise."""
    own = np.flatnonzero(chunk.task_id == family.TASKS.index(task))[:N_CASES]
    assert len(own) == N_CASES
    current = chunk.current_mA_cm2[own]
    shown, noise = np.ones(current.shape, bool), np.full(N_CASES, NOISE_STD)
    seen = Observation(chunk.time_s[own], chunk.potential_V[own], current, shown, noise)
    likelihood = SimulatorLikelihood.of(seen)
    if grid is not None:
        likelihood = replace(likelihood, grid=grid(likelihood), potential=seen.E_V)
    # rows of one couple carry an absent second one, which the family simulates too
    cell = np.stack([chunk.Ru_ohm, chunk.Cdl_F], axis=1)[own]
    found = expected(likelihood, jnp.asarray(np.hstack([chunk.parameters[own], cell])))
    return np.sqrt(np.mean(np.square(found - current), axis=1)) / NOISE_STD


@pytest.fixture(scope="module")
def many() -> Chunk:
    return family.draw(21, 2048)


@pytest.mark.parametrize("task", family.TASKS)
def test_the_grid_is_as_good_as_that_of_the_family(many: Chunk, task: str) -> None:
    assert errors(many, task).max() < LARGEST_ERROR


def test_one_step_a_sample_would_not_be(many: Chunk) -> None:
    def coarse(likelihood: SimulatorLikelihood) -> SolverGrid:
        n = family.N_SAMPLES
        return SolverGrid((1 / (n - 1),) * (n - 1), tuple(range(n)), likelihood.grid.jumps)

    assert errors(many, "tone", coarse).max() > LARGEST_ERROR


def test_the_grid_is_fine_after_the_start_and_after_jumps() -> None:
    time_s = np.linspace([0.0], [2.0], 21, axis=1)
    E_V = np.where(time_s < 0.95, 0.5, -0.2)
    grid, potential = solver_grid(time_s, E_V)
    start, jump = (4, 4, 4, 4, 2, 2), (4, 2)
    assert np.diff(grid.recorded).tolist() == [*start, 1, 1, 1, *jump, *(1,) * 9]
    soon, _ = solver_grid(time_s, np.where(time_s < 0.45, 0.5, -0.2))
    assert np.diff(soon.recorded).tolist() == [4, 4, 4, 4, 4, 2, *(1,) * 14]
    at_once, _ = solver_grid(time_s, np.where(time_s < 0.05, 0.5, -0.2))
    assert np.diff(at_once.recorded).tolist() == [*start, *(1,) * 14]
    assert grid.jumps
    assert sum(grid.step) == pytest.approx(1.0)
    np.testing.assert_array_equal(potential[0, list(grid.recorded)], E_V[0])


def test_value_is_the_normal_density_of_what_is_observed() -> None:
    seen = traces()
    likelihood = SimulatorLikelihood.of(seen)
    mean = np.asarray(expected(likelihood, particles()), np.float64)
    terms = norm.logpdf(seen.current, mean, seen.noise_std[:, None])
    wanted = np.where(seen.observed, terms, 0.0).sum(axis=1)
    np.testing.assert_allclose(log_likelihood(likelihood, particles()), wanted, rtol=1e-4)


def test_hidden_samples_have_no_influence() -> None:
    seen = traces()
    garbage = seen._replace(current=np.where(seen.observed, seen.current, 1e9))
    shifted = seen._replace(current=seen.current + 0.01 * seen.observed)
    plain, hidden, changed = (
        log_likelihood(SimulatorLikelihood.of(each), particles())
        for each in (seen, garbage, shifted)
    )
    np.testing.assert_array_equal(plain, hidden)
    assert (np.asarray(plain != changed)).all()


def test_different_sampling_is_refused() -> None:
    seen = traces()
    bent = seen.time_s.copy()
    bent[1] = bent[1] ** 1.01
    with pytest.raises(InputError) as raised:
        SimulatorLikelihood.of(seen._replace(time_s=bent))
    assert raised.value.name == "time_s"


def with_value(name: str, value: float, seen: bool = True) -> Observation:
    """The traces with a value at a sample of the second one that was observed, or was not."""
    whole = traces()
    leaf = np.array(getattr(whole, name))
    leaf[1, np.flatnonzero(whole.observed[1] == seen)[3]] = value
    return whole._replace(**{name: leaf})


@pytest.mark.parametrize(
    ("name", "value", "changed"),
    [
        ("time_s", "trace 1", with_value("time_s", np.nan)),
        ("time_s", "trace 0", traces()._replace(time_s=traces().time_s[:, ::-1])),
        ("time_s", "(3, 47)", traces()._replace(time_s=traces().time_s[:, 1:])),
        ("E_V", "nan", with_value("E_V", np.nan)),
        ("E_V", "400.0", with_value("E_V", 400.0)),
        ("current", "nan", with_value("current", np.nan)),
        ("current", "-inf", with_value("current", -np.inf)),
        ("current", "(3, 40)", traces()._replace(current=np.zeros((3, 40)))),
        ("observed", "int64", traces()._replace(observed=np.ones((3, LENGTH), np.int64))),
        (
            "observed",
            "trace 2",
            traces()._replace(observed=np.arange(3)[:, None] < np.full(LENGTH, 2)),
        ),
        ("noise_std", "()", traces()._replace(noise_std=0.05)),
        ("noise_std", "(2,)", traces()._replace(noise_std=np.ones(2))),
        ("noise_std", "0.0", traces()._replace(noise_std=np.array([0.1, 0.0, 0.1]))),
        ("noise_std", "-0.1", traces()._replace(noise_std=np.array([0.1, -0.1, 0.1]))),
        ("noise_std", "nan", traces()._replace(noise_std=np.array([0.1, np.nan, 0.1]))),
        ("observation", "(48,)", Observation(*(leaf[0] for leaf in traces()))),
        ("observation", "(0, 48)", Observation(*(leaf[:0] for leaf in traces()))),
        ("observation", "(3, 2)", Observation(*(leaf[:, :2] for leaf in traces()[:4]), np.ones(3))),
    ],
)
def test_traces_that_no_likelihood_can_use_are_named(
    name: str, value: str, changed: Observation
) -> None:
    with pytest.raises(InputError) as raised:
        SimulatorLikelihood.of(changed)
    assert raised.value.name == name
    assert value in str(raised.value.args[1])


def test_whatever_was_not_observed_is_let_through() -> None:
    hidden = with_value("current", np.nan, seen=False)
    plain, bare = (
        log_likelihood(SimulatorLikelihood.of(each), particles()) for each in (traces(), hidden)
    )
    np.testing.assert_array_equal(plain, bare)


def test_thousands_of_traces_are_checked_in_no_time() -> None:
    """Some milliseconds."""
    many = Observation(*(np.repeat(leaf, 1000, axis=0) for leaf in traces()))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        check_observation(many)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.1


def test_batches_give_what_one_by_one_gives() -> None:
    likelihood = SimulatorLikelihood.of(traces())
    crowd = particles(1, 2 * N_TRACES).reshape(N_TRACES, 2, -1)
    nested = jax.jit(jax.vmap(lambda one, many: jax.vmap(one)(many)))(likelihood, crowd)
    for column in range(2):
        rows = log_likelihood(likelihood, crowd[:, column])
        np.testing.assert_allclose(nested[:, column], rows, rtol=1e-5)
    alone = jax.tree.map(lambda leaf: leaf[1], likelihood)
    assert float(jax.jit(lambda one, row: one(row))(alone, crowd[1, 0])) == pytest.approx(
        float(nested[1, 0]), rel=1e-5
    )


@pytest.mark.parametrize("n_draws", [LANES, LANES + 1])
def test_many_draws_give_what_few_give(n_draws: int) -> None:
    """Marched in parts where they fill these, else at once."""
    likelihood = SimulatorLikelihood.of(traces())
    many = particles(1, N_TRACES * n_draws).reshape(N_TRACES, n_draws, -1)
    found = many_log_likelihoods(likelihood, many)
    assert found.shape == (N_TRACES, n_draws)
    for k in (0, n_draws // 2, n_draws - 1):
        np.testing.assert_allclose(found[:, k], log_likelihood(likelihood, many[:, k]), rtol=1e-4)


def test_compiled_once(compilations: Callable[[Callable[[], object]], int]) -> None:
    run = jax.jit(jax.vmap(lambda likelihood, unknowns: likelihood(unknowns)))

    def start(seed: int) -> jax.Array:
        return run(SimulatorLikelihood.of(traces(seed)), particles(seed))

    assert compilations(lambda: start(0)) > 0
    assert compilations(lambda: start(1)) == 0
