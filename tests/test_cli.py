"""The command line: quick to answer, clear about what it rejects."""

import re
import shlex
import subprocess
import sys

import pytest

from ecguard import cli

HEAVY = ("jax", "matplotlib", "papermill", "nbformat")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from ecguard import cli\n"
        "try: cli.main(['--help'])\n"
        f"except SystemExit: print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "report" in done.stdout
    assert done.stderr.strip() == "[]"


def test_version_is_the_package_s(capsys):
    from importlib.metadata import version

    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"ecguard {version('ecguard')}\n"


def lines_of(capsys, arguments):
    assert cli.main(arguments) == 2
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "--profile", "quick"], "profile"),
        (["report", "--duration-s", "long"], "duration_s"),
        (["report", "--duration-s", "0"], "duration_s"),
        (["report", "--checkpoint", "no/such/file.eqx"], "checkpoint"),
        (["report", "--dataset-chunk", "no/such/chunk_0.npz"], "dataset_chunk"),
        (["report", "-p", "n_case=3"], "n_case"),
        (["report", "-p", "out_dir=here"], "out_dir"),
        (["report", "-p", "n_cases"], "--parameter"),
        (["report", "--only", "nothing"], "only"),
        (["notebooks", "refresh", "nothing"], "chapter"),
    ],
)
def test_bad_input_is_one_line_that_names_it(checkout, capsys, arguments, words):
    (line,) = lines_of(capsys, [*arguments, "--root", str(checkout)])
    assert line.startswith("ecguard: ")
    assert words in line


@pytest.mark.parametrize(
    "arguments", [["--chunks", "0"], ["--rows", "0"], ["--seed", "-1"]], ids=lambda a: a[0]
)
def test_family_of_nothing_is_refused(tmp_path, capsys, arguments):
    lines = lines_of(capsys, ["family", str(tmp_path / "new"), *arguments])
    assert arguments[0].strip("-")[0] in lines[-1]
    assert not (tmp_path / "new").exists()


SCREEN = ["screen", "trace.csv", "--guardrail", "guardrail.json"]


@pytest.mark.parametrize("seed", [-1, 2**32, 99999999999999999999])
@pytest.mark.parametrize("command", ["screen", "family", "train", "amortised"])
def test_seeds_out_of_range_are_refused_before_any_work(tmp_path, capsys, command, seed):
    new = str(tmp_path / "new")
    arguments = {
        "screen": [*SCREEN, "--out", new, "--seed", str(seed)],
        "family": ["family", new, "--seed", str(seed)],
        "train": ["train", new, "--set", f"seed={seed}"],
        "amortised": ["train", new, "--engine", "amortised", "--set", f"seed={seed}"],
    }
    (line,) = lines_of(capsys, arguments[command])
    assert line.startswith(f"ecguard: seed = {seed} cannot be used: a whole number from 0 to 2**32")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("run_report", ["report"], "goes on from here"),
        ("run_train", ["train", "out"], "goes on from here"),
        ("run_screen", SCREEN, "starts from the beginning"),
        ("run_plan", ["plan", *SCREEN[1:]], "starts from the beginning"),
        ("run_family", ["family", "out"], "starts from the beginning"),
        ("run_refresh", ["notebooks", "refresh"], "starts from the beginning"),
    ],
)
def test_a_stopped_command_says_whether_it_goes_on(monkeypatch, capsys, name, arguments, words):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, name, stop)
    assert cli.main(arguments) == 130
    assert capsys.readouterr().err == f"ecguard: stopped; the same command {words}\n"


@pytest.fixture(scope="module")
def sections(root):
    """Of the how-to, those on screening."""
    text = (root / "book" / "how-to-reexecute.md").read_text(encoding="utf-8")
    titles = ("Your own guardrail", "What one voltammogram does not show")
    return [text.split(f"## {title}\n")[1].split("\n## ")[0] for title in titles]


def test_negative_shifts_are_taken_as_the_how_to_writes_them(sections):
    commands = re.findall(r"\.venv/bin/ecguard ((?:.*\\\n)*.*)", "".join(sections))
    assert len(commands) == 3
    for command in commands:
        one_line = command.replace("\\\n", "").replace("-0.197", "-2e-1")
        assert cli.parser().parse_args(shlex.split(one_line)).shift_V == -0.2


def test_how_to_screen_tells_the_electrode_that_posteriors_assume(sections):
    from ecguard.family import AREA_CM2, TEMPERATURE_K

    for section in sections:
        words = " ".join(section.split())
        assert f"an electrode of {AREA_CM2:g} cm² at {TEMPERATURE_K - 273.15:g} °C" in words
        assert "another area is refused" in words
    assert "a mix-up is not detected" in words


@pytest.mark.parametrize("command", ["family", "train"])
def test_folder_that_cannot_be_written_is_named(tmp_path, capsys, command):
    (tmp_path / "file").touch()
    (line,) = lines_of(capsys, [command, str(tmp_path / "file" / "new")])
    assert line.startswith("ecguard: out_dir = ")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("n_update=3", "n_update "),
        ("seed", "--set"),
        ("seed=x", "seed"),
        ("averaging=1", "averaging"),
    ],
)
def test_training_rejects_its_settings_before_any_work(tmp_path, capsys, setting, words):
    (line,) = lines_of(capsys, ["train", str(tmp_path / "new"), "--set", setting])
    assert words in line
    assert not (tmp_path / "new").exists()


def test_training_gets_settings_and_command(tmp_path, monkeypatch, capsys):
    from ecguard.surrogate import training

    asked = {}

    def train(out_dir, settings, *, command):
        asked.update(out_dir=out_dir, settings=settings, command=command)
        return {"held_out": {"median_nrmse": 0.031}}

    monkeypatch.setattr(training, "train", train)
    arguments = ["train", str(tmp_path), "--set", "n_updates=2", "--set", "learning_rate=1e-3"]
    assert cli.main(arguments) == 0
    assert asked["settings"] == training.TrainingSettings(n_updates=2, learning_rate=1e-3)
    assert asked["command"] == "ecguard train --set n_updates=2 --set learning_rate=1e-3"
    assert "0.0310" in capsys.readouterr().out


def test_folder_without_a_checkout_is_refused(tmp_path, capsys):
    (line,) = lines_of(capsys, ["report", "--root", str(tmp_path)])
    assert "--root" in line


def test_family_writes_chunks(tmp_path):
    from ecguard.chunk import load_chunk

    assert cli.main(["family", str(tmp_path), "--chunks", "2", "--rows", "4", "--seed", "3"]) == 0
    first, second = (load_chunk(tmp_path / f"chunk_{k}.npz") for k in (0, 1))
    assert first.rows == second.rows == 4
    assert (first.parameters != second.parameters).any()


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one chapter that is never run."""
    import nbformat

    parameters = (
        'profile: str = "smoke"\nout_dir: str = ""\ncheckpoint: str = ""\n'
        'dataset_chunk: str = ""\nduration_s: float = 8.0\nn_cases: int = 6'
    )
    cell = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "01-study.ipynb")
    return tmp_path
