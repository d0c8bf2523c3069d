"""Where the search for a fouled electrode starts."""

import jax.numpy as jnp
import numpy as np

from ecguard.fouling import Fouling
from ecguard.posterior import film
from ecguard.posterior.fouled import (
    FIRST_COVERAGES,
    FIRST_RESISTANCES,
    _first_scores,
    scores_of,
)
from ecguard.posterior.laplace import electrodes
from ecguard.posterior.unknowns import names, ranges

LN_K0, RU = names(1).index("ln k0"), names(1).index("Ru")


def test_searches_start_from_the_coverages_and_keep_the_apparent_rate() -> None:
    low, high = ranges(1)
    clean = low + np.array([[0.4], [0.5]]) * (high - low)
    clean[:, LN_K0] = low[LN_K0] + 0.3 * (high - low)[LN_K0]
    start = scores_of(clean)
    apparent = electrodes(start)
    places = np.stack(list(_first_scores(start)))
    assert places.shape == (len(FIRST_COVERAGES) * len(FIRST_RESISTANCES) * 2, 2, 12)
    found = electrodes(places.reshape(-1, 12)).reshape(len(FIRST_COVERAGES), -1, 2, 12)
    each = np.array(FIRST_COVERAGES)[:, None, None]
    np.testing.assert_allclose(found[..., 9], np.broadcast_to(each, found.shape[:-1]), rtol=1e-3)
    factor = np.log(np.asarray(Fouling().cover(jnp.asarray(FIRST_COVERAGES)).k0_factor))
    kept = found[..., LN_K0] + factor[:, None, None]
    room = found[..., LN_K0] < high[LN_K0] - 0.1
    assert room.mean() > 0.8
    np.testing.assert_allclose(kept[room], apparent[0, LN_K0], atol=0.02)
    # half of them with the cell that was found, half with the usual one
    assert set(np.unique(found[..., RU].round(1))) == {
        *apparent[:, RU].round(1),
        *electrodes(np.zeros((1, 9)))[:, RU].round(1),
    }
    resistances = film.from_scores(jnp.asarray([[0.0, 0.0, own] for own in FIRST_RESISTANCES]))
    np.testing.assert_allclose(
        np.unique(found[..., 11].round(3)), np.asarray(resistances)[:, 2], atol=1e-3
    )
