"""The command line: quick answers, wrong arguments, help and completion, in fresh processes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from samerun.cli import main
from samerun.config.schema import GROUPS, options
from support import warm
from support.project import PROGRAMS

LEAN = "tracking=lean"


def answer(*arguments, cwd, is_cold=False, **environment):
    command = [sys.executable, str(PROGRAMS / "quick_answer.py"), *arguments]
    environment = {**os.environ, **environment}
    if is_cold:
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    return warm.run(command, cwd=cwd, env=environment, kind=warm.Light)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        pytest.param(["train", "model=cn"], "Did you mean `model=cnn`?", id="option"),
        pytest.param(["train", "model.dropot=1"], "Did you mean `model.dropout=1`?", id="key"),
        pytest.param(["train", "training.epochs=x"], "an integer", id="type"),
        pytest.param(["train", "model.dropout=1.5"], "below 1", id="range"),
        pytest.param(["train", "dataset.batch_size=9999"], "at most the 1294", id="batch-size"),
        pytest.param(
            ["train", "training.early_stopping.monitor=validation/f1"], "expected one of", id="mon"
        ),
        pytest.param(
            ["train", "dataset.validation_fraction=0"], "validation split is empty", id="empty"
        ),
        pytest.param(
            ["train", "dataset=npz", "dataset.path=table.npz"], "Models that can: mlp", id="model"
        ),
        pytest.param(["train", "dataset=npz", "dataset.path=no.npz"], "no.npz", id="file"),
        pytest.param(["train", "dataset=npz", "dataset.path=torn.npz"], "torn.npz", id="torn"),
        pytest.param(["train", "dataset=npz", "dataset.path=objects.npz"], "object", id="pickle"),
        pytest.param(["train", "-m", "model=mlp,cnm"], "received 'cnm'", id="multirun"),
        pytest.param(["train", "-m", "seed=1,x"], "received 'x'", id="multirun-value"),
        pytest.param(["train", "--schedule-plot"], "expected a file name", id="plot"),
        pytest.param(["train", "--schedule-plot", "a.xyz"], ".png", id="plot-ending"),
        pytest.param(["ui"], "There are no runs here", id="no-runs"),
        pytest.param(["ui", "--port", "99999999"], "ui --port 5", id="port"),
        pytest.param(["ui", "--host", "no.host.invalid"], "--host: received", id="host"),
        pytest.param(["tensorboard", "--port", "-1"], "tensorboard --port 5", id="port-below-1"),
        pytest.param(["tensorboard"], "There are no runs here", id="no-runs-for-tensorboard"),
        pytest.param(["dance"], "dance: there is no such command", id="command"),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_code_2(overrides, sentence, tmp_path):
    np.savez(tmp_path / "table.npz", x=np.zeros((50, 3)), y=np.arange(50) % 2)
    np.savez(tmp_path / "objects.npz", x=np.array([{}] * 9), y=np.arange(9) % 3)
    (tmp_path / "torn.npz").write_bytes((tmp_path / "table.npz").read_bytes()[:90])
    before = set(tmp_path.iterdir())
    done = answer(*overrides, cwd=tmp_path)
    message = done.stderr.replace("imported: []\n", "")
    assert done.returncode == 2
    assert sentence in message
    assert "Traceback" not in message
    assert "imported: []" in done.stderr
    assert set(tmp_path.iterdir()) == before, "something was written"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        pytest.param([], "COMMAND", id="nothing"),
        pytest.param(["--help"], "tensorboard", id="help"),
        pytest.param(["--version"], "samerun ", id="version"),
        pytest.param(["train", "--help"], "reduce_on_plateau", id="train-help"),
        pytest.param(["train", "--cfg", "job"], "learning_rate", id="config"),
        pytest.param(["completion"], "complete", id="completion"),
    ],
)
def test_answers_come_without_heavy_imports(overrides, expected, tmp_path):
    done = answer(*overrides, cwd=tmp_path, is_cold=True)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert "imported: []" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        pytest.param("samerun tr", {"train"}, id="command"),
        pytest.param("samerun train model=m", {"model=mlp"}, id="option"),
        pytest.param("samerun train model=cnn model.dr", {"model.dropout="}, id="key"),
        pytest.param("samerun train -m schedule=cosine_", {"schedule=cosine_restarts"}, id="flag"),
    ],
)
def test_tab_completes(line, offered, tmp_path):
    done = answer("-sc", "query=bash", cwd=tmp_path, COMP_LINE=line, COMP_POINT=str(len(line)))
    assert offered == set(done.stdout.split()), done.stderr
    assert "imported: []" in done.stderr


def test_train_help_lists_every_option(tmp_path):
    text = answer("train", "--help", cwd=tmp_path).stdout
    for group in (*GROUPS, "dataset/augmentation", "debug"):
        line = next(row for row in text.splitlines() if row.strip().startswith(f"{group} "))
        assert line.split()[1:] == options(group)


def test_schedule_plot_draws_a_picture_and_trains_nothing(samerun, tmp_path):
    done = samerun("train", "schedule=one_cycle", "--schedule-plot", "rate.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rate.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["rate.png"]


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(["tracking.uri=http://bob:geheim@127.0.0.1:9/", LEAN], id="word"),
        pytest.param(
            ["++tracking.uri='http://bob:geheim@127.0.0.1:9/'", LEAN],
            id="quoted",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["-m", "seed=1,2", "tracking.uri=http://bob:geheim@127.0.0.1:9/", LEAN],
            id="multirun",
            marks=pytest.mark.slow,
        ),
        pytest.param(["--config-dir", "own", "experiment=mine"], id="file", marks=pytest.mark.slow),
        pytest.param(
            ["-m", "seed=1,2", "--config-dir", "own", "experiment=mine", LEAN], id="file-multirun"
        ),
    ],
)
def test_a_password_of_the_tracking_store_is_in_no_file_and_on_no_screen(
    project, samerun, overrides
):
    own = project / "own" / "experiment" / "mine.yaml"
    own.parent.mkdir(parents=True)
    head, text = "# @package _global_\n", "tracking: {uri: 'http://bob:geheim@127.0.0.1:9/'}\n"
    own.write_text(head + text)
    impatient = {**os.environ, "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}
    overrides = [*overrides, "model=mlp", "debug=fast", "tracking.patience_seconds=0"]
    done = samerun("train", *overrides, cwd=project, env=impatient)
    assert done.returncode == 0
    assert "127.0.0.1" in done.stdout + done.stderr
    assert "geheim" not in done.stdout + done.stderr
    assert list(project.rglob(".hydra/config.yaml"))
    files = [file for file in project.rglob("*") if file.is_file() and file != own]
    assert [file for file in files if b"geheim" in file.read_bytes()] == []
    assert own.read_text() == head + text


def test_passwords_of_several_stores_are_refused_in_one_sentence(project, capsys):
    overrides = ["-m", "tracking.uri=http://a:geheim@127.0.0.1:9,http://127.0.0.1:10"]
    assert main(["train", *overrides]) == 2
    assert capsys.readouterr().err == (
        "samerun: tracking.uri: received http://a:***@127.0.0.1:9,http://127.0.0.1:10, expected "
        "one address where it holds a password.\n"
    )
