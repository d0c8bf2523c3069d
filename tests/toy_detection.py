"""A detection result whose diagnostics are Gaussian: what shows, and what is wrong, is planned."""

import zlib
from functools import cache

import numpy as np

from ecguard.case_sets import CaseSet, CaseSetSettings, draw_case_sets
from ecguard.detection import (
    LEVELS,
    MODES,
    Bench,
    DetectionResult,
    DetectionSettings,
    Part,
)
from ecguard.diagnostics import Familiarity
from ecguard.guardrail import (
    CertifiedGuardrail,
    CombinedScore,
    FittedGuardrail,
    ValidFor,
    reference_grid_search,
)
from ecguard.known_faults import FAULTS
from ecguard.posterior.unknowns import names, ranges
from ecguard.screening import DIAGNOSTICS

VISIBLE = "mains_hum"  # a little in every diagnostic, and wrong once it is seen
SINGLE = "spikes"  # in one diagnostic alone
INVISIBLE = "electrode_area"  # in none, and wrong from severity 0.2 on
HARMLESS = "time_axis"  # in none, and right
REFERENCE = "biofouling"  # as VISIBLE, unless told otherwise

N_CELL = 40
K = len(DIAGNOSTICS)
LN_K0 = names(1).index("ln k0")
SETTINGS = DetectionSettings(
    sets=CaseSetSettings(n_design=160, n_calibration=300, n_test=8 * N_CELL, task="tone"),
    n_faulty=16,
    n_cell=N_CELL,
    n_control=200,
)


@cache
def case_sets() -> dict[str, CaseSet]:
    """Real cases, whose waveforms and truth the figures and the bias need."""
    return draw_case_sets(SETTINGS.sets)


def shift(mode: str, severity: np.ndarray) -> np.ndarray:
    """How far a mode moves each diagnostic [n, k], in clean standard deviations."""
    if mode in (INVISIBLE, HARMLESS):
        return np.zeros((len(severity), K))
    weights = np.eye(K)[4] * 3 if mode == SINGLE else np.ones(K)
    return 4.0 * severity[:, None] * weights


def wrong(mode: str, severity: np.ndarray) -> np.ndarray:
    """Whether the posterior of a mode misses the truth [n]."""
    if mode == HARMLESS:
        return np.zeros(len(severity), bool)
    return severity >= (0.2 if mode == INVISIBLE else 0.5)


def part(
    of: str, rows: np.ndarray, severity: np.ndarray, away: np.ndarray, off: np.ndarray
) -> Part:
    """Traces of cases `rows` whose diagnostics lie `away` [n, k], and whose posterior is `off`.

    The noise of the diagnostics belongs to the case, as it does in the study.
    """
    group = case_sets()[of].group
    rng = np.random.default_rng((1, zlib.crc32(of.encode())))
    noise, score = rng.standard_normal((len(group), K)), rng.standard_normal(len(group))
    std = np.diff(ranges(1), axis=0)[0] / np.sqrt(12)
    mean = group.unknowns[rows].astype(np.float64)
    mean[:, LN_K0] -= 2.0 * std[LN_K0] * off
    n, current = len(rows), np.asarray(group.observation.current)[rows]
    diagnostics = noise[rows] + away
    return Part(
        case=rows,
        severity=severity,
        current=current,
        diagnostics=diagnostics,
        fault_evidence=np.repeat(diagnostics[:, -1:], len(FAULTS), axis=1),
        mean=mean,
        low=mean - 0.2 * std,
        high=mean + 0.2 * std,
        credibility=np.where(off, 0.0, 0.5),
        effective=np.full(n, 200.0),
        reliability_score=90.0 + 2 * score[rows] - 8.0 * away.mean(axis=1),
        calibration_error=np.full(n, 0.05),
        predicted_mean=group.current[rows],
        predicted_std=np.full_like(current, 0.05),
    )


def clean(of: str) -> Part:
    """Clean traces of a set; one posterior in twenty is off."""
    n = len(case_sets()[of])
    rows = np.arange(n)
    return part(of, rows, np.zeros(n), np.zeros((n, K)), rows % 20 == 7)


def of_mode(mode: str, of: str, rows: np.ndarray, severity: np.ndarray) -> Part:
    """Traces of a mode."""
    return part(of, rows, severity, shift(mode, severity), wrong(mode, severity))


def result_of(path: float = 0.0, fouling: str = REFERENCE) -> DetectionResult:
    """A result.

    Args:
        path: shift of every diagnostic that the path of the stress makes by itself.
        fouling: the mode that the fouled splits and biofouling behave like.
    """
    levels = np.array(LEVELS)
    graded = levels[np.arange(SETTINGS.n_faulty) % len(levels)]
    like = {mode: fouling if mode == REFERENCE else mode for mode in MODES}
    sets = {name: clean(name) for name in case_sets()}
    faulty, tested = {}, {}
    for number, mode in enumerate(MODES):
        rows = (number * SETTINGS.n_faulty + np.arange(SETTINGS.n_faulty)) % SETTINGS.sets.n_design
        faulty[mode] = of_mode(like[mode], "design", rows, graded)
        severity = np.repeat(levels, N_CELL)
        tested[mode] = of_mode(like[mode], "test", np.arange(len(severity)), severity)
    rows = np.arange(SETTINGS.n_control)
    never, full = np.zeros(len(rows)), np.ones(len(rows))
    extra = {}
    for name, offset in (("", path), ("confounded_", 3.0)):
        for kind, severity in (("control", never), ("fouled", full)):
            away = offset + shift(fouling, severity)
            off = (rows % 20 == 7) if kind == "control" else wrong(fouling, severity)
            extra[name + kind] = part("test", rows, severity, away, off)
    score = CombinedScore.fit(
        tuple(DIAGNOSTICS),
        sets["design"].diagnostics,
        np.concatenate([own.diagnostics for own in faulty.values()]),
    )
    familiarity = Familiarity(np.zeros(1), np.ones((1, 1)), 1.0)
    valid_for = ValidFor(
        *("tone", 256, 1, 0.05, "0" * 16),
        *((0.01, 10.0), (-0.5, 0.5), (0.2, 0.6), (0.0, 1e5), ((-0.5, 0.5),) * 5, ()),
    )
    rule = CertifiedGuardrail(SETTINGS.alpha, SETTINGS.delta)
    both = [sets["design"], faulty[REFERENCE]]
    return DetectionResult(
        settings=SETTINGS,
        bench=Bench(SETTINGS, None, case_sets(), familiarity, None, "toy"),
        clean=sets,
        faulty=faulty,
        tested=tested,
        control=extra["control"],
        fouled=extra["fouled"],
        confounded_fouled=extra["confounded_fouled"],
        confounded_control=extra["confounded_control"],
        guardrail=FittedGuardrail.fit(
            score, sets["calibration"].diagnostics, familiarity, valid_for, rule
        ),
        reference=reference_grid_search(
            np.concatenate([own.reliability_score for own in both]),
            np.concatenate([own.calibration_error for own in both]),
            np.repeat([False, True], [len(own) for own in both]),
        ),
    )
