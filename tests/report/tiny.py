"""A checkout with one tiny chapter."""

from pathlib import Path

import nbformat

from ecguard.report.notebooks import CHECKED
from ecguard.report.paths import Layout

PARAMETERS = """\
from typing import Optional

profile: str = "smoke"  # smoke, standard or full
out_dir: str = ""  # folder to write to
seed: int = 7  # seed of what is drawn
n_cases: Optional[int] = None  # None takes the profile's number
eval_noise_std: float = 0.05  # mA/cm^2
"""
START = """\
from ecguard.report import figures
from ecguard.report.chapter import start

chapter = start("tiny", globals())
n_cases = chapter.parameters["n_cases"]
"""
HEADLINE = "n_cases * 7"
FIGURE = """\
chapter.figure(
    figures.groups_figure({"a": range(n_cases)}, "number / 1"), "tiny.png", alt="Six points rise."
)
"""
CLAIMS = """\
claims = [
    chapter.claim(
        "criterion-1-cases", "There are cases.", n_cases, bound={"op": ">=", "value": 1}, n=n_cases
    ),
    chapter.claim("too-few", "There are 1000 | more.", n_cases, bound={"op": ">", "value": 1000}),
]
chapter.save("tiny.json", {"numbers": list(range(n_cases))}, claims)
"""
CONFIG = """\
title: Tiny
only_build_toc_files: true
exclude_patterns: [generated, extra]
execute: {execute_notebooks: "off"}
sphinx: {config: {html_extra_path: [extra]}}
"""
PAGES = {
    "_toc.yml": "format: jb-book\nroot: index\nchapters:\n- file: chapters/01-tiny\n"
    "- file: claims\n- file: appendix\n",
    "index.md": "# Tiny\n\n```{include} generated/answers.md\n```\n\n"
    "```{include} generated/verdicts.md\n```\n",
    "claims.md": "# Claims\n\n```{include} generated/claims.md\n```\n",
    "appendix.md": "# Appendix\n\n```{include} generated/appendix.md\n```\n",
}


def write_notebook(path: Path, sources: dict[str, str]) -> Path:
    """A notebook of code cells; a key that begins with `parameters` or `checked` is a tag."""
    cells = [nbformat.v4.new_markdown_cell("# Tiny chapter")]
    for key, source in sources.items():
        tags = {"parameters": ["parameters"], "checked": [CHECKED]}.get(key, [])
        cells.append(nbformat.v4.new_code_cell(source.strip(), metadata={"tags": tags}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def tiny_checkout(root: Path) -> Layout:
    """A checkout whose one chapter takes seconds."""
    layout = Layout(root)
    write_notebook(
        layout.notebooks / "01-tiny.ipynb",
        {
            "parameters": PARAMETERS,
            "start": START,
            "checked": HEADLINE,
            "figure": FIGURE,
            "claims": CLAIMS,
            "end": "chapter.provenance()",
        },
    )
    layout.book.mkdir()
    layout.config.write_text(CONFIG)
    for name, text in PAGES.items():
        (layout.book / name).write_text(text)
    return layout
