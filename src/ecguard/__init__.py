"""Tell when a posterior inferred from an electrochemical sensor's trace can be trusted."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecguard.errors import InputError
    from ecguard.fouling import Fouling
    from ecguard.simulator import Cell, Couples, Trace, Waveform, simulate, simulate_batch
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

_HOME = {
    "InputError": "errors",
    "Fouling": "fouling",
    "Surrogate": "surrogate",
    "load_surrogate": "surrogate",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: `ecguard --help` needs no JAX."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"ecguard.{_HOME.get(name, 'simulator')}"), name)
