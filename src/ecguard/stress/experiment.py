"""What a failure mode acts on: a batch of measurements, with every random draw they need."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from numpy.typing import NDArray

from ecguard.errors import InputError
from ecguard.family import SUBSTEPS, simulate_currents
from ecguard.fouling import Fouling
from ecguard.simulator import Cell, Couples, Waveform


class Experiment(eqx.Module):
    """Measurements of n electrodes as their user believes them to be.

    Args:
        waveform: recorded, leaves [n, L]; durations may differ.
        couples: leaves [n, m].
        cell: leaves [n].
        noise: standard normal draws of the observation noise [n, L].
        chance: uniform draws in 0..1, for faults that pick samples or phases [n, L].
        noise_std: declared std of the observation noise, mA/cm^2 [n].
        substeps: simulated steps for each recorded one.

    Raises:
        InputError: draws or stds do not have the shape of the waveform, or cannot be such.
    """

    waveform: Waveform
    couples: Couples
    cell: Cell
    noise: Any
    chance: Any
    noise_std: Any
    substeps: int = eqx.field(default=SUBSTEPS, static=True)

    def __check_init__(self) -> None:
        shape = np.shape(self.waveform.E_V)
        for name, expected, low, high in (
            ("noise", shape, -np.inf, np.inf),
            ("chance", shape, 0.0, 1.0),
            ("noise_std", shape[:1], 0.0, np.inf),
        ):
            values = np.asarray(getattr(self, name))
            if values.shape != expected:
                raise InputError(
                    name, f"shape {values.shape}", f"the shape {expected}", "draw one for each"
                )
            fine = np.isfinite(values) & (values >= low) & (values <= high)
            if not fine.all():
                raise InputError(
                    name,
                    float(values[~fine][0]),
                    f"finite and in [{low:g}, {high:g}]",
                    "check the draw",
                )

    @property
    def duration_s(self) -> NDArray[np.float64]:
        """Of each trace, as believed [n]."""
        time = np.asarray(self.waveform.t_s, np.float64)
        return time[:, -1] - time[:, 0]

    @property
    def elapsed(self) -> NDArray[np.float64]:
        """Share of the duration that has passed at each sample, 0 to 1 [n, L]."""
        time = np.asarray(self.waveform.t_s, np.float64)
        return (time - time[:, :1]) / self.duration_s[:, None]

    def simulate(
        self, waveform: Waveform, couples: Couples, cell: Cell, fouling: Fouling | None = None
    ) -> NDArray[np.float32]:
        """Current at the recorded samples without noise, mA/cm^2 [n, L].

        Made as the family makes its own; leaves of `fouling` are scalar or [n].
        """
        n = len(waveform.E_V)
        fouling = jax.tree.map(lambda leaf: np.broadcast_to(np.asarray(leaf), n), fouling)
        return simulate_currents(waveform, couples, cell, fouling, self.substeps)

    def clean(self) -> NDArray[np.float32]:
        """Current of electrodes that are as their user believes, mA/cm^2 [n, L]."""
        return self.simulate(self.waveform, self.couples, self.cell)

    def couples_beside(self, other: Couples) -> Couples:
        """The couples with one more, whose leaves are scalar or [n]."""
        return jax.tree.map(
            lambda known, more: np.column_stack([known, np.broadcast_to(more, len(known))]),
            self.couples,
            other,
        )

    def measure(self, current: NDArray[np.floating]) -> NDArray[np.floating]:
        """A current [n, L] with the declared noise, mA/cm^2."""
        return current + np.asarray(self.noise_std)[:, None] * np.asarray(self.noise)
