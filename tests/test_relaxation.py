"""Relaxation over one step: values and slopes, where series and quotient meet and far beyond."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard.simulator.relaxation import lost_share, mean_decay, ramp_response


def mean(x: jax.Array) -> jax.Array:
    return mean_decay(x, jnp.exp(-x))


@pytest.mark.parametrize("x", [0.0, 1e-6, 0.1, 0.299, 0.3, 0.301, 0.59, 0.61, 5.0, 80.0, 1e12])
def test_mean_decay_and_its_slope_are_the_closed_forms(x: float) -> None:
    wanted = -np.expm1(-x) / x if x else 1.0
    slope = (np.exp(-x) * (1.0 + x) - 1.0) / x**2 if x > 1e-3 else -0.5 + x / 3.0
    at = jnp.float32(x)
    assert float(mean(at)) == pytest.approx(wanted, rel=1e-6)
    for derivative in (jax.grad(mean), jax.jacfwd(mean)):
        assert float(derivative(at)) == pytest.approx(slope, rel=2e-5)


@pytest.mark.parametrize("x", [1e-12, 1e-6, 0.1, 0.299, 0.3, 0.301, 0.59, 0.61, 5.0, 80.0, 1e12])
def test_lost_share_and_its_slope_keep_their_digits(x: float) -> None:
    def lost(x: jax.Array) -> jax.Array:
        return lost_share(x, jnp.exp(-x))

    at = jnp.float32(x)
    assert float(lost(at)) == pytest.approx(-np.expm1(-float(at)), rel=1e-6)
    assert float(jax.grad(lost)(at)) == pytest.approx(np.exp(-float(at)), rel=1e-5)


@pytest.mark.parametrize("lag", [0.0, 1e-9, 0.03, 0.034, 1.0, 10.0 / 3.0, 1e3, 1e8])
def test_a_ramp_is_answered_as_by_a_circuit(lag: float) -> None:
    """Against V' = (E - V) / tau solved by hand, for a step of length 1."""
    kept, share, left, moved = (float(value) for value in ramp_response(jnp.float32(lag)))
    decay = np.exp(-1.0 / lag) if lag else 0.0
    assert kept == pytest.approx(decay, rel=1e-5, abs=1e-12)
    assert share == pytest.approx(-lag * np.expm1(-1.0 / lag) if lag else 0.0, rel=1e-5)
    assert left == pytest.approx(decay / lag if lag else 0.0, rel=1e-5, abs=1e-11)
    assert moved == pytest.approx(-np.expm1(-1.0 / lag) if lag else 1.0, rel=1e-5)
    for leaf in jax.jacrev(ramp_response)(jnp.float32(lag)):
        assert np.isfinite(leaf)
