"""Rules that say when to trust an inference: fitted on some cases, applied to new ones."""

from ecguard.guardrail.certificate import (
    CertifiedGuardrail,
    CertifiedThreshold,
    certified_rank,
    flag_rate,
    mostly_flagged,
)
from ecguard.guardrail.combined_score import CombinedScore
from ecguard.guardrail.fitted import (
    BlindSpot,
    FittedGuardrail,
    ValidFor,
    Verdict,
    load_guardrail,
    quarters,
)
from ecguard.guardrail.reference_rule import ReferenceRule, reference_grid_search

__all__ = [
    "BlindSpot",
    "CertifiedGuardrail",
    "CertifiedThreshold",
    "CombinedScore",
    "FittedGuardrail",
    "ReferenceRule",
    "ValidFor",
    "Verdict",
    "certified_rank",
    "flag_rate",
    "load_guardrail",
    "mostly_flagged",
    "quarters",
    "reference_grid_search",
]
