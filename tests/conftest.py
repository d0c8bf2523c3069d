"""Places that tests share."""

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard.surrogate import Normalizers, Surrogate, SurrogateMeta, VelocityField

ROOT = Path(__file__).resolve().parents[1]
MANY_MAPS = 20_000


@pytest.fixture(scope="module", autouse=True)
def forgotten_programs() -> Iterator[None]:
    """Forgets compiled programs before they take all the memory maps that a process may have.

    Linux allows 65,530; the compiler ends the process where it gets no more.
    """
    yield
    maps = Path("/proc/self/maps")
    if not maps.exists() or len(maps.read_bytes().splitlines()) > MANY_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def site() -> Path:
    """The built report: where `ECGUARD_SITE` points, else the one of `make report`."""
    named = os.environ.get("ECGUARD_SITE")
    folder = Path(named) if named else ROOT / "_build" / "html"
    if not named and not folder.is_dir():
        pytest.skip("no report has been built: run `make report`")
    assert (folder / "index.html").is_file(), f"no report in {folder}"
    return folder


@pytest.fixture(scope="session")
def ecsfm_sample(root: Path) -> Path:
    """The folder of real ECSFM artefacts."""
    folder = root.parent / "shared" / "data" / "ecsfm-sample"
    if not folder.is_dir():
        pytest.skip("the ECSFM sample is not beside this checkout (../shared/data/ecsfm-sample)")
    return folder


@pytest.fixture(scope="session")
def small_meta() -> Callable[..., SurrogateMeta]:
    """Makes metadata of one couple, two tasks and one stage."""

    def make(
        length: int = 32,
        hidden_size: int = 16,
        depth: int = 2,
        context_names: tuple[str, ...] = (),
        param_mask_features: bool = False,
        **changes: Any,
    ) -> SurrogateMeta:
        core = 10 + len(context_names)
        settings: dict[str, Any] = {
            "max_species": 1,
            "nx": 2,
            "target_len": length,
            "state_dim": 4 + length,
            "phys_dim_base": 7,
            "phys_dim_core": core,
            "phys_dim": core * (2 if param_mask_features else 1),
            "param_mask_features": param_mask_features,
            "n_tasks": 2,
            "n_stages": 1,
            "hidden_size": hidden_size,
            "depth": depth,
            "context_names": context_names,
        }
        return SurrogateMeta(**(settings | changes))

    return make


def fill(meta: SurrogateMeta, values: Callable[[tuple[int, ...]], np.ndarray]) -> VelocityField:
    """A network whose weights are `values` of their shapes."""
    template = eqx.filter_eval_shape(VelocityField, meta, key=jax.random.key(0))
    return jax.tree.map(
        lambda leaf: (
            jnp.asarray(values(leaf.shape), leaf.dtype) if hasattr(leaf, "shape") else leaf
        ),
        template,
    )


@pytest.fixture(scope="session")
def small_surrogate(small_meta: Callable[..., SurrogateMeta]) -> Callable[..., Surrogate]:
    """Makes an untrained surrogate; keywords as for `small_meta`."""

    @cache
    def make(seed: int = 0, **changes: Any) -> Surrogate:
        meta = small_meta(**changes)
        rng = np.random.default_rng(seed)
        sizes = {"x": meta.state_dim, "e": meta.target_len, "p": meta.phys_dim_core}
        arrays = {}
        for letter, size in sizes.items():
            arrays[f"{letter}_mean"] = jnp.asarray(rng.normal(size=size), jnp.float32)
            arrays[f"{letter}_std"] = jnp.asarray(rng.uniform(0.5, 2.0, size), jnp.float32)

        def weights(shape: tuple[int, ...]) -> np.ndarray:
            scale = 1.0 / np.sqrt(np.prod(shape[1:])) if shape[-1] > 1 else 0.1
            return scale * rng.normal(size=shape)

        return Surrogate(fill(meta, weights), Normalizers(**arrays), meta)

    return make


@pytest.fixture(scope="session")
def linear_surrogate(
    small_meta: Callable[..., SurrogateMeta],
) -> Callable[..., tuple[Surrogate, np.ndarray]]:
    """Makes a surrogate whose current is design @ standardised parameters + surrogate noise."""

    def make(length: int = 32, surrogate_std: float = 0.01) -> tuple[Surrogate, np.ndarray]:
        meta = small_meta(length=length, hidden_size=2 * length, depth=1)
        design = np.random.default_rng(3).normal(size=(length, 7)) / np.sqrt(7)
        network = fill(meta, np.zeros)
        columns = slice(-meta.phys_dim, -meta.phys_dim + 7)
        first = network.layers[0].weight.at[:length, columns].set(design / surrogate_std)
        first = first.at[length:, columns].set(-design / surrogate_std)
        identity = jnp.eye(length)
        last = network.layers[1].weight.at[-length:].set(jnp.hstack([identity, -identity]))
        network = eqx.tree_at(
            lambda net: (net.layers[0].weight, net.layers[1].weight), network, (first, last)
        )
        normalizers = Normalizers(
            x_mean=jnp.zeros(meta.state_dim),
            x_std=jnp.full(meta.state_dim, surrogate_std),
            e_mean=jnp.zeros(length),
            e_std=jnp.ones(length),
            p_mean=jnp.asarray([-11.0, -11.0, 5.0, 5.0, 0.0, -5.0, 0.5, 0.0, 0.0, 0.0]),
            p_std=jnp.asarray([1.0, 1.0, 1.0, 1.0, 0.1, 2.0, 0.1, 1.0, 1.0, 1.0]),
        )
        return Surrogate(network, normalizers, meta), design

    return make


@pytest.fixture
def compilations() -> Callable[[Callable[[], object]], int]:
    """Counts how often XLA compiles while a function runs."""

    def count(run: Callable[[], object]) -> int:
        events: list[str] = []

        def listen(event: str, duration_secs: float, **_: str | int) -> None:  # noqa: ARG001
            events.append(event)

        jax.monitoring.register_event_duration_secs_listener(listen)
        try:
            jax.block_until_ready(run())
        finally:
            jax.monitoring.unregister_event_duration_listener(listen)
        return events.count("/jax/core/compile/backend_compile_duration")

    return count
