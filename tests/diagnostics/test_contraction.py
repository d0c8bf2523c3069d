"""Contraction and z-scores against hand-made cases and by repetition."""

import numpy as np
import pytest
from scipy import stats

from ecguard.diagnostics import contraction, z_score_test, z_scores
from ecguard.errors import InputError

DRAWS = np.array([[[1.0, 0.0], [2.0, 10.0], [3.0, 20.0]]])


def test_hand_made_cases() -> None:
    assert contraction(DRAWS, [2.0, 10.0]) == pytest.approx(np.array([[0.75, 0.0]]))
    assert contraction(DRAWS, [[1.0, 5.0]]) == pytest.approx(np.array([[0.0, -3.0]]))
    assert z_scores(DRAWS, [[1.0, 10.0]]) == pytest.approx(np.array([[1.0, 0.0]]))


@pytest.mark.parametrize("n_draws", [8, 100])
def test_z_scores_of_few_draws_pass_at_the_stated_rate(n_draws: int) -> None:
    """400 sets of 500 cases: within what repetition leaves open once in a thousand, and 1 %."""
    generator = np.random.default_rng(6)
    rejected = np.zeros(2)
    for _ in range(400):
        values = generator.standard_normal((500, n_draws + 1, 1))
        found = z_score_test(z_scores(values[:, 1:], values[:, 0]), n_draws)
        rejected += [found.mean_p_value[0] < 0.05, found.mean_square_p_value[0] < 0.05]
    low, high = stats.binom.ppf([0.0005, 0.9995], 400, 0.05)
    assert ((rejected >= low - 4) & (rejected <= high + 4)).all()


def test_each_parameter_has_its_own_verdict() -> None:
    generator = np.random.default_rng(7)
    truth = generator.standard_normal((500, 3))
    draws = generator.standard_normal((500, 60, 3)) * [1.0, 0.8, 1.0] + [0.0, 0.0, 0.5]
    found = z_score_test(z_scores(draws, truth), 60)
    assert found.mean == pytest.approx([0, 0, 0.5], abs=0.2)
    assert found.mean_square == pytest.approx([1, 1.5625, 1.25], abs=0.3)
    assert (found.mean_p_value < 1e-3).tolist() == [False, False, True]
    assert found.mean_square_p_value[1] < 1e-3 < found.mean_square_p_value[0]


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="draws"):
        contraction(DRAWS[0], [1.0, 1.0])
    with pytest.raises(InputError, match="prior_std"):
        contraction(DRAWS, [1.0, -1.0])
    with pytest.raises(InputError, match="prior_std"):
        contraction(DRAWS, 1.0)
    with pytest.raises(InputError, match="n_draws"):
        contraction(DRAWS[:, :1], [1.0, 1.0])
    with pytest.raises(InputError, match="truth"):
        z_scores(DRAWS, [[np.nan, 1.0]])
    with pytest.raises(InputError, match="draws"):
        z_scores(np.ones((2, 5, 1)), np.ones((2, 1)))
    with pytest.raises(InputError, match="two cases"):
        z_score_test(np.zeros((1, 3)), 100)
    with pytest.raises(InputError, match="z = "):
        z_score_test(np.full((5, 3), np.nan), 100)
    with pytest.raises(InputError, match="z = 'all of one size'"):
        z_score_test([[0.5], [-0.5], [0.5]], 100)
    with pytest.raises(InputError, match="n_draws"):
        z_score_test(np.zeros((5, 3)), 3)
