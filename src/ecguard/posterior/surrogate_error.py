"""The error of the surrogate's current, measured on traces of the family it never saw."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ecguard import family
from ecguard.chunk import Chunk
from ecguard.errors import InputError
from ecguard.surrogate import Surrogate
from ecguard.surrogate.training import core_rows

N_STEPS = 10
"""Euler steps of the flow; 60 bring the currents no nearer to the simulator's.

On 8192 held-out traces the root mean square error in units of `Surrogate.current_scale` is 0.029,
0.029, 0.025 and 0.081 for cv, ca, swv and tone with 10 steps, 0.030, 0.032, 0.025 and 0.080 with
60. Their currents differ by 0.19 to 0.26 of the error, in the median trace of each task.
"""

_FEWEST_CASES = 8


class SurrogateError(eqx.Module):
    """Root mean square of the surrogate's error in units of `Surrogate.current_scale`.

    Biases, and the scatter of Ru and Cdl, which the surrogate is not told, are part of it. Two
    couples have a table of their own, for their error is two to three times that of one.

    It makes a Gaussian likelihood as wide as the errors are on average. Errors have heavy tails:
    half of all traces have a mean squared error below 0.3 of the table's, of ca and tone below 0.1,
    and one in a hundred has more than ten times it. A robust spread would suit the many, and would
    be sure of falsehoods about the few.

    Args:
        std: for 1, 2, ... couples, task and sample [N_COUPLES, n_tasks, L].
        n_steps: Euler steps at which it was measured.
    """

    std: Array
    n_steps: int = eqx.field(static=True)


def measure_error(
    surrogate: Surrogate, n: int = 16_384, seed: int = 6021, n_steps: int = N_STEPS
) -> SurrogateError:
    """The error on newly drawn cases of the family.

    Args:
        surrogate: of the family.
        n: number of cases.
        seed: of the cases; not one that training drew its cases with.
        n_steps: Euler steps from zero noise.

    Raises:
        InputError: the surrogate is of another family, it was trained with this seed, or there
            are too few cases.
    """
    check_family(surrogate)
    trained = surrogate.meta.seed
    if trained is not None and seed in (trained + 1, trained + 2):
        raise InputError("seed", seed, "one that training never used", "Take 6021.")
    chunk = family.draw(seed, n)
    return error_of(chunk, residuals(surrogate, chunk, n_steps), n_steps)


def residuals(surrogate: Surrogate, chunk: Chunk, n_steps: int = N_STEPS) -> NDArray[np.float64]:
    """Surrogate's current from zero noise less the chunk's, over `current_scale` [rows, L]."""
    core = core_rows(surrogate, chunk)
    start = np.zeros((chunk.rows, surrogate.meta.state_dim), np.float32)
    current = surrogate.sample_current(start, chunk.potential_V, core, n_steps)
    scale = np.asarray(_scales(surrogate, jnp.asarray(chunk.potential_V), core), np.float64)
    difference = np.asarray(current, np.float64) - chunk.current_mA_cm2
    return np.asarray(difference / scale[:, None])


def error_of(
    chunk: Chunk, residual: NDArray[np.floating], n_steps: int = N_STEPS
) -> SurrogateError:
    """The error that `residuals` [rows, L] of a chunk show.

    Raises:
        InputError: a task has too few cases of a number of couples.
    """
    groups = (family.N_COUPLES, len(chunk.task_names))
    present = chunk.parameters.reshape(chunk.rows, -1, chunk.n_couples)[:, 2] > 0
    group = np.ravel_multi_index((present.sum(axis=1) - 1, chunk.task_id), groups)
    count = np.bincount(group, minlength=groups[0] * groups[1])
    if count.min() < _FEWEST_CASES:
        raise InputError(
            "n",
            chunk.rows,
            f"enough for {_FEWEST_CASES} cases of every task and number of couples",
            "Draw more cases, some thousand.",
        )
    squares = np.zeros((len(count), residual.shape[1]))
    np.add.at(squares, group, np.square(residual, dtype=np.float64))
    std = np.sqrt(squares / count[:, None]).reshape(*groups, -1)
    return SurrogateError(jnp.asarray(std, jnp.float32), n_steps)


def check_family(surrogate: Surrogate) -> None:
    """Refuse a surrogate that was not trained on the built-in family.

    Raises:
        InputError: names what differs.
    """
    for name, wanted in (
        ("task_names", family.TASKS),
        ("stage_names", family.STAGES),
        ("target_len", family.N_SAMPLES),
        ("max_species", family.N_COUPLES),
        ("context_names", ("ln_duration_s",)),
    ):
        value = getattr(surrogate.meta, name)
        if value != wanted:
            raise InputError(
                f"surrogate, {name}",
                value,
                f"{wanted!r}, as the built-in family has it",
                "Use the built-in surrogate, or one that `ecguard train` made.",
            )


@eqx.filter_jit
def _scales(surrogate: Surrogate, E_V: Array, core: Array) -> Array:
    return jax.vmap(surrogate.current_scale)(E_V, core)
