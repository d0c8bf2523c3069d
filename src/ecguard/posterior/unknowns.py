"""The unknowns of a clean electrode: the couples' parameters, then Ru and Cdl of its cell.

A vector of unknowns [7 m + 2] is the parameter row of m couples, as `ecguard.parameters` has it,
followed by Ru (ohm) and Cdl (F). Couples stand in the order of their E0, which is what makes the
labels of two couples mean something: exchanging them would be another name for the same electrode.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ecguard import family
from ecguard.parameters import decode_parameters
from ecguard.simulator import Cell, Couples

MAX_COUPLES = family.N_COUPLES
_ROUNDING_V = 1e-7  # of a difference of potentials in float32
_SYMBOLS = ("ln D_ox", "ln D_red", "C_ox", "C_red", "E0", "ln k0", "alpha")


class Electrode(NamedTuple):
    """The unknowns by name: of the couples [..., m], of the cell [...]."""

    ln_D_ox: Array
    ln_D_red: Array
    C_ox: Array
    C_red: Array
    E0: Array
    ln_k0: Array
    alpha: Array
    Ru_ohm: Array
    Cdl_F: Array


def in_order(electrode: Electrode) -> Electrode:
    """The same electrode of one or two couples, these in the order of their E0."""
    turned = electrode.E0[..., :1] > electrode.E0[..., -1:]
    couples = {name: getattr(electrode, name) for name in Electrode._fields[:-2]}
    turned_over = {name: jnp.where(turned, own[..., ::-1], own) for name, own in couples.items()}
    return electrode._replace(**turned_over)


def n_unknowns(n_couples: int) -> int:
    """Length of the vector of unknowns."""
    return 7 * n_couples + 2


def names(n_couples: int) -> tuple[str, ...]:
    """What each entry of the vector is called; two couples are numbered by their E0."""
    numbers = [""] if n_couples == 1 else [f" {k + 1}" for k in range(n_couples)]
    return (*(symbol + number for symbol in _SYMBOLS for number in numbers), "Ru", "Cdl")


def split(unknowns: ArrayLike) -> Electrode:
    """Unknowns [..., 7 m + 2] by name."""
    values = jnp.asarray(unknowns)
    parts = [*jnp.split(values[..., :-2], 7, axis=-1), values[..., -2], values[..., -1]]
    return Electrode(*parts)


def join(electrode: Electrode) -> Array:
    """The vector of unknowns [..., 7 m + 2]."""
    *couples, Ru, Cdl = electrode
    return jnp.concatenate([*couples, Ru[..., None], Cdl[..., None]], axis=-1)


def simulated(unknowns: ArrayLike) -> tuple[Couples, Cell]:
    """Couples and cell of unknowns [n, 7 m + 2], as the simulator takes them."""
    values = jnp.asarray(unknowns)
    filled = jnp.ones_like(values[:, 0])
    return decode_parameters(values[:, :-2]), Cell(
        family.AREA_CM2 * filled, values[:, -2], values[:, -1], family.TEMPERATURE_K * filled
    )


def ranges(n_couples: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of each unknown under the prior of the family [7 m + 2]."""
    low, high = zip(
        np.log(family.D_RANGE_CM2_S),
        np.log(family.D_RANGE_CM2_S),
        family.C_OX_RANGE_MM,
        family.C_RED_RANGE_MM,
        family.E0_RANGE_V,
        np.log(family.K0_RANGE_CM_S),
        family.ALPHA_RANGE,
        strict=True,
    )
    spread = np.array([1.0, -1.0])[:, None] * (family.RU_SPREAD, family.CDL_SPREAD)
    cell = (family.RU_OHM, family.CDL_F) * (1.0 - spread)
    return (
        np.concatenate([np.repeat(low, n_couples), cell[0]]),
        np.concatenate([np.repeat(high, n_couples), cell[1]]),
    )


def prior_std(n_couples: int) -> np.ndarray:
    """Std of a uniform prior on the range of each unknown [7 m + 2]."""
    low, high = ranges(n_couples)
    return np.asarray((high - low) / np.sqrt(12))


def draw_prior(key: Array, n: int, n_couples: int) -> Array:
    """Unknowns [n, 7 m + 2] from the prior of the family.

    E0 of two couples are an ordered pair of uniform values, the higher one moved up by the gap.
    """
    low, high = (jnp.asarray(end) for end in ranges(n_couples))
    values = low + (high - low) * jax.random.uniform(key, (n, n_unknowns(n_couples)))
    if n_couples == 2:
        start, width = low[8], high[8] - low[8]
        pair = jnp.sort(values[:, 8:10] - start, axis=1) * (1.0 - family.E0_GAP_V / width)
        values = values.at[:, 8:10].set(start + pair + jnp.array([0.0, family.E0_GAP_V]))
    return values


def log_prior(unknowns: ArrayLike, n_couples: int) -> Array:
    """Log density [...] of the family's prior for m couples; -inf outside."""
    values = jnp.asarray(unknowns)
    low, high = ranges(n_couples)
    widths = high - low
    inside = jnp.all((values >= low) & (values <= high), axis=-1)
    log_volume = np.log(widths).sum()
    if n_couples == 2:
        inside &= values[..., 9] - values[..., 8] >= family.E0_GAP_V - _ROUNDING_V
        log_volume += 2 * np.log(1.0 - family.E0_GAP_V / widths[8]) - np.log(2.0)
    return jnp.where(inside, -log_volume, -jnp.inf)
