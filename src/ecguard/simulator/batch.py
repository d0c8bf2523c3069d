"""Simulate one trace, or any number of them."""

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ecguard.fouling import Fouling
from ecguard.simulator.electrode import Cell, Couples, Waveform
from ecguard.simulator.grid import potential_jumps, time_grid
from ecguard.simulator.march import march
from ecguard.simulator.ranges import check_shapes, check_values
from ecguard.simulator.trace import USUAL, Output, Trace

BLOCK = 512
"""Traces simulated at once; of a larger batch, blocks of this size go to a thread per core."""


def simulate(
    waveform: Waveform,
    couples: Couples,
    cell: Cell,
    fouling: Fouling | None = None,
    outputs: Collection[Output] = USUAL,
) -> Trace:
    """Simulate one trace. The electrode rests at the first potential; there the current is 0.

    Args:
        waveform: leaves [L], L >= 2, strictly increasing time.
        couples: leaves [m].
        cell: scalars.
        fouling: scalars, or None for a clean electrode.
        outputs: what to record beside the current.

    Returns:
        A trace with leaves [L]; float64 where JAX has it enabled, float32 else.

    Raises:
        InputError: a value is not finite or out of range, time does not increase, or an output
            has no such name.
    """
    each: Any = partial(jax.tree.map, _as_batch)
    arguments, settings = _prepare(
        each(waveform), each(couples), each(cell), each(fouling), outputs
    )
    return Trace(waveform.t_s, waveform.E_V, **_march_one(*arguments, **settings))


def simulate_batch(
    waveform: Waveform,
    couples: Couples,
    cell: Cell,
    fouling: Fouling | None = None,
    outputs: Collection[Output] = (),
) -> Trace:
    """Simulate many traces at once; every leaf of every argument has a leading batch axis.

    Compiled once per shape; new values compile nothing. Differentiable in all leaves but the times,
    in forward and reverse mode. More than `BLOCK` traces are split into blocks, which go to a
    thread per core, so that memory beyond the traces themselves is bounded.

    Args:
        waveform: leaves [batch, L].
        couples: leaves [batch, m].
        cell: leaves [batch].
        fouling: leaves [batch], or None for clean electrodes.
        outputs: what to record beside the current; each costs some speed.

    Returns:
        Traces with leaves [batch, L]; float64 where JAX has it enabled, float32 else.

    Raises:
        InputError: a value is not finite or out of range, shapes disagree, time does not
            increase, or an output has no such name. Values that JAX is tracing are not checked.
    """
    arguments = (waveform, couples, cell, fouling)
    n = len(waveform.E_V)
    if n <= BLOCK or any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arguments)):
        return Trace(waveform.t_s, waveform.E_V, **_march_block(*arguments, outputs))
    check_shapes(*arguments)
    arguments = jax.tree.map(np.asarray, arguments)
    x64 = _precision() == np.float64  # a setting of this thread, not of those of the pool

    def block(start: int) -> dict[str, jax.Array]:
        rows = np.arange(start, start + BLOCK).clip(max=n - 1)
        with jax.enable_x64(x64):
            found = _march_block(*jax.tree.map(lambda leaf: leaf[rows], arguments), outputs)
        return {name: values[: n - start] for name, values in found.items()}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        blocks = list(pool.map(block, range(0, n, BLOCK)))
    joined = {name: jnp.concatenate([part[name] for part in blocks]) for name in blocks[0]}
    return Trace(waveform.t_s, waveform.E_V, **joined)


def _march_block(*arguments: Any) -> dict[str, jax.Array]:
    checked, settings = _prepare(*arguments)
    return march(*checked, **settings)


def _prepare(
    waveform: Waveform,
    couples: Couples,
    cell: Cell,
    fouling: Fouling | None,
    outputs: Collection[Output],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments and settings of the march, checked, in the precision that JAX has enabled."""
    check_shapes(waveform, couples, cell, fouling)
    check_values(waveform, couples, cell, fouling, outputs)
    as_array = partial(_as_array, dtype=_precision())
    E_V, cleaning, grid, *electrode = jax.tree.map(
        as_array,
        (waveform.E_V, waveform.cleaning, time_grid(waveform.t_s), couples, cell, fouling),
    )
    with jax.ensure_compile_time_eval():  # the waveform may be known where the rest is traced
        jumps = isinstance(E_V, jax.core.Tracer) or bool(_any_jump(E_V))
    return (E_V, cleaning, grid, *electrode), {
        "jumps": jumps,
        "outputs": tuple(dict.fromkeys(outputs)),
    }


@partial(jax.jit, static_argnames=("jumps", "outputs"))
def _march_one(*arguments: Any, **settings: Any) -> dict[str, jax.Array]:
    return {name: values[0] for name, values in march(*arguments, **settings).items()}


@jax.jit
def _any_jump(E_V: jax.Array) -> jax.Array:
    return jnp.any(potential_jumps(E_V))


def _precision() -> Any:
    """The type of floats that JAX has enabled here."""
    return jax.dtypes.canonicalize_dtype(np.float64)


def _as_batch(leaf: Any) -> Any:
    return leaf[None] if isinstance(leaf, jax.Array) else np.asarray(leaf)[None]


def _as_array(leaf: Any, dtype: Any) -> Any:
    """Arrays of the host stay there: the march takes them over, block by block."""
    return leaf.astype(dtype) if isinstance(leaf, jax.Array) else np.asarray(leaf, dtype)
