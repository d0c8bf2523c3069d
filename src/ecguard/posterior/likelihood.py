"""The likelihood of electrodes, given observed traces: one interface, two models of the trace.

Observed samples carry independent Gaussian noise. A model gives the expected current and the
variance of its own error; the two variances add. The exact model is the simulator, which has no
error of its own; the surrogate's is measured on held-out traces.
"""

import abc
from collections import Counter
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.custom_batching import custom_vmap
from numpy.typing import ArrayLike, NDArray

from ecguard.errors import InputError
from ecguard.posterior.unknowns import MAX_COUPLES, simulated
from ecguard.simulator import Waveform, potential_jumps
from ecguard.simulator.grid import TimeGrid, time_grid
from ecguard.simulator.march import march
from ecguard.simulator.ranges import check_waveform
from ecguard.waveforms import refine

LANES = 256
"""Currents marched at once: their state stays in cache."""

_AFTER_START = (4, 4, 4, 4, 2, 2)  # steps of the solver in each of the first intervals
_AFTER_JUMP = (4, 2)
_FINEST = max(_AFTER_START)
_LEAST = 3  # samples, without which the grid cannot tell a jump from a step
_EVEN = 1e-2  # of a step, by which an even time axis may stray


class Observation(NamedTuple):
    """Traces as they were measured, n of one kind of waveform and one number of couples.

    Args:
        time_s, E_V: the waveforms [n, L].
        current: mA/cm^2 [n, L]; any finite value where not observed.
        observed: [n, L] bool.
        noise_std: of the observation noise, mA/cm^2 [n].
    """

    time_s: Any
    E_V: Any
    current: Any
    observed: Any
    noise_std: Any


def check_observation(observation: Observation) -> None:
    """Refuse traces that no likelihood can use; the leaves are read on the host.

    Raises:
        InputError: shapes disagree, `observed` is not bool or shows nothing of a trace, times do
            not rise, a potential is out of the simulator's range, an observed current is not
            finite, or a noise is not finite and above 0.
    """
    whole = Observation(*(np.asarray(leaf) for leaf in observation))
    _check_shapes(whole)
    time, potential, current, observed, noise = whole
    if observed.dtype != bool:
        raise InputError(
            "observed", str(observed.dtype), "bool, true where seen", "Use `observed.astype(bool)`."
        )
    shown = observed.any(axis=1)
    if not shown.all():
        raise InputError(
            "observed",
            f"none of trace {int(np.argmin(shown))}",
            "one sample or more of each trace",
            "Remove this trace.",
        )
    with np.errstate(invalid="ignore"):
        rising = (np.diff(time, axis=1) > 0).all(axis=1) & np.isfinite(time).all(axis=1)
    if not rising.all():
        raise InputError(
            "time_s",
            f"those of trace {int(np.argmin(rising))}",
            "finite and rising from sample to sample, s",
            "Sort the samples by time and remove those without one.",
        )
    try:
        check_waveform(Waveform(time, potential))
    except InputError as error:
        raise InputError("E_V", *error.args[1:]) from None
    bad = current[observed & ~np.isfinite(current)]
    if bad.size:
        raise InputError(
            "current",
            float(bad[0]),
            "finite where observed, mA/cm^2",
            "Set `observed` false at samples without a current.",
        )
    bad = noise[~(np.isfinite(noise) & (noise > 0))]
    if bad.size:
        raise InputError(
            "noise_std",
            float(bad[0]),
            "finite and above 0, mA/cm^2",
            "Pass the noise's std, not its log.",
        )


def _check_shapes(observation: Observation) -> None:
    """Refuse leaves that are not all of the shape that most of them have."""
    traces = {name: leaf.shape for name, leaf in observation._asdict().items()}
    noise = traces.pop("noise_std")
    (shape, _), *_ = Counter(traces.values()).most_common(1)
    odd = [name for name, own in traces.items() if own != shape]
    if odd:
        raise InputError(
            odd[0],
            f"shape {traces[odd[0]]}",
            f"shape {shape}, as the other leaves",
            "Give each trace one row, and each sample one value, in every leaf.",
        )
    if len(shape) != 2 or shape[0] < 1 or shape[1] < _LEAST:
        raise InputError(
            "observation",
            f"leaves of shape {shape}",
            f"[n, L], one trace or more of {_LEAST} samples or more",
            "Give each trace one row: a single one is leaf[None].",
        )
    if noise != shape[:1]:
        raise InputError(
            "noise_std", f"shape {noise}", f"shape {shape[:1]}", "Give each trace one std, mA/cm^2."
        )


def check_n_couples(n_couples: int) -> None:
    """Refuse a number of couples that no posterior is made for.

    Raises:
        InputError: it is not 1 or 2.
    """
    if n_couples not in range(1, MAX_COUPLES + 1):
        raise InputError("n_couples", n_couples, "1 or 2", "Say how many couples react.")


def check_keys(keys: Array, n: int) -> None:
    """Refuse keys that are not one for each of n traces.

    Raises:
        InputError: they are more or fewer.
    """
    shape = jax.random.key_data(keys).shape[:-1]
    if shape != (n,):
        raise InputError(
            "keys", f"shape {shape}", f"({n},), a key a trace", f"Use jax.random.split(key, {n})."
        )


class Likelihood(eqx.Module):
    """ln p(observed samples | unknowns) of one trace; batch with `jax.vmap`."""

    @abc.abstractmethod
    def expected(self, unknowns: Array) -> tuple[Array, Array | float]:
        """Current [L] that a model expects of unknowns [d], and the variance of its error."""

    @property
    @abc.abstractmethod
    def observation(self) -> Observation:
        """The trace."""

    @property
    @abc.abstractmethod
    def axes(self) -> Any:
        """Axes of the leaves over traces, for `jax.vmap`."""

    def __call__(self, unknowns: Array) -> Array:
        """ln likelihood of unknowns [d], all constants included."""
        mean, error = self.expected(unknowns)
        seen = self.observation
        variance = seen.noise_std**2 + error
        terms = (seen.current - mean) ** 2 / variance + jnp.log(2 * jnp.pi * variance)
        return -0.5 * jnp.sum(jnp.where(seen.observed, terms, 0.0))


@eqx.filter_jit
def log_likelihood(likelihood: Likelihood, unknowns: Array) -> Array:
    """ln likelihood [n, k] of unknowns [n, k, d] of n traces.

    The solver's grid is compiled in: engines that weigh as many share one program by calling this
    outside of their own.
    """

    def each(likelihood: Likelihood, rows: Array) -> Array:
        return jax.vmap(likelihood)(rows)

    return jax.vmap(each, in_axes=(likelihood.axes, 0))(likelihood, unknowns)


class SimulatorLikelihood(Likelihood):
    """The exact model: the simulator on the grid of `solver_grid`, with no error of its own.

    Args:
        observation: the trace, or n of them.
        potential: applied potential on the grid, V [G].
        duration_s: of the trace.
        grid: steps shared by all traces of a batch.
    """

    _observation: Observation
    potential: Array
    duration_s: Array
    grid: "SolverGrid" = eqx.field(static=True)

    @classmethod
    def of(cls, observation: Observation) -> "SimulatorLikelihood":
        """The likelihood of n traces; the leaves have a leading axis for `jax.vmap`.

        Raises:
            InputError: `check_observation` refuses the traces, or they do not share their relative
                time grid.
        """
        check_observation(observation)
        grid, potential = solver_grid(observation.time_s, observation.E_V)
        time = np.asarray(observation.time_s, np.float64)
        return cls(
            jax.tree.map(as_device, observation),
            jnp.asarray(potential, jnp.float32),
            jnp.asarray(time[:, -1] - time[:, 0], jnp.float32),
            grid,
        )

    @property
    def observation(self) -> Observation:
        return self._observation

    @property
    def axes(self) -> Any:
        return 0

    def expected(self, unknowns: Array) -> tuple[Array, Array | float]:
        current = _simulator(self.grid)(unknowns, self.potential, self.duration_s)
        return current[jnp.asarray(self.grid.recorded)], 0.0


class SolverGrid(NamedTuple):
    """Steps of the solver, in units of the duration; hashable, so that it is compiled in.

    Args:
        step: [G - 1].
        recorded: which points of the grid are samples of the trace [L].
        jumps: whether the potential jumps anywhere.
    """

    step: tuple[float, ...]
    recorded: tuple[int, ...]
    jumps: bool

    def times(self, duration_s: Array) -> TimeGrid:
        """The same in seconds, for traces of durations [n]."""
        even = time_grid(np.concatenate([[0.0], np.cumsum(self.step)])[None])
        step = jnp.asarray(self.step, duration_s.dtype)[:, None]
        return TimeGrid(duration_s, step, even.span, even.even)


def solver_grid(time_s: ArrayLike, E_V: ArrayLike) -> tuple[SolverGrid, NDArray[np.float64]]:
    """A grid that is fine where the current is steep: after the start and after every jump.

    The interval at whose start the potential jumps is split in four, the next one in two; more are
    where the trace starts. The tests hold the current on it against that of the family, which
    splits all.

    Args:
        time_s, E_V: waveforms [n, L] with the same relative times.

    Returns:
        The grid, and the potentials on it [n, G].

    Raises:
        InputError: the relative times differ.
    """
    time, potential = np.asarray(time_s, np.float64), np.asarray(E_V, np.float64)
    start, duration = time[:, :1], time[:, -1:] - time[:, :1]
    place = (time - start) / duration
    even = np.linspace(0.0, 1.0, time.shape[1])[None]
    if np.abs(place - even).max() < _EVEN / time.shape[1]:  # stamps in float32 are not quite even
        time, place = start + duration * even, even
    if np.abs(place - place[0]).max() > 1e-4 * np.diff(place[0]).min():
        raise InputError(
            "time_s",
            float(np.abs(place - place[0]).max()),
            "the same for all traces, in units of their duration",
            "Infer traces of different sampling one by one.",
        )
    jumping = np.flatnonzero(np.any(potential_jumps(potential), axis=0))
    parts = np.ones(time.shape[1] - 1, int)
    for places, steps in ((np.zeros(1, int), _AFTER_START), (jumping, _AFTER_JUMP)):
        for later, number in enumerate(steps):
            own = places[places + later < len(parts)] + later
            parts[own] = np.maximum(parts[own], number)
    fine = refine(Waveform(time, potential), _FINEST)
    kept = np.concatenate(
        [[0], *(_FINEST * k + np.arange(1, p + 1) * (_FINEST // p) for k, p in enumerate(parts))]
    )
    shared = (fine.t_s[0, kept] - start[0]) / duration[0]
    recorded = np.concatenate([[0], np.cumsum(parts)])
    jumps = bool(np.any(potential_jumps(fine.E_V[:, kept])))
    grid = SolverGrid(tuple(np.diff(shared).round(12).tolist()), tuple(recorded.tolist()), jumps)
    return grid, fine.E_V[:, kept]


_SIMULATORS: dict[SolverGrid, Any] = {}


def _simulator(grid: SolverGrid) -> Any:
    """Current [G] of unknowns [d], potential [G] and duration; batches march in parts."""
    if grid in _SIMULATORS:
        return _SIMULATORS[grid]

    def run(*arguments: Array) -> Array:
        n = len(arguments[0])
        if n <= LANES or n % LANES:
            return marched(*arguments)
        parts = (value.reshape(-1, LANES, *value.shape[1:]) for value in arguments)
        return lax.map(lambda part: marched(*part), tuple(parts)).reshape(n, -1)

    def marched(unknowns: Array, potential: Array, duration_s: Array) -> Array:
        couples, cell = simulated(unknowns)
        times = grid.times(duration_s)
        found = march(potential.T, None, times, couples, cell, None, jumps=grid.jumps, outputs=())
        return found["current_density_mA_cm2"]

    @custom_vmap
    def many(*arguments: Array) -> Array:
        return run(*arguments)

    @many.def_vmap
    def _(size: int, batched: list[bool], *arguments: Array) -> tuple[Array, bool]:
        full = repeated(size, batched, arguments)
        n = full[0].shape[1]
        flat = many(*(value.reshape(size * n, *value.shape[2:]) for value in full))
        return flat.reshape(size, n, -1), True

    @custom_vmap
    def one(*arguments: Array) -> Array:
        return run(*(value[None] for value in arguments))[0]

    @one.def_vmap
    def _(size: int, batched: list[bool], *arguments: Array) -> tuple[Array, bool]:
        full = repeated(size, batched, arguments)
        return many(*full), True

    _SIMULATORS[grid] = one
    return one


def repeated(size: int, batched: list[bool], arguments: tuple[Array, ...]) -> list[Array]:
    """Arguments of a batch, each with a leading axis; what the batch shares is repeated."""
    return [
        value if own else jnp.broadcast_to(value, (size, *value.shape))
        for value, own in zip(arguments, batched, strict=True)
    ]


def as_device(leaf: Any) -> Array:
    """On the device, floats in single precision."""
    array = np.asarray(leaf)
    return jnp.asarray(array if array.dtype == bool else array.astype(np.float32))
