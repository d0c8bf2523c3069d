"""What the chapter on the simulator computes: examples, closed forms, speed; tables and claims."""

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from IPython.display import Markdown
from numpy.typing import NDArray

from ecguard import family, reference
from ecguard.errors import InputError
from ecguard.fouling import Fouling
from ecguard.parameters import decode_parameters, encode_parameters
from ecguard.report.chapter import Chapter
from ecguard.report.claims import Claim
from ecguard.report.failure_modes import table
from ecguard.simulator import Cell, Couples, Trace, Waveform, simulate_batch
from ecguard.waveforms import chronoamperometry, cyclic, square_wave, tone

N_STEPS = 1024
N_CHECKED = 64
FAST_CM_S = 1e3
WINDOW_V = 0.5
BLOCK = 128
PASSES = 20
SPEED_GOAL = 8000.0

TASK_WORDS = {
    "cv": "cyclic voltammetry",
    "ca": "chronoamperometry",
    "swv": "square wave",
    "tone": "small-signal tone",
}
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """Clean and fouled traces of one electrode.

    Args:
        voltammogram: clean and fouled `Trace`, leaves [L].
        fouling: of the fouled electrode.
        cell: of both.
        time_s: [4, L'] recorded times of the four waveforms of the family.
        potential_V: [4, L'] their potentials.
        current: [4, L'] clean and fouled current densities by name, mA/cm^2.
    """

    voltammogram: Mapping[str, Trace]
    fouling: Fouling
    cell: Cell
    time_s: Array
    potential_V: Array
    current: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Curve:
    """One simulated curve beside its closed form, both over `x`."""

    x: Array
    simulated: Array
    closed_form: Array


@dataclass(frozen=True)
class Checks:
    """Errors of the simulator on cases of the family's ranges.

    Args:
        errors: [n] per claim, in the unit of `BOUNDS`.
        curves: one case of each comparison.
    """

    errors: Mapping[str, Array]
    curves: Mapping[str, Curve]


@dataclass(frozen=True)
class Speed:
    """Throughput of the simulator.

    Args:
        traces_per_s: of the fastest pass.
        compile_s: what the first call takes beyond a later one, 0 where it was compiled before.
        traces: in a pass.
        threads: that share them.
    """

    traces_per_s: float
    compile_s: float
    traces: int
    threads: int


BOUNDS: Mapping[str, tuple[str, str, float]] = {
    "peak-current": (
        "Largest error of the peak current of fast couples against Randles and Sevcik.",
        "%",
        0.05,
    ),
    "peak-potential": ("Largest error of the potential of that peak.", "mV", 0.05),
    "limiting-current": (
        "Largest error after a step to the limiting current, against Cottrell, in the second half.",
        "%",
        0.05,
    ),
    "kinetic-step": (
        "Largest error after a step of couples of any rate constant, in the second half.",
        "%",
        0.05,
    ),
    "coverage": ("Largest error of the coverage at constant rates.", "", 1e-4),
    "clean-control": (
        "Largest difference between a clean electrode and one whose fouling has no coverage and "
        "no way to gain any, over the range of the trace.",
        "",
        1e-6,
    ),
}


def couples(n: int, **values: float | Array) -> Couples:
    """One couple for each of n cases, leaves [n, 1]; an ordinary one where nothing is said."""
    ordinary = {
        "D_ox": 1e-5,
        "D_red": 1e-5,
        "C_ox": 2.0,
        "C_red": 0.0,
        "E0": 0.0,
        "k0": 1e-2,
        "alpha": 0.5,
    }
    return Couples(
        **{
            name: np.broadcast_to(np.asarray(value, float), n)[:, None].copy()
            for name, value in (ordinary | values).items()
        }
    )


def cases(n: int, leaves: Any) -> Any:
    """Scalars repeated for each of n cases, leaves [n]."""
    return jax.tree.map(partial(np.full, n), leaves)


def examples(scan_rate_V_s: float, initial_theta: float) -> Examples:
    """One electrode, clean and fouled, in a voltammogram and in the waveforms of the family."""
    cell, fouling = Cell(), Fouling(initial_theta=initial_theta)
    films = {"clean": None, "fouled": fouling}
    sweep = jax.tree.map(
        lambda leaf: leaf[None], cyclic(WINDOW_V, -WINDOW_V, scan_rate_V_s, N_STEPS + 1)
    )
    voltammogram = {
        name: simulate_batch(sweep, couples(1), cases(1, cell), cases(1, film))
        for name, film in films.items()
    }
    built = (
        cyclic(0.6, -0.6, 0.2, family.N_SAMPLES),
        chronoamperometry(0.6, -0.4, 3.0, family.N_SAMPLES),
        square_wave(0.5, -0.016, 0.025, 25.0, family.N_SAMPLES),
        tone(0.0, 0.010, 10.0, family.N_SAMPLES),
    )
    waveform = jax.tree.map(lambda *leaves: np.stack(leaves), *built)
    n = len(built)
    rows = np.asarray(encode_parameters(couples(n)))
    current = {
        name: family.simulate_recorded(waveform, rows, cases(n, cell), cases(n, film))[0]
        for name, film in films.items()
    }
    first = {
        name: jax.tree.map(lambda leaf: leaf[0], trace) for name, trace in voltammogram.items()
    }
    return Examples(first, fouling, cell, waveform.t_s, waveform.E_V, current)


def fouling_table(found: Examples) -> Markdown:
    """What fouling does to the voltammogram and to the cell."""
    rows = []
    for name, trace in found.voltammogram.items():
        potential = np.asarray(trace.E_V)
        current = np.asarray(trace.current_density_mA_cm2)
        theta = np.asarray(trace.coverage)
        film, layer, k0 = 0.0, 1.0, 1.0
        if name != "clean":
            start = trace.coverage[0]
            cover = found.fouling.cover(start)
            film, layer = float(cover.film_ohm), float(cover.capacitance_factor)
            k0 = float(cover.k0_factor)
        low, high = int(current.argmin()), int(current.argmax())
        rows.append(
            [
                name,
                f"{current[low]:.3f}",
                f"{current[high]:.3f}",
                f"{1e3 * (potential[high] - potential[low]):.0f}",
                f"{theta[0]:.2f} to {theta[-1]:.2f}",
                f"{found.cell.Ru_ohm + film:.0f}",
                f"{layer:.0%}",
                f"{k0:.1%}",
            ]
        )
    head = [
        "electrode",
        "lowest current / mA cm⁻²",
        "highest current / mA cm⁻²",
        "their separation / mV",
        "coverage",
        "resistance at the start / ohm",
        "double layer left",
        "k0 left",
    ]
    return Markdown(table(head, rows))


def closed_forms(seed: int) -> Checks:
    """Hold the simulator against closed forms on cases from the ranges of the family."""
    rng = np.random.default_rng(seed)
    found = [
        check(rng) for check in (_sweep, _limiting_step, _kinetic_step, _coverage, _clean_control)
    ]
    return Checks(
        {name: error for part in found for name, error in part.errors.items()},
        {name: curve for part in found for name, curve in part.curves.items()},
    )


def panel(curve: Curve) -> dict[str, tuple[Array, Array]]:
    """Lines of a figure: the closed form over the simulated curve."""
    return {
        "simulated": (curve.x, curve.simulated),
        "closed form": (curve.x, curve.closed_form),
    }


def claims(chapter: Chapter, checks: Checks) -> tuple[Claim, ...]:
    """Each closed form as a claim on the worst of its cases."""
    return tuple(
        chapter.claim(
            key,
            text,
            checks.errors[key].max(),
            unit=unit,
            bound={"op": "<=", "value": bound},
            n=len(checks.errors[key]),
        )
        for key, (text, unit, bound) in BOUNDS.items()
    )


def speed_claim(chapter: Chapter, speed: Speed) -> Claim:
    """The simulator's throughput, compilation excluded."""
    return chapter.claim(
        "throughput",
        f"Fouled traces of one couple and {N_STEPS} steps, with Ru and Cdl: fastest of {PASSES} "
        f"passes on {speed.threads} threads; compiling took {speed.compile_s:.1f} s more.",
        speed.traces_per_s,
        unit="traces/s",
        bound={"op": ">=", "value": SPEED_GOAL},
        n=speed.traces,
    )


def throughput(
    n_traces: int, n_couples: int = 1, fouled: bool = True, block: int = BLOCK, passes: int = PASSES
) -> Speed:
    """Time the simulator on voltammograms of N_STEPS steps with Ru and Cdl.

    Blocks go to a thread per core. The first call, which compiles, is not counted.

    Args:
        n_traces: traces in a pass; whole blocks of them are simulated, at least one.
        n_couples: couples of each trace.
        fouled: whether the electrodes foul.
        block: traces in a block.
        passes: of which the fastest counts.

    Raises:
        InputError: a number is below 1.
    """
    asked = {"n_traces": n_traces, "n_couples": n_couples, "block": block, "passes": passes}
    for name, value in asked.items():
        if value < 1:
            raise InputError(name, value, "a whole number >= 1", "Ask for one or more.")
    block = min(block, n_traces)
    blocks = [timed_case(block, n_couples, fouled, k) for k in range(n_traces // block)]
    threads = os.cpu_count() or 1

    def run(case: tuple[Any, ...]) -> None:
        jax.block_until_ready(simulate_batch(*case))

    first = _seconds(partial(run, blocks[0]))
    second = _seconds(partial(run, blocks[0]))
    with ThreadPoolExecutor(threads) as pool:
        fastest = min(_seconds(lambda: list(pool.map(run, blocks))) for _ in range(passes))
    done = block * len(blocks)
    return Speed(done / fastest, max(0.0, first - second), done, threads)


def timed_case(
    n: int, n_couples: int, fouled: bool, seed: int = 0
) -> tuple[Waveform, Couples, Cell, Fouling | None]:
    """Arguments of `simulate_batch` for n voltammograms from the ranges of the family."""
    rng = np.random.default_rng(seed)
    drawn = decode_parameters(family.draw_parameters(rng, n))
    kept = jax.tree.map(lambda leaf: np.asarray(leaf)[:, :n_couples], drawn)
    rate = _log_uniform(rng, family.SPEED_RANGE[0], n)
    sweep = cyclic(np.full(n, 0.6), np.full(n, -0.6), rate, N_STEPS + 1)
    return sweep, kept, cases(n, Cell()), cases(n, Fouling()) if fouled else None


def _seconds(run: Any) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float], n: int) -> Array:
    low, high = np.log(bounds)
    return np.exp(rng.uniform(low, high, n))


def _drawn(rng: np.random.Generator) -> dict[str, Array]:
    """Diffusion coefficients, concentration and potential of single couples, each [N_CHECKED]."""
    return {
        "D_ox": _log_uniform(rng, family.D_RANGE_CM2_S, N_CHECKED),
        "D_red": _log_uniform(rng, family.D_RANGE_CM2_S, N_CHECKED),
        "C_ox": rng.uniform(*family.C_OX_RANGE_MM, N_CHECKED),
        "E0": rng.uniform(*family.E0_RANGE_V, N_CHECKED),
    }


def _current(waveform: Waveform, **values: float | Array) -> Array:
    """Current densities [N_CHECKED, L] without resistance and double layer."""
    ideal = cases(N_CHECKED, Cell(Ru_ohm=0.0, Cdl_F=0.0))
    trace = simulate_batch(waveform, couples(N_CHECKED, **values), ideal)
    return np.asarray(trace.current_density_mA_cm2, float)


def _vertex(x: Array, y: Array) -> tuple[float, float]:
    """Lowest point of the parabola through the lowest sample and its neighbours."""
    k = int(y.argmin())
    a, b, c = np.polyfit(x[k - 1 : k + 2] - x[k], y[k - 1 : k + 2], 2)
    return x[k] - b / (2 * a), c - b**2 / (4 * a)


def _sweep(rng: np.random.Generator) -> Checks:
    drawn = _drawn(rng)
    rate = _log_uniform(rng, family.SPEED_RANGE[0], N_CHECKED)
    waveform = cyclic(drawn["E0"] + WINDOW_V, drawn["E0"] - WINDOW_V, rate, N_STEPS + 1)
    current = _current(waveform, k0=FAST_CM_S, **drawn)
    potential, height = np.transpose(
        [_vertex(x, y) for x, y in zip(np.asarray(waveform.E_V), current, strict=True)]
    )
    expected = reference.reversible_peak_current(drawn["C_ox"], drawn["D_ox"], rate)
    place = reference.reversible_peak_potential(drawn["E0"], drawn["D_ox"], drawn["D_red"])
    errors = {
        "peak-current": 100 * np.abs(height / expected - 1),
        "peak-potential": 1e3 * np.abs(potential - place),
    }
    forward = np.asarray(waveform.E_V)[0, 1 : N_STEPS // 2 + 1]
    first = {name: float(values[0]) for name, values in drawn.items()}
    closed = reference.reversible_sweep_current(forward, scan_rate_V_s=float(rate[0]), **first)
    curve = Curve(forward, current[0, 1 : N_STEPS // 2 + 1], np.asarray(closed))
    return Checks(errors, {"sweep": curve})


def _step(rng: np.random.Generator, E0: Array, step_V: Array) -> tuple[Waveform, Array, slice]:
    """A potential step, times since it [N_CHECKED, samples], and the samples after it."""
    duration = 1 / _log_uniform(rng, family.SPEED_RANGE[1], N_CHECKED)
    waveform = chronoamperometry(E0 + WINDOW_V, step_V, duration, N_STEPS + 1)
    stepped = N_STEPS // 8
    after = slice(stepped + 1, None)
    time_s = np.asarray(waveform.t_s)
    return waveform, time_s[:, after] - time_s[:, stepped : stepped + 1], after


def _late(simulated: Array, closed: Array) -> Array:
    """Largest relative error of each case over the second half of its samples, %."""
    half = simulated.shape[1] // 2
    return 100 * np.abs(simulated[:, half:] / closed[:, half:] - 1).max(axis=1)


def _limiting_step(rng: np.random.Generator) -> Checks:
    drawn = _drawn(rng)
    waveform, since, after = _step(rng, drawn["E0"], drawn["E0"] - WINDOW_V)
    current = _current(waveform, k0=FAST_CM_S, **drawn)[:, after]
    C, D = drawn["C_ox"][:, None], drawn["D_ox"][:, None]
    closed = np.asarray(reference.limiting_current(since, C, D))
    curve = Curve(since[0], current[0], closed[0])
    return Checks({"limiting-current": _late(current, closed)}, {"limiting step": curve})


def _kinetic_step(rng: np.random.Generator) -> Checks:
    drawn = _drawn(rng) | {
        "k0": _log_uniform(rng, family.K0_RANGE_CM_S, N_CHECKED),
        "alpha": rng.uniform(*family.ALPHA_RANGE, N_CHECKED),
    }
    stepped_to = drawn["E0"] + rng.uniform(-0.3, 0.05, N_CHECKED)
    waveform, since, after = _step(rng, drawn["E0"], stepped_to)
    current = _current(waveform, **drawn)[:, after]
    columns = {name: values[:, None] for name, values in drawn.items()}
    closed = np.asarray(reference.kinetic_step_current(since, stepped_to[:, None], **columns))
    curve = Curve(since[0], current[0], closed[0])
    return Checks({"kinetic-step": _late(current, closed)}, {"kinetic step": curve})


def _coverage(rng: np.random.Generator) -> Checks:
    """With equal diffusion coefficients the summed surface concentration stays as in the bulk."""
    drawn = _drawn(rng)
    drawn["D_red"] = drawn["D_ox"]
    rate = _log_uniform(rng, family.SPEED_RANGE[0], N_CHECKED)
    fouling = cases(N_CHECKED, Fouling(k_reaction=0.0, k_clean=0.0))
    theta_0, k_ads, k_des = (
        rng.uniform(0, 1, N_CHECKED),
        _log_uniform(rng, (1e2, 1e5), N_CHECKED),
        _log_uniform(rng, (1e-4, 1e-1), N_CHECKED),
    )
    fouling = Fouling(**vars(fouling) | {"initial_theta": theta_0, "k_ads": k_ads, "k_des": k_des})
    waveform = cyclic(drawn["E0"] + WINDOW_V, drawn["E0"] - WINDOW_V, rate, N_STEPS + 1)
    trace = simulate_batch(waveform, couples(N_CHECKED, **drawn), cases(N_CHECKED, Cell()), fouling)
    simulated = np.asarray(trace.coverage, float)
    gain = k_ads * drawn["C_ox"] * 1e-6
    closed = np.asarray(
        reference.coverage(
            np.asarray(waveform.t_s), theta_0[:, None], gain[:, None], k_des[:, None]
        )
    )
    shown = int(np.ptp(closed, axis=1).argmax())
    curve = Curve(np.asarray(waveform.t_s)[shown], simulated[shown], closed[shown])
    return Checks({"coverage": np.abs(simulated - closed).max(axis=1)}, {"coverage": curve})


def _clean_control(rng: np.random.Generator) -> Checks:
    waveform, drawn, cell, _ = timed_case(N_CHECKED, family.N_COUPLES, False, int(rng.integers(99)))
    idle = cases(N_CHECKED, Fouling(initial_theta=0.0, k_ads=0.0, k_reaction=0.0))
    clean, control = (
        np.asarray(simulate_batch(waveform, drawn, cell, film).current_density_mA_cm2, float)
        for film in (None, idle)
    )
    difference = np.abs(clean - control).max(axis=1) / np.ptp(clean, axis=1)
    return Checks({"clean-control": difference}, {})
