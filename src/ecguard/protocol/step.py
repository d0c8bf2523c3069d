"""Steps of a protocol: what is applied to the electrode, given the voltammogram it starts with.

A step is data; its waveform follows from the window of the case's own voltammogram. Samples are
even in time, so that all cases of a step share their solver grid.

Noise is white: its std grows with the root of the sampling rate, and falls with that of the number
of records averaged. No sample is taken to be quieter than one of the voltammogram.
"""

import abc
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecguard.errors import InputError
from ecguard.protocol.averaging import Averaging
from ecguard.simulator import Waveform
from ecguard.waveforms import concatenate, cyclic, double_step, multi_sine, tone

SAMPLES = 256
KEEP = 0.40
ONCE = Averaging()
_GROWTH = 1.5  # of the steps of a quiet time
PER_PERIOD = 32  # samples of the highest frequency


@dataclass(frozen=True)
class Step(abc.ABC):
    """What is applied and recorded, after a rest.

    Args:
        keep: probability that a sample is recorded.
        rest_s: time at rest before it, s; the solution comes to rest, coverage goes on.
        cleaning: strength of cleaning during the rest, 0 to 1.
        averaging: how often it is recorded, and when.
        span: part of the recorded time in which samples are kept.

    Raises:
        InputError: a value is out of range.
    """

    keep: float = KEEP
    rest_s: float = 0.0
    cleaning: float = 0.0
    averaging: Averaging = ONCE
    span: tuple[float, float] = (0.0, 1.0)
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        for name, low, high in (
            ("keep", 1e-3, 1.0),
            ("rest_s", 0.0, 1e5),
            ("cleaning", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(name, value, f"{low:g} to {high:g}", "Choose one in the range.")
        if not 0 <= self.span[0] < self.span[1] <= 1:
            raise InputError("span", self.span, "two rising parts of 0 to 1", "Give both ends.")

    @abc.abstractmethod
    def recorded(self, first: Waveform) -> Waveform:
        """What is recorded [n, L], given the voltammograms [n, L] that the cases start with."""

    def scaled(self, pace: float, size: float) -> "Step":
        """The same step `pace` times as fast, averaged as often more, and `size` times as large.

        A scan gets a higher rate, a tone frequency and amplitude; a pulse gets shorter and higher.

        Raises:
            InputError: it follows the case's own voltammogram and cannot be changed.
        """
        return replace(self._scaled(pace, size), averaging=self.averaging.faster(pace))

    def _scaled(self, pace: float, size: float) -> "Step":
        raise InputError(
            "step",
            self.kind,
            f"a scan, a tone or a pulse, to be {pace:g} times as fast and {size:g} times as large",
            "End the protocol with one of these.",
        )

    def waveform(self, first: Waveform) -> Waveform:
        """The quiet time and the record that stands for all [n, quiet samples + L]."""
        recorded = self.recorded(first)
        if not self.averaging.held:
            return recorded
        return concatenate(_quiet(recorded, self.averaging.held), recorded)

    @property
    def n_quiet(self) -> int:
        """Samples of the quiet time."""
        return len(_quiet_places(self.averaging.held)) - 1 if self.averaging.held else 0

    def noise_factor(self, first: Waveform) -> NDArray[np.float64]:
        """Noise std of its samples over that of the voltammogram's [n], at least 1."""
        recorded = self.recorded(first)
        intervals = [
            _duration(waveform) / (waveform.t_s.shape[1] - 1) for waveform in (first, recorded)
        ]
        return np.maximum(1.0, np.sqrt(intervals[0] / intervals[1] / self.averaging.records))

    def lasting_s(self, first: Waveform) -> NDArray[np.float64]:
        """Time that it takes with rest, quiet times and repetitions [n], s."""
        once = _duration(self.recorded(first))
        return self.rest_s + self.averaging.lasting * once

    def shown(self, samples: int) -> NDArray[np.bool_]:
        """Which samples of the waveform may be kept: those of `span`, none of the quiet time."""
        quiet = self.n_quiet
        place = np.arange(-quiet, samples - quiet) / (samples - quiet - 1)
        return (place >= self.span[0]) & (place <= self.span[1])


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

    def _scaled(self, pace: float, size: float) -> "Scan":
        """Faster; the window is the voltammogram's own, so that `size` must be 1."""
        if size != 1.0:
            raise InputError("size", size, "1 for a scan", "Change its pace alone.")
        return replace(self, rate_V_s=pace * self.rate_V_s, rate_factor=pace * self.rate_factor)


@dataclass(frozen=True)
class Staircase(Scan):
    """A scan that goes up and down in treads.

    Args:
        tread: samples of each.
    """

    tread: int = 8
    kind: ClassVar[str] = "staircase"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.tread <= SAMPLES // 4:
            raise InputError("tread", self.tread, f"2 to {SAMPLES // 4} samples", "Take 8.")

    def recorded(self, first: Waveform) -> Waveform:
        scan = super().recorded(first)
        # a sample ends its tread: the potential steps just after it
        held = np.maximum(np.arange(SAMPLES) - 1, 0) // self.tread * self.tread
        return Waveform(scan.t_s, np.asarray(scan.E_V)[:, held])


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
        return tone(mean, self.amplitude_V, self.frequency_Hz, SAMPLES, PER_PERIOD)

    def _scaled(self, pace: float, size: float) -> "Tone":
        frequency, amplitude = pace * self.frequency_Hz, size * self.amplitude_V
        return replace(self, frequency_Hz=frequency, amplitude_V=amplitude)


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
        periods = max(1, SAMPLES // (PER_PERIOD * 2 ** (self.octaves - 1)))
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

    def _scaled(self, pace: float, size: float) -> "Pulse":
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
