"""Where the checks run: ordinary electrodes, simulated together in batches of one size."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ecguard import family
from ecguard.fouling import Fouling
from ecguard.reference import thermal_voltage
from ecguard.simulator import Cell, Couples, Output, Trace, Waveform, simulate_batch

Array = NDArray[np.float64]

STEPS = 1600
"""Of the traces of most checks."""
BATCH = 64
"""Checks fill their batches up to a multiple of this, and so share what is compiled."""
D_OX, D_RED = 1e-5, 6e-6
"""Diffusion coefficients of ordinary electrodes, cm^2/s."""
AREA_CM2 = 0.03
FAST_CM_S = 1e3
WINDOW_V = 0.5
"""Of sweeps and steps, on either side of the formal potential."""
THERMAL_V = float(thermal_voltage())
SEEN: tuple[Output, ...] = ("coverage", "mean_flux", "surface_ox_mM", "surface_red_mM")


@dataclass(frozen=True)
class Scope:
    """How much is checked: the seed of drawn cases, and whether few cases are enough."""

    seed: int
    few: bool = False

    def thin(self, cases: tuple[Any, ...]) -> tuple[Any, ...]:
        """The cases, or every fourth of them: tables of three columns lose none."""
        return cases[::4] if self.few else cases


def couple(n: int, **values: float | Array) -> Couples:
    """One couple for each of n cases, leaves [n, 1]; an ordinary one where nothing is said."""
    ordinary = {"D_ox": D_OX, "D_red": D_RED, "C_ox": 1.0, "C_red": 0.0, "E0": 0.0}
    known = ordinary | {"k0": 1e-2, "alpha": 0.5} | values
    return Couples(**{name: repeated(value, n)[:, None] for name, value in known.items()})


def cell(n: int, Ru_ohm: float | Array = 0.0, Cdl_F: float | Array = 0.0) -> Cell:
    """The cell of each of n cases; without resistance and double layer where nothing is said."""
    return Cell(*(repeated(value, n) for value in (AREA_CM2, Ru_ohm, Cdl_F, 298.15)))


def repeated(value: float | Array, n: int) -> Array:
    """A scalar for each of n cases, or the values [n] themselves."""
    return np.broadcast_to(np.asarray(value, float), n).copy()


def run(
    waveform: Waveform,
    couples: Couples,
    cells: Cell | None = None,
    fouling: Fouling | None = None,
    x64: bool = True,
) -> Trace:
    """Simulate cases, leaves [n, ...] of all arguments; float64 arrays on the host.

    Args:
        waveform: leaves [n, L].
        couples: leaves [n, m].
        cells: leaves [n]; None is without resistance and double layer.
        fouling: leaves [n], or None.
        x64: whether the simulator computes in float64.
    """
    n = len(waveform.E_V)
    given = (waveform, couples, cell(n) if cells is None else cells, fouling)
    rows = np.arange(-(-n // BATCH) * BATCH).clip(max=n - 1)
    filled: Any = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], given)
    with jax.enable_x64(x64):
        trace = partial(simulate_batch, outputs=SEEN)(*filled)
    found: Trace = jax.tree.map(lambda leaf: np.asarray(leaf, float)[:n], trace)
    return found


def current(*arguments: Any, **options: Any) -> Array:
    """Current densities [n, L] of `run`, mA/cm^2."""
    return np.asarray(run(*arguments, **options).current_density_mA_cm2)


def drawn_electrodes(rng: np.random.Generator) -> dict[str, Array]:
    """Diffusion coefficients, concentration and potential of single couples, each [BATCH]."""
    return {
        "D_ox": family.log_uniform(rng, family.D_RANGE_CM2_S, BATCH),
        "D_red": family.log_uniform(rng, family.D_RANGE_CM2_S, BATCH),
        "C_ox": rng.uniform(*family.C_OX_RANGE_MM, BATCH),
        "E0": rng.uniform(*family.E0_RANGE_V, BATCH),
    }


def vertex(x: Array, y: Array) -> tuple[float, float]:
    """Lowest point of the parabola through the lowest sample and its neighbours."""
    k = int(np.clip(y.argmin(), 1, len(y) - 2))
    a, b, c = np.polyfit(x[k - 1 : k + 2] - x[k], y[k - 1 : k + 2], 2)
    return x[k] - b / (2 * a), c - b**2 / (4 * a)
