"""Held-out clean cases: grouped, observed and cut in two as the settings say."""

import numpy as np
import pytest

from ecguard import family
from ecguard.clean_cases import CleanSettings, draw_clean
from ecguard.errors import InputError
from ecguard.posterior.unknowns import n_unknowns


@pytest.fixture(scope="module")
def groups():
    return draw_clean(CleanSettings(n_cases=80))


def test_every_case_is_in_one_group(groups):
    assert sorted(np.concatenate([g.case for g in groups])) == list(range(80))
    for group in groups:
        assert group.unknowns.shape == (len(group), n_unknowns(group.n_couples))


def test_tasks_on_one_grid_share_a_group(groups):
    tasks = [{family.TASKS[k] for k in group.task} for group in groups if group.n_couples == 1]
    assert {"cv", "tone"} in tasks


def test_noise_is_of_its_level_and_masks_keep_their_share(groups):
    residual = np.concatenate([(g.observation.current - g.current).ravel() for g in groups])
    assert abs(residual.std() / 0.05 - 1) < 0.03
    shown = np.concatenate([g.observation.observed.ravel() for g in groups])
    assert abs(shown.mean() - 0.40) < 0.02


def test_a_check_fits_on_part_of_what_was_observed(groups):
    for group in groups:
        assert not (group.fitted & ~group.observation.observed).any()
        assert abs(group.fitted.sum() / group.observation.observed.sum() - 0.7) < 0.08
        np.testing.assert_array_equal(group.hiding().observation.observed, group.fitted)


def test_same_seed_same_cases(groups):
    for first, second in zip(groups, draw_clean(CleanSettings(n_cases=80)), strict=True):
        np.testing.assert_array_equal(first.observation.current, second.observation.current)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tasks": ("cv", "eis")},
        {"tasks": ()},
        {"most_couples": 3},
        {"keep_probability": 0.0},
        {"fit_share": 1.2},
        {"noise_std": 0.0},
        {"noise_std": float("nan")},
        {"n_cases": 0},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        CleanSettings(**wrong)
