"""The search for peaks: it comes back to the truth, ends at a minimum and gives a curvature."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from scipy import stats

from ecguard.case_sets import CaseSetSettings, draw_case_sets
from ecguard.errors import InputError
from ecguard.posterior import coordinates as co
from ecguard.posterior import film, laplace
from ecguard.posterior.joint import JointLikelihood
from ecguard.posterior.laplace import (
    Laplace,
    LaplaceSettings,
    curvature,
    find_peak,
    row_by_row,
    unknowns_of,
)
from ecguard.posterior.likelihood import Observation
from ecguard.posterior.unknowns import n_unknowns, split
from ecguard.protocol import DEFAULT, currents, observe

N, D, AWAY = 4, n_unknowns(1), 0.3


def losses(likelihood: JointLikelihood, scores: np.ndarray) -> np.ndarray:
    """Minus the log posterior of scores [n, d], up to a constant."""
    residual = (_current(likelihood, scores) - _seen(likelihood).current) * _weight(likelihood)
    return 0.5 * np.square(residual).sum(axis=1) + 0.5 * np.square(scores).sum(axis=1)


def _seen(likelihood: JointLikelihood) -> Observation:
    """What was observed in the one step that there is."""
    return jax.tree.map(np.asarray, likelihood.steps[0].observation)


def _weight(likelihood: JointLikelihood) -> np.ndarray:
    seen = _seen(likelihood)
    return np.where(seen.observed, 1.0 / seen.noise_std[:, None], 0.0)


def _current(likelihood: JointLikelihood, scores: np.ndarray) -> np.ndarray:
    (found,) = likelihood.currents(unknowns_of(jnp.asarray(scores, jnp.float32)))
    return np.asarray(found, np.float64)


@pytest.fixture(scope="module")
def setting() -> tuple[JointLikelihood, np.ndarray]:
    """Noise-free traces of clean electrodes, and their scores."""
    settings = CaseSetSettings(n_design=N, n_calibration=2, n_test=2)
    cases = draw_case_sets(settings)["design"]
    noiseless = currents(DEFAULT, cases, None)
    steps = observe(DEFAULT, cases, noiseless)
    exact = [step._replace(current=own) for step, own in zip(steps, noiseless, strict=True)]
    coordinates = co.to_coordinates(split(cases.group.unknowns))
    truth = np.asarray(co.to_scores(coordinates, 1), np.float64)
    return JointLikelihood.of(exact, DEFAULT.rests), np.clip(truth, -3, 3)


@pytest.fixture(scope="module")
def peak(setting: tuple[JointLikelihood, np.ndarray]) -> Laplace:
    likelihood, truth = setting
    return find_peak(likelihood, truth + AWAY)


def test_the_peak_is_as_high_as_the_truth(
    setting: tuple[JointLikelihood, np.ndarray], peak: Laplace
) -> None:
    likelihood, truth = setting
    assert (losses(likelihood, truth + AWAY) > peak.loss + 1).all()
    assert (peak.loss <= losses(likelihood, truth) + LaplaceSettings().tolerance).all()
    np.testing.assert_allclose(losses(likelihood, peak.scores), peak.loss, rtol=1e-3)
    left = peak.loss - 0.5 * np.square(peak.scores).sum(axis=1)
    np.testing.assert_allclose(left, 0.5 * peak.chi_square, atol=1e-6)
    assert (peak.chi_square < 1).all()


def test_nothing_beside_the_peak_is_higher(
    setting: tuple[JointLikelihood, np.ndarray], peak: Laplace
) -> None:
    likelihood, _ = setting
    values, vectors = np.linalg.eigh(peak.precision)
    left = LaplaceSettings().tolerance + LaplaceSettings().share * peak.loss
    size, steepest = 0.1, np.sqrt(2 * left)  # in units of the posterior std
    for k in range(D):
        step = size * vectors[:, :, k] / np.sqrt(values[:, k, None])
        up, down = (losses(likelihood, peak.scores + sign * step) for sign in (1, -1))
        assert (np.minimum(up, down) > peak.loss - left).all()
        assert (np.abs(up - down) / (2 * size) < steepest).all()


def test_the_precision_is_that_of_a_normal_distribution(
    setting: tuple[JointLikelihood, np.ndarray], peak: Laplace
) -> None:
    assert peak.precision.shape == (N, D, D)
    scale = np.abs(peak.precision).max(axis=(1, 2))[:, None, None]
    turned = peak.precision.transpose(0, 2, 1)
    np.testing.assert_allclose(peak.precision / scale, turned / scale, atol=1e-6)
    # the prior adds 1 to every direction
    assert (np.linalg.eigvalsh(peak.precision) > 1 - 1e-6 * scale[:, 0]).all()
    information = curvature(setting[0], peak.scores)
    np.testing.assert_allclose((information + np.eye(D)) / scale, peak.precision / scale, atol=1e-5)


def test_information_is_that_of_differences(
    setting: tuple[JointLikelihood, np.ndarray],
) -> None:
    likelihood, truth = setting
    h, weight = 0.02, _weight(likelihood)
    places = (truth + sign * h * np.eye(D)[2] for sign in (1, -1))
    up, down = (_current(likelihood, x) for x in places)
    wanted = np.square(weight * (up - down) / (2 * h)).sum(axis=1)
    np.testing.assert_allclose(curvature(likelihood, truth)[:, 2, 2], wanted, rtol=0.03, atol=0.01)


def test_one_step_goes_less_far_and_never_downhill(
    setting: tuple[JointLikelihood, np.ndarray], peak: Laplace
) -> None:
    likelihood, truth = setting
    one = find_peak(likelihood, truth + AWAY, LaplaceSettings(most_steps=1))
    assert (one.loss <= losses(likelihood, truth + AWAY) * (1 + 1e-4)).all()
    assert (one.loss >= peak.loss).all()
    assert (np.abs(one.scores - truth - AWAY) <= 1 + 1e-9).all()


def test_unknowns_of_a_fouled_electrode_are_a_clean_one_and_its_film() -> None:
    scores = jnp.asarray(np.random.default_rng(5).normal(size=(3, D + 3)), jnp.float32)
    found = unknowns_of(scores)
    assert found.shape == (3, D + 3)
    np.testing.assert_allclose(found[:, :D], unknowns_of(scores[:, :D]), rtol=1e-6)
    np.testing.assert_allclose(found[:, D:], film.from_scores(scores[:, D:]), rtol=1e-6)
    back = co.to_scores(co.to_coordinates(split(found[:, :D])), 1)
    np.testing.assert_allclose(back, scores[:, :D], atol=2e-2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"most_steps": 0},
        {"most_steps": -2},
        {"tolerance": 0.0},
        {"tolerance": -1e-3},
        {"tolerance": float("nan")},
        {"share": -1e-4},
        {"share": 1.0},
        {"share": float("nan")},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as raised:
        LaplaceSettings(**wrong)
    assert raised.value.name == next(iter(wrong))


def test_the_evidence_is_exact_where_the_posterior_is_normal() -> None:
    # one sample y of slope . scores + standard normal noise, scores standard normal
    for y, slope in ((2.0, [1.0, 0.0]), (-1.5, [0.6, 2.0])):
        along = np.array(slope)
        precision = np.eye(2) + np.outer(along, along)
        place = np.linalg.solve(precision, along * y)
        chi_square = (y - along @ place) ** 2
        loss = 0.5 * chi_square + 0.5 * place @ place
        peak = Laplace(place[None], precision[None], np.array([chi_square]), np.array([loss]))
        marginal = stats.norm(scale=np.sqrt(1 + along @ along)).logpdf(y)
        assert peak.log_evidence[0] == pytest.approx(marginal + 0.5 * np.log(2 * np.pi))


def test_the_evidence_by_hand() -> None:
    peak = Laplace(np.zeros((2, 2)), np.stack([np.eye(2), 4 * np.eye(2)]), *np.ones((2, 2)))
    np.testing.assert_allclose(peak.log_evidence, [-1.0, -1.0 - np.log(4.0)])


def test_a_search_that_starts_nowhere_leaves_the_others_alone(
    setting: tuple[JointLikelihood, np.ndarray], peak: Laplace
) -> None:
    likelihood, truth = setting
    start = truth + AWAY
    start[1] = np.nan
    found = find_peak(likelihood, start)
    assert np.isinf(found.loss[1])
    np.testing.assert_array_equal(found.precision[1], np.eye(D))
    others = [0, 2, 3]
    np.testing.assert_allclose(found.loss[others], peak.loss[others], rtol=1e-3)


def test_the_better_peak_is_taken_row_by_row() -> None:
    one, other = (
        Laplace(
            np.full((3, 2), own),
            np.full((3, 2, 2), 10 * own),
            np.full(3, 100 * own),
            np.array(loss),
        )
        for own, loss in ((1.0, [5.0, 7.0, np.inf]), (2.0, [6.0, 3.0, 9.0]))
    )
    for found in (one.better(other), other.better(one)):
        np.testing.assert_array_equal(found.loss, [5.0, 3.0, 9.0])
        np.testing.assert_array_equal(found.scores, [[1.0, 1.0], [2.0, 2.0], [2.0, 2.0]])
        np.testing.assert_array_equal(found.precision[:, 0, 1], [10.0, 20.0, 20.0])
        np.testing.assert_array_equal(found.chi_square, [100.0, 200.0, 200.0])


def test_more_cases_than_a_batch_holds_reach_the_same_peaks(
    setting: tuple[JointLikelihood, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    likelihood, truth = setting
    rows = np.array([0, 1, 2, 3, 2, 1, 0])
    many = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], likelihood)
    # they need different numbers of steps, so that batches are filled up at different times
    start = truth[rows] + np.linspace(0.0, AWAY, len(rows))[:, None]
    wanted, there = find_peak(many, start), curvature(many, start)
    monkeypatch.setattr(laplace, "BLOCK", 2)
    found = find_peak(many, start)
    assert found.scores.shape == (len(rows), D)
    np.testing.assert_allclose(found.loss, wanted.loss, atol=2 * LaplaceSettings().tolerance)
    apart = found.scores - wanted.scores
    assert (np.einsum("ni,nij,nj->n", apart, wanted.precision, apart) < 0.1).all()
    scale = np.abs(wanted.precision).max(axis=(1, 2))[:, None, None]
    np.testing.assert_allclose(found.precision / scale, wanted.precision / scale, atol=0.02)
    np.testing.assert_allclose(curvature(many, start) / scale, there / scale, atol=1e-3)


def test_rows_are_shown_in_one_shape_however_many_they_are() -> None:
    shapes = []

    def job(rows: Array) -> Array:
        shapes.append(rows.shape)
        return 2 * rows

    for shape in ((2, 3), (5000, 3), (70, 61, 3)):
        values = np.random.default_rng(0).random(shape)
        np.testing.assert_allclose(row_by_row(job, values), 2 * values, rtol=1e-6)
    assert shapes == [(4096, 3)] * 5
    assert row_by_row(job, np.zeros((0, 3))).shape == (0, 3)
    assert len(shapes) == 5
