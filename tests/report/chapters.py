"""Chapters that have just begun, for tests of what their cells call."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecguard.report.chapter import Chapter
from ecguard.report.profiles import profile_named


def chapter_in(
    folder: Path, name: str, profile: str = "smoke", parameters: Mapping[str, Any] | None = None
) -> Chapter:
    """A chapter that writes to a folder."""
    return Chapter(
        name=name,
        parameters=parameters or {},
        profile=profile_named(profile),
        seed=1,
        out_dir=folder,
        started=time.perf_counter(),
    )
