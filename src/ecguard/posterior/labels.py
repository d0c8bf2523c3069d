"""Labels without meaning: two couples of an electrode may change theirs, and it stays the same.

An order of the couples cuts what is one region, "this couple seen, the other anywhere", into two
islands that moves hardly join. Without an order nothing is cut, but every place has a twin. The
particles are brought to one side, each to that of its places which is nearer to the others in units
of their spread (Stephens 2000, Journal of the Royal Statistical Society B 62, 795).
"""

import jax.numpy as jnp
from jax import Array

_STEPS = 8
_LEAST_VARIANCE = 1e-8


def aligned(twins: Array, weight: Array, first: Array) -> Array:
    """One of the twins of each particle [n, d], so that all are near one another.

    Args:
        twins: every particle under each order of its labels [1 or 2, n, d].
        weight: of the particles, adding up to 1 [n].
        first: row of the particle that the others are brought near to at first.
    """
    chosen = twins[0]
    if len(twins) == 1:
        return chosen
    centre = chosen[first]
    for _ in range(_STEPS):
        spread = weight @ (chosen - centre) ** 2 + _LEAST_VARIANCE
        away = jnp.sum((twins - centre) ** 2 / spread, axis=-1)
        chosen = jnp.where((away[0] <= away[1])[:, None], twins[0], twins[1])
        centre = weight @ chosen
    return chosen
