"""The command line."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ecguard.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 when it did its work, 1 when a chapter or the book failed, 2 when the input was wrong.
    """
    options = parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except InputError as error:
        print(f"ecguard: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        again = "goes on from here" if options.keeps else "starts from the beginning"
        print(f"ecguard: stopped; the same command {again}", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="ecguard", description="When to trust a sensor's posterior.")
    top.add_argument("--version", action="version", version=f"ecguard {version('ecguard')}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    report = commands.add_parser("report", help="run the notebooks and build the report")
    report.set_defaults(command=run_report, keeps=True)
    report.add_argument("--profile", default="standard", help="smoke, standard (default) or full")
    report.add_argument("--checkpoint", help="surrogate_model.eqx of ECSFM or of ours")
    report.add_argument("--dataset-chunk", help="chunk_N.npz to draw the cases from")
    report.add_argument("--duration-s", help="duration of a trace that stores no time axis, s")
    report.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other parameter of the notebooks, such as n_cases=12",
    )
    report.add_argument("--only", default="", metavar="CHAPTER", help="run this chapter alone")
    report.add_argument("--force", action="store_true", help="run what is up to date as well")
    report.add_argument("--root", help="checkout to work in, by default the one around here")

    screen = commands.add_parser(
        "screen",
        help="judge measured traces by a fitted guardrail",
        description="Judge measured traces by a guardrail that the fifth chapter fitted on clean "
        "traces of their kind, or the seventh on a protocol. A trace that is of another kind is "
        "refused before any work.",
    )
    screen.set_defaults(command=run_screen, keeps=False)
    screen.add_argument(
        "traces",
        nargs="+",
        metavar="TRACE",
        help="CSV file with the columns t_s, E_V and one of I_A, I_mA, I_uA or j_mA_cm2, "
        "oxidation positive; lines that begin with # are comments; of a protocol, one file for "
        "each step, electrode by electrode",
    )
    add_measured(screen)
    screen.add_argument("--checkpoint", default="", help="the density it was fitted with")
    screen.add_argument("--seed", type=int, default=0, help="of the random draws (0)")
    screen.add_argument(
        "--out", default="screening", help="folder for screening.json and pictures (screening)"
    )

    plan = commands.add_parser(
        "plan",
        help="say what to measure after a voltammogram",
        description="Write the potentials that a protocol applies after a voltammogram, as CSV "
        "files, and say how to record them.",
    )
    plan.set_defaults(command=run_plan, keeps=False)
    plan.add_argument("trace", metavar="TRACE", help="the voltammogram, as `ecguard screen` has it")
    add_measured(plan)
    plan.add_argument("--out", default="plan", help="folder for step-2.csv and so on (plan)")

    family = commands.add_parser("family", help="simulate the built-in family into chunks")
    family.set_defaults(command=run_family, keeps=False)
    family.add_argument("out_dir", help="folder for chunk_0.npz, chunk_1.npz, ...")
    family.add_argument("--chunks", type=int, default=1, help="number of chunks (1)")
    family.add_argument("--rows", type=int, default=1024, help="cases in a chunk (1024)")
    family.add_argument("--seed", type=int, default=0, help="seed of chunk 0, +1 for each next (0)")

    train = commands.add_parser(
        "train",
        help="train the surrogate or the amortised posterior of the built-in family",
        description="Train the surrogate or the amortised posterior of the built-in family. The "
        "defaults make the built-in checkpoints. A run that was stopped goes on when the same "
        "command is given again.",
    )
    train.set_defaults(command=run_train, keeps=True)
    train.add_argument("out_dir", help="folder for checkpoint, metadata and record")
    train.add_argument(
        "--engine",
        default="surrogate",
        choices=("surrogate", "amortised"),
        help="what is trained: the model of the trace (default), or the density of its parameters",
    )
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting other than the default, such as seed=1 or n_updates=2000",
    )

    notebooks = commands.add_parser("notebooks", help="keep the source notebooks")
    actions = notebooks.add_subparsers(required=True, metavar="ACTION")
    refresh = actions.add_parser("refresh", help="store the outputs of the checked cells anew")
    refresh.set_defaults(command=run_refresh, keeps=False)
    refresh.add_argument("names", nargs="*", metavar="CHAPTER", help="by default all")
    refresh.add_argument("--root", help="checkout to work in, by default the one around here")
    return top


def add_measured(parser: argparse.ArgumentParser) -> None:
    """Options of commands that read measured traces."""
    parser.add_argument(
        "--guardrail",
        required=True,
        help="guardrail.json of the fifth chapter, or protocol_guardrail.json of the seventh",
    )
    parser.add_argument("--area-cm2", type=float, help="of the electrode, for columns of current")
    parser.add_argument(
        "--shift-V",
        type=float,
        default=0.0,
        help="added to potentials, for another reference (0); a negative one as --shift-V=-0.2",
    )


def run_report(options: argparse.Namespace) -> int:
    """`ecguard report`."""
    from ecguard.report.notebooks import ChapterError
    from ecguard.report.paths import checkout
    from ecguard.report.runner import BookError, Run, make_report

    layout = checkout(None if options.root is None else Path(options.root))
    run = Run(layout, report_parameters(options, layout), options.only, options.force, say=say)
    try:
        index = make_report(run)
    except (ChapterError, BookError) as error:
        print(f"ecguard: {error}", file=sys.stderr)
        return 2 if getattr(error, "bad_input", False) else 1
    if index is not None:
        print(f"Open {index}")
    return 0


def report_parameters(options: argparse.Namespace, layout: Any) -> dict[str, Any]:
    """Parameters of the chapters, from the options.

    Raises:
        InputError: one is unknown, has no value of its type, or is a path that does not exist.
    """
    from ecguard.report.parameters import declared, parse

    kinds = {n: kind for source in layout.sources for n, kind in declared(source).items()}
    values: dict[str, Any] = {"profile": options.profile}
    for name, text in given_texts(options):
        if name not in kinds or name == "out_dir":
            known = ", ".join(sorted(set(kinds) - {"out_dir"}))
            raise InputError(name, text, f"one of the parameters {known}", "Check its spelling.")
        values[name] = parse(name, text, kinds[name])
    for name in ("checkpoint", "dataset_chunk", "family_checkpoint", "amortised_checkpoint"):
        if values.get(name):
            if not Path(values[name]).is_file():
                raise InputError(name, values[name], "an existing file", "Correct the path.")
            values[name] = os.path.relpath(values[name], layout.root)
    return values


def given_texts(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Names and texts of the parameters that were given."""
    named = [
        (name, getattr(options, name)) for name in ("checkpoint", "dataset_chunk", "duration_s")
    ]
    texts = [(name, text) for name, text in named if text is not None]
    return texts + split_pairs("--parameter", options.parameter)


def split_pairs(option: str, pairs: Sequence[str]) -> list[tuple[str, str]]:
    """Names and texts of NAME=VALUE.

    Raises:
        InputError: one has no equals sign.
    """
    for pair in pairs:
        if "=" not in pair:
            raise InputError(option, pair, "NAME=VALUE", "Write for example seed=1.")
    return [(pair.partition("=")[0], pair.partition("=")[2]) for pair in pairs]


def check_seed(seed: int) -> None:
    """Hold a seed against what random generators take.

    Raises:
        InputError: it is out of range.
    """
    if not 0 <= seed < 2**32:
        raise InputError("seed", seed, "a whole number from 0 to 2**32 - 1", "Take 0.")


def run_screen(options: argparse.Namespace) -> int:
    """`ecguard screen`."""
    import time

    from ecguard.report.parameters import check_writable
    from ecguard.report.screening import Measured, judge_traces, save_judged, verdict_lines

    started = time.perf_counter()
    check_seed(options.seed)
    check_writable(options.out)
    measured = Measured(
        tuple(map(Path, options.traces)),
        Path(options.guardrail),
        options.checkpoint,
        options.area_cm2,
        options.shift_V,
        options.seed,
    )
    say("Judging; what is compiled before takes up to a minute.")
    judged = judge_traces(measured)
    for line in verdict_lines(judged):
        say(line)
    say(f"See {save_judged(judged, options.out, started)}")
    return 0


def run_plan(options: argparse.Namespace) -> int:
    """`ecguard plan`."""
    from ecguard.report.parameters import check_writable
    from ecguard.report.screening import Measured, save_plan

    check_writable(options.out)
    measured = Measured(
        (Path(options.trace),),
        Path(options.guardrail),
        area_cm2=options.area_cm2,
        shift_V=options.shift_V,
    )
    for line in save_plan(measured, options.out):
        say(line)
    return 0


def run_family(options: argparse.Namespace) -> int:
    """`ecguard family`."""
    from tqdm import tqdm

    from ecguard.chunk import save_chunk
    from ecguard.family import draw
    from ecguard.report.parameters import check_writable

    if options.chunks < 1:
        raise InputError("chunks", options.chunks, "a whole number >= 1", "Ask for one or more.")
    check_seed(options.seed)
    check_writable(options.out_dir)
    for number in tqdm(range(options.chunks), unit="chunk"):
        chunk = draw(options.seed + number, options.rows)
        save_chunk(Path(options.out_dir) / f"chunk_{number}.npz", chunk)
    say(f"{options.chunks * options.rows} cases in {options.out_dir}")
    return 0


def run_train(options: argparse.Namespace) -> int:
    """`ecguard train`."""
    from dataclasses import fields

    from ecguard.posterior.amortised import training as amortised
    from ecguard.report.parameters import check_writable, parse
    from ecguard.surrogate import training as surrogate

    chosen: Any = amortised if options.engine == "amortised" else surrogate
    kinds = {f.name: getattr(f.type, "__name__", "") for f in fields(chosen.TrainingSettings)}
    values: dict[str, Any] = {}
    for name, text in split_pairs("--set", options.set):
        if name not in kinds:
            raise InputError(name, text, f"one of {', '.join(kinds)}", "Check its spelling.")
        values[name] = parse(name, text, kinds[name])
    check_seed(values.get("seed", 0))
    settings = chosen.TrainingSettings(**values)
    check_writable(options.out_dir)
    engine = "" if options.engine == "surrogate" else f" --engine {options.engine}"
    command = " ".join([f"ecguard train{engine}", *(f"--set {pair}" for pair in options.set)])
    record = chosen.train(options.out_dir, settings, command=command)
    for name, value in record["held_out"].items():
        if isinstance(value, float):
            say(f"held-out {name.replace('_', ' ')} {value:.4f}")
    say(f"See {Path(options.out_dir) / chosen.TRAINING_FILE}")
    return 0


def run_refresh(options: argparse.Namespace) -> int:
    """`ecguard notebooks refresh`."""
    from ecguard.report.notebooks import ChapterError, refresh
    from ecguard.report.paths import chapter_name, checkout

    layout = checkout(None if options.root is None else Path(options.root))
    known = {chapter_name(source): source for source in layout.sources}
    for name in options.names:
        if name not in known:
            raise InputError("chapter", name, f"one of {', '.join(known)}", "Choose one.")
    try:
        for name in options.names or known:
            changed = refresh(known[name], layout.unfinished(known[name]).parent)
            say(f"{name}: {'stored anew' if changed else 'unchanged'}")
    except ChapterError as error:
        print(f"ecguard: {error}", file=sys.stderr)
        return 1
    return 0


def say(line: str) -> None:
    """Show a line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
