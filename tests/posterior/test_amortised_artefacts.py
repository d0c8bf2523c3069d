"""Files of an amortised posterior: round trip, and every kind of bad input."""

import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecguard import family
from ecguard.errors import InputError
from ecguard.posterior.amortised.artefacts import (
    CHECKPOINT_FILE,
    META_FILE,
    Amortised,
    AmortisedMeta,
    halve,
    load_amortised,
    save_amortised,
)
from ecguard.posterior.amortised.network import Network, Sizes
from ecguard.posterior.amortised.traces import N_MODES, TraceBasis

SMALL = Sizes(width=32, depth=1, summary=16, hidden=16, components=3)
MOST_BYTES = 6_000_000


def amortised(sizes: Sizes = SMALL) -> Amortised:
    """An untrained one, of random weights that half precision cannot hold."""
    rng = np.random.default_rng(0)

    def filled(shape: tuple[int, ...]) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    template = eqx.filter_eval_shape(Network, sizes, key=jax.random.key(0))
    shape = (len(family.TASKS), family.N_SAMPLES)
    return Amortised(
        jax.tree.map(lambda leaf: filled(leaf.shape), template),
        TraceBasis(filled((*shape, N_MODES)), filled(shape) ** 2),
        AmortisedMeta(sizes, (0.025, 0.1), (0.2, 1.0)),
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_amortised(tmp_path / "saved", amortised())


def refused(checkpoint: Path, named: Path) -> str:
    """The message of a checkpoint that cannot be loaded."""
    with pytest.raises(InputError) as raised:
        load_amortised(checkpoint)
    assert raised.value.name == "amortised_checkpoint"
    assert str(named) in str(raised.value)
    return str(raised.value)


def edit_meta(checkpoint: Path, **changes: Any) -> Path:
    path = checkpoint.parent / META_FILE
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in document.items() if v != "absent"}))
    return path


def test_round_trip(tmp_path: Path) -> None:
    whole = amortised()
    first = save_amortised(tmp_path / "first", whole)
    loaded = load_amortised(first)
    assert loaded.meta == whole.meta
    assert eqx.tree_equal(loaded, halve(whole), typematch=True)
    assert not eqx.tree_equal(loaded, whole)
    second = save_amortised(tmp_path / "second", loaded)
    for name in (META_FILE, CHECKPOINT_FILE):
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()
    names = sorted(path.name for path in first.parent.iterdir())
    assert names == [META_FILE, CHECKPOINT_FILE]


def test_the_checkpoint_of_the_built_in_sizes_is_small(tmp_path: Path) -> None:
    path = save_amortised(tmp_path, amortised(Sizes(512, 3)))
    assert 1_000_000 < path.stat().st_size < MOST_BYTES


def test_missing_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT_FILE
    assert "an existing file" in refused(path, path)


def test_missing_metadata(saved: Path) -> None:
    (saved.parent / META_FILE).unlink()
    refused(saved, saved.parent / META_FILE)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.999])
def test_truncated_checkpoint(saved: Path, kept: float) -> None:
    contents = saved.read_bytes()
    saved.write_bytes(contents[: int(kept * len(contents))])
    refused(saved, saved)


@pytest.mark.parametrize("place", [0, 8, 200])
def test_damaged_checkpoint(saved: Path, place: int) -> None:
    contents = bytearray(saved.read_bytes())
    contents[place : place + 128] = bytes(255 for _ in range(128))
    saved.write_bytes(contents)
    refused(saved, saved)


def test_surplus_bytes(saved: Path) -> None:
    with saved.open("ab") as file:
        file.write(b"more")
    assert "more leaves" in refused(saved, saved)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["network", "basis"])
def test_weights_that_are_not_finite(tmp_path: Path, part: str, value: float) -> None:
    def broken(leaf: jax.Array) -> jax.Array:
        return leaf.at[(-1,) * leaf.ndim].set(value)

    whole = amortised()
    spoilt = jax.tree.map(broken, getattr(whole, part))
    path = save_amortised(tmp_path, eqx.tree_at(lambda a: getattr(a, part), whole, spoilt))
    assert "NaN or infinite" in refused(path, path)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "3", "\x00\xff", '{"sizes": {}}'])
def test_metadata_that_are_none(saved: Path, text: str) -> None:
    path = saved.parent / META_FILE
    path.write_bytes(text.encode("latin-1"))
    refused(saved, path)


@pytest.mark.parametrize(
    "changes",
    [
        {"sizes": "absent"},
        {"sizes": 32},
        {"sizes": {"breadth": 32}},
        {"sizes": {"width": "wide"}},
        {"sizes": {"width": -32}},
        {"sizes": {"width": 32.5}},
        {"sizes": {"width": 0}},
        {"noise_range": [0.1]},
        {"noise_range": [0.1, 0.025]},
        {"noise_range": [0.0, 0.1]},
        {"noise_range": [0.1, float("nan")]},
        {"keep_range": "all"},
        {"keep_range": [0.2, 1.5]},
        {"task_names": ["cv", "ca"]},
        {"task_names": ["ca", "cv", "swv", "tone"]},
        {"task_names": 4},
        {"n_samples": 128},
        {"n_samples": "absent"},
        {"n_modes": 32},
        {"n_modes": None},
    ],
)
def test_metadata_that_cannot_be_true(saved: Path, changes: dict[str, Any]) -> None:
    refused(saved, edit_meta(saved, **changes))


@pytest.mark.parametrize("changes", [{"width": 33}, {"depth": 2}, {"components": 4}])
def test_metadata_of_another_network(saved: Path, changes: dict[str, int]) -> None:
    edit_meta(saved, sizes=vars(SMALL) | changes)
    assert META_FILE in refused(saved, saved)
