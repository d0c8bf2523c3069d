"""What an artefact's metadata says about a surrogate."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from ecguard.chunk import ENTRIES_PER_COUPLE
from ecguard.errors import InputError

CURRICULUM_STAGES = 3
CurrentUnit = Literal["mA_cm2", "nernst_layer"]
_COUNTS_FROM_ONE = (
    "state_dim",
    "max_species",
    "nx",
    "target_len",
    "phys_dim_base",
    "phys_dim_core",
    "phys_dim",
    "signal_channels",
    "cond_dim",
    "hidden_size",
    "depth",
)


@dataclass(frozen=True)
class SurrogateMeta:
    """Sizes, vocabularies and units of a surrogate; field names are the keys of `model_meta.json`.

    Args:
        max_species: redox couples m in the parameter row.
        nx: grid points of each final concentration profile in the state.
        target_len: samples L of a trace.
        state_dim: 2 m nx + L.
        phys_dim_base: physical entries of the parameter row, 7 m.
        phys_dim_core: physical entries, task one-hot, stage one-hot, context entries.
        phys_dim: entries the network sees, twice the core when their mask is appended.
        param_mask_features: whether that mask is appended.
        signal_channels: 1 for the signal, 2 for the signal and its mask.
        n_tasks, n_stages: sizes of the one-hot labels.
        cond_dim, hidden_size, depth: width of the encoding and of the layers, hidden layers.
        task_names, stage_names: vocabularies, empty when unknown.
        context_names: known scalars after the stage label, such as ln_duration_s.
        current_unit: "mA_cm2", or "nernst_layer" when the state's current is in units of
            `ecguard.nernst_layer.current_scale`.
        normalizers_file: name of the normalizers beside the checkpoint.
        seed, val_split, curriculum_enabled: record of the training.

    Raises:
        InputError: two entries contradict each other, or one is out of range.
    """

    max_species: int
    nx: int
    target_len: int
    state_dim: int
    phys_dim_base: int
    phys_dim_core: int
    phys_dim: int
    n_tasks: int
    n_stages: int
    hidden_size: int
    depth: int
    cond_dim: int = 32
    param_mask_features: bool = False
    signal_channels: int = 1
    task_names: tuple[str, ...] = ()
    stage_names: tuple[str, ...] = ()
    context_names: tuple[str, ...] = ()
    current_unit: CurrentUnit = "mA_cm2"
    normalizers_file: str = "normalizers.npz"
    seed: int | None = None
    val_split: float | None = None
    curriculum_enabled: bool = False

    def __post_init__(self) -> None:
        for name in _COUNTS_FROM_ONE:
            _check_count(name, getattr(self, name), at_least=1)
        for name in ("n_tasks", "n_stages"):
            _check_count(name, getattr(self, name), at_least=0)
        if self.signal_channels not in (1, 2):
            raise _inconsistent("signal_channels", self.signal_channels, "it must be 1 or 2")
        if self.current_unit not in get_args(CurrentUnit):
            raise _inconsistent(
                "current_unit", self.current_unit, f"it must be one of {get_args(CurrentUnit)}"
            )
        if Path(self.normalizers_file).name != self.normalizers_file or not self.normalizers_file:
            raise _inconsistent(
                "normalizers_file", self.normalizers_file, "it must be a plain file name"
            )
        if self.current_unit == "nernst_layer" and "ln_duration_s" not in self.context_names:
            raise _inconsistent(
                "context_names", self.context_names, "nernst_layer needs the entry ln_duration_s"
            )
        core = self.phys_dim_base + self.n_tasks + self.n_stages + len(self.context_names)
        expected = {
            "phys_dim_base": (ENTRIES_PER_COUPLE * self.max_species, "7 max_species"),
            "state_dim": (
                2 * self.max_species * self.nx + self.target_len,
                "2 max_species nx + target_len",
            ),
            "phys_dim_core": (core, "phys_dim_base + n_tasks + n_stages + context entries"),
            "phys_dim": (
                self.phys_dim_core * (2 if self.param_mask_features else 1),
                "phys_dim_core, doubled with param_mask_features",
            ),
        }
        for name, (value, formula) in expected.items():
            if getattr(self, name) != value:
                raise _inconsistent(name, getattr(self, name), f"it must be {formula} = {value}")
        for names, count in (("task_names", self.n_tasks), ("stage_names", self.n_stages)):
            if len(getattr(self, names)) not in (0, count):
                raise _inconsistent(names, getattr(self, names), f"{count} names are needed")


def meta_from_json(document: object) -> SurrogateMeta:
    """Metadata from the contents of `model_meta.json`; keys that older files lack are derived.

    m follows from phys_dim_base / 7, L or nx from state_dim, and the labels from phys_dim_core -
    phys_dim_base: where neither n_tasks nor n_stages nor a vocabulary says how these divide, three
    are stages, as in the reference's curriculum. Unknown keys are ignored.

    Raises:
        InputError: a key is missing and cannot be derived, or its value is wrong.
    """
    if not isinstance(document, Mapping):
        raise _inconsistent("contents", type(document).__name__, "a JSON object is needed")
    given = {field.name for field in fields(SurrogateMeta)} & set(document)
    known: dict[str, Any] = {key: document[key] for key in given if document[key] is not None}
    for key in ("task_names", "stage_names", "context_names"):
        known[key] = _names(key, known.get(key, ()))
    for key in ("param_mask_features", "curriculum_enabled"):
        if not isinstance(known.get(key, False), bool):
            raise _inconsistent(key, known[key], "it must be true or false")
    for key in known:
        if key in (*_COUNTS_FROM_ONE, "n_tasks", "n_stages"):
            _check_count(key, known[key], at_least=0)
    base = known.setdefault("phys_dim_base", known.get("max_species", 0) * ENTRIES_PER_COUPLE)
    species = known.setdefault("max_species", base // ENTRIES_PER_COUPLE)
    _derive_state(known, species)
    _derive_parameters(known)
    missing = [
        key for key in SurrogateMeta.__dataclass_fields__ if key in _REQUIRED and not known.get(key)
    ]
    if missing:
        raise _inconsistent(
            missing[0], known.get(missing[0]), "it is missing and does not follow from the others"
        )
    return SurrogateMeta(**known)


def read_meta(path: Path | str) -> SurrogateMeta:
    """Metadata from a `model_meta.json` file.

    Raises:
        InputError: the file is missing, is not JSON, or contradicts itself.
    """
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            path.name,
            str(path),
            "the file does not exist",
            "Put the metadata of the checkpoint beside it.",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            path.name,
            str(path),
            f"it cannot be read as JSON ({error})",
            "The file is damaged or of another kind: copy or write it again.",
        ) from error
    return meta_from_json(document)


def meta_text(meta: SurrogateMeta) -> str:
    """`meta` as the text of `model_meta.json`."""
    return json.dumps(asdict(meta), indent=2) + "\n"


_REQUIRED = (
    "max_species",
    "nx",
    "target_len",
    "state_dim",
    "phys_dim_core",
    "phys_dim",
    "hidden_size",
    "depth",
)


def _derive_state(known: dict[str, Any], species: int) -> None:
    if {"nx", "target_len"} <= set(known):
        known.setdefault("state_dim", 2 * species * known["nx"] + known["target_len"])
    elif {"nx", "state_dim"} <= set(known):
        known["target_len"] = known["state_dim"] - 2 * species * known["nx"]
    elif {"target_len", "state_dim"} <= set(known) and species:
        known["nx"] = (known["state_dim"] - known["target_len"]) // (2 * species)


def _derive_parameters(known: dict[str, Any]) -> None:
    if "phys_dim_core" not in known and "phys_dim" in known:
        half = 2 if known.get("param_mask_features") else 1
        known["phys_dim_core"] = known["phys_dim"] // half
    core = known.get("phys_dim_core", 0)
    known.setdefault("phys_dim", core * (2 if known.get("param_mask_features") else 1))
    if core and known["phys_dim"] == 2 * core:
        known.setdefault("param_mask_features", True)
    for count, names in (("n_tasks", "task_names"), ("n_stages", "stage_names")):
        if known[names]:
            known.setdefault(count, len(known[names]))
    labels = core - known["phys_dim_base"] - len(known["context_names"])
    if "n_tasks" not in known and "n_stages" not in known:
        known["n_stages"] = min(CURRICULUM_STAGES, max(labels, 0))
    known.setdefault("n_tasks", labels - known.get("n_stages", 0))
    known.setdefault("n_stages", labels - known["n_tasks"])


def _names(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise _inconsistent(key, value, "it must be a list of names")
    return tuple(value)


def _check_count(name: str, value: object, at_least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise _inconsistent(name, value, f"it must be a whole number >= {at_least}")


def _inconsistent(key: str, value: object, why: str) -> InputError:
    return InputError(
        f"model_meta.json, key '{key}'",
        value,
        why,
        "Use the metadata file that was written with this checkpoint.",
    )
