"""The candidates that the report compares, by name."""

from ecguard.protocol.protocol import Protocol
from ecguard.protocol.step import MultiSine, Own, Pulse, Scan, Tone

_CV = Own()

DEFAULT = Protocol("default", "One voltammogram", (_CV,))

CANDIDATES: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        DEFAULT,
        Protocol("more-samples", "The same, all samples kept", (Own(keep=1.0),)),
        Protocol("repeat", "The same once more", (_CV, Own())),
        Protocol("slower", "A scan at a fifth of the rate", (_CV, Scan(rate_factor=0.2))),
        Protocol("faster", "A scan at five times the rate", (_CV, Scan(rate_factor=5.0))),
        Protocol("fast-scan", "A scan at 20 V/s", (_CV, Scan(rate_V_s=20.0, quiet=10.0))),
        Protocol("backward", "A scan from the other end", (_CV, Scan(backward=True, quiet=0.2))),
        Protocol("hold", "30 s at rest, then a scan", (_CV, Own(rest_s=30.0))),
        Protocol(
            "clean-repeat", "60 s of cleaning, then a scan", (_CV, Own(rest_s=60.0, cleaning=1.0))
        ),
        Protocol(
            "tone-10", "10 Hz in mid-window", (_CV, Tone(frequency_Hz=10.0, place=0.5, quiet=3.0))
        ),
        Protocol("tone-100", "10 mV at 100 Hz", (_CV, Tone(frequency_Hz=100.0, quiet=20.0))),
        Protocol("tone-1000", "10 mV at 1 kHz", (_CV, Tone(frequency_Hz=1000.0, quiet=100.0))),
        Protocol("tone-5000", "10 mV at 5 kHz", (_CV, Tone(frequency_Hz=5000.0, quiet=200.0))),
        Protocol("multi-sine", "Octaves of 100 to 800 Hz", (_CV, MultiSine(quiet=50.0))),
        Protocol(
            "pulse",
            "A pulse of 1 ms, a tenth of the window",
            (_CV, Pulse(height=0.1, duration_s=1e-3, quiet=200.0)),
        ),
    )
}
