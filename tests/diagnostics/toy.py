"""A conjugate Gaussian whose posterior is known, and faults planted in that posterior."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

D = 3
STD = np.sqrt(0.1)  # of the posterior; the prior's is 1, hence a contraction of 0.9
NOISE = STD / np.sqrt(1 - STD**2)
PRIOR_MEAN, PRIOR_STD = np.zeros(D), np.ones(D)


@dataclass(frozen=True)
class Toy:
    """Truths and one noisy sight of each, [cases, D]; standard normals [cases, n_draws, D]."""

    truth: np.ndarray
    data: np.ndarray
    normals: np.ndarray

    def draws(self, fault: str = "none") -> np.ndarray:
        """Posterior draws [cases, n_draws, D] with a fault."""
        return FAULTS[fault]((1 - STD**2) * self.data[:, None], self.normals)


FAULTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "none": lambda mean, normals: mean + STD * normals,
    "too narrow": lambda mean, normals: mean + 0.8 * STD * normals,
    "shifted": lambda mean, normals: mean + 0.5 * STD + STD * normals,
    "prior": lambda mean, normals: 0 * mean + normals,
    "swapped": lambda mean, normals: (mean + STD * normals)[..., [1, 0, 2]],
}


def toy(generator: np.random.Generator, cases: int = 1000, n_draws: int = 100) -> Toy:
    """Cases drawn from the prior and seen once."""
    truth = generator.standard_normal((cases, D))
    data = truth + NOISE * generator.standard_normal((cases, D))
    return Toy(truth, data, generator.standard_normal((cases, n_draws, D)))
