"""What the chapter on the family and the surrogate computes, on a hardly trained surrogate."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.report import family_and_surrogate as fs
from ecguard.report.chapter import Chapter
from ecguard.report.profiles import profile_named
from ecguard.surrogate import save_surrogate
from ecguard.surrogate.training import TRAINING_FILE, TrainingSettings, trace_nrmse, train

N, SEED, STEPS = 64, 4057, 2
SETTINGS = TrainingSettings(
    seed=5, n_cases=N, n_held_out=N, n_updates=2, batch=8, hidden_size=8, depth=1, n_steps=STEPS
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> fs.Trained:
    folder = tmp_path_factory.mktemp("trained")
    train(folder, SETTINGS)
    return fs.load_trained(str(folder / "surrogate_model.eqx"))


@pytest.fixture(scope="module")
def held_out(trained: fs.Trained) -> fs.HeldOut:
    return fs.hold_out(trained, SEED, N, STEPS)


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    return Chapter("surrogate", {}, profile_named("smoke"), SEED, tmp_path, 0.0)


def test_error_is_the_one_of_training(trained: fs.Trained, held_out: fs.HeldOut) -> None:
    expected = trace_nrmse(trained.surrogate, held_out.chunk, STEPS, SEED)
    np.testing.assert_allclose(held_out.error, expected, rtol=1e-5)


def test_null_is_one_shape_in_the_unit_of_each_case(
    trained: fs.Trained, held_out: fs.HeldOut
) -> None:
    null = fs.null_traces(trained.surrogate, held_out.chunk)
    shape = np.asarray(trained.surrogate.normalizers.x_mean[-256:])
    assert shape[0] == 0.0
    ratio = null[:, 1:] / shape[1:]
    np.testing.assert_allclose(ratio, np.repeat(ratio[:, :1], 255, axis=1), rtol=1e-4)
    assert len(np.unique(ratio[:, 0])) == N


@pytest.mark.parametrize("seed", [SETTINGS.seed + 1, SETTINGS.seed + 2])
def test_training_cases_are_not_held_out(trained: fs.Trained, seed: int) -> None:
    with pytest.raises(InputError, match="seed"):
        fs.hold_out(trained, seed, N, STEPS)


def test_claims_fail_and_hold_with_the_error(
    chapter: Chapter, trained: fs.Trained, held_out: fs.HeldOut
) -> None:
    verdicts = {}
    for name, error in (("good", 0.01), ("bad", 0.2)):
        changed = dataclasses.replace(held_out, error=np.full(N, error), null_error=np.full(N, 0.1))
        claims = fs.claims(chapter, trained, changed)
        verdicts[name] = {c.id.partition(".")[2] for c in claims if c.passed}
    errors = {"median-nrmse", *(f"{task}-median-nrmse" for task in ("cv", "ca", "swv", "tone"))}
    assert verdicts["good"] == {*errors, "gain-over-null", "checkpoint-size"}
    assert verdicts["bad"] == {"checkpoint-size"}


def test_worst_rows_are_the_worst_of_each_task(held_out: fs.HeldOut) -> None:
    rows = fs.worst_rows(held_out).reshape(4, fs.PER_TASK)
    for task, chosen in enumerate(rows):
        assert set(held_out.chunk.task_id[chosen]) == {task}
        others = held_out.error[held_out.chunk.task_id == task]
        assert sorted(held_out.error[chosen]) == sorted(others)[-fs.PER_TASK :]


def test_tables(trained: fs.Trained, held_out: fs.HeldOut) -> None:
    assert "| couples | one, or two in 30% of the cases |" in fs.family_table().data
    assert "| chronoamperometry: duration / s | 2 to 4 |" in fs.family_table().data
    assert "| training cases | 64 cases of seed 6 |" in fs.training_table(trained).data
    assert len(fs.error_table(held_out, 50, SEED).data.splitlines()) == 2 + 5
    assert f"| all | {N} |" in fs.error_table(held_out, 50, SEED).data
    assert set(fs.error_groups(held_out)) >= {"cv_surrogate", "tone_null"}


def test_missing_record_says_what_to_do(trained: fs.Trained, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.checkpoint.parent, tmp_path / "copy")
    (folder / TRAINING_FILE).unlink()
    with pytest.raises(InputError, match=r"training\.json.*ecguard train"):
        fs.load_trained(str(folder / "surrogate_model.eqx"))
    (folder / TRAINING_FILE).write_text("[]")
    with pytest.raises(InputError, match="an object with command"):
        fs.load_trained(str(folder / "surrogate_model.eqx"))


def test_surrogate_of_another_family_is_refused(tmp_path: Path, small_surrogate) -> None:
    checkpoint = save_surrogate(tmp_path, small_surrogate())
    with pytest.raises(InputError, match="family_checkpoint"):
        fs.load_trained(str(checkpoint))


def test_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="family_checkpoint"):
        fs.load_trained(str(tmp_path / "absent.eqx"))
