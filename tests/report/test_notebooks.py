"""What ran is held to account, and what is stored stays the same."""

import subprocess
import sys

import nbformat
import pytest

from ecguard.errors import InputError
from ecguard.report.notebooks import (
    CHECKED,
    ChapterError,
    check_executed,
    encode,
    publishable,
    refresh,
    stored,
)

from .tiny import START

new = nbformat.v4


def code(source, outputs=(), count=1, tags=()):
    return new.new_code_cell(
        source, outputs=list(outputs), execution_count=count, metadata={"tags": list(tags)}
    )


def text(value):
    return new.new_output("execute_result", data={"text/plain": value}, execution_count=9)


def image(alt):
    metadata = {"image/png": {"alt": alt} if alt else {}}
    return new.new_output("display_data", data={"image/png": "iVBORw0KGgo="}, metadata=metadata)


def notebook(*cells):
    return new.new_notebook(cells=list(cells))


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (code("1", count=None), "did not run"),
        (
            code("1", [new.new_output("error", ename="E", evalue="v", traceback=["line 7"])]),
            "line 7",
        ),
        (code("1", [image("")]), "alternative text"),
    ],
)
def test_chapter_that_went_wrong_is_refused(cell, words):
    with pytest.raises(ChapterError, match=words):
        check_executed(notebook(code("0"), cell), "01-a.ipynb")


def test_chapter_that_went_well_is_taken():
    check_executed(notebook(code("0", [image("Six points.")]), code("", count=None)), "01-a.ipynb")


def test_alternative_text_moves_to_where_the_book_reads_it():
    cell = publishable(notebook(code("0", [image("Six points.")]))).cells[0]
    assert cell.metadata["mystnb"]["image"] == {"alt": "Six points.", "width": "100%"}


def test_code_is_folded_and_keeps_its_tags():
    cells = publishable(notebook(code("0", tags=[CHECKED]), new.new_markdown_cell("Text."))).cells
    assert cells[0].metadata["tags"] == sorted(["hide-input", CHECKED])
    assert "tags" not in cells[1].metadata


def test_two_figures_in_a_cell_are_refused():
    with pytest.raises(ChapterError, match="one in each cell"):
        publishable(notebook(code("0", [image("One."), image("Two.")])))


def test_published_notebook_holds_no_timing_and_no_path():
    ran = notebook(code("0"))
    ran.metadata["papermill"] = {"duration": 3.1, "input_path": "/home/x"}
    ran.cells[0].metadata["papermill"] = {"duration": 3.1}
    ran.cells[0].metadata["execution"] = {"iopub.status.busy": "2026-01-01"}
    assert "3.1" not in encode(publishable(ran))
    assert "2026" not in encode(publishable(ran))
    assert "/home" not in encode(publishable(ran))


def test_only_text_of_checked_cells_is_stored():
    ran = notebook(code("a", [text("1")]), code("b", [text("2")], 7, [CHECKED]))
    first, second = stored(ran, ran).cells
    assert (first.outputs, first.execution_count) == ([], None)
    assert second.outputs[0].data == {"text/plain": "2"}
    assert second.execution_count == 2
    again = stored(stored(ran, ran), ran)
    assert encode(again) == encode(stored(ran, ran))


@pytest.mark.parametrize("outputs", [[], [image("Six points.")]])
def test_checked_cell_that_shows_no_text_is_refused(outputs):
    ran = notebook(code("a", outputs, tags=[CHECKED]))
    with pytest.raises(InputError, match="cell 0"):
        stored(ran, ran)


def nbval(folder):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax"]
    command += ["-c", "/dev/null", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.mark.slow
def test_refreshed_notebook_passes_nbval_and_a_changed_value_fails(tiny, tmp_path):
    (source,) = tiny.sources
    assert refresh(source, tmp_path / "work", progress=False)
    written = source.read_text()
    assert not refresh(source, tmp_path / "work", progress=False)
    assert source.read_text() == written
    passed = nbval(source.parent)
    assert passed.returncode == 0, passed.stdout
    assert '"42"' in written
    source.write_text(written.replace('"42"', '"43"'))
    failed = nbval(source.parent)
    assert failed.returncode == 1, failed.stdout
    assert START.splitlines()[0] in written
