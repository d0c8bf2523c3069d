"""Laws that every trace obeys: conserved mass, and how currents scale."""

import numpy as np

from ecguard.reference import FARADAY
from ecguard.report.verification.bench import (
    D_OX,
    D_RED,
    STEPS,
    Array,
    Scope,
    couple,
    run,
)
from ecguard.report.verification.row import Row, row
from ecguard.waveforms import cyclic

K0_CM_S = (1.0, 1e-2, 1e-3, 1e-5)
WINDOW_V = (0.4, -0.4)
RATE_V_S = 0.1
SCALES = (1e-3, 50.0)


def mass_balance(_: Scope) -> list[Row]:
    """Charge, flux and surface concentrations of one trace belong together."""
    k0, n = np.array(K0_CM_S), len(K0_CM_S)
    start, turn = (np.full(n, E) for E in WINDOW_V)
    waveform = cyclic(start, turn, RATE_V_S, STEPS + 1)
    trace = run(waveform, couple(n, k0=k0))
    current = trace.current_density_mA_cm2
    step = waveform.t_s[:, 1:2]
    charge = np.cumsum((current[:, 1:] + current[:, :-1]) / 2, axis=1) * step
    passed = -1e3 * FARADAY * np.cumsum(trace.mean_flux[:, 1:, 0], axis=1) * step
    surface_ox, surface_red = trace.surface_ox_mM[..., 0], trace.surface_red_mM[..., 0]
    weighted = surface_ox * np.sqrt(D_OX) + surface_red * np.sqrt(D_RED)
    bulk = np.sqrt(D_OX)
    direct = 1.0 + semi_integral(current, step) / (1e-3 * FARADAY * np.sqrt(D_OX))
    return [
        row(
            "charge-balance",
            "Charge passed, of its largest",
            "integral of the flux",
            ours=charge,
            reference=passed,
            errors=100 * np.abs(charge - passed) / np.abs(passed).max(axis=1, keepdims=True),
            unit="mC cm⁻²",
            bound=1e-3,
        ),
        row(
            "mass-balance",
            "Sum of c √D over both species at the electrode",
            "the bulk",
            ours=1e3 * weighted,
            reference=1e3 * bulk,
            errors=100 * np.abs(weighted / bulk - 1),
            unit="µmol cm⁻² s⁻¹ᐟ²",
            bound=1e-9,
        ),
        row(
            "surface-concentration",
            "Concentration at the electrode, of the bulk",
            "direct semi-integral of the current",
            ours=surface_ox[:, 1:],
            reference=direct[:, 1:],
            errors=100 * np.abs(surface_ox - direct)[:, 1:],
            unit="mM",
            bound=1e-3,
        ),
    ]


def scaling(_: Scope) -> list[Row]:
    """Currents are linear in concentration, and go with the root of the scan rate."""
    factor, n = np.array(SCALES), len(SCALES)
    start, turn = (np.full(n, E) for E in WINDOW_V)

    def trace(rate: Array, **values: float | Array) -> Array:
        found = run(cyclic(start, turn, rate, STEPS + 1), couple(n, **values))
        return np.asarray(found.current_density_mA_cm2)

    rate = np.full(n, RATE_V_S)
    once = trace(rate)
    more = trace(rate, C_ox=factor)
    faster = trace(rate * factor, k0=1e-2 * np.sqrt(factor))
    return [
        row(
            key,
            quantity,
            "the same current, scaled",
            ours=ours,
            reference=once * law[:, None],
            errors=100 * np.abs(ours / law[:, None] - once) / np.abs(once).max(),
            unit="mA cm⁻²",
            bound=1e-6,
        )
        for key, quantity, ours, law in (
            (
                "linearity",
                "Current at concentrations 1000 times lower and 50 times higher",
                more,
                factor,
            ),
            (
                "scan-rate",
                "Current at scan rates 1000 times lower and 50 times higher, k0 with the root",
                faster,
                np.sqrt(factor),
            ),
        )
    ]


def semi_integral(values: Array, step: Array) -> Array:
    """1/sqrt(pi) integral of f(s) / sqrt(t - s) ds, exact for piecewise linear f [n, L] from 0."""
    length = values.shape[1]
    power = np.arange(length + 1.0) ** 1.5
    weight = np.append(1.0, power[2:] - 2 * power[1:-1] + power[:-2])[:length]
    spectrum = np.fft.rfft(values, 2 * length) * np.fft.rfft(weight, 2 * length)
    total = np.fft.irfft(spectrum, 2 * length)[:, :length]
    return np.asarray(4 / 3 * np.sqrt(step / np.pi) * total)
