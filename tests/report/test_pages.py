"""Verdicts and tables say in words what the claims hold."""

import json
from dataclasses import replace

import pytest

from ecguard.report import pages
from ecguard.report.claims import claim


def make(key, value, **rest):
    bound = rest.pop("bound", {"op": ">=", "value": 1})
    return claim("tiny", key, "Cases | kept.", value, bound=bound, **rest)


def test_failing_claim_is_shown_failing():
    table = pages.claims_table([make("good", 2), make("bad", 0, note="Too few.")])
    good, bad = table.splitlines()[2:]
    assert pages.PASS in good
    assert pages.FAIL not in good
    assert pages.FAIL in bad
    assert r"Too few\." in bad


def test_table_survives_what_a_text_holds():
    row = pages.claims_table([make("a", 2)]).splitlines()[2]
    assert row.replace(r"\|", "").count("|") == 7


def test_numbers_come_with_interval_unit_and_count():
    made = make("a", 0.93214, unit="V", interval=(0.9, 0.95), n=300, bound={"op": "<", "value": 2})
    row = pages.claims_table([made]).splitlines()[2]
    for words in (r"0\.9321 V", r"0\.9 to 0\.95 V", "300", r"\< 2 V", "`tiny.a`"):
        assert words in row


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ({"on": "upper", "op": "<=", "value": 0.05}, r"upper limit ≤ 0\.05"),
        ({"on": "interval", "op": "contains", "value": 0.5}, r"interval contains 0\.5"),
        ({"op": "within", "value": [1, 2]}, "within 1 to 2"),
    ],
)
def test_bound_in_words(bound, words):
    assert pages.bound_words(make("a", 1, bound=bound, interval=(0.4, 0.6))) == words


def test_criterion_passes_only_when_all_its_claims_do():
    claims = [make("criterion-1-a", 2), make("criterion-1-b", 0), make("criterion-2-a", 2)]
    first, second, third = (
        line for line in pages.verdicts_page(claims, {}).splitlines() if "Criterion" in line
    )
    assert pages.FAIL in first
    assert pages.PASS in second
    assert pages.MISSING in third


def test_a_criterion_is_judged_for_each_protocol():
    usual, designed = (
        make("criterion-2-a", 0),
        replace(make("criterion-2-b", 2), chapter="protocol-design"),
    )
    both = pages.verdicts_page([usual, designed], {})
    assert f"One trace: **{pages.FAIL}**, Designed protocol: **{pages.PASS}**." in both
    alone = pages.verdicts_page([designed], {})
    assert f"Designed protocol: **{pages.PASS}**." in alone
    assert "One trace" not in alone
    assert "protocol" not in pages.verdicts_page([usual], {})


def test_each_note_stands_in_the_row_of_its_claim():
    notes = {"a": "Confounded: the control is flagged too.", "b": "Even none is too few."}
    claims = [make(f"criterion-1-{key}", 0, note=note) for key, note in notes.items()]
    lines = pages.verdicts_page(claims, {}).splitlines()
    for key, note in notes.items():
        (row,) = [line for line in lines if pages.escape(note) in line]
        assert f"`tiny.criterion-1-{key}`" in row


def test_each_figure_is_shown_once_with_its_description_to_read():
    claims = [make(f"criterion-{place}-a", 2, figure="a.png") for place in (1, 1, 2)]
    claims.append(make("criterion-2-b", 2, figure="lost.png"))
    page = pages.verdicts_page(claims, {"a.png": 'Boxes: "score" of 2 * 3.'})
    assert page.count("a.png") == 1
    assert "lost.png" not in page
    head, _, rest = page.partition("```{figure} /extra/appendix/a.png\n")
    assert "Criterion 2" not in head
    assert rest.startswith(
        ':alt: "Boxes: \\"score\\" of 2 * 3."\n:width: 100%\n\nBoxes: "score" of 2 \\* 3'
    )


def test_row_says_how_long_it_took_and_can_be_linked():
    row = pages.claims_table([make("a", 2, seconds=61.93)]).splitlines()[2]
    assert row.startswith('| <span id="tiny.a"></span>Cases')
    assert "`tiny.a`, computed in 61.9 s |" in row


def test_long_lists_are_shortened_and_still_json():
    shown = pages.shorten({"runs": [{"x": list(range(20))}] * 9, "n": 1})
    assert shown["runs"][0]["x"] == [0, 1, 2, 3, 4, 5, "… 14 more"]
    assert shown["runs"][-1] == "… 3 more"
    assert json.loads(json.dumps(shown)) == shown


def test_appendix_links_each_file_with_schema_and_hash():
    entries = [
        pages.Entry("a.json", "ab" * 32, 12, {"$schema": "chapter.schema.json", "x": 1}),
        pages.Entry("a.png", "cd" * 32, 13, "A curve."),
        pages.Entry("chapter.schema.json", "ef" * 32, 14, {}),
    ]
    page = pages.appendix_page(entries)
    for item in entries:
        assert f'href="appendix/{item.name}"' in page
        assert item.digest in page
    assert '"x": 1' in page
    assert r"A curve\." in page
