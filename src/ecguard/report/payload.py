"""JSON payloads: strict, valid against a schema, written whole, byte-stable for equal content."""

import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource

from ecguard.errors import InputError
from ecguard.files import write_text
from ecguard.report.claims import Claim, as_record
from ecguard.report.paths import SCHEMAS

SUFFIX = ".schema.json"


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in sorted(SCHEMAS.glob(f"*{SUFFIX}"))}


def schema_names() -> tuple[str, ...]:
    """Names by which payloads choose their schema."""
    return tuple(name.removesuffix(SUFFIX) for name in _schemas())


def validate(payload: Mapping[str, Any], schema: str) -> None:
    """Hold plain JSON content against a schema of the package.

    Raises:
        InputError: there is no such schema, or the content does not fit; names the place.
    """
    if schema not in schema_names():
        raise InputError("schema", schema, f"one of {', '.join(schema_names())}", "Choose one.")
    registry: Registry[Any] = Registry().with_resources(
        (name, Resource.from_contents(content)) for name, content in _schemas().items()
    )
    validator = Draft202012Validator(_schemas()[schema + SUFFIX], registry=registry)
    error = best_match(validator.iter_errors(payload))
    if error is not None:
        place = "payload" + "".join(f"[{step!r}]" for step in error.absolute_path)
        raise InputError(place, error.instance, error.message, f"See {schema}{SUFFIX}.")


def plain(value: Any, place: str = "payload") -> Any:
    """Content as JSON knows it: arrays as lists, numpy numbers with their shortest digits.

    Raises:
        InputError: a number is not finite, or a value has no JSON form; names the place.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{place}[{str(key)!r}]") for key, item in value.items()}
    if hasattr(value, "__array__") and np.ndim(value) == 0:
        array = np.asarray(value)
        value = float(str(array)) if array.dtype.kind == "f" else array.item()
    if isinstance(value, list | tuple) or hasattr(value, "__array__"):
        items = value if isinstance(value, list | tuple) else np.asarray(value)
        return [plain(item, f"{place}[{index}]") for index, item in enumerate(items)]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise InputError(place, value, "a finite number", "Write None where there is no number.")
    raise InputError(place, value, "a number, text, bool, None, list, mapping or array", "Convert.")


def encode(content: Any) -> str:
    """Text of plain JSON content; the order of keys is kept."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def save_payload(
    path: Path | str,
    payload: Mapping[str, Any],
    schema: str,
    *,
    claims: Iterable[Claim],
    provenance: Mapping[str, Any],
) -> Path:
    """Write a payload with its claims and provenance.

    Equal content gives equal bytes, but for `provenance` and the seconds of the claims.

    Args:
        path: file to write.
        payload: content; `$schema`, `claims` and `provenance` are added.
        schema: name of its schema, such as `chapter`.
        claims: what the payload promises; may be empty.
        provenance: of `ecguard.report.provenance`.

    Raises:
        InputError: a number is not finite, or the content does not fit its schema.
    """
    content = plain(
        {
            "$schema": schema + SUFFIX,
            **payload,
            "claims": [as_record(item) for item in claims],
            "provenance": provenance,
        }
    )
    validate(content, schema)
    return write_text(path, encode(content))


def load_payload(path: Path | str) -> dict[str, Any]:
    """Read a payload and hold it against the schema that it names.

    Raises:
        InputError: it is no JSON, names no schema or does not fit it.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("payload", str(path), f"readable JSON ({error})", "Run again.") from error
    if not isinstance(content, dict) or "$schema" not in content:
        raise InputError("payload", str(path), "an object with `$schema`", "Use save_payload.")
    validate(content, content["$schema"].removesuffix(SUFFIX))
    return content
