"""The order in which inputs are looked for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ecguard.errors import InputError
from ecguard.inputs import (
    CHECKPOINT_VARIABLE,
    CHUNK_VARIABLE,
    FOLDERS,
    Located,
    find_checkpoint,
    find_chunk,
)

Find = Callable[..., Located]
CASES = [
    (find_checkpoint, CHECKPOINT_VARIABLE, "surrogate_model.eqx"),
    (find_chunk, CHUNK_VARIABLE, "chunk_3.npz"),
]
NAMES = {find_checkpoint: "checkpoint", find_chunk: "dataset_chunk"}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CHECKPOINT_VARIABLE, raising=False)
    monkeypatch.delenv(CHUNK_VARIABLE, raising=False)


def put(path: Path, age_s: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    os.utime(path, (1e9 - age_s, 1e9 - age_s))
    return path


@pytest.mark.parametrize(("find", "variable", "file"), CASES)
def test_each_step_goes_before_the_next(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    find: Find,
    variable: str,
    file: str,
) -> None:
    assert find("", tmp_path) == find(None, tmp_path) == Located(None, "built-in")
    found = put(tmp_path / FOLDERS[0] / file)
    assert find("", tmp_path) == Located(found, "folder")
    named = put(tmp_path / "named" / file)
    monkeypatch.setenv(variable, str(named))
    assert find("", tmp_path) == Located(named, "environment")
    given = put(tmp_path / "given" / file)
    assert find(str(given), tmp_path) == Located(given, "parameter")


@pytest.mark.parametrize(("find", "variable", "file"), CASES)
def test_newest_file_of_all_folders_wins(
    tmp_path: Path, find: Find, variable: str, file: str
) -> None:
    for age, folder in enumerate(FOLDERS, start=2):
        put(tmp_path / folder / file, age)
    newest = put(tmp_path / FOLDERS[-1] / "run" / file, age_s=1)
    assert variable not in os.environ
    put(tmp_path / FOLDERS[-1] / "run" / "deeper" / file)
    put(tmp_path / "elsewhere" / file)
    assert find(None, tmp_path).path == newest


@pytest.mark.parametrize(("find", "variable", "file"), CASES)
def test_given_path_never_falls_through(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    find: Find,
    variable: str,
    file: str,
) -> None:
    put(tmp_path / FOLDERS[0] / file)
    for missing in (tmp_path / file, tmp_path):
        with pytest.raises(InputError) as raised:
            find(missing, tmp_path)
        assert raised.value.name == NAMES[find]
    monkeypatch.setenv(variable, str(tmp_path / file))
    with pytest.raises(InputError) as raised:
        find("", tmp_path)
    assert raised.value.name == variable


def test_report_can_say_the_source() -> None:
    assert str(Located(None, "built-in")) == "built-in"
    assert str(Located(Path("a.eqx"), "environment")) == "a.eqx (environment)"
