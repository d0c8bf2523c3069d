"""Held-out clean cases of the built-in family, in groups that can be inferred together.

A group shares its number of couples and the grid that the simulator solves on, so that it is one
compiled computation. The number of couples is known to the inference, as task and waveform are:
whoever prepares a sensor knows what is meant to react at it.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecguard import family
from ecguard.chunk import Chunk
from ecguard.errors import InputError
from ecguard.posterior.likelihood import Observation, solver_grid

CLEAN_SEED = 6007


@dataclass(frozen=True)
class CleanSettings:
    """How clean cases are drawn and observed.

    Args:
        n_cases: in all.
        seed: of the family and of noise and masks; not one that a training used.
        tasks: of the cases.
        most_couples: 1, or 2 for cases of one and of two couples.
        noise_std: of the observation noise, mA/cm^2.
        keep_probability: that a sample is observed.
        fit_share: of the observed samples that a held-out check fits on.

    Raises:
        InputError: a value is out of range.
    """

    n_cases: int = 120
    seed: int = CLEAN_SEED
    tasks: tuple[str, ...] = family.TASKS
    most_couples: int = family.N_COUPLES
    noise_std: float = 0.05
    keep_probability: float = 0.40
    fit_share: float = 0.7

    def __post_init__(self) -> None:
        if not self.tasks or not set(self.tasks) <= set(family.TASKS):
            raise InputError(
                "tasks", self.tasks, f"some of {', '.join(family.TASKS)}", "Name one or more."
            )
        if self.most_couples not in range(1, family.N_COUPLES + 1):
            raise InputError("most_couples", self.most_couples, "1 or 2", "Choose one.")
        for name in ("keep_probability", "fit_share"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(name, getattr(self, name), "above 0, at most 1", "Take 0.4.")
        if not 0 < self.noise_std < np.inf:
            raise InputError(
                "noise_std", self.noise_std, "a finite number above 0, mA/cm^2", "Take 0.05."
            )
        if self.n_cases < 1:
            raise InputError("n_cases", self.n_cases, "1 or more", "Ask for one case or more.")


@dataclass(frozen=True)
class Group:
    """Cases that share their number of couples and their solver grid.

    Attributes:
        n_couples: of the electrodes.
        case: number of each among all cases [n].
        task, stage: labels [n].
        observation: what was measured.
        fitted: samples that a held-out check fits on [n, L]; the other observed ones score it.
        unknowns: the truth [n, 7 m + 2].
        current: without noise, mA/cm^2 [n, L].
    """

    n_couples: int
    case: NDArray[np.intp]
    task: NDArray[np.int32]
    stage: NDArray[np.int32]
    observation: Observation
    fitted: NDArray[np.bool_]
    unknowns: NDArray[np.float32]
    current: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.case)

    def take(self, rows: slice | NDArray[np.intp]) -> "Group":
        """Some of the cases."""
        return replace(
            self,
            case=self.case[rows],
            task=self.task[rows],
            stage=self.stage[rows],
            observation=Observation(*(leaf[rows] for leaf in self.observation)),
            fitted=self.fitted[rows],
            unknowns=self.unknowns[rows],
            current=self.current[rows],
        )

    def hiding(self) -> "Group":
        """The same cases without the samples that score a held-out check."""
        return replace(self, observation=self.observation._replace(observed=self.fitted))


def draw_clean(settings: CleanSettings) -> tuple[Group, ...]:
    """Draw cases of the family, observe them, and group them."""
    chunk, n_couples = _chosen(settings)
    n, length = chunk.current_mA_cm2.shape
    noise, shown, fitted = np.empty((n, length)), np.empty((n, length), bool), None
    fitted = np.empty_like(shown)
    for case in range(n):
        rng = np.random.default_rng((settings.seed, case))
        noise[case] = settings.noise_std * rng.standard_normal(length)
        shown[case] = rng.random(length) < settings.keep_probability
        fitted[case] = shown[case] & (rng.random(length) < settings.fit_share)
    measured = (chunk.current_mA_cm2 + noise).astype(np.float32)
    groups = []
    for key in sorted({*zip(n_couples.tolist(), _kind(chunk), strict=True)}):
        own = np.flatnonzero((n_couples == key[0]) & (np.array(_kind(chunk)) == key[1]))
        groups.append(_group(chunk.take(own), own, key[0], measured, shown, fitted, settings))
    return tuple(groups)


def _chosen(settings: CleanSettings) -> tuple[Chunk, NDArray[np.intp]]:
    """The first cases of a draw that have one of the tasks and few enough couples."""
    wanted = [family.TASKS.index(name) for name in settings.tasks]
    share = len(wanted) / len(family.TASKS)
    if settings.most_couples == 1:
        share *= 1 - family.TWO_COUPLES_SHARE
    chunk = family.draw(settings.seed, int(1.3 * settings.n_cases / share) + 64)
    couples = (chunk.parameters.reshape(chunk.rows, 7, -1)[:, 2] > 0).sum(axis=1)
    fit = np.isin(chunk.task_id, wanted) & (couples <= settings.most_couples)
    rows = np.flatnonzero(fit)[: settings.n_cases]
    return chunk.take(rows), couples[rows]


def _kind(chunk: Chunk) -> list[int]:
    """Rank of each case's solver grid [rows]: cases of one rank share it."""
    assert chunk.time_s is not None  # noqa: S101
    grids: dict[object, int] = {}
    ranks = []
    by_task: dict[int, int] = {}
    for row, task in enumerate(chunk.task_id.tolist()):
        if task not in by_task:
            grid, _ = solver_grid(chunk.time_s[row : row + 1], chunk.potential_V[row : row + 1])
            by_task[task] = grids.setdefault(grid, len(grids))
        ranks.append(by_task[task])
    return ranks


def _group(
    chunk: Chunk,
    case: NDArray[np.intp],
    n_couples: int,
    measured: NDArray[np.float32],
    shown: NDArray[np.bool_],
    fitted: NDArray[np.bool_],
    settings: CleanSettings,
) -> Group:
    assert chunk.Ru_ohm is not None  # noqa: S101
    assert chunk.Cdl_F is not None  # noqa: S101
    row = chunk.parameters.reshape(len(case), 7, -1)[:, :, :n_couples].reshape(len(case), -1)
    cell = np.stack([chunk.Ru_ohm, chunk.Cdl_F], axis=1)
    noise_std = np.full(len(case), settings.noise_std, np.float32)
    return Group(
        n_couples=n_couples,
        case=case,
        task=chunk.task_id,
        stage=chunk.stage_id,
        observation=Observation(
            chunk.time_s, chunk.potential_V, measured[case], shown[case], noise_std
        ),
        fitted=fitted[case],
        unknowns=np.concatenate([row, cell], axis=1),
        current=chunk.current_mA_cm2,
    )
