"""Laws that every failure mode obeys."""

import pkgutil
from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np
import pytest

from ecguard import family, stress
from ecguard.errors import InputError
from ecguard.parameters import decode_parameters
from ecguard.simulator import Cell, Waveform
from ecguard.stress import ALL, Experiment, FailureMode
from ecguard.waveforms import chronoamperometry, cyclic, square_wave, tone

L = family.N_SAMPLES
HEAD = 3
Mode = type[FailureMode]


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    """Electrodes of the prior under a step, scans, a square wave and a tone."""
    rng = np.random.default_rng(4)
    waveforms = (
        chronoamperometry(0.6, -0.5, 3.0, L),
        cyclic(0.7, -0.7, 0.05, L),
        square_wave(0.5, -0.016, 0.025, 20.0, L),
        cyclic(0.6, -0.6, 1.0, L),
        tone(0.1, 0.010, 10.0, L),
        cyclic(0.8, -0.7, 0.3, L),
    )
    n = len(waveforms)
    return Experiment(
        Waveform(np.stack([w.t_s for w in waveforms]), np.stack([w.E_V for w in waveforms])),
        decode_parameters(family.draw_parameters(rng, n)),
        Cell(*(np.full(n, value) for value in (0.01, 100.0, 2e-7, 298.15))),
        noise=rng.standard_normal((n, L)),
        chance=rng.random((n, L)),
        noise_std=np.full(n, 0.05),
    )


@pytest.fixture(scope="module")
def clean(experiment: Experiment) -> np.ndarray:
    return experiment.clean()


@pytest.mark.parametrize("mode", ALL)
class TestLaws:
    def test_severity_zero_is_the_identity(
        self, mode: Mode, experiment: Experiment, clean: np.ndarray
    ) -> None:
        expected = experiment.measure(clean).astype(np.float32)
        found = mode().observe(experiment, 0.0, clean)
        if mode.at_electrode:
            span = np.ptp(clean, axis=1, keepdims=True)
            assert (np.abs(found - expected) < 3e-6 * span + 1e-6).all()
        else:
            np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("severity", [0.0, 0.3, 1.0])
    def test_shape_dtype_and_finite(
        self, mode: Mode, experiment: Experiment, clean: np.ndarray, severity: float
    ) -> None:
        found = mode().observe(experiment, severity, clean)
        assert found.shape == clean.shape
        assert found.dtype == np.float32
        assert np.isfinite(found).all()

    def test_severity_moves_the_trace_further(
        self, mode: Mode, experiment: Experiment, clean: np.ndarray
    ) -> None:
        start = mode().observe(experiment, 0.0, clean)
        change = [
            np.abs(mode().observe(experiment, severity, clean) - start).mean()
            for severity in (0.2, 0.5, 1.0)
        ]
        assert 1e-3 < change[0] < change[1] < change[2]

    def test_deterministic(self, mode: Mode, experiment: Experiment) -> None:
        first, second = (mode().observe(experiment, 0.7) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_other_cases_do_not_matter(
        self, mode: Mode, experiment: Experiment, clean: np.ndarray
    ) -> None:
        severity = np.linspace(0.3, 1.0, len(clean))
        head = jax.tree.map(lambda leaf: leaf[:HEAD], experiment)
        together = mode().observe(experiment, severity, clean)[:HEAD]
        alone = mode().observe(head, severity[:HEAD], clean[:HEAD])
        span = np.ptp(clean[:HEAD], axis=1, keepdims=True)
        assert (np.abs(together - alone) < 1e-5 * span).all()

    def test_noise_comes_from_the_experiment_alone(
        self, mode: Mode, experiment: Experiment, clean: np.ndarray
    ) -> None:
        quiet = eqx.tree_at(lambda e: e.noise_std, experiment, 0.0 * experiment.noise_std)
        still, other = (eqx.tree_at(lambda e: e.noise, e, -e.noise) for e in (quiet, experiment))
        found, again = (mode().observe(e, 0.5, clean) for e in (quiet, still))
        np.testing.assert_array_equal(found, again)
        moved = mode().observe(experiment, 0.5, clean) - mode().observe(other, 0.5, clean)
        assert (np.abs(moved).max(axis=1) > 0.05).all()

    def test_a_clean_current_is_taken_where_the_electrode_is_left_alone(
        self, mode: Mode, experiment: Experiment, clean: np.ndarray
    ) -> None:
        assert mode.at_electrode == ("electrode" in vars(mode))
        usual = mode().observe(experiment, 0.5)
        np.testing.assert_array_equal(mode().observe(experiment, 0.5, clean), usual)
        given = mode().observe(experiment, 0.5, clean + 10.0)
        assert np.array_equal(given, usual) == mode.at_electrode

    def test_the_experiment_is_left_as_it_was(
        self, mode: Mode, experiment: Experiment, clean: np.ndarray
    ) -> None:
        before = jax.tree.map(np.array, (experiment, clean))
        mode().observe(experiment, 1.0, clean)
        for one, other in zip(
            jax.tree.leaves(before), jax.tree.leaves((experiment, clean)), strict=True
        ):
            np.testing.assert_array_equal(one, other)

    def test_compiles_once(
        self,
        mode: Mode,
        experiment: Experiment,
        compilations: Callable[[Callable[[], object]], int],
    ) -> None:
        mode().observe(experiment, 0.4)
        assert compilations(lambda: mode().observe(experiment, 0.9)) == 0
        assert compilations(lambda: jax.jit(lambda x: x * 1.2345)(1.0)) > 0

    @pytest.mark.parametrize("severity", [-0.1, 1.1, np.nan])
    def test_severity_outside_its_range_is_named(
        self, mode: Mode, experiment: Experiment, clean: np.ndarray, severity: float
    ) -> None:
        with pytest.raises(InputError, match="severity"):
            mode().observe(experiment, severity, clean)
        with pytest.raises(InputError, match="severity"):
            mode().magnitude([0.5, severity])

    def test_the_magnitude_is_full_at_severity_one(self, mode: Mode) -> None:
        assert mode.full > 0
        np.testing.assert_allclose(mode().magnitude([0.0, 0.5, 1.0]), mode.full * np.arange(3) / 2)

    def test_it_is_documented(self, mode: Mode) -> None:
        assert mode.__doc__
        for text in (mode.title, mode.unit, mode.typical, mode.source):
            assert text.strip()
        assert mode.typical.endswith(".")
        assert mode.source.endswith(".")


@pytest.mark.parametrize("label", ["name", "title", "__name__"])
def test_labels_are_unique(label: str) -> None:
    assert len({getattr(mode, label) for mode in ALL}) == len(ALL)


def test_every_file_is_a_mode_that_is_listed() -> None:
    files = {module.name for module in pkgutil.iter_modules(stress.__path__)}
    assert files - {"experiment", "mode", "scatter"} == {mode.name for mode in ALL}
    for mode in ALL:
        assert mode.__module__ == f"ecguard.stress.{mode.name}"
        assert mode.__name__ == "".join(word.title() for word in mode.name.split("_"))
