"""Posteriors: parameters inferred from traces."""

from ecguard.posterior.amortised.artefacts import load_amortised
from ecguard.posterior.corrected import correct, from_amortised
from ecguard.posterior.cross_entropy import CrossEntropySettings, Posterior, infer
from ecguard.posterior.exact import infer_exact
from ecguard.posterior.likelihood import Observation, SimulatorLikelihood

__all__ = [
    "CrossEntropySettings",
    "Observation",
    "Posterior",
    "SimulatorLikelihood",
    "correct",
    "from_amortised",
    "infer",
    "infer_exact",
    "load_amortised",
]
