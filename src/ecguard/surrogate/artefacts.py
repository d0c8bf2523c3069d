"""A trained surrogate and its files: checkpoint, normalizers, metadata."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from ecguard.errors import InputError
from ecguard.files import write_atomic, write_text
from ecguard.nernst_layer import current_scale
from ecguard.npz import finite, read_npz, save_npz
from ecguard.surrogate.meta import SurrogateMeta, meta_text, read_meta
from ecguard.surrogate.network import VelocityField
from ecguard.surrogate.sampler import Drive, sample_tail

CHECKPOINT_FILE = "surrogate_model.eqx"
META_FILE = "model_meta.json"
BUILT_IN_FOLDER = Path(__file__).parent / "builtin"


class Normalizers(eqx.Module):
    """Means and standard deviations: value = mean + std * standardised value.

    Args:
        x_mean, x_std: of the state [state_dim].
        e_mean, e_std: of the potential, V [L].
        p_mean, p_std: of the core parameters [phys_dim_core].
    """

    x_mean: Array
    x_std: Array
    e_mean: Array
    e_std: Array
    p_mean: Array
    p_std: Array


class Surrogate(eqx.Module):
    """A velocity field with the units of what goes in and out.

    Args:
        network: the velocity field, in standardised units.
        normalizers: the units.
        meta: sizes and vocabularies.
    """

    network: VelocityField
    normalizers: Normalizers
    meta: SurrogateMeta = eqx.field(static=True)

    def compose(
        self,
        parameters: ArrayLike,
        task_id: ArrayLike,
        stage_id: ArrayLike,
        context: ArrayLike | None = None,
    ) -> Array:
        """Core parameter rows: parameters, task one-hot, stage one-hot, context.

        Args:
            parameters: physical parameters [n, 7 m], in their raw units.
            task_id, stage_id: labels [n].
            context: one column for each of `meta.context_names` [n, k]; may be left out if k = 0.

        Raises:
            InputError: a shape or a label does not fit the metadata.
        """
        meta = self.meta
        physical = jnp.asarray(parameters, jnp.float32)
        n = physical.shape[0] if physical.ndim else 0
        known = jnp.zeros((n, 0)) if context is None else jnp.asarray(context, jnp.float32)
        _check_shape("parameters", physical, (n, meta.phys_dim_base))
        _check_shape("context", known, (n, len(meta.context_names)))
        columns = [physical]
        for name, ids, size in (
            ("task_id", np.asarray(task_id), meta.n_tasks),
            ("stage_id", np.asarray(stage_id), meta.n_stages),
        ):
            _check_shape(name, ids, (n,))
            if size and ids.size and (ids.min() < 0 or ids.max() >= size):
                raise InputError(
                    name,
                    (int(ids.min()), int(ids.max())),
                    f"labels from 0 to {size - 1} are known to the surrogate",
                    "Use a surrogate and a chunk that share their vocabulary.",
                )
            columns.append(jax.nn.one_hot(ids, size, dtype=jnp.float32))
        return jnp.concatenate([*columns, known], axis=-1)

    def standardise(self, core: Array) -> Array:
        """Core parameters from raw to standardised units."""
        return (core - self.normalizers.p_mean) / self.normalizers.p_std

    def raw(self, core: Array) -> Array:
        """Core parameters from standardised to raw units."""
        return self.normalizers.p_mean + self.normalizers.p_std * core

    def parameter_features(self, core: Array) -> Array:
        """What the network sees of standardised core parameters that are all given."""
        if not self.meta.param_mask_features:
            return core
        return jnp.concatenate([core, jnp.ones_like(core)], axis=-1)

    def signal(self, E_V: Array, mask: ArrayLike | None = None) -> Array:
        """The standardised signal [n, channels, L].

        Args:
            E_V: potential, V [n, L].
            mask: samples shown to a two-channel network, all by default [n, L]; a one-channel
                network sees the whole signal.
        """
        E_std = (E_V - self.normalizers.e_mean) / self.normalizers.e_std
        if self.meta.signal_channels == 1:
            return E_std[:, None, :]
        shown = jnp.ones_like(E_std) if mask is None else jnp.asarray(mask, E_std.dtype)
        return jnp.stack([E_std * shown, shown], axis=1)

    def encode(self, E_V: Array, mask: ArrayLike | None = None) -> Array:
        """Encodings of potentials [n, L], one for each trace."""
        return jax.vmap(self.network.encode_signal)(self.signal(E_V, mask))

    def current_scale(self, E_V: Array, core: Array) -> Array:
        """Unit of the state's current, mA/cm^2, a scalar: potential [L], raw core row [core]."""
        if self.meta.current_unit == "mA_cm2":
            return jnp.ones(())
        base, context = self.meta.phys_dim_base, len(self.meta.context_names)
        known = dict(zip(self.meta.context_names, core[core.shape[0] - context :], strict=True))
        return current_scale(E_V, core[:base], jnp.exp(known["ln_duration_s"]))

    def current_density(self, tail: Array, scale: Array) -> Array:
        """Current densities, mA/cm^2 [..., L].

        Args:
            tail: last L entries of standardised states [..., L].
            scale: what `current_scale` says [...].
        """
        length = self.meta.target_len
        current = self.normalizers.x_mean[-length:] + self.normalizers.x_std[-length:] * tail
        return current * scale[..., None]

    def sample_current(
        self,
        x0: ArrayLike,
        E_V: ArrayLike,
        params_core: ArrayLike,
        n_steps: int,
        mask: ArrayLike | None = None,
    ) -> Array:
        """Current densities, mA/cm^2 [n, L], by Euler steps from t = 0 to 1.

        Args:
            x0: start of each path, standard normal [n, state_dim].
            E_V: potential, V [n, L].
            params_core: core parameters in raw units [n, core]; see `compose`.
            n_steps: Euler steps.
            mask: samples shown to a two-channel network [n, L].

        Raises:
            InputError: a shape does not fit the metadata, a value is not finite, or `n_steps` < 1.
        """
        meta = self.meta
        n = np.shape(x0)[0] if np.ndim(x0) else 0
        for name, value, width in (
            ("x0", x0, meta.state_dim),
            ("E_V", E_V, meta.target_len),
            ("params_core", params_core, meta.phys_dim_core),
        ):
            _check_shape(name, value, (n, width))
            if not np.isfinite(np.asarray(value)).all():
                raise InputError(name, "NaN or infinite", "finite numbers", "Remove these rows.")
        if mask is not None:
            _check_shape("mask", mask, (n, meta.target_len))
        if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 1:
            raise InputError("n_steps", n_steps, "a whole number >= 1", "Ask for 60, say.")
        start, E, core = (jnp.asarray(value, jnp.float32) for value in (x0, E_V, params_core))
        return _sample_current(self, start, E, core, n_steps, mask)


@eqx.filter_jit
def _sample_current(
    surrogate: Surrogate,
    x0: Array,
    E_V: Array,
    params_core: Array,
    n_steps: int,
    mask: ArrayLike | None,
) -> Array:
    drive = Drive.of(surrogate.network)
    features = surrogate.parameter_features(surrogate.standardise(params_core))
    constant = drive.from_encoding(surrogate.encode(E_V, mask)) + drive.from_parameters(features)
    tail = sample_tail(surrogate.network, x0, constant, n_steps, surrogate.meta.target_len)
    scale = jax.vmap(surrogate.current_scale)(E_V, params_core)
    return surrogate.current_density(tail, scale)


def load_surrogate(checkpoint_path: Path | str | None = None) -> Surrogate:
    """Read a surrogate in the ECSFM format.

    Args:
        checkpoint_path: the `.eqx` file, with `model_meta.json` and the normalizers beside it;
            None for the built-in surrogate.

    Raises:
        InputError: a file is missing or damaged, or the files do not fit each other.
    """
    path = BUILT_IN_FOLDER / CHECKPOINT_FILE if checkpoint_path is None else Path(checkpoint_path)
    if not path.is_file():
        raise InputError(
            "checkpoint",
            str(path),
            "the file does not exist",
            f"Give the path of a {CHECKPOINT_FILE}, or nothing for the built-in surrogate.",
        )
    meta = read_meta(path.parent / META_FILE)
    normalizers = _read_normalizers(path.parent / meta.normalizers_file, meta)
    return Surrogate(_read_network(path, meta), normalizers, meta)


def save_surrogate(folder: Path | str, surrogate: Surrogate) -> Path:
    """Write checkpoint, normalizers and metadata to `folder`; returns the checkpoint's path.

    The checkpoint comes last, so that it never stands beside files that are missing.
    """
    folder = Path(folder)
    arrays = {
        name: np.asarray(value, np.float32) for name, value in vars(surrogate.normalizers).items()
    }
    save_npz(folder / surrogate.meta.normalizers_file, arrays)
    write_text(folder / META_FILE, meta_text(surrogate.meta))
    return write_atomic(
        folder / CHECKPOINT_FILE,
        lambda temporary: eqx.tree_serialise_leaves(temporary, surrogate.network),
    )


def _read_normalizers(path: Path, meta: SurrogateMeta) -> Normalizers:
    sizes = {"x": meta.state_dim, "e": meta.target_len, "p": meta.phys_dim_core}
    arrays = read_npz("normalizers", path)
    checked = {}
    for letter, size in sizes.items():
        for key in (f"{letter}_mean", f"{letter}_std"):
            if key not in arrays:
                raise InputError(
                    f"normalizers, key '{key}'",
                    str(path),
                    "the key is missing",
                    "Use the normalizers that were written with this checkpoint.",
                )
            _check_shape(f"normalizers, key '{key}'", arrays[key], (size,))
            checked[key] = finite("normalizers", path, key, arrays[key])
        if (checked[f"{letter}_std"] <= 0).any():
            raise InputError(
                f"normalizers, key '{letter}_std'",
                str(path),
                "every standard deviation must be positive",
                "Write the normalizers again with a floor under the standard deviation.",
            )
    return Normalizers(**{key: jnp.asarray(value) for key, value in checked.items()})


def _read_network(path: Path, meta: SurrogateMeta) -> VelocityField:
    template = eqx.filter_eval_shape(VelocityField, meta, key=jax.random.key(0))
    try:
        with path.open("rb") as file:
            network = eqx.tree_deserialise_leaves(file, template)
            surplus = file.read(1)
    except Exception as error:  # numpy, equinox and the system each raise their own kind
        raise InputError(
            "checkpoint",
            str(path),
            f"its leaves do not fit the network of {META_FILE} ({_first_lines(error)})",
            "The file is damaged, or belongs to other metadata: use files written together.",
        ) from error
    if surplus:
        raise InputError(
            "checkpoint",
            str(path),
            f"it holds more leaves than the network of {META_FILE}",
            "Use the metadata that were written with this checkpoint.",
        )
    bad = [leaf for leaf in jax.tree.leaves(network) if not np.isfinite(np.asarray(leaf)).all()]
    if bad:
        raise InputError(
            "checkpoint",
            str(path),
            f"weights of shape {bad[0].shape} hold NaN or an infinity",
            "The training diverged: train again, or use another checkpoint.",
        )
    return network


def _check_shape(name: str, value: ArrayLike, shape: tuple[int, ...]) -> None:
    if np.shape(value) != shape:
        raise InputError(
            name,
            np.shape(value),
            f"the metadata ask for shape {shape}",
            "Use inputs and files that belong to this surrogate.",
        )


def _first_lines(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
