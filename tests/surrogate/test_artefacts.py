"""Files of a surrogate: round trip, real artefacts, and every kind of bad input."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.nernst_layer import current_scale
from ecguard.surrogate import Surrogate, load_surrogate, sampler, save_surrogate
from ecguard.surrogate.meta import meta_from_json

META, NORMALIZERS, CHECKPOINT = "model_meta.json", "normalizers.npz", "surrogate_model.eqx"


@pytest.fixture
def saved(tmp_path: Path, small_surrogate: Callable[..., Surrogate]) -> Path:
    return save_surrogate(tmp_path / "saved", small_surrogate())


def edit_meta(checkpoint: Path, **changes: Any) -> None:
    path = checkpoint.parent / META
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in document.items() if v != "absent"}))


def edit_normalizers(checkpoint: Path, **changes: Any) -> None:
    path = checkpoint.parent / NORMALIZERS
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive) | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("mask_features", [False, True])
def test_round_trip(
    tmp_path: Path,
    small_surrogate: Callable[..., Surrogate],
    channels: int,
    mask_features: bool,
) -> None:
    surrogate = small_surrogate(
        signal_channels=channels,
        param_mask_features=mask_features,
        context_names=("ln_duration_s",),
        current_unit="nernst_layer",
        task_names=("cv", "ca"),
    )
    first = save_surrogate(tmp_path / "first", surrogate)
    loaded = load_surrogate(first)
    second = save_surrogate(tmp_path / "second", loaded)
    assert loaded.meta == surrogate.meta
    for name in (META, NORMALIZERS, CHECKPOINT):
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()
    assert sorted(path.name for path in first.parent.iterdir()) == [META, NORMALIZERS, CHECKPOINT]


def test_current_of_the_ecsfm_sample(ecsfm_sample: Path) -> None:
    surrogate = load_surrogate(ecsfm_sample / CHECKPOINT)
    expected = np.load(ecsfm_sample / "expected.npz", allow_pickle=False)
    chunk = np.load(ecsfm_sample / "chunk_0.npz", allow_pickle=False)
    rows = expected["rows"]
    core = surrogate.compose(chunk["p"][rows], chunk["task_id"][rows], chunk["stage_id"][rows])
    np.testing.assert_array_equal(core, expected["core"])
    current = surrogate.sample_current(expected["x0"], chunk["e"][rows], core, 60)
    wanted = expected["current_60_euler"]
    assert np.abs(current - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize(("hidden_size", "depth"), [(16, 1), (16, 3), (80, 2)])
def test_sampling_agrees_with_the_loop_over_velocities(
    small_surrogate: Callable[..., Surrogate], hidden_size: int, depth: int
) -> None:
    surrogate = small_surrogate(hidden_size=hidden_size, depth=depth)
    rng = np.random.default_rng(1)
    x0, E, core = (
        rng.normal(size=(5, size)).astype(np.float32)
        for size in (surrogate.meta.state_dim, surrogate.meta.target_len, 10)
    )
    x, n_steps = jnp.asarray(x0), 20
    signal, features = surrogate.signal(jnp.asarray(E)), surrogate.standardise(jnp.asarray(core))
    velocity = eqx.filter_jit(eqx.filter_vmap(surrogate.network, in_axes=(None, 0, 0, 0)))
    for k in range(n_steps):
        x += velocity(jnp.asarray(k / n_steps), x, signal, features) / n_steps
    length = surrogate.meta.target_len
    wanted = surrogate.normalizers.x_mean + surrogate.normalizers.x_std * x
    current = surrogate.sample_current(x0, E, core, n_steps)
    np.testing.assert_allclose(current, wanted[:, -length:], rtol=2e-5, atol=2e-5)


def test_both_forms_of_the_loop_agree(ecsfm_sample: Path) -> None:
    network = load_surrogate(ecsfm_sample / CHECKPOINT).network
    x0 = jax.random.normal(jax.random.key(0), (3, 1264))
    constant = jax.random.normal(jax.random.key(1), (3, 128))
    short = sampler._hidden_loop(network, x0, constant, 60, 1024)
    plain = sampler._state_loop(network, x0, constant, 60)[:, -1024:]
    assert np.abs(short - plain).max() <= 2e-6 * np.abs(plain).max()


def test_two_channel_network_sees_shown_samples_only(
    small_surrogate: Callable[..., Surrogate],
) -> None:
    surrogate = small_surrogate(signal_channels=2)
    rng = np.random.default_rng(2)
    x0, E = rng.normal(size=(2, 36)), rng.normal(size=(2, 32))
    core, mask = rng.normal(size=(2, 10)), rng.random((2, 32)) < 0.5
    signal = surrogate.signal(jnp.asarray(E, jnp.float32), mask)
    assert (np.asarray(signal[:, 0])[~mask] == 0).all()
    np.testing.assert_array_equal(signal[:, 1], mask)
    current = surrogate.sample_current(x0, E, core, 5, mask)
    hidden_changed = surrogate.sample_current(x0, np.where(mask, E, 9.0), core, 5, mask)
    np.testing.assert_array_equal(current, hidden_changed)
    assert not np.allclose(current, surrogate.sample_current(x0, E, core, 5))


def test_nernst_layer_unit_multiplies_the_current(
    small_surrogate: Callable[..., Surrogate],
) -> None:
    plain = small_surrogate(context_names=("ln_duration_s",))
    scaled = small_surrogate(context_names=("ln_duration_s",), current_unit="nernst_layer")
    rng = np.random.default_rng(2)
    x0, E = rng.normal(size=(2, 36)), np.linspace([-0.5, -0.4], [0.5, 0.4], 32, axis=1)
    row = [[-11.5, -11.5, 2.0, 0.5, 0.0, -5.0, 0.5], [-12.0, -11.0, 4.0, 0.1, 0.1, -7.0, 0.4]]
    core = plain.compose(jnp.asarray(row), [0, 1], [0, 0], jnp.log(jnp.asarray([[8.0], [2.0]])))
    ratio = scaled.sample_current(x0, E, core, 5) / plain.sample_current(x0, E, core, 5)
    unit = [
        float(current_scale(jnp.asarray(E[k]), jnp.asarray(row[k]), jnp.asarray(s)))
        for k, s in enumerate((8.0, 2.0))
    ]
    np.testing.assert_allclose(ratio, np.tile(unit, (32, 1)).T, rtol=1e-4)


def test_compose_places_labels_and_context(small_surrogate: Callable[..., Surrogate]) -> None:
    surrogate = small_surrogate(context_names=("ln_duration_s",))
    core = surrogate.compose(np.ones((2, 7)), [1, 0], [0, 0], np.full((2, 1), 3.0))
    np.testing.assert_array_equal(core[:, 7:], [[0, 1, 1, 3], [1, 0, 1, 3]])
    np.testing.assert_allclose(surrogate.raw(surrogate.standardise(core)), core, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("parameters", (np.ones((2, 6)), [0, 0], [0, 0])),
        ("task_id", (np.ones((2, 7)), [0, 2], [0, 0])),
        ("stage_id", (np.ones((2, 7)), [0, 1], [0, -1])),
        ("context", (np.ones((2, 7)), [0, 1], [0, 0], np.ones((2, 1)))),
    ],
)
def test_compose_names_what_does_not_fit(
    small_surrogate: Callable[..., Surrogate], name: str, arguments: tuple
) -> None:
    with pytest.raises(InputError) as raised:
        small_surrogate().compose(*arguments)
    assert raised.value.name == name


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("x0", {"x0": np.zeros((2, 35))}),
        ("E_V", {"E_V": np.zeros((3, 32))}),
        ("E_V", {"E_V": np.full((2, 32), np.nan)}),
        ("params_core", {"params_core": np.zeros((2, 9))}),
        ("n_steps", {"n_steps": 0}),
        ("mask", {"mask": np.ones((2, 31), bool)}),
    ],
)
def test_sample_current_names_what_does_not_fit(
    small_surrogate: Callable[..., Surrogate], name: str, changes: dict
) -> None:
    arguments = {
        "x0": np.zeros((2, 36)),
        "E_V": np.zeros((2, 32)),
        "params_core": np.zeros((2, 10)),
        "n_steps": 3,
    }
    with pytest.raises(InputError) as raised:
        small_surrogate().sample_current(**(arguments | changes))
    assert raised.value.name == name


@pytest.mark.parametrize("name", [META, NORMALIZERS, CHECKPOINT])
def test_missing_file(saved: Path, name: str) -> None:
    (saved.parent / name).unlink()
    with pytest.raises(InputError, match="does not exist") as raised:
        load_surrogate(saved)
    assert str(saved.parent / name) in str(raised.value)


@pytest.mark.parametrize("name", [META, NORMALIZERS, CHECKPOINT])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_truncated_file(saved: Path, name: str, kept: float) -> None:
    path = saved.parent / name
    contents = path.read_bytes()
    path.write_bytes(contents[: int(kept * len(contents))])
    with pytest.raises(InputError) as raised:
        load_surrogate(saved)
    assert str(path) in str(raised.value)


def test_pickled_leaf_is_refused(saved: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    saved.write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="checkpoint"):
        load_surrogate(saved)


def test_surplus_leaf_is_refused(saved: Path) -> None:
    with saved.open("ab") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="more leaves"):
        load_surrogate(saved)


def test_weights_that_are_not_finite_are_refused(
    tmp_path: Path, small_surrogate: Callable[..., Surrogate]
) -> None:
    broken = jax.tree.map(lambda leaf: leaf * np.nan, small_surrogate())
    broken = Surrogate(broken.network, small_surrogate().normalizers, broken.meta)
    with pytest.raises(InputError, match="diverged"):
        load_surrogate(save_surrogate(tmp_path, broken))


@pytest.mark.parametrize(
    "changes",
    [
        {"x_mean": np.full(36, np.nan)},
        {"e_std": np.zeros(32)},
        {"p_std": np.ones(9)},
        {"p_mean": None},
        {"p_mean": np.array(["a"] * 10)},
    ],
)
def test_normalizers_that_do_not_fit(saved: Path, changes: dict) -> None:
    edit_normalizers(saved, **changes)
    with pytest.raises(InputError) as raised:
        load_surrogate(saved)
    assert f"'{next(iter(changes))}'" in str(raised.value)


def test_pickled_normalizers_are_refused(saved: Path) -> None:
    edit_normalizers(saved, x_mean=np.array([None] * 36, dtype=object))
    with pytest.raises(InputError, match="pickled"):
        load_surrogate(saved)


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("state_dim", {"state_dim": 35}),
        ("phys_dim_base", {"max_species": 2, "nx": 1}),
        ("phys_dim_core", {"n_tasks": 3}),
        ("phys_dim", {"param_mask_features": True, "phys_dim": 10}),
        ("signal_channels", {"signal_channels": 3}),
        ("hidden_size", {"hidden_size": "16"}),
        ("hidden_size", {"hidden_size": True}),
        ("depth", {"depth": "absent"}),
        ("depth", {"depth": 0}),
        ("task_names", {"task_names": ["cv"]}),
        ("task_names", {"task_names": 3}),
        ("current_unit", {"current_unit": "A"}),
        ("context_names", {"current_unit": "nernst_layer"}),
        ("normalizers_file", {"normalizers_file": "../elsewhere.npz"}),
        ("param_mask_features", {"param_mask_features": "no"}),
    ],
)
def test_metadata_that_contradict_themselves(saved: Path, key: str, changes: dict) -> None:
    edit_meta(saved, **changes)
    with pytest.raises(InputError) as raised:
        load_surrogate(saved)
    assert raised.value.name == f"model_meta.json, key '{key}'"


@pytest.mark.parametrize("changes", [{"hidden_size": 17}, {"depth": 3}, {"signal_channels": 2}])
def test_metadata_of_another_network(saved: Path, changes: dict) -> None:
    edit_meta(saved, **changes)
    with pytest.raises(InputError, match="do not fit the network") as raised:
        load_surrogate(saved)
    assert raised.value.name == "checkpoint"


def test_metadata_that_are_no_object(saved: Path) -> None:
    (saved.parent / META).write_text("[1, 2]")
    with pytest.raises(InputError, match="JSON object"):
        load_surrogate(saved)


def test_older_metadata_lack_keys(ecsfm_sample: Path) -> None:
    document = json.loads((ecsfm_sample / META).read_text())
    whole = meta_from_json(document)
    derivable = (
        *("max_species", "n_tasks", "n_stages", "state_dim", "phys_dim", "param_mask_features"),
        *("signal_channels", "cond_dim", "normalizers_file"),
    )
    older = {key: value for key, value in document.items() if key not in derivable}
    assert meta_from_json(older) == whole
    del older["task_names"], older["stage_names"]
    assert (meta_from_json(older).n_tasks, meta_from_json(older).n_stages) == (8, 3)
    no_length = {key: value for key, value in document.items() if key != "target_len"}
    assert meta_from_json(no_length) == whole
    no_grid = {key: value for key, value in document.items() if key != "nx"}
    assert meta_from_json(no_grid) == whole
