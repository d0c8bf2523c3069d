"""The combined score on Gaussian toys, whose best direction is known."""

import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.guardrail import CombinedScore
from ecguard.intervals import auroc

NAMES = ("a", "b", "c", "d", "e")
N = 400


def toy(shift: tuple[float, ...], n: int = N, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clean diagnostics [n, 5], and faulty ones that are shifted."""
    clean, faulty = np.random.default_rng(seed).standard_normal((2, n, len(shift)))
    return clean, faulty + np.array(shift)


def test_the_informative_diagnostic_is_found() -> None:
    clean, faulty = toy((0, 0, 3, 0, 0))
    score = CombinedScore.fit(NAMES, clean, faulty)
    assert np.argmax(score.weight) == 2
    assert score.weight[2] > 5 * np.delete(score.weight, 2).max()
    assert auroc(-score(faulty), -score(clean)) > 0.97


def test_weak_diagnostics_together_see_more_than_each() -> None:
    score = CombinedScore.fit(NAMES, *toy((1, 1, 1, 1, 1)))
    clean, faulty = toy((1, 1, 1, 1, 1), seed=1)
    single = max(auroc(faulty[:, k], clean[:, k]) for k in range(len(NAMES)))
    assert auroc(-score(faulty), -score(clean)) > single + 0.1
    assert np.ptp(score.weight) < 0.5 * max(score.weight)


def test_no_weight_is_negative() -> None:
    score = CombinedScore.fit(NAMES, *toy((-3, -1, 2, 0, -0.1)))
    assert min(score.weight) >= 0
    assert score.weight[0] == score.weight[1] == 0
    assert score.weight[2] > 0.3


@pytest.mark.parametrize("shift", [(1, 1, 1, 1, 1), (-3, 0, 2, 0, 1)])
def test_a_worse_diagnostic_never_raises_the_score(shift: tuple[float, ...]) -> None:
    score = CombinedScore.fit(NAMES, *toy(shift))
    rng = np.random.default_rng(2)
    rows = 10.0 ** rng.uniform(-2, 6, (300, 1)) * rng.standard_normal((300, len(NAMES)))
    worse = rows + 10.0 ** rng.uniform(-2, 6, rows.shape) * (rng.random(rows.shape) < 0.5)
    assert (score(worse) <= score(rows)).all()
    assert (score(worse) < score(rows)).any()


def test_units_of_a_diagnostic_do_not_matter() -> None:
    scale, offset = np.array([1e-6, 1.0, 1e4, 7.0, 0.1]), np.array([0.0, 50.0, -3.0, 0.0, 1e3])
    clean, faulty = toy((1, 0, 2, 0.5, 0))
    plain = CombinedScore.fit(NAMES, clean, faulty)
    other = CombinedScore.fit(NAMES, clean * scale + offset, faulty * scale + offset)
    np.testing.assert_allclose(other.weight, plain.weight, atol=1e-4)
    np.testing.assert_allclose(other(faulty * scale + offset), plain(faulty), atol=1e-3)


@pytest.mark.parametrize(("n_clean", "n_faulty"), [(2, 1), (1, 2), (1, 20)])
def test_either_group_counts_as_half(n_clean: int, n_faulty: int) -> None:
    clean, faulty = toy((1, 0, 2, 0.5, 0))
    once = CombinedScore.fit(NAMES, clean, faulty)
    more = CombinedScore.fit(NAMES, np.tile(clean, (n_clean, 1)), np.tile(faulty, (n_faulty, 1)))
    np.testing.assert_allclose(more.weight, once.weight, atol=0.02)
    assert more.offset == pytest.approx(once.offset, abs=0.02)


def test_far_values_count_by_their_logarithm() -> None:
    score = CombinedScore.fit(NAMES, *toy((2, 0, 0, 0, 0)))
    rows = np.tile(score.centre, (4, 1))
    rows[1:, 0] += score.scale[0] * np.array([1e3, 1e4, 1e5])
    found = score(rows)
    assert found[0] == pytest.approx(score.offset)
    np.testing.assert_allclose(np.diff(found[1:]), -score.weight[0] * np.log(10), rtol=1e-4)


def test_a_diagnostic_that_never_varies_does_no_harm() -> None:
    clean, faulty = toy((2, 0, 0, 0, 0))
    clean[:, 1] = faulty[:, 1] = 0.0
    score = CombinedScore.fit(NAMES, clean, faulty)
    assert np.isfinite([*score.weight, score.offset, *score(faulty)]).all()
    assert np.argmax(score.weight) == 0


def test_same_cases_same_score() -> None:
    cases = toy((1, 0, 2, 0.5, 0))
    assert CombinedScore.fit(NAMES, *cases) == CombinedScore.fit(NAMES, *cases)


@pytest.mark.parametrize("group", ["clean", "faulty", "diagnostics"])
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((0, 5)),
        np.zeros((3, 4)),
        np.zeros(5),
        np.full((3, 5), np.nan),
        np.full((3, 5), np.inf),
    ],
    ids=["none", "narrow", "one row", "nan", "infinite"],
)
def test_bad_cases_are_refused(group: str, wrong: np.ndarray) -> None:
    cases = dict(zip(("clean", "faulty"), toy((1, 0, 2, 0, 0), n=20), strict=True))
    score = CombinedScore.fit(NAMES, **cases)

    def use(diagnostics: np.ndarray, **groups: np.ndarray) -> None:
        CombinedScore.fit(NAMES, **groups)
        score(diagnostics)

    with pytest.raises(InputError) as raised:
        use(**({"diagnostics": cases["clean"]} | cases | {group: wrong}))
    assert raised.value.name == group
