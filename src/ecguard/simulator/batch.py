"""Simulate one trace, or any number of them."""

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ecguard.fouling import Fouling
from ecguard.simulator.electrode import Cell, Couples, Waveform
from ecguard.simulator.grid import jumps_anywhere, time_grid
from ecguard.simulator.march import march
from ecguard.simulator.ranges import (
    check_couples,
    check_electrode,
    check_outputs,
    check_shapes,
    check_waveform,
)
from ecguard.simulator.trace import USUAL, Output, Trace

BLOCK = 512
"""Traces simulated at once; of a larger batch, blocks of this size go to a thread per core."""

_WAVE = 32  # blocks whose arguments are held ready at a time
_Arguments = tuple[Waveform, Couples, Cell, Fouling | None]
_Job = tuple[tuple[Any, ...], dict[str, Any]]  # arguments and settings of a march


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
        InputError: a value is not finite or out of range, shapes disagree, time does not
            increase, or an output has no such name.
    """
    check_couples(couples, ("m",))
    each: Any = partial(jax.tree.map, _as_batch)
    arguments, settings = _prepare(
        (each(waveform), each(couples), each(cell), each(fouling)), outputs
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

    Compiled once per shape, and once more for blocks; new values compile nothing. Differentiable
    once in all leaves but the times, in forward and reverse mode. More than `BLOCK` traces are
    split into blocks, which go to a thread per core, so that memory beyond the traces is bounded;
    traced calls (`jax.jit`, `jax.grad`) are not split.

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
        NotImplementedError: a second derivative is taken.
    """
    arguments = (waveform, couples, cell, fouling)
    n = len(waveform.E_V)
    if n <= BLOCK or any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arguments)):
        return Trace(waveform.t_s, waveform.E_V, **_march_block(arguments, outputs))
    _check(arguments, outputs)
    arguments = jax.tree.map(np.asarray, arguments)
    x64 = _precision() == np.float64  # a setting of this thread, not of those of the pool

    def prepared(start: int, room: NDArray[np.floating]) -> _Job:
        rows: Any = slice(start, start + BLOCK)
        if start + BLOCK > n:  # filled up with the last trace
            rows = np.arange(start, start + BLOCK).clip(max=n - 1)
        with jax.enable_x64(x64):
            return _job(jax.tree.map(lambda leaf: leaf[rows], arguments), outputs, room)

    def marched(job: _Job) -> dict[str, jax.Array]:
        with jax.enable_x64(x64):
            return jax.block_until_ready(_march_wide(*job[0], **job[1]))

    blocks: list[dict[str, jax.Array]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, n, _WAVE * BLOCK):
            starts = range(first, min(first + _WAVE * BLOCK, n), BLOCK)
            # one array for a wave, as large arrays come in large pages
            rooms = np.empty((len(starts), arguments[0].E_V.shape[1], BLOCK), _precision())
            jobs = list(pool.map(prepared, starts, rooms))  # beside a march: twice as long
            blocks += pool.map(marched, jobs)
            del jobs, rooms
    left = n - (len(blocks) - 1) * BLOCK
    blocks[-1] = {name: values[:left] for name, values in blocks[-1].items()}
    joined = {name: jnp.concatenate([part[name] for part in blocks]) for name in blocks[0]}
    return Trace(waveform.t_s, waveform.E_V, **joined)


# vectors of 512 bits where the processor has them: the same numbers, in a tenth less time. What may
# become a part of another program cannot choose, so that only blocks do.
_march_wide = jax.jit(
    march,
    static_argnames=("jumps", "outputs"),
    compiler_options={"xla_cpu_prefer_vector_width": 512},
)


def _march_block(arguments: _Arguments, outputs: Collection[Output]) -> dict[str, jax.Array]:
    checked, settings = _prepare(arguments, outputs)
    return march(*checked, **settings)


def _prepare(arguments: _Arguments, outputs: Collection[Output]) -> _Job:
    _check(arguments, outputs)
    return _job(arguments, outputs)


def _check(arguments: _Arguments, outputs: Collection[Output]) -> None:
    """All but what the waveform holds, which is checked where it is read."""
    check_outputs(outputs)
    check_shapes(*arguments)
    check_electrode(*arguments[1:])


def _job(
    arguments: _Arguments, outputs: Collection[Output], room: NDArray[np.floating] | None = None
) -> _Job:
    """Arguments and settings of the march, in the precision that JAX has enabled.

    The potentials, [L, batch], are written into the `room` for them where there is one.
    """
    waveform, couples, cell, fouling = arguments
    check_waveform(waveform)
    as_array = partial(_as_array, dtype=_precision())
    # the waveform may be known where the rest is traced
    E_V = waveform.E_V
    known = not isinstance(E_V, jax.core.Tracer)
    over_time = None if waveform.cleaning is None else waveform.cleaning.T
    applied = np.asarray(E_V).T if known else E_V.T
    if room is not None:
        room[:] = applied
        applied = room
    checked = applied, over_time, time_grid(waveform.t_s), couples, cell, fouling
    applied, *others = jax.tree.map(as_array, checked)
    jumps = not known or jumps_anywhere(applied)
    return (applied, *others), {
        "jumps": jumps,
        "outputs": tuple(dict.fromkeys(outputs)),
    }


@partial(jax.jit, static_argnames=("jumps", "outputs"))
def _march_one(*arguments: Any, **settings: Any) -> dict[str, jax.Array]:
    return {name: values[0] for name, values in march(*arguments, **settings).items()}


def _precision() -> Any:
    """The type of floats that JAX has enabled here."""
    return jax.dtypes.canonicalize_dtype(np.float64)


def _as_batch(leaf: Any) -> Any:
    return leaf[None] if isinstance(leaf, jax.Array) else np.asarray(leaf)[None]


def _as_array(leaf: Any, dtype: Any) -> Any:
    """Arrays of the host stay there: the march takes them over, block by block."""
    if isinstance(leaf, jax.Array):
        return leaf.astype(dtype)
    return np.asarray(leaf, dtype, order="C")
