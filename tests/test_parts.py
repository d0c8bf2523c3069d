"""Results kept in files: made once, read after that, and made anew when anything they need is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ecguard.parts import kept


@dataclass(frozen=True)
class Result:
    """Stands for a rating or a trial."""

    numbers: np.ndarray
    flags: np.ndarray


@dataclass(frozen=True)
class Other:
    """Has other fields."""

    values: np.ndarray


@pytest.fixture
def made() -> list[Result]:
    """Results, in the order in which they were made."""
    return []


@pytest.fixture
def make(made: list[Result]) -> Callable[[], Result]:
    """Makes another result each time."""

    def one() -> Result:
        numbers = np.arange(3.0) + len(made) + 0.1
        made.append(Result(numbers, numbers > 1))
        return made[-1]

    return one


def ask(
    folder: Path | None,
    make: Callable[[], Result],
    name: str = "part",
    digest: str = "c0de" * 16,
    inputs: bytes = b"rows 0 to 9",
) -> Result:
    return kept(folder, name, digest, inputs, Result, make)


def assert_same(found: Result, wanted: Result) -> None:
    for name, values in vars(wanted).items():
        own = getattr(found, name)
        assert own.dtype == values.dtype
        np.testing.assert_array_equal(own, values)


def test_a_result_is_made_once_and_then_read(
    tmp_path: Path, make: Callable[[], Result], made: list[Result]
) -> None:
    folder = tmp_path / "new" / "parts"
    for _ in range(3):
        found = ask(folder, make)
        assert isinstance(found, Result)
        assert_same(found, made[0])
    assert len(made) == 1
    (path,) = folder.iterdir()
    assert path.name.startswith("part-")
    assert path.suffix == ".npz"


def test_without_a_folder_it_is_made_each_time(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], Result],
    made: list[Result],
) -> None:
    monkeypatch.chdir(tmp_path)
    for k in range(3):
        assert ask(None, make) is made[k]
    assert len(made) == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"digest": "0ther" * 16}, {"inputs": b"rows 0 to 8"}], ids=str
)
def test_whatever_it_depends_on_makes_it_anew(
    tmp_path: Path, make: Callable[[], Result], made: list[Result], change: dict
) -> None:
    ask(tmp_path, make)
    assert_same(ask(tmp_path, make, **change), made[1])
    assert len(made) == len(list(tmp_path.iterdir())) == 2
    # and the first is still there
    assert_same(ask(tmp_path, make), made[0])
    assert len(made) == 2


@pytest.mark.parametrize("left", [0, 0.1, 0.5, 0.9])
def test_a_file_cut_short_is_made_anew(
    tmp_path: Path, make: Callable[[], Result], made: list[Result], left: float
) -> None:
    ask(tmp_path, make)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left * len(whole))])
    assert_same(ask(tmp_path, make), made[1])
    # which mends the file
    assert_same(ask(tmp_path, make), made[1])
    assert len(made) == 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_with_other_fields_is_made_anew(
    tmp_path: Path, make: Callable[[], Result], made: list[Result]
) -> None:
    kept(tmp_path, "part", "c0de" * 16, b"rows 0 to 9", Other, lambda: Other(np.zeros(2)))
    assert_same(ask(tmp_path, make), made[0])
    assert_same(ask(tmp_path, make), made[0])
    assert len(made) == len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError, ValueError])
def test_a_computation_that_was_stopped_leaves_no_file(
    tmp_path: Path, make: Callable[[], Result], made: list[Result], stop: type[BaseException]
) -> None:
    def stopped() -> Result:
        raise stop

    with pytest.raises(stop):
        ask(tmp_path, stopped)
    assert not list(tmp_path.iterdir())
    assert_same(ask(tmp_path, make), made[0])


def test_a_failure_of_the_computation_is_not_taken_for_a_damaged_file(tmp_path: Path) -> None:
    calls = []

    def wrong() -> Result:
        calls.append(1)
        raise TypeError("not a number")

    with pytest.raises(TypeError, match="not a number"):
        ask(tmp_path, wrong)
    assert len(calls) == 1
