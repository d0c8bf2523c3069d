"""Numbers that the project promises, each held against its bound."""

import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecguard.errors import InputError

COMPARISONS = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
}
SIDES = ("value", "lower", "upper", "interval")
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Claim:
    """One promised number.

    Args:
        id: `chapter.key`, unique in the report.
        text: what is promised, in one sentence.
        value: what was found; None where it could not be computed.
        unit: its unit, "" for a plain number.
        bound: `{"on": side, "op": comparison, "value": number or pair}`, see `holds`.
        interval: lower and upper limit of `value`, or None.
        n: number of cases behind it, or None.
        passed: whether the bound holds.
        chapter: chapter that computed it.
        seconds: time that took.
        note: words that the verdict adds, such as why a separation is confounded.
        figure: file name of the figure that shows it, or "".
    """

    id: str
    text: str
    value: float | None
    unit: str
    bound: dict[str, Any]
    interval: tuple[float, float] | None
    n: int | None
    passed: bool
    chapter: str
    seconds: float
    note: str = ""
    figure: str = ""


def holds(bound: Mapping[str, Any], value: float | None, interval: Sequence[float] | None) -> bool:
    """Whether a number keeps its bound.

    `on` is the side that is compared: `value` (default), the `lower` or `upper` limit of the
    interval, or the `interval` itself. `op` is one of <=, <, >=, >, ==, or `within` a closed
    range, or, for the interval, `contains` a number. A value that could not be computed fails.

    Raises:
        InputError: the bound is malformed, or is on an interval that is missing.
    """
    side, op, target = bound.get("on", "value"), bound.get("op"), bound.get("value")
    if side not in SIDES or set(bound) - {"on", "op", "value"}:
        allowed = f"keys on ({', '.join(SIDES)}), op and value"
        raise InputError("bound", dict(bound), allowed, "Leave out the others.")
    if value is None:
        return False
    if side == "value":
        return _compare(bound, op, value, target)
    if interval is None:
        raise InputError("interval", None, f"a pair, since the bound is on {side}", "Give one.")
    lower, upper = interval
    if side != "interval":
        return _compare(bound, op, lower if side == "lower" else upper, target)
    if op == "contains" and _is_number(target):
        return _compare(bound, "within", target, interval)
    if op == "within" and _is_pair(target):
        return all(_compare(bound, op, limit, target) for limit in (lower, upper))
    raise InputError("bound", dict(bound), "contains a number, or within a pair", "Write one.")


def _compare(bound: Mapping[str, Any], op: Any, number: Any, target: Any) -> bool:
    if op == "within" and _is_pair(target):
        return bool(target[0] <= number <= target[1])
    if op in COMPARISONS and _is_number(target):
        return bool(COMPARISONS[op](number, target))
    allowed = f"op {', '.join(COMPARISONS)} a number, or within a pair"
    raise InputError("bound", dict(bound), allowed, "Write one.")


def claim(
    chapter: str,
    key: str,
    text: str,
    value: float | None,
    *,
    bound: Mapping[str, Any],
    unit: str = "",
    interval: Sequence[float] | None = None,
    n: int | None = None,
    seconds: float = 0.0,
    note: str = "",
    figure: str = "",
) -> Claim:
    """Hold a number against its bound.

    Args: as `Claim`, whose id is `chapter.key`. The three criteria are judged by the claims whose
    key begins with `criterion-1-`, `criterion-2-` and `criterion-3-`. A value that is not finite
    becomes None and fails; limits that are not finite become None and fail a bound on them.

    Raises:
        InputError: the key is no lower-case-hyphenated name, or the bound is malformed.
    """
    for name, part in (("chapter", chapter), ("key", key)):
        if not NAME.fullmatch(part):
            raise InputError(name, part, "lower-case words joined by hyphens", "Rename it.")
    number = None if value is None or not math.isfinite(value) else _plain(value)
    limits = None
    if interval is not None and all(math.isfinite(limit) for limit in interval):
        limits = (_plain(interval[0]), _plain(interval[1]))
    unlimited = interval is not None and limits is None and bound.get("on", "value") != "value"
    return Claim(
        id=f"{chapter}.{key}",
        text=text,
        value=number,
        unit=unit,
        bound={"on": "value", **bound},
        interval=limits,
        n=None if n is None else int(n),
        passed=holds(bound, None if unlimited else number, limits),
        chapter=chapter,
        seconds=round(float(seconds), 3),
        note=note,
        figure=figure,
    )


def as_record(item: Claim) -> dict[str, Any]:
    """A claim as it is written to JSON."""
    return {
        "id": item.id,
        "text": item.text,
        "value": item.value,
        "unit": item.unit,
        "bound": dict(item.bound),
        "interval": None if item.interval is None else list(item.interval),
        "n": item.n,
        "pass": item.passed,
        "chapter": item.chapter,
        "seconds": item.seconds,
        "note": item.note,
        "figure": item.figure,
    }


def from_record(record: Mapping[str, Any]) -> Claim:
    """A claim as it is read from JSON; whether it passes is computed anew."""
    chapter, _, key = record["id"].partition(".")
    return claim(
        chapter,
        key,
        record["text"],
        record["value"],
        bound=record["bound"],
        unit=record["unit"],
        interval=record["interval"],
        n=record["n"],
        seconds=record["seconds"],
        note=record.get("note", ""),
        figure=record.get("figure", ""),
    )


def collect(payloads: Iterable[Mapping[str, Any]]) -> tuple[Claim, ...]:
    """All claims of the payloads, in their order.

    Raises:
        InputError: two claims share an id.
    """
    found = tuple(from_record(record) for payload in payloads for record in payload["claims"])
    seen: set[str] = set()
    for item in found:
        if item.id in seen:
            raise InputError("claim id", item.id, "unique in the report", "Rename one of the two.")
        seen.add(item.id)
    return found


def criterion(claims: Iterable[Claim], number: int) -> tuple[Claim, ...]:
    """Claims by which a criterion is judged."""
    return tuple(c for c in claims if c.id.partition(".")[2].startswith(f"criterion-{number}-"))


def _is_number(target: object) -> bool:
    return isinstance(target, int | float) and not isinstance(target, bool)


def _is_pair(target: Any) -> bool:
    return isinstance(target, list | tuple) and len(target) == 2 and all(map(_is_number, target))


def _plain(number: Any) -> float | int:
    """Python's number with the shortest digits that tell a numpy scalar apart."""
    if isinstance(number, int):
        return int(number)
    return float(str(number)) if hasattr(number, "dtype") else float(number)
