"""Seconds per posterior at the reference's settings on ECSFM artefacts, beside plainer loops.

    python benchmarks/posterior_speed.py [folder of the artefacts]

Three forms of the same posterior (64 particles, 4 iterations, 2 draws, 60 Euler steps) are timed in
one process on the same artefacts, compilation excluded from each:

- `infer` on 12 traces at once;
- the compiled loop: whole Euler loops under jit and vmap, the network evaluated as it is written;
- the interpreted loop: Python over particles, draws and steps, one jitted velocity a step. It is
  run for a few paths and scaled to the 512 paths of a posterior.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ecguard.chunk import load_chunk
from ecguard.posterior import CrossEntropySettings, infer
from ecguard.surrogate import Surrogate, load_surrogate

N_TRACES, REPEATS, PATHS_TIMED = 12, 5, 4
SETTINGS = CrossEntropySettings.reference()
SAMPLE = Path(__file__).resolve().parents[2] / "shared" / "data" / "ecsfm-sample"


class Seconds(NamedTuple):
    """Fastest repeat: wall clock and processor time of all threads."""

    wall: float
    cpu: float

    def scaled(self, factor: float) -> "Seconds":
        """Both times `factor`."""
        return Seconds(self.wall * factor, self.cpu * factor)


def fastest(run: Callable[[], object], repeats: int = REPEATS) -> Seconds:
    """Time `run` after one call that compiles it."""
    jax.block_until_ready(run())
    found = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready(run())
        found.append(Seconds(time.perf_counter() - wall, time.process_time() - cpu))
    return min(found)


def matmul_rate(size: int = 2048) -> float:
    """Flops a second of a large float32 matrix product."""
    square = jnp.ones((size, size))
    product = jax.jit(lambda a: a @ a)
    return 2 * size**3 / fastest(lambda: product(square)).wall


def velocity(
    surrogate: Surrogate, t: jax.Array, x: jax.Array, E_V: jax.Array, core: jax.Array
) -> jax.Array:
    """The network as it is written: everything evaluated anew at each step."""
    signal = surrogate.signal(E_V[None])[0]
    return surrogate.network(t, x, signal, surrogate.standardise(core))


@eqx.filter_jit
def compiled_paths(
    surrogate: Surrogate, x0: jax.Array, E_V: jax.Array, core: jax.Array
) -> jax.Array:
    """Ends [paths, state] of Euler paths from x0 [paths, state], by the network as written."""

    def path(x: jax.Array) -> jax.Array:
        def step(x: jax.Array, k: jax.Array) -> tuple[jax.Array, None]:
            v = velocity(surrogate, k / SETTINGS.n_steps, x, E_V, core)
            return x + v / SETTINGS.n_steps, None

        return jax.lax.scan(step, x, jnp.arange(SETTINGS.n_steps, dtype=jnp.float32))[0]

    return jax.vmap(path)(x0)


def interpreted_paths(
    surrogate: Surrogate, x0: jax.Array, E_V: jax.Array, core: jax.Array
) -> list[jax.Array]:
    """The same, one jitted velocity at a time."""
    jitted = eqx.filter_jit(velocity)
    ends = []
    for x in x0:
        for k in range(SETTINGS.n_steps):
            x = x + jitted(surrogate, jnp.float32(k / SETTINGS.n_steps), x, E_V, core) / (
                SETTINGS.n_steps
            )
        ends.append(x)
    return ends


def flops(surrogate: Surrogate) -> tuple[float, float]:
    """Matrix-product flops of one posterior: as executed by `infer`, and as the network is written
    (its signal encoder counted once a posterior in both)."""
    meta = surrogate.meta
    hidden, steps = meta.hidden_size, SETTINGS.n_steps
    paths = SETTINGS.n_particles * SETTINGS.n_mc * SETTINGS.n_iters
    inner = (meta.depth - 1) * hidden**2
    ends = hidden * (meta.state_dim + meta.target_len)
    executed = paths * (steps * (inner + hidden**2) + ends)
    inputs = 32 + meta.state_dim + meta.cond_dim + meta.phys_dim
    written = paths * steps * (inputs * hidden + inner + hidden * meta.state_dim)
    return 2.0 * executed, 2.0 * written


def main() -> None:
    """Print the table."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE
    surrogate = load_surrogate(folder / "surrogate_model.eqx")
    chunk = load_chunk(folder / "chunk_0.npz").take(np.arange(N_TRACES))
    core = surrogate.compose(chunk.parameters, chunk.task_id, chunk.stage_id)
    known = np.arange(core.shape[1]) >= surrogate.meta.phys_dim_base
    observed = np.random.default_rng(0).random(chunk.current_mA_cm2.shape) < 0.4
    keys = jax.random.split(jax.random.key(15000), N_TRACES)
    paths = SETTINGS.n_particles * SETTINGS.n_mc
    x0 = jax.random.normal(jax.random.key(0), (paths, surrogate.meta.state_dim))
    one = (surrogate, x0, jnp.asarray(chunk.potential_V[0]), core[0])

    rate = matmul_rate()
    batch = fastest(
        lambda: infer(
            surrogate,
            chunk.potential_V,
            chunk.current_mA_cm2,
            observed,
            core,
            known,
            keys,
            SETTINGS,
        )
    ).scaled(1 / N_TRACES)
    compiled = fastest(lambda: compiled_paths(*one)).scaled(SETTINGS.n_iters)
    few = (surrogate, x0[:PATHS_TIMED], *one[2:])
    interpreted = fastest(lambda: interpreted_paths(*few), repeats=2).scaled(
        SETTINGS.n_iters * paths / PATHS_TIMED
    )
    executed, written = flops(surrogate)

    print(f"seconds per posterior, fastest repeat, compilation excluded ({N_TRACES} traces)")
    print("form                                   wall s      CPU s   wall ratio   CPU ratio")
    for name, seconds in (
        (f"infer, batch of {N_TRACES}", batch),
        ("compiled loop, network as written", compiled),
        (f"interpreted loop, scaled from {PATHS_TIMED} paths", interpreted),
    ):
        print(
            f"{name:<36}{seconds.wall:>9.3f}{seconds.cpu:>11.3f}"
            f"{seconds.wall / batch.wall:>12.1f}{seconds.cpu / batch.cpu:>12.1f}"
        )
    print(f"float32 matrix product of this machine: {rate / 1e9:.0f} Gflop/s")
    print(
        f"infer executes {executed / 1e9:.2f} Gflop a posterior in matrix products: "
        f"{executed / batch.wall / rate:.0%} of that rate"
    )
    print(
        f"the network as written would need {written / 1e9:.1f} Gflop: "
        f"{written / batch.wall / rate:.0%} of that rate, by work avoided"
    )


if __name__ == "__main__":
    main()
