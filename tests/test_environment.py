"""pyproject.toml, the lock file and environment.yml say the same, and nothing of this machine."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK_LINE = re.compile(r"(?P<name>[a-z0-9-]+)(\[[a-z,-]+\])?==(?P<version>\S+) \\")
HASH_LINE = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
STARTED_AS_PROGRAMS = {"ipykernel", "jupyter-book", "sphinx-mathjax-offline"}
HOSTS = ("pypi" + ".org", "python" + "hosted.org", "anaconda" + ".org", "npm" + "js.org")
MACHINE_PATH = re.compile(r"(?<![\w.<>/:-])/(home|root|work|tmp|opt|mnt|Users)/[\w.-]{2,}")


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def locked(root):
    """Version of every locked package by its name."""
    found = {}
    for line in (root / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if match := LOCK_LINE.fullmatch(line):
            found[match["name"]] = match["version"]
        else:
            assert HASH_LINE.fullmatch(line), f"not a pinned or hashed requirement: {line}"
    return found


@pytest.fixture(scope="module")
def tracked(root):
    """Text of every file that git tracks or would track, by path."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    texts = {}
    for name in listed.stdout.splitlines():
        path = root / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            texts[name] = content.decode("utf-8")
    return texts


def requirements(project, *extras):
    lines = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [r for r in map(Requirement, lines) if r.name != project["name"]]


def test_every_dependency_is_locked_within_its_range(project, locked):
    for requirement in requirements(project, "test", "dev", "peers"):
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}"


def test_installed_is_what_is_locked(locked):
    found = {}
    for name in locked:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    wrong = {name: (found[name], version) for name, version in locked.items()}
    wrong = {name: pair for name, pair in wrong.items() if pair[0] != pair[1]}
    assert not wrong, "installed differs from locked: run `make .venv/.installed`"


def test_every_dependency_has_a_reason(root):
    lines = (root / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    starts = [
        i
        for i, line in enumerate(lines)
        if re.fullmatch(r"(dependencies|test|dev|peers) = \[", line)
    ]
    assert len(starts) == 4
    for start in starts:
        for i in range(start + 1, lines.index("]", start)):
            if lines[i].startswith('  "') and '"ecguard[' not in lines[i]:
                assert re.fullmatch(r"  # [A-Z].*\.", lines[i - 1]), f"no reason above {lines[i]}"


def test_conda_environment_is_the_lock_file(root, project):
    environment = yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))
    python, pip, section = environment["dependencies"]
    assert environment["name"] == project["name"]
    assert project["requires-python"] == ">=" + python.removeprefix("python=")
    assert f"python{python.removeprefix('python=')}" in (root / "Makefile").read_text()
    assert pip == "pip"
    assert section == {"pip": ["-r requirements.lock"]}
    assert "pip install --no-deps" in (root / "postBuild").read_text(encoding="utf-8")


def test_version_stands_in_one_place(root, project, tracked):
    assert metadata.version("ecguard") == project["version"]
    own = [
        name
        for name, text in tracked.items()
        if name.startswith("src/") and re.search(r"version__?\s*=\s*[\"']\d", text)
    ]
    assert own == []
    assert "version:" not in (root / "CITATION.cff").read_text(encoding="utf-8").replace(
        "cff-version:", ""
    )


def imported(path: Path):
    """Top-level names that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def distributions(paths):
    """Distributions that files import, by any of the files."""
    owners = metadata.packages_distributions()
    found = {}
    for path in paths:
        for name in imported(path):
            if name not in sys.stdlib_module_names:
                for owner in owners.get(name, [name]):
                    found[canonicalize_name(owner)] = path
    return found


def test_imports_and_dependencies_agree(root, project):
    declared = {canonicalize_name(r.name) for r in requirements(project)}
    used = distributions((root / "src").rglob("*.py"))
    used.pop("ecguard")
    assert set(used) - declared == set(), f"undeclared: {used}"
    assert declared - set(used) - STARTED_AS_PROGRAMS == set(), "declared and not imported"


def test_tracked_files_name_no_registry_and_no_path_of_a_machine(tracked):
    found = [
        f"{name}: {what}"
        for name, text in tracked.items()
        for what in [
            *(host for host in HOSTS if host in text),
            *(match.group() for match in MACHINE_PATH.finditer(text)),
        ]
    ]
    assert found == []


def test_gate_runs_what_the_readme_names(root):
    gate = (root / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in gate
    assert "make test" in (root / "README.md").read_text(encoding="utf-8")
    assert (root / ".ci" / "run").stat().st_mode & 0o111


def test_example_of_the_readme_runs(root):
    text = (root / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(example, names)
    clean, fouled = names["clean"], names["fouled"]
    assert clean.current_density_mA_cm2.shape == fouled.current_density_mA_cm2.shape == (1024,)
    assert abs(fouled.current_density_mA_cm2).max() < abs(clean.current_density_mA_cm2).max()
