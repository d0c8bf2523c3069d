"""Steps of a protocol: what is applied to the electrode, given the voltammogram it starts with.

A step is data; its waveform follows from the window of the case's own voltammogram. Samples are
even in time, so that all cases of a step share their solver grid.
"""

import abc
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.errors import InputError
from ecguard.simulator import Waveform
from ecguard.waveforms import concatenate, cyclic, double_step, multi_sine, tone

SAMPLES = 256
KEEP = 0.40
_GROWTH = 1.5  # of the steps of a quiet time
_PER_PERIOD = 32  # samples of the highest frequency


@dataclass(frozen=True)
class Step(abc.ABC):
    """What is applied and recorded, after a rest.

    Args:
        keep: probability that a sample is recorded.
        rest_s: time at rest before it, s; the solution comes to rest, coverage goes on.
        cleaning: strength of cleaning during the rest, 0 to 1.
        quiet: time held at the first potential before anything is recorded, in units of the
            recorded duration.
        white: noise as dense in frequency as the voltammogram's, so that it grows with the root of
            the sampling rate; otherwise every sample is as noisy as one of the voltammogram.

    Raises:
        InputError: a value is out of range.
    """

    keep: float = KEEP
    rest_s: float = 0.0
    cleaning: float = 0.0
    quiet: float = 0.0
    white: bool = False
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        for name, low, high in (
            ("keep", 1e-3, 1.0),
            ("rest_s", 0.0, 1e5),
            ("cleaning", 0.0, 1.0),
            ("quiet", 0.0, 1e3),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(name, value, f"{low:g} to {high:g}", "Choose one in the range.")

    @abc.abstractmethod
    def recorded(self, first: Waveform) -> Waveform:
        """What is recorded [n, L], given the voltammograms [n, L] that the cases start with."""

    def scaled(self, pace: float, size: float) -> "Step":
        """The same step `pace` times as fast and `size` times as large.

        Raises:
            InputError: it follows the case's own voltammogram and cannot be changed.
        """
        raise InputError("step", self.kind, "a scan, a tone or a pulse", f"Leave {pace}, {size}.")

    def waveform(self, first: Waveform) -> Waveform:
        """The quiet time and what is recorded after it, [n, quiet_samples + L]."""
        recorded = self.recorded(first)
        if not self.quiet:
            return recorded
        return concatenate(_quiet(recorded, self.quiet), recorded)

    def noise_factor(self, first: Waveform) -> NDArray[np.float64]:
        """Noise std of its samples over that of the voltammogram's [n]."""
        if not self.white:
            return np.ones(len(first.t_s))
        recorded = self.recorded(first)
        intervals = [
            _duration(waveform) / (waveform.t_s.shape[1] - 1) for waveform in (first, recorded)
        ]
        return np.sqrt(intervals[0] / intervals[1])

    @property
    def quiet_samples(self) -> int:
        """How many samples of the waveform come before the recorded ones."""
        return len(_quiet_places(self.quiet)) - 1 if self.quiet else 0


@dataclass(frozen=True)
class Own(Step):
    """The case's own voltammogram."""

    kind: ClassVar[str] = "voltammogram"

    def recorded(self, first: Waveform) -> Waveform:
        return first


@dataclass(frozen=True)
class Scan(Step):
    """A voltammogram over the same window.

    Args:
        rate_V_s: scan rate; 0 takes the case's own times `rate_factor`.
        rate_factor: of the case's own rate.
        backward: starts at the other end of the window.
    """

    rate_V_s: float = 0.0
    rate_factor: float = 1.0
    backward: bool = False
    kind: ClassVar[str] = "scan"

    def recorded(self, first: Waveform) -> Waveform:
        start, vertex = _window(first)
        own = 2 * np.abs(vertex - start) / _duration(first)
        rate = np.full(len(own), self.rate_V_s) if self.rate_V_s else self.rate_factor * own
        ends = (vertex, start) if self.backward else (start, vertex)
        return cyclic(*ends, rate, SAMPLES)

    def scaled(self, pace: float, size: float) -> "Scan":
        """Faster; the window is the voltammogram's own, so that `size` must be 1."""
        if size != 1.0:
            raise InputError("size", size, "1 for a scan", "Change its pace alone.")
        return replace(self, rate_V_s=pace * self.rate_V_s, rate_factor=pace * self.rate_factor)


@dataclass(frozen=True)
class Tone(Step):
    """A sine around the potential at which the voltammogram starts.

    Args:
        frequency_Hz: of the sine.
        amplitude_V: of the sine.
        place: of its mean, from the start (0) to the vertex (1) of the voltammogram.
    """

    frequency_Hz: float = 1000.0
    amplitude_V: float = 0.010
    place: float = 0.0
    kind: ClassVar[str] = "tone"

    def recorded(self, first: Waveform) -> Waveform:
        start, vertex = _window(first)
        mean = start + self.place * (vertex - start)
        return tone(mean, self.amplitude_V, self.frequency_Hz, SAMPLES, _PER_PERIOD)

    def scaled(self, pace: float, size: float) -> "Tone":
        """A higher frequency and a larger amplitude."""
        return replace(
            self, frequency_Hz=pace * self.frequency_Hz, amplitude_V=size * self.amplitude_V
        )


@dataclass(frozen=True)
class MultiSine(Step):
    """Sines of octaves around the potential at which the voltammogram starts.

    Args:
        lowest_Hz: frequency of the first.
        octaves: how many sines.
        amplitude_V: of each.
    """

    lowest_Hz: float = 100.0
    octaves: int = 4
    amplitude_V: float = 0.005
    kind: ClassVar[str] = "multi-sine"

    def recorded(self, first: Waveform) -> Waveform:
        start, _ = _window(first)
        frequencies = self.lowest_Hz * 2.0 ** np.arange(self.octaves)
        periods = max(1, SAMPLES // (_PER_PERIOD * 2 ** (self.octaves - 1)))
        return multi_sine(start, frequencies, self.amplitude_V, periods / self.lowest_Hz, SAMPLES)


@dataclass(frozen=True)
class Pulse(Step):
    """A step of potential and back, from where the voltammogram starts.

    Args:
        height: of the step, from the start (0) to the vertex (1) of the voltammogram.
        duration_s: of rest, step and step back, s each.
    """

    height: float = 1.0
    duration_s: float = 0.01
    kind: ClassVar[str] = "pulse"

    def recorded(self, first: Waveform) -> Waveform:
        start, vertex = _window(first)
        top = start + self.height * (vertex - start)
        each = (self.duration_s,) * 3
        return double_step(start, top, start, *each, (SAMPLES - 1) // 3)

    def scaled(self, pace: float, size: float) -> "Pulse":
        """A shorter and a higher pulse."""
        return replace(self, duration_s=self.duration_s / pace, height=size * self.height)


def _quiet(recorded: Waveform, quiet: float) -> Waveform:
    """A hold at the first potentials, on steps that grow."""
    time = np.asarray(recorded.t_s, np.float64)
    duration = time[:, -1:] - time[:, :1]
    place = duration * _quiet_places(quiet)
    return Waveform(place, np.broadcast_to(recorded.E_V[:, :1], place.shape))


def _quiet_places(quiet: float) -> NDArray[np.float64]:
    """Times of the quiet samples in units of the recorded duration: the first step is short."""
    least = 1.0 / SAMPLES
    count = int(np.ceil(np.log(quiet / least) / np.log(_GROWTH)))
    return np.concatenate([[0.0], quiet * _GROWTH ** np.arange(-count, 1.0)])


def _window(first: Waveform) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Start and vertex of voltammograms [n], V."""
    potential = np.asarray(first.E_V, np.float64)
    away = potential - potential[:, :1]
    turn = np.abs(away).argmax(axis=1)
    # the tip may lie between two samples
    return potential[:, 0], potential[np.arange(len(turn)), turn]


def _duration(first: Waveform) -> NDArray[np.float64]:
    time = np.asarray(first.t_s, np.float64)
    return time[:, -1] - time[:, 0]
