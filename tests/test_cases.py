"""How cases are drawn, observed and matched."""

import dataclasses

import numpy as np
import pytest

from ecguard.cases import SPLITS, Cases, CaseSettings, draw_cases
from ecguard.chunk import Chunk
from ecguard.errors import InputError
from ecguard.family import draw

ROWS = 12


@pytest.fixture(scope="module")
def chunk() -> Chunk:
    return draw(3, ROWS)


@pytest.fixture(scope="module")
def cases(chunk: Chunk) -> Cases:
    return draw_cases(chunk, CaseSettings(), 8.0)


def timeless(chunk: Chunk) -> Chunk:
    """The chunk as ECSFM writes it: without time and cell."""
    return dataclasses.replace(chunk, time_s=None, Ru_ohm=None, Cdl_F=None, area_cm2=None)


def test_rows_follow_the_reference_seed(cases: Cases) -> None:
    expected = np.random.default_rng(2028).choice(ROWS, size=6, replace=False)
    np.testing.assert_array_equal(cases.rows, expected)
    assert len(SPLITS) == len(cases.observed) == 3


def test_noise_and_masks_follow_the_reference_order(cases: Cases) -> None:
    length = cases.E_V.shape[1]
    for case, row in enumerate(cases.rows):
        generator = np.random.default_rng(5000 + row)
        noise = [generator.normal(0.0, 0.05, length) for _ in range(2)]
        masks = [generator.random(length) < 0.4 for _ in range(2)]
        for split in range(2):
            np.testing.assert_allclose(
                cases.observed[split, case], cases.clean[split, case] + noise[split], rtol=1e-5
            )
            np.testing.assert_array_equal(cases.mask[split, case], masks[split])


def test_control_repeats_the_noise_and_mask_of_its_stress_trace(cases: Cases) -> None:
    np.testing.assert_array_equal(cases.mask[2], cases.mask[1])
    noise = cases.observed - cases.clean
    scale = np.abs(cases.clean).max()
    np.testing.assert_allclose(noise[2], noise[1], atol=1e-6 * scale)
    assert not np.allclose(noise[0], noise[1], atol=1e-3)


def test_control_is_the_clean_trace_of_the_built_in_family(cases: Cases) -> None:
    scale = np.ptp(cases.clean[0], axis=1, keepdims=True)
    np.testing.assert_allclose(cases.clean[2] / scale, cases.clean[0] / scale, atol=2e-3)
    changed = np.abs(cases.clean[1] - cases.clean[2]).max(axis=1) / scale[:, 0]
    assert (changed > 0.02).all()


def test_a_sparse_mask_keeps_the_minimum(chunk: Chunk) -> None:
    sparse = draw_cases(chunk, CaseSettings(keep_probability=1e-9), 8.0)
    assert (sparse.mask.sum(axis=2) == 24).all()


def test_more_cases_than_rows_takes_all_and_says_so(chunk: Chunk) -> None:
    found = draw_cases(chunk, CaseSettings(n_cases=ROWS + 1), 8.0)
    assert sorted(found.rows) == list(range(ROWS))
    assert any("13 cases" in note and "12 rows" in note for note in found.notes)
    assert not draw_cases(chunk, CaseSettings(n_cases=ROWS), 8.0).notes


def test_augmented_copies_are_counted(chunk: Chunk) -> None:
    copied = dataclasses.replace(chunk, aug_id=np.ones(ROWS, np.int32))
    notes = draw_cases(copied, CaseSettings(n_cases=2), 8.0).notes
    assert notes == ("2 of 2 cases are augmented copies of other rows.",)


def test_a_chunk_without_time_takes_the_duration_and_the_reference_cell(chunk: Chunk) -> None:
    found = draw_cases(timeless(chunk), CaseSettings(n_cases=2), 5.0)
    np.testing.assert_allclose(found.time_s[:, -1], 5.0)
    np.testing.assert_allclose(np.diff(found.time_s), 5.0 / (found.time_s.shape[1] - 1))
    assert any("5 s" in note for note in found.notes)
    large_cdl = dataclasses.replace(
        timeless(chunk),
        Ru_ohm=np.full(ROWS, 100.0, np.float32),
        Cdl_F=np.full(ROWS, 1e-5, np.float32),
        area_cm2=np.full(ROWS, 0.01, np.float32),
    )
    np.testing.assert_array_equal(
        found.clean, draw_cases(large_cdl, CaseSettings(n_cases=2), 5.0).clean
    )


def test_another_seed_moves_rows_noise_and_masks(chunk: Chunk) -> None:
    settings = CaseSettings(n_cases=ROWS, seed=7)
    other, same = (draw_cases(chunk, s, 8.0) for s in (settings, CaseSettings(n_cases=ROWS)))
    assert (other.rows != same.rows).any()
    order, reference = np.argsort(other.rows), np.argsort(same.rows)
    assert (other.mask[:, order] != same.mask[:, reference]).any()
    assert CaseSettings().seed_for(5003) == 5003
    assert 0 <= CaseSettings(seed=0).seed_for(15000) < 2**32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_cases", 0),
        ("n_cases", -3),
        ("n_cases", 2.5),
        ("n_cases", True),
        ("eval_noise_std", 0.0),
        ("eval_noise_std", -0.05),
        ("eval_noise_std", float("nan")),
        ("keep_probability", 0.0),
        ("keep_probability", 1.5),
        ("min_observed", 0),
        ("seed", -1),
    ],
)
def test_bad_settings_are_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=name):
        CaseSettings(**{name: value})  # type: ignore[arg-type]


def test_bad_chunks_are_named(chunk: Chunk) -> None:
    with pytest.raises(InputError, match="min_observed"):
        draw_cases(chunk, CaseSettings(min_observed=chunk.n_samples + 1), 8.0)
    with pytest.raises(InputError, match="duration_s"):
        draw_cases(timeless(chunk), CaseSettings(), 0.0)
    current = chunk.current_mA_cm2.copy()
    current[:, 5] = np.nan
    with pytest.raises(InputError, match="current_mA_cm2"):
        draw_cases(dataclasses.replace(chunk, current_mA_cm2=current), CaseSettings(), 8.0)
