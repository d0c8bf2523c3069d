"""What the chapter on the family and the surrogate computes; its tables and claims."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Markdown
from numpy.typing import NDArray

from ecguard import family
from ecguard.chunk import Chunk
from ecguard.errors import InputError
from ecguard.inputs import find_family_checkpoint
from ecguard.intervals import Interval, difference_interval
from ecguard.report.chapter import Chapter
from ecguard.report.claims import Claim
from ecguard.report.failure_modes import table
from ecguard.surrogate import Surrogate, load_surrogate
from ecguard.surrogate.artefacts import BUILT_IN_FOLDER, CHECKPOINT_FILE, META_FILE
from ecguard.surrogate.training import TRAINING_FILE, core_rows, nrmse, sample_traces

GOAL = 0.05
SIZE_GOAL_MB = 4.0
PER_TASK = 3
RECORDED = (
    "command",
    "settings",
    "data",
    "training_loss",
    "held_out",
    "device",
    "versions",
)
"""What the record of a training must hold."""

TASKS: Mapping[str, tuple[str, str, bool]] = {
    "cv": ("cyclic voltammetry", "scan rate / V s⁻¹", False),
    "ca": ("chronoamperometry", "duration / s", True),
    "swv": ("square wave", "frequency / Hz", False),
    "tone": ("small-signal tone", "frequency / Hz", False),
}
"""Words, quantity that sets the speed, and whether that is the inverse of the family's speed."""


@dataclass(frozen=True)
class Trained:
    """A surrogate and where it comes from.

    Args:
        surrogate: of the built-in family.
        checkpoint: its `.eqx` file.
        record: what its training wrote down.
        size_bytes: of checkpoint, normalizers, metadata and record.
        source: how the checkpoint was found.
    """

    surrogate: Surrogate
    checkpoint: Path
    record: Mapping[str, Any]
    size_bytes: int
    source: str


@dataclass(frozen=True)
class HeldOut:
    """Traces of the surrogate beside those of the simulator, on cases it never saw.

    Args:
        chunk: the cases.
        sampled: [n, L] one draw of the surrogate for each, mA/cm^2.
        error: [n] NRMSE of the draw.
        null_error: [n] NRMSE of the mean training trace in the unit of the case.
    """

    chunk: Chunk
    sampled: NDArray[np.float32]
    error: NDArray[np.float64]
    null_error: NDArray[np.float64]

    def of_task(self, task: int) -> NDArray[np.intp]:
        """Rows of a task, worst first."""
        rows = np.flatnonzero(self.chunk.task_id == task)
        return rows[np.argsort(-self.error[rows])]


def load_trained(family_checkpoint: str) -> Trained:
    """A surrogate of the built-in family with the record of its training.

    Args:
        family_checkpoint: its `.eqx` file; empty for the built-in one.

    Raises:
        InputError: a file is missing or damaged, or the surrogate is of another family.
    """
    located = find_family_checkpoint(family_checkpoint)
    checkpoint = located.path or BUILT_IN_FOLDER / CHECKPOINT_FILE
    surrogate = load_surrogate(checkpoint)
    if surrogate.meta.task_names != family.TASKS or surrogate.meta.target_len != family.N_SAMPLES:
        raise InputError(
            "family_checkpoint",
            str(checkpoint),
            "a surrogate of the built-in family",
            "Leave it empty, or give one that `ecguard train` made.",
        )
    record = training_record(checkpoint.parent)
    names = (checkpoint.name, surrogate.meta.normalizers_file, META_FILE, TRAINING_FILE)
    size = sum((checkpoint.parent / name).stat().st_size for name in names)
    return Trained(surrogate, checkpoint, record, size, located.source)


def training_record(folder: Path) -> dict[str, Any]:
    """What training wrote beside its checkpoint.

    Raises:
        InputError: the record is missing, or holds less than `RECORDED`.
    """
    path = folder / TRAINING_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            TRAINING_FILE,
            str(path),
            f"the record that training writes beside its checkpoint ({type(error).__name__})",
            "Let `ecguard train` run to its end, or copy its whole folder.",
        ) from error
    if not isinstance(record, dict) or set(RECORDED) - set(record):
        raise InputError(
            TRAINING_FILE, str(path), f"an object with {', '.join(RECORDED)}", "Train again."
        )
    return record


def hold_out(trained: Trained, seed: int, n: int, n_steps: int) -> HeldOut:
    """Draw cases of the family that training never used, and trace them with the surrogate.

    Raises:
        InputError: the seed is one that training drew its cases with.
    """
    if seed in {part["family_seed"] for part in trained.record["data"].values()}:
        raise InputError("seed", seed, "one that training never used", "Take 4057.")
    chunk = family.draw(seed, n)
    sampled = sample_traces(trained.surrogate, chunk, n_steps, seed)
    null = null_traces(trained.surrogate, chunk)
    return HeldOut(chunk, sampled, nrmse(sampled, chunk), nrmse(null, chunk))


def null_traces(surrogate: Surrogate, chunk: Chunk) -> NDArray[np.float32]:
    """The mean trace of the training set in the unit of each case [n, L], mA/cm^2."""
    scale = jax.vmap(surrogate.current_scale)(
        jnp.asarray(chunk.potential_V), core_rows(surrogate, chunk)
    )
    return np.asarray(surrogate.current_density(jnp.zeros(chunk.n_samples), scale))


def family_table() -> Markdown:
    """Ranges of the family, from its own constants."""
    log, even = "log-uniform", "uniform"
    rows = [
        ["couples", f"one, or two in {family.TWO_COUPLES_SHARE:.0%} of the cases", ""],
        ["diffusion coefficients / cm² s⁻¹", _range(family.D_RANGE_CM2_S), log],
        ["concentration of the oxidised species / mM", _range(family.C_OX_RANGE_MM), even],
        ["concentration of the reduced species / mM", _range(family.C_RED_RANGE_MM), even],
        [
            "formal potentials / V",
            f"{_range(family.E0_RANGE_V)}, two couples {family.E0_GAP_V:g} apart or more",
            even,
        ],
        ["rate constants / cm s⁻¹", _range(family.K0_RANGE_CM_S), log],
        ["transfer coefficients", _range(family.ALPHA_RANGE), even],
        ["cell resistance / ohm", f"{family.RU_OHM:g} ± {family.RU_SPREAD:.0%}", even],
        ["double layer / F", f"{family.CDL_F:g} ± {family.CDL_SPREAD:.0%}", even],
        ["electrode area / cm²", f"{family.AREA_CM2:g}", "fixed"],
        ["temperature / K", f"{family.TEMPERATURE_K:g}", "fixed"],
    ]
    for bounds, (words, speed, inverse) in zip(family.SPEED_RANGE, TASKS.values(), strict=True):
        low, high = sorted(1 / b for b in bounds) if inverse else bounds
        rows.append([f"{words}: {speed}", _range((low, high)), log])
    return Markdown(table(["quantity", "range", "distribution"], rows))


def training_table(trained: Trained) -> Markdown:
    """Where the checkpoint comes from."""
    record = trained.record
    settings, data, found = record["settings"], record["data"], record["held_out"]
    rows = [
        ["checkpoint", f"{trained.checkpoint.name} ({trained.source})"],
        ["command", f"`{record['command']}`"],
        ["seed", settings["seed"]],
        ["training cases", _cases(data["training"])],
        ["updates", settings["n_updates"]],
        ["training loss at the end", f"{record['training_loss']:.4f}"],
        [
            "median NRMSE when training ended",
            f"{found['median_nrmse']:.2%}, on {record['data']['held_out']['cases']} cases",
        ],
        ["device", record["device"]],
        ["versions", ", ".join(f"{name} {text}" for name, text in record["versions"].items())],
        ["size", f"{trained.size_bytes / 1e6:.2f} MB"],
    ]
    return Markdown(table(["what", "value"], rows))


def error_table(held_out: HeldOut, resamples: int, seed: int) -> Markdown:
    """Errors of the surrogate and of the null prediction by task."""
    rows = []
    for name, chosen in _groups(held_out).items():
        error = held_out.error[chosen]
        middle = median(error, resamples, seed)
        rows.append(
            [
                name,
                len(error),
                f"{middle.value:.2%} ({middle.low:.2%} to {middle.high:.2%})",
                f"{np.quantile(error, 0.95):.1%}",
                f"{error.max():.1%}",
                f"{np.median(held_out.null_error[chosen]):.1%}",
            ]
        )
    head = ["task", "cases", "median NRMSE", "exceeded by 5 %", "worst", "median of the null"]
    return Markdown(table(head, rows))


def median(values: NDArray[np.float64], resamples: int, seed: int) -> Interval:
    """Median with its percentile bootstrap interval."""
    nothing = np.zeros_like(values)
    return difference_interval(values, nothing, "median", resamples=resamples, seed=seed)


def claims(
    chapter: Chapter, trained: Trained, held_out: HeldOut, figure: str = ""
) -> tuple[Claim, ...]:
    """Held-out error overall and by task, the gain over the null prediction, and the size."""
    resamples, seed = chapter.profile.n_bootstrap, chapter.seed or 0
    found = []
    for name, chosen in _groups(held_out).items():
        middle = median(held_out.error[chosen], resamples, seed)
        every = name == "all"
        found.append(
            chapter.claim(
                "median-nrmse" if every else f"{name}-median-nrmse",
                "Median over held-out cases of the RMS difference between one draw of the "
                "surrogate and the simulated trace, over the range of the trace."
                if every
                else f"The same over the cases of one task, {TASKS[name][0]}.",
                middle.value,
                bound={"op": "<=", "value": GOAL},
                interval=(middle.low, middle.high),
                n=middle.n,
                figure=figure,
            )
        )
    gain = difference_interval(
        held_out.null_error, held_out.error, "median", resamples=resamples, seed=seed
    )
    return (
        *found,
        chapter.claim(
            "gain-over-null",
            "Median of what the surrogate takes off the error of the null prediction.",
            gain.value,
            bound={"on": "lower", "op": ">", "value": 0},
            interval=(gain.low, gain.high),
            n=gain.n,
            figure=figure,
        ),
        chapter.claim(
            "checkpoint-size",
            "Size of the checkpoint and the files beside it.",
            trained.size_bytes / 1e6,
            unit="MB",
            bound={"op": "<=", "value": SIZE_GOAL_MB},
        ),
    )


def error_groups(held_out: HeldOut) -> dict[str, NDArray[np.float64]]:
    """Errors by task, the surrogate's and the null prediction's side by side."""
    groups = {}
    for name, chosen in _groups(held_out).items():
        if name != "all":
            groups[f"{name}_surrogate"] = held_out.error[chosen]
            groups[f"{name}_null"] = held_out.null_error[chosen]
    return groups


def first_rows(chunk: Chunk) -> NDArray[np.intp]:
    """The first rows of each task, PER_TASK of each."""
    return np.concatenate(
        [np.flatnonzero(chunk.task_id == k)[:PER_TASK] for k in range(len(chunk.task_names))]
    )


def worst_rows(held_out: HeldOut) -> NDArray[np.intp]:
    """The rows of largest error, PER_TASK of each task."""
    tasks = range(len(held_out.chunk.task_names))
    return np.concatenate([held_out.of_task(k)[:PER_TASK] for k in tasks])


def titles(chunk: Chunk, rows: NDArray[np.intp], error: Any = None) -> list[str]:
    """Task and stage of each row, and its error where it is given."""
    named = [f"{chunk.task_names[chunk.task_id[k]]}, row {k}" for k in rows]
    if error is None:
        return named
    return [f"{name}, NRMSE {error[k]:.0%}" for name, k in zip(named, rows, strict=True)]


def _groups(held_out: HeldOut) -> dict[str, NDArray[np.bool_]]:
    """Which cases count, over all and by task."""
    task = held_out.chunk.task_id
    names = enumerate(held_out.chunk.task_names)
    return {"all": np.ones(len(task), bool)} | {name: task == k for k, name in names}


def _cases(part: Mapping[str, int]) -> str:
    """How many cases of which seed of the family."""
    return f"{part['cases']} cases of seed {part['family_seed']}"


def _range(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:g} to {bounds[1]:g}"
