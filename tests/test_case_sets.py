"""Three sets of clean cases: disjoint, sized as asked, and with their noise at hand."""

import jax
import numpy as np
import pytest

from ecguard import family
from ecguard.case_sets import NAMES, CaseSet, CaseSetSettings, draw_case_sets
from ecguard.errors import InputError
from ecguard.posterior.unknowns import simulated

SIZES = {"design": 5, "calibration": 9, "test": 7}


def drawn(**changes: object) -> dict[str, CaseSet]:
    settings = {f"n_{name}": size for name, size in SIZES.items()} | {"task": "tone"}
    return draw_case_sets(CaseSetSettings(**(settings | changes)))


@pytest.fixture(scope="module")
def sets() -> dict[str, CaseSet]:
    return drawn()


def test_sizes_are_those_asked_for(sets: dict[str, CaseSet]) -> None:
    assert tuple(sets) == NAMES
    for name, cases in sets.items():
        assert cases.name == name
        assert len(cases) == len(cases.group.case) == SIZES[name]
        assert len(cases.experiment.noise) == SIZES[name]
        assert set(cases.group.task) == {family.TASKS.index("tone")}
        assert cases.group.n_couples == 1


def test_no_case_is_in_two_sets(sets: dict[str, CaseSet]) -> None:
    total = sum(SIZES.values())
    assert sorted(np.concatenate([s.group.case for s in sets.values()])) == list(range(total))
    for values in ("unknowns", "current"):
        rows = np.concatenate([getattr(s.group, values) for s in sets.values()])
        assert len(np.unique(rows, axis=0)) == total
    noise = np.concatenate([s.experiment.noise for s in sets.values()])
    assert len(np.unique(noise[:, 0])) == total


def assert_near(first: np.ndarray, second: np.ndarray) -> None:
    """Equal up to what float32 makes of a simulation: 1e-4 of the largest current."""
    np.testing.assert_allclose(first, second, atol=1e-4 * np.abs(second).max())


@pytest.mark.parametrize("noise_std", [0.05, 0.1])
def test_noise_of_the_experiment_is_that_of_the_observation(noise_std: float) -> None:
    for cases in drawn(noise_std=noise_std).values():
        experiment, group = cases.experiment, cases.group
        seen, noise = group.observation.current, noise_std * experiment.noise
        np.testing.assert_allclose(group.current + noise, seen, atol=1e-6)
        np.testing.assert_allclose(experiment.measure(group.current), seen, atol=1e-6)
        assert_near(experiment.clean(), group.current)
        assert_near(experiment.clean() + noise, seen)
        assert experiment.noise.std() == pytest.approx(1, abs=0.1)
        np.testing.assert_allclose(experiment.noise_std, noise_std)


def test_experiment_is_that_of_the_group(sets: dict[str, CaseSet]) -> None:
    for cases in sets.values():
        experiment, seen = cases.experiment, cases.group.observation
        np.testing.assert_array_equal(experiment.waveform.t_s, seen.time_s)
        np.testing.assert_array_equal(experiment.waveform.E_V, seen.E_V)
        couples, cell = simulated(cases.group.unknowns)
        np.testing.assert_array_equal(experiment.couples.k0, couples.k0)
        np.testing.assert_array_equal(experiment.cell.Ru_ohm, cell.Ru_ohm)


def test_chance_is_uniform_and_independent_of_the_noise(sets: dict[str, CaseSet]) -> None:
    chance = np.concatenate([s.experiment.chance for s in sets.values()])
    noise = np.concatenate([s.experiment.noise for s in sets.values()])
    assert abs(chance.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(chance.ravel(), noise.ravel())[0, 1]) < 0.05


def test_take_keeps_rows_together(sets: dict[str, CaseSet]) -> None:
    rows = np.array([6, 0, 3, 3])
    part = sets["test"].take(rows)
    assert part.name == "test"
    np.testing.assert_array_equal(part.group.case, sets["test"].group.case[rows])
    for leaf, whole in zip(
        jax.tree.leaves((part.experiment, part.group.observation, part.group.unknowns)),
        jax.tree.leaves(
            (sets["test"].experiment, sets["test"].group.observation, sets["test"].group.unknowns)
        ),
        strict=True,
    ):
        np.testing.assert_array_equal(leaf, np.asarray(whole)[rows])
    measured = part.experiment.measure(part.experiment.clean())
    assert_near(measured, part.group.observation.current)


def test_same_seed_same_cases_and_another_seed_others(sets: dict[str, CaseSet]) -> None:
    same, other = drawn(), drawn(seed=8102)
    for name, cases in sets.items():
        for values in ("noise", "chance"):
            first = getattr(cases.experiment, values)
            np.testing.assert_array_equal(first, getattr(same[name].experiment, values))
            assert not np.isin(first, getattr(other[name].experiment, values)).any()
        assert not np.isin(cases.group.unknowns[:, 5], other[name].group.unknowns[:, 5]).any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_design": 1},
        {"n_calibration": 0},
        {"n_test": -3},
        {"task": "eis"},
        {"noise_std": 0.0},
        {"noise_std": -0.05},
        {"noise_std": float("nan")},
        {"keep_probability": 0.0},
        {"keep_probability": 1.5},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError) as raised:
        CaseSetSettings(**wrong)
    assert raised.value.name == next(iter(wrong))
