"""The cross-entropy method on a linear surrogate whose answer is known."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.posterior import CrossEntropySettings, Posterior, cross_entropy, infer
from ecguard.surrogate import Surrogate

KNOWN = np.arange(10) >= 7
LENGTH, NOISE_STD, SURROGATE_STD = 32, 0.2, 0.01
QUICK = CrossEntropySettings(n_particles=32, n_steps=3, noise_std=NOISE_STD)
THOROUGH = replace(QUICK, n_particles=512, n_iters=10, std_min=1e-3)


@pytest.fixture(scope="module")
def planted(linear_surrogate: Callable[..., tuple[Surrogate, np.ndarray]]) -> dict[str, Any]:
    """Three traces of known parameters, a third of their samples hidden."""
    surrogate, design = linear_surrogate(LENGTH, SURROGATE_STD)
    rng = np.random.default_rng(4)
    truth = rng.normal(size=(3, 7)) * 0.7
    observed = rng.random((3, LENGTH)) < 0.67
    labels = np.tile([1.0, 0.0, 1.0], (3, 1))
    core = np.asarray(surrogate.raw(jnp.asarray(np.hstack([truth, labels]), jnp.float32)))
    return {
        "surrogate": surrogate,
        "design": design,
        "truth": truth,
        "E_V": rng.normal(size=(3, LENGTH)),
        "current": truth @ design.T + NOISE_STD * rng.normal(size=(3, LENGTH)),
        "observed": observed,
        "known_values": core,
    }


def run(
    planted: dict[str, Any], settings: CrossEntropySettings = QUICK, seed: int = 0, **changes: Any
) -> Posterior:
    arguments = {
        key: planted[key] for key in ("surrogate", "E_V", "current", "observed", "known_values")
    }
    arguments |= {"known_mask": KNOWN, "keys": jax.random.split(jax.random.key(seed), 3)}
    return infer(**(arguments | changes), settings=settings)


def same(first: Posterior, second: Posterior) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_posterior_finds_the_closed_form(planted: dict[str, Any]) -> None:
    posterior = run(planted, THOROUGH)
    variance = NOISE_STD**2 + SURROGATE_STD**2
    for case in range(3):
        design = planted["design"][planted["observed"][case]]
        least_squares = np.linalg.lstsq(
            design, planted["current"][case][planted["observed"][case]], rcond=None
        )[0]
        width = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * variance)
        off = (np.asarray(posterior.mean[case, :7]) - least_squares) / width
        assert np.sqrt(np.mean(off**2)) < 0.5
        assert np.abs(planted["truth"][case] - least_squares).max() > 0.02


def test_few_particles_move_towards_the_truth(planted: dict[str, Any]) -> None:
    posterior = run(planted, replace(QUICK, n_particles=64))
    error = np.sqrt(np.mean((np.asarray(posterior.mean)[:, :7] - planted["truth"]) ** 2))
    assert error < 0.6 * np.sqrt(np.mean(planted["truth"] ** 2))


def test_known_entries_stay_known(planted: dict[str, Any]) -> None:
    known = KNOWN | (np.arange(10) == 5)
    posterior = run(planted, known_mask=known)
    wanted = np.asarray(planted["surrogate"].standardise(jnp.asarray(planted["known_values"])))
    np.testing.assert_array_equal(posterior.mean[:, known], wanted[:, known])
    np.testing.assert_array_equal(
        posterior.particles[:, :, known], np.broadcast_to(wanted[:, None, known], (3, 32, 4))
    )
    assert (np.asarray(posterior.std)[:, known] == 0).all()
    assert (np.asarray(posterior.std)[:, ~known] >= QUICK.std_min).all()


def test_particles_are_physical(planted: dict[str, Any]) -> None:
    wide = replace(QUICK, n_iters=1, init_std=2.5)
    standardised = np.asarray(run(planted, replace(wide, clip=1.5)).particles)
    assert np.abs(standardised).max() == 1.5
    bounded = replace(wide, init_std=80.0, clip=100.0)
    raw = np.asarray(planted["surrogate"].raw(run(planted, bounded).particles))
    assert raw[..., 2].min() == pytest.approx(1e-5, abs=1e-6)
    assert raw[..., 3].min() == pytest.approx(0.0, abs=1e-6)
    assert raw[..., 6].min() == pytest.approx(0.05, abs=1e-6)
    assert raw[..., 6].max() == pytest.approx(0.95, abs=1e-6)


def test_hidden_samples_have_no_influence(planted: dict[str, Any]) -> None:
    garbage = np.where(planted["observed"], planted["current"], np.nan)
    assert same(run(planted), run(planted, current=garbage))
    shifted = planted["current"] + planted["observed"]
    assert not same(run(planted), run(planted, current=shifted))


def test_same_key_same_bytes(planted: dict[str, Any]) -> None:
    assert same(run(planted, seed=1), run(planted, seed=1))
    assert not same(run(planted, seed=1), run(planted, seed=2))


def test_each_trace_has_its_own_key(planted: dict[str, Any]) -> None:
    key = jax.random.key(0)
    particles = run(planted, replace(QUICK, n_iters=1), keys=jnp.stack([key, key, key])).particles
    np.testing.assert_array_equal(particles[0, :, :7], particles[1, :, :7])
    particles = run(planted, replace(QUICK, n_iters=1)).particles
    assert not np.allclose(particles[0, :, :7], particles[1, :, :7])


def test_noise_belongs_to_the_predictive_variance(planted: dict[str, Any]) -> None:
    with_noise, without = run(planted), run(planted, replace(QUICK, predictive_noise=False))
    np.testing.assert_allclose(
        with_noise.predictive_std**2, without.predictive_std**2 + NOISE_STD**2, rtol=1e-5
    )
    np.testing.assert_array_equal(with_noise.predictive_mean, without.predictive_mean)


def test_predictive_is_the_weighted_trace(planted: dict[str, Any]) -> None:
    posterior = run(planted)
    weights = np.exp(posterior.log_weights)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-5)
    traces = np.asarray(posterior.particles)[..., :7] @ planted["design"].T
    expected = np.einsum("np,npl->nl", weights, traces)
    np.testing.assert_allclose(posterior.predictive_mean, expected, atol=4 * SURROGATE_STD)
    mean = np.einsum("np,npc->nc", weights, posterior.particles)
    np.testing.assert_allclose(posterior.mean[:, :7], mean[:, :7], atol=1e-5)


def test_elite_keeps_half_its_effective_size(planted: dict[str, Any]) -> None:
    assert QUICK.n_elite == 8
    weights = np.exp(run(planted, replace(QUICK, noise_std=0.02)).log_weights)
    assert ((weights > 0).sum(axis=1) <= 8).all()
    size = 1 / (weights**2).sum(axis=1)
    np.testing.assert_allclose(size, 4.0, rtol=1e-2)


def test_flat_likelihood_is_not_tempered(planted: dict[str, Any]) -> None:
    noisy = replace(QUICK, noise_std=1e4)
    weights = np.exp(run(planted, noisy).log_weights)
    np.testing.assert_allclose(np.sort(weights)[:, -8:], 1 / 8, rtol=1e-3)


def test_reference_weights_are_a_plain_softmax_of_the_mean(planted: dict[str, Any]) -> None:
    assert CrossEntropySettings.reference() == CrossEntropySettings(
        likelihood="mean", predictive_noise=False
    )
    settings = replace(QUICK, likelihood="mean", n_mc=1, n_iters=1, init_std=0.3)
    posterior = run(planted, settings)
    traces = np.asarray(posterior.particles)[..., :7] @ planted["design"].T
    squares = ((traces - planted["current"][:, None]) / NOISE_STD) ** 2
    shown = planted["observed"][:, None]
    log_likelihood = -0.5 * np.where(shown, squares, 0.0).sum(-1) / shown.sum(-1)
    for case in range(3):
        elite = np.isfinite(np.asarray(posterior.log_weights[case]))
        weights = np.exp(log_likelihood[case, elite] - log_likelihood[case, elite].max())
        np.testing.assert_allclose(
            np.exp(posterior.log_weights[case, elite]), weights / weights.sum(), atol=0.03
        )
        assert weights.min() < 0.9


def test_compiled_once(
    planted: dict[str, Any], compilations: Callable[[Callable[[], object]], int]
) -> None:
    settings = replace(QUICK, n_particles=24)
    assert compilations(lambda: run(planted, settings, seed=1)) > 0
    moved = {"current": planted["current"] + 1, "E_V": planted["E_V"] * 2}
    assert compilations(lambda: run(planted, settings, seed=2, **moved)) == 0


def test_blocks_give_what_one_batch_gives(
    planted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(planted)
    monkeypatch.setattr(cross_entropy, "_BLOCK_FLOATS", 2 * 32 * 2 * 36)
    parts = run(planted)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "changes", [{"signal_channels": 2}, {"param_mask_features": True}, {"hidden_size": 80}]
)
def test_every_kind_of_network(
    small_surrogate: Callable[..., Surrogate], changes: dict[str, Any]
) -> None:
    surrogate = small_surrogate(**changes)
    rng = np.random.default_rng(0)
    E, current = rng.normal(size=(2, 2, 32))
    core = surrogate.compose(rng.normal(size=(2, 7)), [0, 1], [0, 0])
    keys = jax.random.split(jax.random.key(0), 2)

    def posterior(shown: float) -> Posterior:
        observed = np.random.default_rng(1).random((2, 32)) < shown
        return infer(surrogate, E, current, observed, core, KNOWN, keys, QUICK)

    first = posterior(0.5)
    assert all(np.isfinite(leaf).all() for leaf in (first.mean, first.predictive_std))
    assert not same(first, posterior(0.7))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_particles", 1),
        ("n_particles", 2.0),
        ("n_iters", 0),
        ("n_mc", True),
        ("n_steps", -1),
        ("elite_frac", 0.0),
        ("elite_frac", 1.1),
        ("noise_std", 0.0),
        ("noise_std", -0.05),
        ("noise_std", float("nan")),
        ("init_std", float("inf")),
        ("std_min", 3.0),
        ("clip", "4"),
        ("likelihood", "median"),
        ("predictive_noise", 1),
    ],
)
def test_setting_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(InputError) as raised:
        CrossEntropySettings(**{name: value})
    assert raised.value.name == name


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("E_V", {"E_V": np.zeros((3, 31))}),
        ("E_V", {"E_V": np.full((3, LENGTH), np.nan)}),
        ("E_V", {"E_V": np.zeros((0, LENGTH))}),
        ("current", {"current": np.zeros((2, LENGTH))}),
        ("current", {"current": np.full((3, LENGTH), np.inf)}),
        ("observed", {"observed": np.zeros((3, LENGTH), bool)}),
        ("observed", {"observed": np.ones((3, LENGTH))}),
        ("known_mask", {"known_mask": KNOWN[:9]}),
        ("known_values", {"known_values": np.full((3, 10), np.nan)}),
        ("keys", {"keys": jax.random.split(jax.random.key(0), 2)}),
    ],
)
def test_traces_that_do_not_fit_are_named(
    planted: dict[str, Any], name: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(InputError) as raised:
        run(planted, **changes)
    assert raised.value.name == name


def test_noise_too_small_for_float32_is_an_error(planted: dict[str, Any]) -> None:
    with pytest.raises(InputError) as raised:
        run(planted, replace(QUICK, noise_std=1e-25))
    assert raised.value.name == "noise_std"
