"""Every path that the report reads or writes."""

from dataclasses import dataclass
from pathlib import Path

from ecguard.errors import InputError

SCHEMAS = Path(__file__).parent / "schemas"
PACKAGE = Path(__file__).parent.parent


def chapter_name(notebook: Path) -> str:
    """Name of a chapter: `04-failure-modes.ipynb` holds `failure-modes`."""
    return notebook.stem.lstrip("0123456789").lstrip("-")


@dataclass(frozen=True)
class Layout:
    """Folders of a checkout.

    Sphinx copies the contents of `extra` to the root of the site (`html_extra_path: ["extra"]`),
    so that `appendix` is found there under the same name.

    Args:
        root: folder that holds `notebooks` and `book`.
    """

    root: Path

    @property
    def notebooks(self) -> Path:
        """Source notebooks."""
        return self.root / "notebooks"

    @property
    def sources(self) -> tuple[Path, ...]:
        """Source notebooks in the order of their numbers."""
        return tuple(sorted(self.notebooks.glob("[0-9]*.ipynb")))

    @property
    def book(self) -> Path:
        """Sources of the book."""
        return self.root / "book"

    @property
    def config(self) -> Path:
        """Settings of the book."""
        return self.root / "_config.yml"

    @property
    def chapters(self) -> Path:
        """Executed notebooks and their stamps."""
        return self.book / "chapters"

    @property
    def extra(self) -> Path:
        """Folder whose contents go to the root of the site."""
        return self.book / "extra"

    @property
    def appendix(self) -> Path:
        """Payloads, figures, claims and schemas."""
        return self.extra / "appendix"

    @property
    def claims(self) -> Path:
        """All claims of the report."""
        return self.appendix / "claims.json"

    @property
    def generated(self) -> Path:
        """What pages include that is made from the claims and payloads."""
        return self.book / "generated"

    @property
    def build(self) -> Path:
        """Parent of the site."""
        return self.root / "_build"

    @property
    def html(self) -> Path:
        """The site."""
        return self.build / "html"

    @property
    def index(self) -> Path:
        """The page to open."""
        return self.html / "index.html"

    @property
    def book_stamp(self) -> Path:
        """Hash of what the site was built from."""
        return self.build / "book.sha256"

    @property
    def book_work(self) -> Path:
        """Where a site grows until it is whole."""
        return self.build / "unfinished"

    def executed(self, notebook: Path) -> Path:
        """Executed twin of a source notebook."""
        return self.chapters / notebook.name

    def stamp(self, notebook: Path) -> Path:
        """Record of what an executed notebook was made from."""
        return self.chapters / f"{notebook.stem}.stamp.json"

    def unfinished(self, notebook: Path) -> Path:
        """A notebook while it runs, and after it failed."""
        return self.root / "build" / "report" / notebook.name

    def staging(self, notebook: Path) -> Path:
        """Folder a chapter writes to before its files are published."""
        return self.root / "build" / "report" / notebook.stem

    @property
    def parts(self) -> Path:
        """Parts of long studies that are done, for a run that goes on."""
        return self.root / "build" / "parts"

    def default_out_dir(self, chapter: str) -> Path:
        """Where a notebook writes when it is run on its own."""
        return self.root / "build" / chapter


def find_root(start: Path | None = None) -> Path | None:
    """Nearest folder at or above `start` that holds `notebooks` and `book`, or None."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "notebooks").is_dir() and (folder / "book").is_dir():
            return folder
    return None


def checkout(start: Path | None = None) -> Layout:
    """Layout of the checkout around `start`.

    Raises:
        InputError: there is none.
    """
    root = find_root(start)
    if root is None:
        raise InputError(
            "root",
            str(start or Path.cwd()),
            "a folder inside a checkout of ecguard, which holds `notebooks` and `book`",
            "Change into the checkout, or name it with --root.",
        )
    return Layout(root)
