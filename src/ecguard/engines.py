"""Engines of inference, each from a group of cases to draws of their posteriors."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ecguard.clean_cases import Group
from ecguard.posterior.amortised.artefacts import Amortised
from ecguard.posterior.corrected import (
    CORRECTION,
    Inferred,
    correct,
    draw_amortised,
    from_amortised,
)
from ecguard.posterior.cross_entropy import CrossEntropySettings, infer
from ecguard.posterior.exact import infer_exact
from ecguard.posterior.likelihood import Likelihood, Observation, SimulatorLikelihood
from ecguard.posterior.population import PopulationSettings
from ecguard.posterior.surrogate_error import SurrogateError
from ecguard.posterior.surrogate_likelihood import SurrogateLikelihood
from ecguard.posterior.tempered import TemperedSettings, in_blocks, take, thinned
from ecguard.surrogate import Surrogate

REFERENCE, SUMMED = "cross-entropy, reference", "cross-entropy, summed"
EXACT, AMORTISED, CORRECTED = "exact", "amortised", "corrected"
CORRECTED_SURROGATE = "corrected, surrogate"
_PREDICTED = 100
_BLOCK = 32  # cases that are predicted at once


@dataclass(frozen=True)
class Engines:
    """What the engines need, and their settings.

    Attributes:
        surrogate, error: the flow-matching model and its error.
        amortised: the trained density.
        tempered: of the exact engine.
        population: of the exact engine; all but the corrected one return as many draws.
        seed: of all draws.
        correction: of the corrected engine.
    """

    surrogate: Surrogate
    error: SurrogateError
    amortised: Amortised
    tempered: TemperedSettings = field(default_factory=TemperedSettings)
    population: PopulationSettings = field(default_factory=PopulationSettings)
    seed: int = 0
    correction: PopulationSettings = CORRECTION

    def run(self, name: str, group: Group) -> Inferred:
        """Infer a group by the engine `name`."""
        seen, keys = group.observation, case_keys(self.seed, group.case)
        chosen: dict[str, Callable[[], Inferred]] = {
            REFERENCE: lambda: self._cross_entropy(group, seen, CrossEntropySettings.reference()),
            SUMMED: lambda: self._cross_entropy(group, seen, CrossEntropySettings()),
            EXACT: lambda: self._exact(group, seen, keys),
            AMORTISED: lambda: self._amortised(group, seen, keys),
            CORRECTED: lambda: self._corrected(group, seen, keys, SimulatorLikelihood.of(seen)),
            CORRECTED_SURROGATE: lambda: self._corrected(
                group, seen, keys, self._surrogate_likelihood(group, seen)
            ),
        }
        return chosen[name]()

    def _surrogate_likelihood(self, group: Group, seen: Observation) -> Likelihood:
        return SurrogateLikelihood.of(self.surrogate, self.error, seen, group.task, group.stage)

    def _exact(self, group: Group, seen: Observation, keys: Array) -> Inferred:
        likelihood = SimulatorLikelihood.of(seen)
        found = infer_exact(
            likelihood, group.n_couples, keys, self.tempered, self.population, group.unknowns
        )
        nothing = np.full(len(group), np.nan)
        return Inferred(found.unknowns, found.log_evidence, nothing, found.effective, found.lead)

    def _amortised(self, group: Group, seen: Observation, keys: Array) -> Inferred:
        path = from_amortised(
            self.amortised, seen, SimulatorLikelihood.of(seen), group.task, group.n_couples
        )
        nothing = np.full(len(group), np.nan)
        drawn = draw_amortised(path, keys, self.population.n_draws)
        return Inferred(drawn, nothing, nothing, nothing, nothing)

    def _corrected(
        self, group: Group, seen: Observation, keys: Array, likelihood: Likelihood
    ) -> Inferred:
        path = from_amortised(self.amortised, seen, likelihood, group.task, group.n_couples)
        return correct(path, keys, self.correction)

    def _cross_entropy(
        self, group: Group, seen: Observation, settings: CrossEntropySettings
    ) -> Inferred:
        surrogate, n = self.surrogate, len(group)
        settings = replace(settings, noise_std=float(seen.noise_std[0]))
        time_s = np.asarray(seen.time_s)
        context = np.log(time_s[:, -1:] - time_s[:, :1])
        filled = np.zeros((n, surrogate.meta.phys_dim_base), np.float32)
        known = surrogate.compose(filled, group.task, group.stage, context)
        known_mask = np.arange(surrogate.meta.phys_dim_core) >= surrogate.meta.phys_dim_base
        keys = jax.random.split(jax.random.key(self.seed + 1), int(group.case.max()) + 1)
        posterior = infer(
            surrogate, seen.E_V, seen.current, seen.observed, known, known_mask,
            keys[group.case], settings,
        )  # fmt: skip
        rows = np.asarray(surrogate.raw(posterior.particles))
        rows = rows[:, :, : surrogate.meta.phys_dim_base].reshape(n, rows.shape[1], 7, -1)
        weights = np.exp(np.asarray(posterior.log_weights, np.float64))
        drawn = np.full((n, self.population.n_draws, 7 * group.n_couples + 2), np.nan, np.float32)
        for case in range(n):
            rng = np.random.default_rng((self.seed, int(group.case[case])))
            share = weights[case] / weights[case].sum()
            picked = rng.choice(len(share), size=self.population.n_draws, p=share)
            chosen = rows[case, picked][:, :, : group.n_couples]
            drawn[case, :, :-2] = chosen.reshape(len(picked), -1)
        nothing = np.full(n, np.nan)
        return Inferred(drawn, nothing, nothing, nothing, nothing)


def case_keys(seed: int, case: NDArray[np.intp]) -> Array:
    """A random key for each case, by its number [n]: the same in whichever group it is."""
    folded = jax.vmap(jax.random.fold_in, (None, 0))
    return folded(jax.random.key(seed), jnp.asarray(case))


class Predicted(NamedTuple):
    """Currents that posteriors of n cases predict, mA/cm^2.

    Args:
        draws: expected of at most 100 of a posterior's draws [n, k, L].
        mean: of these [n, L].
        std: of what is observed, noise included [n, L].
    """

    draws: NDArray[np.float32]
    mean: NDArray[np.float32]
    std: NDArray[np.float64]


def predict(likelihood: Likelihood, unknowns: NDArray[np.floating]) -> Predicted:
    """What a model predicts from posterior draws [n, k, d] of n cases."""
    kept = thinned(unknowns, min(_PREDICTED, unknowns.shape[1]))

    def some(rows: NDArray[np.intp]) -> Array:
        return _predicted(take(likelihood, rows), jnp.asarray(kept[rows]))

    draws = np.asarray(in_blocks(some, len(kept), min(_BLOCK, len(kept))))
    noise = np.asarray(likelihood.observation.noise_std, np.float64)
    std = np.sqrt(draws.var(axis=1) + noise[:, None] ** 2)
    return Predicted(draws, draws.mean(axis=1), std)


@eqx.filter_jit
def _predicted(likelihood: Likelihood, unknowns: Array) -> Array:
    def each(likelihood: Any, rows: Array) -> Array:
        return jax.vmap(lambda row: likelihood.expected(row)[0])(rows)

    return jax.vmap(each, in_axes=(likelihood.axes, 0))(likelihood, unknowns)
