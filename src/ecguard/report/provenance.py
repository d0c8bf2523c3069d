"""What a result was made with."""

import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ecguard.report.paths import PACKAGE

PACKAGES = ("ecguard", "jax", "jaxlib", "equinox", "numpy", "scipy", "matplotlib")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git(*arguments: str) -> str | None:
    try:
        run = subprocess.run(
            ["git", "-C", str(PACKAGE), *arguments], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def revision() -> dict[str, Any]:
    """Commit of the package and whether its tree was clean; both None outside git."""
    tracked = _git("ls-files", "--error-unmatch", "__init__.py")
    commit = _git("rev-parse", "HEAD") if tracked else None
    changes = _git("status", "--porcelain") if commit else None
    return {"commit": commit, "clean": None if changes is None else changes == ""}


def provenance(seed: int | None, profile: str, started: float) -> dict[str, Any]:
    """Provenance of a result.

    Args:
        seed: seed of the run, None where nothing is drawn.
        profile: name of the sizes it ran with.
        started: `time.perf_counter()` at its start, s.
    """
    return {
        "versions": versions(),
        **revision(),
        "seed": seed,
        "profile": profile,
        "duration_s": round(time.perf_counter() - started, 1),
        "ended_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "platform": f"{sys.platform} {platform.machine()}",
    }


def provenance_line(record: dict[str, Any]) -> str:
    """One line of text for the end of a chapter."""
    named = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    if record["commit"] is None:
        commit = "not in git"
    else:
        state = {True: "clean tree", False: "changed tree", None: "state unknown"}[record["clean"]]
        commit = f"commit {record['commit'][:12]} ({state})"
    return (
        f"{named}; {commit}; seed {record['seed']}; profile {record['profile']}; "
        f"{record['duration_s']} s; {record['platform']}"
    )
