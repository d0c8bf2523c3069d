"""What the chapter on the simulator shows: examples, speed and peers; tables and claims."""

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Markdown
from numpy.typing import NDArray

from ecguard import family
from ecguard.errors import InputError
from ecguard.fouling import Fouling
from ecguard.parameters import decode_parameters, encode_parameters
from ecguard.report.chapter import Chapter
from ecguard.report.claims import Claim
from ecguard.report.failure_modes import sentences, table
from ecguard.report.peers import HEAD, Row, cells
from ecguard.report.posterior_speed import fastest
from ecguard.report.verification.bench import D_OX, WINDOW_V, couple
from ecguard.simulator import (
    BLOCK,
    Cell,
    Couples,
    Output,
    Trace,
    Waveform,
    simulate,
    simulate_batch,
)
from ecguard.waveforms import chronoamperometry, cyclic, square_wave, tone

N_STEPS = 1024
PASSES = 20
RECORDED: tuple[Output, ...] = ("coverage",)
N_GRADIENTS = 256
SPEED_GOAL = 40_000.0
ALONE_GOAL_MS = 5.0
GRADIENT_GOAL = 5.0
PEER_TIME_GOAL = 500.0
PEER_ERROR_GOAL = 10.0

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
        name: simulate_batch(sweep, _electrode(1), cases(1, cell), cases(1, film), outputs=RECORDED)
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
    rows = np.asarray(encode_parameters(_electrode(n)))
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


def speed_claims(
    chapter: Chapter, speed: Speed, alone_ms: float, ratio: float | None = None
) -> tuple[Claim, ...]:
    """Throughput, one trace alone, and the cost of a gradient where it was measured."""
    found = [
        chapter.claim(
            "throughput",
            f"Fouled traces of one couple and {N_STEPS} steps, with Ru and Cdl: fastest of "
            f"{PASSES} passes on {speed.threads} threads; compiling took {speed.compile_s:.1f} s "
            "more.",
            speed.traces_per_s,
            unit="traces/s",
            bound={"op": ">=", "value": SPEED_GOAL},
            n=speed.traces,
        ),
        chapter.claim(
            "one-trace",
            f"One such trace alone, checks of its values included: fastest of {PASSES} calls.",
            alone_ms,
            unit="ms",
            bound={"op": "<=", "value": ALONE_GOAL_MS},
            n=1,
        ),
    ]
    if ratio is not None:
        found.append(
            chapter.claim(
                "gradient-cost",
                "Time of a value and its gradient in every parameter of couples, cell and fouling, "
                "over the time of the value.",
                ratio,
                bound={"op": "<=", "value": GRADIENT_GOAL},
                n=N_GRADIENTS,
            )
        )
    return tuple(found)


def peers_table(rows: Sequence[Row]) -> Markdown:
    """Ours and the others on the same sweeps."""
    if not rows:
        return Markdown("Not compared in this profile: choose `standard` or `full`.")
    return Markdown(table(HEAD, map(cells, rows)))


def peer_sentences(claims: Sequence[Claim], rows: Sequence[Row]) -> Markdown:
    """The claims on the peers, or that there are none."""
    if claims:
        return sentences(claims)
    return Markdown(
        "No other simulator is installed here: `pip install ecguard[peers]`." if rows else ""
    )


def peer_claims(chapter: Chapter, rows: Sequence[Row]) -> tuple[Claim, ...]:
    """The fastest peer that ran beside our batch on the same sweep; none where no peer ran."""
    batch = {row.sweep: row for row in rows if row.simulator.startswith("ecguard, batch")}
    ran = [row for row in rows if row.times_ours and not row.simulator.startswith("ecguard")]
    if not ran:
        return ()
    fastest = min(ran, key=lambda row: row.times_ours or 0.0)
    theirs = fastest.error_percent or 0.0
    ours = batch[fastest.sweep].error_percent or 0.0
    words = f"of the fastest installed peer, {fastest.simulator}, over ours ({fastest.sweep} sweep)"
    return (
        chapter.claim(
            "peer-time",
            f"Time a trace {words}, ours in a batch.",
            fastest.times_ours,
            bound={"op": ">=", "value": PEER_TIME_GOAL},
            n=len(ran),
        ),
        chapter.claim(
            "peer-error",
            f"Error (NRMSE) {words}.",
            theirs / ours if ours else None,
            bound={"op": ">=", "value": PEER_ERROR_GOAL},
            n=len(ran),
        ),
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
        best = min(_seconds(lambda: list(pool.map(run, blocks))) for _ in range(passes))
    done = block * len(blocks)
    return Speed(done / best, max(0.0, first - second), done, threads)


def one_trace_ms() -> float:
    """Fastest call of `simulate` on one trace of `timed_case`, ms; compilation excluded."""
    case = jax.tree.map(lambda leaf: leaf[0], timed_case(1, 1, True))
    return 1e3 * fastest(lambda: partial(simulate, outputs=())(*case), PASSES).wall


def gradient_ratio(n: int = N_GRADIENTS) -> float:
    """Time of value and gradient over that of the value, for a batch of n traces.

    The value is the mean squared current; the gradient is in every parameter of couples, cell and
    fouling.
    """
    waveform, *electrode = timed_case(n, 1, True)
    leaves = jax.tree.map(partial(jnp.asarray, dtype=jnp.float32), tuple(electrode))

    def value(electrode: tuple[Any, ...]) -> jax.Array:
        current = simulate_batch(waveform, *electrode).current_density_mA_cm2
        return jnp.mean(current**2)

    alone, both = jax.jit(value), jax.jit(jax.value_and_grad(value))
    found = [fastest(partial(run, leaves), PASSES).wall for run in (both, alone)]
    return found[0] / found[1]


def timed_case(
    n: int, n_couples: int, fouled: bool, seed: int = 0
) -> tuple[Waveform, Couples, Cell, Fouling | None]:
    """Arguments of `simulate_batch` for n voltammograms from the ranges of the family."""
    rng = np.random.default_rng(seed)
    pairs = range(-(-n_couples // family.N_COUPLES))
    drawn = [decode_parameters(family.draw_parameters(rng, n)) for _ in pairs]
    kept = jax.tree.map(lambda *pair: np.concatenate(pair, axis=1)[:, :n_couples], *drawn)
    rate = family.log_uniform(rng, family.SPEED_RANGE[0], n)
    sweep = cyclic(np.full(n, 0.6), np.full(n, -0.6), rate, N_STEPS + 1)
    return sweep, kept, cases(n, Cell()), cases(n, Fouling()) if fouled else None


def _seconds(run: Any) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _electrode(n: int) -> Couples:
    """The couple of the examples, n times."""
    return couple(n, D_red=D_OX, C_ox=2.0)
