"""Other simulators of voltammetry beside ours: time and error on the same sweeps.

Peers are the packages of the optional extra `peers`, and electrokitty, which is not in it because
it has no wheel and needs a compiler; what is absent, fails or lacks the physics is skipped with the
reason. pyecsim has no build for Python 3.10 or later.
"""

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module, metadata
from statistics import median
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ecguard.reference import FARADAY, thermal_voltage, voltammogram
from ecguard.report.verification.bench import vertex
from ecguard.report.verification.voltammogram import nrmse
from ecguard.simulator import Cell, Couples, Waveform, simulate, simulate_batch

BATCH = 512
REPEATS = 5
PATIENCE_S = 0.5
LIMIT_S = 40.0
NERNSTIAN_CM_S = 100.0
AREA_CM2 = 0.01
HEAD = ("sweep", "simulator", "version", "ms a trace", "NRMSE / %", "peak error / %", "times ours")

Array = NDArray[np.float64]
Curve = tuple[Array, Array]


@dataclass(frozen=True)
class Sweep:
    """One cycle of a reduction; alpha = 0.5, E0 = 0, the reduced species absent at first.

    Args:
        name: of the sweep.
        k0_cm_s: standard rate constant; from `NERNSTIAN_CM_S` on, peers may use Nernst's law.
        Ru_ohm, Cdl_F: of an electrode of `AREA_CM2`.
        D_cm2_s: of both species.
        C_mM: of the oxidised one.
        scan_rate_V_s, E_start_V, E_vertex_V: of the cycle.
        temperature_K: the one that softpotato 1 has built in.
        samples: odd, so that one is at the vertex.
    """

    name: str
    k0_cm_s: float
    Ru_ohm: float = 0.0
    Cdl_F: float = 0.0
    D_cm2_s: float = 1e-5
    C_mM: float = 1.0
    scan_rate_V_s: float = 0.1
    E_start_V: float = 0.3
    E_vertex_V: float = -0.2
    temperature_K: float = 298.0
    samples: int = 1001

    @property
    def duration_s(self) -> float:
        """Of the whole cycle, s."""
        return 2 * abs(self.E_vertex_V - self.E_start_V) / self.scan_rate_V_s

    @property
    def time_s(self) -> Array:
        """Equally spaced [samples], s."""
        return np.linspace(0.0, self.duration_s, self.samples)

    def potential(self, time_s: Any) -> Any:
        """Potential at given times, V."""
        passed = 1.0 - abs(1.0 - 2.0 * time_s / self.duration_s)
        return self.E_start_V + (self.E_vertex_V - self.E_start_V) * passed


@dataclass(frozen=True)
class Peer:
    """A package that simulates a `Sweep`.

    Args:
        name: of its distribution and of its module.
        simulate: imports it and returns potential (V) and current density (mA/cm^2), each [L],
            oxidation positive; the forward sweep comes first.
        with_cell: whether it knows Ru and Cdl.
    """

    name: str
    simulate: Callable[[Sweep], Curve]
    with_cell: bool = False


@dataclass(frozen=True)
class Row:
    """One simulator on one sweep.

    Args:
        sweep, simulator, version: what ran; an absent simulator has no version.
        milliseconds: a trace, warm.
        error_percent: root mean square over the forward sweep against `exact`, of its largest.
        peak_error_percent: of the reduction peak; may be small where the error changes its sign.
        times_ours: its time a trace over that of our batch.
        note: why it did not run; the four numbers are then None.
    """

    sweep: str
    simulator: str
    version: str
    milliseconds: float | None = None
    error_percent: float | None = None
    peak_error_percent: float | None = None
    times_ours: float | None = None
    note: str = ""


SWEEPS = (
    Sweep("reversible", 1e3),
    Sweep("quasi-reversible", 1e-3),
    Sweep("quasi-reversible, Ru and Cdl", 1e-3, Ru_ohm=1e4, Cdl_F=2e-7),
)


def compare(
    sweeps: Sequence[Sweep] = SWEEPS,
    peers: Sequence[Peer] | None = None,
    batch: int = BATCH,
    limit_s: float = LIMIT_S,
) -> tuple[Row, ...]:
    """Measure ours and all peers in one run.

    The median of `REPEATS` warm calls counts; a peer slower than `PATIENCE_S` is called once.

    Args:
        sweeps: to run.
        peers: None takes `PEERS`.
        batch: traces of our batch.
        limit_s: no peer is started later than this, s.

    Returns:
        For each sweep ours alone, ours in a batch, and the peers.
    """
    started = time.perf_counter()
    truth = [exact(sweep) for sweep in sweeps]
    found: list[list[Row]] = []
    for sweep, true in zip(sweeps, truth, strict=True):
        kinds = (("one trace", 1), (f"batch of {batch}", batch))
        found.append([_measured_ours(sweep, name, traces, true) for name, traces in kinds])
    for peer in PEERS if peers is None else peers:
        for sweep, true, rows in zip(sweeps, truth, found, strict=True):
            late = time.perf_counter() - started > limit_s
            reason = missing(peer, sweep) or (f"not started within {limit_s:g} s" if late else "")
            row = Row(sweep.name, peer.name, _version(peer.name), note=reason)
            rows.append(row if reason else _tried(row, peer, sweep, true))
    return tuple(_beside(row, rows[1]) for rows in found for row in rows)


def cells(row: Row) -> list[str]:
    """A row under `HEAD`; the reason stands where the time would."""
    names = [row.sweep, row.simulator, row.version]
    if row.milliseconds is None:
        return [*names, row.note, "", "", ""]
    return [
        *names,
        f"{row.milliseconds:.3g}",
        f"{row.error_percent:.4f}",
        f"{row.peak_error_percent:+.4f}",
        f"{row.times_ours:,.3g}" if (row.times_ours or 0) < 100 else f"{row.times_ours:,.0f}",
    ]


def missing(peer: Peer, sweep: Sweep) -> str:
    """Why a peer cannot run a sweep, or nothing."""
    if not _version(peer.name):
        return "not installed"
    if not peer.with_cell and (sweep.Ru_ohm or sweep.Cdl_F):
        return "knows no Ru and Cdl"
    return ""


def exact(sweep: Sweep) -> Curve:
    """The forward sweep by the integral equation: potential (V), current density (mA/cm^2)."""
    corners = [0.0, sweep.duration_s / 2]
    time_s = np.linspace(0.0, corners[1], 8 * sweep.samples)
    found = voltammogram(
        time_s,
        corners,
        [sweep.E_start_V, sweep.E_vertex_V],
        C_ox=sweep.C_mM,
        D_ox=sweep.D_cm2_s,
        D_red=sweep.D_cm2_s,
        E0=0.0,
        k0=sweep.k0_cm_s,
        alpha=0.5,
        area_cm2=AREA_CM2,
        Ru_ohm=sweep.Ru_ohm,
        Cdl_F=sweep.Cdl_F,
        temperature_K=sweep.temperature_K,
    )
    return sweep.potential(time_s), np.asarray(found.current_density_mA_cm2, float)


def nrmse_percent(curve: Curve, truth: Curve) -> float:
    """Error of the forward sweep against `truth`, an `exact` one."""
    potential, current = (np.asarray(values, float) for values in curve)
    forward = slice(0, int(potential.argmin()) + 1)
    wanted = np.interp(-potential[forward], -truth[0], truth[1])
    return float(nrmse(current[forward], wanted))


def peak(curve: Curve) -> float:
    """Lowest point of the parabola through the lowest sample and its neighbours.

    Raises:
        ArithmeticError: that sample is the first or the last, or the current is not finite.
    """
    potential, current = (np.asarray(values, float) for values in curve)
    k = int(current.argmin())
    if not (0 < k < len(current) - 1 and np.all(np.isfinite(current))):
        raise ArithmeticError("the current has no peak")
    return float(vertex(potential, current)[1])


def ours(sweep: Sweep, traces: int = 1) -> Callable[[], Curve]:
    """The sweep by this package, ready to run: alone, or many at once and the first returned."""
    time_s, D, zero = sweep.time_s, sweep.D_cm2_s, 0.0
    potential = sweep.potential(time_s)
    couples = Couples(D, D, sweep.C_mM, zero, zero, sweep.k0_cm_s, 0.5)
    cell = Cell(AREA_CM2, sweep.Ru_ohm, sweep.Cdl_F, sweep.temperature_K)
    one = (Waveform(time_s, potential), jax.tree.map(np.atleast_1d, couples), cell)
    many = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[None], traces, axis=0), one)

    def run() -> Curve:
        trace = simulate(*one) if traces == 1 else simulate_batch(*many)
        current = np.asarray(trace.current_density_mA_cm2, float)
        return potential, current.reshape(traces, -1)[0]

    return run


def _measured_ours(sweep: Sweep, name: str, traces: int, truth: Curve) -> Row:
    run = ours(sweep, traces)
    run()  # compiles
    row = _measured(Row(sweep.name, f"ecguard, {name}", _version("ecguard")), run, truth)
    return replace(row, milliseconds=(row.milliseconds or 0.0) / traces)


def _tried(row: Row, peer: Peer, sweep: Sweep, truth: Curve) -> Row:
    """A peer is not ours to mend: what it raises becomes the note."""
    try:
        with _silence():
            import_module(peer.name)
            return _measured(row, partial(peer.simulate, sweep), truth)
    except Exception as error:
        return replace(row, note=f"{type(error).__name__}: {error}")


def _measured(row: Row, run: Callable[[], Curve], truth: Curve) -> Row:
    curve, seconds = _timed(run)
    if seconds < PATIENCE_S:
        seconds = median(_timed(run)[1] for _ in range(REPEATS))
    return replace(
        row,
        milliseconds=1e3 * seconds,
        error_percent=nrmse_percent(curve, truth),
        peak_error_percent=100.0 * (peak(curve) / peak(truth) - 1.0),
    )


def _timed(run: Callable[[], Curve]) -> tuple[Curve, float]:
    started = time.perf_counter()
    curve = run()
    return curve, time.perf_counter() - started


def _beside(row: Row, batch: Row) -> Row:
    if row.milliseconds is None or batch.milliseconds is None:
        return row
    return replace(row, times_ours=row.milliseconds / batch.milliseconds)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


@contextmanager
def _silence() -> Iterator[None]:
    """No warnings, and nothing on standard output, from compiled code neither."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "w") as null, redirect_stdout(null), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(null.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def _cvsim(sweep: Sweep) -> Curve:
    """Semi-integration; the sample before the sweep is not in its result."""
    mechanisms = import_module("cvsim.mechanisms")
    radius_cm = np.sqrt(AREA_CM2 / np.pi)
    common = {
        "start_potential": sweep.E_start_V,
        "switch_potential": sweep.E_vertex_V,
        "reduction_potential": 0.0,
        "scan_rate": sweep.scan_rate_V_s,
        "c_bulk": sweep.C_mM,
        "diffusion_reactant": sweep.D_cm2_s,
        "diffusion_product": sweep.D_cm2_s,
        "step_size": 1e3 * sweep.scan_rate_V_s * sweep.duration_s / (sweep.samples - 1),
        "disk_radius": 10.0 * radius_cm,
        "temperature": sweep.temperature_K,
    }
    if sweep.k0_cm_s >= NERNSTIAN_CM_S:
        model = mechanisms.E_rev(**common)
    else:
        model = mechanisms.E_q(**common, alpha=0.5, k0=sweep.k0_cm_s)
    _, current_A = model.simulate()
    return sweep.potential(sweep.time_s[1:]), 1e3 * current_A / AREA_CM2


def _softpotato(sweep: Sweep) -> Curve:
    """Version 1 simulates voltammetry; version 3 diffusion, to which we add the electrode."""
    if not hasattr(import_module("softpotato"), "solver"):
        return _softpotato_1(sweep)
    nernstian = sweep.k0_cm_s >= NERNSTIAN_CM_S
    return _softpotato_nernst(sweep) if nernstian else _softpotato_kinetic(sweep)


def _softpotato_1(sweep: Sweep) -> Curve:
    """Explicit finite differences."""
    waveform = SimpleNamespace(t=sweep.time_s, E=sweep.potential(sweep.time_s))
    D, C = sweep.D_cm2_s, 1e-6 * sweep.C_mM
    model = import_module("softpotato").E(
        waveform, A=1.0, cOb=C, cRb=0.0, DO=D, DR=D, k0=sweep.k0_cm_s
    )
    model.run()
    return waveform.E, 1e3 * model.i


def _softpotato_nernst(sweep: Sweep) -> Curve:
    """Crank-Nicolson on 601 points; the potential sets the concentration at the electrode."""
    solver = import_module("softpotato.solver")
    thermal = thermal_voltage(sweep.temperature_K)

    def surface(t: float) -> Any:
        return sweep.C_mM / (1.0 + np.exp(-sweep.potential(t) / thermal))

    end, D = sweep.duration_s, sweep.D_cm2_s
    ends = solver.DirichletBC(surface), solver.DirichletBC(sweep.C_mM)
    problem = solver.DiffusionProblem(
        np.linspace(0.0, 6.0 * np.sqrt(D * end), 601), {"O": D}, {"O": ends}, {"O": sweep.C_mM}
    )
    marcher = solver.get_solver("crank_nicolson", dt=end / (sweep.samples - 1))
    found = marcher.solve(problem, (0.0, end), sweep.time_s)
    return sweep.potential(sweep.time_s), 1e-3 * FARADAY * found.fluxes["O"]


def _softpotato_kinetic(sweep: Sweep) -> Curve:
    """Method of lines on 80 expanding points; the kinetics react in the cell at the electrode."""
    solver = import_module("softpotato.solver")
    thermal = thermal_voltage(sweep.temperature_K)
    end, D = sweep.duration_s, sweep.D_cm2_s
    grid = 6.0 * np.sqrt(D * end) * np.expm1(np.linspace(0.0, 5.0, 80)) / np.expm1(5.0)

    def flux(ox: Any, red: Any, t: Any) -> Any:
        phi = sweep.potential(t) / thermal
        return sweep.k0_cm_s * (np.exp(-phi / 2) * ox - np.exp(phi / 2) * red)

    def kinetics(c: dict[str, Array], x: Array, t: float) -> dict[str, Array]:
        rate = np.zeros_like(x)
        rate[0] = 2.0 / x[1] * flux(c["O"][0], c["R"][0], t)
        return {"O": -rate, "R": rate}

    closed = (solver.NeumannBC(0.0),) * 2
    problem = solver.DiffusionProblem(
        grid,
        {"O": D, "R": D},
        {"O": closed, "R": closed},
        {"O": sweep.C_mM, "R": 0.0},
        kinetics,
    )
    lines = solver.get_solver("scipy_ivp", method="BDF")
    found = lines.solve(problem, (0.0, end), sweep.time_s)
    ox, red = (found[name][:, 0] for name in ("O", "R"))
    return sweep.potential(sweep.time_s), -1e-3 * FARADAY * flux(ox, red, sweep.time_s)


def _electrokitty(sweep: Sweep) -> Curve:
    """Implicit finite differences on 20 expanding points, the first 1e-4 of the layer; SI units."""
    model = import_module("electrokitty").ElectroKitty("E(1):a=b")
    time_s, area_m2 = sweep.time_s, 1e-4 * AREA_CM2
    potential = sweep.potential(time_s)
    model.create_simulation(
        [[0.5, 1e-2 * sweep.k0_cm_s, 0.0]],
        [sweep.temperature_K, sweep.Ru_ohm, sweep.Cdl_F / area_m2, area_m2],
        [1e-4 * sweep.D_cm2_s] * 2,
        [],
        [1e-4, 20, 1e-5, 0.0],
        [[], [sweep.C_mM, 0.0]],
    )
    model.set_data(potential, np.zeros_like(time_s), time_s)
    _, current_A, _ = model.simulate()
    return potential, 0.1 * np.asarray(current_A) / area_m2


PEERS = (
    Peer("cvsim", _cvsim),
    Peer("softpotato", _softpotato),
    Peer("electrokitty", _electrokitty, with_cell=True),
)
