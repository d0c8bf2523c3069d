"""Diagnostics of posteriors, from arrays alone: one row a case.

Single cases: their reliability, their contraction, their fit to the samples. Many cases with a
known truth: whether the posterior is calibrated. No one test sees every fault; each docstring says
what its test is blind to.
"""

from ecguard.diagnostics.calibrated_score import CalibratedScore
from ecguard.diagnostics.contraction import (
    ZScoreTest,
    contraction,
    z_score_test,
    z_scores,
)
from ecguard.diagnostics.coverage import Coverage, coverage, coverage_curve
from ecguard.diagnostics.familiarity import Familiarity
from ecguard.diagnostics.predictive import (
    HeldOutScore,
    held_out_score,
    leave_one_out_score,
    predictive_p_value,
)
from ecguard.diagnostics.rank import RankHistogram, histogram, log_gamma, ranks
from ecguard.diagnostics.region import OUTSIDE, region_credibility
from ecguard.diagnostics.reliability import (
    CaseDiagnostics,
    case_diagnostics,
    reference_score,
    reliability_score,
)
from ecguard.diagnostics.residuals import (
    cusum,
    excess_chi_square,
    lag_one,
    largest_residual,
    sweep_asymmetry,
)
from ecguard.diagnostics.score_test import (
    ScoreTest,
    fault_log_evidence,
    log_bayes_factor,
    mean_evidence,
    score_test,
    standard_residuals,
)
from ecguard.diagnostics.tarp import Tarp, tarp

__all__ = [
    "OUTSIDE",
    "CalibratedScore",
    "CaseDiagnostics",
    "Coverage",
    "Familiarity",
    "HeldOutScore",
    "RankHistogram",
    "ScoreTest",
    "Tarp",
    "ZScoreTest",
    "case_diagnostics",
    "contraction",
    "coverage",
    "coverage_curve",
    "cusum",
    "excess_chi_square",
    "fault_log_evidence",
    "held_out_score",
    "histogram",
    "lag_one",
    "largest_residual",
    "leave_one_out_score",
    "log_bayes_factor",
    "log_gamma",
    "mean_evidence",
    "predictive_p_value",
    "ranks",
    "reference_score",
    "region_credibility",
    "reliability_score",
    "score_test",
    "standard_residuals",
    "sweep_asymmetry",
    "tarp",
    "z_score_test",
    "z_scores",
]
