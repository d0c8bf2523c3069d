"""How far a trace lies from those of the training family, in a space of summaries."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ecguard.diagnostics.arguments import Array, finite
from ecguard.errors import InputError

_COMPONENTS = 24


@dataclass(frozen=True)
class Familiarity:
    """Distance from the mean summary of clean traces, along their principal axes.

    Attributes:
        mean: [s] of the clean summaries.
        axes: [k, s] principal axes, each over the std along it.
        rest: std of what the axes leave.
    """

    mean: Array
    axes: Array
    rest: float

    @classmethod
    def fit(cls, summaries: ArrayLike, components: int = _COMPONENTS) -> "Familiarity":
        """Learn the summaries [n, s] of clean traces, many more than components.

        Raises:
            InputError: too few summaries, or one is not finite.
        """
        array = np.asarray(summaries, float)
        if array.ndim != 2 or len(array) < 4 * components:
            raise InputError(
                "summaries", array.shape, f"[n, s] with n >= {4 * components}", "Draw more traces."
            )
        array = finite("summaries", array, array.shape, "Leave out the failed traces.")
        mean = array.mean(axis=0)
        _, scale, axes = np.linalg.svd(array - mean, full_matrices=False)
        kept = min(components, int((scale > 1e-9 * scale[0]).sum()))
        std = scale / np.sqrt(len(array) - 1)
        rest = float(np.sqrt((std[kept:] ** 2).sum())) or 1.0
        return cls(mean, axes[:kept] / std[:kept, None], rest)

    def __call__(self, summaries: ArrayLike) -> Array:
        """Distance [n] of summaries [n, s], in std: along the axes and beside them.

        Raises:
            InputError: another shape, or not finite.
        """
        array = np.asarray(summaries, float)
        array = finite("summaries", array, (len(array), len(self.mean)), "Pass one row a trace.")
        away = array - self.mean
        unit = self.axes / np.linalg.norm(self.axes, axis=1, keepdims=True)
        # a product of matrices rounds with the number of rows, and a trace stands alone
        along, shares = (np.einsum("ns,ks->nk", away, own) for own in (self.axes, unit))
        beside = away - np.einsum("nk,ks->ns", shares, unit)
        square = (along**2).sum(axis=1) + (beside**2).sum(axis=1) / self.rest**2
        return np.asarray(np.sqrt(square), float)

    def to_json(self) -> dict[str, Any]:
        """As lists."""
        return {"mean": self.mean.tolist(), "axes": self.axes.tolist(), "rest": self.rest}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "Familiarity":
        """What `to_json` gave."""
        mean = np.array(saved["mean"], float)
        axes = np.array(saved["axes"], float).reshape(-1, len(mean))
        return cls(mean, axes, float(saved["rest"]))
