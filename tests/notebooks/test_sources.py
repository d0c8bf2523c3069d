"""The committed notebooks keep the form that the report runs and refreshes."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from ecguard.report.notebooks import encode, stored
from ecguard.report.parameters import declared

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def code(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def test_file_is_what_a_refresh_would_write(path):
    """Holds checked cells to text and counts, and all others to neither."""
    notebook = nbformat.read(path, as_version=4)
    assert encode(stored(notebook, notebook)) == path.read_text(encoding="utf-8")


def test_papermill_sees_every_parameter(path):
    (cell,) = [cell for cell in code(path) if "parameters" in cell.metadata.get("tags", [])]
    annotated = [n.target.id for n in ast.parse(cell.source).body if isinstance(n, ast.AnnAssign)]
    assert list(declared(path)) == annotated
    assert {"profile", "out_dir"} <= set(annotated)


def test_parameters_are_checked_before_any_work(path):
    cells = code(path)
    (given,) = [k for k, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    assert re.match(r'chapter = start\("[a-z-]+", globals\(\)\)', cells[given + 1].source)
    for cell in cells[:given]:
        assert all(isinstance(n, ast.Import | ast.ImportFrom) for n in ast.parse(cell.source).body)


def test_chapter_ends_with_its_provenance(path):
    assert code(path)[-1].source == "chapter.provenance()"
