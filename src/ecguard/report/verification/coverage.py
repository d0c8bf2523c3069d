"""Coverage of the electrode, and the clean control."""

import jax
import numpy as np

from ecguard import family, reference
from ecguard.fouling import Fouling
from ecguard.report.verification.bench import (
    BATCH,
    STEPS,
    WINDOW_V,
    Scope,
    cell,
    couple,
    drawn_electrodes,
    repeated,
    run,
)
from ecguard.report.verification.row import Row, row
from ecguard.waveforms import cyclic

CIRCUIT = {"Ru_ohm": 100.0, "Cdl_F": 2e-7}


def langmuir(scope: Scope) -> list[Row]:
    """Constant rates: with equal diffusion coefficients the summed surface concentration stays."""
    rng = np.random.default_rng(scope.seed + 2)
    drawn = drawn_electrodes(rng)
    drawn["D_red"] = drawn["D_ox"]
    rate = family.log_uniform(rng, family.SPEED_RANGE[0], BATCH)
    theta_0 = rng.uniform(0, 1, BATCH)
    k_ads = family.log_uniform(rng, (1e2, 1e5), BATCH)
    k_des = family.log_uniform(rng, (1e-4, 1e-1), BATCH)
    fouling = _fouling(initial_theta=theta_0, k_ads=k_ads, k_des=k_des, k_reaction=0.0, k_clean=0.0)
    waveform = cyclic(drawn["E0"] + WINDOW_V, drawn["E0"] - WINDOW_V, rate, STEPS + 1)
    trace = run(waveform, couple(BATCH, **drawn), cell(BATCH, **CIRCUIT), fouling, x64=False)
    exact = 100 * np.asarray(
        reference.coverage(
            waveform.t_s,
            theta_0[:, None],
            (k_ads * drawn["C_ox"] * 1e-6)[:, None],
            k_des[:, None],
        )
    )
    ours = 100 * trace.coverage
    return [
        row(
            "coverage",
            "Coverage at constant rates, float32",
            "Langmuir",
            ours=ours,
            reference=exact,
            errors=np.abs(ours - exact),
            unit="%",
            bound=0.01,
        )
    ]


def clean_control(scope: Scope) -> list[Row]:
    """Fouling with no coverage and no way to gain any is no fouling."""
    rng = np.random.default_rng(scope.seed + 3)
    drawn = drawn_electrodes(rng)
    drawn["k0"] = family.log_uniform(rng, family.K0_RANGE_CM_S, BATCH)
    rate = family.log_uniform(rng, family.SPEED_RANGE[0], BATCH)
    waveform = cyclic(drawn["E0"] + WINDOW_V, drawn["E0"] - WINDOW_V, rate, STEPS + 1)
    idle = _fouling(initial_theta=0.0, k_ads=0.0, k_reaction=0.0)
    clean, control = (
        run(
            waveform, couple(BATCH, **drawn), cell(BATCH, **CIRCUIT), film, x64=False
        ).current_density_mA_cm2
        for film in (None, idle)
    )
    return [
        row(
            "clean-control",
            "Current with fouling on but nothing to foul, over the range of the trace, float32",
            "the clean electrode",
            ours=control,
            reference=clean,
            errors=100 * np.abs(clean - control) / np.ptp(clean, axis=1, keepdims=True),
            unit="mA cm⁻²",
            bound=1e-4,
        )
    ]


def _fouling(**values: object) -> Fouling:
    fouling: Fouling = jax.tree.map(lambda leaf: repeated(leaf, BATCH), Fouling(**values))
    return fouling
