"""A dataset chunk: traces, the parameters they were made with, and their labels."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecguard.errors import InputError
from ecguard.npz import finite, read_npz, save_npz

ENTRIES_PER_COUPLE = 7
_FILE_KEYS = {
    "current_mA_cm2": "i",
    "potential_V": "e",
    "parameters": "p",
    "ox_mM": "ox",
    "red_mM": "red",
    "task_id": "task_id",
    "stage_id": "stage_id",
    "aug_id": "aug_id",
    "task_names": "task_names",
    "stage_names": "stage_names",
    "augmentation_names": "augmentation_names",
    "time_s": "t",
    "Ru_ohm": "Ru_ohm",
    "Cdl_F": "Cdl_F",
    "area_cm2": "area_cm2",
}
_NUMBERS = ("i", "e", "p", "ox", "red")
_LABELS = {
    "task_id": "task_names",
    "stage_id": "stage_names",
    "aug_id": "augmentation_names",
}
_OPTIONAL_NUMBERS = ("t", "Ru_ohm", "Cdl_F", "area_cm2")


@dataclass(frozen=True)
class Chunk:
    """Rows of a dataset. File keys follow the reference's, in brackets.

    Args:
        current_mA_cm2: current densities [rows, L] (i).
        potential_V: applied potentials [rows, L] (e).
        parameters: ln D_ox, ln D_red, C_ox, C_red, E0, ln k0, alpha, each m long [rows, 7 m] (p).
        ox_mM, red_mM: final concentration profiles, couple after couple [rows, m nx] (ox, red).
        task_id, stage_id, aug_id: labels [rows]; aug_id 0 is an original row.
        task_names, stage_names, augmentation_names: vocabularies, empty when unknown.
        time_s: time axes [rows, L] (t), None in a reference chunk.
        Ru_ohm, Cdl_F, area_cm2: the cell [rows], None in a reference chunk.
    """

    current_mA_cm2: NDArray[np.float32]
    potential_V: NDArray[np.float32]
    parameters: NDArray[np.float32]
    ox_mM: NDArray[np.float32]
    red_mM: NDArray[np.float32]
    task_id: NDArray[np.int32]
    stage_id: NDArray[np.int32]
    aug_id: NDArray[np.int32]
    task_names: tuple[str, ...]
    stage_names: tuple[str, ...]
    augmentation_names: tuple[str, ...]
    time_s: NDArray[np.float32] | None = None
    Ru_ohm: NDArray[np.float32] | None = None
    Cdl_F: NDArray[np.float32] | None = None
    area_cm2: NDArray[np.float32] | None = None

    @property
    def rows(self) -> int:
        """Number of traces."""
        return self.current_mA_cm2.shape[0]

    @property
    def n_samples(self) -> int:
        """Samples L of a trace."""
        return self.current_mA_cm2.shape[1]

    @property
    def n_couples(self) -> int:
        """Redox couples m of a parameter row."""
        return self.parameters.shape[1] // ENTRIES_PER_COUPLE

    def take(self, indices: ArrayLike) -> "Chunk":
        """The rows `indices`, in that order."""
        rows = np.asarray(indices)
        chosen: dict[str, Any] = {name: value[rows] for name, value in _arrays(self)}
        return replace(self, **chosen)


def load_chunk(path: Path | str) -> Chunk:
    """Read a chunk; `aug_id` and the vocabularies may be absent, as time axis and cell may.

    Raises:
        InputError: the file is missing or damaged, lacks a key, holds pickled objects, NaN or no
            rows, or its arrays do not fit each other.
    """
    arrays = read_npz("dataset_chunk", path)
    for key in (*_NUMBERS, "task_id", "stage_id"):
        if key not in arrays:
            raise _bad(path, key, "the key is missing", f"Its keys are {sorted(arrays)}.")
    arrays.setdefault("aug_id", np.zeros(arrays["task_id"].shape, np.int32))
    for key in (*_NUMBERS, *_OPTIONAL_NUMBERS):
        if key in arrays:
            arrays[key] = finite("dataset_chunk", path, key, arrays[key])
    _check_shapes(path, arrays)
    names = {key: _names(path, key, arrays) for key in _LABELS.values()}
    for key, vocabulary in _LABELS.items():
        arrays[key] = _labels(path, key, arrays[key], len(names[vocabulary]))
    _check_values(path, arrays)
    contents: dict[str, Any] = {
        field: names.get(key, arrays.get(key)) for field, key in _FILE_KEYS.items()
    }
    return Chunk(**contents)


def save_chunk(path: Path | str, chunk: Chunk) -> Path:
    """Write `chunk` with the reference's keys, whole or not at all."""
    arrays = {_FILE_KEYS[name]: value for name, value in _arrays(chunk)}
    vocabularies = {key: np.asarray(getattr(chunk, key), dtype=np.str_) for key in _LABELS.values()}
    return save_npz(path, arrays | vocabularies)


def _arrays(chunk: Chunk) -> Iterator[tuple[str, np.ndarray]]:
    for field in fields(chunk):
        value = getattr(chunk, field.name)
        if isinstance(value, np.ndarray):
            yield field.name, value


def _check_shapes(path: Path | str, arrays: dict[str, np.ndarray]) -> None:
    for key in (*_NUMBERS, *_LABELS, *_OPTIONAL_NUMBERS):
        axes = 2 if key in (*_NUMBERS, "t") else 1
        if key in arrays and arrays[key].ndim != axes:
            raise _bad(path, key, f"its shape is {arrays[key].shape}, {axes} axes are needed")
    rows, length = arrays["i"].shape
    if rows == 0 or length < 2:
        raise _bad(path, "i", f"its shape is {(rows, length)}: traces of two samples are needed")
    width = arrays["p"].shape[1]
    if width == 0 or width % ENTRIES_PER_COUPLE:
        raise _bad(path, "p", f"{width} columns are no multiple of {ENTRIES_PER_COUPLE}")
    profile = arrays["ox"].shape[1]
    if profile % (width // ENTRIES_PER_COUPLE):
        raise _bad(path, "ox", f"{profile} columns do not divide among the couples of key 'p'")
    expected = {"i": (rows, length), "e": (rows, length), "t": (rows, length)}
    expected |= {"p": (rows, width), "ox": (rows, profile), "red": (rows, profile)}
    for key in (*_NUMBERS, *_LABELS, *_OPTIONAL_NUMBERS):
        if key in arrays and arrays[key].shape != expected.get(key, (rows,)):
            raise _bad(
                path,
                key,
                f"its shape is {arrays[key].shape}, key 'i' asks for {expected.get(key, (rows,))}",
            )


def _check_values(path: Path | str, arrays: dict[str, np.ndarray]) -> None:
    if "t" in arrays and (np.diff(arrays["t"], axis=1) <= 0).any():
        raise _bad(path, "t", "time does not increase along every trace")
    for key, lowest in (("Ru_ohm", "0 or more"), ("Cdl_F", "0 or more"), ("area_cm2", "positive")):
        if key in arrays and (
            arrays[key].min() < 0 or (key == "area_cm2" and not arrays[key].all())
        ):
            raise _bad(path, key, f"every value must be {lowest}")


def _names(path: Path | str, key: str, arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    names = arrays.get(key, np.zeros(0, np.str_))
    if names.ndim != 1 or (names.size and names.dtype.kind not in "US"):
        raise _bad(path, key, f"a list of names is needed, not {names.dtype} {names.shape}")
    return tuple(str(name) for name in names.astype(np.str_))


def _labels(path: Path | str, key: str, ids: np.ndarray, known: int) -> NDArray[np.int32]:
    if ids.dtype.kind not in "iu":
        raise _bad(path, key, f"whole numbers are needed, not {ids.dtype}")
    if ids.min() < 0 or (known and ids.max() >= known):
        raise _bad(path, key, f"labels run from {ids.min()} to {ids.max()}, {known} are named")
    return ids.astype(np.int32)


def _bad(
    path: Path | str, key: str, why: str, remedy: str = "Write the chunk again."
) -> InputError:
    return InputError(f"dataset_chunk, key '{key}'", str(path), why, remedy)
