"""One way into a run: the command line and Python do the same, by few functions."""

import subprocess
import sys
import traceback
from pathlib import Path

import keras
import pytest
import yaml

import samerun
from samerun import tags as tag
from samerun import tracking, training
from samerun.cli import main
from samerun.errors import UserError

ROOT = Path(samerun.__file__).parent
QUICK = ["debug=fast", "tracking=lean", "model=mlp", "model.units=[4]"]


class Reached(Exception):
    """Raised in place of Keras's `fit`."""


def raise_reached(*arguments, **options):
    raise Reached


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
    assert first[2:] == second[2:]
    one, other = tracking.find_runs()
    assert one.params == other.params
    assert one.tags["samerun.command"] == other.tags["samerun.command"]


def test_the_folder_of_a_run_holds_what_hydra_writes(project, stacks):
    with pytest.raises(Reached):
        samerun.train([*QUICK, "hydra.run.dir=mine", "+tracking.tags.api_key=abcd1234efgh"])
    folder = Path("mine").absolute()
    (run,) = tracking.find_runs()
    assert run.tags["samerun.folder"] == str(folder)
    written = {path.name: path.read_text() for path in (folder / ".hydra").iterdir()}
    assert set(written) == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    assert "abcd1234efgh" not in "".join(written.values())
    assert yaml.safe_load(written["overrides.yaml"])[: len(QUICK)] == QUICK
    assert yaml.safe_load(written["config.yaml"])["model"]["units"] == [4]
    runtime = yaml.safe_load(written["hydra.yaml"])["hydra"]["runtime"]
    assert runtime["output_dir"] == str(folder)


@pytest.mark.slow
def test_hydra_writes_the_same_files_of_a_run_of_its_own_multirun_and_the_curves(
    project, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(training, "start", raise_reached)
        with pytest.raises(Reached):
            samerun.train([*QUICK, "seed=1"])
    (alone,) = Path("outputs").rglob(".hydra")
    settings = ["hydra.sweep.dir=several", "hydra.job.chdir=false"]
    assert main(["train", "-m", *QUICK, "seed=1,2", *settings]) == 0
    assert Path("several", "curves.png").exists()
    for name in ("config.yaml", "overrides.yaml"):
        one, other = alone / name, Path("several", "0", ".hydra", name)
        assert one.read_text() == other.read_text()


def test_a_multirun_has_a_run_of_its_own_with_the_results_best_first(project, capsys):
    overrides = ["optimizer.learning_rate=1e-7,0.01,1e30", "optimizer=sgd"]
    assert main(["train", "-m", *QUICK, *overrides]) == 1
    runs = {run.id: run for run in tracking.find_runs()}
    (parent,) = [run for run in runs.values() if tag.MULTIRUN in run.tags]
    children = [run for run in runs.values() if run is not parent]
    assert {run.tags["mlflow.parentRunId"] for run in children} == {parent.id}
    assert sorted(run.status for run in children) == ["FAILED", "FINISHED", "FINISHED"]
    assert (parent.status, parent.tags[tag.MULTIRUN]) == ("FINISHED", "3")
    rows = tracking.read_artifact(parent, "runs.csv").decode().splitlines()
    assert rows[0] == "rank,run,validation/loss,test/accuracy,with"
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2", ""]
    losses = [float(row.split(",")[2]) for row in rows[1:3]]
    assert losses == sorted(losses)
    assert rows[3] == ",failed,,,optimizer.learning_rate=1e+30"
    assert runs[parent.tags[tag.BEST]].id.startswith(rows[1].split(",")[1])
    assert "plots/curves.png" in tracking.list_artifacts(parent, "plots")
    assert parent.params["model.units"] == "[4]"
    assert "optimizer.learning_rate" not in parent.params
    out = capsys.readouterr().out
    assert out.count("activation=relu") == 1, "the config is shown once"
    assert "HYDRA" not in out
    assert out.index("1/3") < out.index("2/3") < out.index("3/3") < out.index("rank")
    for name in (parent.id, "latest"):
        assert main(["reproduce", name]) == 2
        error = capsys.readouterr().err
        assert f"{parent.tags[tag.BEST][:8]}, the best (`samerun show {parent.id[:8]}`" in error


def test_python_refuses_a_sweep(project):
    with pytest.raises(UserError, match=r"samerun\.sweep"):
        samerun.train(["sweep=optuna"])


@pytest.mark.slow
def test_a_process_of_samerun_imports_what_a_run_does_not_use_only_when_asked_for_it():
    code = """
import sys
from samerun.process import own_process
own_process()
from samerun import tracking, training
import keras, mlflow
heavy = ("sklearn", "scipy.stats", "matplotlib", "matplotlib.pyplot", "fastapi")
print([name for name in heavy if name in sys.modules])
used = (keras.wrappers.SKLearnClassifier, keras.visualization.plot_image_gallery)
print(*(one.__name__ for one in (*used, mlflow.gateway.get_gateway_uri)))
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[]",
        "SKLearnClassifier plot_image_gallery get_gateway_uri",
        "['sklearn', 'scipy.stats', 'matplotlib', 'matplotlib.pyplot', 'fastapi']",
    ]
