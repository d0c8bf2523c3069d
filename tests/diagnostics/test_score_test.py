"""Score tests: standard normal without a fault, the evidence that quadrature gives with one."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from ecguard.diagnostics import (
    ScoreTest,
    fault_log_evidence,
    log_bayes_factor,
    mean_evidence,
    score_test,
    standard_residuals,
)
from ecguard.errors import InputError

N, L, D, M = 4000, 30, 3, 2


@pytest.fixture(scope="module")
def toy() -> dict[str, np.ndarray]:
    """Linear traces of prior draws, with their slopes; the second of two shapes is a slope."""
    rng = np.random.default_rng(3)
    slopes = 20.0 * rng.standard_normal((L, D))
    shapes = np.stack([rng.standard_normal(L), slopes[:, 1]])
    truth, noise = rng.standard_normal((N, D)), rng.standard_normal((N, L))
    return {
        "trace": truth @ slopes.T + noise,
        "noise": noise,
        "slopes": np.broadcast_to(slopes, (N, L, D)),
        "shapes": np.broadcast_to(shapes, (N, M, L)),
        "place": truth + 0.3 * rng.standard_normal((N, D)),
    }


def found_in(toy: dict, added: float = 0.0) -> ScoreTest:
    """Tests at places off the truth, of traces to which the first shape was added."""
    return score_test(*linear(toy, toy["trace"] + added * toy["shapes"][:, 0]), toy["shapes"])


def linear(toy: dict, trace: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Deviation of traces at the toy's places, slopes, and the places."""
    off = trace - np.einsum("nld,nd->nl", toy["slopes"], toy["place"])
    return off, toy["slopes"], toy["place"]


def test_standard_normal_without_a_fault(toy: dict) -> None:
    for z in found_in(toy).z.T:
        assert stats.kstest(z, "norm").pvalue > 1e-3


def test_a_fault_moves_its_own_test_by_its_strength(toy: dict) -> None:
    found = found_in(toy, added=0.7)
    assert found.z[:, 0].mean() == pytest.approx(0.7 * found.strength[0, 0], abs=0.08)
    assert found.z[:, 0].std() == pytest.approx(1.0, abs=0.05)


def test_strength_is_that_of_the_marginal_likelihood(toy: dict) -> None:
    slopes, shapes = toy["slopes"][0], toy["shapes"][0]
    covariance = np.eye(L) + slopes @ slopes.T
    expected = np.sqrt(np.einsum("ml,ml->m", shapes, np.linalg.solve(covariance, shapes.T).T))
    np.testing.assert_allclose(found_in(toy).strength[0], expected, rtol=1e-9)


def test_the_place_does_not_matter_where_the_model_is_linear(toy: dict) -> None:
    elsewhere = {**toy, "place": np.zeros((N, D))}
    np.testing.assert_allclose(found_in(toy).z, found_in(elsewhere).z, rtol=1e-7, atol=1e-7)


def test_a_shape_that_parameters_take_up_has_no_evidence_either_way(toy: dict) -> None:
    found = found_in(toy, added=1.0)
    assert (found.strength[:, 1] < 0.5 * found.strength[:, 0]).all()
    none = toy | {"shapes": np.zeros((N, M, L))}
    np.testing.assert_allclose(log_bayes_factor(found_in(none)), 0.0, atol=1e-12)


@pytest.mark.parametrize("z", [-6.0, -1.0, 0.0, 2.5, 9.0])
@pytest.mark.parametrize("strength", [0.1, 1.0, 30.0])
def test_the_evidence_is_that_of_quadrature(z: float, strength: float) -> None:
    def ratio(severity: float) -> float:
        gain = severity * strength * z - 0.5 * (severity * strength) ** 2
        return 2.0 * stats.norm.pdf(severity) * np.exp(gain)

    peak = max(z * strength / (1.0 + strength**2), 0.0)
    ends = [0.0, *sorted({peak, peak + 3.0 / strength, peak + 30.0 / strength}), 40.0]
    pairs = [pair for pair in pairwise(ends) if pair[0] < pair[1]]
    expected = sum(integrate.quad(ratio, *pair, epsabs=0)[0] for pair in pairs)
    found = log_bayes_factor(ScoreTest(np.array([[z]]), np.array([[strength]])))
    assert found[0, 0] == pytest.approx(np.log(expected), abs=1e-6)


@pytest.mark.parametrize("name", ["deviation", "slopes", "scores", "shapes"])
@pytest.mark.parametrize("fault", ["nan", "shape"])
def test_bad_arguments_are_refused_by_name(name: str, fault: str) -> None:
    good = {
        "deviation": np.zeros((2, L)),
        "slopes": np.ones((2, L, D)),
        "scores": np.zeros((2, D)),
        "shapes": np.ones((2, M, L)),
    }
    score_test(**good)
    bad = np.full_like(good[name], np.nan) if fault == "nan" else good[name][..., 1:]
    with pytest.raises(InputError):
        score_test(**good | {name: bad})


def test_evidence_is_the_mean_over_the_shapes_of_a_fault(toy: dict) -> None:
    given = linear(toy, toy["trace"] + 0.7 * toy["shapes"][:, 0])
    each = log_bayes_factor(found_in(toy, added=0.7))
    together = fault_log_evidence(*given, toy["shapes"], [0, 0])
    np.testing.assert_allclose(together[:, 0], np.log(np.exp(each).mean(axis=1)), rtol=1e-9)
    np.testing.assert_allclose(mean_evidence(each), together[:, 0], rtol=1e-9)
    apart = fault_log_evidence(*given, toy["shapes"], [1, 0])
    np.testing.assert_allclose(apart, each[:, ::-1], rtol=1e-9)


def test_a_spread_of_severities_is_a_shape_of_another_size(toy: dict) -> None:
    given = linear(toy, toy["trace"] + 0.7 * toy["shapes"][:, 0])
    spread = fault_log_evidence(*given, toy["shapes"], [0, 1], (1.0, 0.3))
    sizes = np.concatenate([toy["shapes"], 0.3 * toy["shapes"]], axis=1)
    np.testing.assert_allclose(spread, fault_log_evidence(*given, sizes, [0, 1, 0, 1]), rtol=1e-9)


@pytest.mark.parametrize("fault", [[0], [0, 2], [1, 1], [-1, 0], [[0, 1]]])
def test_shapes_of_no_fault_are_refused(toy: dict, fault: list) -> None:
    off = np.zeros((N, L))
    with pytest.raises(InputError, match="fault"):
        fault_log_evidence(off, toy["slopes"], toy["place"], toy["shapes"], fault)


def residuals_of(toy: dict, noise: float = 1.0) -> np.ndarray:
    """Of traces whose noise is off by a factor."""
    return standard_residuals(*linear(toy, toy["trace"] + (noise - 1.0) * toy["noise"]))


def test_standard_residuals_have_the_std_of_the_noise_at_every_sample(toy: dict) -> None:
    """Also where parameters take up a large share of a sample."""
    for column in residuals_of(toy).T:
        assert stats.kstest(column, "norm").pvalue > 1e-4
    loud = residuals_of(toy, noise=1.3)
    assert loud.std() == pytest.approx(1.3, abs=0.02)


def test_hidden_samples_have_no_residual(toy: dict) -> None:
    shown = np.arange(L) % 3 > 0
    off, slopes, place = linear(toy, toy["trace"])
    found = standard_residuals(off * shown, slopes * shown[:, None], place)
    assert (found[:, ~shown] == 0).all()
    assert found[:, shown].std() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", ["deviation", "slopes", "scores"])
def test_residuals_refuse_bad_arguments(name: str) -> None:
    good = {
        "deviation": np.zeros((2, L)),
        "slopes": np.ones((2, L, D)),
        "scores": np.zeros((2, D)),
    }
    standard_residuals(**good)
    with pytest.raises(InputError):
        standard_residuals(**good | {name: np.full_like(good[name], np.nan)})
    with pytest.raises(InputError):
        standard_residuals(**good | {name: good[name][..., 1:]})
