"""The bound of `benchmarks/simulator_speed.py` simulates the same traces as the simulator."""

import ctypes
import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ecguard.fouling import Fouling
from ecguard.report import simulator
from ecguard.simulator import simulate_batch


@pytest.fixture
def speed(root: Path) -> ModuleType:
    source = root / "benchmarks" / "simulator_speed.py"
    spec = importlib.util.spec_from_file_location("simulator_speed", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: `cc` is not on the path")
def test_the_bound_has_the_currents_of_the_simulator(
    speed: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The film is one that every field of `Fouling` shows in, so that no two can change places."""
    monkeypatch.setattr(simulator, "N_STEPS", 128)
    *clean, _ = simulator.timed_case(64, 2, fouled=True)
    film = Fouling(clean_above_V=0.3, k_clean=0.2, patch_share=0.5)
    case = (*clean, simulator.cases(64, film))
    job, arrays = speed.bound_job(case)
    speed.compiled_bound(str(tmp_path))(ctypes.byref(job), 1)
    ours = np.asarray(simulate_batch(*case).current_density_mA_cm2)
    off = np.abs(ours - arrays["current"]).max(axis=1) / np.abs(ours).max(axis=1)
    assert np.median(off) < 1e-5
