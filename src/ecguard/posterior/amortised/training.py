"""Training of the built-in amortised posterior on the traces of the built-in family.

Every update sees each trace with noise, noise level and mask drawn anew, so that one set of clean
traces serves the whole run. Weights are stored in half precision; the held-out loss in the record
is that of the stored weights.
"""

import json
import math
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
from ecguard.posterior import coordinates as co
from ecguard.posterior.amortised.artefacts import Amortised, AmortisedMeta, halve, save_amortised
from ecguard.posterior.amortised.network import (
    N_COORDINATES,
    Network,
    Seen,
    Sizes,
    describe_waveform,
    log_density_of,
)
from ecguard.posterior.amortised.traces import TraceBasis, fit_basis, project
from ecguard.posterior.unknowns import MAX_COUPLES, split

TRAINING_FILE = "amortised_training.json"
_STATE_FILE = "amortised_training_state.eqx"
_BLOCK = 65_536
_BASIS_CASES = 30_000
_WARM_UP = 500


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training run; the defaults make the built-in checkpoint.

    Args:
        seed: of the weights; 1000 (seed + 31) and on are the family's seeds for training blocks,
            1000 (seed + 31) - 1 for held-out cases.
        n_cases: training cases drawn from the family.
        n_held_out: held-out cases.
        n_updates: optimiser updates.
        batch: cases an update, the same number of each task.
        learning_rate: peak of the cosine schedule.
        weight_decay: of the weights.
        averaging: decay of the moving average of the weights that is kept.
        noise_low, noise_high: the noise std is log-uniform between them, mA/cm^2.
        keep_low, keep_high: the share of observed samples is uniform between them.
        width, depth: of the residual network.

    Raises:
        InputError: a value is out of range.
    """

    seed: int = 0
    n_cases: int = 1_000_000
    n_held_out: int = 4_000
    n_updates: int = 20_000
    batch: int = 1_024
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    averaging: float = 0.999
    noise_low: float = 0.025
    noise_high: float = 0.1
    keep_low: float = 0.2
    keep_high: float = 1.0
    width: int = 512
    depth: int = 3

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            lowest = 0 if name == "seed" else 1 if isinstance(value, int) else 1e-9
            if not np.isfinite(value) or value < lowest:
                raise InputError(name, value, f"finite and >= {lowest}", "choose another value")
        for low, high in (("noise_low", "noise_high"), ("keep_low", "keep_high")):
            if getattr(self, low) >= getattr(self, high):
                raise InputError(low, getattr(self, low), f"below {high}", "exchange them")
        if self.averaging >= 1 or self.keep_high > 1:
            raise InputError("averaging, keep_high", self.averaging, "at most 1", "lower them")
        if self.batch % len(family.TASKS):
            raise InputError(
                "batch", self.batch, f"a multiple of {len(family.TASKS)} tasks", "round it up"
            )


class Targets(NamedTuple):
    """Cases as the loss needs them.

    Args:
        current: clean, mA/cm^2 [..., L].
        waveform: `describe_waveform` [..., W].
        coordinates, low, high: of the electrode, and their intervals [..., 16].
        n_couples: [...].
    """

    current: Any
    waveform: Any
    coordinates: Any
    low: Any
    high: Any
    n_couples: Any


class _State(NamedTuple):
    """What a resumed run needs."""

    update: Array
    network: Network
    averaged: Network
    optimiser: optax.OptState
    loss: Array  # moving average of the training loss


def train(
    out_dir: Path | str,
    settings: TrainingSettings | None = None,
    *,
    save_every: int = 500,
    command: str = "ecguard train --engine amortised",
) -> dict[str, Any]:
    """Train the amortised posterior of the built-in family and write it to `out_dir`.

    A run that was killed goes on from its last saved state when called again with the same
    settings.

    Args:
        out_dir: receives checkpoint, metadata and `amortised_training.json`.
        settings: of the training.
        save_every: updates between saved states.
        command: for the provenance.

    Returns:
        The content of `amortised_training.json`.

    Raises:
        InputError: `out_dir` holds the state of a run with other settings.
    """
    settings = settings or TrainingSettings()
    out_dir = Path(out_dir)
    record: dict[str, Any] = {"command": command, "settings": asdict(settings)}
    started = out_dir / "amortised_training_started.json"
    if started.exists() and json.loads(started.read_text()) != record["settings"]:
        raise InputError(
            "out_dir", str(out_dir), "empty, or a run of the same settings", "choose a new folder"
        )
    write_text(started, json.dumps(record["settings"]))

    first_seed = 1000 * (settings.seed + 31)
    targets, task = _training_targets(first_seed, settings.n_cases)
    rows = [np.flatnonzero(task == k) for k in range(len(family.TASKS))]
    bases = [fit_basis(targets.current[own[:_BASIS_CASES]]) for own in rows]
    basis = jax.tree.map(lambda *leaves: jnp.stack(leaves), *bases)
    state = _run(settings, basis, targets, rows, out_dir / _STATE_FILE, save_every)
    meta = AmortisedMeta(
        sizes=Sizes(settings.width, settings.depth),
        noise_range=(settings.noise_low, settings.noise_high),
        keep_range=(settings.keep_low, settings.keep_high),
    )
    amortised = halve(Amortised(state.averaged, basis, meta))
    save_amortised(out_dir, amortised)

    held_out, task = _targets(family.draw(first_seed - 1, settings.n_held_out))
    loss = held_out_loss(amortised, held_out, task, settings.seed)
    record["data"] = {
        "training": {"family_seed": first_seed, "cases": settings.n_cases, "block": _BLOCK},
        "held_out": {"family_seed": first_seed - 1, "cases": settings.n_held_out},
    }
    record["training_loss"] = float(state.loss)
    record["held_out"] = {
        "mean_loss": float(loss.mean()),
        "mean_loss_by_couples": {
            str(m): float(loss[held_out.n_couples == m].mean()) for m in (1, 2)
        },
        "mean_loss_per_task": {
            name: float(loss[task == k].mean()) for k, name in enumerate(family.TASKS)
        },
    }
    record["device"] = jax.devices()[0].platform
    record["versions"] = {"jax": jax.__version__, "equinox": eqx.__version__}
    write_text(out_dir / TRAINING_FILE, json.dumps(record, indent=2) + "\n")
    for leftover in (_STATE_FILE, started.name):
        (out_dir / leftover).unlink(missing_ok=True)
    return record


def held_out_loss(
    amortised: Amortised, targets: Targets, task: NDArray[np.integer], seed: int
) -> NDArray[np.float64]:
    """Negative ln density of the true coordinates, each case seen once [n]."""
    losses = np.zeros(len(task))
    for k in range(len(family.TASKS)):
        own = np.flatnonzero(task == k)
        if not len(own):
            continue
        part = jax.tree.map(lambda leaf, rows=own: jnp.asarray(leaf[rows]), targets)
        settings = TrainingSettings(
            noise_low=amortised.meta.noise_range[0],
            noise_high=amortised.meta.noise_range[1],
            keep_low=amortised.meta.keep_range[0],
            keep_high=amortised.meta.keep_range[1],
        )
        key = jax.random.fold_in(jax.random.key(seed), k)
        basis = jax.tree.map(lambda leaf, k=k: leaf[k], amortised.basis)
        seen = _see(basis, part, k, key, settings)
        losses[own] = _losses(amortised.network, seen, part)
    return losses


def _training_targets(first_seed: int, n: int) -> tuple[Targets, NDArray[np.int32]]:
    parts = []
    with trange(0, n, _BLOCK, desc="simulating", unit="block") as bar:
        for start in bar:
            chunk = family.draw(first_seed + start // _BLOCK, min(_BLOCK, n - start))
            parts.append(_targets(chunk))
    targets = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(part[0] for part in parts))
    return targets, np.concatenate([part[1] for part in parts])


def _targets(chunk: Chunk) -> tuple[Targets, NDArray[np.int32]]:
    """Training targets and task labels of rows of the family."""
    rows = chunk.parameters.reshape(chunk.rows, -1, MAX_COUPLES)
    n_couples = (rows[:, 2] > 0).sum(axis=1)
    assert chunk.time_s is not None  # noqa: S101
    assert chunk.Ru_ohm is not None  # noqa: S101
    assert chunk.Cdl_F is not None  # noqa: S101
    cell = np.stack([chunk.Ru_ohm, chunk.Cdl_F], axis=1)
    values, low, high = (
        np.full((chunk.rows, N_COORDINATES), value, np.float32) for value in (0.5, 0.0, 1.0)
    )
    for m in range(1, MAX_COUPLES + 1):
        own = n_couples == m
        row = rows[own][:, :, :m].reshape(own.sum(), -1)
        coordinates = co.to_coordinates(split(np.concatenate([row, cell[own]], axis=1)))
        ends = co.intervals(coordinates, m)
        d = coordinates.shape[1]
        low[own, :d], high[own, :d] = ends.low, ends.high
        values[own, :d] = np.clip(coordinates, ends.low, ends.high)
    drive = jnp.asarray(chunk.time_s), jnp.asarray(chunk.potential_V)
    waveform = np.asarray(describe_waveform(*drive))
    targets = Targets(chunk.current_mA_cm2, waveform, values, low, high, n_couples)
    return targets, chunk.task_id


def _see(
    basis: TraceBasis, targets: Targets, task: int, key: Array, settings: TrainingSettings
) -> Seen:
    """Traces of one task with noise and mask drawn anew."""
    key_level, key_share, key_mask, key_noise = jax.random.split(key, 4)
    n = targets.current.shape[:1]
    low, high = math.log(settings.noise_low), math.log(settings.noise_high)
    noise_std = jnp.exp(jax.random.uniform(key_level, n, minval=low, maxval=high))
    keep = jax.random.uniform(key_share, n, minval=settings.keep_low, maxval=settings.keep_high)
    observed = jax.random.uniform(key_mask, targets.current.shape) < keep[:, None]
    noise = jax.random.normal(key_noise, targets.current.shape)
    projection = project(basis, targets.current + noise_std[:, None] * noise, observed, noise_std)
    return Seen(projection, targets.waveform, jnp.full(n, task), targets.n_couples)


@eqx.filter_jit
def _losses(network: Network, seen: Seen, targets: Targets) -> Array:
    present = (jnp.arange(N_COORDINATES) < co.couple_start(1)) | (targets.n_couples[:, None] > 1)
    ends = co.Interval(targets.low, targets.high)
    summary = network.summarise(seen)
    return -log_density_of(network, summary, targets.coordinates, ends, present)


def _run(
    settings: TrainingSettings,
    basis: TraceBasis,
    targets: Targets,
    rows: list[NDArray[np.intp]],
    saved: Path,
    save_every: int,
) -> _State:
    key = jax.random.key(settings.seed)
    network = Network(Sizes(settings.width, settings.depth), key=key)
    warm_up = min(_WARM_UP, settings.n_updates // 10 + 1)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, settings.learning_rate, warm_up, settings.n_updates + 1
    )
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=settings.weight_decay)
    )
    state = _State(jnp.zeros((), int), network, network, optimiser.init(network), jnp.zeros(()))
    if saved.exists():
        state = eqx.tree_deserialise_leaves(saved, state)
    update = _updater(settings, basis, optimiser, key)
    share = settings.batch // len(rows)
    first = int(state.update)
    with trange(first, settings.n_updates, initial=first, total=settings.n_updates) as bar:
        for done in bar:
            rng = np.random.default_rng((settings.seed, done))
            chosen = np.stack([own[rng.integers(len(own), size=share)] for own in rows])
            state = update(state, jax.tree.map(lambda leaf: leaf[chosen], targets))  # noqa: B023
            if (done + 1) % save_every == 0:
                bar.set_postfix(loss=f"{float(state.loss):.3f}")
                write_atomic(saved, lambda path: eqx.tree_serialise_leaves(path, state))  # noqa: B023
    return state


def _updater(
    settings: TrainingSettings,
    basis: TraceBasis,
    optimiser: optax.GradientTransformation,
    key: Array,
) -> Any:
    @jax.jit
    def update(state: _State, targets: Targets) -> _State:
        own_key = jax.random.fold_in(key, state.update)
        seen = [
            _see(
                jax.tree.map(lambda leaf: leaf[k], basis),  # noqa: B023
                jax.tree.map(lambda leaf: leaf[k], targets),  # noqa: B023
                k,
                jax.random.fold_in(own_key, k),
                settings,
            )
            for k in range(len(family.TASKS))
        ]
        together = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *seen)
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), targets)
        loss, gradient = jax.value_and_grad(
            lambda network: jnp.mean(_losses(network, together, flat))
        )(state.network)
        change, moments = optimiser.update(gradient, state.optimiser, state.network)
        network = optax.apply_updates(state.network, change)
        decay = jnp.minimum(settings.averaging, state.update / (state.update + 10.0))
        averaged = jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, state.averaged, network)
        smooth = jnp.minimum(0.99, decay)
        mean = smooth * state.loss + (1 - smooth) * loss
        return _State(state.update + 1, network, averaged, moments, mean)

    return update
