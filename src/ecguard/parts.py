"""Results that are kept in files as they are done, so that a run that was killed goes on."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from ecguard.errors import InputError
from ecguard.npz import read_npz, save_npz

Part = TypeVar("Part")


def digest_with(digest: str, settings: Any) -> str:
    """Of a digest and of the settings, a dataclass, that results depend on as well."""
    return hashlib.sha256((digest + json.dumps(asdict(settings))).encode()).hexdigest()


def kept(
    folder: Path | None,
    name: str,
    digest: str,
    inputs: bytes,
    kind: type[Part],
    make: Callable[[], Part],
) -> Part:
    """Read a result, or make and keep it; a damaged file is made anew.

    Args:
        folder: of the files; None keeps none.
        name: of the result.
        digest: of the code and settings that it depends on.
        inputs: what else it depends on.
        kind: a dataclass of arrays.
        make: computes it.
    """
    path = place_of(folder, name, digest, inputs)
    found = find(path, kind)
    return keep(path, make()) if found is None else found


def place_of(folder: Path | None, name: str, digest: str, inputs: bytes) -> Path | None:
    """File of a result; the arguments are those of `kept`."""
    own = hashlib.sha256(inputs).hexdigest()[:16]
    return folder / f"{name}-{digest[:16]}-{own}.npz" if folder else None


def find(path: Path | None, kind: type[Part]) -> Part | None:
    """The result in a file, if it is there and undamaged."""
    if path is None:
        return None
    try:
        return kind(**read_npz("part", path))
    except (InputError, TypeError):
        return None


def keep(path: Path | None, found: Part) -> Part:
    """The same result, written to its file."""
    if path is not None:
        save_npz(path, vars(found))
    return found
