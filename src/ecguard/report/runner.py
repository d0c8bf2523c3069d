"""From source notebooks to the site, each step only where its inputs changed."""

import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from ecguard.errors import InputError
from ecguard.files import sha256, write_atomic, write_text
from ecguard.report import pages
from ecguard.report.answers import answers_page
from ecguard.report.claims import Claim, as_record, claim, collect
from ecguard.report.notebooks import ChapterError, publishable, run_notebook
from ecguard.report.notebooks import encode as encode_notebook
from ecguard.report.parameters import (
    FINDERS,
    check_parameters,
    check_type,
    check_writable,
    declared,
    defaults,
)
from ecguard.report.paths import PACKAGE, SCHEMAS, Layout, chapter_name
from ecguard.report.payload import encode, load_payload, plain, validate
from ecguard.report.profiles import profile_named
from ecguard.report.provenance import versions

PUBLISHED = (".json", ".png")
MOST_SECONDS = 15 * 60
LANES = (
    ("family-and-surrogate", "guardrail", "failure-catalogue"),
    ("failure-modes", "protocol-design", "escalation"),
)
"""Chapters without a claim on speed; a lane runs beside the other, and reads what it has kept."""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class BookError(RuntimeError):
    """The book did not build without a warning; the message holds what Sphinx said."""


@dataclass(frozen=True)
class Run:
    """What a report is made with.

    Args:
        layout: checkout that it is made in.
        parameters: passed to every chapter that declares them.
        only: name of the one chapter to run, or "" for all.
        force: whether to run what is up to date as well.
        progress: whether to show progress bars.
        say: receives a line for each step; lanes run with a copy of it in their own process.
        place: line of the terminal for the progress bar, counted from the first free one.
    """

    layout: Layout
    parameters: Mapping[str, Any]
    only: str = ""
    force: bool = False
    progress: bool = True
    say: Callable[[str], None] = print
    place: int = 0


def make_report(run: Run) -> Path | None:
    """Run the chapters, collect their claims, generate the pages and build the book.

    Returns:
        the page to open, or None where chapters are still missing.

    Raises:
        InputError: a parameter cannot be used; nothing was touched.
        ChapterError: a chapter did not run to its end.
        BookError: the book did not build without a warning.
    """
    sources = run.layout.sources
    if not sources:
        raise InputError("root", str(run.layout.root), "a checkout with notebooks", "Correct it.")
    given = checked(run.parameters, run.layout)
    check_writable(run.layout.root)
    names = [chapter_name(source) for source in sources]
    if run.only and run.only not in names:
        raise InputError("only", run.only, f"one of {', '.join(names)}", "Choose one.")
    wanted = [source for source in sources if run.only in ("", chapter_name(source))]
    for source in wanted:
        check_inputs(run.layout, source, given[source])
    package = digest_of(files_under(PACKAGE), PACKAGE)
    jobs = [
        Job(
            source,
            given[source],
            chapter_digest(run.layout, source, given[source], package),
            f"chapter {place}/{len(sources)}",
        )
        for place, source in enumerate(sources, start=1)
        if source in wanted
    ]
    run_chapters(run, jobs)
    missing = [source for source in sources if not run.layout.stamp(source).exists()]
    if missing:
        run.say(f"No book yet: {', '.join(map(chapter_name, missing))} did not run.")
        return None
    claims = gather(run.layout)
    run.say(pages.counts(claims))
    build_book(run)
    return run.layout.index


def checked(parameters: Mapping[str, Any], layout: Layout) -> dict[Path, dict[str, Any]]:
    """Parameters for each notebook, held against what the notebooks declare.

    Raises:
        InputError: no notebook declares one of them, or one has a wrong type or range.
    """
    kinds = {source: declared(source) for source in layout.sources}
    everywhere = {name: kind for found in kinds.values() for name, kind in found.items()}
    check_parameters(parameters, everywhere, layout.root)
    given = {}
    for source, found in kinds.items():
        given[source] = {name: value for name, value in parameters.items() if name in found}
        for name, value in given[source].items():
            check_type(name, value, found[name])
    return given


class Job(NamedTuple):
    """A chapter to run.

    Args:
        source: its notebook.
        parameters: passed to it.
        inputs: digest of all that decides its result.
        label: its place among all, for the user.
    """

    source: Path
    parameters: Mapping[str, Any]
    inputs: str
    label: str


def run_chapters(run: Run, jobs: Sequence[Job]) -> None:
    """Run chapters in order, but those of one of the `LANES` beside those of the other.

    Lanes are processes: an interrupt from the keyboard reaches the notebook that runs in each. Each
    keeps to its own share of the cores, as lanes that share them all get in each other's way.
    """
    lanes = [[job for job in jobs if chapter_name(job.source) in names] for names in LANES]
    beside = [lane for lane in lanes if any(stale(run, job) for job in lane)]
    if len(beside) < 2:
        run_in_order(run, jobs)
        return
    run_in_order(run, [job for job in jobs if all(job not in lane for lane in beside)])
    context, ends = get_context("spawn"), []
    for place, lane in enumerate(beside):
        here, there = context.Pipe(duplex=False)
        own = replace(run, place=place)
        arguments = (own, lane, there, len(beside))
        context.Process(target=run_lane, args=arguments, daemon=True).start()
        there.close()
        ends.append(here)
    errors = [error for error in map(outcome, ends) if error is not None]
    for error in errors[1:]:
        run.say(str(error))
    if errors:
        raise errors[0]


def run_in_order(run: Run, jobs: Sequence[Job]) -> None:
    """Run chapters one after the other."""
    for job in jobs:
        run_chapter(run, job)


def run_lane(run: Run, lane: Sequence[Job], there: Connection, lanes: int) -> None:
    """Run the chapters of a lane in this process, and send the error that ended it, or None."""
    keep_to_share(run.place, lanes)
    Thread(target=end_with_parent, daemon=True).start()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # of a device that lanes share
    error: Exception | None = None
    try:
        run_in_order(run, lane)
    except (InputError, ChapterError) as found:
        run.say("a chapter failed; those beside it go on")
        error = found
    except KeyboardInterrupt:
        os._exit(130)  # whoever interrupts sees what the first process says
    there.send(error)


def keep_to_share(place: int, lanes: int) -> None:
    """Confine this process and all that it starts to a lane's cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share_of(os.sched_getaffinity(0), place, lanes))


def share_of(cores: Collection[int], place: int, lanes: int) -> list[int]:
    """Cores of a lane, none of them another's; all where there is not one for each lane."""
    return sorted(cores)[place::lanes] if len(cores) >= lanes else sorted(cores)


def end_with_parent() -> None:
    """End this process when the one that started it is gone."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def outcome(here: Connection) -> Exception | None:
    """What a lane sends at its end."""
    try:
        error: Exception | None = here.recv()
    except EOFError:
        return ChapterError("the process of a chapter was killed; run the report again to go on")
    return error


def stale(run: Run, job: Job) -> bool:
    """Whether a chapter is to be run."""
    return run.force or not up_to_date(run.layout, job.source, job.inputs)


def run_chapter(run: Run, job: Job) -> None:
    """Run one chapter unless what it would give is there, and publish its files."""
    source, parameters, inputs, label = job
    layout, name = run.layout, chapter_name(source)
    if not stale(run, job):
        run.say(f"{label} {name}: up to date")
        return
    run.say(f"{label} {name}: running")
    staging = layout.staging(source)
    staging.mkdir(parents=True, exist_ok=True)
    for path in published_files(staging):
        path.unlink()
    out_dir = {"out_dir": staging.relative_to(layout.root).as_posix()}
    executed = run_notebook(
        source,
        layout.unfinished(source),
        {**parameters, **out_dir},
        layout.root,
        run.progress,
        run.place,
    )
    layout.stamp(source).unlink(missing_ok=True)
    files = [publish(layout, source, path) for path in published_files(staging)]
    files.append(write_text(layout.executed(source), encode_notebook(publishable(executed))))
    record = {"inputs": inputs, "files": {relative(layout, path): sha256(path) for path in files}}
    write_text(layout.stamp(source), encode(record))
    layout.unfinished(source).unlink()


def published_files(staging: Path) -> list[Path]:
    """Payloads and figures that a chapter left at the top of its folder."""
    return sorted(path for path in staging.iterdir() if path.suffix in PUBLISHED)


def publish(layout: Layout, source: Path, path: Path) -> Path:
    """Copy a chapter's file to the appendix.

    Raises:
        InputError: another chapter owns a file of that name.
    """
    target = layout.appendix / path.name
    for other in layout.sources:
        if other != source and relative(layout, target) in stamped(layout, other)["files"]:
            raise InputError(
                "file name", path.name, f"not one of {chapter_name(other)}'s", "Rename it."
            )
    return write_atomic(target, lambda temporary: shutil.copyfile(path, temporary))


def relative(layout: Layout, path: Path) -> str:
    """A path as it is recorded."""
    return path.relative_to(layout.root).as_posix()


def stamped(layout: Layout, source: Path) -> dict[str, Any]:
    """Record of a chapter's last full run; empty where there is none."""
    try:
        record = json.loads(layout.stamp(source).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = {"inputs": None, "files": {}}
    return record


def up_to_date(layout: Layout, source: Path, inputs: str) -> bool:
    """Whether a chapter ran on these inputs and all that it wrote is there unchanged."""
    record = stamped(layout, source)
    return record["inputs"] == inputs and all(
        (layout.root / name).is_file() and sha256(layout.root / name) == digest
        for name, digest in record["files"].items()
    )


def chapter_digest(
    layout: Layout, source: Path, parameters: Mapping[str, Any], package: str
) -> str:
    """Hash of all that decides a chapter's result."""
    inputs = input_files(layout, source, parameters).values()
    content = {
        "notebook": sha256(source),
        "package": package,
        "parameters": plain(parameters),
        "inputs": [digest_of(companions(path), path.parent) for path in inputs],
        "versions": versions(),
    }
    return hashlib.sha256(encode(content).encode()).hexdigest()


def input_files(layout: Layout, source: Path, parameters: Mapping[str, Any]) -> dict[str, Path]:
    """Checkpoint and chunk that a chapter will find, where they are not the built-in ones."""
    kinds = declared(source)
    located = {
        name: find(parameters.get(name) and Path(layout.root, parameters[name]), layout.root)
        for name, find in FINDERS.items()
        if name in kinds
    }
    return {name: item.path for name, item in located.items() if item.path is not None}


def check_inputs(layout: Layout, source: Path, parameters: Mapping[str, Any]) -> None:
    """Try what a chapter will read and ask for, so that what is bad stops the run before any work.

    Raises:
        InputError: a file is missing or damaged, files do not fit each other, cases are too few for
            a certificate, or the amortised posterior was not trained for such traces.
    """
    from ecguard.case_sets import CaseSetSettings
    from ecguard.guardrail import CertifiedGuardrail
    from ecguard.posterior.amortised.artefacts import check_trained_for, load_amortised, load_meta

    found, kinds = input_files(layout, source, parameters), declared(source)
    given = {**defaults(source), **parameters}
    if "n_calibration" in kinds:
        rule = {name: given[name] for name in ("alpha", "delta") if name in given}
        usual = profile_named(given.get("profile", "smoke")).n_calibration
        CertifiedGuardrail(**rule).rank(given["n_calibration"] or usual)
    if "amortised_checkpoint" in kinds:
        check_trained_for(
            load_meta(found.get("amortised_checkpoint")),
            given.get("eval_noise_std", CaseSetSettings.noise_std),
            given.get("keep_probability", CaseSetSettings.keep_probability),
        )
    if not found:
        return
    from ecguard.chunk import load_chunk
    from ecguard.study import check_fit
    from ecguard.surrogate import load_surrogate

    if "amortised_checkpoint" in found:
        load_amortised(found["amortised_checkpoint"])
    if "family_checkpoint" in found:
        load_surrogate(found["family_checkpoint"])
    surrogate = load_surrogate(found.get("checkpoint"))
    if "dataset_chunk" in found:
        check_fit(surrogate, load_chunk(found["dataset_chunk"]))


def companions(path: Path) -> list[Path]:
    """An input file and those that are read with it."""
    names = ("normalizers.npz", "model_meta.json", "amortised_meta.json", "training.json")
    beside = (path.parent / name for name in names)
    return [file for file in (path, *beside) if file.is_file()]


def files_under(folder: Path) -> list[Path]:
    """All files in a folder and below, but caches and hidden ones, in a fixed order."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(
            part == "__pycache__" or part.startswith(".") for part in path.relative_to(folder).parts
        )
    )


def digest_of(files: Iterable[Path], root: Path) -> str:
    """Hash of files and of their names below `root`."""
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(root).as_posix()} {sha256(path)}\n".encode())
    return total.hexdigest()


def gather(layout: Layout) -> tuple[Claim, ...]:
    """Collect all claims and write what the pages include.

    Raises:
        InputError: a payload does not fit its schema, or two claims share an id.
    """
    owned = [
        layout.root / name for source in layout.sources for name in stamped(layout, source)["files"]
    ]
    published = [path for path in owned if path.parent == layout.appendix]
    found = {p.name: load_payload(p) for p in published if p.suffix == ".json"}
    payloads = {name: payload for name, payload in found.items() if "claims" in payload}
    claims = (*collect(payloads.values()), time_claim(payloads))
    content = {
        "$schema": "claims.schema.json",
        "claims": [as_record(item) for item in claims],
        "chapters": {name: payload["provenance"] for name, payload in payloads.items()},
    }
    validate(content, "claims")
    write_text(layout.claims, encode(content))
    schemas = [copy_schema(layout, path) for path in sorted(SCHEMAS.glob("*.json"))]
    kept = [*published, layout.claims, *schemas]
    for path in layout.appendix.iterdir():
        if path not in kept:
            path.unlink()
    entries = [pages.entry(path) for path in kept]
    descriptions = {e.name: e.content for e in entries if e.name.endswith(".png")}
    for name, text in (
        ("answers.md", answers_page(claims)),
        ("verdicts.md", pages.verdicts_page(claims, descriptions)),
        ("claims.md", pages.claims_page(claims)),
        ("appendix.md", pages.appendix_page(entries)),
    ):
        write_text(layout.generated / name, text)
    return claims


def time_claim(payloads: Mapping[str, Mapping[str, Any]]) -> Claim:
    """How long the chapters took when each last ran, by their provenance.

    What ran side by side counts once.
    """
    seconds, until = 0.0, -math.inf
    spans = [span_of(payload["provenance"]) for payload in payloads.values()]
    for start, end in sorted(spans):
        seconds += max(0.0, end - max(start, until))
        until = max(until, end)
    seconds = round(seconds, 1)
    return claim(
        "report",
        "chapter-seconds",
        "Time that the chapters took when each last ran, what ran side by side counted once; "
        "environment and book come on top.",
        seconds,
        bound={"op": "<=", "value": MOST_SECONDS},
        unit="s",
        n=len(payloads),
        seconds=seconds,
    )


def span_of(record: Mapping[str, Any]) -> tuple[float, float]:
    """When a chapter ran, s.

    Raises:
        InputError: its record does not say.
    """
    if "ended_at" not in record:
        raise InputError("ended_at", None, "when each chapter ended", "Run all chapters again.")
    end = datetime.fromisoformat(record["ended_at"]).timestamp()
    return end - record["duration_s"], end


def copy_schema(layout: Layout, path: Path) -> Path:
    """Publish a schema beside the payloads."""
    target = layout.appendix / path.name
    return write_atomic(target, lambda temporary: shutil.copyfile(path, temporary))


def build_book(run: Run) -> None:
    """Build the book strictly, unless the site was built from the same sources.

    The site replaces the one before when it is whole.

    Raises:
        BookError: Sphinx warned or failed.
    """
    layout = run.layout
    sources = [*files_under(layout.book), layout.config]
    inputs = digest_of(sources, layout.root) + encode(versions())
    built = layout.book_stamp.read_text() if layout.book_stamp.exists() else ""
    if not run.force and built == inputs and layout.index.exists():
        run.say("book: up to date")
        return
    run.say("book: building")
    shutil.rmtree(layout.book_work, ignore_errors=True)
    layout.book_work.mkdir(parents=True)
    command = [str(Path(sys.executable).parent / "jupyter-book"), "build", layout.book.name]
    command += ["--config", layout.config.name, "--path-output", str(layout.book_work.resolve())]
    command += ["-W", "-n", "--keep-going", "--all"]
    done = subprocess.run(command, cwd=layout.root, capture_output=True, text=True)
    if done.returncode != 0:
        said = COLOUR.sub("", done.stderr or done.stdout)
        raise BookError(f"the book did not build cleanly:\n{said}")
    layout.book_stamp.unlink(missing_ok=True)
    shutil.rmtree(layout.html, ignore_errors=True)
    (layout.book_work / "_build" / "html").replace(layout.html)
    shutil.rmtree(layout.book_work)
    write_text(layout.book_stamp, inputs)
