"""Are posteriors those of a long chain? Hard held-out cases of one couple.

    python benchmarks/posterior_chain.py [moves]

The ten cases of 350 that the amortised density fits worst. Chains move by differences of others
(ter Braak 2006), half of them from the truth, which is a draw of the posterior, and half from the
exact engine's draws; a half moves by differences of the other one. Distances are Wasserstein's, in
standard deviations, of the parameter where they are largest: of both engines from the chain, and of
the chain's halves from each other, which says whether the chain is to be believed. The floor is
that of as many independent draws of the chain as an engine gives.
"""

import sys

import jax
import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance
from tqdm.auto import tqdm, trange

from ecguard import family
from ecguard.clean_cases import CleanSettings, Group, draw_clean
from ecguard.engines import case_keys
from ecguard.posterior.amortised.artefacts import load_amortised
from ecguard.posterior.corrected import correct, from_amortised
from ecguard.posterior.exact import FromPrior, infer_exact
from ecguard.posterior.likelihood import SimulatorLikelihood

CASES, HARD, CHAINS = 350, 10, 512
EVERY = 10  # moves, of which the last state is kept
SIZES, SHARES = (1.0, 0.3, None), (0.6, 0.3, 0.1)  # of 2.38 / sqrt(2 d); None is a whole difference

Floats = NDArray[np.floating]


def chain(group: Group, start: Floats, moves: int) -> Floats:
    """Unknowns [cases, 2, states, d] that chains [cases, CHAINS, d] pass, by half."""
    path = FromPrior.of(SimulatorLikelihood.of(group.observation), 1)
    rng = np.random.default_rng(0)
    half, d = CHAINS // 2, start.shape[2]

    def weigh(places: Floats) -> tuple[Floats, Floats]:
        found, unknowns = path.weigh_many(jax.numpy.asarray(places, np.float32))
        target = np.asarray(found.base, np.float64) + np.asarray(found.gain, np.float64)
        return np.where(np.isfinite(target), target, -np.inf), np.asarray(unknowns)

    scores = np.stack([np.asarray(path.scores(own)) for own in np.moveaxis(start, 1, 0)], axis=1)
    places = [scores[:, :half], scores[:, half:]]
    weights, unknowns = (list(pair) for pair in zip(*map(weigh, places), strict=True))
    usual = 2.38 / np.sqrt(2 * d)
    sizes = np.array([1.0 if size is None else usual * size for size in SIZES])
    seen = []
    for move in trange(moves, leave=False, unit="move"):
        for own in (0, 1):
            n = len(group)
            pair = rng.integers(half, size=(2, n, half, 1))
            one, two = (np.take_along_axis(places[1 - own], rows, axis=1) for rows in pair)
            size = rng.choice(sizes, p=SHARES, size=(n, half, 1))
            there = places[own] + size * (one - two) + 1e-3 * rng.standard_normal((n, half, d))
            target, moved = weigh(there)
            taken = np.log(rng.random((n, half))) < target - weights[own]
            places[own] = np.where(taken[..., None], there, places[own])
            unknowns[own] = np.where(taken[..., None], moved, unknowns[own])
            weights[own] = np.where(taken, target, weights[own])
        if move >= moves // 4 and move % EVERY == 0:
            seen.append(np.stack(unknowns, axis=1))
    return np.concatenate(seen, axis=2)


def farthest(one: Floats, other: Floats) -> float:
    """Largest Wasserstein distance of a parameter, in std of `other`, of draws [n, d]."""
    return max(
        wasserstein_distance(first, second) / second.std()
        for first, second in zip(one.T, other.T, strict=True)
    )


def main() -> None:
    """Print a row a case."""
    moves = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    amortised = load_amortised()
    hardest: list[tuple[float, int, int]] = []
    groups = draw_clean(CleanSettings(n_cases=CASES, most_couples=1))
    found = []
    for number, group in enumerate(tqdm(groups, unit="group")):
        likelihood = SimulatorLikelihood.of(group.observation)
        path = from_amortised(amortised, group.observation, likelihood, group.task, 1)
        found.append(correct(path, case_keys(0, group.case)))
        hardest += [(own, number, row) for row, own in enumerate(found[-1].efficiency.tolist())]
    chosen = sorted(hardest)[:HARD]
    print("waveform  efficiency  exact  corrected  floor  halves of the chain")
    for number in sorted({own[1] for own in chosen}):
        rows = np.array([row for _, own, row in chosen if own == number])
        group = groups[number].take(rows)
        likelihood = SimulatorLikelihood.of(group.observation)
        exact = infer_exact(likelihood, 1, case_keys(0, group.case)).unknowns
        corrected = found[number].unknowns[rows]
        truth = np.repeat(group.unknowns[:, None], CHAINS // 2, axis=1)
        start = np.concatenate([truth, exact[:, : CHAINS // 2]], axis=1)
        halves = chain(group, start, moves).astype(np.float64)
        for case, row in enumerate(rows):
            both = halves[case].reshape(-1, halves.shape[3])
            some = np.random.default_rng(1).choice(both, size=exact.shape[1], replace=False)
            apart = [farthest(draws, both) for draws in (exact[case], corrected[case], some)]
            print(
                f"{family.TASKS[group.task[case]]:<10}{found[number].efficiency[row]:>9.1%}"
                f"{apart[0]:>8.3f}{apart[1]:>11.3f}{apart[2]:>7.3f}"
                f"{farthest(*halves[case]):>15.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
