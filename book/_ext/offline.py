"""MathJax beside the pages, so that formulas show from a folder with no network."""

import importlib.util
import shutil
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

MATHJAX = "mathjax/tex-chtml-full.js"
FONTS = "mathjax/output/chtml/fonts/woff-v2"


def point_to_mathjax(_: Sphinx, config: Config) -> None:
    """Load MathJax from the site's own `_static` folder."""
    config.mathjax_path = MATHJAX


def mathjax_source() -> Path:
    """Folder of the package that carries MathJax 3.

    Raises:
        ExtensionError: the package is not installed.
    """
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    if found is None or found.origin is None:
        raise ExtensionError("sphinx-mathjax-offline is missing: install requirements.lock")
    return Path(found.origin).parent / "static"


def copy_mathjax(app: Sphinx, failure: Exception | None) -> None:
    """Copy MathJax and its fonts to the site's `_static` folder."""
    if failure is not None or app.builder.format != "html":
        return
    source, target = mathjax_source(), Path(app.outdir) / "_static"
    (target / MATHJAX).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / MATHJAX, target / MATHJAX)
    shutil.copytree(source / FONTS, target / FONTS, dirs_exist_ok=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("config-inited", point_to_mathjax)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
