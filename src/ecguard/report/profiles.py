"""Sizes of a run: how much is computed, never how."""

from dataclasses import dataclass

from ecguard.errors import InputError


@dataclass(frozen=True)
class Profile:
    """Sizes that notebooks read.

    Args:
        name: what the user asks for.
        n_cases: paired cases of the reference study.
        n_held_out: traces on which the surrogate is compared with the simulator.
        n_traces: traces of a batch in which the simulator is timed.
        n_bootstrap: resamples of a bootstrap interval.
    """

    name: str
    n_cases: int
    n_held_out: int
    n_traces: int
    n_bootstrap: int


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", n_cases=6, n_held_out=300, n_traces=1024, n_bootstrap=200),
        Profile("standard", n_cases=100, n_held_out=1000, n_traces=1024, n_bootstrap=2000),
        Profile("full", n_cases=600, n_held_out=3000, n_traces=4096, n_bootstrap=10000),
    )
}


def profile_named(name: str) -> Profile:
    """Sizes of a profile.

    Raises:
        InputError: no profile has that name.
    """
    if name not in PROFILES:
        raise InputError("profile", name, f"one of {', '.join(PROFILES)}", "Choose one of these.")
    return PROFILES[name]
