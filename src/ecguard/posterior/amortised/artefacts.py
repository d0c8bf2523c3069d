"""The amortised posterior as files: a checkpoint in half precision, and what it is valid for."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ecguard import family
from ecguard.errors import InputError
from ecguard.files import write_atomic, write_text
from ecguard.posterior.amortised.network import Network, Sizes
from ecguard.posterior.amortised.traces import N_MODES, TraceBasis

CHECKPOINT_FILE, META_FILE = "amortised_posterior.eqx", "amortised_meta.json"
_SLACK = 1e-6
BUILT_IN_FOLDER = Path(__file__).parent / "builtin"


@dataclass(frozen=True)
class AmortisedMeta:
    """What a checkpoint holds and what it is valid for.

    Args:
        sizes: of the network.
        noise_range: of the noise std it was trained with, mA/cm^2.
        keep_range: of the share of observed samples.
        task_names: in the order of their labels.
        n_samples: of a trace.
        n_modes: of the model of traces.
    """

    sizes: Sizes
    noise_range: tuple[float, float]
    keep_range: tuple[float, float]
    task_names: tuple[str, ...] = family.TASKS
    n_samples: int = family.N_SAMPLES
    n_modes: int = N_MODES


class Amortised(eqx.Module):
    """A trained amortised posterior.

    Args:
        network: the densities.
        basis: of the traces of every task.
        meta: sizes and validity.
    """

    network: Network
    basis: TraceBasis
    meta: AmortisedMeta = eqx.field(static=True)


def check_trained_for(meta: AmortisedMeta, noise_std: float, keep_probability: float) -> None:
    """Refuse a noise level, mA/cm^2, or a share of observed samples before any work.

    Raises:
        InputError: the density was not trained for it.
    """
    for name, value, (low, high), unit in (
        ("eval_noise_std", noise_std, meta.noise_range, " mA/cm^2"),
        ("keep_probability", keep_probability, meta.keep_range, ""),
    ):
        if not low * (1 - _SLACK) <= value <= high * (1 + _SLACK):
            raise InputError(
                name,
                value,
                f"{low:g} to {high:g}{unit}, as the amortised posterior was trained",
                "Train one for it: `ecguard train OUT_DIR --engine amortised`.",
            )


def fingerprint(amortised: Amortised) -> str:
    """Of its weights, wherever they were read from: 16 hexadecimal digits."""
    leaves = jax.tree.leaves((amortised.network, amortised.basis))
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()[:16]


def halve(amortised: Amortised) -> Amortised:
    """The same with weights that half precision can hold, as they are stored."""

    def rounded(leaf: Any) -> Any:
        return leaf.astype(jnp.float16).astype(jnp.float32)

    network = jax.tree.map(rounded, amortised.network)
    return eqx.tree_at(lambda a: a.network, amortised, network)


def save_amortised(folder: Path | str, amortised: Amortised) -> Path:
    """Write checkpoint and metadata, each whole or not at all."""
    folder = Path(folder)
    stored = jax.tree.map(lambda leaf: leaf.astype(jnp.float16), amortised.network)
    write_text(folder / META_FILE, json.dumps(asdict(amortised.meta), indent=2) + "\n")
    return write_atomic(
        folder / CHECKPOINT_FILE,
        lambda path: eqx.tree_serialise_leaves(path, (stored, amortised.basis)),
    )


def load_amortised(checkpoint_path: Path | str | None = None) -> Amortised:
    """Read an amortised posterior.

    Args:
        checkpoint_path: the `.eqx` file, with its metadata beside it; None for the built-in one.

    Raises:
        InputError: a file is missing or damaged, belongs to another family, or the files do not
            fit each other.
    """
    path = _path(checkpoint_path)
    if not path.is_file():
        raise InputError(
            "amortised_checkpoint",
            str(path),
            "an existing file",
            "Correct the path, or make one by `ecguard train OUT_DIR --engine amortised`.",
        )
    meta = load_meta(path)
    template = jax.eval_shape(
        lambda: (
            jax.tree.map(
                lambda leaf: leaf.astype(jnp.float16), Network(meta.sizes, key=jax.random.key(0))
            ),
            TraceBasis(
                jnp.zeros((len(meta.task_names), meta.n_samples, meta.n_modes)),
                jnp.zeros((len(meta.task_names), meta.n_samples)),
            ),
        )
    )
    try:
        with path.open("rb") as file:
            network, basis = eqx.tree_deserialise_leaves(file, template)
            surplus = file.read(1)
    except Exception as error:  # numpy, equinox and the system each raise their own kind
        why = f"its leaves do not fit {META_FILE} ({type(error).__name__})"
        raise _damaged(path, why) from error
    if surplus:
        raise _damaged(path, f"it holds more leaves than {META_FILE} tells of")
    network = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), network)
    if not all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves((network, basis))):
        raise _damaged(path, "a weight is NaN or infinite")
    return Amortised(network, basis, meta)


def load_meta(checkpoint_path: Path | str | None = None) -> AmortisedMeta:
    """Read what lies beside a checkpoint, and no weights; None for the built-in one.

    Raises:
        InputError: it is missing, damaged or of another family.
    """
    return _read_meta(_path(checkpoint_path).parent / META_FILE)


def _path(checkpoint_path: Path | str | None) -> Path:
    return BUILT_IN_FOLDER / CHECKPOINT_FILE if checkpoint_path is None else Path(checkpoint_path)


def _read_meta(path: Path) -> AmortisedMeta:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        meta = AmortisedMeta(
            sizes=Sizes(**document["sizes"]),
            noise_range=_pair(document["noise_range"]),
            keep_range=_pair(document["keep_range"]),
            task_names=tuple(document["task_names"]),
            n_samples=int(document["n_samples"]),
            n_modes=int(document["n_modes"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"it cannot be read ({type(error).__name__}: {error})") from error
    if meta.task_names != family.TASKS or meta.n_samples != family.N_SAMPLES:
        raise _damaged(path, "its tasks or samples are not those of the built-in family")
    whole = (*vars(meta.sizes).values(), meta.n_modes)
    if not all(type(value) is int and value > 0 for value in whole) or meta.n_modes != N_MODES:
        raise _damaged(path, "its sizes or modes are not those of a network")
    noise, keep = meta.noise_range, meta.keep_range
    if not (0 < noise[0] < noise[1] < np.inf and 0 < keep[0] < keep[1] <= 1):
        raise _damaged(path, "its ranges of noise or of observed samples are impossible")
    return meta


def _pair(values: Any) -> tuple[float, float]:
    low, high = values
    return float(low), float(high)


def _damaged(path: Path, why: str) -> InputError:
    return InputError(
        "amortised_checkpoint", str(path), why, "Use files that were written together."
    )
