"""The likelihood of several steps: against the protocol's currents, and against single steps."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from ecguard.case_sets import CaseSet, CaseSetSettings, draw_case_sets
from ecguard.errors import InputError
from ecguard.fouling import Fouling
from ecguard.posterior import film
from ecguard.posterior.joint import JointLikelihood, Rest, joined, rested
from ecguard.posterior.likelihood import Observation, SimulatorLikelihood
from ecguard.protocol import Averaging, Own, Protocol, Scan, currents, observe

N, NOISE_STD = 4, 0.05
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

expected = eqx.filter_jit(jax.vmap(lambda likelihood, unknowns: likelihood.expected(unknowns)[0]))
expected_of_all = eqx.filter_jit(lambda likelihood, unknowns: likelihood.expected_of_all(unknowns))
log_likelihood = eqx.filter_jit(jax.vmap(lambda likelihood, unknowns: likelihood(unknowns)))


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
    likelihood = JointLikelihood.of(steps, PROTOCOL.rests, fouled=request.param)
    return steps, noiseless, likelihood, jnp.asarray(unknowns, jnp.float32)


def test_the_truth_gives_the_currents_of_the_protocol(setting: tuple[Any, ...]) -> None:
    steps, noiseless, likelihood, truth = setting
    found = np.asarray(expected(likelihood, truth))
    seen = np.asarray(likelihood.observation.observed)
    error = np.where(seen, found - np.concatenate(noiseless, axis=1), 0.0)
    first = steps[0].current.shape[1]
    for own in (error[:, :first], error[:, first:]):
        assert np.abs(own).max() < 2 * NOISE_STD


def test_all_at_once_is_one_by_one(setting: tuple[Any, ...]) -> None:
    _, _, likelihood, truth = setting
    np.testing.assert_allclose(
        expected_of_all(likelihood, truth), expected(likelihood, truth), atol=1e-3 * NOISE_STD
    )


def test_a_wrong_parameter_is_less_likely(setting: tuple[Any, ...]) -> None:
    _, _, likelihood, truth = setting
    right = np.asarray(log_likelihood(likelihood, truth))
    assert np.isfinite(right).all()
    moves = [(2, 0.3), (4, 0.05)]  # C_ox, mM, and E0, V
    if likelihood.schedule.fouled:
        moves.append((9, -0.1))  # coverage
    for place, change in moves:
        wrong = np.asarray(log_likelihood(likelihood, truth.at[:, place].add(change)))
        assert (wrong < right - 1).all()


def test_steps_of_a_clean_electrode_are_independent(electrodes: CaseSet) -> None:
    steps = observe(PROTOCOL, electrodes, currents(PROTOCOL, electrodes, None))
    truth = jnp.asarray(electrodes.group.unknowns)
    together = log_likelihood(JointLikelihood.of(steps, PROTOCOL.rests, fouled=False), truth)
    alone = [log_likelihood(SimulatorLikelihood.of(step), truth) for step in steps]
    np.testing.assert_allclose(together, np.sum(alone, axis=0), rtol=1e-4)


def test_joined_samples_follow_each_other(electrodes: CaseSet) -> None:
    waveforms = PROTOCOL.waveforms(electrodes.experiment.waveform)
    steps = observe(PROTOCOL, electrodes, [np.zeros(w.t_s.shape, np.float32) for w in waveforms])
    whole = joined(steps)
    length = sum(step.current.shape[1] for step in steps)
    for name in ("time_s", "E_V", "current", "observed"):
        assert getattr(whole, name).shape == (N, length)
    assert np.diff(whole.time_s).min() > 0
    np.testing.assert_array_equal(whole.E_V[:, -1], steps[1].E_V[:, -1])
    expected = np.repeat(np.asarray(steps[0].noise_std)[:, None], whole.current.shape[1], axis=1)
    np.testing.assert_array_equal(whole.noise_std, expected)


def test_different_sampling_is_refused(electrodes: CaseSet) -> None:
    seen = electrodes.group.observation
    bent = np.array(seen.time_s)
    bent[1] = bent[1] ** 1.01
    steps: list[Observation] = [seen, seen._replace(time_s=bent)]
    with pytest.raises(InputError) as raised:
        JointLikelihood.of(steps, (Rest(), Rest()), fouled=False)
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
