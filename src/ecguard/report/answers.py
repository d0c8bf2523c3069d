"""What a reader asks first, answered by claims."""

from collections.abc import Iterable, Mapping

from ecguard.report.claims import Claim

FLAGGED = "guardrail.criterion-2-one-voltammogram"
SILENT = "failure-catalogue.criterion-2-silent-biofouling"
CAUGHT = "protocol-design.criterion-2-designed-protocol"
LIMIT = "protocol-design.detection-limit"
RISK = "escalation.criterion-2-policy-risk"
COST = "escalation.criterion-2-cheaper-than-escalating"
UNSEEN = "failure-catalogue.criterion-3-undetectable"
UNSEEN_DESIGNED = "protocol-design.criterion-3-designed-undetectable"


def answers_page(claims: Iterable[Claim]) -> str:
    """Three answers, to be included in the landing page; what was not computed is left out."""
    known = {c.id: c for c in claims if c.value is not None}
    answers = (one_trace(known), escalation(known), unseen(known))
    return "\n".join(f"{answer}\n" for answer in answers if answer)


def one_trace(known: Mapping[str, Claim]) -> str:
    """Whether one trace shows fouling."""
    words = {
        FLAGGED: "one trace flags {}",
        SILENT: "{} are accepted with a wrong posterior, and nothing warns",
    }
    said = [text.format(measured(known[key], ".0%")) for key, text in words.items() if key in known]
    if not said:
        return ""
    word = "Yes, as far as fouling goes" if hold(known, FLAGGED, SILENT) else "No"
    return f"**Can I trust it from one trace?** {word}: of {_fouled()}, {'; '.join(said)}."


def escalation(known: Mapping[str, Claim]) -> str:
    """When to measure more, and what that changes."""
    said = []
    if CAUGHT in known:
        rate = measured(known[CAUGHT], ".0%")
        said.append(f"The designed protocol flags {rate} of {_fouled()}.")
    if LIMIT in known:
        # a limit that one trace does not reach bounds the ratio from below
        least = "at least " if "at least" in known[LIMIT].note else ""
        ratio = measured(known[LIMIT], ".3g")
        said.append(f"The detection limit falls by a factor of {least}{ratio}.")
    if RISK in known:
        points = measured(known[RISK], "+.1f", 100, " percentage points")
        said.append(f"Beside never escalating, undetected failures change by {points}.")
    if COST in known:
        word = "cheaper" if known[COST].passed else "not shown to be cheaper"
        seconds = measured(known[COST], "+.1f", unit=" s")
        said.append(f"Beside always escalating, a trace's cost changes by {seconds}: {word}.")
    if not said:
        return ""
    word = "it helps" if hold(known, CAUGHT, RISK) else "that it helps is not shown"
    when = f"When the score of one trace is low; {word}."
    return " ".join(["**When do I escalate, and does it help?**", when, *said])


def unseen(known: Mapping[str, Claim]) -> str:
    """What each protocol does not show to be flagged more often than not."""
    said = []
    if UNSEEN in known:
        said.append(f"By one trace, {counted(known[UNSEEN])} failures and severities.")
    if UNSEEN_DESIGNED in known:
        said.append(
            f"By the designed protocol, {counted(known[UNSEEN_DESIGNED])} coverages of fouling; "
            "other failures were not tried with it."
        )
    if not said:
        return ""
    meaning = "*Unseen* is what is not shown to be flagged more often than not."
    return " ".join(["**What stays unseen?**", *said, meaning])


def hold(known: Mapping[str, Claim], *keys: str) -> bool:
    """Whether all of these claims were computed and hold."""
    return all(key in known and known[key].passed for key in keys)


def measured(item: Claim, form: str, scale: int = 1, unit: str = "") -> str:
    """The value of a claim, linked to its row, with its interval and its number of cases."""
    value, *limits = (f"{scale * x:{form}}" for x in (item.value or 0, *(item.interval or ())))
    cases = [f"{item.n} cases"] if item.n else []
    behind = ", ".join([*([" to ".join(limits)] if limits else []), *cases])
    return _linked(item, f"{value}{unit}") + (f" ({behind})" if behind else "")


def counted(item: Claim) -> str:
    """The value of a claim that counts some of its cases, linked to its row."""
    return _linked(item, f"{item.value:g} of {item.n}")


def _linked(item: Claim, words: str) -> str:
    return f'<a href="claims.html#{item.id}">{words}</a>'


def _fouled() -> str:
    from ecguard.stress import Biofouling

    return f"electrodes fouled to a coverage of {Biofouling.full:g}"
