"""Engines by their names, each with the settings that are its own."""

from dataclasses import replace

import numpy as np

from ecguard.clean_cases import CleanSettings, draw_clean
from ecguard.engines import AMORTISED, CORRECTED, Engines
from ecguard.posterior.amortised.artefacts import load_amortised
from ecguard.posterior.corrected import CORRECTION
from ecguard.posterior.population import PopulationSettings


def test_each_engine_takes_its_own_settings() -> None:
    (group,) = draw_clean(CleanSettings(n_cases=2, tasks=("tone",), most_couples=1))
    settings = replace(CORRECTION, n_proposals=64, most_rounds=1, n_draws=50, block=2)
    engines = Engines(
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        load_amortised(),
        population=PopulationSettings(n_draws=77),
        correction=settings,
    )
    assert engines.run(AMORTISED, group).unknowns.shape == (2, 77, 9)
    found = engines.run(CORRECTED, group)
    assert found.unknowns.shape == (2, 50, 9)
    assert found.unknowns.dtype == np.float32
    np.testing.assert_allclose(found.effective, 64 * found.efficiency)


def test_the_corrected_engine_draws_a_thousand_with_one_couple() -> None:
    """Half of what the exact one does; `benchmarks` and chapter 3 are measured with it."""
    assert (CORRECTION.n_proposals, CORRECTION.effective) == (1024, 1000)
    assert replace(CORRECTION, n_proposals=2048) == PopulationSettings()
