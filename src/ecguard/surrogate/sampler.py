"""Euler sampling of the velocity field, with all that is constant along a path computed once.

The state enters the network through W_x x only and leaves it through W_out h + b_out only. With
step d the Euler loop x += d (W_out h + b_out) can therefore carry y = W_x x, as wide as a hidden
layer: y += d (W_x W_out) h + d W_x b_out. The end of the path is x0 + d W_out sum(h) + b_out.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ecguard.surrogate.network import N_TIME_FEATURES, VelocityField, time_features


class Drive(eqx.Module):
    """The first layer, cut into what acts on time, state, encoding and parameters.

    Args:
        time, state, encoding, parameters: column blocks of the first weight [hidden, ...].
        bias: its bias [hidden].
    """

    time: Array
    state: Array
    encoding: Array
    parameters: Array
    bias: Array

    @classmethod
    def of(cls, network: VelocityField) -> "Drive":
        """The first layer of `network`, cut."""
        first, last = network.layers[0], network.layers[-1]
        state_dim, cond_dim = last.weight.shape[0], network.projection.weight.shape[0]
        cuts = [
            N_TIME_FEATURES,
            N_TIME_FEATURES + state_dim,
            N_TIME_FEATURES + state_dim + cond_dim,
        ]
        time, state, encoding, parameters = jnp.split(first.weight, cuts, axis=1)
        return cls(time, state, encoding, parameters, first.bias)

    def from_encoding(self, encoding: Array) -> Array:
        """What encodings [..., cond_dim] add to the first layer, its bias included."""
        return encoding @ self.encoding.T + self.bias

    def from_parameters(self, features: Array) -> Array:
        """What parameter features [..., phys_dim] add to the first layer."""
        return features @ self.parameters.T


def sample_tail(
    network: VelocityField,
    x0: Array,
    constant: Array,
    n_steps: int,
    length: int,
) -> Array:
    """Last `length` entries of the states at t = 1, dropout off.

    Args:
        network: the velocity field.
        x0: starts of the paths at t = 0 [n, state_dim].
        constant: what signal and parameters add to the first layer [n, hidden]; see `Drive`.
        n_steps: Euler steps.
        length: entries wanted.

    Returns:
        Standardised values [n, length].
    """
    hidden, state_dim = network.layers[0].weight.shape[0], x0.shape[-1]
    if len(network.layers) > 1 and hidden < 2 * state_dim:
        return _hidden_loop(network, x0, constant, n_steps, length)
    return _state_loop(network, x0, constant, n_steps)[:, state_dim - length :]


def _time_table(drive: Drive, n_steps: int) -> Array:
    return time_features(jnp.arange(n_steps) / n_steps) @ drive.time.T


def _inner_layers(network: VelocityField, first: Array) -> Array:
    activation = jax.nn.gelu(first)
    for layer in network.layers[1:-1]:
        activation = jax.nn.gelu(layer(activation))
    return activation


def _hidden_loop(
    network: VelocityField,
    x0: Array,
    constant: Array,
    n_steps: int,
    length: int,
) -> Array:
    drive, last = Drive.of(network), network.layers[-1]
    step = 1.0 / n_steps
    loop_weight = step * (drive.state @ last.weight).T
    drift = jnp.arange(n_steps)[:, None] * (step * drive.state @ last.bias)
    table = _time_table(drive, n_steps) + drift

    def advance(
        carry: tuple[Array, Array],
        row: Array,
    ) -> tuple[tuple[Array, Array], None]:
        first, total = carry
        activation = _inner_layers(network, first + row)
        return (first + activation @ loop_weight, total + activation), None

    start = (x0 @ drive.state.T + constant, jnp.zeros_like(constant))
    (_, total), _ = jax.lax.scan(advance, start, table)
    tail = slice(x0.shape[-1] - length, None)
    return x0[:, tail] + step * total @ last.weight[tail].T + last.bias[tail]


def _state_loop(
    network: VelocityField,
    x0: Array,
    constant: Array,
    n_steps: int,
) -> Array:
    drive, last = Drive.of(network), network.layers[-1]

    def advance(x: Array, row: Array) -> tuple[Array, None]:
        activation = _inner_layers(network, x @ drive.state.T + constant + row)
        return x + last(activation) / n_steps, None

    return jax.lax.scan(advance, x0, _time_table(drive, n_steps))[0]
