"""Population Monte Carlo: weighed draws from mixtures that learn where the posterior is.

Each round fits a mixture of Student t to the weighed draws so far, draws from it, and weighs all
draws against the mean density of the proposals that made them (Cappe et al. 2004; Cornuet et al.
2012, Scandinavian Journal of Statistics 39, 798). Given the proposals the draws are independent:
they do not stick as the states of a chain do. Where a path has twins, a draw stands for its twin as
much as for itself, and is weighed by the mean of the densities at both.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

from ecguard.errors import InputError
from ecguard.posterior.student_mixture import StudentMixture, fit_mixture, systematic
from ecguard.posterior.tempered import LOWEST, Particle, Path, over_blocks, take

_FITTED_FOR_EACH = 25  # effective draws a dimension; weights are tempered until a fit has as many

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class PopulationSettings:
    """Settings of the sampler.

    Args:
        n_proposals: draws of a round.
        effective: effective draws at which a case is done.
        most_rounds: of a case; one that needs more comes back as it is.
        kept: newest mixtures whose draws are used, besides those of the base.
        components: of a mixture.
        n_draws: returned for each case, of equal weight.
        block: cases that run together; another size rounds otherwise, and so draws otherwise.

    Raises:
        InputError: a value is out of range.
    """

    n_proposals: int = 2048
    effective: int = 1000
    most_rounds: int = 20
    kept: int = 6
    components: int = 6
    n_draws: int = 1000
    block: int = 4

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(name, value, "a whole number, 1 or more", "Choose one.")

    def sized(self, n_proposals: int, n_couples: int) -> "PopulationSettings":
        """With as many draws a round, and fewer cases together where there are two couples.

        Their cases differ more in the rounds that they take, and a block is filled up to its size.
        """
        return replace(self, n_proposals=n_proposals, block=-(-self.block // n_couples))


class Population(NamedTuple):
    """Posteriors of n cases.

    Args:
        unknowns: draws of equal weight, as the path's `weigh_many` gives them [n, n_draws, d].
        log_evidence: ln of the posterior's constant, the base's being 0 [n].
        efficiency: effective share of the first round's draws [n].
        effective: effective number of all draws that are used [n].
        rounds: it took [n].
        lead: ln of the weight that a place which was tried would have as a draw, over that of the
            heaviest draw [n]; NaN without one. A draw of the posterior hardly ever leads: where it
            does by far, no proposal reaches it, and `effective` says nothing of that.
    """

    unknowns: NDArray[np.float32]
    log_evidence: Floats
    efficiency: Floats
    effective: Floats
    rounds: NDArray[np.int64]
    lead: Floats


def sample_population(
    path: Path,
    keys: Array,
    settings: PopulationSettings | None = None,
    start: NDArray[np.floating] | None = None,
    tried: NDArray[np.floating] | None = None,
) -> Population:
    """Draw from the posteriors of n cases; the draws of one do not depend on which others run.

    Args:
        path: of the cases.
        keys: a random key for each case [n].
        settings: of the sampler.
        start: draws [n, k, d] near the posteriors, to which the first mixtures are fitted; without
            any, the first round comes from the base.
        tried: a place of each case [n, d], such as the truth, whose `lead` is wanted.
    """
    settings = settings or PopulationSettings()
    words = np.asarray(jax.random.key_data(keys))
    pools = [_Pool(np.random.default_rng(own), settings) for own in words]
    left = np.arange(len(pools))

    def advance(rows: NDArray[np.intp]) -> None:
        real, own = rows[: len(np.unique(rows))], take(path, rows)
        first = pools[rows[0]].rounds == 0
        if first and start is None:
            seen = _sorted(own, *own.begin_many(keys[rows], settings.n_proposals))
        else:
            near = (start[row] if first and start is not None else None for row in real)
            drawn = np.stack([pools[row].propose(k) for row, k in zip(real, near, strict=True)])
            seen = _seen(own, drawn[np.arange(len(rows)).clip(max=len(real) - 1)])
        for row, each in zip(real, seen, strict=False):
            pools[row].add(each)

    def weigh(rows: NDArray[np.intp]) -> None:
        for row, seen in zip(rows, _seen(take(path, rows), places[rows]), strict=True):
            lead[row] = pools[row].lead(seen)

    lead = np.full(len(pools), np.nan)
    # more threads share out small products at a loss, and round otherwise
    with threadpool_limits(1, "blas"):
        for _ in range(settings.most_rounds):
            over_blocks(advance, left, settings.block)
            left = left[[pools[row].effective < settings.effective for row in left]]
            if not len(left):
                break
        if tried is not None:
            # repeated to the shape of a round, which is compiled already
            each = np.asarray(tried, np.float32)[:, None]
            places = np.broadcast_to(each, (len(each), settings.n_proposals, each.shape[2]))
            over_blocks(weigh, np.arange(len(pools)), settings.block)
    names = ("log_evidence", "efficiency", "effective", "rounds")
    numbers = [*(np.array([getattr(pool, name) for pool in pools]) for name in names), lead]
    return Population(np.stack([pool.draws() for pool in pools]), *numbers)


class _Seen(NamedTuple):
    """What places of one case weigh.

    Args:
        twins: the places, and their twins where they have any [1 or 2, N, d].
        base, gain: of the places [N].
        unknowns: that the places stand for [N, d].
    """

    twins: Floats
    base: Floats
    gain: Floats
    unknowns: NDArray[np.float32]


class _Round(NamedTuple):
    """Draws of one proposal.

    Args:
        twins: places of the draws, and of their twins where they have any [1 or 2, N, d].
        unknowns: that they stand for [N, d].
        target: ln prior times likelihood [N].
        under: ln density under every proposal that is kept, its own among them, [N] each.
    """

    twins: Floats
    unknowns: NDArray[np.float32]
    target: Floats
    under: list[Floats]


class _Pool:
    """Weighed draws of one case; a proposal that is None stands for the base."""

    def __init__(self, rng: np.random.Generator, settings: PopulationSettings) -> None:
        self.rng, self.settings = rng, settings
        self.proposals: list[StudentMixture | None] = []
        self.kept: list[_Round] = []
        self.rounds, self.efficiency = 0, np.nan

    def propose(self, near: NDArray[np.floating] | None) -> Floats:
        """Draws of a new mixture, fitted to the places `near` or to what was weighed so far."""
        if near is None:
            places, log_weight = self.places, self.log_weight
            least = min(_FITTED_FOR_EACH * places.shape[1], len(places) // 2)
            near, log_weight = places, _tempered(log_weight, least)
        else:
            log_weight = np.zeros(len(near))
        mixture = fit_mixture(self.rng, near, log_weight, self.settings.components)
        self._forget()
        for own in self.kept:
            own.under.append(_density(mixture, own.twins))
        self.proposals.append(mixture)
        return mixture.draw(self.rng, self.settings.n_proposals)

    def add(self, seen: _Seen) -> None:
        """Take in what the newest proposal's draws weigh."""
        if not self.proposals:
            self.proposals.append(None)
        target = seen.base + seen.gain
        self.kept.append(_Round(seen.twins, seen.unknowns, target, self._under(seen)))
        self.rounds += 1
        self.places = np.concatenate([own.twins[0] for own in self.kept])
        target = np.concatenate([own.target for own in self.kept])
        self.log_weight = target - np.concatenate([_log_mean(own.under) for own in self.kept])
        weighs = bool((target > LOWEST / 2).any())
        self.effective = _effective(self.log_weight) if weighs else 0.0
        if self.rounds == 1:
            self.efficiency = self.effective / len(seen.base)

    def lead(self, seen: _Seen) -> float:
        """Of one place; see `Population`."""
        log_weight = seen.base + seen.gain - _log_mean(self._under(seen))
        return float(log_weight[0] - self.log_weight.max())

    def _under(self, seen: _Seen) -> list[Floats]:
        """ln density of places under every proposal that is kept."""
        each = self.proposals
        return [seen.base if own is None else _density(own, seen.twins) for own in each]

    def _forget(self) -> None:
        """Drop the oldest mixture and its draws, if there are as many as are kept."""
        first = int(bool(self.proposals) and self.proposals[0] is None)
        if len(self.proposals) - first == self.settings.kept:
            del self.proposals[first], self.kept[first]
            for own in self.kept:
                del own.under[first]

    @property
    def log_evidence(self) -> float:
        """From the newest draws alone: their proposal does not depend on them.

        Older draws are weighed against mixtures that were fitted to these very draws, and lie
        highest there, which makes their mean weight too low by some tenths of a nat.
        """
        newest = self.kept[-1]
        log_weight = newest.target - newest.under[-1]
        return float(logsumexp(log_weight) - np.log(len(log_weight)))

    def draws(self) -> NDArray[np.float32]:
        """Unknowns in proportion to their weights, drawn systematically."""
        rows = systematic(self.log_weight, self.settings.n_draws, 0.5)
        return np.concatenate([own.unknowns for own in self.kept])[rows]


def _density(mixture: StudentMixture, twins: Floats) -> Floats:
    """ln of the mean of a mixture's densities at draws and at their twins [N]."""
    return _log_mean([mixture.log_density(places) for places in twins])


def _log_mean(each: list[Floats]) -> Floats:
    """ln of the mean of what several logarithms [N] stand for [N]."""
    return np.asarray(np.logaddexp.reduce(each) - np.log(len(each)))


def _effective(log_weight: Floats) -> float:
    weight = np.exp(log_weight - log_weight.max())
    return float(weight.sum() ** 2 / (weight**2).sum())


def _tempered(log_weight: Floats, least: float) -> Floats:
    """Log weights times the largest power, up to 1, that leaves `least` effective draws."""
    if _effective(log_weight) >= least:
        return log_weight
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        enough = _effective(middle * log_weight) >= least
        low, high = (middle, high) if enough else (low, middle)
    return low * log_weight


def _seen(path: Path, places: ArrayLike) -> list[_Seen]:
    """What places [cases, N, d] weigh."""
    places = jnp.asarray(places, jnp.float32)
    return _sorted(path, places, *path.weigh_many(places))


def _sorted(path: Path, places: Array, weighed: Particle, placed: Array) -> list[_Seen]:
    """What was found of each case, and next to nothing where that is not finite."""
    unknowns = np.asarray(placed, np.float32)
    leaves = (jnp.swapaxes(path.twins(places), 0, 1), weighed.base, weighed.gain)
    twins, base, gain = (np.asarray(leaf, np.float64) for leaf in leaves)
    fine = np.isfinite(base) & np.isfinite(gain)
    base, gain = np.where(fine, base, LOWEST), np.where(fine, gain, LOWEST)
    return [_Seen(*each) for each in zip(twins, base, gain, unknowns, strict=True)]
