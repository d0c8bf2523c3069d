"""Training: it learns, resumes to the same bytes, and writes a surrogate that reads back."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard import InputError, family, load_surrogate
from ecguard.surrogate import training
from ecguard.surrogate.network import N_TIME_FEATURES, VelocityField
from ecguard.surrogate.training import TrainingSettings, trace_nrmse, train

TINY = TrainingSettings(
    n_cases=512, n_held_out=64, n_updates=30, batch=32, hidden_size=32, depth=1, n_steps=8
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    folder = tmp_path_factory.mktemp("trained")
    return folder, train(folder, TINY)


def test_training_writes_a_surrogate_that_reads_back(trained: tuple) -> None:
    folder, record = trained
    surrogate = load_surrogate(folder / "surrogate_model.eqx")
    error = trace_nrmse(surrogate, family.draw(TINY.seed + 2, TINY.n_held_out), TINY.n_steps, 0)
    assert np.median(error) == pytest.approx(record["held_out"]["median_nrmse"], rel=1e-5)
    assert {path.name for path in folder.iterdir()} == {
        "surrogate_model.eqx",
        "normalizers.npz",
        "model_meta.json",
        "training.json",
    }


def test_training_lowers_the_loss(trained: tuple, tmp_path) -> None:
    brief = train(tmp_path, TrainingSettings(**{**vars(TINY), "n_updates": 2}))
    assert trained[1]["training_loss"] < 0.8 * brief["training_loss"]


def test_a_killed_run_resumes_to_the_same_bytes(
    trained: tuple, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = training.write_atomic

    def die_after_writing(*arguments: object) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "write_atomic", die_after_writing)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, TINY, save_every=10)
    train(tmp_path, TINY, save_every=10)
    name = "surrogate_model.eqx"
    assert (tmp_path / name).read_bytes() == (trained[0] / name).read_bytes()


def test_the_state_of_another_run_is_not_overwritten(tmp_path) -> None:
    (tmp_path / "training_started.json").write_text('{"seed": 99}')
    with pytest.raises(InputError, match="out_dir"):
        train(tmp_path, TINY)


def test_unit_noise_is_the_same_flow_in_other_units() -> None:
    scale = 0.05
    surrogate = load_surrogate()
    scaled: VelocityField = surrogate.network
    small = eqx.tree_at(
        lambda n: n.layers[0].weight,
        scaled,
        scaled.layers[0]
        .weight.at[:, N_TIME_FEATURES : N_TIME_FEATURES + surrogate.meta.state_dim]
        .divide(scale),
    )
    small = eqx.tree_at(lambda n: n.layers[-1].weight, small, small.layers[-1].weight * scale)
    small = eqx.tree_at(lambda n: n.layers[-1].bias, small, small.layers[-1].bias * scale)
    back = training._to_unit_noise(small, scale)
    x = jax.random.normal(jax.random.key(0), (surrogate.meta.state_dim,))
    other = (jnp.zeros(surrogate.meta.target_len), jnp.ones(surrogate.meta.phys_dim))
    time = jnp.asarray(0.3)
    assert jnp.allclose(back(time, x, *other), scaled(time, x, *other), rtol=1e-4, atol=1e-4)
    assert jnp.allclose(
        scale * back(time, x, *other), small(time, scale * x, *other), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("name", "value"), [("batch", 0), ("learning_rate", -1.0), ("averaging", 1.0), ("seed", -1)]
)
def test_impossible_settings_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        TrainingSettings(**{name: value})  # type: ignore[arg-type]
