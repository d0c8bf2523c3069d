"""The cross-entropy method: a Gaussian proposal drawn towards particles that explain a trace.

One iteration, in standardised parameters:

1. Particles from N(mean, std^2), clipped to +-clip, then to physical values; known entries are set.
2. `n_mc` surrogate traces a particle. Its likelihood is the mean of their Gaussian densities over
   the observed samples.
3. The elite, the share `elite_frac` with the largest likelihood, gets weights w_i proportional to
   exp(beta log likelihood_i); weighted moments of the elite are the next mean and std.

With likelihood "summed", beta is the largest value <= 1 at which the effective sample size
1/sum(w^2) of the elite is at least half its size. Untempered weights put everything on one
particle long before the proposal has found the posterior. With "mean", the log likelihood is
averaged over the samples and beta = 1, as in the reference study.

The posterior returned consists of the particles, weights and traces of the last iteration and of
the mean and std after it.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from ecguard.errors import InputError
from ecguard.parameters import ALPHA_LIMITS, C_OX_LEAST_MM, C_RED_LEAST_MM
from ecguard.surrogate import Surrogate
from ecguard.surrogate.sampler import Drive, sample_tail

Likelihood = Literal["summed", "mean"]

_BLOCK_FLOATS = 2**23
_LOWEST_LOG_BETA = -60.0
_BISECTIONS = 40


@dataclass(frozen=True)
class CrossEntropySettings:
    """Settings of the method; the defaults are the reference's, with its two corrections.

    Args:
        n_particles: particles per iteration.
        n_iters: iterations.
        elite_frac: share of the particles that makes the next proposal.
        n_mc: surrogate draws per particle.
        n_steps: Euler steps per draw.
        noise_std: standard deviation of the observation noise, mA/cm^2.
        init_std: of the first proposal, standardised units.
        std_min, std_max: range that the proposal's standard deviation is kept in.
        clip: largest magnitude of a standardised parameter.
        likelihood: "summed" over the observed samples, or their "mean" as in the reference.
        predictive_noise: whether the predictive variance includes the observation noise.

    Raises:
        InputError: a value is out of range.
    """

    n_particles: int = 64
    n_iters: int = 4
    elite_frac: float = 0.25
    n_mc: int = 2
    n_steps: int = 60
    noise_std: float = 0.05
    init_std: float = 1.0
    std_min: float = 0.05
    std_max: float = 2.5
    clip: float = 4.0
    likelihood: Likelihood = "summed"
    predictive_noise: bool = True

    def __post_init__(self) -> None:
        for name, least in (("n_particles", 2), ("n_iters", 1), ("n_mc", 1), ("n_steps", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(
                    name, value, f"a whole number, {least} or more", "The reference study has one."
                )
        for name in ("noise_std", "init_std", "std_min", "std_max", "clip"):
            value = getattr(self, name)
            if not (_is_number(value) and 0 < value < math.inf):
                raise InputError(name, value, "a finite number above 0", "Give a positive one.")
        if not (_is_number(self.elite_frac) and 0 < self.elite_frac <= 1):
            raise InputError(
                "elite_frac", self.elite_frac, "above 0, at most 1", "The reference takes 0.25."
            )
        if self.std_min > self.std_max:
            raise InputError(
                "std_min", self.std_min, f"at most std_max = {self.std_max}", "Exchange them."
            )
        if self.likelihood not in get_args(Likelihood):
            raise InputError(
                "likelihood", self.likelihood, f"one of {get_args(Likelihood)}", "Choose one."
            )
        if not isinstance(self.predictive_noise, bool):
            raise InputError(
                "predictive_noise", self.predictive_noise, "True or False", "Choose one."
            )

    @classmethod
    def reference(cls) -> "CrossEntropySettings":
        """The reference study as it stands: mean likelihood, predictive std without noise."""
        return cls(likelihood="mean", predictive_noise=False)

    @property
    def n_elite(self) -> int:
        """Particles that make the next proposal."""
        return max(1, round(self.elite_frac * self.n_particles))


class Posterior(eqx.Module):
    """What was inferred from n traces; parameters in standardised units.

    Args:
        particles: of the last iteration [n, n_particles, core].
        log_weights: their normalised log weights, -inf outside the elite [n, n_particles].
        mean, std: of the parameters [n, core]; a known entry has its value and std 0.
        predictive_mean, predictive_std: of the trace, mA/cm^2 [n, L].
    """

    particles: Array
    log_weights: Array
    mean: Array
    std: Array
    predictive_mean: Array
    predictive_std: Array


def infer(
    surrogate: Surrogate,
    E_V: ArrayLike,
    current: ArrayLike,
    observed: ArrayLike,
    known_values: ArrayLike,
    known_mask: ArrayLike,
    keys: Array,
    settings: CrossEntropySettings,
) -> Posterior:
    """Infer the parameters of n traces.

    Compiled once for each number of traces and settings; large numbers go in equal blocks.

    Args:
        surrogate: the model of the physics.
        E_V: applied potential, V [n, L].
        current: measured current density, mA/cm^2 [n, L]; any value where not observed.
        observed: which samples were measured [n, L]; a two-channel network sees it as well.
        known_values: core parameters in raw units [n, core]; used where known.
        known_mask: which core parameters are known [core].
        keys: a random key for each trace [n].
        settings: of the method.

    Raises:
        InputError: a shape does not fit the surrogate, a trace has no observed sample, or a value
            that is used is not finite.
    """
    meta = surrogate.meta
    E, shown, known = np.asarray(E_V), np.asarray(observed), np.asarray(known_mask)
    measured, values = np.asarray(current), np.asarray(known_values)
    n = E.shape[0] if E.ndim else 0
    for name, shape, expected in (
        ("E_V", E.shape, (n, meta.target_len)),
        ("current", measured.shape, (n, meta.target_len)),
        ("observed", shown.shape, (n, meta.target_len)),
        ("known_values", values.shape, (n, meta.phys_dim_core)),
        ("known_mask", known.shape, (meta.phys_dim_core,)),
        ("keys", keys.shape[:1], (n,)),
    ):
        if shape != expected or n == 0:
            raise InputError(
                name,
                shape,
                f"shape {expected} of at least one trace",
                "Use a chunk and a surrogate that belong together.",
            )
    for name, mask in (("observed", shown), ("known_mask", known)):
        if mask.dtype != np.bool_:
            raise InputError(name, mask.dtype, "an array of True and False", "Convert it first.")
    if not shown.any(axis=1).all():
        raise InputError(
            "observed",
            f"nothing in trace {int(np.argmin(shown.any(axis=1)))}",
            "at least one observed sample a trace",
            "Keep more samples.",
        )
    measured = np.where(shown, measured, 0.0).astype(np.float32)
    values = np.where(known, values, 0.0).astype(np.float32)
    E = E.astype(np.float32)
    for name, array in (("E_V", E), ("current", measured), ("known_values", values)):
        if not np.isfinite(array).all():
            raise InputError(name, "NaN or infinite", "finite numbers", "Remove these traces.")
    return _infer_blocks(surrogate, (E, measured, shown, values), known, keys, settings)


class _Update(NamedTuple):
    particles: Array
    currents: Array
    log_weights: Array
    mean: Array
    std: Array


def _infer_blocks(
    surrogate: Surrogate,
    traces: tuple[np.ndarray, ...],
    known: np.ndarray,
    keys: Array,
    settings: CrossEntropySettings,
) -> Posterior:
    n = keys.shape[0]
    floats = settings.n_particles * settings.n_mc * surrogate.meta.state_dim
    n_blocks = math.ceil(n * floats / max(_BLOCK_FLOATS, floats))
    size = math.ceil(n / n_blocks)
    blocks = []
    for start in range(0, n, size):
        rows = np.arange(start, start + size).clip(max=n - 1)
        E_V, current, observed, values = (trace[rows] for trace in traces)
        block = _infer_block(surrogate, E_V, current, observed, values, known, keys[rows], settings)
        blocks.append(jax.tree.map(lambda leaf, end=n - start: leaf[:end], block))
    posterior = jax.tree.map(lambda *parts: jnp.concatenate(parts), *blocks)
    if not np.isfinite(np.asarray(posterior.mean)).all():
        raise InputError(
            "noise_std",
            settings.noise_std,
            "large enough that a log likelihood stays finite in float32",
            "Check the unit of the current, or raise it.",
        )
    return posterior


@eqx.filter_jit
def _infer_block(
    surrogate: Surrogate,
    E_V: ArrayLike,
    current: ArrayLike,
    observed: ArrayLike,
    known_values: ArrayLike,
    known: ArrayLike,
    keys: Array,
    settings: CrossEntropySettings,
) -> Posterior:
    E_V, current, observed = jnp.asarray(E_V), jnp.asarray(current), jnp.asarray(observed)
    known_values, is_known = jnp.asarray(known_values), jnp.asarray(known)
    n, length = E_V.shape
    core = known_values.shape[1]
    n_particles, n_mc = settings.n_particles, settings.n_mc
    drive = Drive.of(surrogate.network)
    from_signal = drive.from_encoding(surrogate.encode(E_V, observed))
    known_std = surrogate.standardise(known_values)
    lower, upper = (surrogate.standardise(bound) for bound in _physical_bounds(surrogate))

    def draw_currents(particles: Array, x0: Array) -> Array:
        features = surrogate.parameter_features(particles)
        constant = from_signal[:, None] + drive.from_parameters(features)
        constant = jnp.broadcast_to(constant[:, :, None], (*x0.shape[:3], constant.shape[-1]))
        tail = sample_tail(
            surrogate.network,
            x0.reshape(-1, x0.shape[-1]),
            constant.reshape(-1, constant.shape[-1]),
            settings.n_steps,
            length,
        )
        over_particles = jax.vmap(surrogate.current_scale, in_axes=(None, 0))
        scale = jax.vmap(over_particles)(E_V, surrogate.raw(particles))
        return surrogate.current_density(tail.reshape(*x0.shape[:3], length), scale[:, :, None])

    def iterate(number: Array, last: _Update) -> _Update:
        one_each = jax.vmap(
            lambda key: jax.random.normal(
                jax.random.fold_in(key, number),
                (n_particles, core + n_mc * surrogate.meta.state_dim),
            )
        )
        noise, x0 = jnp.split(one_each(keys), [core], axis=-1)
        particles = last.mean[:, None] + last.std[:, None] * noise
        particles = jnp.clip(particles, -settings.clip, settings.clip)
        particles = jnp.clip(particles, lower, upper)
        particles = jnp.where(is_known, known_std[:, None], particles)
        currents = draw_currents(particles, x0.reshape(n, n_particles, n_mc, -1))
        log_likelihood = _log_likelihood(currents, current, observed, settings)
        return _update(particles, currents, log_likelihood, settings)

    start = _Update(
        particles=jnp.zeros((n, n_particles, core)),
        currents=jnp.zeros((n, n_particles, n_mc, length)),
        log_weights=jnp.zeros((n, n_particles)),
        mean=jnp.zeros((n, core)),
        std=jnp.full((n, core), settings.init_std),
    )
    end = jax.lax.fori_loop(0, settings.n_iters, iterate, start)
    predictive_mean, predictive_std = _predictive(end, settings)
    return Posterior(
        particles=end.particles,
        log_weights=end.log_weights,
        mean=jnp.where(is_known, known_std, end.mean),
        std=jnp.where(is_known, 0.0, end.std),
        predictive_mean=predictive_mean,
        predictive_std=predictive_std,
    )


def _physical_bounds(surrogate: Surrogate) -> tuple[Array, Array]:
    """Lowest and highest raw core parameters [core] that decode to themselves."""
    m = surrogate.meta.max_species
    lower = jnp.full(surrogate.meta.phys_dim_core, -jnp.inf)
    lower = lower.at[2 * m : 3 * m].set(C_OX_LEAST_MM).at[3 * m : 4 * m].set(C_RED_LEAST_MM)
    lower = lower.at[6 * m : 7 * m].set(ALPHA_LIMITS[0])
    upper = jnp.full(surrogate.meta.phys_dim_core, jnp.inf)
    return lower, upper.at[6 * m : 7 * m].set(ALPHA_LIMITS[1])


def _log_likelihood(
    currents: Array, current: Array, observed: Array, settings: CrossEntropySettings
) -> Array:
    """Up to a constant [n, n_particles]: drawn [n, n_particles, n_mc, L], measured [n, L]."""
    residual = (currents - current[:, None, None]) / settings.noise_std
    squares = jnp.where(observed[:, None, None], residual**2, 0.0).sum(axis=-1)
    if settings.likelihood == "mean":
        squares = squares / observed.sum(axis=-1)[:, None, None]
    return jax.nn.logsumexp(-0.5 * squares, axis=-1) - math.log(settings.n_mc)


def _update(
    particles: Array, currents: Array, log_likelihood: Array, settings: CrossEntropySettings
) -> _Update:
    best, index = jax.lax.top_k(log_likelihood, settings.n_elite)
    log_weights = _elite_log_weights(best, settings)
    weights = jnp.exp(log_weights)[..., None]
    elite = jnp.take_along_axis(particles, index[..., None], axis=1)
    mean = (weights * elite).sum(axis=1)
    variance = (weights * (elite - mean[:, None]) ** 2).sum(axis=1)
    cases = jnp.arange(index.shape[0])[:, None]
    return _Update(
        particles=particles,
        currents=currents,
        log_weights=jnp.full_like(log_likelihood, -jnp.inf).at[cases, index].set(log_weights),
        mean=mean,
        std=jnp.clip(jnp.sqrt(variance), settings.std_min, settings.std_max),
    )


def _elite_log_weights(log_likelihood: Array, settings: CrossEntropySettings) -> Array:
    """Normalised log weights [n, n_elite] of the elite's log likelihoods [n, n_elite]."""
    if settings.likelihood == "mean":
        return jax.nn.log_softmax(log_likelihood, axis=-1)
    relative = log_likelihood - log_likelihood.max(axis=-1, keepdims=True)

    def enough(log_beta: Array) -> Array:
        weights = jax.nn.softmax(jnp.exp(log_beta)[:, None] * relative, axis=-1)
        return 1.0 / (weights**2).sum(axis=-1) >= settings.n_elite / 2

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        good = enough(middle)
        return jnp.where(good, middle, low), jnp.where(good, high, middle)

    zero = jnp.zeros(relative.shape[0])
    low, _ = jax.lax.fori_loop(0, _BISECTIONS, halve, (zero + _LOWEST_LOG_BETA, zero))
    log_beta = jnp.where(enough(zero), zero, low)
    return jax.nn.log_softmax(jnp.exp(log_beta)[:, None] * relative, axis=-1)


def _predictive(end: _Update, settings: CrossEntropySettings) -> tuple[Array, Array]:
    weights = jnp.exp(end.log_weights)[:, :, None, None] / settings.n_mc
    mean = (weights * end.currents).sum(axis=(1, 2))
    variance = (weights * (end.currents - mean[:, None, None]) ** 2).sum(axis=(1, 2))
    if settings.predictive_noise:
        variance = variance + settings.noise_std**2
    return mean, jnp.sqrt(variance)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
