"""Biofouling: proteins and cells cover the electrode before the measurement and during it."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ecguard.errors import InputError
from ecguard.fouling import Fouling
from ecguard.simulator import Cell, Couples, Trace, Waveform, simulate_batch


class Biofouling(eqx.Module):
    """Severity 1 is the reference stress; severity 0 leaves the electrode clean throughout.

    Severity scales what brings coverage: the initial coverage, adsorption and the growth by
    reaction. What coverage does to the cell stays as it is, so a bare electrode shows none of it.
    """

    name: ClassVar[str] = "biofouling"
    full: Fouling = Fouling()

    def fouling(self, severity: ArrayLike) -> Fouling:
        """Fouling with leaves of the shape of `severity`.

        Raises:
            InputError: a severity outside 0..1; traced values pass.
        """
        if not isinstance(severity, jax.core.Tracer):
            values = np.asarray(severity, float)
            if not ((values >= 0) & (values <= 1)).all():
                raise InputError("severity", severity, "0 to 1", "Pass a share of the full stress.")
        scaled = eqx.tree_at(
            lambda f: (f.initial_theta, f.k_ads, f.k_reaction),
            self.full,
            replace_fn=lambda leaf: leaf * jnp.asarray(severity),
        )
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, jnp.shape(severity)), scaled)

    def simulate(
        self, waveform: Waveform, couples: Couples, cell: Cell, severity: ArrayLike
    ) -> Trace:
        """Traces of a batch; every leaf has a leading batch axis, severity is [batch] in 0..1."""
        return simulate_batch(
            waveform, couples, cell, self.fouling(severity), outputs=["interface_V", "coverage"]
        )
