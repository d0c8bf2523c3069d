"""The landing page answers from claims, and says nothing where there are none."""

from dataclasses import replace

import pytest

from ecguard.report import answers
from ecguard.report.claims import claim


def made(key, value, op=">=", target=0.0, **rest):
    chapter, _, name = key.partition(".")
    return claim(chapter, name, "Shown.", value, bound={"op": op, "value": target}, **rest)


@pytest.fixture
def claims():
    """All that is asked, in numbers of which each is only once on the page."""
    return {
        answers.FLAGGED: made(answers.FLAGGED, 0.31, interval=(0.25, 0.39), n=201),
        answers.SILENT: made(answers.SILENT, 0.61, "<=", 0.7, interval=(0.54, 0.68), n=202),
        answers.CAUGHT: made(answers.CAUGHT, 0.97, interval=(0.94, 0.99), n=301),
        answers.LIMIT: made(answers.LIMIT, 29.47, interval=(26.4, 32.5), n=431),
        answers.RISK: made(answers.RISK, -0.125, "<", 0.0, interval=(-0.149, -0.104), n=302),
        answers.COST: made(answers.COST, -1.98, "<", 0.0, unit="s", interval=(-6.25, 2.27), n=303),
        answers.UNSEEN: made(answers.UNSEEN, 125, "==", 0, n=160),
        answers.UNSEEN_DESIGNED: made(answers.UNSEEN_DESIGNED, 5, "==", 0, n=12),
    }


def paragraphs(claims):
    return answers.answers_page(claims).strip().split("\n\n")


def test_every_number_links_to_its_claim_with_interval_and_cases(claims):
    page = answers.answers_page(claims.values())
    for key, words in {
        answers.FLAGGED: "31%</a> (25% to 39%, 201 cases)",
        answers.SILENT: "61%</a> (54% to 68%, 202 cases)",
        answers.CAUGHT: "97%</a> (94% to 99%, 301 cases)",
        answers.LIMIT: "29.5</a> (26.4 to 32.5, 431 cases)",
        answers.RISK: "-12.5 percentage points</a> (-14.9 to -10.4, 302 cases)",
        answers.COST: "-2.0 s</a> (-6.2 to +2.3, 303 cases)",
        answers.UNSEEN: "125 of 160</a>",
        answers.UNSEEN_DESIGNED: "5 of 12</a>",
    }.items():
        assert f'<a href="claims.html#{key}">{words}' in page
    assert "other failures were not tried" in page
    assert "coverage of 0.78" in page


def test_words_follow_the_verdicts(claims):
    trust, escalate, _ = paragraphs(claims.values())
    assert "one trace?** Yes, as far as fouling goes: of" in trust
    assert "; it helps." in escalate
    assert ": cheaper." in escalate
    assert "by a factor of <a" in escalate
    unreached = replace(claims[answers.LIMIT], note="The ratio is at least this.")
    _, escalate, _ = paragraphs({**claims, answers.LIMIT: unreached}.values())
    assert "by a factor of at least <a" in escalate
    failed = [replace(own, passed=False) for own in claims.values()]
    trust, escalate, _ = paragraphs(failed)
    assert "one trace?** No: of" in trust
    assert "; that it helps is not shown." in escalate
    assert ": not shown to be cheaper." in escalate


@pytest.mark.parametrize("missing", [answers.FLAGGED, answers.SILENT])
def test_one_number_of_two_is_no_yes(claims, missing):
    del claims[missing]
    trust = paragraphs(claims.values())[0]
    assert "one trace?** No: of" in trust
    assert trust.count("claims.html") == 1


@pytest.mark.parametrize("how", ["gone", "not computed"])
def test_what_was_not_computed_is_left_out(claims, how):
    whole = answers.answers_page(claims.values())
    for key in claims:
        rest = {other: own for other, own in claims.items() if other != key}
        if how == "not computed":
            rest[key] = made(key, None)
        page = answers.answers_page(rest.values())
        assert key not in page
        assert page.count("claims.html") == whole.count("claims.html") - 1
    assert "not tried" not in answers.answers_page([claims[answers.UNSEEN]])
    assert answers.answers_page([made("tiny.cases", 6)]) == ""
