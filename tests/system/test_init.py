"""`samerun init`: the project that it writes trains, passes its own tests and searches."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from samerun.cli.init_command import write_project
from support import warm


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_project(tmp_path / "mine")
    return tmp_path / "mine"


def test_its_experiment_trains_with_its_own_code_recorded(mine, samerun):
    done = samerun("train", "experiment=rings", "debug=fast", cwd=mine)
    assert done.returncode == 0, done.stderr
    assert "rings" in done.stdout
    (run,) = mine.glob("outputs/*/*")
    assert "num_rings: 3" in (run / ".hydra" / "config.yaml").read_text()
    (files,) = mine.glob("mlruns/*/*/artifacts/provenance/files.json")
    names = ("__init__", "components", "data", "models")
    assert {f"mine/{name}.py" for name in names} <= set(json.loads(files.read_text()))
    refused = samerun("reproduce", "latest", "--check", cwd=mine)
    assert refused.returncode == 2
    assert "give --trust mine" in refused.stderr
    (line,) = re.findall(r"samerun (reproduce .*)", done.stdout)
    pasted = samerun(*shlex.split(line), "--check", cwd=mine)
    assert pasted.returncode == 0, pasted.stderr


def test_its_files_are_valid_and_its_code_keeps_the_style(mine):
    settings = tomllib.loads((mine / "pyproject.toml").read_text())
    assert settings["tool"]["samerun"] == {"package": "mine"}
    notebook = json.loads((mine / "notebook.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for code in cells:
        compile(code, "notebook", "exec")
    ruff = [str(Path(sys.executable).with_name("ruff")), "check", "--isolated", "--select", "E,F,I"]
    done = subprocess.run([*ruff, "--line-length", "100", "."], cwd=mine, capture_output=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow(seconds=20)
def test_its_tests_pass_its_sweep_is_searched_and_its_notebook_reproduces(mine, samerun):
    environment = {**os.environ, "PYTHONPATH": "src"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=mine, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    few = ["sweep=widths", "sweep.n_trials=2", "sweep.workers=1", "training.epochs=1"]
    swept = samerun("train", "-m", "experiment=rings", *few, cwd=mine)
    assert swept.returncode == 0, swept.stderr
    best = re.findall(r"samerun reproduce (\w+)", swept.stdout)[0]
    last = "".join(json.loads((mine / "notebook.ipynb").read_text())["cells"][-1]["source"])
    cell = f'import samerun\nrun = samerun.load_run("{best}")\n{last}'
    done = warm.run([sys.executable, "-c", cell], cwd=mine, env=environment)
    assert "EXACT: bit-for-bit identical" in done.stdout, done.stderr
