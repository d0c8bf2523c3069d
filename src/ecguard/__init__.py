"""Tell when a posterior inferred from an electrochemical sensor's trace can be trusted."""

from importlib.metadata import version

from ecguard.errors import InputError
from ecguard.fouling import Fouling
from ecguard.simulate import Cell, Couples, Trace, Waveform, simulate, simulate_batch
from ecguard.surrogate import Surrogate, load_surrogate

__version__ = version("ecguard")

__all__ = [
    "Cell",
    "Couples",
    "Fouling",
    "InputError",
    "Surrogate",
    "Trace",
    "Waveform",
    "__version__",
    "load_surrogate",
    "simulate",
    "simulate_batch",
]
