"""The likelihood of a trace under the flow-matching surrogate.

The surrogate's current is that of the flow started at zero noise. Ru and Cdl are none of its
inputs: it has learnt their average over the family, and their scatter is part of its error, so
that they are marginalised and keep their prior.

The error is taken as independent between samples, as the interface has it. It is not: along a
trace of ca or tone it has two or three degrees of freedom, so that what many samples say together
is overstated where the error exceeds the noise.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ecguard import family
from ecguard.chunk import ENTRIES_PER_COUPLE
from ecguard.errors import InputError
from ecguard.posterior.likelihood import Likelihood, Observation, check_observation
from ecguard.posterior.surrogate_error import N_STEPS, SurrogateError, check_family
from ecguard.posterior.unknowns import n_unknowns
from ecguard.surrogate import Surrogate
from ecguard.surrogate.sampler import Drive, sample_tail

_EVEN = 1e-3  # of a step: single precision of the time axis is well within
_ABSENT = np.array(
    [
        np.log(family.ABSENT["D"]),
        np.log(family.ABSENT["D"]),
        0.0,
        0.0,
        family.ABSENT["E0"],
        np.log(family.ABSENT["k0"]),
        family.ABSENT["alpha"],
    ],
    np.float32,
)


class SurrogateLikelihood(Likelihood):
    """The surrogate's model of a trace, with the error that was measured on held-out traces.

    Args:
        observation: the trace, or n of them.
        surrogate: shared by all traces.
        signal: what the waveform adds to the first layer, its bias included [hidden].
        labels: core parameters after the couples': task, stage, ln duration [k].
        error_std: of the task, in units of `Surrogate.current_scale` [N_COUPLES, L].
        n_steps: Euler steps.
    """

    _observation: Observation
    surrogate: Surrogate
    signal: Array
    labels: Array
    error_std: Array
    n_steps: int = eqx.field(static=True)

    @classmethod
    def of(
        cls,
        surrogate: Surrogate,
        error: SurrogateError,
        observation: Observation,
        task_id: ArrayLike,
        stage_id: ArrayLike,
        n_steps: int = N_STEPS,
    ) -> "SurrogateLikelihood":
        """The likelihood of n traces; see `axes` for `jax.vmap`.

        Args:
            surrogate: of the built-in family.
            error: what `measure_error` found with these `n_steps`.
            observation: the traces, of `family.N_SAMPLES` evenly spaced samples.
            task_id, stage_id: labels [n].
            n_steps: Euler steps.

        Raises:
            InputError: the surrogate is of another family, the error was measured otherwise,
                `check_observation` refuses the traces, or they or labels do not fit the surrogate.
        """
        check_family(surrogate)
        check_observation(observation)
        meta = surrogate.meta
        if n_steps != error.n_steps:
            raise InputError(
                "n_steps",
                n_steps,
                f"{error.n_steps}, at which the error was measured",
                "Measure the error with as many steps.",
            )
        n = len(observation.current)
        for name, value, shape in (
            ("current", observation.current, (n, meta.target_len)),
            ("error.std", error.std, (meta.max_species, meta.n_tasks, meta.target_len)),
        ):
            if np.shape(value) != shape:
                raise InputError(
                    name,
                    np.shape(value),
                    f"shape {shape}",
                    "Give traces as long as the family's, and an error of this surrogate.",
                )
        labels = surrogate.compose(
            jnp.zeros((n, meta.phys_dim_base)),
            task_id,
            stage_id,
            _ln_duration(observation.time_s),
        )[:, meta.phys_dim_base :]
        seen = Observation(*(_single(leaf) for leaf in observation))
        return cls(
            seen._replace(observed=jnp.asarray(observation.observed, bool)),
            surrogate,
            _encoded(surrogate, seen.E_V),
            labels,
            jnp.swapaxes(error.std, 0, 1)[jnp.asarray(task_id)],
            n_steps,
        )

    @property
    def observation(self) -> Observation:
        return self._observation

    @property
    def axes(self) -> Any:
        leading = jax.tree.map(lambda _: 0, self)
        return eqx.tree_at(lambda likelihood: likelihood.surrogate, leading, None)

    def expected(self, unknowns: Array) -> tuple[Array, Array | float]:
        surrogate, meta = self.surrogate, self.surrogate.meta
        core = jnp.concatenate([parameter_row(unknowns), self.labels])
        features = surrogate.parameter_features(surrogate.standardise(core))
        constant = self.signal + Drive.of(surrogate.network).from_parameters(features)
        zero = jnp.zeros((1, meta.state_dim), constant.dtype)
        (tail,) = sample_tail(
            surrogate.network, zero, constant[None], self.n_steps, meta.target_len
        )
        scale = surrogate.current_scale(self._observation.E_V, core)
        error_std = scale * self.error_std[len(unknowns) // ENTRIES_PER_COUPLE - 1]
        return surrogate.current_density(tail, scale), error_std**2


def parameter_row(unknowns: ArrayLike) -> Array:
    """The family's parameter row [7 N_COUPLES] of unknowns [7 m + 2]; absent couples have C = 0.

    Raises:
        InputError: no number of couples of the family has as many unknowns.
    """
    values = jnp.asarray(unknowns)
    allowed = [(n_unknowns(m),) for m in range(1, family.N_COUPLES + 1)]
    if values.shape not in allowed:
        raise InputError(
            "unknowns", values.shape, f"a shape among {allowed}", "Batch with `jax.vmap`."
        )
    couples = values[:-2].reshape(ENTRIES_PER_COUPLE, -1)
    absent = np.tile(_ABSENT[:, None], family.N_COUPLES - couples.shape[1])
    return jnp.concatenate([couples, absent.astype(values.dtype)], axis=1).reshape(-1)


@eqx.filter_jit
def _encoded(surrogate: Surrogate, E_V: Array) -> Array:
    """What waveforms [n, L] add to the first layer [n, hidden]."""
    return Drive.of(surrogate.network).from_encoding(surrogate.encode(E_V))


def _ln_duration(time_s: ArrayLike) -> np.ndarray:
    """Context column [n, 1]."""
    time = np.asarray(time_s, np.float64)
    step = np.diff(time, axis=1)
    mean = step.mean(axis=1, keepdims=True)
    if not (np.abs(step - mean) <= _EVEN * mean).all():
        raise InputError(
            "time_s",
            "uneven steps",
            "rising in equal steps, as the surrogate has learnt it",
            "Interpolate the traces, or use the simulator's likelihood.",
        )
    return np.log(time[:, -1:] - time[:, :1])


def _single(leaf: ArrayLike) -> Array:
    return jnp.asarray(leaf, jnp.float32)
