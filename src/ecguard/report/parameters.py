"""Notebook parameters: a wrong name, type or range is an error before any work."""

import ast
import math
import os
import tempfile
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecguard.errors import InputError
from ecguard.family import TASKS
from ecguard.inputs import (
    Located,
    find_amortised_checkpoint,
    find_checkpoint,
    find_chunk,
    find_family_checkpoint,
)
from ecguard.report.profiles import profile_named

TYPES: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool}
TYPES |= {f"Optional[{name}]": kind | None for name, kind in TYPES.items()}
INJECTED = "# Parameters"


@dataclass(frozen=True)
class Rule:
    """Range of one parameter: `accepts(value)`, in words, and what to do otherwise."""

    accepts: Callable[[Any], bool]
    allowed: str
    remedy: str


def _at_least(least: int, remedy: str) -> Rule:
    return Rule(lambda value: value >= least, f"a whole number >= {least}", remedy)


def _positive(remedy: str) -> Rule:
    return Rule(lambda value: math.isfinite(value) and value > 0, "a finite number > 0", remedy)


def _share(remedy: str) -> Rule:
    return Rule(lambda value: 0 < value <= 1, "a number above 0 and at most 1", remedy)


RULES: Mapping[str, Rule] = {
    "n_cases": _at_least(1, "Ask for one case or more; None takes the profile's number."),
    "n_held_out": _at_least(40, "Fewer may leave a task without cases; None takes the profile's."),
    "n_calibrated": _at_least(20, "Fewer say nothing; None takes the profile's number."),
    "most_couples": Rule(lambda value: value in (1, 2), "1 or 2", "None takes the profile's."),
    "tasks": Rule(
        lambda value: bool(value.split()) and set(value.split()) <= set(TASKS),
        f"some of {' '.join(TASKS)}, with spaces between",
        "None takes the profile's.",
    ),
    "n_calibration": _at_least(1, "5 % takes 135 at 99.9 %, 45 at 90 %; None the profile's."),
    "task": Rule(lambda value: value in TASKS, f"one of {', '.join(TASKS)}", "Take cv."),
    "alpha": Rule(lambda value: 0 < value < 1, "between 0 and 1", "Take 0.05."),
    "delta": Rule(lambda value: 0 < value < 1, "between 0 and 1", "Take 0.001 to 0.1."),
    "n_traces": _at_least(1, "Ask for one trace or more; None takes the profile's number."),
    "scan_rate_V_s": _positive("The family goes from 0.02 to 2 V/s."),
    "initial_theta": Rule(lambda v: 0 <= v <= 1, "from 0 to 1", "The reference takes 0.78."),
    "eval_noise_std": _positive("The reference takes 0.05 mA/cm^2."),
    "keep_probability": _share("The reference keeps each sample with probability 0.4."),
    "min_observed": _at_least(1, "The reference keeps 24 samples or more."),
    "n_particles": _at_least(2, "The reference takes 64."),
    "n_iters": _at_least(1, "The reference takes 4."),
    "elite_frac": _share("The reference takes 0.25."),
    "n_mc": _at_least(1, "The reference takes 2."),
    "n_steps": _at_least(1, "The reference takes 60."),
    "duration_s": _positive("An ECSFM trace lasts 8 s by default."),
    "seed": Rule(
        lambda value: 0 <= value < 2**31, "a whole number from 0 to 2^31 - 1", "Take 2028."
    ),
}
FINDERS: Mapping[str, Callable[..., Located]] = {
    "checkpoint": find_checkpoint,
    "dataset_chunk": find_chunk,
    "family_checkpoint": find_family_checkpoint,
    "amortised_checkpoint": find_amortised_checkpoint,
}


def fits(value: object, kind: Any) -> bool:
    """Whether a value has the annotated type; a whole number is a float, a bool is no number."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return any(fits(value, option) for option in typing.get_args(kind))
    if kind in (None, type(None)):
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(kind, type) or isinstance(value, kind)


def _in_words(kind: Any) -> str:
    return getattr(kind, "__name__", None) if isinstance(kind, type) else str(kind)  # type: ignore[return-value]


def check_type(name: str, value: object, kind: Any) -> None:
    """Hold a value against its annotation.

    Raises:
        InputError: it has another type. Text is never read as a number.
    """
    kind = TYPES.get(kind, object) if isinstance(kind, str) else kind
    if not fits(value, kind):
        remedy = f"Give {_in_words(kind)}."
        if isinstance(value, str) and (fits(1, kind) or fits(1.0, kind)):
            remedy = "Write a number without quotes; YAML reads 1e-3 as text, so write 1.0e-3."
        raise InputError(name, value, f"of type {_in_words(kind)}", remedy)


def check_writable(folder: Path | str) -> None:
    """Try to write where `folder` is or would be made; leaves nothing behind.

    Raises:
        InputError: nothing can be written there.
    """
    place = Path(folder).absolute()
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise InputError(
            "out_dir",
            str(folder),
            f"a folder that can be written ({error.strerror})",
            "Choose one.",
        ) from error


def check_parameters(
    values: Mapping[str, Any], kinds: Mapping[str, Any], base: Path | str = "."
) -> dict[str, Any]:
    """Hold parameters against their declared names, types and ranges.

    Args:
        values: parameters by name.
        kinds: declared types, or their names, by parameter.
        base: folder that relative paths start from.

    Returns:
        `values`, checked.

    Raises:
        InputError: the first that is unknown, of another type or out of range.
    """
    for name, value in values.items():
        if name not in kinds:
            raise InputError(
                name, value, f"one of the parameters {', '.join(kinds)}", "Check its spelling."
            )
        check_type(name, value, kinds[name])
    for name, value in values.items():
        rule = RULES.get(name)
        if rule is not None and value is not None and not rule.accepts(value):
            raise InputError(name, value, rule.allowed, rule.remedy)
        if name == "profile":
            profile_named(value)
        if name in FINDERS:
            FINDERS[name](value and Path(base, value), base)
    if values.get("out_dir"):
        check_writable(values["out_dir"])
    return dict(values)


def injected_names(history: Iterable[str]) -> tuple[str, ...]:
    """Names that papermill assigned, from the sources of the cells run so far."""
    names: list[str] = []
    for source in history:
        if source.startswith(INJECTED):
            names += [
                node.id
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            ]
    return tuple(names)


def check_namespace(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Check the parameters of a running notebook, however it was started.

    Args:
        namespace: `globals()` of the notebook, whose parameters cell annotates each parameter.

    Returns:
        the parameters by name.

    Raises:
        InputError: as `check_parameters`.
    """
    kinds = dict(namespace.get("__annotations__", {}))
    names = [*kinds, *injected_names(namespace.get("In", ()))]
    return check_parameters({name: namespace[name] for name in names}, kinds)


def declared(notebook: Path) -> dict[str, str]:
    """Names of the declared types by parameter, read without running the notebook.

    Raises:
        InputError: it has no parameters cell, or a type that is not one of `TYPES`.
    """
    found = _inspected(notebook)
    for name, parameter in found.items():
        if parameter["inferred_type_name"] not in TYPES:
            raise InputError(
                f"type of {name} in {notebook.name}",
                parameter["inferred_type_name"],
                f"one of {', '.join(TYPES)}",
                "Write `name: type = value  # comment` in the cell tagged `parameters`.",
            )
    if not found:
        raise InputError(
            "notebook", notebook.name, "one with a cell tagged `parameters`", "Tag that cell."
        )
    return {name: parameter["inferred_type_name"] for name, parameter in found.items()}


def defaults(notebook: Path) -> dict[str, Any]:
    """Default values by parameter, read without running the notebook."""
    found = _inspected(notebook)
    return {name: ast.literal_eval(parameter["default"]) for name, parameter in found.items()}


def _inspected(notebook: Path) -> dict[str, dict[str, str]]:
    """What papermill reads of a parameters cell, by name."""
    import papermill

    return dict(papermill.inspect_notebook(str(notebook)))


def parse(name: str, text: str, kind: str) -> Any:
    """Value of a parameter given as text on the command line.

    Raises:
        InputError: the text is no value of that type.
    """
    base = kind.removeprefix("Optional[").removesuffix("]")
    if base != kind and text == "None":
        return None
    readers: dict[str, Callable[[str], Any]] = {
        "int": int,
        "float": float,
        "str": str,
        "bool": {"True": True, "False": False}.__getitem__,
    }
    try:
        return readers[base](text)
    except (KeyError, ValueError) as error:
        raise InputError(name, text, f"of type {kind}", "Correct the value.") from error
