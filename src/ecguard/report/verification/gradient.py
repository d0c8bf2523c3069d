"""Gradients against central differences, of every parameter."""

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ecguard.fouling import Fouling
from ecguard.report.verification.bench import Array, Scope
from ecguard.report.verification.row import Row, row
from ecguard.report.verification.voltammogram import Lines
from ecguard.simulator import Cell, Couples, Waveform, simulate_batch
from ecguard.waveforms import cyclic

SAMPLES = 81
SHIFT = 1e-3
"""Relative shift of the wider of two central differences; the other is half as wide."""
PRECISION = 64


class Point(NamedTuple):
    """Where gradients are checked: every parameter has an effect."""

    E_V: Any
    couples: Couples
    cell: Cell
    fouling: Fouling


class Gradients(NamedTuple):
    """Derivatives [parameters] of one number of a trace, and their names."""

    names: tuple[str, ...]
    ours: Array
    differences: Array

    @property
    def of_potential(self) -> NDArray[np.bool_]:
        """Which belong to the potential of a sample [parameters]."""
        return np.array([name == "E_V" for name in self.names])


def point() -> Point:
    """Two couples on an electrode that fouls past the floor of its double layer and is cleaned."""
    return Point(
        np.asarray(cyclic(0.32, -0.31, 0.2, SAMPLES).E_V),
        Couples(
            D_ox=np.array([1e-5, 4e-6]),
            D_red=np.array([6e-6, 8e-6]),
            C_ox=np.array([1.0, 0.7]),
            C_red=np.array([0.5, 0.9]),
            E0=np.array([0.05, -0.1]),
            k0=np.array([3e-3, 3e-4]),
            alpha=np.array([0.45, 0.6]),
        ),
        Cell(0.02, 800.0, 3e-6),
        Fouling(
            initial_theta=0.35,
            k_ads=8e4,
            k_des=2e-3,
            k_clean=0.2,
            k_reaction=40.0,
            k0_theta_coeff=2.0,
            area_exponent=1.3,
            clean_above_V=0.123,
            patch_share=0.4,
        ),
    )


def parameters(_: Scope) -> list[Row]:
    """All parameters of couples, cell and fouling, and the potential at every sample."""
    found = gradients(PRECISION)
    relative = 100 * relative_errors(found)
    potential = found.of_potential
    return [
        row(
            f"gradient-{key}",
            f"Gradient in {words}, {'float64' if PRECISION == 64 else 'float32'}",
            "central differences",
            ours=found.ours[mine],
            reference=found.differences[mine],
            errors=relative[mine],
            unit="",
            bound=1e-3,
        )
        for key, words, mine in (
            ("parameters", "every parameter of couples, cell and fouling", ~potential),
            ("potential", "the potential at every sample, of its largest", potential),
        )
    ]


def relative_errors(found: Gradients) -> Array:
    """Of each parameter, relative to its derivative; of potentials, to the largest of them."""
    scale = np.abs(found.differences)
    potential = found.of_potential
    scale[potential] = scale[potential].max()
    return np.abs(found.ours - found.differences) / scale


@cache
def gradients(precision: int) -> Gradients:
    """Reverse mode beside extrapolated central differences (Richardson 1911) in float64."""
    leaves, tree = jax.tree.flatten_with_path(point())
    sizes = [np.size(leaf) for _, leaf in leaves]
    names = tuple(
        jax.tree_util.keystr(path[-1:]).lstrip(".")
        for (path, _), size in zip(leaves, sizes, strict=True)
        for _ in range(size)
    )
    shapes = [np.shape(leaf) for _, leaf in leaves]
    values = np.concatenate([np.ravel(leaf) for _, leaf in leaves])
    times = np.asarray(cyclic(0.32, -0.31, 0.2, SAMPLES).t_s)
    taper = np.sin(0.3 * np.arange(SAMPLES))

    def numbers(rows: jax.Array) -> jax.Array:
        """One number of the trace of each row of values [n]."""
        parts = jnp.split(rows, np.cumsum(sizes)[:-1], axis=1)
        shaped = [
            part.reshape(len(rows), *shape) for part, shape in zip(parts, shapes, strict=True)
        ]
        at: Point = jax.tree.unflatten(tree, shaped)
        waveform = Waveform(np.broadcast_to(times, (len(rows), SAMPLES)), at.E_V)
        trace = simulate_batch(waveform, at.couples, at.cell, at.fouling, outputs=())
        current: jax.Array = trace.current_density_mA_cm2
        return current @ jnp.asarray(taper, rows.dtype)

    step = SHIFT * np.where(np.array(names) == "E_V", 0.1, np.abs(values))
    shifts = np.diag(step)
    rows = np.concatenate([values + share * shifts for share in (1.0, -1.0, 0.5, -0.5)])
    with jax.enable_x64(True):
        up, down, half_up, half_down = np.asarray(jax.jit(numbers)(rows)).reshape(4, -1)
    wide, narrow = (up - down) / (2 * step), (half_up - half_down) / step
    with jax.enable_x64(precision == 64):
        total = jax.jit(jax.grad(lambda given: jnp.sum(numbers(given))))
        ours = np.asarray(total(jnp.asarray(values)[None]), float)[0]
    return Gradients(names, ours, (4 * narrow - wide) / 3)


def sorted_errors() -> Lines:
    """Relative errors of all parameters in falling order, by kind, over their rank."""
    found = gradients(PRECISION)
    error = relative_errors(found)
    potential = found.of_potential
    kinds = {"couples, cell and fouling": ~potential, "potential of each sample": potential}
    return {
        name: (np.arange(1.0, 1 + mine.sum()), np.sort(error[mine])[::-1])
        for name, mine in kinds.items()
    }
