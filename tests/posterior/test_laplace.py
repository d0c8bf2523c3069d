"""The search for peaks: it comes back to the truth, ends at a minimum and gives a curvature."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard.case_sets import CaseSetSettings, draw_case_sets
from ecguard.errors import InputError
from ecguard.posterior import coordinates as co
from ecguard.posterior import film
from ecguard.posterior.joint import JointLikelihood
from ecguard.posterior.laplace import Laplace, LaplaceSettings, curvature, find_peak, unknowns_of
from ecguard.posterior.unknowns import n_unknowns, split
from ecguard.protocol import DEFAULT, currents, observe

N, D, AWAY = 4, n_unknowns(1), 0.3


@eqx.filter_jit
def _expected(likelihood: JointLikelihood, scores: Any) -> Any:
    return likelihood.expected_of_all(unknowns_of(scores))


def losses(likelihood: JointLikelihood, scores: np.ndarray) -> np.ndarray:
    """Minus the log posterior of scores [n, d], up to a constant."""
    seen = jax.tree.map(lambda leaf: np.asarray(leaf), likelihood.observation)
    mean = np.asarray(_expected(likelihood, jnp.asarray(scores, jnp.float32)), np.float64)
    residual = np.where(seen.observed, mean - seen.current, 0.0) / seen.noise_std[:, None]
    return 0.5 * np.square(residual).sum(axis=1) + 0.5 * np.square(scores).sum(axis=1)


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
    return JointLikelihood.of(exact, DEFAULT.rests, fouled=False), np.clip(truth, -3, 3)


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
    size, steepest = 0.1, np.sqrt(2 * LaplaceSettings().tolerance)  # in units of the posterior std
    for k in range(D):
        step = size * vectors[:, :, k] / np.sqrt(values[:, k, None])
        up, down = (losses(likelihood, peak.scores + sign * step) for sign in (1, -1))
        assert (np.minimum(up, down) > peak.loss - LaplaceSettings().tolerance).all()
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
    h, seen = 0.02, likelihood.observation
    weight = np.where(seen.observed, 1 / np.asarray(seen.noise_std)[:, None], 0.0)
    places = (truth + sign * h * np.eye(D)[2] for sign in (1, -1))
    up, down = (np.asarray(_expected(likelihood, jnp.asarray(x, jnp.float32))) for x in places)
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
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as raised:
        LaplaceSettings(**wrong)
    assert raised.value.name == next(iter(wrong))
