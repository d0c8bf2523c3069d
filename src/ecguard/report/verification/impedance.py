"""The impedance that small tones measure, against the Randles circuit."""

import numpy as np
from numpy.typing import NDArray

from ecguard import reference
from ecguard.report.verification.bench import (
    AREA_CM2,
    D_OX,
    D_RED,
    STEPS,
    Array,
    Scope,
    cell,
    couple,
    current,
)
from ecguard.report.verification.row import Row, row
from ecguard.waveforms import tone

FREQUENCIES_HZ = tuple(float(f) for f in np.geomspace(0.1, 1e4, 11))
SAMPLES_PER_PERIOD = 160
FITTED_PERIODS = 3
AMPLITUDE_V = 1e-3
ELECTRODE = {"C_ox": 1.0, "C_red": 2.0, "k0": 5e-3, "alpha": 0.4, "E0": 0.1}
CIRCUIT = {"Ru_ohm": 200.0, "Cdl_F": 1e-6}


def randles(scope: Scope) -> list[Row]:
    """Both species present, at rest at equilibrium, with resistance and double layer."""
    frequency = np.array(scope.thin(FREQUENCIES_HZ))
    n, e = len(frequency), ELECTRODE
    rest = float(reference.nernst_potential(e["C_ox"], e["C_red"], e["E0"]))
    waveform = tone(np.full(n, rest), AMPLITUDE_V, frequency, STEPS + 1, SAMPLES_PER_PERIOD)
    trace = current(waveform, couple(n, **e), cell(n, **CIRCUIT))
    ours = phasor(waveform.E_V) / (1e-3 * AREA_CM2 * phasor(trace))
    exact = reference.randles_impedance(
        frequency,
        rest,
        e["C_ox"],
        e["C_red"],
        D_OX,
        D_RED,
        e["E0"],
        e["k0"],
        e["alpha"],
        AREA_CM2,
        **CIRCUIT,
    )
    words = "of impedance, tones from 0.1 Hz to 10 kHz"
    return [
        row(
            "impedance-magnitude",
            f"Magnitude {words}",
            "Randles circuit",
            ours=np.abs(ours),
            reference=np.abs(exact),
            errors=100 * np.abs(np.abs(ours) / np.abs(exact) - 1),
            unit="ohm",
            bound=0.5,
        ),
        row(
            "impedance-phase",
            f"Phase {words}",
            "Randles circuit",
            ours=np.angle(ours, deg=True),
            reference=np.angle(exact, deg=True),
            errors=np.abs(np.angle(ours / exact, deg=True)),
            unit="°",
            error_unit="°",
            bound=0.3,
        ),
    ]


def phasor(values: Array) -> NDArray[np.complex128]:
    """Complex amplitude [n] of sin over the last periods of [n, L].

    Fitted beside a constant and a drift: the memory of diffusion outlasts many periods.
    """
    count = FITTED_PERIODS * SAMPLES_PER_PERIOD
    k = np.arange(values.shape[1])[-count:]
    turn = 2 * np.pi * k / SAMPLES_PER_PERIOD
    basis = np.stack([np.sin(turn), np.cos(turn), np.ones(count), k - k.mean()], axis=1)
    in_phase, quadrature, _, _ = np.linalg.lstsq(basis, values[:, -count:].T, rcond=None)[0]
    return np.asarray(in_phase + 1j * quadrature)
