"""Arrays in `.npz` files, read without trust."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ecguard.errors import InputError
from ecguard.files import write_atomic


def read_npz(name: str, path: Path | str) -> dict[str, np.ndarray]:
    """All arrays of a `.npz` file.

    Args:
        name: the parameter that the path came from, for the message.
        path: the file.

    Raises:
        InputError: the file is missing, truncated, no `.npz`, or holds pickled objects.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(name, str(path), "the file does not exist", "Give the path of a file.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except ValueError as error:
        # numpy takes bytes that it does not know for a pickle
        if "pickle" not in str(error) or not zipfile.is_zipfile(path):
            raise _unreadable(name, path, error) from error
        raise InputError(
            name,
            str(path),
            "it holds pickled objects, which are never loaded",
            "Save every array with a plain numeric or string dtype.",
        ) from error
    except (OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(name, path, error) from error


def save_npz(path: Path | str, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write arrays to a compressed `.npz` file, whole or not at all."""
    contents = {key: np.asarray(value) for key, value in arrays.items()}
    return write_atomic(
        path, lambda temporary: np.savez_compressed(temporary, allow_pickle=False, **contents)
    )


def finite(name: str, path: Path | str, key: str, array: np.ndarray) -> np.ndarray:
    """`array` as float32, checked to hold finite numbers only.

    Raises:
        InputError: it is not numeric, or holds NaN or an infinity.
    """
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"{name}, key '{key}'", str(path), f"its dtype is {array.dtype}", "Save numbers."
        )
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    bad = int(single.size - np.isfinite(single).sum())
    if bad:
        raise InputError(
            f"{name}, key '{key}'",
            str(path),
            f"{bad} of {single.size} values are NaN or infinite in float32",
            "Remove these rows or write the file again.",
        )
    return single


def _unreadable(name: str, path: Path, error: Exception) -> InputError:
    return InputError(
        name,
        str(path),
        f"it cannot be read as .npz ({type(error).__name__}: {error})",
        "The file is damaged, cut short or of another kind: copy or write it again.",
    )
