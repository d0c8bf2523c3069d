"""Posteriors of electrodes that are clean or covered, from planted posteriors of either model."""

from typing import Any

import numpy as np
import pytest

from ecguard.posterior.laplace import Laplace
from ecguard.posterior.likelihood import Observation
from ecguard.protocol import DEFAULT, inference
from ecguard.protocol.inference import MUCH, Inferred, infer_either

N, DRAWS, COVERAGE = 6, 400, 9
FACTOR = np.array([np.log(3.0), -30.0, 30.0, -30.0, -np.inf, -30.0])
"""ln evidence of a film over none."""
FOUND = np.array([0.05, 0.05, 0.05, 0.3, 0.05, 0.3])
"""Mean coverage under the model with a film."""
CHI_SQUARE = np.array([8.0, 8.0, 800.0, 8.0 + 4 * np.sqrt(16), 8.0, 8.0 + 6 * np.sqrt(16)])
"""Of 8 samples there: of the two that find much of a film one fits."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Rows that a clean electrode is looked for; draws with a film are a million and more."""
    rows: list[Any] = []

    def fouled(_: Any, __: Any, draws: Any) -> Inferred:
        found = 1e6 + np.random.default_rng(0).random((len(draws), DRAWS, 12))
        found[:, :, COVERAGE] = FOUND[:, None]
        return Inferred(found, np.zeros((N, 0)), 7.0 + FACTOR, CHI_SQUARE, ())

    def peak(steps: Any, _: Any, draws: Any) -> Laplace:
        own = np.asarray(steps[0].current)[:, 0].astype(int)
        np.testing.assert_array_equal(draws[:, 0, 0], own)
        rows.extend(own)
        n = len(own)
        return Laplace(
            np.zeros((n, 9)), np.tile(np.eye(9), (n, 1, 1)), np.zeros(n), np.full(n, -7.0)
        )

    monkeypatch.setattr(inference, "infer_fouled", fouled)
    monkeypatch.setattr(inference, "clean_peak", peak)
    return rows


def found(clean: Inferred | None = None) -> Inferred:
    numbers = np.arange(N, dtype=float)
    trace = np.repeat(numbers[:, None], 8, axis=1)
    time = np.tile(np.linspace(0.0, 1.0, 8), (N, 1))
    step = Observation(time, 0.0 * time, trace, trace > -1, numbers + 1.0)
    return infer_either(DEFAULT, (step,), np.tile(numbers[:, None, None], (1, 2, 9)), clean)


def test_draws_come_from_both_models_by_their_evidence(asked: list[Any]) -> None:
    draws = found().draws
    film = draws[:, :, 0] >= 1e6
    np.testing.assert_array_equal(film.mean(axis=1), [0.75, 0.0, 1.0, 1.0, 0.0, 0.0])
    assert asked == [0, 1, 2, 4, 5]
    # a draw is of one model in all of couple and cell
    np.testing.assert_array_equal(draws[:, :, :9] >= 1e6, np.repeat(film[:, :, None], 9, axis=2))
    np.testing.assert_array_equal(draws[:, :, COVERAGE], FOUND[:, None] * film)
    assert (draws[:, :, COVERAGE + 1 :] >= 1e6).all()


def test_what_was_found_of_clean_electrodes_is_not_found_again(asked: list[Any]) -> None:
    none = 10.0 + np.random.default_rng(1).random((N, DRAWS, 9))
    clean = Inferred(none, np.zeros((N, 0)), np.full(N, 7.0), np.zeros(N), ())
    draws = found(clean).draws
    assert asked == []
    film = draws[:, :, 0] >= 1e6
    np.testing.assert_array_equal(film.mean(axis=1), [0.75, 0.0, 1.0, 1.0, 0.0, 0.0])
    for row in range(N):
        np.testing.assert_array_equal(draws[row, ~film[row], :9], none[row, ~film[row]])
    assert (found(clean._replace(log_evidence=np.full(N, 99.0))).draws[[0, 2], :, 0] < 1e6).all()


def test_evidence_and_misfit_stay_those_of_a_film(asked: list[Any]) -> None:
    own = found()
    np.testing.assert_array_equal(own.log_evidence, 7.0 + FACTOR)
    np.testing.assert_array_equal(own.chi_square, CHI_SQUARE)
    assert asked


def test_much_of_a_film_that_fits_is_no_clean_electrode(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "MUCH", 0.01)
    draws = found().draws
    assert asked == [2, 5]  # what does not fit
    assert (draws[[0, 1, 2, 3, 4], :, 0] >= 1e6).all()
    assert MUCH == 0.1
