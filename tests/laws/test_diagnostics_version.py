"""A saved guardrail is read only by code that makes its diagnostics as they were made."""

import numpy as np

from ecguard import diagnostics as dg
from ecguard.case_sets import CaseSetSettings, draw_case_sets
from ecguard.engines import predict
from ecguard.guardrail.fitted import SCHEMA_VERSION
from ecguard.known_faults import any_fault, fault_evidence
from ecguard.posterior.likelihood import SimulatorLikelihood
from ecguard.posterior.unknowns import ranges

VERSION = 6
MADE = {
    "chi_square": [0.1457, 2.2044, 0.1572],
    "lag_one": [-0.3546, 0.6865, 2.4489],
    "cusum": [0.8932, 2.1811, 0.9483],
    "asymmetry": [0.7246, 0.0998, 0.9251],
    "largest": [2.9113, 3.2123, 2.8136],
    "leave_one_out": [0.3839, 10.5673, 65.8139],
    "unreliability": [5.4154, 4.2269, 12.6286],
    "known_faults": [-0.5825, -1.0708, -1.0612],
}
"""Diagnostics of three traces. Where they differ, raise the schema's version and replace them."""


def test_diagnostics_are_those_of_the_version() -> None:
    """About the true unknowns, so that no draw of a posterior matters."""
    sets = draw_case_sets(CaseSetSettings(n_design=2, n_calibration=2, n_test=3, seed=4711))
    group = sets["test"].group
    seen = group.observation
    likelihood = SimulatorLikelihood.of(seen)
    current, shown = np.asarray(seen.current), np.asarray(seen.observed)
    noise = np.asarray(seen.noise_std, np.float64)
    low, high = ranges(1)
    moves = 0.01 * np.linspace(-1.0, 1.0, 9)[:, None] * (high - low)
    drawn = predict(likelihood, np.clip(group.unknowns[:, None] + moves, low, high))
    residual = (current - drawn.mean) / noise[:, None]
    nothing = np.zeros((len(current), 1))
    case = dg.case_diagnostics(current, shown, drawn.mean, drawn.std, nothing, nothing)
    found = {
        "chi_square": dg.excess_chi_square(residual, shown),
        "lag_one": dg.lag_one(residual, shown),
        "cusum": dg.cusum(residual, shown),
        "asymmetry": dg.sweep_asymmetry(residual, shown, np.asarray(seen.E_V)),
        "largest": dg.largest_residual(residual, shown),
        "leave_one_out": dg.leave_one_out_score(drawn.draws, current, shown, noise),
        "unreliability": 100.0 - case.reliability_score,
        "known_faults": any_fault(fault_evidence(likelihood, group.unknowns, 1)),
    }
    assert SCHEMA_VERSION == VERSION, "record the diagnostics of this version"
    assert found.keys() == MADE.keys()
    for name, values in MADE.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-3, atol=2e-3, err_msg=name)
