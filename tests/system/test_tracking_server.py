"""Runs against a real MLflow server, which stops in the middle and comes back."""

import json
import time
from pathlib import Path

import optuna
import pytest

from samerun import config, tracking
from samerun.errors import UserError

pytestmark = pytest.mark.slow


@pytest.fixture
def cfg(server, tmp_path, monkeypatch, soon_again):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = f"http://me:geheim@127.0.0.1:{server.port}"
    return config.compose([f"tracking.uri='{uri}'"]).config


def test_a_server_that_is_killed_and_started_again_has_every_point_once(server, cfg, caplog):
    with tracking.open_run(cfg, Path("1")) as run:
        assert run.url == (
            f"http://127.0.0.1:{server.port}/#/experiments/{run.experiment_id}/runs/{run.id}"
        )
        for step in range(10):
            run.log_metrics({"loss": float(step)}, step=step)
        assert run.flush()
        server.stop()
        slowest = 0.0
        for step in range(10, 20):
            started = time.monotonic()
            run.log_metrics({"loss": float(step)}, step=step)
            run.log_text(str(step), "notes.txt")
            slowest = max(slowest, time.monotonic() - started)
            time.sleep(0.1)
        assert slowest < 1  # a step never waits for the store
        assert not run.flush()
        server.start()
        for step in range(20, 30):
            run.log_metrics({"loss": float(step)}, step=step)
        assert run.flush()
    client = tracking.connect(cfg.tracking.uri)
    history = client.get_metric_history(run.id, "loss")
    assert [(point.step, point.value) for point in history] == [(s, float(s)) for s in range(30)]
    assert client.get_run(run.id).info.status == "FINISHED"
    assert Path(client.download_artifacts(run.id, "notes.txt")).read_text() == "19"
    written = [file.read_text() for file in Path("1").rglob("*") if file.is_file()]
    assert "geheim" not in "".join([*written, *caplog.messages])


def test_a_run_that_ends_offline_ends_soon_and_is_delivered_later(server, cfg, monkeypatch):
    with tracking.open_run(cfg, Path("1")) as run:
        run.log_metrics({"loss": 1.0}, step=0)
        run.flush()
        server.stop()
        run.log_metrics({"loss": 0.5}, step=1)
        started = time.monotonic()
    assert time.monotonic() - started < 20
    server.start()
    with pytest.raises(UserError, match="needs its password"):
        tracking.deliver(Path("1"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", cfg.tracking.uri)
    assert tracking.deliver(Path("1")) == 2
    client = tracking.connect(cfg.tracking.uri)
    assert [point.step for point in client.get_metric_history(run.id, "loss")] == [0, 1]
    assert client.get_run(run.id).info.status == "FINISHED"


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_password_of_the_command_line_reaches_workers_and_no_file(
    cfg, project, executor, samerun
):
    overrides = ["-m", "sweep=optuna", "sweep.study=s", "sweep.n_trials=1", "sweep.workers=1"]
    overrides += ["model=mlp", "model.dropout=interval(0,0.5)", "dataset.limit=100", "debug=fast"]
    overrides += [f"tracking.uri='{cfg.tracking.uri}'", f"sweep.executor={executor}"]
    done = samerun("train", *overrides, cwd=project)
    assert done.returncode == 0, done.stderr
    (study,) = optuna.get_all_study_summaries("sqlite:///optuna.db")
    (trial,) = optuna.load_study(study_name=study.study_name, storage="sqlite:///optuna.db").trials
    assert trial.state.name == "COMPLETE"
    assert "geheim" not in json.dumps(trial.user_attrs)
    assert any("//me:***@" in word for word in trial.user_attrs["samerun.words"])
    assert "me:***@" in Path("multirun/s/0/.hydra/overrides.yaml").read_text()
    files = [file for file in project.rglob("*") if file.is_file()]
    assert [file for file in files if b"geheim" in file.read_bytes()] == []
    client = tracking.connect(cfg.tracking.uri)
    assert client.get_run(trial.user_attrs["samerun.run"]).info.status == "FINISHED"
