"""Concentration profiles in front of the electrode, from the flux that a trace has stored."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfc

from ecguard.errors import InputError
from ecguard.simulator.electrode import Couples
from ecguard.simulator.ranges import check_couples
from ecguard.simulator.trace import Trace


def concentration_profiles(
    trace: Trace, couples: Couples, t_s: ArrayLike, depth_cm: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Concentrations at chosen times and depths, for a flux that is constant in each step.

    Args:
        trace: of one electrode, with `mean_flux` recorded.
        couples: of that electrode, leaves [m].
        t_s: times [T] within those of the trace, s.
        depth_cm: distances from the electrode [X], >= 0, cm.

    Returns:
        Oxidised and reduced species, each [T, X, m] in mM.

    Raises:
        InputError: the trace is a batch, the couples are not one electrode's, the flux was not
            recorded, a time lies outside the trace, a depth is negative.
    """
    if np.ndim(trace.t_s) != 1:
        raise InputError(
            "Trace.t_s",
            f"shape {np.shape(trace.t_s)}",
            "leaves of one electrode, [L]",
            "choose one trace of the batch: jax.tree.map(lambda leaf: leaf[0], trace)",
        )
    check_couples(couples, ("m",))
    if trace.mean_flux is None:
        raise InputError(
            "Trace.mean_flux", None, "a recorded flux", 'simulate with outputs=["mean_flux"]'
        )
    time, at, depth = (np.atleast_1d(np.asarray(v, float)) for v in (trace.t_s, t_s, depth_cm))
    outside = ~((at >= time[0]) & (at <= time[-1]))
    if outside.any():
        allowed = f"in [{time[0]:g}, {time[-1]:g}], as the trace"
        raise InputError("t_s", at[outside][0], allowed, "choose a time within the trace")
    if not np.all((depth >= 0) & np.isfinite(depth)):
        bad = depth[~((depth >= 0) & np.isfinite(depth))][0]
        raise InputError("depth_cm", bad, "finite and >= 0", "measure from the electrode")
    elapsed = np.maximum(at[:, None] - time, 0.0)
    flux = 1e6 * np.asarray(trace.mean_flux, float)[1:]

    def moved(D: ArrayLike) -> NDArray[np.float64]:
        root = np.sqrt(np.asarray(D, float))
        scaled = depth[:, None] / root
        integral = kernel_integral(scaled[None, :, :, None], elapsed[:, None, None, :])
        weight = integral[..., :-1] - integral[..., 1:]
        return np.asarray(np.einsum("txml,lm->txm", weight, flux) / root)

    ox = np.asarray(couples.C_ox, float) - moved(couples.D_ox)
    return ox, np.asarray(couples.C_red, float) + moved(couples.D_red)


def kernel_integral(
    scaled_depth: NDArray[np.float64], elapsed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Integral of exp(-y^2 / (4 s)) / sqrt(pi s) over s from 0 to `elapsed`, y = depth / sqrt(D).

    The concentration that a unit flux moves at that depth, times sqrt(D) (Crank 1975, eq. 3.15).
    """
    root = np.sqrt(np.maximum(elapsed, 1e-300))
    half = scaled_depth / (2 * root)
    return 2 * root / np.sqrt(np.pi) * np.exp(-(half**2)) - scaled_depth * erfc(half)
