"""Steps of the potential, with and without a reaction, and pulses."""

import numpy as np

from ecguard import family, reference
from ecguard.report.verification.bench import (
    AREA_CM2,
    BATCH,
    D_OX,
    FAST_CM_S,
    STEPS,
    WINDOW_V,
    Array,
    Scope,
    cell,
    couple,
    current,
    drawn_electrodes,
    run,
)
from ecguard.report.verification.row import Row, row
from ecguard.simulator import Waveform
from ecguard.waveforms import chronoamperometry, cyclic, square_wave, square_wave_samples

STEPPED = STEPS // 8
SETTLED = 10
"""Samples after which the shape of the current within the first step is forgotten."""
TAU_STEPS = (0.1, 0.5, 2.0, 10.0, 100.0)
"""Time constants of the circuit, in steps of time."""


def limiting_step(scope: Scope) -> list[Row]:
    """Current and charge after a step to where all that arrives reacts, from the first sample."""
    rng = np.random.default_rng(scope.seed)
    drawn = drawn_electrodes(rng)
    duration = 1 / family.log_uniform(rng, family.SPEED_RANGE[1], BATCH)
    waveform = chronoamperometry(
        drawn["E0"] + WINDOW_V, drawn["E0"] - WINDOW_V, duration, STEPS + 1
    )
    since = _since(waveform)
    trace = run(waveform, couple(BATCH, k0=FAST_CM_S, **drawn))
    ours = trace.current_density_mA_cm2[:, STEPPED + 1 :]
    C, D = drawn["C_ox"][:, None], drawn["D_ox"][:, None]
    exact = np.asarray(reference.limiting_current(since, C, D))
    charge = _charge(trace.mean_flux[..., 0], waveform)[:, STEPPED + 1 :]
    exact_charge = np.asarray(reference.limiting_charge(since, C, D))
    words = "after a step to the limiting current, at every sample"
    return [
        row(
            "limiting-current",
            f"Current {words}",
            "Cottrell",
            ours=ours,
            reference=exact,
            errors=100 * np.abs(ours / exact - 1),
            unit="mA cm⁻²",
            bound=1e-3,
        ),
        row(
            "limiting-charge",
            f"Charge {words}",
            "Anson",
            ours=charge,
            reference=exact_charge,
            errors=100 * np.abs(charge / exact_charge - 1),
            unit="mC cm⁻²",
            bound=1e-3,
        ),
    ]


def kinetic_step(scope: Scope) -> list[Row]:
    """Current and charge after a step of couples of any rate constant, from the first sample."""
    rng = np.random.default_rng(scope.seed + 1)
    drawn = drawn_electrodes(rng) | {
        "k0": family.log_uniform(rng, family.K0_RANGE_CM_S, BATCH),
        "alpha": rng.uniform(*family.ALPHA_RANGE, BATCH),
    }
    stepped_to = drawn["E0"] + rng.uniform(-0.3, 0.05, BATCH)
    duration = 1 / family.log_uniform(rng, family.SPEED_RANGE[1], BATCH)
    waveform = chronoamperometry(drawn["E0"] + WINDOW_V, stepped_to, duration, STEPS + 1)
    trace = run(waveform, couple(BATCH, **drawn))
    columns = {name: values[:, None] for name, values in drawn.items()}
    rows = []
    for key, quantity, source, unit, ours, law, bounds in (
        (
            "kinetic-step",
            "Current",
            "exp(x²) erfc(x) of Gerischer and Vielstich",
            "mA cm⁻²",
            trace.current_density_mA_cm2,
            reference.kinetic_step_current,
            (4.0, 0.5),
        ),
        (
            "kinetic-charge",
            "Charge",
            "its integral, of Christie, Lauer and Osteryoung",
            "mC cm⁻²",
            _charge(trace.mean_flux[..., 0], waveform),
            reference.kinetic_step_charge,
            (2.0, 0.3),
        ),
    ):
        after = ours[:, STEPPED + 1 :]
        exact = np.asarray(law(_since(waveform), stepped_to[:, None], **columns))
        errors = 100 * np.abs(after / exact - 1)
        rows += [
            row(
                key + suffix,
                f"{quantity} after a step, any rate constant, {where}",
                source,
                ours=after[:, first:],
                reference=exact[:, first:],
                errors=errors[:, first:],
                unit=unit,
                bound=bound,
            )
            for suffix, where, first, bound in (
                ("", "at every sample", 0, bounds[0]),
                ("-later", f"from sample {SETTLED} on", SETTLED - 1, bounds[1]),
            )
        ]
    return rows


def reversible_square_wave(_: Scope) -> list[Row]:
    """Net peak of a fast couple: 50 mV, 10 mV, 25 Hz."""
    wave = square_wave(np.full(1, 0.5), -0.01, 0.05, 25.0, STEPS + 1, 16)
    trace = current(wave, couple(1, k0=FAST_CM_S, D_red=D_OX))
    forward, reverse = square_wave_samples(STEPS + 1, 16)
    scale = reference.FARADAY * 1e-3 * np.sqrt(D_OX / (np.pi * 0.02))
    net = (trace[:, reverse] - trace[:, forward]).max(axis=1) / scale
    expected = reference.reversible_square_wave_peak()
    return [
        row(
            "square-wave-peak",
            "Net peak of a reversible square wave, 50 mV and 10 mV, over the Cottrell current",
            "Osteryoung and O'Dea",
            ours=net,
            reference=expected,
            errors=100 * np.abs(net / expected - 1),
            unit="",
            bound=1e-3,
        )
    ]


def charging(_: Scope) -> list[Row]:
    """The double layer charges through the resistance, after a step and on a triangle."""
    tau, n = np.array(TAU_STEPS), len(TAU_STEPS)
    Ru, duration = 1e3, float(STEPS)  # with a step of 1 s
    Cdl = tau / Ru
    rest = couple(n, C_ox=0.0)
    stepped = chronoamperometry(np.zeros(n), 0.1, duration, STEPS + 1)
    after = current(stepped, rest, cell(n, Ru, Cdl))[:, STEPPED + 1 :]
    exact = np.asarray(
        reference.charging_step_current(_since(stepped), 0.1, Ru, Cdl[:, None], AREA_CM2)
    )
    triangle = cyclic(np.zeros(n), 0.8, 1.6 / duration, STEPS + 1)
    ramp = current(triangle, rest, cell(n, Ru, Cdl))
    exact_ramp = np.asarray(
        reference.charging_ramp_current(
            triangle.t_s, 1.6 / duration, Ru, Cdl[:, None], AREA_CM2, duration / 2
        )
    )
    return [
        row(
            f"charging-{key}",
            f"Charging current {words}, time constant 0.1 to 100 steps",
            source,
            ours=ours,
            reference=truth,
            errors=100 * np.abs(ours - truth) / scale,
            unit="mA cm⁻²",
            bound=1e-6,
        )
        for key, words, source, ours, truth, scale in (
            (
                "step",
                "after a step",
                "exponential decay from step over Ru",
                after,
                exact,
                1e3 * 0.1 / (Ru * AREA_CM2),
            ),
            (
                "ramp",
                "on a triangle",
                "exponential approach to v Cdl",
                ramp,
                exact_ramp,
                np.abs(exact_ramp).max(axis=1, keepdims=True),
            ),
        )
    ]


def _since(waveform: Waveform) -> Array:
    """Times after the step, counted from it [n, samples], s."""
    return np.asarray(waveform.t_s[:, STEPPED + 1 :] - waveform.t_s[:, STEPPED : STEPPED + 1])


def _charge(mean_flux: Array, waveform: Waveform) -> Array:
    """Charge passed by the reaction up to each sample [n, L], mC/cm^2."""
    steps = np.diff(waveform.t_s, axis=1, prepend=0.0)
    return np.asarray(-1e3 * reference.FARADAY * np.cumsum(mean_flux * steps, axis=1))
