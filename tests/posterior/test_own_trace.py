"""What the book shows of one's own posterior runs, and holds the truth."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ecguard import simulator
from ecguard.clean_cases import CleanSettings, draw_clean
from ecguard.posterior import exact as engine
from ecguard.posterior.population import PopulationSettings
from ecguard.posterior.tempered import TemperedSettings
from ecguard.posterior.unknowns import names


@pytest.fixture(scope="module")
def section(root: Path) -> str:
    text = (root / "book" / "how-to-reexecute.md").read_text(encoding="utf-8")
    return text.split("## Your own posterior\n")[1].split("\n## ")[0]


def test_the_example_runs(
    section: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few particles. Both engines agree, and their central 99.9 % hold each unknown."""
    few = TemperedSettings(512, 32, n_draws=512, block=1)
    some = PopulationSettings(1024, 500, block=1)
    quick = partial(engine.infer_exact, settings=few, population=some)
    monkeypatch.setattr(engine, "infer_exact", quick)
    (group,) = draw_clean(CleanSettings(n_cases=1, tasks=("cv",), most_couples=1))
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    found = group.observation._asdict()
    exec(example, found)
    printed = capsys.readouterr().out
    assert all(printed.count(f"'{name}'") == 2 for name in names(1))
    exact, corrected = found["exact"], found["corrected"]
    np.testing.assert_allclose(exact.log_evidence, corrected.log_evidence, atol=0.5)
    for own in (exact, corrected):
        low, high = np.quantile(own.unknowns[0], [0.0005, 0.9995], axis=0)
        assert ((group.unknowns[0] > low) & (group.unknowns[0] < high)).all()


def test_it_names_every_output_of_the_simulator(section: str) -> None:
    assert set(simulator.OUTPUTS) <= set(re.findall(r"`(\w+)`", section))
    assert "`ecguard.simulator.concentration_profiles`" in section
