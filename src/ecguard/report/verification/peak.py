"""Peaks of sweeps: reversible, quasi-reversible and irreversible."""

import numpy as np

from ecguard import family, reference
from ecguard.report.verification.bench import (
    BATCH,
    D_OX,
    D_RED,
    FAST_CM_S,
    STEPS,
    THERMAL_V,
    WINDOW_V,
    Array,
    Scope,
    couple,
    current,
    drawn_electrodes,
    vertex,
)
from ecguard.report.verification.row import Row, row
from ecguard.report.verification.voltammogram import RATE_V_S, nrmse
from ecguard.waveforms import cyclic, linear_sweep

USUAL_STEPS = 1024
PSI = (20.0, 7.0, 1.0, 0.5, 0.1)
SWITCHED_PAST_V = 0.141
SLOW_CM_S = 1e-6


def reversible_peak(scope: Scope) -> list[Row]:
    """Fast couples of the family's ranges, in single precision: the peak and the whole sweep."""
    rng = np.random.default_rng(scope.seed)
    drawn = drawn_electrodes(rng)
    rate = family.log_uniform(rng, family.SPEED_RANGE[0], BATCH)
    waveform = cyclic(drawn["E0"] + WINDOW_V, drawn["E0"] - WINDOW_V, rate, USUAL_STEPS + 1)
    traces = current(waveform, couple(BATCH, k0=FAST_CM_S, **drawn), x64=False)
    place, height = _vertices(waveform.E_V, traces)
    expected = reference.reversible_peak_current(drawn["C_ox"], drawn["D_ox"], rate)
    potential = reference.reversible_peak_potential(drawn["E0"], drawn["D_ox"], drawn["D_red"])
    forward = slice(USUAL_STEPS // 2 + 1)
    each = {**drawn, "scan_rate_V_s": rate, "E_V": waveform.E_V[:, forward]}
    swept = np.array(
        [
            reference.reversible_sweep_current(**dict(zip(each, values, strict=True)))
            for values in zip(*each.values(), strict=True)
        ]
    )
    words = f"of a reversible couple, {USUAL_STEPS} steps, float32"
    return [
        row(
            "peak-current",
            f"Peak current {words}",
            "Randles and Sevcik",
            ours=height,
            reference=expected,
            errors=100 * np.abs(height / expected - 1),
            unit="mA cm⁻²",
            bound=0.02,
        ),
        row(
            "peak-potential",
            f"Peak potential {words}",
            "Nicholson and Shain",
            ours=1e3 * place,
            reference=1e3 * np.asarray(potential),
            errors=1e3 * np.abs(place - potential),
            unit="mV",
            error_unit="mV",
            bound=0.5,
        ),
        row(
            "reversible-sweep",
            f"NRMSE of the forward sweep {words} (shown: peak)",
            "semi-derivative of Nernst's law",
            ours=traces[:, forward].min(axis=1),
            reference=swept.min(axis=1),
            errors=nrmse(traces[:, forward], swept),
            unit="mA cm⁻²",
            bound=0.005,
        ),
    ]


def peak_separation(scope: Scope) -> list[Row]:
    """Quasi-reversible couples; the source says how far the printed table lies from it."""
    psi = np.array(scope.thin(PSI))
    n = len(psi)
    k0 = psi * np.sqrt(np.pi * D_OX * RATE_V_S / THERMAL_V) * (D_RED / D_OX) ** 0.25
    half_wave = THERMAL_V * np.log(D_RED / D_OX) / 2
    waveform = cyclic(
        np.full(n, 0.4 + half_wave),
        np.full(n, half_wave - SWITCHED_PAST_V),
        np.full(n, RATE_V_S),
        STEPS + 1,
    )
    traces = current(waveform, couple(n, k0=k0))
    half = STEPS // 2
    forward, _ = _vertices(waveform.E_V[:, : half + 1], traces[:, : half + 1])
    reverse, _ = _vertices(waveform.E_V[:, half:], -traces[:, half:])
    separation = 1e3 * (reverse - forward)
    expected = np.array([1e3 * reference.peak_separation(value) for value in psi])
    above = np.array([reference.PRINTED_SEPARATION_MV[value] for value in psi]) - expected
    return [
        row(
            "peak-separation",
            "Peak separation of quasi-reversible couples, psi 20 to 0.1",
            "Nicholson's equation, solved anew; his table prints "
            f"{above.min():.1f} to {above.max():.1f} mV more",
            ours=separation,
            reference=expected,
            errors=np.abs(separation - expected),
            unit="mV",
            error_unit="mV",
            bound=0.5,
        )
    ]


def irreversible_peak(_: Scope) -> list[Row]:
    """Slow couples: height, potential and width of the peak."""
    alpha = np.array([0.3, 0.5, 0.7])
    n = len(alpha)
    place = reference.irreversible_peak_potential(0.0, D_OX, SLOW_CM_S, alpha, RATE_V_S)
    unit = THERMAL_V / alpha
    waveform = linear_sweep(place + 14 * unit, place - 6 * unit, np.full(n, RATE_V_S), STEPS + 1)
    traces = current(waveform, couple(n, k0=SLOW_CM_S, alpha=alpha))
    potential, height = _vertices(waveform.E_V, traces)
    width = _half_peak(waveform.E_V, traces, height) - potential
    expected = reference.irreversible_peak_current(1.0, D_OX, alpha, RATE_V_S)
    expected_width = reference.irreversible_peak_width(alpha)
    words = "of an irreversible couple, alpha 0.3 to 0.7"
    source = "Nicholson and Shain"
    return [
        row(
            "irreversible-peak-current",
            f"Peak current {words}",
            source,
            ours=height,
            reference=expected,
            errors=100 * np.abs(height / expected - 1),
            unit="mA cm⁻²",
            bound=0.01,
        ),
        *(
            row(
                f"irreversible-peak-{key}",
                f"Peak {key} {words}",
                against,
                ours=1e3 * ours,
                reference=1e3 * np.asarray(truth),
                errors=1e3 * np.abs(ours - truth),
                unit="mV",
                error_unit="mV",
                bound=0.05,
            )
            for key, against, ours, truth in (
                ("potential", source, potential, place),
                ("width", "Matsuda and Ayabe", width, expected_width),
            )
        ),
    ]


def _vertices(potential: Array, traces: Array) -> Array:
    """Potentials and heights of the lowest points [2, n]."""
    return np.transpose([vertex(x, y) for x, y in zip(potential, traces, strict=True)])


def _half_peak(potential: Array, traces: Array, height: Array) -> Array:
    """Potentials at which half the peak is passed on the way to it [n]."""
    return np.array(
        [
            np.interp(peak / -2, -trace[: trace.argmin() + 1], x[: trace.argmin() + 1])
            for x, trace, peak in zip(potential, traces, height, strict=True)
        ]
    )
