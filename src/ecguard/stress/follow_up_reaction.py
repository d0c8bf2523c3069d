"""The product of the electron transfer reacts on in solution: the EC mechanism."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.special import erf
from numpy.typing import NDArray

from ecguard.semi_integral import exponential_sum
from ecguard.simulator import FARADAY, GAS_CONSTANT, Waveform, kinetics_of, reduction_flux
from ecguard.simulator.relaxation import mean_decay
from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode
from ecguard.waveforms import refine

_SMALL = 1e-2
_ROUNDING = 1e-3  # of a number of steps: traces of one grid share their kernel


class FollowUpReaction(FailureMode):
    """The reduced form of every couple turns into something inert, at a rate of first order.

    What exceeds its concentration in the bulk decays, and what lacks comes back at the same rate,
    as the bulk is at equilibrium: where the bulk holds none, this is the EC mechanism; where it
    holds some, its oxidation is fed as well. The clean current is changed by the difference of two
    solutions with and without the decay, at the interfacial potential of the clean electrode: ohmic
    drop of the difference is left out. The flux is constant over a step of the simulation.
    """

    name: ClassVar[str] = "follow_up_reaction"
    title: ClassVar[str] = "Follow-up reaction"
    unit: ClassVar[str] = "s⁻¹"
    full: ClassVar[float] = 0.5
    typical: ClassVar[str] = "1e-3 s⁻¹ to faster than any scan, as with quinone imines in water."
    source: ClassVar[str] = (
        "R. S. Nicholson and I. Shain, Anal. Chem. 36 (1964) 706; J. M. Savéant and E. Vianello, "
        "Electrochim. Acta 12 (1967) 629."
    )
    at_electrode: ClassVar[bool] = True

    def electrode(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """The clean current, and what the decay adds to it."""
        clean = experiment.clean()
        return clean + self.added(experiment, clean, severity)

    def added(
        self,
        experiment: Experiment,
        clean: NDArray[np.floating],
        severity: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """Current that the decay adds to the clean one, mA/cm^2 [n, L]."""
        waveform, cell = experiment.waveform, experiment.cell
        drop = 1e-3 * np.asarray(cell.Ru_ohm * cell.area_cm2)[:, None] * clean
        fine = refine(Waveform(waveform.t_s, waveform.E_V - drop), experiment.substeps)
        step = np.diff(fine.t_s)
        unit = step.min(axis=1)
        longest = np.ceil((np.ptp(fine.t_s, axis=1) / unit).max() - _ROUNDING)
        kernel = exponential_sum(max(2.0, float(longest)))
        arguments = (
            jax.tree.map(np.transpose, experiment.couples),
            FARADAY / (GAS_CONSTANT * np.asarray(cell.temperature_K)),
            fine.E_V[:, 1:].T,
            step.T,
            kernel.rate[:, None] / unit,
            kernel.weight[:, None] / np.sqrt(unit),
        )
        arguments = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), arguments)
        rates = (np.asarray(rate, np.float32) for rate in (self.magnitude(severity), 0 * severity))
        with_decay, without = (np.asarray(_flux(rate, *arguments)) for rate in rates)
        ends = slice(experiment.substeps - 1, None, experiment.substeps)
        added = -1e3 * FARADAY * (with_decay - without).T[:, ends]
        return np.pad(added, ((0, 0), (1, 0)))


class _Memory(NamedTuple):
    """Modes of the semi-integrals of the flux, [Q, m, n]; the reduced form's decay as it does."""

    ox: Array
    red: Array


@jax.jit
def _flux(
    decay: Array,
    couples: Any,
    inverse_thermal: Array,
    interface: Array,
    step: Array,
    rate: Array,
    weight: Array,
) -> Array:
    """Summed flux [steps, n], mol cm^-2 s^-1, of couples whose reduced forms decay.

    Args:
        decay: rate, 1/s [n].
        couples: leaves [m, n].
        inverse_thermal: F/RT, 1/V [n].
        interface: potential at the end of each step, V [steps, n].
        step: s [steps, n].
        rate, weight: of exponentials whose sum is 1/sqrt(pi t), in 1/s and 1/sqrt(s) [Q, n].
    """
    kinetics = kinetics_of(couples)

    def advance(memory: _Memory, row: tuple[Array, Array]) -> tuple[_Memory, Array]:
        E_V, h = row

        def over_step(modes: Array, rate: Array) -> tuple[Array, Array]:
            """Modes without a new flux, and what it adds to them."""
            kept = jnp.exp(-rate * h)
            return kept[:, None] * modes, (h * mean_decay(rate * h, kept))[:, None]

        ox, new_ox = over_step(memory.ox, rate)
        red, new_red = over_step(memory.red, rate + decay)
        past_ox, past_red = (jnp.einsum("qn,qmn->mn", weight, modes) for modes in (ox, red))
        newest = 2.0 * jnp.sqrt(h / jnp.pi)
        # the flux knows one memory: in it, a form that decays is another one that diffuses faster
        shrunk = _mean_root(decay * h)
        off = (past_red - shrunk * past_ox) * kinetics.inverse_root_red
        seen = kinetics._replace(
            C_red=kinetics.C_red + off, inverse_root_red=shrunk * kinetics.inverse_root_red
        )
        flux, _ = reduction_flux(E_V, seen, past_ox, newest, inverse_thermal)
        return _Memory(ox + new_ox * flux, red + new_red * flux), flux.sum(axis=0)

    none = jnp.zeros((len(rate), *kinetics.E0.shape), step.dtype)
    return lax.scan(advance, _Memory(none, none), (interface, step))[1]


def _mean_root(x: Array) -> Array:
    """sqrt(pi / x) erf(sqrt(x)) / 2 for x >= 0: how decay shrinks the newest semi-integral."""
    safe = jnp.maximum(x, _SMALL)
    far = 0.5 * jnp.sqrt(jnp.pi / safe) * erf(jnp.sqrt(safe))
    return jnp.where(x < _SMALL, 1.0 - x / 3.0 + x * x / 10.0, far)
