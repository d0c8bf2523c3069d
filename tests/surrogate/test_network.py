"""The velocity field against the format note, real artefacts and a version in plain numpy."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard.surrogate import Surrogate, SurrogateMeta, VelocityField, load_surrogate
from ecguard.surrogate.network import time_features


def gelu(z: np.ndarray) -> np.ndarray:
    return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def convolve(signal: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Stride 2, padding width // 2; signal [channels, L]."""
    width = weight.shape[2]
    padded = np.pad(signal, ((0, 0), (width // 2, width // 2)))
    starts = range(0, padded.shape[1] - width + 1, 2)
    windows = np.stack([padded[:, start : start + width] for start in starts])
    return np.einsum("scw,fcw->fs", windows, weight) + bias


def velocity_by_hand(
    network: VelocityField, t: float, x: np.ndarray, signal: np.ndarray, parameters: np.ndarray
) -> np.ndarray:
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(network)]
    for k in range(3):
        signal = gelu(convolve(signal, leaves[2 * k], leaves[2 * k + 1]))
    encoding = leaves[6] @ signal.mean(axis=1) + leaves[7]
    f = np.exp(-np.arange(16) * math.log(1e4) / 15)
    hidden = np.concatenate([np.sin(t * f), np.cos(t * f), x, encoding, parameters])
    layers = leaves[8:-2]
    for k in range(0, len(layers) - 2, 2):
        hidden = gelu(layers[k] @ hidden + layers[k + 1])
    return layers[-2] @ hidden + layers[-1]


def inputs(meta: SurrogateMeta, seed: int = 5) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    shapes = ((meta.state_dim,), (meta.signal_channels, meta.target_len), (meta.phys_dim,))
    return tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes)


def test_leaves_stand_in_the_order_of_the_format(
    small_meta: Callable[..., SurrogateMeta],
) -> None:
    meta = small_meta(signal_channels=2)
    leaves = jax.tree.leaves(VelocityField(meta, key=jax.random.key(0)))
    n_inputs = 32 + meta.state_dim + 32 + meta.phys_dim
    assert [np.shape(leaf) for leaf in leaves] == [
        *[(16, 2, 5), (16, 1), (32, 16, 5), (32, 1), (64, 32, 3), (64, 1), (32, 64), (32,)],
        *[(16, n_inputs), (16,), (16, 16), (16,), (meta.state_dim, 16), (meta.state_dim,)],
        *[(), ()],
    ]
    assert leaves[-2:] == [0.1, False]


@pytest.mark.parametrize(("channels", "mask_features"), [(1, False), (2, False), (2, True)])
def test_velocity_agrees_with_plain_numpy(
    small_surrogate: Callable[..., Surrogate], channels: int, mask_features: bool
) -> None:
    surrogate = small_surrogate(signal_channels=channels, param_mask_features=mask_features)
    x, signal, parameters = inputs(surrogate.meta)
    v = eqx.filter_jit(surrogate.network)(
        jnp.asarray(0.4), *map(jnp.asarray, (x, signal, parameters))
    )
    by_hand = velocity_by_hand(surrogate.network, 0.4, x, signal, parameters)
    np.testing.assert_allclose(v, by_hand, rtol=1e-4, atol=1e-5)


def test_velocity_of_the_ecsfm_sample(ecsfm_sample: Path) -> None:
    surrogate = load_surrogate(ecsfm_sample / "surrogate_model.eqx")
    expected = np.load(ecsfm_sample / "expected.npz", allow_pickle=False)
    chunk = np.load(ecsfm_sample / "chunk_0.npz", allow_pickle=False)
    rows = expected["rows"]
    v = eqx.filter_jit(eqx.filter_vmap(surrogate.network, in_axes=(None, 0, 0, 0)))(
        jnp.float32(expected["t"]),
        jnp.asarray(expected["x0"]),
        surrogate.signal(jnp.asarray(chunk["e"][rows])),
        surrogate.standardise(jnp.asarray(expected["core"])),
    )
    assert np.abs(v - expected["v"]).max() <= 1e-4 * np.abs(expected["v"]).max()
    leaves = jax.tree.leaves(surrogate.network)
    meta = json.loads((ecsfm_sample / "model_meta.json").read_text())
    assert leaves[8].shape == (meta["hidden_size"], 64 + meta["state_dim"] + meta["phys_dim"])


def test_signal_may_be_encoded_apart(small_surrogate: Callable[..., Surrogate]) -> None:
    network = small_surrogate().network
    x, signal, parameters = map(jnp.asarray, inputs(small_surrogate().meta))
    encoding = network.encode_signal(signal)
    apart = network.velocity(jnp.asarray(0.2), x, encoding, parameters)
    whole = network(jnp.asarray(0.2), x, signal[0], parameters)
    np.testing.assert_array_equal(apart, whole)


def test_dropout_needs_a_key_and_training_mode(
    small_surrogate: Callable[..., Surrogate],
) -> None:
    network = small_surrogate().network
    at = (jnp.asarray(0.2), *map(jnp.asarray, inputs(small_surrogate().meta)))
    plain = network(*at)
    dropped = [network(*at, key=jax.random.key(seed)) for seed in (1, 1, 2)]
    assert not np.array_equal(plain, dropped[0])
    assert np.array_equal(dropped[0], dropped[1])
    assert not np.array_equal(dropped[0], dropped[2])
    np.testing.assert_array_equal(eqx.nn.inference_mode(network)(*at, key=jax.random.key(1)), plain)


def test_gradients_reach_every_weight(small_surrogate: Callable[..., Surrogate]) -> None:
    surrogate = small_surrogate(signal_channels=2)
    at = (jnp.asarray(0.2), *map(jnp.asarray, inputs(surrogate.meta)))
    loss = eqx.filter_grad(lambda network: jnp.sum(network(*at) ** 2))
    gradient = eqx.filter_jit(loss)(surrogate.network)
    leaves = [leaf for leaf in jax.tree.leaves(gradient) if eqx.is_array(leaf)]
    assert len(leaves) == 14
    assert all(np.abs(leaf).max() > 0 for leaf in leaves)


def test_time_features() -> None:
    features = time_features(jnp.asarray([0.0, 1.0]))
    np.testing.assert_array_equal(features[0], np.repeat([0.0, 1.0], 16))
    f = 1e4 ** (-np.arange(16) / 15)
    np.testing.assert_allclose(features[1], np.concatenate([np.sin(f), np.cos(f)]), rtol=2e-6)
