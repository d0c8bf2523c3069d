"""Protocols: what else to measure on an electrode, and what each candidate is worth."""

from ecguard.protocol.candidates import CANDIDATES, DEFAULT
from ecguard.protocol.criterion import Worth, worth
from ecguard.protocol.protocol import Protocol, currents, observe
from ecguard.protocol.step import MultiSine, Own, Pulse, Scan, Step, Tone

__all__ = [
    "CANDIDATES",
    "DEFAULT",
    "MultiSine",
    "Own",
    "Protocol",
    "Pulse",
    "Scan",
    "Step",
    "Tone",
    "Worth",
    "currents",
    "observe",
    "worth",
]
