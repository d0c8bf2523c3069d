"""A fitted guardrail: its verdicts, its file, and the traces that it refuses."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecguard.diagnostics import Familiarity
from ecguard.errors import InputError
from ecguard.guardrail import (
    BlindSpot,
    CertifiedGuardrail,
    CombinedScore,
    FittedGuardrail,
    ValidFor,
    load_guardrail,
    quarters,
)

NAMES = ("a", "b", "c")
N = 120
L = 64
CHECKPOINT = "0123456789abcdef"
PROVENANCE = {"seed": 5, "commit": "0123abc"}


class Traces:
    """Waveforms of clean calibration traces, stored as the family stores its own."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        duration, height = rng.uniform(2, 9, N), rng.uniform(0.2, 0.6, N)
        self.time_s = (duration[:, None] * np.linspace(0, 1, L)).astype(np.float32)
        self.E_V = (height[:, None] * np.sin(np.linspace(0, 6, L))).astype(np.float32)
        self.current = rng.uniform(1, 4, N)[:, None] * np.cos(np.linspace(0, 6, L))
        self.observed = rng.random((N, L)) < 0.4
        self.noise_std = np.full(N, 0.05, np.float32)

    def valid_for(self) -> ValidFor:
        """Their ranges."""
        time, shown = self.time_s[:, -1] - self.time_s[:, 0], self.observed.mean(axis=1)
        swing = np.ptp(self.current, axis=1)
        return ValidFor(
            task="tone",
            n_samples=L,
            n_couples=1,
            noise_std=0.05,
            checkpoint=CHECKPOINT,
            duration_s=(float(time.min()), float(time.max())),
            potential_V=(float(self.E_V.min()), float(self.E_V.max())),
            observed_share=(float(shown.min()), float(shown.max())),
            swing_mA_cm2=(float(swing.min()), float(swing.max())),
            quarters_V=tuple(
                (float(own.min()), float(own.max())) for own in quarters(self.E_V.astype(float))
            ),
            steps=(),
        )

    def arguments(self) -> dict[str, Any]:
        """Of `ValidFor.check`."""
        return {"task": "tone", "n_couples": 1, "checkpoint": CHECKPOINT} | {
            name: values.copy() for name, values in vars(self).items()
        }


TRACES = Traces()
RNG = np.random.default_rng(0)
CLEAN, FAULTY = RNG.standard_normal((2, N, 3))
NEW = np.concatenate([RNG.standard_normal((50, 3)), 5 + RNG.standard_normal((50, 3))])


@pytest.fixture(scope="module")
def guardrail() -> FittedGuardrail:
    rng = np.random.default_rng(1)
    score = CombinedScore.fit(NAMES, rng.standard_normal((200, 3)), FAULTY + 2)
    familiarity = Familiarity.fit(rng.standard_normal((40, 6)), components=4)
    found = FittedGuardrail.fit(score, CLEAN, familiarity, TRACES.valid_for())
    return replace(found, undetectable=(BlindSpot("a film", (0.1, 0.5), "of the area", 0.2),))


@pytest.fixture
def path(guardrail: FittedGuardrail, tmp_path: Path) -> Path:
    return guardrail.save(tmp_path / "guardrail.json", PROVENANCE)


def plain_score() -> CombinedScore:
    """Minus asinh of the only diagnostic."""
    return CombinedScore(("a",), (0.0,), (1.0,), (1.0,), 0.0)


def fitted(clean: np.ndarray) -> FittedGuardrail:
    """Calibrated on one diagnostic of clean cases [n]."""
    familiarity = Familiarity(np.zeros(1), np.ones((1, 1)), 1.0)
    return FittedGuardrail.fit(plain_score(), clean[:, None], familiarity, TRACES.valid_for())


def test_ranges_of_calibration_traces_have_a_little_room() -> None:
    seen = (TRACES.time_s, TRACES.E_V, TRACES.current, TRACES.observed)
    found = ValidFor.around("tone", *seen, 0.05, CHECKPOINT, ("a scan",))
    tight = TRACES.valid_for()
    assert (found.task, found.n_samples, found.n_couples, found.noise_std) == ("tone", L, 1, 0.05)
    assert (found.checkpoint, found.steps) == (CHECKPOINT, ("a scan",))
    names = ("duration_s", "potential_V", "observed_share")
    pairs = [(getattr(found, name), getattr(tight, name)) for name in names]
    for (low, high), (least, most) in (
        *pairs,
        *zip(found.quarters_V, tight.quarters_V, strict=True),
    ):
        assert low <= least <= most <= high
        assert low > least - 0.3 * (most - least) - 1e-6
        assert high < most + 0.3 * (most - least) + 1e-6
    found.check(**TRACES.arguments(), steps=("a scan",))


@pytest.mark.parametrize(
    ("factor", "allowed"), [(0.3, True), (3.0, True), (1e-3, False), (1e3, False)]
)
def test_a_current_in_another_unit_is_refused_and_a_weak_one_is_not(
    factor: float, allowed: bool
) -> None:
    seen = (TRACES.time_s, TRACES.E_V, TRACES.current, TRACES.observed)
    found = ValidFor.around("tone", *seen, 0.05, CHECKPOINT)
    given = TRACES.arguments() | {"current": factor * TRACES.current}
    if allowed:
        found.check(**given)
        return
    with pytest.raises(InputError, match="Check its unit, and the area") as raised:
        found.check(**given)
    assert raised.value.name == "current"


def test_a_guardrail_of_a_protocol_has_no_familiarity_and_judges_no_single_trace(
    guardrail: FittedGuardrail, tmp_path: Path
) -> None:
    valid = replace(guardrail.valid_for, steps=("a scan", "a tone"))
    own = replace(guardrail, familiarity=None, valid_for=valid)
    again = load_guardrail(own.save(tmp_path / "own.json", PROVENANCE))
    assert again == own
    with pytest.raises(InputError, match=r"steps = \(\)"):
        again.valid_for.check(**TRACES.arguments())
    again.valid_for.check(**TRACES.arguments(), steps=("a scan", "a tone"))


# Verdicts


def test_flags_agree_with_threshold_and_p_value(guardrail: FittedGuardrail) -> None:
    verdict = guardrail.judge(NEW)
    threshold = guardrail.threshold
    assert threshold.threshold == guardrail.calibration_scores[threshold.rank - 1]
    np.testing.assert_array_equal(verdict.score, guardrail.score(NEW))
    np.testing.assert_array_equal(verdict.flagged, verdict.score < threshold.threshold)
    np.testing.assert_array_equal(verdict.flagged, verdict.p_value <= threshold.rank / (N + 1))
    assert not verdict.flagged[:50].all()
    assert verdict.flagged[50:].all()


def test_the_calibration_cases_themselves_hold_the_rate(guardrail: FittedGuardrail) -> None:
    assert guardrail.judge(CLEAN).flagged.sum() == guardrail.threshold.rank - 1


def test_p_value_counts_calibration_cases_that_score_as_low() -> None:
    guardrail = fitted(np.arange(60.0))
    found = guardrail.judge(np.array([[-1.0], [0.0], [0.5], [58.5], [59.0], [99.0]])).p_value
    np.testing.assert_allclose(found * 61, [61, 61, 60, 2, 2, 1])


@pytest.mark.parametrize("ties", [False, True])
def test_p_values_are_valid_by_repetition(ties: bool) -> None:
    """P(p <= u) is at most u on exchangeable scores, and near it where none are alike."""
    drawn = np.random.default_rng(4).standard_t(2, (3000, 61))
    if ties:
        drawn = np.round(drawn)
    p_value = np.array([fitted(row[:-1]).judge(row[-1:, None]).p_value[0] for row in drawn])
    for level in (0.02, 0.05, 0.1, 0.3, 0.5, 0.9):
        slack = 3 * np.sqrt(level * (1 - level) / len(drawn))
        assert np.mean(p_value <= level) <= level + slack
        if not ties:
            assert np.mean(p_value <= level) >= level - 1 / 61 - slack


def test_rule_is_that_of_the_user(guardrail: FittedGuardrail) -> None:
    strict = FittedGuardrail.fit(
        guardrail.score,
        CLEAN,
        guardrail.familiarity,
        guardrail.valid_for,
        CertifiedGuardrail(alpha=0.3, delta=0.01),
    )
    assert (strict.threshold.alpha, strict.threshold.delta) == (0.3, 0.01)
    assert strict.threshold.threshold > guardrail.threshold.threshold


def test_too_few_calibration_cases_are_refused(guardrail: FittedGuardrail) -> None:
    with pytest.raises(InputError, match="45 clean calibration cases"):
        FittedGuardrail.fit(guardrail.score, CLEAN[:44], guardrail.familiarity, guardrail.valid_for)


# File


def test_round_trip_gives_equal_verdicts(guardrail: FittedGuardrail, path: Path) -> None:
    found = load_guardrail(path)
    for name in ("score", "threshold", "calibration_scores", "valid_for"):
        assert getattr(found, name) == getattr(guardrail, name)
    assert found.familiarity.to_json() == guardrail.familiarity.to_json()
    summaries = np.random.default_rng(6).standard_normal((5, 6))
    np.testing.assert_array_equal(found.familiarity(summaries), guardrail.familiarity(summaries))
    for first, second in zip(
        vars(found.judge(NEW)).values(), vars(guardrail.judge(NEW)).values(), strict=True
    ):
        np.testing.assert_array_equal(first, second)


def test_saved_again_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    again = load_guardrail(path).save(tmp_path / "again.json", PROVENANCE)
    assert again.read_bytes() == path.read_bytes()


def test_file_says_what_it_holds(guardrail: FittedGuardrail, path: Path) -> None:
    saved = json.loads(path.read_text())
    assert saved["schema_version"] == 6
    assert saved["calibration_scores"] == list(guardrail.calibration_scores)
    assert saved["calibration_scores"] == sorted(saved["calibration_scores"])
    assert saved["valid_for"]["task"] == "tone"
    assert saved["valid_for"]["n_couples"] == 1
    assert saved["provenance"] == PROVENANCE


def test_a_save_that_fails_leaves_the_old_file(
    guardrail: FittedGuardrail, path: Path, tmp_path: Path
) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        guardrail.save(path, {"seconds": float("nan")})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def change(*place: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    """Puts a value at a place of the saved content."""

    def edit(saved: Any) -> None:
        for step in place[:-1]:
            saved = saved[step]
        saved[place[-1]] = to(saved[place[-1]]) if callable(to) else to

    return edit


RANK = 3 - 1  # place of the threshold among the scores of 120 cases
NAN = float("nan")
TAMPERED = {
    "other schema": change("schema_version", to=1),
    "no schema": change("schema_version", to=None),
    "threshold": change("threshold", "threshold", to=lambda old: old + 0.1),
    "threshold slightly off": change("threshold", "threshold", to=lambda old: np.nextafter(old, 9)),
    "rank": change("threshold", "rank", to=4),
    "rate": change("threshold", "alpha", to=0.2),
    "impossible rate": change("threshold", "alpha", to=2.0),
    "rate in words": change("threshold", "alpha", to="small"),
    "score at the threshold": change("calibration_scores", RANK, to=lambda old: old - 1e-3),
    "a score less": change("calibration_scores", to=lambda old: old[:-1]),
    "no scores": change("calibration_scores", to=[]),
    "scores out of order": change("calibration_scores", to=lambda old: old[::-1]),
    "score in words": change("calibration_scores", 0, to="low"),
    "NaN score": change("calibration_scores", 50, to=NAN),
    "NaN threshold": change("threshold", "threshold", to=NAN),
    "NaN weight": change("score", "weight", 1, to=NAN),
    "NaN offset": change("score", "offset", to=NAN),
    "NaN familiarity": change("familiarity", "mean", 0, to=NAN),
    "NaN range": change("valid_for", "duration_s", 0, to=NAN),
    "no scale": change("score", "scale", 0, to=0.0),
    "no range": change("valid_for", "duration_s", to=lambda old: old[::-1]),
    "half a range": change("valid_for", "quarters_V", 2, to=lambda old: old[:1]),
    "range in words": change("valid_for", "potential_V", 0, to="low"),
    "a quarter less": change("valid_for", "quarters_V", to=lambda old: old[:-1]),
    "a weight less": change("score", "weight", to=lambda old: old[:-1]),
    "score is a list": change("score", to=[]),
    "no magnitude": change("undetectable", 0, "magnitudes", to=[]),
    "magnitude in words": change("undetectable", 0, "magnitudes", 0, to="low"),
    "NaN magnitude": change("undetectable", 0, "magnitudes", 0, to=NAN),
    "no share": change("undetectable", 0, "flagged", to=1.2),
    "unknown key": change("threshold", "confidence", to=1.0),
}


def refused(path: Path) -> str:
    """Message of a file that cannot be loaded; it stays as it is, alone in its folder."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError) as raised:
        load_guardrail(path)
    assert raised.value.name == "guardrail"
    assert (path.read_bytes() if path.is_file() else None) == before
    assert list(path.parent.iterdir()) == [path] * path.is_file()
    return str(raised.value)


def rewrite(path: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    saved = json.loads(path.read_text())
    before = copy.deepcopy(saved)
    edit(saved)
    assert saved != before
    path.write_text(json.dumps(saved, indent=1))
    return path


@pytest.mark.parametrize("name", TAMPERED)
def test_a_changed_file_is_refused(guardrail: FittedGuardrail, path: Path, name: str) -> None:
    assert guardrail.threshold.rank - 1 == RANK
    refused(rewrite(path, TAMPERED[name]))


@pytest.mark.parametrize(
    "key",
    [
        "schema_version",
        "score",
        "threshold",
        "calibration_scores",
        "familiarity",
        "valid_for",
        "undetectable",
    ],
)
def test_a_missing_key_is_refused(path: Path, key: str) -> None:
    assert key in refused(rewrite(path, lambda saved: saved.pop(key)))


@pytest.mark.parametrize("group", ["score", "threshold", "familiarity", "valid_for"])
def test_a_missing_entry_is_refused(path: Path, group: str) -> None:
    refused(rewrite(path, lambda saved: saved[group].popitem()))


@pytest.mark.parametrize("kept", [0, 1, 100, -3])
def test_a_truncated_file_is_refused(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    assert path.name in refused(path)


@pytest.mark.parametrize("content", [b"[]", b"null", b"7", b"\xff\xfe\x00", b"PK\x03\x04"])
def test_another_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refused(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "nowhere.json" in refused(tmp_path / "nowhere.json")


# Traces


def test_calibration_traces_are_accepted(guardrail: FittedGuardrail, path: Path) -> None:
    guardrail.valid_for.check(**TRACES.arguments())
    load_guardrail(path).valid_for.check(**TRACES.arguments())


def longer(given: dict[str, Any], factor: float) -> None:
    given["time_s"][7] = factor * TRACES.time_s[np.argmax(TRACES.time_s[:, -1])]


def hidden(given: dict[str, Any], share: float) -> None:
    given["observed"][7] = np.arange(L) < share * L


OUTSIDE = {
    "other task": ("task", lambda given: given.update(task="cv")),
    "more couples": ("n_couples", lambda given: given.update(n_couples=2)),
    "fewer samples": (
        "time_s",
        lambda given: given.update(
            {name: given[name][:, ::2] for name in ("time_s", "E_V", "current", "observed")}
        ),
    ),
    "more noise": ("noise_std", lambda given: given["noise_std"].__setitem__(7, 0.1)),
    "less noise": ("noise_std", lambda given: given["noise_std"].__setitem__(7, 0.049)),
    "unknown noise": ("noise_std", lambda given: given["noise_std"].__setitem__(7, np.nan)),
    "longer": ("time_s", lambda given: longer(given, 1.05)),
    "shorter": ("time_s", lambda given: longer(given, 0.1)),
    "higher potential": ("E_V", lambda given: given["E_V"].__setitem__((7, 3), 0.7)),
    "lower potential": ("E_V", lambda given: given["E_V"].__setitem__((7, 3), -0.7)),
    "unknown potential": ("E_V", lambda given: given["E_V"].__setitem__((7, 3), np.nan)),
    "less observed": ("observed", lambda given: hidden(given, 0.1)),
    "a current of nothing": ("current", lambda given: given["current"].__setitem__(7, 0.0)),
    "unknown current": ("current", lambda given: given["current"].__setitem__((7, 3), np.nan)),
    "no scan": ("E_V after a quarter", lambda given: given["E_V"].__setitem__(7, 0.0)),
    "mirrored scan": (
        "E_V after a quarter",
        lambda given: given["E_V"].__setitem__(7, -given["E_V"][7]),
    ),
    "other checkpoint": ("checkpoint", lambda given: given.update(checkpoint="f" * 16)),
    "all observed": ("observed", lambda given: hidden(given, 1.0)),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_traces_of_another_kind_are_refused(guardrail: FittedGuardrail, name: str) -> None:
    """One trace that lies outside is enough."""
    expected, edit = OUTSIDE[name]
    given = TRACES.arguments()
    edit(given)
    with pytest.raises(InputError, match="Calibrate a guardrail") as raised:
        guardrail.valid_for.check(**given)
    assert raised.value.name == expected


def test_ranges_are_held_to_the_storage_of_a_waveform(guardrail: FittedGuardrail) -> None:
    """What float32 rounds is not a trace of another kind; a thousandth of the range is."""
    given = TRACES.arguments()
    given["E_V"] = np.where(
        given["E_V"] > 0, np.nextafter(given["E_V"], np.float32(9)), given["E_V"]
    )
    guardrail.valid_for.check(**given)
    narrow = replace(guardrail.valid_for, potential_V=(-0.3, 0.3))
    with pytest.raises(InputError, match="E_V"):
        narrow.check(**given)


def swapped(given: dict[str, Any]) -> None:
    given["time_s"][7, [30, 31]] = given["time_s"][7, [31, 30]]


MALFORMED = {
    "one trace without its axis": ("time_s", lambda given: given.update(time_s=given["time_s"][0])),
    "no traces": (
        "time_s",
        lambda given: given.update(
            {k: given[k][:0] for k in ("time_s", "E_V", "current", "observed")}
        ),
    ),
    "another length": ("E_V", lambda given: given.update(E_V=given["E_V"][:, 1:])),
    "a current of another length": (
        "current",
        lambda given: given.update(current=given["current"][:, 1:]),
    ),
    "a mask of another length": (
        "observed",
        lambda given: given.update(observed=given["observed"][:, 1:]),
    ),
    "one noise level for all": ("noise_std", lambda given: given.update(noise_std=0.05)),
    "unsorted time": ("time_s", swapped),
    "NaN in time": ("time_s", lambda given: given["time_s"].__setitem__((7, 30), np.nan)),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_traces_are_refused(guardrail: FittedGuardrail, name: str) -> None:
    expected, edit = MALFORMED[name]
    given = TRACES.arguments()
    edit(given)
    with pytest.raises(InputError) as raised:
        guardrail.valid_for.check(**given)
    assert raised.value.name == expected
