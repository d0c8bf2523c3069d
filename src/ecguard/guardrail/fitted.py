"""A guardrail ready for new traces: what it scores, where it cuts, and what it is valid for."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecguard.diagnostics import Familiarity
from ecguard.errors import InputError
from ecguard.files import write_text
from ecguard.guardrail.certificate import CertifiedGuardrail, CertifiedThreshold
from ecguard.guardrail.combined_score import CombinedScore

SCHEMA_VERSION = 6
"""Of the file. Raised too where a diagnostic comes out otherwise: thresholds hold for no other."""

_QUARTERS = ("at the start", "after a quarter", "halfway", "after three quarters", "at the end")
_ONE_WAY = "One cycle, begun at the vertex and in the direction of the calibration. "
_SLACK = 1e-6
_RANGE_SLACK = 1e-3  # of a range: waveforms are stored in float32
_ROOM, _ROOM_OF_SHARE = 0.02, 0.25  # of a range, on both sides: new traces reach out a little
_ROOM_OF_SWING = 10.0  # a factor: a fault may halve a current, a wrong unit is a thousand times off


@dataclass(frozen=True)
class ValidFor:
    """The traces that a guardrail was calibrated on.

    Attributes:
        task: of the waveform.
        n_samples: of a trace.
        n_couples: that the inference believes in.
        noise_std: of the observation, mA/cm^2.
        checkpoint: fingerprint of the amortised posterior that diagnosed them.
        duration_s, potential_V, observed_share: lowest and highest.
        swing_mA_cm2: the same, of the current from its lowest to its highest sample.
        quarters_V: lowest and highest potential at the start, the quarters and the end.
        steps: of the protocol that the trace is the first of, in words; none where it is alone.
    """

    task: str
    n_samples: int
    n_couples: int
    noise_std: float
    checkpoint: str
    duration_s: tuple[float, float]
    potential_V: tuple[float, float]
    observed_share: tuple[float, float]
    swing_mA_cm2: tuple[float, float]
    quarters_V: tuple[tuple[float, float], ...]
    steps: tuple[str, ...]

    @classmethod
    def around(
        cls,
        task: str,
        time_s: ArrayLike,
        E_V: ArrayLike,
        current: ArrayLike,
        observed: ArrayLike,
        noise_std: float,
        checkpoint: str,
        steps: tuple[str, ...] = (),
    ) -> "ValidFor":
        """What calibration traces [n, L] of one couple reach, and a little more."""
        time, potential = np.asarray(time_s, np.float64), np.asarray(E_V, np.float64)

        def ends(values: NDArray[np.floating], room: float = _ROOM) -> tuple[float, float]:
            low, high = float(values.min()), float(values.max())
            return low - room * (high - low), high + room * (high - low)

        lowest, highest = np.exp(ends(np.log(time[:, -1] - time[:, 0])))
        swing = _swing(current)
        return cls(
            task=task,
            n_samples=time.shape[1],
            n_couples=1,
            noise_std=noise_std,
            checkpoint=checkpoint,
            duration_s=(float(lowest), float(highest)),
            potential_V=ends(potential),
            observed_share=ends(np.asarray(observed, bool).mean(axis=1), _ROOM_OF_SHARE),
            swing_mA_cm2=(
                float(swing.min()) / _ROOM_OF_SWING,
                float(swing.max()) * _ROOM_OF_SWING,
            ),
            quarters_V=tuple(ends(own) for own in quarters(potential)),
            steps=steps,
        )

    def check(
        self,
        task: str,
        n_couples: int,
        time_s: ArrayLike,
        E_V: ArrayLike,
        current: ArrayLike,
        observed: ArrayLike,
        noise_std: ArrayLike,
        checkpoint: str,
        steps: tuple[str, ...] = (),
    ) -> None:
        """Refuse traces that the certificate says nothing of.

        Args:
            task: of the waveforms.
            n_couples: that the inference believes in.
            time_s, E_V: the waveforms [n, L].
            current: mA/cm^2 [n, L].
            observed: [n, L] bool.
            noise_std: mA/cm^2 [n].
            checkpoint: fingerprint of the amortised posterior that is to diagnose them.
            steps: of the protocol that they are the first of.

        Raises:
            InputError: one of them lies outside.
        """
        remedy = "Calibrate a guardrail on clean traces of this kind."
        time, potential = np.asarray(time_s, float), np.asarray(E_V, float)
        if time.ndim != 2 or not len(time):
            raise InputError("time_s", time.shape, "[n, L], a trace or more", "Pass a row a trace.")
        for name, values, shape in (
            ("E_V", potential, time.shape),
            ("current", np.asarray(current), time.shape),
            ("observed", np.asarray(observed), time.shape),
            ("noise_std", np.asarray(noise_std), time.shape[:1]),
        ):
            if values.shape != shape:
                raise InputError(name, values.shape, f"{shape}, as time_s", "Pass a row a trace.")
        step = np.diff(time, axis=1)
        if not (step > 0).all():
            raise InputError(
                "time_s", float(step[~(step > 0)][0]), "finite and rising", "Sort the samples."
            )
        for name, value, expected in (
            ("task", task, self.task),
            ("n_couples", n_couples, self.n_couples),
            ("time_s", time.shape[1], self.n_samples),
            ("checkpoint", checkpoint, self.checkpoint),
            ("steps", steps, self.steps),
        ):
            if value != expected:
                raise InputError(name, value, f"{expected}, as calibrated", remedy)
        noise = np.asarray(noise_std, float)
        alike = np.isclose(noise, self.noise_std, rtol=1e-3, atol=_SLACK)
        if not alike.all():
            row = int(np.argmin(alike))
            raise InputError(
                "noise_std",
                float(noise[row]),
                f"{self.noise_std} mA/cm^2, as calibrated{_of_row(row, len(noise))}",
                remedy,
            )
        places = zip(_QUARTERS, quarters(potential), self.quarters_V, strict=True)
        for name, values, (low, high), hint in (
            ("time_s", time[:, -1] - time[:, 0], self.duration_s, "Times are in s. "),
            ("E_V", potential, self.potential_V, "Potentials are in V. "),
            ("current", _swing(current), self.swing_mA_cm2, "Check its unit, and the area. "),
            ("observed", np.asarray(observed, bool).mean(axis=1), self.observed_share, ""),
            *((f"E_V {where}", own, ends, _ONE_WAY) for where, own, ends in places),
        ):
            slack = _RANGE_SLACK * (high - low) + _SLACK
            if not ((values >= low - slack) & (values <= high + slack)).all():
                away = np.abs(values - (low + high) / 2)
                place = np.unravel_index(np.argmax(np.nan_to_num(away, nan=np.inf)), away.shape)
                raise InputError(
                    name,
                    float(values[place]),
                    f"{low:.4g} to {high:.4g}, as calibrated{_of_row(int(place[0]), len(time))}",
                    hint + remedy,
                )


def _of_row(row: int, n: int) -> str:
    """Which of n traces is meant."""
    return f" (row {row} is not)" if n > 1 else ""


def quarters(potential: NDArray[np.floating]) -> NDArray[np.floating]:
    """Potentials [n, L] at the start, the quarters and the end: the way a waveform goes [5, n]."""
    places = np.linspace(0, potential.shape[1] - 1, len(_QUARTERS)).round().astype(int)
    return potential[:, places].T


def _swing(current: ArrayLike) -> NDArray[np.float64]:
    """From the lowest to the highest sample of each trace [n]; a potentiostat that is off has 0."""
    return np.asarray(np.ptp(np.asarray(current, np.float64), axis=1))


@dataclass(frozen=True)
class BlindSpot:
    """A failure of which the guardrail was not shown to flag more than half of the traces.

    Attributes:
        failure: in plain words.
        magnitudes: at which this was so, rising.
        unit: of the magnitudes.
        flagged: share of the traces that it flags at the largest magnitude that was tried.

    Raises:
        InputError: there is no magnitude, one is not finite, or the share is none.
    """

    failure: str
    magnitudes: tuple[float, ...]
    unit: str
    flagged: float

    def __post_init__(self) -> None:
        if not self.magnitudes or not np.isfinite(self.magnitudes).all():
            raise InputError("magnitudes", self.magnitudes, "finite, one or more", "Name some.")
        if not 0 <= self.flagged <= 1:
            raise InputError("flagged", self.flagged, "0 to 1", "Pass a share of the traces.")

    def __str__(self) -> str:
        at = ", ".join(f"{value:.3g}" for value in self.magnitudes)
        return f"{self.failure} at {at} {self.unit}"


@dataclass(frozen=True)
class Verdict:
    """What a guardrail says of n traces.

    Attributes:
        flagged: not to be trusted [n].
        score: log odds of being clean [n].
        p_value: conformal; small where few clean calibration traces score as low [n].
        undetectable: by this protocol: what a trace may hide that is not flagged.
    """

    flagged: NDArray[np.bool_]
    score: NDArray[np.float64]
    p_value: NDArray[np.float64]
    undetectable: tuple[BlindSpot, ...] = ()


@dataclass(frozen=True)
class FittedGuardrail:
    """Flags traces whose combined score is below a certified threshold.

    Attributes:
        score: learnt on design cases.
        threshold: of the scores of clean calibration cases.
        calibration_scores: of these cases, rising.
        familiarity: of the family, for the diagnostic of that name; None where there is none.
        valid_for: the traces it may judge.
        undetectable: failures that it was tried on and does not see.
    """

    score: CombinedScore
    threshold: CertifiedThreshold
    calibration_scores: tuple[float, ...]
    familiarity: Familiarity | None
    valid_for: ValidFor
    undetectable: tuple[BlindSpot, ...] = ()

    @classmethod
    def fit(
        cls,
        score: CombinedScore,
        clean: ArrayLike,
        familiarity: Familiarity | None,
        valid_for: ValidFor,
        rule: CertifiedGuardrail | None = None,
    ) -> "FittedGuardrail":
        """Calibrate on the diagnostics [n, k] of clean cases that `score` never saw.

        Raises:
            InputError: too few cases for a certificate.
        """
        found = np.sort(score(clean))
        threshold = (rule or CertifiedGuardrail()).fit(found)
        return cls(score, threshold, tuple(found.tolist()), familiarity, valid_for)

    def judge(self, diagnostics: ArrayLike) -> Verdict:
        """Judge traces by their diagnostics [n, k]; let `valid_for.check` pass them first."""
        score = self.score(diagnostics)
        below = np.searchsorted(self.calibration_scores, score, side="right")
        p_value = (1 + below) / (1 + len(self.calibration_scores))
        return Verdict(self.threshold.flags(score), score, np.asarray(p_value), self.undetectable)

    def save(self, path: Path | str, provenance: Mapping[str, Any]) -> Path:
        """Write it whole or not at all, as JSON."""
        saved = {
            "$schema": "guardrail.schema.json",
            "schema_version": SCHEMA_VERSION,
            "score": asdict(self.score),
            "threshold": asdict(self.threshold),
            "calibration_scores": list(self.calibration_scores),
            "familiarity": self.familiarity and self.familiarity.to_json(),
            "valid_for": asdict(self.valid_for),
            "undetectable": [asdict(own) for own in self.undetectable],
            "provenance": dict(provenance),
        }
        return write_text(path, json.dumps(saved, indent=1, allow_nan=False) + "\n")


def load_guardrail(path: Path | str) -> FittedGuardrail:
    """Read what `FittedGuardrail.save` wrote.

    Raises:
        InputError: it is no such file, of another version, or its threshold is not that of its
            calibration scores.
    """
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse)
        version = saved["schema_version"]
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema {version}, not {SCHEMA_VERSION}")
        score = CombinedScore(**_tuples(saved["score"]))
        lengths = {len(values) for values in vars(score).values() if isinstance(values, tuple)}
        if lengths != {len(score.names)}:
            raise ValueError("names, centre, scale and weight differ in length")
        if not all(scale > 0 for scale in score.scale):
            raise ValueError("a scale is not above 0")
        found = FittedGuardrail(
            score,
            CertifiedThreshold(**saved["threshold"]),
            tuple(map(float, saved["calibration_scores"])),
            saved["familiarity"] and Familiarity.from_json(saved["familiarity"]),
            ValidFor(**_tuples(saved["valid_for"])),
            tuple(BlindSpot(**_tuples(own)) for own in saved["undetectable"]),
        )
        _check_ranges(found.valid_for)
        threshold = found.threshold
        again = CertifiedGuardrail(threshold.alpha, threshold.delta).fit(found.calibration_scores)
        if again != threshold or list(found.calibration_scores) != sorted(found.calibration_scores):
            raise ValueError(f"threshold {threshold.threshold} is not that of its sorted scores")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "guardrail",
            str(path),
            f"a file that FittedGuardrail.save wrote ({error})",
            "Fit it anew.",
        ) from error
    return found


def _check_ranges(valid_for: ValidFor) -> None:
    if len(valid_for.quarters_V) != len(_QUARTERS):
        raise ValueError(f"quarters_V has not {len(_QUARTERS)} ranges")
    named = ("duration_s", "potential_V", "observed_share", "swing_mA_cm2")
    for low, high in (*(getattr(valid_for, name) for name in named), *valid_for.quarters_V):
        if not low <= high:
            raise ValueError(f"{low} to {high} is no range")


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _tuples(saved: dict[str, Any]) -> dict[str, Any]:
    return {name: _tuple(value) for name, value in saved.items()}


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
