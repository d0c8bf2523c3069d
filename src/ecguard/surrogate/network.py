"""The velocity field of the flow-matching surrogate, laid out as ECSFM checkpoints are."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ecguard.surrogate.meta import SurrogateMeta

N_TIME_FEATURES = 32
DROPOUT_RATE = 0.1


class Affine(eqx.Module):
    """weight @ x + bias.

    Args:
        weight: [n_out, n_in].
        bias: [n_out].
    """

    weight: Array
    bias: Array

    @classmethod
    def random(cls, n_in: int, n_out: int, *, key: Array) -> "Affine":
        """Uniform within 1/sqrt(n_in), as equinox begins a linear layer."""
        limit = 1.0 / math.sqrt(n_in)
        key_weight, key_bias = jax.random.split(key)
        return cls(
            jax.random.uniform(key_weight, (n_out, n_in), minval=-limit, maxval=limit),
            jax.random.uniform(key_bias, (n_out,), minval=-limit, maxval=limit),
        )

    def __call__(self, x: Array) -> Array:
        """Values [..., n_out] of rows x [..., n_in]."""
        return x @ self.weight.T + self.bias


class VelocityField(eqx.Module):
    """Velocity v(t, x, signal, parameters) on the path x_t = (1 - t) noise + t data.

    Fields stand in the order in which `equinox.tree_serialise_leaves` writes an ECSFM
    checkpoint. The dropout rate and its inference flag are leaves as well. Dropout acts on the
    input of the layers; it is off without a key, or after `equinox.nn.inference_mode`.

    Args:
        meta: the sizes.
        key: for the initial weights.
    """

    convolutions: tuple[eqx.nn.Conv1d, ...]
    projection: Affine
    layers: tuple[Affine, ...]
    dropout: eqx.nn.Dropout

    def __init__(self, meta: SurrogateMeta, *, key: Array) -> None:
        keys = iter(jax.random.split(key, 5 + meta.depth))
        self.convolutions = (
            eqx.nn.Conv1d(meta.signal_channels, 16, 5, 2, 2, key=next(keys)),
            eqx.nn.Conv1d(16, 32, 5, 2, 2, key=next(keys)),
            eqx.nn.Conv1d(32, 64, 3, 2, 1, key=next(keys)),
        )
        self.projection = Affine.random(64, meta.cond_dim, key=next(keys))
        hidden = [meta.hidden_size] * meta.depth
        n_inputs = N_TIME_FEATURES + meta.state_dim + meta.cond_dim + meta.phys_dim
        self.layers = tuple(
            Affine.random(n_in, n_out, key=next(keys))
            for n_in, n_out in zip([n_inputs, *hidden], [*hidden, meta.state_dim], strict=True)
        )
        self.dropout = eqx.nn.Dropout(DROPOUT_RATE)

    def __call__(
        self,
        t: Array,
        x: Array,
        signal: Array,
        parameters: Array,
        *,
        key: Array | None = None,
    ) -> Array:
        """Velocity of one state; batch with `jax.vmap`.

        Args:
            t: time in [0, 1].
            x: standardised state [state_dim].
            signal: standardised signal [L], or [channels, L].
            parameters: standardised parameter features [phys_dim].
            key: for dropout; None switches it off.

        Returns:
            dx/dt [state_dim].
        """
        return self.velocity(t, x, self.encode_signal(signal), parameters, key=key)

    def encode_signal(self, signal: Array) -> Array:
        """Encoding [cond_dim] of one signal [L] or [channels, L]; the same at every time."""
        filtered = jnp.atleast_2d(signal)
        for convolution in self.convolutions:
            filtered = jax.nn.gelu(convolution(filtered))
        return self.projection(jnp.mean(filtered, axis=-1))

    def velocity(
        self,
        t: Array,
        x: Array,
        encoding: Array,
        parameters: Array,
        *,
        key: Array | None = None,
    ) -> Array:
        """As calling the field, with the signal already encoded [cond_dim]."""
        inputs = jnp.concatenate([time_features(t), x, encoding, parameters])
        inputs = self.dropout(inputs, key=key, inference=True if key is None else None)
        for layer in self.layers[:-1]:
            inputs = jax.nn.gelu(layer(inputs))
        return self.layers[-1](inputs)


def time_features(t: Array) -> Array:
    """Sines, then cosines of t at 16 frequencies from 1 down to 1e-4 [..., 32]."""
    half = N_TIME_FEATURES // 2
    frequencies = jnp.exp(-jnp.arange(half) * (math.log(10_000.0) / (half - 1)))
    angles = jnp.asarray(t)[..., None] * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
