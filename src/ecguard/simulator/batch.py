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
from ecguard.simulator.grid import TimeGrid, potential_jumps, time_grid
from ecguard.simulator.march import march
from ecguard.simulator.ranges import check
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
    waveform, couples, cell, fouling = jax.tree.map(_as_batch, (waveform, couples, cell, fouling))
    trace = simulate_batch(waveform, couples, cell, fouling, outputs)
    return jax.tree.map(lambda leaf: leaf[0], trace)


def simulate_batch(
    waveform: Waveform,
    couples: Couples,
    cell: Cell,
    fouling: Fouling | None = None,
    outputs: Collection[Output] = USUAL,
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
        outputs: what to record beside the current.

    Returns:
        Traces with leaves [batch, L]; float64 where JAX has it enabled, float32 else.

    Raises:
        InputError: a value is not finite or out of range, shapes disagree, time does not
            increase, or an output has no such name. Values that JAX is tracing are not checked.
    """
    arguments = (waveform, couples, cell, fouling)
    check(*arguments, outputs)
    grid = time_grid(waveform.t_s)
    recorded = tuple(dict.fromkeys(outputs))
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arguments))
    jumps = isinstance(waveform.E_V, jax.core.Tracer) or _any_jump(waveform.E_V)
    run = partial(march, jumps=jumps, outputs=recorded)
    n = len(waveform.E_V)
    if traced or n <= BLOCK:
        return run(*_as_arrays((waveform, grid, couples, cell, fouling)))

    def block(start: int) -> Trace:
        rows = np.arange(start, start + BLOCK).clip(max=n - 1)
        part = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], arguments)
        trace = run(*_as_arrays((part[0], _rows_of(grid, rows), *part[1:])))
        return jax.tree.map(lambda leaf: leaf[: n - start], trace)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        blocks = list(pool.map(block, range(0, n, BLOCK)))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *blocks)


def _as_batch(leaf: Any) -> Any:
    return leaf[None] if isinstance(leaf, jax.Array) else np.asarray(leaf)[None]


def _as_arrays(tree: Any) -> Any:
    return jax.tree.map(partial(jnp.asarray, dtype=jnp.zeros(()).dtype), tree)


def _any_jump(E_V: Any) -> bool:
    return bool(np.any(potential_jumps(np.asarray(E_V).T)))


def _rows_of(grid: TimeGrid, rows: np.ndarray) -> TimeGrid:
    step = grid.step if grid.step.shape[1] == 1 else grid.step[:, rows]
    return TimeGrid(grid.duration_s[rows], step, grid.span, grid.even)
