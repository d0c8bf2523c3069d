"""How fast a posterior is at the reference's settings, beside plainer loops of the same network.

The network has the geometry of a reference artefact and random weights: time does not depend on
their values, and the measurement needs no file.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ecguard.posterior import CrossEntropySettings, infer
from ecguard.report.chapter import Chapter
from ecguard.report.claims import Claim
from ecguard.surrogate import Normalizers, Surrogate, SurrogateMeta, VelocityField

N_TRACES, REPEATS, PATHS_TIMED = 12, 5, 4
SETTINGS = CrossEntropySettings.reference()
REFERENCE_GEOMETRY = SurrogateMeta(
    max_species=5,
    nx=24,
    target_len=1024,
    state_dim=1264,
    phys_dim_base=35,
    phys_dim_core=46,
    phys_dim=46,
    n_tasks=8,
    n_stages=3,
    hidden_size=128,
    depth=3,
)


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


class PosteriorSpeed(NamedTuple):
    """Seconds of one posterior, compilation excluded, and the machine it ran on.

    Attributes:
        batch: `infer` on `N_TRACES` traces at once.
        compiled: whole Euler loops compiled, the network evaluated as it is written.
        interpreted: Python over particles, draws and steps, one compiled velocity a step; scaled
            from `PATHS_TIMED` paths.
        matmul_rate: of a large float32 matrix product, flop/s.
        executed, written: matrix-product flops of one posterior, see `flops`.
    """

    batch: Seconds
    compiled: Seconds
    interpreted: Seconds
    matmul_rate: float
    executed: float
    written: float

    @property
    def matmul_share(self) -> float:
        """Share of the machine's matrix-product rate that `infer` reaches."""
        return self.executed / self.batch.wall / self.matmul_rate


def measure(surrogate: Surrogate | None = None) -> PosteriorSpeed:
    """Time posteriors at the reference's settings.

    Args:
        surrogate: to time; None takes random weights of the reference's geometry.
    """
    surrogate = surrogate or random_surrogate(REFERENCE_GEOMETRY)
    meta = surrogate.meta
    rng = np.random.default_rng(0)
    E_V, current = rng.normal(size=(2, N_TRACES, meta.target_len)).astype(np.float32)
    observed = rng.random(E_V.shape) < 0.4
    labels = np.zeros(N_TRACES, int)
    parameters = np.asarray(surrogate.normalizers.p_mean)[: meta.phys_dim_base]
    context = np.zeros((N_TRACES, len(meta.context_names)))
    core = surrogate.compose(
        jnp.tile(jnp.asarray(parameters), (N_TRACES, 1)), labels, labels, context
    )
    known = np.arange(core.shape[1]) >= meta.phys_dim_base
    keys = jax.random.split(jax.random.key(15000), N_TRACES)
    paths = SETTINGS.n_particles * SETTINGS.n_mc
    x0 = jax.random.normal(jax.random.key(0), (paths, meta.state_dim))
    one = (surrogate, x0, jnp.asarray(E_V[0]), core[0])
    few = (surrogate, x0[:PATHS_TIMED], *one[2:])
    arguments = (surrogate, E_V, current, observed, core, known, keys, SETTINGS)
    executed, written = flops(surrogate)
    return PosteriorSpeed(
        batch=fastest(lambda: infer(*arguments)).scaled(1 / N_TRACES),
        compiled=fastest(lambda: compiled_paths(*one)).scaled(SETTINGS.n_iters),
        interpreted=fastest(lambda: interpreted_paths(*few), repeats=2).scaled(
            SETTINGS.n_iters * paths / PATHS_TIMED
        ),
        matmul_rate=matmul_rate(),
        executed=executed,
        written=written,
    )


def random_surrogate(meta: SurrogateMeta) -> Surrogate:
    """Random weights, standardised units."""
    sizes = (meta.state_dim, meta.target_len, meta.phys_dim_core)
    units = [unit(n) for n in sizes for unit in (jnp.zeros, jnp.ones)]
    return Surrogate(VelocityField(meta, key=jax.random.key(0)), Normalizers(*units), meta)


def speed_claims(chapter: Chapter, speed: PosteriorSpeed) -> list[Claim]:
    """Seconds a posterior, the gain over plainer loops, and the share of the machine reached."""
    settings = (
        f"{SETTINGS.n_particles} particles, {SETTINGS.n_iters} iterations, {SETTINGS.n_mc} draws, "
        f"{SETTINGS.n_steps} Euler steps, a network of the reference's geometry"
    )
    return [
        chapter.claim(
            "seconds-per-posterior",
            f"Wall time of a posterior in a batch of {N_TRACES} at the reference's settings "
            f"({settings}), compilation excluded.",
            speed.batch.wall,
            bound={"op": "<=", "value": 0.4},
            unit="s",
            n=N_TRACES,
        ),
        chapter.claim(
            "gain-over-interpreted-loop",
            "Processor time of the same posterior by a Python loop of compiled single steps "
            f"(scaled from {PATHS_TIMED} paths), over ours.",
            speed.interpreted.cpu / speed.batch.cpu,
            bound={"op": ">=", "value": 60.0},
            n=N_TRACES,
        ),
        chapter.claim(
            "gain-over-compiled-loop",
            "Wall time of the same posterior by a fully compiled loop of the network as written, "
            "over ours.",
            speed.compiled.wall / speed.batch.wall,
            bound={"op": ">=", "value": 1.0},
            n=N_TRACES,
        ),
        chapter.claim(
            "matmul-share",
            "Share of this machine's float32 matrix-product rate "
            f"({speed.matmul_rate / 1e9:.0f} Gflop/s) that the posterior's matrix products reach; "
            "the rest goes into activations and random numbers.",
            speed.matmul_share,
            bound={"op": ">=", "value": 0.25},
            n=N_TRACES,
        ),
    ]
