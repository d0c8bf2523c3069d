"""Training of the built-in surrogate: conditional flow matching on the built-in family.

The currents of a case are nearly a function of what the network is told, so the noise that the
flow starts from is small against the data (`noise_scale`): the network then spends itself on the
trace, not on passing noise through. Artefacts hold the equivalent flow from unit noise.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import NDArray
from tqdm.auto import trange

from ecguard import family
from ecguard.chunk import Chunk
from ecguard.errors import InputError
from ecguard.files import write_atomic, write_text
from ecguard.surrogate.artefacts import Normalizers, Surrogate, save_surrogate
from ecguard.surrogate.meta import SurrogateMeta
from ecguard.surrogate.network import N_TIME_FEATURES, VelocityField

TRAINING_FILE = "training.json"
_STATE_FILE = "training_state.eqx"
_SMALLEST_STD = 1e-3


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training run; the defaults make the built-in checkpoint.

    Args:
        seed: of the weights, the training cases (seed + 1) and the held-out cases (seed + 2).
        n_cases: training cases drawn from the family.
        n_held_out: held-out cases.
        n_updates: optimiser updates.
        batch: cases an update.
        repeats: noise and time draws for each case of a batch.
        learning_rate: peak of the cosine schedule.
        noise_scale: std of the starting noise in units of the data's std.
        time_power: times are u**time_power, u uniform, which favours the start of the flow.
        averaging: decay of the moving average of the weights that is kept.
        hidden_size, depth: of the network.
        n_steps: Euler steps at which the held-out error is measured.

    Raises:
        InputError: a value is out of range.
    """

    seed: int = 0
    n_cases: int = 262_144
    n_held_out: int = 2_000
    n_updates: int = 16_000
    batch: int = 256
    repeats: int = 2
    learning_rate: float = 2e-3
    noise_scale: float = 0.05
    time_power: float = 1.5
    averaging: float = 0.999
    hidden_size: int = 512
    depth: int = 3
    n_steps: int = 60

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            lowest = 0 if name == "seed" else 1 if isinstance(value, int) else 1e-9
            if not np.isfinite(value) or value < lowest:
                raise InputError(name, value, f"finite and >= {lowest}", "choose another value")
        if self.averaging >= 1:
            raise InputError("averaging", self.averaging, "in (0, 1)", "choose a smaller value")


class _State(NamedTuple):
    """What a resumed run needs."""

    update: Array
    weights: VelocityField
    averaged: VelocityField
    optimiser: optax.OptState
    loss: Array  # moving average of the training loss


class _Data(NamedTuple):
    """Standardised training arrays, leading axis the case."""

    x: Array
    signal: Array
    parameters: Array


def train(
    out_dir: Path | str,
    settings: TrainingSettings | None = None,
    *,
    save_every: int = 500,
    command: str = "ecguard train",
) -> dict[str, Any]:
    """Train the surrogate of the built-in family and write its artefacts to `out_dir`.

    A run that was killed goes on from its last saved state when called again with the same
    settings. Runs on whatever device JAX finds.

    Args:
        out_dir: receives checkpoint, normalizers, metadata and `training.json`.
        settings: of the training.
        save_every: updates between saved states.
        command: for the provenance.

    Returns:
        The content of `training.json`: settings, loss, held-out error per task.

    Raises:
        InputError: `out_dir` holds the state of a run with other settings.
    """
    settings = settings or TrainingSettings()
    out_dir = Path(out_dir)
    record: dict[str, Any] = {"command": command, "settings": asdict(settings)}
    started = out_dir / "training_started.json"
    if started.exists() and json.loads(started.read_text()) != record["settings"]:
        raise InputError(
            "out_dir", str(out_dir), "empty, or a run of the same settings", "choose a new folder"
        )
    write_text(started, json.dumps(record["settings"]))

    chunk = family.draw(settings.seed + 1, settings.n_cases)
    meta = _meta(chunk, settings)
    normalizers, data = _standardise(chunk, meta, settings.noise_scale)
    del chunk
    state = _run(settings, meta, data, out_dir / _STATE_FILE, save_every)
    surrogate = Surrogate(_to_unit_noise(state.averaged, settings.noise_scale), normalizers, meta)
    save_surrogate(out_dir, surrogate)

    held_out = family.draw(settings.seed + 2, settings.n_held_out)
    error = trace_nrmse(surrogate, held_out, settings.n_steps, settings.seed)
    record["data"] = {
        "training": {"family_seed": settings.seed + 1, "cases": settings.n_cases},
        "held_out": {"family_seed": settings.seed + 2, "cases": settings.n_held_out},
    }
    record["training_loss"] = float(state.loss)
    record["held_out"] = {
        "n_steps": settings.n_steps,
        "median_nrmse": float(np.median(error)),
        "median_nrmse_per_task": {
            name: float(np.median(error[held_out.task_id == k]))
            for k, name in enumerate(held_out.task_names)
        },
        "p95_nrmse": float(np.quantile(error, 0.95)),
    }
    record["device"] = jax.devices()[0].platform
    record["versions"] = {"jax": jax.__version__, "equinox": eqx.__version__}
    write_text(out_dir / TRAINING_FILE, json.dumps(record, indent=2) + "\n")
    for leftover in (_STATE_FILE, started.name):
        (out_dir / leftover).unlink(missing_ok=True)
    return record


def trace_nrmse(
    surrogate: Surrogate, chunk: Chunk, n_steps: int = 60, seed: int = 0
) -> NDArray[np.float64]:
    """Error of one sampled trace for each row of a chunk with a time axis, as `nrmse` [rows]."""
    return nrmse(sample_traces(surrogate, chunk, n_steps, seed), chunk)


def nrmse(traces: NDArray[np.float32], chunk: Chunk) -> NDArray[np.float64]:
    """RMS difference of traces and the chunk's, over the range of the latter [rows]."""
    truth = chunk.current_mA_cm2
    difference = np.sqrt(np.mean((traces - truth) ** 2, axis=1, dtype=np.float64))
    return difference / np.ptp(truth, axis=1)


def sample_traces(
    surrogate: Surrogate, chunk: Chunk, n_steps: int = 60, seed: int = 0
) -> NDArray[np.float32]:
    """One sampled trace for each row of a chunk with a time axis [rows, L], mA/cm^2."""
    x0 = jax.random.normal(jax.random.key(seed), (chunk.rows, surrogate.meta.state_dim))
    return np.asarray(
        surrogate.sample_current(x0, chunk.potential_V, core_rows(surrogate, chunk), n_steps)
    )


def core_rows(surrogate: Surrogate, chunk: Chunk) -> Array:
    """Core parameter rows of a chunk with a time axis [rows, core]."""
    return surrogate.compose(chunk.parameters, chunk.task_id, chunk.stage_id, ln_duration(chunk))


def ln_duration(chunk: Chunk) -> NDArray[np.float32]:
    """Context column of the built-in surrogate [rows, 1]."""
    if chunk.time_s is None:
        raise InputError(
            "t", None, "a time axis in the chunk", "use a chunk of the built-in family"
        )
    return np.log(chunk.time_s[:, -1:] - chunk.time_s[:, :1])


def _meta(chunk: Chunk, settings: TrainingSettings) -> SurrogateMeta:
    m, nx, samples = chunk.n_couples, family.N_PROFILE, chunk.n_samples
    tasks, stages, context = len(chunk.task_names), len(chunk.stage_names), ("ln_duration_s",)
    core = 7 * m + tasks + stages + len(context)
    return SurrogateMeta(
        max_species=m,
        nx=nx,
        target_len=samples,
        state_dim=2 * m * nx + samples,
        phys_dim_base=7 * m,
        phys_dim_core=core,
        phys_dim=core,
        n_tasks=tasks,
        n_stages=stages,
        hidden_size=settings.hidden_size,
        depth=settings.depth,
        task_names=chunk.task_names,
        stage_names=chunk.stage_names,
        context_names=context,
        current_unit="nernst_layer",
        seed=settings.seed,
    )


def _standardise(
    chunk: Chunk, meta: SurrogateMeta, noise_scale: float
) -> tuple[Normalizers, _Data]:
    """Normalizers of the artefact, and the data in units of their own std."""
    core = np.concatenate(
        [
            chunk.parameters,
            np.eye(meta.n_tasks)[chunk.task_id],
            np.eye(meta.n_stages)[chunk.stage_id],
            ln_duration(chunk),
        ],
        axis=1,
        dtype=np.float32,
    )
    scale = family.current_scales(chunk)[:, None]
    x = np.concatenate([chunk.ox_mM, chunk.red_mM, chunk.current_mA_cm2 / scale], axis=1)
    parts = []
    data = []
    for values in (x, chunk.potential_V, core):
        mean = values.mean(axis=0, dtype=np.float64).astype(np.float32)
        std = np.maximum(values.std(axis=0, dtype=np.float64), _SMALLEST_STD).astype(np.float32)
        parts += [jnp.asarray(mean), jnp.asarray(std)]
        data.append(jnp.asarray((values - mean) / std))
    parts[1] = parts[1] * noise_scale
    return Normalizers(*parts), _Data(*data)


def _run(
    settings: TrainingSettings, meta: SurrogateMeta, data: _Data, saved: Path, save_every: int
) -> _State:
    key = jax.random.key(settings.seed)
    network = VelocityField(meta, key=key)
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adam(
            optax.warmup_cosine_decay_schedule(
                0.0,
                settings.learning_rate,
                min(200, settings.n_updates // 10 + 1),
                settings.n_updates + 1,
            ),
            b2=0.99,
        ),
    )
    arrays = eqx.filter(network, eqx.is_inexact_array)
    state = _State(jnp.zeros((), int), network, network, optimiser.init(arrays), jnp.ones(()))
    if saved.exists():
        state = eqx.tree_deserialise_leaves(saved, state)
    update = _updater(settings, optimiser, key)
    first = int(state.update)
    with trange(first, settings.n_updates, initial=first, total=settings.n_updates) as bar:
        for done in bar:
            state = update(state, data)
            if (done + 1) % save_every == 0:
                bar.set_postfix(loss=f"{float(state.loss):.4f}")
                write_atomic(saved, lambda path: eqx.tree_serialise_leaves(path, state))  # noqa: B023
    return state


def _updater(
    settings: TrainingSettings, optimiser: optax.GradientTransformation, key: Array
) -> Callable[[_State, _Data], _State]:
    def loss_of(network: VelocityField, batch: _Data, key: Array) -> Array:
        key_time, key_order, key_noise = jax.random.split(key, 3)
        n = settings.batch * settings.repeats

        def repeat(values: Array) -> Array:
            return jnp.repeat(values, settings.repeats, axis=0)

        x = repeat(batch.x)
        encoding = repeat(jax.vmap(network.encode_signal)(batch.signal))
        uniform = (jnp.arange(n) + jax.random.uniform(key_time)) / n
        time = jax.random.permutation(key_order, uniform) ** settings.time_power
        noise = settings.noise_scale * jax.random.normal(key_noise, x.shape)
        between = (1 - time)[:, None] * noise + time[:, None] * x
        parameters = repeat(batch.parameters)
        velocity = jax.vmap(network.velocity)(time, between, encoding, parameters)
        return jnp.mean((1 - time)[:, None] * (velocity - (x - noise)) ** 2)

    @eqx.filter_jit
    def update(state: _State, data: _Data) -> _State:
        key_rows, key_loss = jax.random.split(jax.random.fold_in(key, state.update))
        rows = jax.random.randint(key_rows, (settings.batch,), 0, len(data.x))
        batch = jax.tree.map(lambda values: values[rows], data)
        loss, gradient = eqx.filter_value_and_grad(loss_of)(state.weights, batch, key_loss)
        change, moments = optimiser.update(gradient, state.optimiser)
        weights = eqx.apply_updates(state.weights, change)
        # the average starts as a plain mean, so that the first weights do not linger
        decay = jnp.minimum(settings.averaging, state.update / (state.update + 10.0))

        def blend(old: Array, new: Array) -> Array:
            return decay * old + (1 - decay) * new if eqx.is_inexact_array(new) else new

        averaged = jax.tree.map(blend, state.averaged, weights)
        smooth = jnp.minimum(0.99, decay)
        return _State(
            state.update + 1, weights, averaged, moments, smooth * state.loss + (1 - smooth) * loss
        )

    return update


def _to_unit_noise(network: VelocityField, noise_scale: float) -> VelocityField:
    """The same flow for states divided by `noise_scale`, which start from unit noise."""
    first, last = network.layers[0], network.layers[-1]
    state = slice(N_TIME_FEATURES, N_TIME_FEATURES + last.bias.size)
    return eqx.tree_at(
        lambda n: (n.layers[0].weight, n.layers[-1].weight, n.layers[-1].bias),
        network,
        (
            first.weight.at[:, state].multiply(noise_scale),
            last.weight / noise_scale,
            last.bias / noise_scale,
        ),
    )
