"""Loops in one kernel: the same numbers, whatever the compiler makes of their arguments."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ecguard.fouling import Fouling
from ecguard.report.simulator import timed_case
from ecguard.simulator import Cell, Couples, Waveform, simulate_batch
from ecguard.simulator.kernel import differentiable, one_kernel


def decay(rate, start, forcing):
    def step(state, force):
        state = state * jnp.exp(-rate) + force
        return state, state.sum()

    return lax.scan(step, start, forcing)


def kernels_in(program):
    """How many kernels of several steps a compiled program calls."""
    lines = program.as_text().splitlines()
    return sum(
        "to_apply=%xla_metadata_call" in line and 'small_call="true"' in line for line in lines
    )


@pytest.fixture
def given():
    rng = np.random.default_rng(0)
    return rng.uniform(0.1, 0.4, 3), rng.normal(size=3), rng.normal(size=(7, 3))


def test_a_loop_in_one_kernel_gives_the_same(given):
    kernel = jax.jit(one_kernel(decay))
    for found, expected in zip(kernel(*given), decay(*given), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert kernels_in(kernel.lower(*given).compile()) == 1


def test_other_devices_get_the_function_as_it_is(given, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    kernel = jax.jit(one_kernel(decay))
    assert kernels_in(kernel.lower(*given).compile()) == 0
    np.testing.assert_allclose(kernel(*given)[0], decay(*given)[0], rtol=1e-6)


def test_arguments_that_the_compiler_knows_or_finds_unused_do_no_harm(given):
    rate, start, forcing = given

    def with_unused(rate, start, forcing, count):
        return decay(rate, start + jnp.sum(count * 0), forcing)

    @jax.jit
    def run(start):  # the others are constants of the program
        return one_kernel(with_unused)(rate, start, forcing, jnp.arange(4))

    np.testing.assert_allclose(run(start)[1], decay(*given)[1], rtol=1e-6)


def test_values_that_are_not_finite_stay_in_their_places(given):
    rate, start, forcing = given
    start[0] = np.nan

    def turned(*given):
        return decay(*given)[0][::-1]

    final = jax.jit(one_kernel(turned))(rate, start, forcing)
    assert np.isnan(final[-1])
    np.testing.assert_allclose(final[:-1], turned(rate, start, forcing)[:-1], rtol=1e-6)


@pytest.mark.parametrize("backward", [True, False])
def test_slopes_are_those_of_the_plain_loop(given, backward):
    loop = differentiable(decay, backward=backward)

    def value(of, *arguments):
        final, sums = of(*arguments)
        return jnp.sum(final**2) + jnp.sum(sums**3)

    slopes = tuple(np.ones_like(leaf) for leaf in given)
    pushed = [jax.jvp(partial(value, of), given, slopes)[1] for of in (loop, decay)]
    np.testing.assert_allclose(*pushed, rtol=1e-5)
    # one argument alone, several directions at once
    jacobians = [jax.jit(jax.jacfwd(partial(value, of), argnums=1))(*given) for of in (loop, decay)]
    np.testing.assert_allclose(*jacobians, rtol=1e-5)
    if backward:
        for argnums in (0, 1, 2, (0, 2)):
            pulled = [jax.grad(partial(value, of), argnums=argnums)(*given) for of in (loop, decay)]
            jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), *pulled)
        many = tuple(np.stack([leaf, 0.9 * leaf]) for leaf in given)
        for slopes_of in (
            lambda own: jax.vmap(jax.jit(jax.grad(own, argnums=(0, 1)))),
            lambda own: jax.grad(lambda *each: jnp.sum(jax.vmap(own)(*each)), argnums=(0, 1)),
            lambda own: jax.vmap(jax.jacrev(own, argnums=1)),
        ):
            pulled = [slopes_of(partial(value, of))(*many) for of in (loop, decay)]
            jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), *pulled)


@pytest.mark.parametrize("backward", [True, False])
@pytest.mark.parametrize("second", [jax.jacfwd, jax.jacrev])
def test_second_derivatives_are_refused_not_wrong(given, backward, second):
    loop = differentiable(decay, backward=backward)
    first = jax.grad if backward else jax.jacfwd

    def value(rate):
        return jnp.sum(loop(rate, *given[1:])[1] ** 2)

    with pytest.raises(NotImplementedError, match="first derivatives only"):
        second(first(value))(given[0])


def batch(n, m, grid):
    rng, length = np.random.default_rng(1), 24
    time = np.linspace(0.0, 2.0, length) * np.ones((n, 1))
    if grid == "of each trace":
        time[:, 1:-1] += rng.uniform(-0.03, 0.03, (n, length - 2))
    potential = 0.3 * np.cos(np.pi * time)
    couples = Couples(
        *(np.full((n, m), v) for v in (1e-5, 1e-5, 1.0, 0.5)),
        E0=0.1 * np.arange(m) * np.ones((n, 1)),
        k0=np.full((n, m), 1e-2),
        alpha=np.full((n, m), 0.5),
    )
    cell = Cell(*(np.full(n, v) for v in (0.01, 100.0, 2e-7, 298.15)))
    fouling = jax.tree.map(lambda value: np.full(n, value), Fouling())
    return jax.tree.map(jnp.asarray, (couples, cell, fouling)), Waveform(time, potential)


def reductions(jaxpr, inside=False):
    """Sizes of the reductions of numbers within kernels, of any depth."""
    for equation in jaxpr.eqns:
        own = inside or equation.primitive.name == "xla_metadata_call"
        if own and equation.primitive.name in ("reduce_sum", "reduce_max", "cumsum"):
            shape = equation.invars[0].aval.shape
            yield np.prod([shape[axis] for axis in equation.params["axes"]])
        for part in jax.tree.leaves(list(equation.params.values())):
            if hasattr(part, "jaxpr"):
                part = part.jaxpr
            if hasattr(part, "eqns"):
                yield from reductions(part, own)


@pytest.mark.parametrize("grid", ["even", "of each trace"])
def test_kernels_of_the_march_hold_no_reductions(grid):
    """The compiler hands large ones to a library, which a kernel cannot call."""
    electrode, waveform = batch(3, 2, grid)

    def value(*electrode):
        return jnp.sum(simulate_batch(waveform, *electrode).current_density_mA_cm2 ** 2)

    slopes = jax.tree.map(jnp.ones_like, electrode)
    for program in (
        jax.make_jaxpr(value)(*electrode),
        jax.make_jaxpr(jax.grad(value, argnums=(0, 1, 2)))(*electrode),
        jax.make_jaxpr(lambda *given: jax.jvp(value, given, slopes))(*electrode),
    ):
        assert "xla_metadata_call" in str(program)
        assert all(size == 1 for size in reductions(program.jaxpr))


def test_all_but_what_is_sought_may_be_constants_of_the_program():
    # the compiler makes no constants of few or of equal numbers
    waveform, couples, cell, fouling = timed_case(64, 1, True)
    waveform = jax.tree.map(lambda leaf: leaf[:, :257], waveform)
    couples, cell, fouling = jax.tree.map(jnp.asarray, (couples, cell, fouling))

    def value(fouling):
        trace = simulate_batch(waveform, couples, cell, fouling)
        return jnp.sum(trace.current_density_mA_cm2**2)

    _, pushed = jax.jvp(value, (fouling,), (jax.tree.map(jnp.ones_like, fouling),))
    pulled = jax.jit(jax.grad(value))(fouling)
    total = sum(float(jnp.sum(leaf)) for leaf in jax.tree.leaves(pulled))
    np.testing.assert_allclose(total, pushed, rtol=1e-4)


@pytest.mark.parametrize("grid", ["even", "of each trace"])
def test_large_batches_of_several_couples_compile(grid):
    electrode, waveform = batch(3000, 3, grid)

    @jax.jit
    def value(*electrode):
        return jnp.sum(simulate_batch(waveform, *electrode).current_density_mA_cm2 ** 2)

    pulled = jax.grad(value, argnums=1)(*electrode)
    _, pushed = jax.jvp(
        lambda cell: value(electrode[0], cell, electrode[2]),
        electrode[1:2],
        (jax.tree.map(jnp.ones_like, electrode[1]),),
    )
    total = sum(float(jnp.sum(leaf)) for leaf in jax.tree.leaves(pulled))
    np.testing.assert_allclose(total, pushed, rtol=2e-3)
