"""The candidates that the report compares, by name.

Fast steps take about 25 s: 5 s of quiet, then records.
"""

from ecguard.protocol.averaging import Averaging
from ecguard.protocol.protocol import Protocol
from ecguard.protocol.step import PER_PERIOD, SAMPLES, MultiSine, Own, Pulse, Scan, Staircase, Tone

_CV = Own()
_TIME_S = 20.0
_SCANS = Averaging(quiet=10.0, records=3, gap=100.0)
_PULSE = Pulse(height=0.1, duration_s=1e-3, averaging=Averaging.over(_TIME_S, 3e-3, gap=10.0))
_IMPEDANCE = MultiSine(lowest_Hz=625.0, averaging=Averaging.over(_TIME_S, 1.6e-3))


def _tone(frequency_Hz: float, place: float = 0.0) -> Tone:
    """Eight periods at a time."""
    averaging = Averaging.over(_TIME_S, SAMPLES / PER_PERIOD / frequency_Hz)
    return Tone(frequency_Hz=frequency_Hz, place=place, averaging=averaging)


DEFAULT = Protocol("default", "One voltammogram", (_CV,))

CANDIDATES: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        DEFAULT,
        Protocol("more-samples", "The same, all samples kept", (Own(keep=1.0),)),
        Protocol("tip-samples", "The same, samples near the tip", (Own(0.8, span=(0.25, 0.75)),)),
        Protocol("repeat", "The same once more", (_CV, Own())),
        Protocol("slower", "A scan at a fifth of the rate", (_CV, Scan(rate_factor=0.2))),
        Protocol("faster", "A scan at five times the rate", (_CV, Scan(rate_factor=5.0))),
        Protocol("fast-scan", "Scans at 20 V/s", (_CV, Scan(rate_V_s=20.0, averaging=_SCANS))),
        Protocol(
            "staircase", "Staircases at 20 V/s", (_CV, Staircase(rate_V_s=20.0, averaging=_SCANS))
        ),
        Protocol(
            "backward",
            "A scan from the other end",
            (_CV, Scan(backward=True, averaging=Averaging(0.2))),
        ),
        Protocol("hold", "30 s at rest, then a scan", (_CV, Own(rest_s=30.0))),
        Protocol(
            "clean-repeat", "60 s of cleaning, then a scan", (_CV, Own(rest_s=60.0, cleaning=1.0))
        ),
        Protocol("tone-10", "10 Hz in mid-window", (_CV, _tone(10.0, place=0.5))),
        Protocol("tone-100", "10 mV at 100 Hz", (_CV, _tone(100.0))),
        Protocol("tone-1000", "10 mV at 1 kHz", (_CV, _tone(1000.0))),
        Protocol("tone-5000", "10 mV at 5 kHz", (_CV, _tone(5000.0))),
        Protocol(
            "multi-sine",
            "Octaves of 100 to 800 Hz",
            (_CV, MultiSine(averaging=Averaging.over(_TIME_S, 10e-3))),
        ),
        Protocol("impedance", "Octaves of 0.6 to 5 kHz", (_CV, _IMPEDANCE)),
        Protocol(
            "pulse",
            "Pulses of 1 ms, a tenth of the window",
            (_CV, _PULSE),
        ),
    )
}
