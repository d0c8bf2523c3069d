"""Speed of the simulator, beside the same recurrences written by hand in C.

    .venv/bin/python benchmarks/simulator_speed.py

Voltammograms of 1024 steps with Ru and Cdl, drawn from the built-in family, on every core. Passes
of ours and of the bound alternate, and the fastest of each counts. Without a C compiler there is no
bound.
"""

import argparse
import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ecguard.report.simulator import N_STEPS, gradient_ratio, one_trace_ms, timed_case
from ecguard.semi_integral import exponential_sum
from ecguard.simulator import simulate_batch
from ecguard.simulator.memory import gains
from ecguard.simulator.trace import USUAL

FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC")


class Job(ctypes.Structure):
    """What `bound` in simulator_bound.c reads."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("traces", "samples", "couples", "modes")),
        *((name, ctypes.c_void_p) for name in ("applied", "cell", "couple", "fouling")),
        *((name, ctypes.c_void_p) for name in ("decay", "seen", "held")),
        ("newest", ctypes.c_float),
        ("current", ctypes.c_void_p),
    )


def compiled_bound(folder: str) -> Any:
    """The bound as a function of a job and a number of threads; None without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = Path(folder) / "bound.so"
    source = Path(__file__).with_name("simulator_bound.c")
    subprocess.run([compiler, *FLAGS, str(source), "-o", str(library), "-lm"], check=True)
    return ctypes.CDLL(str(library)).bound


def bound_job(case: tuple[Any, ...]) -> tuple[Job, dict[str, Any]]:
    """A job for the arguments of `simulate_batch`, and the arrays that it points into."""
    waveform, couples, cell, fouling = case
    traces, samples = waveform.E_V.shape
    steps = samples - 1
    span = 2 ** int(np.ceil(np.log2(steps)))
    kernel = exponential_sum(span)
    gain = jax.tree.map(lambda v: np.asarray(v, float), gains(kernel, np.float32([span / steps])))
    unit, both = span**-0.5, gain.decay * gain.new + gain.old

    def packed(values: Any) -> Any:
        return np.ascontiguousarray(values, np.float32)

    duration = waveform.t_s[:, -1] - waveform.t_s[:, 0]
    arrays = {
        "applied": packed(waveform.E_V),
        "cell": packed([*(getattr(cell, f.name) for f in fields(cell)), duration]),
        "couple": packed([getattr(couples, f.name).T for f in fields(couples)]),
        "fouling": fouling and packed([getattr(fouling, f.name) for f in fields(fouling)]),
        "decay": packed(gain.decay),
        "seen": packed(unit * gain.decay * both),
        "held": packed(gain.old / both),
        "current": np.zeros((traces, samples), np.float32),
    }
    pointers = {name: None if v is None else v.ctypes.data for name, v in arrays.items()}
    newest = float(unit * np.sum(gain.decay * gain.new))
    sizes = (traces, samples, couples.E0.shape[1], len(gain.decay))
    return Job(*sizes, newest=newest, **pointers), arrays


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=4096, help="traces in a pass")
    parser.add_argument("--passes", type=int, default=12, help="passes, fastest counts")
    options = parser.parse_args()
    threads = os.cpu_count() or 1
    print(f"{options.traces} traces of {N_STEPS} steps, {threads} threads")
    print(
        "couples electrode  compile s  traces/s  with usual outputs  bound/s  ratio  off the peak"
    )
    with tempfile.TemporaryDirectory() as folder:
        bound = compiled_bound(folder)
        for n_couples in (1, 2, 5):
            for fouled in (False, True):
                case = timed_case(options.traces, n_couples, fouled)
                job, arrays = bound_job(case)

                def ours(outputs: Any = (), case: Any = case) -> Any:
                    return jax.block_until_ready(simulate_batch(*case, outputs=outputs))

                first = seconds(ours)
                ours(USUAL)
                calls = [ours, lambda: ours(USUAL)]
                if bound is not None:
                    calls.append(lambda job=job: bound(ctypes.byref(job), threads))
                fastest = np.min(
                    [[seconds(call) for call in calls] for _ in range(options.passes)], axis=0
                )
                rate = options.traces / fastest
                words = "no C compiler"
                if bound is not None:
                    current = np.asarray(ours().current_density_mA_cm2)
                    off = np.abs(current - arrays["current"]).max(1) / np.abs(current).max(1)
                    words = f"{rate[2]:8.0f}  {rate[2] / rate[0]:5.1f}  "
                    words += f"median {np.median(off):.0e}, worst {off.max():.0e}"
                print(
                    f"{n_couples:7d} {'fouled' if fouled else 'clean':9s}"
                    f"  {first - fastest[0]:9.1f}  {rate[0]:8.0f}  {rate[1]:18.0f}  {words}",
                    flush=True,
                )
    print(f"one trace alone: {one_trace_ms():.1f} ms")
    for n in (64, 128, 256, 512):
        print(f"value and gradient of {n} traces over their value: {gradient_ratio(n):.1f}")


if __name__ == "__main__":
    main()
