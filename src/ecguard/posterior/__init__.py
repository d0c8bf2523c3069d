"""Posteriors: parameters inferred from traces."""

from ecguard.posterior.cross_entropy import CrossEntropySettings, Posterior, infer

__all__ = ["CrossEntropySettings", "Posterior", "infer"]
