"""One way into a run: the command line and Python do the same, by few functions."""

import traceback
from pathlib import Path

import keras
import pytest
import yaml

import samerun
from samerun import tracking
from samerun.cli import main
from samerun.errors import UserError

ROOT = Path(samerun.__file__).parent
QUICK = ["debug=fast", "tracking=lean", "model=mlp", "model.units=[4]"]


class Reached(Exception):
    """Raised in place of Keras's `fit`."""


@pytest.fixture
def stacks(monkeypatch):
    """Names of the package's functions on the stack at each call of Keras's `fit`."""
    found = []

    def fit(*arguments, **settings):
        frames = traceback.extract_stack()
        found.append([f.name for f in frames if Path(f.filename).is_relative_to(ROOT)])
        raise Reached

    monkeypatch.setattr(keras.Model, "fit", fit)
    return found


def test_few_functions_lead_from_the_command_line_to_fit(project, stacks):
    with pytest.raises(Reached):
        main(["train", *QUICK])
    (names,) = stacks
    assert len(names) <= 6, names


def test_python_and_the_command_line_go_the_same_way(project, stacks):
    for start in (lambda: main(["train", *QUICK]), lambda: samerun.train(QUICK)):
        with pytest.raises(Reached):
            start()
    first, second = stacks
    assert first[2:] == second[1:]
    one, other = tracking.find_runs()
    assert one.params == other.params
    assert one.tags["samerun.command"] == other.tags["samerun.command"]


def test_the_folder_of_a_run_holds_what_hydra_writes(project):
    result = samerun.train([*QUICK, "hydra.run.dir=mine", "+tracking.tags.api_key=abcd1234efgh"])
    assert result.folder == Path("mine").absolute()
    written = {path.name: path.read_text() for path in (result.folder / ".hydra").iterdir()}
    assert set(written) == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    assert "abcd1234efgh" not in "".join(written.values())
    assert yaml.safe_load(written["overrides.yaml"])[: len(QUICK)] == QUICK
    assert yaml.safe_load(written["config.yaml"])["model"]["units"] == [4]
    runtime = yaml.safe_load(written["hydra.yaml"])["hydra"]["runtime"]
    assert runtime["output_dir"] == str(result.folder)


def test_hydra_writes_the_same_files_of_a_run_of_a_multirun(project):
    alone = samerun.train(QUICK)
    assert main(["train", "-m", *QUICK, "hydra.sweep.dir=several"]) == 0
    for name in ("config.yaml", "overrides.yaml"):
        one, other = alone.folder / ".hydra" / name, Path("several", "0", ".hydra", name)
        assert one.read_text() == other.read_text()


def test_python_refuses_a_sweep(project):
    with pytest.raises(UserError, match=r"samerun\.sweep"):
        samerun.train(["sweep=optuna"])
