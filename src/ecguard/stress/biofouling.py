"""Biofouling: proteins and cells cover the electrode before the measurement and during it."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from ecguard.fouling import Fouling
from ecguard.stress.experiment import Experiment
from ecguard.stress.mode import FailureMode, checked_severity


class Biofouling(FailureMode):
    """Severity 1 is the reference stress; severity 0 leaves the electrode clean throughout.

    Severity scales what brings coverage: the initial coverage, adsorption and the growth by
    reaction. What coverage does to the cell stays as it is, so a bare electrode shows none of it.
    """

    name: ClassVar[str] = "biofouling"
    title: ClassVar[str] = "Biofouled electrode"
    unit: ClassVar[str] = "initial coverage"
    full: ClassVar[float] = 0.78
    typical: ClassVar[str] = "From 0.1 after minutes to 0.8 after days in serum or culture medium."
    source: ClassVar[str] = "The reference study's stress; adsorption kinetics of Langmuir (1918)."
    at_electrode: ClassVar[bool] = True

    film: Fouling = Fouling(initial_theta=full)

    def fouling(self, severity: ArrayLike) -> Fouling:
        """Fouling with leaves of the shape of `severity`.

        Raises:
            InputError: a severity outside 0..1; traced values pass.
        """
        scaled = eqx.tree_at(
            lambda f: (f.initial_theta, f.k_ads, f.k_reaction),
            self.film,
            replace_fn=lambda leaf: leaf * jnp.asarray(checked_severity(severity)),
        )
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, jnp.shape(severity)), scaled)

    def electrode(
        self, experiment: Experiment, severity: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """The electrode is covered at the start, and further while it is used."""
        return experiment.simulate(
            experiment.waveform, experiment.couples, experiment.cell, self.fouling(severity)
        )
