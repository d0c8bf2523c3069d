"""What pages of the book include that is made from claims and payloads."""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecguard.files import sha256
from ecguard.report.claims import Claim, criterion
from ecguard.report.payload import SUFFIX, encode

CRITERIA = (
    "Reliability of in-distribution and stress cases separates measurably.",
    "A threshold rule reaches strong recall on stress cases at controlled false positives.",
    "Representative failure traces are shown and documented.",
)
DESIGNED = ("protocol-design", "escalation")
"""Chapters whose claims are about the designed protocol; all others are about one trace."""
PASS, FAIL, MISSING = "✔ pass", "✘ fail", "– not computed"
LONGEST = 6
HEADER = "| claim | verdict | value | bound | interval | n |\n|---|---|---|---|---|---|\n"


@dataclass(frozen=True)
class Entry:
    """One file of the appendix: its name, SHA-256, size in bytes, and content or description."""

    name: str
    digest: str
    size: int
    content: Any


def escape(text: str) -> str:
    """Text that MyST shows as it is, also in a table."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>()#+-.!|$~^" else c for c in text)


def number(value: float | None, unit: str = "") -> str:
    """A number with four significant digits and its unit."""
    if value is None:
        return "none"
    shown = str(value) if isinstance(value, int) else f"{value:.4g}"
    return escape(f"{shown} {unit}".strip())


def verdict_word(passed: bool) -> str:
    """Symbol and word, so that colour is never needed."""
    return f"**{PASS if passed else FAIL}**"


def bound_words(item: Claim) -> str:
    """The bound of a claim in words."""
    side, op, target = item.bound["on"], item.bound["op"], item.bound["value"]
    sides = {"value": "", "lower": "lower limit ", "upper": "upper limit ", "interval": "interval "}
    if isinstance(target, list | tuple):
        target_words = f"{number(target[0])} to {number(target[1], item.unit)}"
    else:
        target_words = number(target, item.unit)
    sign = {"<=": "≤", ">=": "≥", "==": "="}.get(op, op)
    return f"{sides[side]}{escape(sign)} {target_words}"


def interval_words(item: Claim) -> str:
    """The interval of a claim, or a dash."""
    if item.interval is None:
        return "–"
    return f"{number(item.interval[0])} to {number(item.interval[1], item.unit)}"


def claims_table(claims: Iterable[Claim]) -> str:
    """Table of claims with their notes; each shows its verdict, and links can lead to its row."""
    rows = (
        f'| <span id="{c.id}"></span>{escape(f"{c.text} {c.note}".strip())}'
        f"<br>`{c.id}`, computed in {c.seconds:.1f} s "
        f"| {verdict_word(c.passed)} | {number(c.value, c.unit)} | {bound_words(c)} "
        f"| {interval_words(c)} | {'–' if c.n is None else c.n} |\n"
        for c in claims
    )
    return HEADER + "".join(rows)


def counts(claims: Sequence[Claim]) -> str:
    """How many claims hold."""
    kept = sum(c.passed for c in claims)
    return f"{kept} of {len(claims)} claims hold, {len(claims) - kept} fail."


def verdicts_page(claims: Sequence[Claim], descriptions: Mapping[str, str]) -> str:
    """The three criteria as computed verdicts, to be included in the landing page.

    Args:
        claims: all claims.
        descriptions: what the appendix's figures show, by file name; each is shown once.
    """
    parts, left = [], dict(descriptions)
    for place, text in enumerate(CRITERIA, start=1):
        judged = criterion(claims, place)
        word = _verdicts(judged) if judged else f"**{MISSING}**"
        parts.append(f"**Criterion {place}.** {text} {word}\n")
        if judged:
            parts.append(claims_table(judged))
        names = [name for name in dict.fromkeys(c.figure for c in judged) if name in left]
        parts += [_figure(name, left.pop(name)) for name in names]
    parts.append(f"{counts(claims)}\n")
    return "\n".join(parts)


def _figure(name: str, shown: str) -> str:
    """A figure of the appendix with its description; its width makes it link to the full size."""
    alt = json.dumps(shown, ensure_ascii=False)
    head = f"```{{figure}} /extra/appendix/{name}\n:alt: {alt}\n:width: 100%\n"
    return f"{head}\n{escape(shown)}\n```\n"


def _verdicts(judged: Sequence[Claim]) -> str:
    """One word, or one for each protocol where the designed one is judged too."""
    groups = [
        [c for c in judged if (c.chapter in DESIGNED) is designed] for designed in (False, True)
    ]
    words = [verdict_word(all(c.passed for c in group)) for group in groups if group]
    if not groups[1]:
        return words[0]
    names = ["One trace", "Designed protocol"][-len(words) :]
    return ", ".join(f"{name}: {word}" for name, word in zip(names, words, strict=True)) + "."


def claims_page(claims: Sequence[Claim]) -> str:
    """All claims, by chapter."""
    parts = [
        "Every number that this project promises, computed by the chapters and held against its "
        'bound. The same as JSON: <a href="appendix/claims.json" download>claims.json</a>, '
        'with its <a href="appendix/claims.schema.json">schema</a>.\n',
        f"{counts(claims)}\n",
    ]
    for chapter in dict.fromkeys(c.chapter for c in claims):
        parts.append(f"## {chapter.replace('-', ' ').capitalize()}\n")
        parts.append(claims_table(c for c in claims if c.chapter == chapter))
    return "\n".join(parts)


def shorten(content: Any, longest: int = LONGEST) -> Any:
    """JSON content whose long lists end in a count of what is left out."""
    if isinstance(content, Mapping):
        return {key: shorten(value, longest) for key, value in content.items()}
    if isinstance(content, list):
        kept = [shorten(value, longest) for value in content[:longest]]
        left = len(content) - len(kept)
        return [*kept, f"… {left} more"] if left else kept
    return content


def entry(path: Path) -> Entry:
    """Describe a file of the appendix; a figure by its alternative text."""
    if path.suffix == ".json":
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    else:
        content = description(path)
    return Entry(path.name, sha256(path), path.stat().st_size, content)


def description(path: Path) -> str:
    """Alternative text that `save_figure` stored in a PNG, or ""."""
    from PIL import Image

    with Image.open(path) as image:
        return str(getattr(image, "text", {}).get("Description", ""))


def _link(name: str) -> str:
    return f'<a href="appendix/{html.escape(name)}" download>{html.escape(name)}</a>'


def _facts(item: Entry) -> str:
    return f"{_link(item.name)}, {item.size} bytes, SHA-256 `{item.digest}`"


def appendix_page(entries: Sequence[Entry]) -> str:
    """Every payload shown and downloadable, every figure and schema linked."""
    schemas = [e for e in entries if e.name.endswith(SUFFIX)]
    payloads = [e for e in entries if e.name.endswith(".json") and e not in schemas]
    figures = [e for e in entries if e.name.endswith(".png")]
    parts = ["Long lists are shortened here and complete in the files.\n"]
    for item in payloads:
        schema = item.content.get("$schema", "")
        parts.append(f"## {item.name}\n")
        parts.append(_facts(item) + (f", schema {_link(schema)}" if schema else "") + ".\n")
        shown = encode(shorten(item.content))
        parts.append(f"::::{{dropdown}} Show {item.name}\n```json\n{shown}```\n::::\n")
    parts.append("## Figures\n")
    parts += [f"- {_facts(item)}: {escape(item.content)}" for item in figures]
    parts.append("\n## Schemas\n")
    parts += [f"- {_facts(item)}" for item in schemas]
    return "\n".join(parts) + "\n"
