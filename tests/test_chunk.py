"""Chunks on disk: round trip, the reference's files, and every kind of bad input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecguard.chunk import Chunk, load_chunk, save_chunk
from ecguard.errors import InputError

ROWS, LENGTH, COUPLES, GRID = 5, 12, 2, 3


def arrays() -> dict[str, Any]:
    """The keys of a reference chunk."""
    rng = np.random.default_rng(0)
    return {
        "i": rng.normal(size=(ROWS, LENGTH)).astype(np.float32),
        "e": rng.normal(size=(ROWS, LENGTH)).astype(np.float32),
        "p": rng.normal(size=(ROWS, 7 * COUPLES)).astype(np.float32),
        "ox": rng.random((ROWS, COUPLES * GRID)).astype(np.float32),
        "red": rng.random((ROWS, COUPLES * GRID)).astype(np.float32),
        "task_id": np.array([0, 1, 1, 0, 1], np.int32),
        "stage_id": np.zeros(ROWS, np.int32),
        "aug_id": np.arange(ROWS, dtype=np.int32) % 2,
        "task_names": np.array(["cv", "ca"]),
        "stage_names": np.array(["foundation"]),
        "augmentation_names": np.array(["none", "scaled"]),
    }


def own_arrays() -> dict[str, Any]:
    """With time axis and cell, as our own chunks have."""
    time = np.cumsum(np.ones((ROWS, LENGTH), np.float32), axis=1)
    cell = {key: np.full(ROWS, 0.5, np.float32) for key in ("Ru_ohm", "Cdl_F", "area_cm2")}
    return arrays() | {"t": time} | cell


def written(folder: Path, contents: dict[str, Any]) -> Path:
    path = folder / "chunk_0.npz"
    np.savez(path, **{key: value for key, value in contents.items() if value is not None})
    return path


@pytest.mark.parametrize("contents", [arrays(), own_arrays()])
def test_round_trip(tmp_path: Path, contents: dict[str, Any]) -> None:
    chunk = load_chunk(written(tmp_path, contents))
    again = load_chunk(save_chunk(tmp_path / "again.npz", chunk))
    with np.load(tmp_path / "again.npz", allow_pickle=False) as saved:
        assert set(saved.files) == set(contents)
        for key, value in contents.items():
            np.testing.assert_array_equal(saved[key], value)
    assert again.task_names == ("cv", "ca")
    assert (chunk.rows, chunk.n_samples, chunk.n_couples) == (ROWS, LENGTH, COUPLES)
    assert (chunk.time_s is None) == ("t" not in contents)


def test_ecsfm_chunk(ecsfm_sample: Path) -> None:
    chunk = load_chunk(ecsfm_sample / "chunk_0.npz")
    assert (chunk.rows, chunk.n_samples, chunk.n_couples) == (200, 1024, 5)
    assert chunk.task_names[0] == "cv_reversible"
    assert chunk.time_s is None
    assert chunk.area_cm2 is None


def test_take_keeps_rows_together(tmp_path: Path) -> None:
    chunk = load_chunk(written(tmp_path, own_arrays()))
    part = chunk.take([3, 1])
    assert isinstance(part, Chunk)
    assert part.rows == 2
    assert part.task_names == chunk.task_names
    assert part.time_s is not None
    np.testing.assert_array_equal(part.parameters, chunk.parameters[[3, 1]])
    np.testing.assert_array_equal(part.task_id, [0, 1])


def test_labels_of_augmentation_and_names_may_be_absent(tmp_path: Path) -> None:
    absent = dict.fromkeys(("aug_id", "task_names", "stage_names", "augmentation_names"))
    chunk = load_chunk(written(tmp_path, arrays() | absent))
    np.testing.assert_array_equal(chunk.aug_id, np.zeros(ROWS))
    assert chunk.task_names == ()


def bad(key: str, value: Any) -> Any:
    return pytest.param(key, value, id=f"{key}-{np.shape(value)}")


NAN, LATE = arrays()["i"], own_arrays()["t"]
NAN[2, 3] = np.nan
LATE[0, 5] = LATE[0, 4]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(pytest.param(key, None, id=f"no {key}") for key in ("i", "e", "p", "ox", "task_id")),
        pytest.param("i", NAN, id="NaN"),
        pytest.param("e", np.full((ROWS, LENGTH), 1e39), id="too large for float32"),
        pytest.param("i", np.zeros((0, LENGTH)), id="no rows"),
        pytest.param("i", np.zeros((ROWS, 0)), id="no samples"),
        pytest.param("i", np.array([["a"] * LENGTH] * ROWS), id="text"),
        bad("i", np.zeros(ROWS)),
        bad("e", np.zeros((ROWS - 1, LENGTH))),
        bad("p", np.zeros((ROWS, 13))),
        bad("p", np.zeros((ROWS, 0))),
        bad("ox", np.zeros((ROWS, 5))),
        bad("red", np.zeros((ROWS, 8))),
        bad("task_id", np.zeros(ROWS + 1, int)),
        pytest.param("task_id", np.full(ROWS, 2), id="unknown task"),
        pytest.param("stage_id", np.full(ROWS, -1), id="negative stage"),
        pytest.param("aug_id", np.zeros(ROWS), id="labels that are no integers"),
        pytest.param("task_names", np.zeros(2), id="names that are numbers"),
        pytest.param("t", LATE, id="time that stands still"),
        bad("t", np.zeros((ROWS, 3))),
        pytest.param("Ru_ohm", np.full(ROWS, -1.0), id="negative resistance"),
        pytest.param("area_cm2", np.zeros(ROWS), id="no area"),
    ],
)
def test_bad_key_is_named(tmp_path: Path, key: str, value: Any) -> None:
    path = written(tmp_path, own_arrays() | {key: value})
    with pytest.raises(InputError) as raised:
        load_chunk(path)
    assert raised.value.name == f"dataset_chunk, key '{key}'"
    assert str(path) in str(raised.value)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, arrays() | {"task_names": np.array(["cv", None], dtype=object)})
    with pytest.raises(InputError, match="pickled"):
        load_chunk(path)


@pytest.mark.parametrize("kept", [0.0, 0.4, 0.95])
def test_truncated_file(tmp_path: Path, kept: float) -> None:
    path = written(tmp_path, arrays())
    contents = path.read_bytes()
    path.write_bytes(contents[: int(kept * len(contents))])
    with pytest.raises(InputError, match="dataset_chunk"):
        load_chunk(path)


def test_damaged_array(tmp_path: Path) -> None:
    path = written(tmp_path, arrays())
    contents = bytearray(path.read_bytes())
    place = contents.find(arrays()["i"].tobytes())
    contents[place] ^= 255
    path.write_bytes(contents)
    with pytest.raises(InputError, match="damaged"):
        load_chunk(path)


def test_single_array_file(tmp_path: Path) -> None:
    path = tmp_path / "chunk_0.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="dataset_chunk"):
        load_chunk(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_chunk(tmp_path / "chunk_9.npz")


def test_bytes_of_another_kind_are_called_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "chunk_0.npz"
    path.write_bytes(b"no arrays here" * 99)
    with pytest.raises(InputError, match=r"cannot be read as \.npz"):
        load_chunk(path)
