"""Where checkpoint and dataset chunk come from.

In this order: the parameter that was given, the environment variable, the newest file in a short
list of folders, the built-in default. A path that was given and does not exist is an error.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ecguard.errors import InputError

FOLDERS = ("ecsfm", "data/ecsfm", "artefacts/ecsfm")
"""Searched below the working directory and one folder deeper, all alike: the newest file wins."""

CHECKPOINT_VARIABLE = "ECSFM_CHECKPOINT"
CHUNK_VARIABLE = "ECSFM_DATASET_CHUNK"

Source = Literal["parameter", "environment", "folder", "built-in"]


@dataclass(frozen=True)
class Located:
    """An input file and how it was found.

    Args:
        path: the file, None for the built-in default.
        source: which step of the search found it.
    """

    path: Path | None
    source: Source

    def __str__(self) -> str:
        return f"{self.path} ({self.source})" if self.path else "built-in"


def find_checkpoint(checkpoint: Path | str | None = None, base: Path | str = ".") -> Located:
    """The surrogate's `.eqx` file.

    Args:
        checkpoint: path that was asked for; None or empty to search.
        base: working directory of the search.

    Raises:
        InputError: the path given by parameter or ECSFM_CHECKPOINT is no file.
    """
    return _find("checkpoint", checkpoint, CHECKPOINT_VARIABLE, "surrogate_model.eqx", Path(base))


def find_family_checkpoint(
    family_checkpoint: Path | str | None = None, base: Path | str = "."
) -> Located:
    """A surrogate's `.eqx` file, trained on the built-in family; nothing is searched.

    Args:
        family_checkpoint: path that was asked for; None or empty for the built-in one.
        base: unused, as for the other inputs.

    Raises:
        InputError: the path is no file.
    """
    del base
    return _given_or_built_in("family_checkpoint", family_checkpoint)


def find_amortised_checkpoint(
    amortised_checkpoint: Path | str | None = None, base: Path | str = "."
) -> Located:
    """An amortised posterior's `.eqx` file; nothing is searched.

    Args:
        amortised_checkpoint: path that was asked for; None or empty for the built-in one.
        base: unused, as for the other inputs.

    Raises:
        InputError: the path is no file.
    """
    del base
    return _given_or_built_in("amortised_checkpoint", amortised_checkpoint)


def find_chunk(dataset_chunk: Path | str | None = None, base: Path | str = ".") -> Located:
    """The dataset chunk `chunk_N.npz`.

    Args:
        dataset_chunk: path that was asked for; None or empty to search.
        base: working directory of the search.

    Raises:
        InputError: the path given by parameter or ECSFM_DATASET_CHUNK is no file.
    """
    return _find("dataset_chunk", dataset_chunk, CHUNK_VARIABLE, "chunk_*.npz", Path(base))


def _given_or_built_in(name: str, given: Path | str | None) -> Located:
    if given is None or not str(given):
        return Located(None, "built-in")
    return Located(_existing(name, Path(given)), "parameter")


def _find(name: str, given: Path | str | None, variable: str, pattern: str, base: Path) -> Located:
    if given is not None and str(given):
        return Located(_existing(name, Path(given)), "parameter")
    if os.environ.get(variable):
        return Located(_existing(variable, Path(os.environ[variable])), "environment")
    found = [
        path
        for folder in FOLDERS
        for depth in (pattern, f"*/{pattern}")
        for path in (base / folder).glob(depth)
        if path.is_file()
    ]
    if found:
        return Located(max(found, key=lambda path: (path.stat().st_mtime_ns, path)), "folder")
    return Located(None, "built-in")


def _existing(name: str, path: Path) -> Path:
    if not path.is_file():
        raise InputError(
            name,
            str(path),
            "there is no such file",
            "Correct the path, or leave it empty to search and end at the built-in default.",
        )
    return path
