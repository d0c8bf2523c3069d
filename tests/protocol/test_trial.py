"""Trials: clean electrodes fit, covered ones do not, and a refit with a film knows better."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from ecguard.case_sets import CaseSet, CaseSetSettings, draw_case_sets
from ecguard.engines import case_keys
from ecguard.posterior import laplace
from ecguard.posterior.amortised.artefacts import Amortised, load_amortised
from ecguard.posterior.fouled import scores_of
from ecguard.posterior.laplace import Laplace
from ecguard.posterior.unknowns import n_unknowns, names
from ecguard.protocol import (
    DEFAULT,
    Averaging,
    Own,
    Protocol,
    Pulse,
    inference,
    observe,
    protocol,
)
from ecguard.protocol.inference import conflict, diagnostic_names
from ecguard.protocol.trial import Trial, run_trial

N, D, LN_K0 = 6, n_unknowns(1), names(1).index("ln k0")
COUPLE, COVERAGE = 7, D
# averaged until it is as quiet as the voltammogram, so that the film can be told from a small k0
OFTEN = Averaging(quiet=5 / 3e-3, records=5000)
PULSE = Protocol("pulse", "A pulse", (Own(), Pulse(height=0.1, duration_s=1e-3, averaging=OFTEN)))
CLEANED = PULSE.cleaned()  # the same first two steps, and one more
COLUMNS = {name: k for k, name in enumerate(diagnostic_names(CLEANED))}
Run = Callable[..., Trial]


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return draw_case_sets(CaseSetSettings(n_design=2, n_calibration=2, n_test=N))["test"]


@pytest.fixture(scope="module")
def amortised() -> Amortised:
    return load_amortised()


@pytest.fixture(scope="module")
def run(cases: CaseSet, amortised: Amortised) -> Iterator[Run]:
    """Runs a trial of the cleaned protocol in one block."""

    def one(severity: Any, rows: Any = range(N), fouled: bool = False) -> Trial:
        own = cases.take(np.asarray(rows))
        severity = np.broadcast_to(np.asarray(severity, float), len(own))
        keys = case_keys(0, own.group.case)
        return run_trial(CLEANED, own, severity, amortised, keys, fouled)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "BLOCK", 8)
        patch.setattr(inference, "BLOCK", 8)
        patch.setattr(laplace, "BLOCK", 8)
        yield one


@pytest.fixture(scope="module")
def clean(run: Run) -> Trial:
    return run(np.nan)


@pytest.fixture(scope="module")
def fouled(run: Run) -> Trial:
    return run(1.0)


@pytest.fixture(scope="module")
def refit(run: Run) -> Trial:
    return run(1.0, fouled=True)


def assert_close(found: Trial, wanted: Trial, atol: float) -> None:
    """Each in units of its own spread."""
    assert found.diagnostics.shape == wanted.diagnostics.shape
    np.testing.assert_allclose(found.diagnostics, wanted.diagnostics, rtol=atol, atol=atol)
    width = wanted.high - wanted.low
    for name in ("mean", "low", "high"):
        apart = (getattr(found, name) - getattr(wanted, name)) / width
        np.testing.assert_allclose(apart, 0.0, atol=atol, err_msg=name)
    np.testing.assert_allclose(found.log_evidence, wanted.log_evidence, atol=atol)


def test_diagnostics_are_named_in_the_order_of_the_steps() -> None:
    assert diagnostic_names(DEFAULT) == (
        *("chi_square 1", "lag_one 1", "cusum 1", "largest 1"),
        *("distance", "film"),
    )
    assert diagnostic_names(PULSE) == (
        *("chi_square 1", "lag_one 1", "cusum 1", "largest 1"),
        *("chi_square 2", "lag_one 2", "cusum 2", "largest 2"),
        *("distance", "film", "conflict"),
    )


def test_a_single_step_has_no_conflict(cases: CaseSet) -> None:
    steps = observe(DEFAULT, cases, [cases.group.current])
    scores = scores_of(cases.group.unknowns)
    peak = Laplace(scores, np.tile(np.eye(D), (N, 1, 1)), np.zeros(N), np.zeros(N))
    expected = inference.predict(DEFAULT, steps, peak)
    found = inference._diagnostics(DEFAULT, steps, peak, expected)
    assert found.shape == (N, len(diagnostic_names(DEFAULT)))
    np.testing.assert_allclose(found[:, -2], np.square(scores).sum(axis=1))
    assert (found[:, -1] < np.log(100)).all()
    # at the truth nothing but noise is left
    assert (np.abs(found[:, :2]) < 4).all()


def test_a_trial_has_a_row_for_each_electrode(
    cases: CaseSet, clean: Trial, fouled: Trial, refit: Trial
) -> None:
    for own, d in ((clean, 9), (fouled, 9), (refit, 12)):
        assert len(own) == N
        np.testing.assert_array_equal(own.case, cases.group.case)
        assert own.mean.shape == own.low.shape == own.high.shape == (N, d)
        assert own.credibility.shape == own.log_evidence.shape == own.wrong.shape == (N,)
    assert clean.diagnostics.shape == fouled.diagnostics.shape == (N, len(COLUMNS))
    assert np.isnan(clean.severity).all()
    np.testing.assert_array_equal(refit.severity, np.ones(N))


def test_clean_electrodes_fit_the_model_of_a_clean_one(clean: Trial) -> None:
    for step in (1, 2, 3):
        for name in ("chi_square", "lag_one"):  # standard normal
            assert (np.abs(clean.diagnostics[:, COLUMNS[f"{name} {step}"]]) < 4).all()
        assert (clean.diagnostics[:, COLUMNS[f"largest {step}"]] < 5).all()
    # chi-square of 9 under the prior; the conflict is wider, as peaks of one step are not normal
    assert (clean.diagnostics[:, COLUMNS["distance"]] < 30).all()
    # a ratio of likelihoods is above 100 in one of 100 cases at most
    assert (clean.diagnostics[:, COLUMNS["film"]] < np.log(100)).all()
    conflict_of_clean = clean.diagnostics[:, -1]
    assert (conflict_of_clean >= 0).all()
    assert np.median(conflict_of_clean) < 20
    assert clean.wrong.sum() <= 1


def test_a_covered_electrode_fits_no_clean_one(clean: Trial, fouled: Trial) -> None:
    for name in ("chi_square 2", "chi_square 3"):
        column = COLUMNS[name]
        assert (fouled.diagnostics[:, column] > 100).all()
        assert (fouled.diagnostics[:, column] > 20 * np.abs(clean.diagnostics[:, column])).all()
    largest = COLUMNS["largest 2"]  # of the samples that happen to be shown
    assert (fouled.diagnostics[:, largest] > 10 * clean.diagnostics[:, largest]).all()
    assert (fouled.diagnostics[:, largest] > 100).sum() >= N - 1
    assert (fouled.diagnostics[:, COLUMNS["distance"]] > 30).all()
    assert (fouled.diagnostics[:, COLUMNS["film"]] > 100).all()
    assert fouled.wrong.sum() >= N - 1
    assert (fouled.log_evidence < clean.log_evidence - 1000).all()


def test_fouling_of_severity_0_is_no_fouling(run: Run, clean: Trial) -> None:
    bare = run(0.0)
    np.testing.assert_array_equal(bare.severity, np.zeros(N))
    assert_close(bare, clean, atol=0.3)
    assert np.median(np.abs(bare.diagnostics - clean.diagnostics)) < 0.01


def test_the_same_gives_the_same_bytes(run: Run, fouled: Trial) -> None:
    again = run(np.ones(N))
    for name, values in vars(fouled).items():
        assert getattr(again, name).tobytes() == values.tobytes(), name


def test_a_result_does_not_depend_on_the_other_electrodes(run: Run, clean: Trial) -> None:
    rows = np.array([4, 1])
    found = run(np.nan, rows)
    np.testing.assert_array_equal(found.case, clean.case[rows])
    assert_close(found, clean.take(rows), atol=0.02)


def test_clean_and_covered_electrodes_may_share_a_trial(
    run: Run, clean: Trial, fouled: Trial
) -> None:
    severity = np.array([1.0, np.nan, 1.0, np.nan, np.nan, 1.0])
    found, covered = run(severity), severity == 1.0
    np.testing.assert_array_equal(found.severity, severity)
    assert_close(found.take(~covered), clean.take(~covered), atol=0.02)
    column = COLUMNS["chi_square 2"]
    np.testing.assert_allclose(
        found.diagnostics[covered, column], fouled.diagnostics[covered, column], rtol=0.02
    )


def test_a_refit_has_no_diagnostics_of_a_clean_model(refit: Trial) -> None:
    assert refit.diagnostics.shape == (N, 0)


def test_a_refit_finds_the_electrode_below_its_film(
    cases: CaseSet, fouled: Trial, refit: Trial
) -> None:
    truth = cases.group.unknowns[:, LN_K0]
    blind, knowing = (np.abs(own.mean[:, LN_K0] - truth) for own in (fouled, refit))
    assert np.median(knowing) < 0.5 * np.median(blind)
    assert (refit.log_evidence > fouled.log_evidence + 1000).all()
    assert refit.wrong.sum() < fouled.wrong.sum()
    # 0.78 is covered at the start
    assert np.median(np.abs(refit.mean[:, D] - 0.78)) < 0.1


def test_a_light_film_is_not_ruled_out(cases: CaseSet, run: Run) -> None:
    """It looks like more resistance, to which the model of a clean electrode holds on."""
    resistance = names(1).index("Ru")
    truth = cases.group.unknowns[:, resistance]
    blind, knowing = run(0.01), run(0.01, fouled=True)
    missed = [(own.low[:, resistance] > truth).sum() for own in (blind, knowing)]
    assert missed[0] >= N - 1
    assert missed[1] <= 2
    assert (knowing.low[:, resistance] <= blind.low[:, resistance]).all()
    assert (knowing.mean[:, COVERAGE] < 0.05).all()


def test_clean_electrodes_that_may_be_covered_are_found_clean(run: Run, clean: Trial) -> None:
    found = run(np.nan, fouled=True)
    width = clean.high[:, :COUPLE] - clean.low[:, :COUPLE]
    assert (np.abs(found.mean[:, :COUPLE] - clean.mean[:, :COUPLE]) < 0.2 * width).all()
    assert (found.low[:, COVERAGE] == 0).all()
    assert (found.mean[:, COVERAGE] < 0.05).all()
    assert (found.log_evidence < clean.log_evidence).all()


def test_the_mean_lies_within_its_interval(clean: Trial, fouled: Trial, refit: Trial) -> None:
    for own in (clean, fouled, refit):
        assert np.isfinite(own.mean).all()
        assert (own.low < own.high).all()
        assert ((own.low <= own.mean) & (own.mean <= own.high)).mean() > 0.95


def test_taking_some_takes_all_their_values(clean: Trial) -> None:
    part = clean.take(np.array([5, 0]))
    assert len(part) == 2
    for name, values in vars(clean).items():
        np.testing.assert_array_equal(getattr(part, name), values[[5, 0]])
    assert len(clean.take(slice(2, 5))) == 3


def peaks(scores: Any, precision: Any) -> Laplace:
    scores = np.array(scores, float)
    n, d = scores.shape
    return Laplace(
        scores, np.broadcast_to(np.array(precision, float), (n, d, d)), np.zeros(n), np.zeros(n)
    )


def test_conflict_is_a_distance_in_joint_uncertainty() -> None:
    one = peaks([[1.0, 2.0], [0.5, 0.5]], np.diag([1.0, 4.0]))
    other = peaks([[3.0, 1.0], [0.5, 0.5]], np.diag([0.5, 2.0]))
    # variances 1 + 2 and 1/4 + 1/2: 2^2 / 3 + 1^2 / 0.75
    np.testing.assert_allclose(conflict(one, other), [8 / 3, 0.0], rtol=1e-12)
    np.testing.assert_allclose(conflict(other, one), [8 / 3, 0.0], rtol=1e-12)


def test_conflict_knows_of_correlation() -> None:
    # precision [[2, 1], [1, 2]] has covariance [[2, -1], [-1, 2]] / 3
    one = peaks([[1.0, 1.0], [1.0, -1.0]], [[2.0, 1.0], [1.0, 2.0]])
    other = peaks([[0.0, 0.0], [0.0, 0.0]], [[2.0, 1.0], [1.0, 2.0]])
    # both covariances together have variance 2/3 along (1, 1) and 2 along (1, -1)
    np.testing.assert_allclose(conflict(one, other), [2 / (2 / 3), 2 / 2], rtol=1e-12)
