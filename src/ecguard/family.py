"""The built-in family: prior, tasks, stages, and cases drawn from a seed.

The stage of a case is the third of its task's range of speeds in which its waveform lies, so it
tells nothing about the parameters beyond what the waveform tells.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ecguard.chunk import Chunk
from ecguard.errors import InputError
from ecguard.fouling import Fouling
from ecguard.nernst_layer import current_scale
from ecguard.parameters import decode_parameters
from ecguard.simulator import (
    BLOCK,
    Cell,
    Couples,
    Trace,
    Waveform,
    kernel_integral,
    simulate_batch,
)
from ecguard.waveforms import chronoamperometry, cyclic, refine, square_wave, tone

N_COUPLES = 2
N_SAMPLES = 256
N_PROFILE = 8
SUBSTEPS = 4
"""Simulated steps for each recorded one."""

TASKS = ("cv", "ca", "swv", "tone")
STAGES = ("foundation", "bridge", "frontier")
SPEED_RANGE = ((0.02, 2.0), (1 / 4, 1 / 2), (5.0, 60.0), (1.0, 100.0))
"""Per task: scan rate (V/s), 1/duration (1/s), frequency (Hz), frequency (Hz)."""

TWO_COUPLES_SHARE = 0.3
D_RANGE_CM2_S = (1e-6, 1e-4)
C_OX_RANGE_MM = (0.2, 6.0)
C_RED_RANGE_MM = (0.0, 1.0)
E0_RANGE_V = (-0.4, 0.4)
E0_GAP_V = 0.08
K0_RANGE_CM_S = (1e-5, 1.0)
ALPHA_RANGE = (0.2, 0.8)
AREA_CM2 = 0.01
RU_OHM, RU_SPREAD = 100.0, 0.20
CDL_F, CDL_SPREAD = 2e-7, 0.15
TEMPERATURE_K = 298.15
ABSENT = {"D": 1e-5, "E0": 0.0, "k0": 1e-2, "alpha": 0.5}
"""What an absent second couple carries beside C = 0."""

PROFILE_DEPTH = np.linspace(0.0, 4.0, N_PROFILE)
"""Where final concentrations are recorded, in units of sqrt(D duration) of each species."""


def draw(seed: int, n: int) -> Chunk:
    """Draw cases of the family and simulate their clean traces.

    Args:
        seed: of the generator; another `n` draws other cases.
        n: number of cases, >= 1.

    Returns:
        A chunk with time axis and cell: currents in mA/cm^2, profiles at `PROFILE_DEPTH`.

    Raises:
        InputError: `n` below 1 or a negative seed.
    """
    if n < 1:
        raise InputError("n", n, "an integer >= 1", "ask for at least one case")
    if seed < 0:
        raise InputError("seed", seed, "an integer >= 0", "choose another seed")
    rng = np.random.default_rng(seed)
    parameters = draw_parameters(rng, n)
    task, stage, waveform = draw_waveforms(rng, n)
    Ru = RU_OHM * rng.uniform(1 - RU_SPREAD, 1 + RU_SPREAD, n)
    Cdl = CDL_F * rng.uniform(1 - CDL_SPREAD, 1 + CDL_SPREAD, n)
    cell = Cell(np.full(n, AREA_CM2), Ru, Cdl, np.full(n, TEMPERATURE_K))
    current, ox, red = simulate_recorded(waveform, parameters, cell)
    return Chunk(
        current_mA_cm2=current,
        potential_V=waveform.E_V.astype(np.float32),
        parameters=parameters.astype(np.float32),
        ox_mM=ox,
        red_mM=red,
        task_id=task,
        stage_id=stage,
        aug_id=np.zeros(n, np.int32),
        task_names=TASKS,
        stage_names=STAGES,
        augmentation_names=("none",),
        time_s=waveform.t_s.astype(np.float32),
        Ru_ohm=Ru.astype(np.float32),
        Cdl_F=Cdl.astype(np.float32),
        area_cm2=cell.area_cm2.astype(np.float32),
    )


def draw_parameters(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Parameter rows [n, 7 * N_COUPLES] from the prior; couples in order of their E0."""
    shape = (n, N_COUPLES)
    D_ox, D_red = (log_uniform(rng, D_RANGE_CM2_S, shape) for _ in range(2))
    C_ox, C_red = rng.uniform(*C_OX_RANGE_MM, shape), rng.uniform(*C_RED_RANGE_MM, shape)
    k0, alpha = log_uniform(rng, K0_RANGE_CM_S, shape), rng.uniform(*ALPHA_RANGE, shape)
    low, high = E0_RANGE_V
    alone = rng.uniform(low, high, n)
    pair = np.sort(rng.uniform(low, high - E0_GAP_V, shape), axis=1)
    pair[:, 1] += E0_GAP_V
    two = rng.random(n) < TWO_COUPLES_SHARE
    E0 = np.where(two[:, None], pair, np.stack([alone, np.full(n, ABSENT["E0"])], axis=1))
    for values, absent in (
        (D_ox, ABSENT["D"]),
        (D_red, ABSENT["D"]),
        (C_ox, 0.0),
        (C_red, 0.0),
        (k0, ABSENT["k0"]),
        (alpha, ABSENT["alpha"]),
    ):
        values[~two, 1] = absent
    return np.concatenate([np.log(D_ox), np.log(D_red), C_ox, C_red, E0, np.log(k0), alpha], axis=1)


def draw_waveforms(
    rng: np.random.Generator, n: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], Waveform]:
    """Task and stage labels [n] and recorded waveforms [n, N_SAMPLES]."""
    task = rng.integers(len(TASKS), size=n).astype(np.int32)
    low, high = np.log(np.asarray(SPEED_RANGE)[task].T)
    share = rng.random(n)
    speed = np.exp(low + (high - low) * share)
    stage = np.minimum(share * len(STAGES), len(STAGES) - 1).astype(np.int32)
    first, second = rng.random(n), rng.random(n)
    # the bulk is mostly oxidised: start where it is at rest and go towards reduction
    built = (
        cyclic(0.6 + 0.2 * first, -0.6 - 0.2 * second, speed, N_SAMPLES),
        chronoamperometry(0.6 + 0.2 * first, 0.2 - 0.9 * second, 1 / speed, N_SAMPLES),
        square_wave(0.5 + 0.1 * first, -0.016, 0.025, speed, N_SAMPLES),
        tone(0.8 * first - 0.4, 0.010, speed, N_SAMPLES),
    )
    rows = np.arange(n)
    return (
        task,
        stage,
        Waveform(
            np.stack([w.t_s for w in built])[task, rows],
            np.stack([w.E_V for w in built])[task, rows],
        ),
    )


def simulate_recorded(
    waveform: Waveform,
    parameters: NDArray[np.floating],
    cell: Cell,
    fouling: Fouling | None = None,
    substeps: int = SUBSTEPS,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Currents at recorded samples and final profiles of parameter rows [n, 7 m].

    See `simulate_electrodes`, which takes couples instead of rows.
    """
    return simulate_electrodes(waveform, decode_parameters(parameters), cell, fouling, substeps)


def simulate_electrodes(
    waveform: Waveform,
    couples: Couples,
    cell: Cell,
    fouling: Fouling | None = None,
    substeps: int = SUBSTEPS,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Currents at recorded samples and final profiles, simulated on `substeps` times finer steps.

    Blocks of one compiled size go to a thread per core; memory stays bounded.

    Args:
        waveform: recorded, leaves [n, L].
        couples: leaves [n, m].
        cell: leaves [n].
        fouling: leaves [n], or None for clean electrodes.
        substeps: simulated steps for each recorded one.

    Returns:
        Current [n, L] in mA/cm^2; oxidised and reduced species [n, m * N_PROFILE] in mM.
    """

    def recorded(part: Waveform, couples: Couples, cell: Cell, fouling: Any) -> tuple[Any, ...]:
        trace = simulate_batch(part, couples, cell, fouling, outputs=["mean_flux"])
        return trace.current_density_mA_cm2[:, ::substeps], *final_profiles(trace, couples)

    current, ox, red = _in_blocks(recorded, waveform, couples, cell, fouling, substeps)
    return current, ox, red


def simulate_currents(
    waveform: Waveform,
    couples: Couples,
    cell: Cell,
    fouling: Fouling | None = None,
    substeps: int = SUBSTEPS,
) -> NDArray[np.float32]:
    """Currents of `simulate_electrodes` alone, mA/cm^2 [n, L]: a third of the time."""

    def recorded(part: Waveform, couples: Couples, cell: Cell, fouling: Any) -> tuple[Any, ...]:
        return (simulate_batch(part, couples, cell, fouling).current_density_mA_cm2[:, ::substeps],)

    return _in_blocks(recorded, waveform, couples, cell, fouling, substeps)[0]


def _in_blocks(
    recorded: Callable[..., tuple[Any, ...]],
    waveform: Waveform,
    couples: Couples,
    cell: Cell,
    fouling: Fouling | None,
    substeps: int,
) -> tuple[NDArray[np.float32], ...]:
    """What `recorded` gives for n electrodes, a thread for each core."""
    n = len(couples.E0)
    size = min(BLOCK, n)

    def block(start: int) -> tuple[NDArray[np.float32], ...]:
        rows = np.arange(start, start + size).clip(max=n - 1)
        part = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], (waveform, couples, cell, fouling))
        found = recorded(refine(part[0], substeps), *part[1:])
        return tuple(np.asarray(leaf, np.float32)[: n - start] for leaf in found)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        blocks = list(pool.map(block, range(0, n, size)))
    return tuple(np.concatenate(part) for part in zip(*blocks, strict=True))


def current_scales(chunk: Chunk) -> NDArray[np.float32]:
    """Nernst-layer unit of the current of each row of a chunk with a time axis [rows], mA/cm^2."""
    if chunk.time_s is None:
        raise InputError("t", None, "a time axis in the chunk", "use a chunk of this family")
    duration = chunk.time_s[:, -1] - chunk.time_s[:, 0]
    return np.asarray(jax.vmap(current_scale)(chunk.potential_V, chunk.parameters, duration))


def final_profiles(trace: Trace, couples: Couples) -> tuple[Array, Array]:
    """Concentrations at the end of traces, at `PROFILE_DEPTH` diffusion lengths.

    At depth xi sqrt(D T) both partners see the flux through one kernel,
    exp(-xi^2 T / (4 s)) / sqrt(pi s) with s the time before the end. Steps must be equal.

    Returns:
        Oxidised and reduced species, each [batch, m * N_PROFILE] in mM.
    """
    duration = jnp.asarray(trace.t_s[:, -1] - trace.t_s[:, 0])
    kernel = jnp.asarray(_profile_kernel(trace.t_s.shape[1]), duration.dtype)
    flux = 1e6 * trace.mean_flux[:, 1:]
    passed = jnp.einsum("bim,xi->bmx", flux, kernel) * jnp.sqrt(duration)[:, None, None]

    def flat(concentration: Array) -> Array:
        return concentration.reshape(len(duration), -1)

    return (
        flat(couples.C_ox[..., None] - passed / jnp.sqrt(couples.D_ox)[..., None]),
        flat(couples.C_red[..., None] + passed / jnp.sqrt(couples.D_red)[..., None]),
    )


@cache
def _profile_kernel(samples: int) -> NDArray[np.float64]:
    """Integral of the kernel over each step of a unit duration [N_PROFILE, samples - 1]."""
    integral = kernel_integral(PROFILE_DEPTH[:, None], np.linspace(1.0, 0.0, samples))
    return integral[:, :-1] - integral[:, 1:]


def log_uniform(
    rng: np.random.Generator, bounds: tuple[float, float], shape: int | tuple[int, ...]
) -> NDArray[np.float64]:
    """Values whose logarithm is uniform between that of the bounds."""
    low, high = np.log(bounds)
    return np.asarray(np.exp(rng.uniform(low, high, shape)))
