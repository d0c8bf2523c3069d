"""Speed of the simulator: traces/s, compilation, and what a gradient costs.

    .venv/bin/python benchmarks/simulator_speed.py

Voltammograms of 1024 steps with Ru and Cdl, drawn from the built-in family; the fastest of the
passes counts and compilation is excluded, as in the first chapter of the report.
"""

import argparse
import time

import jax
import jax.numpy as jnp

from ecguard.report.simulator import BLOCK, N_STEPS, PASSES, throughput, timed_case
from ecguard.simulator import simulate_batch


def gradient_ratio(block: int, passes: int, n_couples: int, fouled: bool) -> tuple[float, float]:
    """Seconds of value and gradient over seconds of the value alone, and of compiling the former.

    The value is the mean squared current of a block, the gradient that in all parameters of the
    couples; one block at a time.
    """
    waveform, couples, cell, fouling = timed_case(block, n_couples, fouled)
    couples = jax.tree.map(jnp.asarray, couples)

    def value(couples):
        trace = simulate_batch(waveform, couples, cell, fouling)
        return jnp.mean(trace.current_density_mA_cm2**2)

    def fastest(function):
        times = []
        for _ in range(passes + 1):
            started = time.perf_counter()
            jax.block_until_ready(function(couples))
            times.append(time.perf_counter() - started)
        return min(times[1:]), times[0]

    forward, _ = fastest(jax.jit(value))
    both, first = fastest(jax.jit(jax.value_and_grad(value)))
    return both / forward, first - both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=2048, help="traces in a pass")
    parser.add_argument("--block", type=int, default=BLOCK, help="traces in a batch")
    parser.add_argument("--passes", type=int, default=PASSES, help="passes, fastest counts")
    options = parser.parse_args()
    print(f"{options.traces} traces of {N_STEPS} steps in blocks of {options.block}")
    print("couples  electrode  traces/s  compile s  gradient / forward  its compile s")
    for n_couples in (1, 2):
        for fouled in (False, True):
            speed = throughput(options.traces, n_couples, fouled, options.block, options.passes)
            ratio, compile_s = gradient_ratio(options.block, options.passes, n_couples, fouled)
            print(
                f"{n_couples:7d}  {'fouled' if fouled else 'clean':9s}  {speed.traces_per_s:8.0f}"
                f"  {speed.compile_s:9.1f}  {ratio:18.1f}  {compile_s:13.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
