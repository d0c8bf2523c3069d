"""Training of the amortised posterior: it learns, resumes to the same bytes, reads back."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tqdm.auto import trange

from ecguard import InputError, family
from ecguard.posterior import coordinates as co
from ecguard.posterior.amortised import training
from ecguard.posterior.amortised.artefacts import CHECKPOINT_FILE, META_FILE, load_amortised
from ecguard.posterior.amortised.network import N_COORDINATES, Network
from ecguard.posterior.amortised.training import (
    TRAINING_FILE,
    TrainingSettings,
    held_out_loss,
    train,
)

TINY = TrainingSettings(
    n_cases=512, n_held_out=512, n_updates=20, batch=64, width=32, depth=1, learning_rate=1e-2
)
HELD_OUT_SEED = 1000 * (TINY.seed + 31) - 1


@pytest.fixture(scope="module", autouse=True)
def _drawn_once() -> Any:
    """Runs of the same seeds share what the family draws."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(family, "draw", cache(family.draw))
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("trained")
    return folder, train(folder, TINY)


def test_training_writes_a_posterior_that_reads_back(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, record = trained
    amortised = load_amortised(folder / CHECKPOINT_FILE)
    assert amortised.meta.noise_range == (TINY.noise_low, TINY.noise_high)
    assert amortised.meta.keep_range == (TINY.keep_low, TINY.keep_high)
    targets, task = training._targets(family.draw(HELD_OUT_SEED, TINY.n_held_out))
    loss = held_out_loss(amortised, targets, task, TINY.seed)
    assert loss.mean() == pytest.approx(record["held_out"]["mean_loss"], rel=1e-5)
    assert json.loads((folder / TRAINING_FILE).read_text()) == record
    names = {path.name for path in folder.iterdir()}
    assert names == {CHECKPOINT_FILE, META_FILE, TRAINING_FILE}


def test_training_lowers_the_held_out_loss(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, record = trained
    amortised = load_amortised(folder / CHECKPOINT_FILE)
    fresh = Network(amortised.meta.sizes, key=jax.random.key(TINY.seed))
    targets, task = training._targets(family.draw(HELD_OUT_SEED, TINY.n_held_out))
    untrained = replace(amortised, network=fresh)
    before = held_out_loss(untrained, targets, task, TINY.seed).mean()
    assert record["held_out"]["mean_loss"] < before - 0.5


def test_a_killed_run_resumes_to_the_same_bytes(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = training.write_atomic

    def die_after_writing(*arguments: Any) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "write_atomic", die_after_writing)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, TINY, save_every=10)
    assert not (tmp_path / CHECKPOINT_FILE).exists()
    with pytest.raises(InputError, match="out_dir"):
        train(tmp_path, replace(TINY, seed=1))
    starts = []
    monkeypatch.setattr(training, "trange", lambda *a, **k: starts.append(a[0]) or trange(*a, **k))
    assert train(tmp_path, TINY, save_every=10) == trained[1]
    assert starts == [0, 10]  # of the blocks that are simulated, of the updates
    for name in (CHECKPOINT_FILE, META_FILE, TRAINING_FILE):
        assert (tmp_path / name).read_bytes() == (trained[0] / name).read_bytes()


def test_targets_are_the_electrodes_of_the_family() -> None:
    chunk = family.draw(HELD_OUT_SEED, TINY.n_held_out)
    targets, task = training._targets(chunk)
    np.testing.assert_array_equal(task, chunk.task_id)
    rows = chunk.parameters.reshape(chunk.rows, 7, family.N_COUPLES)
    np.testing.assert_array_equal(targets.n_couples, 1 + (rows[:, 2, 1] > 0))
    assert (targets.coordinates >= targets.low).all()
    assert (targets.coordinates <= targets.high).all()
    two = targets.n_couples == 2
    for couple, cases in ((0, two | ~two), (1, two)):
        start = co.couple_start(couple)
        E0 = co.standard_potential(targets.coordinates[cases, start : start + 7])
        np.testing.assert_allclose(E0, rows[cases, 4, couple], atol=1e-6)
    assert (targets.coordinates[~two, 9:] == 0.5).all()
    assert targets.coordinates.shape == (chunk.rows, N_COORDINATES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch", 0),
        ("batch", 66),
        ("seed", -1),
        ("n_updates", 0),
        ("learning_rate", float("nan")),
        ("noise_low", 0.2),
        ("noise_low", 0.0),
        ("keep_low", 1.0),
        ("keep_high", 1.5),
        ("averaging", 1.0),
        ("depth", 0),
    ],
)
def test_impossible_settings_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        TrainingSettings(**{name: value})  # type: ignore[arg-type]
