"""Fixtures of the report's tests."""

from pathlib import Path

import pytest

from ecguard.report.paths import Layout

from .tiny import tiny_checkout


@pytest.fixture
def tiny(tmp_path: Path) -> Layout:
    """A checkout whose one chapter takes seconds."""
    return tiny_checkout(tmp_path)
