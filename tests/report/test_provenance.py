"""Provenance says with what a result was made."""

import subprocess
import time

from ecguard.report import provenance as module


def test_record_names_versions_seed_profile_and_duration():
    record = module.provenance(3, "smoke", time.perf_counter() - 2.0)
    assert {"ecguard", "python", "jax", "equinox", "numpy"} <= set(record["versions"])
    assert (record["seed"], record["profile"]) == (3, "smoke")
    assert 2.0 <= record["duration_s"] < 10.0
    line = module.provenance_line(record)
    assert "jax " in line
    assert "seed 3" in line
    assert "profile smoke" in line


def commit(folder):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)


def test_commit_and_whether_the_tree_was_clean(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PACKAGE", tmp_path)
    (tmp_path / "__init__.py").touch()
    assert module.revision() == {"commit": None, "clean": None}
    commit(tmp_path)
    found = module.revision()
    assert len(found["commit"]) == 40
    assert found["clean"] is True
    (tmp_path / "new.py").touch()
    assert module.revision() == {**found, "clean": False}


def test_folder_that_git_does_not_track_has_no_commit(tmp_path, monkeypatch):
    (tmp_path / "a").touch()
    commit(tmp_path)
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "__init__.py").touch()
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "site-packages")
    assert module.revision() == {"commit": None, "clean": None}


def test_line_outside_git():
    record = module.provenance(None, "smoke", 0.0) | {"commit": None, "clean": None}
    assert "not in git" in module.provenance_line(record)
