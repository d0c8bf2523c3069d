"""What every failure mode has: a name, a scale, and what it does to a measurement."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from ecguard.errors import InputError
from ecguard.stress.experiment import Experiment


class FailureMode(eqx.Module):
    """A fault that the user does not know of, graded by a severity of 0 (none) to 1 (full).

    A mode says what it does at the electrode, to the reading, or both; the other is as it should
    be. All that is random comes from the experiment, so that the same one gives the same trace.
    """

    name: eqx.AbstractClassVar[str]
    title: eqx.AbstractClassVar[str]  # in plain words, for figures
    unit: eqx.AbstractClassVar[str]  # of the magnitude
    full: eqx.AbstractClassVar[float]  # magnitude at severity 1
    typical: eqx.AbstractClassVar[str]  # what is met in practice
    source: eqx.AbstractClassVar[str]
    at_electrode: ClassVar[bool] = False  # whether the noise-free current differs from the clean
    shaped: ClassVar[bool] = True  # whether it adds a shape of its own to the expected current
    chances: ClassVar[int] = 1  # draws that stand for all that chance makes of the shape

    def magnitude(self, severity: ArrayLike) -> NDArray[np.float64]:
        """Physical size of the fault, in `unit`."""
        return np.asarray(self.full * checked_severity(severity))

    def electrode(
        self,
        experiment: Experiment,
        severity: NDArray[np.float64],  # noqa: ARG002
    ) -> NDArray[np.floating]:
        """Current before noise, mA/cm^2 [n, L]; severity is [n]."""
        return experiment.clean()

    def instrument(
        self,
        experiment: Experiment,
        current: NDArray[np.floating],
        severity: NDArray[np.float64],  # noqa: ARG002
    ) -> NDArray[np.floating]:
        """What is recorded of a current [n, L], mA/cm^2; severity is [n]."""
        return experiment.measure(current)

    def observe(
        self,
        experiment: Experiment,
        severity: ArrayLike,
        clean: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float32]:
        """Recorded current of every electrode, mA/cm^2 [n, L].

        Args:
            experiment: of n electrodes.
            severity: scalar or [n], in 0..1.
            clean: `experiment.clean()`, where the caller has it; spares a simulation to modes that
                leave the electrode alone.

        Raises:
            InputError: a severity outside 0..1, or of another shape.
        """
        n = len(experiment.waveform.E_V)
        grade = checked_severity(severity)
        if grade.shape not in ((), (n,)):
            raise InputError(
                "severity", f"shape {grade.shape}", f"scalar or ({n},)", "give one for each trace"
            )
        grade = np.broadcast_to(grade, n)
        if self.at_electrode or clean is None:
            clean = self.electrode(experiment, grade)
        return self.instrument(experiment, clean, grade).astype(np.float32)


def checked_severity(severity: ArrayLike) -> Any:
    """Severities as an array; traced values pass as they are.

    Raises:
        InputError: one is not in 0..1.
    """
    if isinstance(severity, jax.core.Tracer):
        return severity
    values = np.asarray(severity, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise InputError("severity", severity, "0 to 1", "Pass a share of the full stress.")
    return values
