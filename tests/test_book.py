"""What a strict build of the book does not see."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml

LOADED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "link": ("href",),
}
NOT_LOADED = {"next", "prev", "canonical", "author", "index", "search"}
REMOTE = re.compile(r"(https?:)?//")


class Page(HTMLParser):
    """Addresses that a page loads and links, its identifiers, and its images' alternative texts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.mute_images: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and set(given.get("rel", "").split()) & NOT_LOADED:
            return
        self.loads += [given[name] for name in LOADED.get(tag, ()) if given.get(name)]
        if tag == "img" and not given.get("alt"):
            self.mute_images.append(given.get("src", ""))


@pytest.fixture(scope="module")
def toc(root):
    """Pages that the table of contents names."""
    content = yaml.safe_load((root / "book" / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [entry["file"] for part in content["parts"] for entry in part["chapters"]]
    return [content["root"], *chapters]


@pytest.fixture(scope="module")
def pages(site):
    return {
        path: Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts
    }


def test_every_page_is_in_the_table_of_contents(root, toc):
    written = {path.stem for path in (root / "book").glob("*.md")}
    chapters = {f"chapters/{path.stem}" for path in (root / "notebooks").glob("*.ipynb")}
    assert sorted(toc) == sorted(written | chapters)


def test_every_entry_of_the_table_of_contents_is_built(site, toc):
    assert [name for name in toc if not (site / f"{name}.html").is_file()] == []


def test_pages_load_nothing_from_elsewhere(site, pages):
    remote = [(path.name, load) for path, page in pages.items() for load in page.loads]
    assert [pair for pair in remote if REMOTE.match(pair[1])] == []
    styles = list(site.rglob("*.css"))
    assert styles
    for path in styles:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"url\(\s*[\"']?(https?:)?//|@import\s+[\"'](https?:)?//", text), path


def test_links_inside_the_report_lead_somewhere(pages):
    dead = []
    for path, page in pages.items():
        for link in {*page.loads, *page.links}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not (parts.path or parts.fragment):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            lost = parts.fragment and target in pages and parts.fragment not in pages[target].ids
            if lost or not target.exists():
                dead.append((path.name, link))
    assert dead == []


def test_tables_are_tables(pages):
    raw = re.compile(r"\|\s*:?(-{3,}|—)-*:?\s*\|")
    assert [path.name for path in pages if raw.search(path.read_text(encoding="utf-8"))] == []


def test_images_say_what_they_show(pages):
    assert [(path.name, image) for path, page in pages.items() for image in page.mute_images] == []


def test_chapters_ran_whole_and_raised_nothing(site, toc):
    book = site.parents[1] / "book"
    for name in (name for name in toc if name.startswith("chapters/")):
        notebook = nbformat.read(book / f"{name}.ipynb", as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
        assert code, f"{name} has no code"
        assert all(cell.execution_count for cell in code), f"{name} has a cell that did not run"
        errors = [o for cell in code for o in cell.outputs if o.output_type == "error"]
        assert errors == [], f"{name} holds an error"


def test_claims_are_on_their_page(site):
    claims = json.loads((site / "appendix" / "claims.json").read_text(encoding="utf-8"))["claims"]
    page = (site / "claims.html").read_text(encoding="utf-8")
    assert claims
    assert [claim["id"] for claim in claims if claim["id"] not in page] == []


def test_payloads_can_be_downloaded(site):
    page = (site / "appendix.html").read_text(encoding="utf-8")
    payloads = sorted((site / "appendix").glob("*.json"))
    assert payloads
    for path in payloads:
        json.loads(path.read_text(encoding="utf-8"))
        assert re.search(rf'href="[^"]*{re.escape(path.name)}"', page), path.name
