"""Paired cases: one dataset row seen clean, fouled, and as matched control."""

from dataclasses import dataclass

import jax
import numpy as np
from numpy.typing import NDArray

from ecguard.chunk import Chunk
from ecguard.errors import InputError
from ecguard.family import simulate_recorded
from ecguard.simulator import Cell, Waveform
from ecguard.stress import Biofouling

SPLITS = ("in_distribution", "stress_biofouled", "control_clean")
REFERENCE_SEED = 2028
_CASE_SEED = 5000
_SEED_STRIDE = 1_000_003
_REFERENCE_CELL = {"area_cm2": 0.01, "Ru_ohm": 100.0, "Cdl_F": 1e-5}


@dataclass(frozen=True)
class CaseSettings:
    """How cases are drawn and observed; the defaults are the reference's.

    Attributes:
        n_cases: rows drawn without replacement; more than there are takes all.
        eval_noise_std: std of the Gaussian observation noise, mA/cm^2.
        keep_probability: probability that a sample is observed.
        min_observed: fewest observed samples of a trace.
        seed: of the draw of rows; another one also moves every other seed of the study.
    """

    n_cases: int = 6
    eval_noise_std: float = 0.05
    keep_probability: float = 0.40
    min_observed: int = 24
    seed: int = REFERENCE_SEED

    def __post_init__(self) -> None:
        for name, least in (("n_cases", 1), ("min_observed", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(name, value, f"a whole number, {least} or more", "Choose one.")
        if not 0 < self.eval_noise_std < np.inf:
            raise InputError(
                "eval_noise_std",
                self.eval_noise_std,
                "a finite number above 0, mA/cm^2",
                "The reference takes 0.05.",
            )
        if not 0 < self.keep_probability <= 1:
            raise InputError(
                "keep_probability",
                self.keep_probability,
                "above 0, at most 1",
                "A mask that keeps nothing leaves nothing to infer from; the reference takes 0.4.",
            )

    def seed_for(self, reference_seed: int) -> int:
        """Seed of a generator that the reference seeds with `reference_seed`."""
        return (reference_seed + _SEED_STRIDE * (self.seed - REFERENCE_SEED)) % 2**32


@dataclass(frozen=True)
class Cases:
    """Traces of n cases in the order of `SPLITS`; split s, case c, sample k.

    Attributes:
        rows: [n] row of each case in its chunk.
        time_s: [n, L] s.
        E_V: [n, L] applied potential, V.
        clean: [3, n, L] current before noise, mA/cm^2.
        observed: [3, n, L] current with noise, mA/cm^2.
        mask: [3, n, L] true where a sample was observed.
        notes: what the reader must know about how they were made.
    """

    rows: NDArray[np.int64]
    time_s: NDArray[np.float64]
    E_V: NDArray[np.float32]
    clean: NDArray[np.float32]
    observed: NDArray[np.float32]
    mask: NDArray[np.bool_]
    notes: tuple[str, ...]


def draw_cases(chunk: Chunk, settings: CaseSettings, duration_s: float) -> Cases:
    """Draw rows of a chunk and observe each as in-distribution, stress and control trace.

    The in-distribution trace is the chunk's own current. Stress and control come from one call of
    our simulator with the row's parameters, waveform and duration, fouling at full severity and
    at none. The control repeats the noise and the mask of its stress trace.

    Args:
        chunk: dataset rows.
        settings: how to draw and observe.
        duration_s: duration of every trace where the chunk stores no time, s.

    Raises:
        InputError: traces are too short for `min_observed`, not finite, or the duration is not
            a positive number.
    """
    length = chunk.n_samples
    if length < settings.min_observed:
        raise InputError(
            "min_observed",
            settings.min_observed,
            f"at most the {length} samples of a trace",
            "Lower it or use longer traces.",
        )
    notes = []
    n = min(settings.n_cases, chunk.rows)
    if n < settings.n_cases:
        notes.append(f"{settings.n_cases} cases were asked for; all {n} rows were taken.")
    rows = np.random.default_rng(settings.seed).choice(chunk.rows, size=n, replace=False)
    cases = chunk.take(rows)
    copies = int((cases.aug_id > 0).sum())
    if copies:
        notes.append(f"{copies} of {n} cases are augmented copies of other rows.")
    for name in ("current_mA_cm2", "potential_V", "parameters"):
        if not np.isfinite(getattr(cases, name)).all():
            raise InputError(name, "NaN or infinite", "finite", "Remove the row from the chunk.")
    time_s = cases.time_s
    if time_s is None:
        if not 0 < duration_s < np.inf:
            raise InputError("duration_s", duration_s, "a finite number above 0, s", "Try 8.")
        time_s = np.tile(np.linspace(0.0, duration_s, length), (n, 1))
        notes.append(f"The chunk stores no time: every trace is taken to last {duration_s:g} s.")
    stress, control = _simulated(cases, np.asarray(time_s, float))
    clean = np.stack([cases.current_mA_cm2, stress, control])
    noise, mask = np.empty((3, n, length)), np.empty((3, n, length), bool)
    for case, row in enumerate(rows):
        generator = np.random.default_rng(settings.seed_for(_CASE_SEED + int(row)))
        noise[:2, case] = settings.eval_noise_std * generator.standard_normal((2, length))
        mask[0, case] = _mask(generator, length, settings)
        mask[1, case] = _mask(generator, length, settings)
    noise[2], mask[2] = noise[1], mask[1]
    return Cases(
        rows=rows,
        time_s=np.asarray(time_s, float),
        E_V=cases.potential_V,
        clean=clean,
        observed=(clean + noise).astype(np.float32),
        mask=mask,
        notes=tuple(notes),
    )


def _simulated(cases: Chunk, time_s: NDArray[np.float64]) -> NDArray[np.float32]:
    """Currents [2, n, L] with full fouling and with none, mA/cm^2."""
    n = cases.rows
    cell = Cell(
        **{
            name: np.full(n, value) if getattr(cases, name) is None else getattr(cases, name)
            for name, value in _REFERENCE_CELL.items()
        },
        temperature_K=np.full(n, 298.15),
    )
    once = (Waveform(time_s, cases.potential_V), cases.parameters, cell)
    waveform, parameters, cell = jax.tree.map(lambda leaf: np.concatenate([leaf, leaf]), once)
    fouling = Biofouling().fouling(np.repeat([1.0, 0.0], n))
    current = simulate_recorded(waveform, parameters, cell, fouling)[0].reshape(2, n, -1)
    if not np.isfinite(current).all():
        case = int(np.argwhere(~np.isfinite(current))[0, 1])
        raise InputError(
            "parameters",
            cases.parameters[case].tolist(),
            "values for which the simulator stays finite",
            "Remove the row from the chunk.",
        )
    return current


def _mask(generator: np.random.Generator, length: int, settings: CaseSettings) -> NDArray[np.bool_]:
    """Which samples are observed [L]; hidden ones are added at random up to `min_observed`."""
    mask = generator.random(length) < settings.keep_probability
    missing = settings.min_observed - int(mask.sum())
    if missing > 0:
        mask[generator.permutation(np.flatnonzero(~mask))[:missing]] = True
    return mask
