"""The flow-matching surrogate: network, sampling, files."""

from ecguard.surrogate.artefacts import Normalizers, Surrogate, load_surrogate, save_surrogate
from ecguard.surrogate.meta import SurrogateMeta
from ecguard.surrogate.network import VelocityField

__all__ = [
    "Normalizers",
    "Surrogate",
    "SurrogateMeta",
    "VelocityField",
    "load_surrogate",
    "save_surrogate",
]
