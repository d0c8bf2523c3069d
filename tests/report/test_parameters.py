"""A wrong name, type or range is an error that says what to do."""

import pytest

from ecguard.errors import InputError
from ecguard.report.parameters import (
    check_namespace,
    check_parameters,
    check_writable,
    declared,
    injected_names,
    parse,
)

from .tiny import write_notebook

KINDS = {
    "n_cases": "Optional[int]",
    "eval_noise_std": "float",
    "keep_probability": "float",
    "n_particles": "int",
    "n_iters": "int",
    "elite_frac": "float",
    "n_mc": "int",
    "n_steps": "int",
    "duration_s": "float",
    "seed": "int",
    "profile": "str",
    "checkpoint": "str",
    "dataset_chunk": "str",
    "out_dir": "str",
    "quick": "bool",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_cases", None),
        ("n_cases", 1),
        ("eval_noise_std", 1),
        ("keep_probability", 1.0),
        ("n_particles", 2),
        ("elite_frac", 1.0),
        ("seed", 0),
        ("profile", "full"),
        ("checkpoint", ""),
        ("quick", True),
    ],
)
def test_usable_value_is_taken(name, value):
    assert check_parameters({name: value}, KINDS) == {name: value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_cases", 0),
        ("n_cases", -3),
        ("n_cases", 6.0),
        ("n_cases", True),
        ("n_cases", "6"),
        ("eval_noise_std", 0.0),
        ("eval_noise_std", -0.05),
        ("eval_noise_std", float("nan")),
        ("eval_noise_std", float("inf")),
        ("eval_noise_std", "0.05"),
        ("eval_noise_std", None),
        ("keep_probability", 0.0),
        ("keep_probability", 1.1),
        ("n_particles", 1),
        ("n_iters", 0),
        ("elite_frac", 0.0),
        ("elite_frac", 1.5),
        ("n_mc", 0),
        ("n_steps", 0),
        ("duration_s", 0),
        ("duration_s", -8.0),
        ("seed", -1),
        ("seed", 1.5),
        ("seed", 2**31),
        ("profile", "quick"),
        ("profile", 1),
        ("checkpoint", "no/such/file.eqx"),
        ("dataset_chunk", "no/such/chunk_0.npz"),
        ("quick", 1),
        ("n_case", 6),
    ],
)
def test_unusable_value_is_named_with_its_remedy(name, value):
    with pytest.raises(InputError, match=name) as caught:
        check_parameters({name: value}, KINDS)
    assert repr(value) in str(caught.value)
    assert not str(caught.value).rstrip().endswith(".."), "a remedy follows"


def test_number_that_yaml_read_as_text_has_a_remedy():
    with pytest.raises(InputError, match=r"1\.0e-3"):
        check_parameters({"eval_noise_std": "1e-3"}, KINDS)


def test_path_is_sought_from_the_base(tmp_path):
    (tmp_path / "surrogate_model.eqx").touch()
    check_parameters({"checkpoint": "surrogate_model.eqx"}, KINDS, tmp_path)


@pytest.mark.parametrize("folder", ["file/below", "/proc/nothing"])
def test_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="out_dir"):
        check_parameters({"out_dir": folder}, KINDS)


def test_probe_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []


def test_names_that_papermill_assigned():
    history = ["", "n = 1", "# Parameters\nn_case = 3\nseed = 1\n", "other = 2"]
    assert injected_names(history) == ("n_case", "seed")


def test_namespace_of_a_notebook():
    space = {"__annotations__": {"seed": int, "n_cases": int | None}, "seed": 1, "n_cases": None}
    assert check_namespace({**space, "In": [""], "later": 3}) == {"seed": 1, "n_cases": None}
    injected = {**space, "n_case": 3, "In": ["", "# Parameters\nn_case = 3"]}
    with pytest.raises(InputError, match="n_case = 3"):
        check_namespace(injected)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("float", "1e-3", 1e-3),
        ("int", "3", 3),
        ("Optional[int]", "None", None),
        ("Optional[int]", "4", 4),
        ("str", "None", "None"),
        ("bool", "False", False),
    ],
)
def test_text_is_read_by_the_declared_type(kind, text, value):
    assert parse("x", text, kind) == value


@pytest.mark.parametrize(("kind", "text"), [("int", "3.5"), ("float", "much"), ("bool", "0")])
def test_text_of_another_type_is_refused(kind, text):
    with pytest.raises(InputError, match=r"x = "):
        parse("x", text, kind)


def test_declared_types_are_read_without_a_kernel(tmp_path):
    parameters = "from typing import Optional\nn: Optional[int] = None  # few\nx: float = 1.0"
    path = write_notebook(tmp_path / "01-a.ipynb", {"parameters": parameters})
    assert declared(path) == {"n": "Optional[int]", "x": "float"}


@pytest.mark.parametrize(
    "cells", [{"start": "1"}, {"parameters": "n = 3"}, {"parameters": "n: list = 3"}]
)
def test_notebook_without_typed_parameters_is_refused(tmp_path, cells):
    with pytest.raises(InputError):
        declared(write_notebook(tmp_path / "01-a.ipynb", cells))
