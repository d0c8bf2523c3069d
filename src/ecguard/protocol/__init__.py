"""Protocols: what else to measure on an electrode, and what each candidate is worth."""

from ecguard.protocol.averaging import Averaging
from ecguard.protocol.candidates import CANDIDATES, DEFAULT
from ecguard.protocol.criterion import Refit, Worth, refit, worth
from ecguard.protocol.protocol import Protocol, currents, observe
from ecguard.protocol.step import MultiSine, Own, Pulse, Scan, Staircase, Step, Tone

__all__ = [
    "CANDIDATES",
    "DEFAULT",
    "Averaging",
    "MultiSine",
    "Own",
    "Protocol",
    "Pulse",
    "Refit",
    "Scan",
    "Staircase",
    "Step",
    "Tone",
    "Worth",
    "currents",
    "observe",
    "refit",
    "worth",
]
