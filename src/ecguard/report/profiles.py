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
            name="smoke",
            n_cases=6,
            n_held_out=300,
            n_traces=1024,
            n_bootstrap=200,
            n_calibrated=24,
            tasks="tone",
            most_couples=1,
            tempered_particles=512,
            n_error_cases=4096,
            n_design=24,
            n_calibration=140,
            n_test=24,
            n_faulty=3,
            n_cell=2,
            n_electrodes=24,
            n_coverage=2,
            n_control=24,
            n_rated=24,
            n_tuned=2,
        ),
        Profile(
            name="standard",
            n_cases=100,
            n_held_out=1000,
            n_traces=1024,
            n_bootstrap=2000,
            n_calibrated=60,
            tasks=" ".join(TASKS),
            most_couples=2,
            tempered_particles=2048,
            n_error_cases=16_384,
            n_design=200,
            n_calibration=300,
            n_test=480,
            n_faulty=32,
            n_cell=60,
            n_electrodes=300,
            n_coverage=36,
            n_control=200,
            n_rated=50,
            n_tuned=12,
        ),
        Profile(
            name="full",
            n_cases=600,
            n_held_out=3000,
            n_traces=4096,
            n_bootstrap=10_000,
            n_calibrated=500,
            tasks=" ".join(TASKS),
            most_couples=2,
            tempered_particles=2048,
            n_error_cases=16_384,
            n_design=400,
            n_calibration=1000,
            n_test=600,
            n_faulty=64,
            n_cell=72,
            n_electrodes=600,
            n_coverage=72,
            n_control=300,
            n_rated=50,
            n_tuned=24,
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
