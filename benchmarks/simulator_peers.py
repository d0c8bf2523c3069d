"""The simulator beside other packages: milliseconds a trace, errors, ratio to ours.

    .venv/bin/python benchmarks/simulator_peers.py

Peers that are not installed are named with the reason. `pip install ecguard[peers]` brings them,
but for electrokitty, which has no wheel: `pip install electrokitty` needs a compiler.
"""

import argparse

from ecguard.report.peers import BATCH, HEAD, LIMIT_S, cells, compare


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=BATCH, help="traces of our batch")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="start no peer later, s")
    options = parser.parse_args()
    rows = [HEAD, *map(cells, compare(batch=options.batch, limit_s=options.limit))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


if __name__ == "__main__":
    main()
