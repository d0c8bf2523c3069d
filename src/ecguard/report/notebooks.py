"""Source notebooks: run them, hold what ran to account, keep their stored outputs stable."""

from pathlib import Path
from typing import Any

import nbformat

from ecguard.errors import InputError
from ecguard.files import write_text

FOLDED = "hide-input"
CHECKED = "nbval-check-output"
CELL_TIMEOUT_S = 7200
TEXT = ("text/plain", "text/markdown", "text/html")


class ChapterError(RuntimeError):
    """A chapter did not run to its end.

    Args:
        message: what its cell said, with the traceback unless the input was wrong.
        bad_input: whether the cell rejected its input.
    """

    def __init__(self, message: str, bad_input: bool = False) -> None:
        super().__init__(message)
        self.bad_input = bad_input


def run_notebook(
    source: Path,
    target: Path,
    parameters: dict[str, Any],
    folder: Path,
    progress: bool = True,
    place: int = 0,
) -> nbformat.NotebookNode:
    """Run a notebook, and hold the result to account.

    Args:
        source: notebook to run.
        target: where papermill keeps what has run so far.
        parameters: injected after the cell tagged `parameters`.
        folder: working folder of the kernel.
        progress: whether to show a progress bar.
        place: its line of the terminal, counted from the first free one.

    Returns:
        the executed notebook.

    Raises:
        ChapterError: a cell raised or did not run.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            str(source.resolve()),
            str(target.resolve()),
            parameters=parameters,
            kernel_name="python3",
            progress_bar=progress and {"position": place},
            cwd=str(folder),
            execution_timeout=CELL_TIMEOUT_S,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )
    except papermill.PapermillExecutionError as error:
        if error.ename == InputError.__name__:
            raise ChapterError(f"{source.name}: {error.evalue}", bad_input=True) from error
        raise ChapterError(f"{source.name} failed, see {target}\n{error}") from error
    except (CellTimeoutError, DeadKernelError) as error:
        raise ChapterError(f"{source.name} failed, see {target}\n{error}") from error
    notebook = nbformat.read(target, as_version=4)
    check_executed(notebook, source.name)
    return notebook


def check_executed(notebook: nbformat.NotebookNode, name: str) -> None:
    """Hold an executed notebook to account.

    Raises:
        ChapterError: a cell raised or did not run, or an image has no alternative text.
    """
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if cell.execution_count is None:
            raise ChapterError(f"{name}: cell {place} did not run:\n{cell.source}")
        for output in cell.outputs:
            if output.output_type == "error":
                traceback = "\n".join(output.traceback)
                raise ChapterError(f"{name}: cell {place} raised:\n{traceback}")
            if "image/png" in output.get("data", {}) and not alternative_text(output):
                raise ChapterError(
                    f"{name}: the image of cell {place} has no alternative text; "
                    "show it with `chapter.figure(figure, file_name, alt)`"
                )


def alternative_text(output: nbformat.NotebookNode) -> str:
    """Alternative text of an image output, or ""."""
    return str(output.get("metadata", {}).get("image/png", {}).get("alt", ""))


def publishable(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An executed notebook as the book takes it, the same for the same outputs.

    Timings and paths of papermill go; the alternative text of an image moves to where myst-nb
    reads it, which is the metadata of its cell, with a width, which makes the figure link to its
    full size. Code is folded away: a reader opens it at will.

    Raises:
        ChapterError: two images of one cell have different alternative texts.
    """
    notebook = nbformat.from_dict(notebook)
    notebook.metadata = _metadata()
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place:03d}"
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.metadata["tags"] = sorted({*cell.metadata.get("tags", ()), FOLDED})
        texts = {alternative_text(output) for output in cell.get("outputs", [])} - {""}
        if len(texts) > 1:
            raise ChapterError(f"cell {place} shows several figures: show one in each cell")
        for text in texts:
            image = cell.metadata.setdefault("mystnb", {}).setdefault("image", {})
            image |= {"alt": text, "width": "100%"}
    return notebook


def encode(notebook: nbformat.NotebookNode) -> str:
    """Text of a notebook, the same for equal content."""
    return nbformat.writes(notebook, version=4, indent=1, sort_keys=True).rstrip("\n") + "\n"


def is_checked(cell: nbformat.NotebookNode) -> bool:
    """Whether nbval compares the outputs of a cell with the stored ones."""
    return cell.cell_type == "code" and CHECKED in cell.metadata.get("tags", [])


def stored(source: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A source notebook that keeps the text outputs of its checked cells and no others.

    Args:
        source: notebook as written.
        executed: the same after a run without injected parameters.

    Raises:
        InputError: a checked cell has no text output, or one that is an image.
    """
    result = nbformat.from_dict(source)
    result.metadata = _metadata()
    count = 0
    for place, (cell, ran) in enumerate(zip(result.cells, executed.cells, strict=True)):
        cell.id = f"cell-{place:03d}"
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], None
        count += 1
        if is_checked(cell):
            cell.outputs = [_text_only(output, place, count) for output in ran.outputs]
            cell.execution_count = count
            if not cell.outputs:
                raise InputError(
                    f"cell {place}",
                    cell.source,
                    "one that shows text",
                    f"Remove its tag {CHECKED}.",
                )
    return result


def refresh(source: Path, work: Path, progress: bool = True) -> bool:
    """Run a source notebook on its own defaults and store the outputs of its checked cells.

    Args:
        source: notebook that is written anew when something differs.
        work: folder for the run.
        progress: whether to show a progress bar.

    Returns:
        whether the file changed.
    """
    executed = run_notebook(source, work / source.name, {}, source.parent, progress)
    before = source.read_text(encoding="utf-8")
    text = encode(stored(nbformat.reads(before, as_version=4), executed))
    if text != before:
        write_text(source, text)
    return text != before


def _metadata() -> nbformat.NotebookNode:
    return nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        }
    )


def _text_only(output: nbformat.NotebookNode, place: int, count: int) -> nbformat.NotebookNode:
    if output.output_type == "stream":
        return nbformat.v4.new_output("stream", name=output.name, text=output.text)
    data = {kind: output.data[kind] for kind in TEXT if kind in output.data}
    if set(output.data) - set(TEXT):
        raise InputError(
            f"cell {place}", sorted(output.data), "text alone", "Show the figure in another cell."
        )
    extra = {"execution_count": count} if output.output_type == "execute_result" else {}
    return nbformat.v4.new_output(output.output_type, data=data, metadata={}, **extra)
