"""Loops over samples, each compiled as one kernel.

On a processor XLA runs a program kernel by kernel. Where a step of a loop is fifty short ones,
handing over from each to the next takes as long as the arithmetic; in one kernel they follow each
other by themselves.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import SymbolicZero
from jax.experimental.scheduling_groups import xla_metadata_call

T = TypeVar("T")
_NEVER = 1.2345e-31  # what numbers do not sum up to; too small to matter if they do


def one_kernel(function: Callable[..., T]) -> Callable[..., T]:
    """The function, compiled as one kernel on a processor, and called as it is on other devices.

    What it reads must be among its arguments. For loops of elementwise work and small products of
    matrices; a kernel keeps to one core. Reductions, sorts, scatters and factorisations have no
    place within: where they are large, the compiler calls a library for them, which a kernel
    cannot. For derivatives, see `differentiable`.

    Raises:
        NotImplementedError: a derivative is taken of what is called.
    """

    def reading_all(*arguments: Any) -> T:
        nothing = _nothing(*map(jnp.asarray, jax.tree.leaves(arguments)))
        return jax.tree.map(partial(_added_at_first, number=nothing), function(*arguments))

    @jax.custom_jvp
    def called(*arguments: Any) -> T:
        if jax.default_backend() != "cpu":
            return function(*arguments)
        call = xla_metadata_call(reading_all, inlineable="false", xla_cpu_small_call="true")
        # a constant of the program would be drawn into the kernel, and its argument unread
        found: T = call(*lax.optimization_barrier(arguments))
        return found

    @called.defjvp
    def _(_primals: Any, _slopes: Any) -> Any:
        raise NotImplementedError(
            "The simulator has first derivatives only. Take differences of these for a second one."
        )

    return called


@custom_vmap
def _nothing(*leaves: Array) -> Array:
    """0, which the compiler cannot know: it gives up on a kernel with an argument left unread."""
    total = sum(leaf.ravel()[0].astype(jnp.float32) for leaf in leaves)
    return jnp.where(total == _NEVER, _NEVER, 0.0)


@_nothing.def_vmap
def _(_size: int, batched: list[bool], *leaves: Array) -> tuple[Array, bool]:
    """One for the whole batch, so that what the batch shares stays shared."""
    own = (leaf[0] if many else leaf for leaf, many in zip(leaves, batched, strict=True))
    return _nothing(*own), False


def _added_at_first(leaf: Array, number: Array) -> Array:
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    start = (0,) * leaf.ndim
    first = lax.slice(leaf, start, (1,) * leaf.ndim) + number.astype(leaf.dtype)
    return lax.dynamic_update_slice(leaf, first, start)


def differentiable(function: Callable[..., T], *, backward: bool) -> Callable[..., T]:
    """The function as one kernel, with derivatives in kernels of their own.

    Args:
        function: as for `one_kernel`; its arguments are trees of arrays, or None.
        backward: whether derivatives may be taken in reverse mode. In forward mode the function
            runs twice then.
    """

    @jax.custom_jvp
    def value(*arguments: Any) -> T:
        return one_kernel(function)(*arguments)

    def push(primals: tuple[Any, ...], slopes: tuple[Any, ...]) -> tuple[T, T]:
        moves = jax.tree.map(lambda slope: not isinstance(slope, SymbolicZero), slopes)
        moving, still = eqx.partition(primals, moves)
        slope = eqx.filter(slopes, moves)

        def of(still: Any, moving: Any) -> T:
            return function(*eqx.combine(moving, still))

        def along(moving: Any, still: Any, slope: Any) -> tuple[T, T]:
            return jax.jvp(partial(of, still), (moving,), (slope,))

        if not backward:
            return one_kernel(along)(moving, still, slope)
        found, pull = one_kernel(lambda moving, still: jax.vjp(partial(of, still), moving))(
            moving, still
        )
        return found, _linear(
            lambda slope: one_kernel(lambda *given: along(*given)[1])(moving, still, slope),
            lambda pulled: one_kernel(lambda pull, pulled: pull(pulled)[0])(pull, pulled),
            slope,
            found,
        )

    value.defjvp(push, symbolic_zeros=True)
    return value


def _linear(push: Callable[[Any], T], pull: Callable[[T], Any], slope: Any, like: T) -> T:
    """push(slope), with `pull` as its transpose.

    As the second half of the solution of a triangular system, x = slope and y - push(x) = 0, whose
    transposed solution may be given. No other public function of JAX is transposed as told and may
    be batched too.
    """
    none = jax.tree.leaves(slope)[0].ravel()[:0]  # zeros have to be linear in the slope too
    zero = jax.tree.map(
        lambda leaf: lax.pad(
            none.astype(leaf.dtype), jnp.zeros((), leaf.dtype), [(0, leaf.size, 0)]
        ).reshape(leaf.shape),
        like,
    )
    add = partial(jax.tree.map, jnp.add)
    _, found = lax.custom_linear_solve(
        lambda both: both,  # read for second derivatives only, which there are none of
        (slope, zero),
        solve=lambda _, both: (both[0], add(both[1], push(both[0]))),
        transpose_solve=lambda _, both: (add(both[0], pull(both[1])), both[1]),
    )
    return found
