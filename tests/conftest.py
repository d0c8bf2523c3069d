"""Places that tests share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def site() -> Path:
    """The built report: where `ECGUARD_SITE` points, else the one of `make report`."""
    named = os.environ.get("ECGUARD_SITE")
    folder = Path(named) if named else ROOT / "_build" / "html"
    if not named and not folder.is_dir():
        pytest.skip("no report has been built: run `make report`")
    assert (folder / "index.html").is_file(), f"no report in {folder}"
    return folder
