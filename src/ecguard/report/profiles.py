"""Sizes of a run: how much is computed, never how."""

from dataclasses import dataclass

from ecguard.errors import InputError
from ecguard.family import TASKS


@dataclass(frozen=True)
class Profile:
    """Sizes that notebooks read.

    Args:
        name: what the user asks for.
        n_cases: paired cases of the reference study.
        n_held_out: traces on which the surrogate is compared with the simulator.
        n_traces: traces of a batch in which the simulator is timed.
        n_bootstrap: resamples of a bootstrap interval.
        n_calibrated: held-out clean cases on which engines are compared.
        tasks: of these cases.
        most_couples: of these cases.
        tempered_particles: of the exact engine.
        n_error_cases: traces on which the surrogate's error is measured for its likelihood.
        n_design, n_calibration, n_test: clean cases of the guardrail's three sets.
        n_faulty: design cases of each failure mode.
        n_cell: test cases of each failure mode and severity.
        n_electrodes: test electrodes of protocols.
        n_coverage: of these at each coverage.
        n_control: test cases of the control for the simulator's path.
        n_rated: design cases on which protocols are rated.
        n_tuned: design cases on which steps are tuned.
    """

    name: str
    n_cases: int
    n_held_out: int
    n_traces: int
    n_bootstrap: int
    n_calibrated: int
    tasks: str
    most_couples: int
    tempered_particles: int
    n_error_cases: int
    n_design: int
    n_calibration: int
    n_test: int
    n_faulty: int
    n_cell: int
    n_electrodes: int
    n_coverage: int
    n_control: int
    n_rated: int
    n_tuned: int


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "smoke",
            6,
            300,
            1024,
            200,
            24,
            "tone",
            1,
            512,
            4096,
            24,
            140,
            24,
            3,
            2,
            24,
            2,
            24,
            24,
            2,
        ),
        Profile(
            "standard",
            100,
            1000,
            1024,
            2000,
            60,
            " ".join(TASKS),
            2,
            2048,
            16384,
            200,
            300,
            384,
            32,
            48,
            300,
            36,
            200,
            50,
            12,
        ),
        Profile(
            "full",
            600,
            3000,
            4096,
            10000,
            500,
            " ".join(TASKS),
            2,
            2048,
            16384,
            400,
            1000,
            600,
            64,
            72,
            600,
            72,
            300,
            50,
            24,
        ),
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
