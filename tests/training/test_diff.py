"""Two runs side by side: exactly what differs, as text, as JSON and as lines of code."""

import json
import shutil
import sys

import pytest

import samerun as package
from samerun import cli, tracking
from samerun.replay import code_diff
from samerun.replay.recorded import Provenance
from support.project import MODEL, git

PLAIN = [
    "training.epochs=1",
    "tracking=lean",
]
OVERRIDES = [*PLAIN, "dataset.limit=60", "model=custom", "model.target=my_model:build"]


@pytest.fixture(scope="module")
def folder(prepared_database, tmp_path_factory):
    made = tmp_path_factory.mktemp("two")
    shutil.copy(prepared_database, made / "mlflow.db")
    return made


@pytest.fixture(scope="module")
def made(folder):
    """Two runs that differ in one leaf of the config and in one line of code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        (folder / ".gitignore").write_text("mlruns\nmlflow.db*\noutputs\n__pycache__\n")
        (folder / "my_model.py").write_text(MODEL)
        git(folder, "init", "--quiet")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", "first")
        ids = [package.train(OVERRIDES).run_id]
        del sys.modules["my_model"]
        (folder / "my_model.py").write_text(MODEL.replace("Dense(4", "Dense(5"))
        (folder / "notes.md").write_text("Nothing that runs.\n")
        ids.append(package.train([*OVERRIDES, "optimizer.learning_rate=0.01"]).run_id)
        del sys.modules["my_model"]
    return ids


@pytest.fixture
def two(made, folder, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(folder)
    return made


def test_exactly_one_key_and_one_line_are_reported(two, capsys):
    assert cli.main(["diff", *two, "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert [(row["what"], row["first"], row["second"]) for row in output["config"]] == [
        ("optimizer.learning_rate", "0.001", "0.01")
    ]
    assert [(row["what"], row["detail"]) for row in output["code"]] == [
        ("your files", "my_model.py")
    ]
    lines = [
        line
        for line in output["hunks"].splitlines()
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert len(lines) == 2
    assert "Dense(4" in lines[0]
    assert "Dense(5" in lines[1]
    for part in ("threads", "environment", "machine", "data"):
        assert output[part] == []
    assert "train/loss" in output["metrics"]

    assert cli.main(["diff", *two]) == 0
    page = capsys.readouterr().out
    titles = [
        line
        for line in page.splitlines()
        if line in ("Config", "Code", "Data", "Threads", "Environment", "Machine", "Metrics")
    ]
    assert titles == ["Config", "Code", "Metrics"]
    assert "notes.md" not in page
    assert "Dense(5" in page


def test_a_run_and_itself_differ_in_nothing(two, capsys):
    assert cli.main(["diff", two[0], two[0]]) == 0
    page = capsys.readouterr().out
    assert "same last value" in page
    assert "Config" not in page


def test_lines_of_code_come_out_of_git_without_touching_it(project):
    git(project, "init", "--quiet")
    (project / "a.py").write_text("one = 1\n")
    git(project, "add", "a.py")
    git(project, "commit", "--quiet", "-m", "first")
    commit = git(project, "rev-parse", "HEAD")
    (project / "a.py").write_text("one = 2\n")
    patch = git(project, "diff", "HEAD", "--binary") + "\n"
    objects = git(project, "count-objects")
    found = code_diff.between(
        Provenance(commit=commit, patch=""), Provenance(commit=commit, patch=patch), ["a.py"]
    )
    assert "-one = 1\n+one = 2" in found
    assert git(project, "count-objects") == objects
    assert git(project, "status", "--short", "a.py") == "M a.py"


def test_without_both_states_there_are_no_lines(project):
    assert (
        code_diff.between(Provenance(commit="", patch=""), Provenance(commit="", patch=""), None)
        is None
    )
    git(project, "init", "--quiet")
    strange = Provenance(commit="--output=ran", patch="")
    assert code_diff.between(strange, strange, None) is None
    assert not (project / "ran").exists()


def test_a_run_that_is_not_there_is_one_sentence(two, capsys):
    assert cli.main(["diff", two[0], "nothing"]) == 2
    assert "names no run" in capsys.readouterr().err
    assert len(tracking.find_runs()) == 2
