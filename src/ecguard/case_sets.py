"""Three disjoint sets of clean cases: to design a rule, to calibrate it, to report on it."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ecguard import family
from ecguard.clean_cases import CleanSettings, Group, draw_clean
from ecguard.errors import InputError
from ecguard.posterior.unknowns import simulated
from ecguard.simulator import Waveform
from ecguard.stress.experiment import Experiment

SETS_SEED = 8101
NAMES = ("design", "calibration", "test")


@dataclass(frozen=True)
class CaseSetSettings:
    """How many cases of what kind.

    Args:
        n_design, n_calibration, n_test: cases of each set.
        task: of all of them; one couple each.
        seed: of the draw; not one that a training used.
        noise_std: of the observation noise, mA/cm^2.
        keep_probability: that a sample is observed.

    Raises:
        InputError: a value is out of range.
    """

    n_design: int = 200
    n_calibration: int = 300
    n_test: int = 300
    task: str = "cv"
    seed: int = SETS_SEED
    noise_std: float = 0.05
    keep_probability: float = 0.40

    def __post_init__(self) -> None:
        for name in ("n_design", "n_calibration", "n_test"):
            if getattr(self, name) < 2:
                raise InputError(name, getattr(self, name), "2 or more", "Ask for more cases.")
        if self.task not in family.TASKS:
            raise InputError("task", self.task, f"one of {', '.join(family.TASKS)}", "Name one.")
        _ = self.clean

    @property
    def clean(self) -> CleanSettings:
        """Of the one draw that all sets come from."""
        return CleanSettings(
            n_cases=self.n_design + self.n_calibration + self.n_test,
            seed=self.seed,
            tasks=(self.task,),
            most_couples=1,
            noise_std=self.noise_std,
            keep_probability=self.keep_probability,
        )


@dataclass(frozen=True)
class CaseSet:
    """Cases of one set.

    Attributes:
        name: of the set.
        seed: of the draw.
        group: the cases, each with its clean observation.
        experiment: the same electrodes, waveforms and noise, for a failure mode to act on.
    """

    name: str
    seed: int
    group: Group
    experiment: Experiment

    def __len__(self) -> int:
        return len(self.group)

    def take(self, rows: NDArray[np.intp]) -> "CaseSet":
        """Some of the cases."""
        part = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], self.experiment)
        return CaseSet(self.name, self.seed, self.group.take(rows), part)


def draw_case_sets(settings: CaseSetSettings) -> dict[str, CaseSet]:
    """Draw all cases at once and part them, so that no case is in two sets."""
    return part(draw_all(settings), settings)


def draw_all(settings: CaseSetSettings) -> CaseSet:
    """The cases of all sets; row and number of a case are the same."""
    (group,) = draw_clean(settings.clean)
    return CaseSet("all", settings.seed, group, _experiment(group, settings))


def part(whole: CaseSet, settings: CaseSetSettings) -> dict[str, CaseSet]:
    """The three sets of `draw_all`."""
    sizes = [getattr(settings, f"n_{name}") for name in NAMES]
    ends = np.cumsum([0, *sizes])
    return {
        name: replace(whole.take(np.arange(start, stop)), name=name)
        for name, start, stop in zip(NAMES, ends[:-1], ends[1:], strict=True)
    }


def _experiment(group: Group, settings: CaseSetSettings) -> Experiment:
    seen = group.observation
    couples, cell = simulated(group.unknowns)
    noise = (np.asarray(seen.current, np.float64) - group.current) / settings.noise_std
    rng = np.random.default_rng((settings.seed, 1))

    def on_host(leaf: Any) -> NDArray[np.floating]:
        return np.asarray(leaf)

    return Experiment(
        waveform=Waveform(np.asarray(seen.time_s, np.float64), np.asarray(seen.E_V, np.float64)),
        couples=jax.tree.map(on_host, couples),
        cell=jax.tree.map(on_host, cell),
        noise=noise,
        chance=rng.random(noise.shape),
        noise_std=np.asarray(seen.noise_std, np.float64),
    )
