"""Laws that every failure mode obeys."""

import jax
import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.simulator import Cell, Couples, Trace, Waveform, simulate_batch
from ecguard.stress import ALL, Biofouling

CASES, L = 4, 128


def experiment() -> tuple[Waveform, Couples, Cell]:
    """Cyclic voltammograms of one couple from slow to fast kinetics."""
    sweep = np.concatenate([np.linspace(0.4, -0.4, L // 2), np.linspace(-0.4, 0.4, L // 2)])
    row = np.ones((CASES, 1))
    return (
        Waveform(np.tile(np.linspace(0.0, 8.0, L), (CASES, 1)), np.tile(sweep, (CASES, 1))),
        Couples(
            D_ox=1e-5 * row,
            D_red=1e-5 * row,
            C_ox=2.0 * row,
            C_red=0.5 * row,
            E0=0.0 * row,
            k0=np.logspace(-4, -1, CASES)[:, None],
            alpha=0.5 * row,
        ),
        Cell(*(np.full(CASES, value) for value in (0.01, 100.0, 2e-7, 298.15))),
    )


def stressed(mode: type, severity: float) -> Trace:
    return mode().simulate(*experiment(), np.full(CASES, severity))


@pytest.mark.parametrize("mode", ALL)
class TestLaws:
    def test_severity_zero_is_the_identity(self, mode: type) -> None:
        clean = simulate_batch(*experiment()).current_density_mA_cm2
        found = stressed(mode, 0.0).current_density_mA_cm2
        np.testing.assert_allclose(found, clean, rtol=1e-5, atol=1e-6 * np.ptp(clean))

    @pytest.mark.parametrize("severity", [0.0, 0.3, 1.0])
    def test_shape_dtype_and_finite(self, mode: type, severity: float) -> None:
        clean = simulate_batch(*experiment(), outputs=["interface_V", "coverage"])
        found = stressed(mode, severity)
        for one, other in zip(jax.tree.leaves(clean), jax.tree.leaves(found), strict=True):
            assert np.shape(one) == np.shape(other)
            assert np.asarray(one).dtype == np.asarray(other).dtype
            assert np.isfinite(np.asarray(other)).all()

    def test_severity_moves_the_trace_further(self, mode: type) -> None:
        clean = np.asarray(stressed(mode, 0.0).current_density_mA_cm2)
        change = [
            np.abs(stressed(mode, severity).current_density_mA_cm2 - clean).mean()
            for severity in (0.2, 0.5, 1.0)
        ]
        assert 0.0 < change[0] < change[1] < change[2]

    def test_deterministic(self, mode: type) -> None:
        first, second = (stressed(mode, 0.7).current_density_mA_cm2 for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_compiles_once(self, mode: type) -> None:
        stressed(mode, 0.4)
        events: list[str] = []
        jax.monitoring.register_event_duration_secs_listener(
            lambda event, *_, **__: events.append(event)
        )
        compiled = "/jax/core/compile/backend_compile_duration"
        stressed(mode, 0.9)
        assert compiled not in events
        jax.jit(lambda x: x * 1.2345)(1.0)
        assert compiled in events, "the listener hears compilations"

    @pytest.mark.parametrize("severity", [-0.1, 1.1, np.nan])
    def test_severity_outside_its_range_is_named(self, mode: type, severity: float) -> None:
        with pytest.raises(InputError, match="severity"):
            stressed(mode, severity)


def test_names_are_unique() -> None:
    assert len({mode.name for mode in ALL}) == len(ALL)


def test_full_biofouling_is_the_reference_stress() -> None:
    full = Biofouling().fouling(1.0)
    assert full.initial_theta == pytest.approx(0.78)
    assert full.k_ads == pytest.approx(4200.0)
    assert full.k_reaction == pytest.approx(0.004)
    coverage = np.asarray(stressed(Biofouling, 1.0).coverage)
    assert coverage[:, 0] == pytest.approx(np.full(CASES, 0.78))
    assert (np.asarray(stressed(Biofouling, 0.0).coverage) == 0).all()
