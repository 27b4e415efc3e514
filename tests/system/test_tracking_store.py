"""Which store a run is recorded in, stores that cannot be used, and many processes at once."""

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from samerun import config, tracking
from samerun.errors import UserError
from samerun.tracking.naming import run_name
from samerun.tracking.store import run_url
from support.project import PROGRAMS
from support.warm import Warm


@pytest.fixture(scope="module")
def made_store(tmp_path_factory):
    """A folder with a database, the default experiment's artifacts and no run."""
    folder = tmp_path_factory.mktemp("project")
    before = Path.cwd()
    os.chdir(folder)
    try:
        tracking.connect(tracking.resolve_uri("sqlite:///mlflow.db"))
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def database(made_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(made_store / "mlflow.db", tmp_path / "mlflow.db")
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    yield connection
    connection.close()


def test_the_store_is_the_configs_then_the_environments_then_mlflows_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking.resolve_uri(None) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000/")
    assert tracking.resolve_uri(None) == "http://127.0.0.1:5000"
    assert tracking.resolve_uri("sqlite:///sub/own.db") == f"sqlite:///{tmp_path}/sub/own.db"
    assert tracking.resolve_uri("sqlite:////abs/own.db") == "sqlite:////abs/own.db"
    assert tracking.resolve_uri("postgresql+psycopg2://h/d") == "postgresql+psycopg2://h/d"


def test_a_password_that_is_not_written_down_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:geheim@host/")
    assert tracking.resolve_uri("https://me:***@host/") == "https://me:geheim@host"
    for known in ("https://me:geheim@other", "https://me:***@host"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", known)
        with pytest.raises(UserError, match=r"The store https://me:\*\*\*@host needs its password"):
            tracking.resolve_uri("https://me:***@host")


@pytest.mark.parametrize(
    "uri",
    ["mlruns", "./mlruns", "file:./mlruns", "ftp://host/runs", "sqlite://", "sqlite:///:memory:"],
)
def test_what_cannot_be_a_store_is_refused_before_mlflow_is_imported(uri):
    with pytest.raises(UserError, match=r"tracking.uri: received '.*', expected a (database|file)"):
        tracking.resolve_uri(uri)


def test_the_address_of_a_run_has_no_password_in_it():
    assert run_url("sqlite:////a.db", "1", "ab") is None
    url = run_url("https://me:geheim@host:5000/mlflow", "1", "ab")
    assert url == "https://host:5000/mlflow/#/experiments/1/runs/ab"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        pytest.param("http://me:geheim@127.0.0.1:9", "nothing listens there", id="closed-port"),
        pytest.param("http://no.such.host.invalid", "no host of that name", id="no-host"),
        pytest.param("postgresql://me:geheim@127.0.0.1:9/runs", "not installed", id="no-driver"),
        pytest.param("sqlite:////proc/none/mlflow.db", "cannot be written", id="no-folder"),
        pytest.param("sqlite:////proc", "cannot be written", id="a-folder"),
    ],
)
def test_a_store_that_is_not_there_is_one_sentence_within_seconds(uri, message):
    started = time.monotonic()
    with pytest.raises(UserError, match=message) as caught:
        tracking.connect(uri)
    assert time.monotonic() - started < 20
    assert "geheim" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        pytest.raises(UserError, match="it does not answer:"),
    ):
        tracking.connect(f"http://127.0.0.1:{deaf.getsockname()[1]}")


def test_a_server_of_another_kind_is_recognized():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.0 404 Not Found\r\n\r\nno such page")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(UserError, match="does not answer as MLflow 3.17 does"):
            tracking.connect(f"http://127.0.0.1:{server.getsockname()[1]}")
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10)


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        pytest.param(
            ["update alembic_version set version_num = 'ffffffffffff'"],
            "another version of MLflow .schema ffffffffffff",
            id="newer",
        ),
        pytest.param(
            ["drop table alembic_version"], "another version of MLflow .schema unknown", id="broken"
        ),
        pytest.param(
            ["drop table experiments", "create table studies (id int)"],
            "tables of another program.*Optuna",
            id="optuna",
        ),
    ],
)
def test_a_database_that_is_not_this_mlflows_is_left_alone(database, commands, message):
    for command in commands:
        database.execute(command)
    database.commit()
    before = Path("mlflow.db").read_bytes()
    with pytest.raises(UserError, match=message):
        tracking.connect(tracking.resolve_uri("sqlite:///mlflow.db"))
    assert Path("mlflow.db").read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    file = tmp_path / "mlflow.db"
    file.write_text("dear diary " * 100)
    with pytest.raises(UserError, match="not an SQLite database"):
        tracking.connect(f"sqlite:///{file}")
    assert file.read_text().startswith("dear diary")


def test_an_experiment_is_made_once_and_opens_on_training_runs(database):
    client = tracking.connect(tracking.resolve_uri("sqlite:///mlflow.db"))
    made = tracking.experiment_id(client, "mine")
    assert tracking.experiment_id(client, "mine") == made
    kind = client.get_experiment(made).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development"


def test_a_deleted_experiment_is_not_written_to(database):
    client = tracking.connect(tracking.resolve_uri("sqlite:///mlflow.db"))
    made = tracking.experiment_id(client, "mine")
    client.delete_experiment(made)
    with pytest.raises(UserError, match=f"'mine' was deleted.*--experiment-id {made}"):
        tracking.experiment_id(client, "mine")


def test_artifacts_are_found_after_the_project_was_moved(made_store, tmp_path, monkeypatch):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    monkeypatch.chdir(old)
    shutil.copy(made_store / "mlflow.db", old)
    with sqlite3.connect("mlflow.db") as database:
        database.execute("update experiments set artifact_location = ?", (f"{old}/mlruns/0",))
    database.close()
    cfg = config.compose(["tracking.experiment=moved", "tracking.uri=sqlite:///mlflow.db"]).config
    with tracking.open_run(cfg, Path("outputs/1")) as before:
        before.log_text("x", "notes.txt")
    old.rename(new)
    monkeypatch.chdir(new)
    with tracking.open_run(cfg, Path("outputs/2")) as after:
        after.log_text("y", "notes.txt")
    client = tracking.connect(tracking.resolve_uri("sqlite:///mlflow.db"))
    for run, text in ((before, "x"), (after, "y")):
        assert Path(client.download_artifacts(run.id, "notes.txt")).read_text() == text
    assert not old.exists()


def test_run_names_contain_what_differs_and_never_repeat_after_seeding():
    import random

    import numpy as np

    overrides = [
        "model=mlp",
        "model.dropout=0.3",
        "model.hidden=[64,32]",
        "training.epochs=5",
        "optimizer.learning_rate=0.1",
    ]
    cfg = config.compose([*overrides[:2], "training.epochs=5"]).config
    names = set()
    for _ in range(50):
        random.seed(0)
        np.random.seed(0)
        names.add(run_name(cfg, overrides))
    assert len(names) == 50
    assert {name.rpartition(" ")[0] for name in names} == {
        "dropout=0.3 hidden=64x32 learning_rate=0.1 epochs=5 · mlp digits"
    }
    own = config.compose(["tracking.run_name=mine"]).config
    assert run_name(own) == "mine"
    assert run_name(cfg, ["+tracking.tags.a=b"]).startswith("mlp digits ")


@pytest.mark.parametrize(
    ("overrides", "varied", "expected"),
    [
        ([], [], "cnn digits"),
        (["model=mlp"], [], "mlp digits"),
        (["schedule=constant", "model.dropout=0.3"], [], "dropout=0.3 constant · cnn digits"),
        (["debug=fast"], [], "debug=fast · cnn digits"),
        (["training.epochs=9", "optimizer=sgd", "seed=4"], [], "seed=4 sgd epochs=9 · cnn"),
        (
            [
                "model.l1=1",
                "model.l2=2",
                "model.dropout=0.3",
                "seed=1",
                "optimizer.beta_1=0.8",
                "dataset.batch_size=8",
                "training.epochs=5",
            ],
            [],
            "l1=1 l2=2 dropout=0.3 seed=1 beta_1=0.8 batch_size=8 +1 · cnn digits",
        ),
        (["model.dropout=0.3", "debug=fast"], [], "debug=fast dropout=0.3 · cnn digits"),
        (["experiment=digits_cnn", "seed=3"], [], "seed=3 · digits_cnn"),
        (["experiment=digits_cnn", "model=mlp"], [], "mlp · digits_cnn"),
        (["model=mlp", "schedule=constant"], ["model", "schedule"], "mlp constant · digits"),
        (["seed=1", "model=mlp"], ["model"], "mlp seed=1 · digits"),
        (["dataset/augmentation=flip"], ["dataset/augmentation"], "augmentation=flip · cnn digits"),
        (["schedule=none"], [], "schedule=none · cnn digits"),
        (["dataset=table_csv", "dataset.path=/home/me/houses.csv"], [], "path=houses.csv · cnn"),
        (["optimizer.learning_rate=0.005931"], [], "learning_rate=0.0059 · cnn digits"),
        (["optimizer.learning_rate=0.00016234"], [], "learning_rate=1.6e-4 · cnn digits"),
        (["training.steps_per_execution=10"], [], "steps_per_execut…=10 · cnn digits"),
        (["model.target=my_code.models:residual"], [], "target=my_code.mode… · cnn digits"),
    ],
)
def test_run_names_start_with_what_differs(overrides, varied, expected):
    name = run_name(config.compose([]).config, overrides, varied)
    assert name.startswith(expected)
    assert len(name.partition(" · ")[0].split(" ")[0]) <= 20
    assert re.fullmatch(r"[^\\/\"'$`!*?\[\](){}|&;<>]+", name), "in quotes it is one argument"


@pytest.mark.slow
def test_four_processes_that_start_at_once_in_a_fresh_folder_all_work(tmp_path):
    command = [sys.executable, PROGRAMS / "tracking_writes.py"]
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    started = [
        Warm([*command, name], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
        for name in "abcd"
    ]
    ids = [process.communicate(timeout=300)[0].strip() for process in started]
    assert [process.returncode for process in started] == [0] * 4
    client = tracking.connect(f"sqlite:///{tmp_path}/mlflow.db")
    experiments = {client.get_run(run_id).info.experiment_id for run_id in ids}
    assert len(set(ids)) == 4
    assert len(experiments) == 1
    for run_id in ids:
        assert client.get_run(run_id).info.status == "FINISHED"
        assert len(client.get_metric_history(run_id, "train/loss")) == 20
