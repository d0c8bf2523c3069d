"""The committed notebooks: thin, typed, and with stored values that nbval can compare."""

import ast
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
CHECKED = {"nbval-check-output"}
LONGEST = 120


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def code(request):
    """Code cells of one notebook."""
    notebook = nbformat.read(request.param, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", ()))


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_checked_cells_hold_text_that_nbval_compares(code):
    checked = [cell for cell in code if tags(cell) & CHECKED]
    assert checked, "nbval has nothing to compare"
    for cell in checked:
        assert cell.execution_count, "nbval skips a cell without an execution count"
        assert cell.outputs
        for output in cell.outputs:
            assert output.output_type == "stream" or "text/plain" in output.data
            assert "image/png" not in output.get("data", {})


def test_no_other_output_is_stored(code):
    assert [cell.source for cell in code if cell.outputs and not tags(cell) & CHECKED] == []


def test_notebook_is_thin(code):
    lines = [line for cell in code for line in cell.source.splitlines() if line.strip()]
    assert len(lines) <= LONGEST
    defined = [
        node.name
        for cell in code
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    assert defined == []


def test_parameters_are_typed_and_commented(code):
    (cell,) = [cell for cell in code if "parameters" in tags(cell)]
    lines = cell.source.splitlines()
    statements = ast.parse(cell.source).body
    settings = [s for s in statements if isinstance(s, ast.Assign | ast.AnnAssign)]
    assert settings
    for setting in settings:
        assert isinstance(setting, ast.AnnAssign), f"no type: {lines[setting.lineno - 1]}"
        assert "#" in lines[(setting.end_lineno or setting.lineno) - 1], "no comment"
