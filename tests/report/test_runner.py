"""From notebooks to site: each step once, whole, and again only when its inputs changed."""

import json
import os
import re
import shutil
import subprocess
import sys
from multiprocessing import Pipe
from threading import Thread

import nbformat
import pytest

from ecguard.errors import InputError
from ecguard.files import sha256
from ecguard.posterior.amortised.artefacts import BUILT_IN_FOLDER, CHECKPOINT_FILE, META_FILE
from ecguard.report import runner
from ecguard.report.notebooks import ChapterError
from ecguard.report.paths import Layout
from ecguard.report.payload import load_payload
from ecguard.report.runner import Run, make_report

from .tiny import PARAMETERS, START, tiny_checkout, write_notebook


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory):
    """Stands for the package, whose own sources may change while the tests run."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "simulate.py").write_text("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "PACKAGE", folder)
        yield folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A checkout whose report was made once."""
    layout = tiny_checkout(tmp_path_factory.mktemp("made"))
    make_report(Run(layout, {"profile": "smoke"}, progress=False))
    return layout


@pytest.fixture
def report(made, tmp_path):
    """A copy of it to work on."""
    shutil.copytree(made.root, tmp_path / "copy", copy_function=shutil.copy2)
    return type(made)(tmp_path / "copy")


def again(layout, **rest):
    """Make the report again without the book; what was said."""
    said: list[str] = []
    parameters = rest.pop("parameters", {"profile": "smoke"})
    make_report(Run(layout, parameters, progress=False, say=said.append, **rest))
    return " ".join(said)


@pytest.fixture
def bookless(monkeypatch):
    monkeypatch.setattr(runner, "build_book", lambda _: None)


def test_site_holds_chapter_claims_payload_and_figure(made):
    chapter = (made.html / "chapters" / "01-tiny.html").read_text()
    assert 'alt="Six points rise."' in chapter
    assert "Provenance" in chapter
    assert "✘ fail" in (made.html / "claims.html").read_text()
    assert "✔ pass" in made.index.read_text()
    for name in ("tiny.json", "tiny.png", "claims.json", "claims.schema.json"):
        assert (made.html / "appendix" / name).is_file()
        assert f'href="appendix/{name}"' in (made.html / "appendix.html").read_text()


def test_claims_are_collected_and_valid(made):
    claims = load_payload(made.claims)["claims"]
    assert [(c["id"], c["pass"]) for c in claims] == [
        ("tiny.criterion-1-cases", True),
        ("tiny.too-few", False),
        ("report.chapter-seconds", True),
    ]


def test_nothing_written_names_the_machine(made):
    for path in (made.executed(made.sources[0]), made.claims, made.appendix / "tiny.json"):
        assert str(made.root) not in path.read_text()


def test_nothing_is_done_twice(report):
    before = {path: path.stat().st_mtime_ns for path in report.html.rglob("*") if path.is_file()}
    said = again(report)
    assert "tiny: up to date" in said
    assert "book: up to date" in said
    assert before == {
        path: path.stat().st_mtime_ns for path in report.html.rglob("*") if path.is_file()
    }


@pytest.mark.usefixtures("bookless")
@pytest.mark.parametrize(
    "change",
    ["notebook", "package", "parameter", "payload lost", "payload changed", "stamp lost", "force"],
)
def test_chapter_runs_again_when_it_must(report, package, monkeypatch, change):
    ran = []

    def run_notebook(source, target, parameters, *_):
        ran.append(parameters)
        target.touch()
        return nbformat.read(report.executed(source), as_version=4)

    monkeypatch.setattr(runner, "run_notebook", run_notebook)
    (source,) = report.sources
    rest: dict[str, object] = {}
    if change == "notebook":
        source.write_text(source.read_text().replace("1000", "2000"))
    elif change == "package":
        monkeypatch.setattr(runner, "PACKAGE", shutil.copytree(package, report.root / "package"))
        (runner.PACKAGE / "simulate.py").write_text("two")
    elif change == "parameter":
        rest["parameters"] = {"profile": "smoke", "n_cases": 3}
    elif change == "payload lost":
        (report.appendix / "tiny.json").unlink()
    elif change == "payload changed":
        (report.appendix / "tiny.json").write_text("{}")
    elif change == "stamp lost":
        report.stamp(source).unlink()
    else:
        rest["force"] = True
    again(report, **rest)
    assert len(ran) == 1
    assert ran[0]["out_dir"] == "build/report/01-tiny"


def test_digest_follows_package_checkpoint_and_companions(tiny):
    (source,) = tiny.sources
    write_notebook(source, {"parameters": PARAMETERS + 'checkpoint: str = ""', "start": START})
    checkpoint = tiny.root / "surrogate_model.eqx"
    checkpoint.write_bytes(b"1")
    given = {"checkpoint": checkpoint.name}
    seen = {
        runner.chapter_digest(tiny, source, {}, "a"),
        runner.chapter_digest(tiny, source, {}, "b"),
    }
    seen.add(runner.chapter_digest(tiny, source, given, "a"))
    checkpoint.write_bytes(b"2")
    seen.add(runner.chapter_digest(tiny, source, given, "a"))
    (tiny.root / "model_meta.json").write_text("{}")
    seen.add(runner.chapter_digest(tiny, source, given, "a"))
    assert len(seen) == 5
    assert runner.chapter_digest(tiny, source, given, "a") in seen


def assert_refused_before_any_work(tiny, words, parameters):
    before = sorted(tiny.root.rglob("*"))
    with pytest.raises(InputError, match=words):
        again(tiny, parameters=parameters)
    assert sorted(tiny.root.rglob("*")) == before


@pytest.mark.usefixtures("bookless")
@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"profile": "quick"}, "profile"),
        ({"n_case": 3}, "n_case"),
        ({"n_cases": 0}, "n_cases"),
        ({"eval_noise_std": "1e-3"}, r"1\.0e-3"),
    ],
)
def test_bad_parameter_stops_before_any_work(tiny, parameters, words):
    assert_refused_before_any_work(tiny, words, parameters)


@pytest.mark.usefixtures("bookless")
@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n_calibration": 44, "delta": 0.1}, "n_calibration = 44 .*45 clean"),
        ({"n_calibration": 134}, "n_calibration = 134 .*135 clean calibration cases or more"),
        ({"alpha": 0.01}, "n_calibration = 140 .*688 clean calibration cases or more"),
        ({"eval_noise_std": 0.2}, "eval_noise_std = 0.2"),
        ({"keep_probability": 0.1}, "keep_probability = 0.1"),
    ],
)
def test_what_a_guardrail_cannot_be_fitted_on_stops_before_any_work(tiny, parameters, words):
    (source,) = tiny.sources
    more = (
        "alpha: float = 0.05",
        "delta: float = 0.001",
        "n_calibration: Optional[int] = None",
        "keep_probability: float = 0.4",
        'amortised_checkpoint: str = ""',
    )
    own = PARAMETERS + "\n".join(more)
    write_notebook(source, {"parameters": own, "start": START})
    assert_refused_before_any_work(tiny, words, parameters)


@pytest.mark.usefixtures("bookless")
@pytest.mark.parametrize(
    "name", ["checkpoint", "dataset_chunk", "family_checkpoint", "amortised_checkpoint"]
)
def test_damaged_file_stops_before_any_work(tiny, name):
    (source,) = tiny.sources
    write_notebook(source, {"parameters": f'{PARAMETERS}{name}: str = ""', "start": START})
    (tiny.root / "damaged").write_bytes(b"1")
    for meta in ("model_meta.json", "amortised_meta.json"):
        (tiny.root / meta).write_text("{")
    assert_refused_before_any_work(tiny, "cannot be used", {name: "damaged"})


@pytest.mark.usefixtures("bookless")
def test_damaged_weights_beside_their_own_meta_stop_before_any_work(tiny):
    (source,) = tiny.sources
    text = f'{PARAMETERS}amortised_checkpoint: str = ""'
    write_notebook(source, {"parameters": text, "start": START})
    (tiny.root / CHECKPOINT_FILE).write_bytes(b"1")
    shutil.copy(BUILT_IN_FOLDER / META_FILE, tiny.root)
    given = {"amortised_checkpoint": CHECKPOINT_FILE}
    assert_refused_before_any_work(tiny, "its leaves do not fit", given)


@pytest.mark.usefixtures("bookless")
@pytest.mark.parametrize(
    ("name", "variable"),
    [("checkpoint", "ECSFM_CHECKPOINT"), ("dataset_chunk", "ECSFM_DATASET_CHUNK")],
)
def test_variable_of_no_file_stops_before_any_work(tiny, monkeypatch, name, variable):
    text = f'{PARAMETERS}{name}: str = ""'
    write_notebook(tiny.notebooks / "02-other.ipynb", {"parameters": text, "start": START})
    monkeypatch.setenv(variable, str(tiny.root / "none"))
    assert_refused_before_any_work(tiny, variable, {"profile": "smoke"})


def test_folder_without_notebooks_is_refused(tiny):
    shutil.rmtree(tiny.notebooks)
    with pytest.raises(InputError, match="notebooks"):
        again(tiny)


def test_unknown_chapter_is_refused(tiny):
    with pytest.raises(InputError, match="only"):
        again(tiny, only="huge")


@pytest.mark.usefixtures("bookless")
@pytest.mark.parametrize("fatal", ["publish", "encode_notebook", "write_text"])
def test_run_killed_while_it_writes_is_completed_by_the_next(report, monkeypatch, fatal):
    (source,) = report.sources
    executed = nbformat.read(report.executed(source), as_version=4)
    ran = []

    def run_notebook(source, target, *_):
        ran.append(source)
        shutil.copy(report.appendix / "tiny.json", report.staging(source) / "tiny.json")
        target.touch()
        return executed

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_notebook", run_notebook)
    whole = getattr(runner, fatal)
    monkeypatch.setattr(runner, fatal, killed)
    with pytest.raises(KeyboardInterrupt):
        again(report, force=True)
    monkeypatch.setattr(runner, fatal, whole)
    load_payload(report.appendix / "tiny.json")
    again(report)
    assert len(ran) == 2
    assert "up to date" in again(report)


MEET = """\
import time
from pathlib import Path

Path(f"{mine}.here").touch()
until = time.monotonic() + 60.0
while not Path(f"{other}.here").exists() and time.monotonic() < until:
    time.sleep(0.05)
assert Path(f"{other}.here").exists(), "the other lane does not run"
"""


RAISE = 'from ecguard.errors import InputError\nraise InputError(mine, 1, "2", "Write 2.")\n'


def lanes(layout, body=MEET, last=""):
    """Two lanes, of one and of two chapters; the first of each runs `body`, the second `last`."""
    for name, mine, other in (
        ("05-guardrail", "a", "b"),
        ("07-protocol-design", "b", "a"),
        ("08-escalation", "c", "b"),
    ):
        own = body if mine != "c" else last
        text = f'mine, other = "{mine}", "{other}"\n{own}'
        write_notebook(
            layout.notebooks / f"{name}.ipynb",
            {"parameters": PARAMETERS, "start": START.replace("tiny", name[3:]), "body": text},
        )


@pytest.mark.slow
@pytest.mark.usefixtures("bookless")
def test_lanes_run_side_by_side_each_in_its_order(report):
    before = report.stamp(report.notebooks / "07-protocol-design.ipynb")
    lanes(report, last=f"from pathlib import Path\nassert Path({str(before)!r}).exists()")
    again(report)
    assert all(report.stamp(source).exists() for source in report.sources)
    assert again(report).count("up to date") == 4


@pytest.mark.slow
@pytest.mark.usefixtures("bookless")
def test_lane_that_fails_lets_the_other_end_and_says_why(report):
    lanes(report, last=RAISE)
    with pytest.raises(ChapterError, match="c = 1 cannot be used") as caught:
        again(report)
    assert caught.value.bad_input
    done = {source.stem for source in report.sources if report.stamp(source).exists()}
    assert done == {"01-tiny", "05-guardrail", "07-protocol-design"}


@pytest.mark.slow
@pytest.mark.usefixtures("bookless")
def test_errors_of_both_lanes_are_said(report):
    lanes(report, RAISE)
    said = []
    with pytest.raises(ChapterError, match="a = 1 cannot be used"):
        make_report(Run(report, {"profile": "smoke"}, progress=False, say=said.append))
    assert "b = 1 cannot be used" in said[-1]


@pytest.mark.parametrize(
    ("cores", "shares"),
    [
        ({0, 1}, [[0], [1]]),
        ({7, 2, 4, 3, 9}, [[2, 4, 9], [3, 7]]),
        ({5}, [[5], [5]]),
    ],
)
def test_lanes_share_out_the_cores(cores, shares):
    assert [runner.share_of(cores, place, 2) for place in range(2)] == shares


def test_system_without_affinity_leaves_a_lane_as_it_is(monkeypatch):
    monkeypatch.delattr(runner.os, "sched_setaffinity", raising=False)
    runner.keep_to_share(0, 2)


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="one core only, or a system that confines no process to some of them",
)
def test_lane_and_what_it_starts_keep_to_their_cores(tmp_path, monkeypatch):
    kept = []

    def run_chapter(*_):
        told = "import os; print(os.sched_getaffinity(0))"
        started = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True)
        kept.extend([repr(os.sched_getaffinity(0)), started.stdout.strip()])

    monkeypatch.setattr(runner, "run_chapter", run_chapter)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    cores = os.sched_getaffinity(0)
    here, there = Pipe(duplex=False)
    run, job = Run(Layout(tmp_path), {}, place=1), runner.Job(tmp_path, {}, "", "")
    # cores are those of a thread: the tests after this one keep theirs
    lane = Thread(target=runner.run_lane, args=(run, [job], there, 2))
    lane.start()
    lane.join()
    assert here.recv() is None
    assert kept == [repr(set(runner.share_of(cores, 1, 2)))] * 2
    assert os.sched_getaffinity(0) == cores


def test_lane_that_is_killed_is_an_error():
    here, there = Pipe(duplex=False)
    there.close()
    assert "was killed" in str(runner.outcome(here))


def test_one_lane_that_is_stale_needs_no_process(report, monkeypatch):
    lanes(report)
    ran = []
    monkeypatch.setattr(runner, "run_lane", None)
    monkeypatch.setattr(runner, "run_chapter", lambda _, job: ran.append(job.source.stem))
    monkeypatch.setattr(runner, "stale", lambda _, job: "guardrail" in job.source.stem)
    jobs = [runner.Job(source, {}, "", "") for source in report.sources]
    runner.run_chapters(Run(report, {}), jobs)
    assert ran == ["01-tiny", "05-guardrail", "07-protocol-design", "08-escalation"]


def test_time_that_chapters_share_counts_once():
    def record(end, duration):
        return {
            "provenance": {"ended_at": f"2026-01-01T00:{end:02d}:00+00:00", "duration_s": duration}
        }

    payloads = {"a": record(10, 300.0), "b": record(12, 300.0), "c": record(30, 60.0)}
    payloads["within"] = record(11, 30.0)
    payloads["after"] = record(13, 100.0)
    assert runner.time_claim(payloads).value == 480.0 + 60.0
    payloads["old"] = {"provenance": {"duration_s": 1.0}}
    with pytest.raises(InputError, match="Run all chapters again"):
        runner.time_claim(payloads)


@pytest.mark.slow
def test_failing_chapter_leaves_the_report_before_it_in_place(report):
    (source,) = report.sources
    write_notebook(source, {"parameters": PARAMETERS, "start": START, "end": "1 / (n_cases - 6)"})
    files = [p for p in report.book.rglob("*") if p.is_file()] + [report.index]
    before = {path: sha256(path) for path in files}
    with pytest.raises(ChapterError, match="ZeroDivisionError"):
        again(report)
    assert {path: sha256(path) for path in files} == before


@pytest.mark.slow
def test_chapter_that_rejects_its_input_says_so_in_one_line(tiny):
    (source,) = tiny.sources
    raising = 'from ecguard.errors import InputError\nraise InputError("x", 1, "2", "Write 2.")'
    write_notebook(source, {"parameters": PARAMETERS, "start": raising})
    with pytest.raises(ChapterError) as caught:
        again(tiny)
    assert caught.value.bad_input
    assert str(caught.value) == "01-tiny.ipynb: x = 1 cannot be used: 2. Write 2."


def second_chapter(layout, payload):
    """Publish a payload as if a second chapter had run."""
    source = layout.notebooks / "02-other.ipynb"
    shutil.copy(layout.sources[0], source)
    staging = layout.staging(source)
    staging.mkdir(parents=True)
    (staging / "other.json").write_text(json.dumps(payload))
    return source, staging / "other.json"


def test_file_of_another_chapter_is_not_overwritten(report):
    source, path = second_chapter(report, {})
    with pytest.raises(InputError, match=re.escape("tiny.json")):
        runner.publish(report, source, path.rename(path.with_name("tiny.json")))


def test_file_that_no_chapter_owns_leaves_the_appendix(report):
    (report.appendix / "old.json").write_text("{}")
    runner.gather(report)
    assert not (report.appendix / "old.json").exists()
    assert (report.appendix / "tiny.png").exists()


@pytest.mark.slow
def test_book_with_a_warning_fails_and_the_site_before_it_stays(report):
    (report.book / "index.md").write_text("# Tiny\n\n[nowhere](nowhere.md)\n")
    before = sha256(report.index)
    with pytest.raises(runner.BookError, match="nowhere") as caught:
        again(report)
    assert "\x1b" not in str(caught.value)
    assert sha256(report.index) == before
