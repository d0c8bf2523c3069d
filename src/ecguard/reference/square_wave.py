"""Square-wave voltammetry of a fast couple."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecguard.errors import InputError
from ecguard.positive import check_positive
from ecguard.reference.thermal import FARADAY, thermal_voltage


class SquareWave(NamedTuple):
    """Leaves [steps]: staircase potential (V), currents at the ends of the pulses (mA/cm^2)."""

    staircase_V: NDArray[np.float64]
    forward: NDArray[np.float64]
    reverse: NDArray[np.float64]

    @property
    def net(self) -> NDArray[np.float64]:
        """Forward less reverse, mA/cm^2."""
        return self.forward - self.reverse


def reversible_square_wave(
    start_V: float,
    end_V: float,
    C_ox: float,
    D_ox: float,
    D_red: float,
    E0: float,
    amplitude_V: float = 0.05,
    step_V: float = 0.01,
    frequency_Hz: float = 25.0,
    temperature_K: float = 298.15,
) -> SquareWave:
    """Currents of a fast couple, towards reduction (Christie, Turner and Osteryoung 1977).

    The Nernst condition holds the semi-integral of the flux at one value in each pulse, so that the
    current is an exact sum of Cottrell terms, one for each change of the potential.

    Args:
        start_V, end_V: first and last potential of the staircase, V; the electrode rests at the
            first, far positive of E0, before.
        C_ox: bulk concentration, mM; the reduced species is absent.
        D_ox, D_red: diffusion coefficients, cm^2/s.
        E0: formal potential, V.
        amplitude_V: half of the peak-to-peak height of the square wave, V.
        step_V: > 0, by which the staircase falls once a period, V.
        frequency_Hz: periods a second, > 0.
        temperature_K: K.

    Raises:
        InputError: the staircase does not fall, or a value that must be > 0 is not.
    """
    check_positive(D_ox=D_ox, D_red=D_red, frequency_Hz=frequency_Hz)
    if not (step_V > 0 and end_V < start_V):
        raise InputError(
            "step_V",
            step_V,
            "> 0, from a start to an end below it",
            "mirror the potentials for a sweep towards oxidation",
        )
    thermal = float(thermal_voltage(temperature_K))
    half_wave = E0 + thermal * np.log(D_red / D_ox) / 2
    staircase = start_V - step_V * np.arange(1.0 + round((start_V - end_V) / step_V))
    pulses = np.stack([staircase - amplitude_V, staircase + amplitude_V], axis=1).ravel()
    depletion = 1 / (1 + np.exp((np.append(start_V, pulses) - half_wave) / thermal))
    depletion[0] = 0.0
    count = len(pulses)
    age = np.arange(1, count + 1)
    flux = np.convolve(np.diff(depletion), 1 / np.sqrt(np.pi * age / (2 * frequency_Hz)))[:count]
    current = -FARADAY * 1e-3 * C_ox * np.sqrt(D_ox) * flux
    return SquareWave(staircase, current[::2], current[1::2])


def reversible_square_wave_peak(
    amplitude_V: float = 0.05, step_V: float = 0.01, temperature_K: float = 298.15
) -> float:
    """Largest net current over F C sqrt(D / (pi t_p)), with t_p the length of a pulse.

    The staircase passes through the half-wave potential, where the peak then is. The usual 50 mV
    and 10 mV give 0.9281 at 25 C (Osteryoung and O'Dea 1986).

    Args:
        amplitude_V, step_V: as for the trace, V.
        temperature_K: K.

    Raises:
        InputError: the step or the temperature is not > 0.
    """
    check_positive(step_V=step_V)
    start = step_V * float(np.ceil(25 * thermal_voltage(temperature_K) / step_V))
    wave = reversible_square_wave(
        start, -start, 1.0, 1.0, 1.0, 0.0, amplitude_V, step_V, 0.5, temperature_K
    )
    return float(np.max(-wave.net) * np.sqrt(np.pi) / (FARADAY * 1e-3))
