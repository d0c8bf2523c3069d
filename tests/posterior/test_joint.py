"""The likelihood of several steps: against the protocol's currents, and against single steps."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import solve_ivp

from ecguard.case_sets import CaseSet, CaseSetSettings, draw_case_sets
from ecguard.errors import InputError
from ecguard.fouling import Fouling
from ecguard.posterior import film
from ecguard.posterior.fouled import scores_of
from ecguard.posterior.joint import JointLikelihood, Rest, rested
from ecguard.posterior.laplace import curvature, log_likelihoods, unknowns_of
from ecguard.posterior.likelihood import Observation, SimulatorLikelihood
from ecguard.posterior.unknowns import n_unknowns
from ecguard.protocol import Averaging, Own, Protocol, Scan, currents, observe

N, NOISE_STD = 4, 0.05
D = n_unknowns(1)
BULK = 3e-6  # mol/cm^3
PROTOCOL = Protocol(
    "pair", "After a rest", (Own(), Scan(backward=True, rest_s=20.0, averaging=Averaging(0.2)))
)
FILMS = np.array(
    [
        (0.1, np.log(300.0), np.log(500.0)),
        (0.4, np.log(3000.0), np.log(900.0)),
        (0.7, np.log(1000.0), np.log(7000.0)),
        (0.9, np.log(9000.0), np.log(2000.0)),
    ]
)


def log_likelihood(likelihood: JointLikelihood, unknowns: Any) -> np.ndarray:
    """By hand, from the currents [n]."""
    found = np.zeros(len(likelihood))
    for step, mean in zip(likelihood.steps, likelihood.currents(unknowns), strict=True):
        seen = step.observation
        std = np.asarray(seen.noise_std)[:, None]
        terms = stats.norm.logpdf(np.asarray(seen.current), np.asarray(mean), std)
        found += np.where(np.asarray(seen.observed), terms, 0.0).sum(axis=1)
    return found


@pytest.fixture(scope="module")
def electrodes() -> CaseSet:
    settings = CaseSetSettings(n_design=N, n_calibration=2, n_test=2)
    return draw_case_sets(settings)["design"]


@pytest.fixture(scope="module", params=[False, True], ids=["clean", "fouled"])
def setting(request: Any, electrodes: CaseSet) -> tuple[Any, ...]:
    """Steps, their noise-free currents, the joint likelihood and the truth."""
    unknowns, fouling = electrodes.group.unknowns, None
    if request.param:
        unknowns = np.hstack([unknowns, FILMS])
        fouling = jax.tree.map(np.asarray, film.to_fouling(jnp.asarray(FILMS)))
    noiseless = currents(PROTOCOL, electrodes, fouling)
    steps = observe(PROTOCOL, electrodes, noiseless)
    likelihood = JointLikelihood.of(steps, PROTOCOL.rests)
    return steps, noiseless, likelihood, jnp.asarray(unknowns, jnp.float32)


def test_the_truth_gives_the_currents_of_the_protocol(setting: tuple[Any, ...]) -> None:
    steps, noiseless, likelihood, truth = setting
    found = likelihood.currents(truth)
    assert len(found) == len(steps) == len(noiseless)
    for step, mean, wanted in zip(steps, found, noiseless, strict=True):
        error = np.where(step.observed, np.asarray(mean) - wanted, 0.0)
        assert np.abs(error).max() < 2 * NOISE_STD


def test_samples_are_counted(setting: tuple[Any, ...]) -> None:
    steps, _, likelihood, _ = setting
    assert len(likelihood) == N
    wanted = [sum(int(step.observed[row].sum()) for step in steps) for row in range(N)]
    np.testing.assert_array_equal(likelihood.n_observed, wanted)


def test_a_wrong_parameter_is_less_likely(setting: tuple[Any, ...]) -> None:
    _, _, likelihood, truth = setting
    right = np.asarray(log_likelihood(likelihood, truth))
    assert np.isfinite(right).all()
    moves = [(2, 0.3), (4, 0.05)]  # C_ox, mM, and E0, V
    if truth.shape[1] > n_unknowns(1):
        moves.append((9, -0.1))  # coverage
    for place, change in moves:
        wrong = np.asarray(log_likelihood(likelihood, truth.at[:, place].add(change)))
        assert (wrong < right - 1).all()


def test_likelihoods_of_places_are_those_by_hand(setting: tuple[Any, ...]) -> None:
    _, _, likelihood, truth = setting
    films = film.to_scores(truth[:, n_unknowns(1) :]) if truth.shape[1] > n_unknowns(1) else None
    usual = scores_of(np.asarray(truth[:, : n_unknowns(1)]))
    usual = usual if films is None else np.column_stack([usual, films])
    places = usual[:, None] + np.linspace(0.0, 0.1, 3)[:, None]
    wanted = [
        log_likelihood(likelihood, unknowns_of(jnp.asarray(places[:, k], jnp.float32)))
        for k in range(places.shape[1])
    ]
    found = log_likelihoods(likelihood, places)
    np.testing.assert_allclose(found, np.stack(wanted, axis=1), rtol=1e-4)


def test_slopes_go_through_the_coverage_from_step_to_step(electrodes: CaseSet) -> None:
    """Information along an unknown of the film is that of differences of all steps together."""
    truth = np.hstack([electrodes.group.unknowns, FILMS]).astype(np.float32)
    fouling = jax.tree.map(np.asarray, film.to_fouling(jnp.asarray(FILMS)))
    steps = observe(PROTOCOL, electrodes, currents(PROTOCOL, electrodes, fouling))
    likelihood = JointLikelihood.of(steps, PROTOCOL.rests)
    scores = np.column_stack([scores_of(truth[:, :D]), film.to_scores(truth[:, D:])])
    found, h = curvature(likelihood, scores), 0.02
    for place in (5, D, D + 1, D + 2):  # ln k0, coverage, adsorption, resistance
        up, down = (
            likelihood.currents(
                unknowns_of(jnp.asarray(scores + sign * h * np.eye(D + 3)[place], jnp.float32))
            )
            for sign in (1, -1)
        )
        wanted = np.zeros(N)
        for step, high, low in zip(steps, up, down, strict=True):
            slope = (np.asarray(high, np.float64) - np.asarray(low, np.float64)) / (2 * h)
            weighed = np.where(step.observed, slope / step.noise_std[:, None], 0.0)
            wanted += np.square(weighed).sum(axis=1)
        np.testing.assert_allclose(found[:, place, place], wanted, rtol=0.03, atol=0.01)


def test_steps_of_a_clean_electrode_are_independent(electrodes: CaseSet) -> None:
    steps = observe(PROTOCOL, electrodes, currents(PROTOCOL, electrodes, None))
    scores = scores_of(electrodes.group.unknowns)[:, None]
    together = log_likelihoods(JointLikelihood.of(steps, PROTOCOL.rests), scores)[:, 0]
    truth = unknowns_of(jnp.asarray(scores[:, 0], jnp.float32))
    single = eqx.filter_jit(jax.vmap(lambda likelihood, unknowns: likelihood(unknowns)))
    alone = [single(SimulatorLikelihood.of(step), truth) for step in steps]
    np.testing.assert_allclose(together, np.sum(alone, axis=0), rtol=1e-4)


def test_different_sampling_is_refused(electrodes: CaseSet) -> None:
    seen = electrodes.group.observation
    bent = np.array(seen.time_s)
    bent[1] = bent[1] ** 1.01
    steps: list[Observation] = [seen, seen._replace(time_s=bent)]
    with pytest.raises(InputError) as raised:
        JointLikelihood.of(steps, (Rest(), Rest()))
    assert raised.value.name == "time_s"


@pytest.mark.parametrize("start", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rest", [Rest(0.0), Rest(30.0), Rest(60.0, 1.0), Rest(500.0, 0.3)])
def test_coverage_after_a_rest_solves_its_equation(start: float, rest: Rest) -> None:
    usual = Fouling()
    gain = usual.k_ads * BULK
    loss = usual.k_des + usual.k_clean * rest.cleaning

    def slope(_: float, theta: np.ndarray) -> np.ndarray:
        return gain * (1 - theta) - loss * theta

    wanted = solve_ivp(slope, (0.0, rest.duration_s or 1e-9), [start], rtol=1e-9, atol=1e-11)
    found = float(rested(start, usual, BULK, rest))
    assert found == pytest.approx(wanted.y[0, -1], abs=1e-5)


@pytest.mark.parametrize("cleaning", [0.0, 1.0])
def test_a_long_rest_ends_where_gain_and_loss_are_equal(cleaning: float) -> None:
    usual = Fouling()
    gain, loss = usual.k_ads * BULK, usual.k_des + usual.k_clean * cleaning
    found = float(rested(0.5, usual, BULK, Rest(1e5, cleaning)))
    assert found == pytest.approx(gain / (gain + loss), rel=1e-5)


def test_cleaning_lowers_coverage() -> None:
    found = [float(rested(0.8, Fouling(), BULK, Rest(60.0, c))) for c in (0.0, 0.2, 0.5, 1.0)]
    assert (np.diff(found) < 0).all()
    assert found[-1] < 0.8


def test_a_film_that_cannot_change_rests() -> None:
    still = Fouling(k_ads=0.0, k_des=0.0, k_clean=0.0)
    assert float(rested(0.8, still, BULK, Rest(1e4, 1.0))) == pytest.approx(0.8)
