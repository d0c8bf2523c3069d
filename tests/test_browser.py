"""The pages in a browser with no network: nothing is fetched, formulas show, phones fit."""

import os
import shutil

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
MATH = "span.math, div.math"


@pytest.fixture(scope="module")
def browser():
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, filter(None, names)) if path), None)
    if found is None:
        pytest.skip("no chromium on this machine: install it, or name it in CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A page that refuses the network and keeps a list of what went wrong."""
    context = browser.new_context(viewport=DESK, offline=True)
    page = context.new_page()
    page.wrong = []

    def request(request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            page.wrong.append(f"asks for {request.url}")

    page.on("request", request)
    page.on("requestfailed", lambda request: page.wrong.append(f"cannot load {request.url}"))
    page.on("pageerror", lambda error: page.wrong.append(f"raises {error}"))
    page.on(
        "console",
        lambda message: page.wrong.append(message.text) if message.type == "error" else None,
    )
    yield page
    context.close()


def html_pages(site):
    found = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    assert found
    return found


def settle(page, path):
    page.goto(path.as_uri(), wait_until="load")
    if page.locator(MATH).count():
        page.evaluate("MathJax.startup.promise.then(() => true)")


def test_nothing_leaves_and_nothing_fails(site, page):
    for path in html_pages(site):
        settle(page, path)
        assert page.wrong == [], path.name


def test_formulas_are_set(site, page):
    seen = 0
    for path in html_pages(site):
        settle(page, path)
        written = page.locator(MATH).count()
        assert page.locator("mjx-container").count() >= written, path.name
        assert page.locator("mjx-merror, [data-mjx-error]").count() == 0, path.name
        seen += written
    assert seen


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_no_page_is_wider_than_the_screen(site, page, size):
    page.set_viewport_size(size)
    for path in html_pages(site):
        settle(page, path)
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{path.name} is {wide} px too wide"


def test_first_column_stays_when_a_wide_table_scrolls(site, page):
    page.set_viewport_size(PHONE)
    settle(page, site / "claims.html")
    scrolled, moved = page.evaluate("""() => {
        const cell = document.querySelector(".bd-article td"), box = cell.closest("div");
        const before = cell.getBoundingClientRect().left;
        box.scrollLeft = 100;
        return [box.scrollLeft, Math.abs(cell.getBoundingClientRect().left - before)];
    }""")
    assert scrolled > 50
    assert moved <= 2


def test_figures_open_in_full_size(site, page):
    for path in html_pages(site):
        settle(page, path)
        assert page.locator(".bd-article img:not(a > img)").count() == 0, path.name
