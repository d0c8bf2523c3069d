"""Seconds per posterior at the reference's settings, beside plainer loops, in one process.

    python benchmarks/posterior_speed.py [surrogate_model.eqx]

Without a checkpoint, random weights of the reference's geometry are timed.
"""

import sys

from ecguard.report.posterior_speed import N_TRACES, PATHS_TIMED, measure
from ecguard.surrogate import load_surrogate


def main() -> None:
    """Print the table."""
    speed = measure(load_surrogate(sys.argv[1]) if len(sys.argv) > 1 else None)
    print(f"seconds per posterior, fastest repeat, compilation excluded ({N_TRACES} traces)")
    print("form                                   wall s      CPU s   wall ratio   CPU ratio")
    for name, seconds in (
        (f"infer, batch of {N_TRACES}", speed.batch),
        ("compiled loop, network as written", speed.compiled),
        (f"interpreted loop, scaled from {PATHS_TIMED} paths", speed.interpreted),
    ):
        print(
            f"{name:<36}{seconds.wall:>9.3f}{seconds.cpu:>11.3f}"
            f"{seconds.wall / speed.batch.wall:>12.1f}{seconds.cpu / speed.batch.cpu:>12.1f}"
        )
    print(f"float32 matrix product of this machine: {speed.matmul_rate / 1e9:.0f} Gflop/s")
    print(
        f"infer executes {speed.executed / 1e9:.2f} Gflop a posterior in matrix products: "
        f"{speed.matmul_share:.0%} of that rate"
    )
    print(
        f"the network as written would need {speed.written / 1e9:.1f} Gflop: "
        f"{speed.written / speed.batch.wall / speed.matmul_rate:.0%} of that rate, by work avoided"
    )


if __name__ == "__main__":
    main()
