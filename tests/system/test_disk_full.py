"""A file system that really has no room left, and has some again: nothing is lost.

A tmpfs of a few megabytes can be mounted as root only; where that is not possible the tests are
skipped, and `.ci/run` takes a skipped test as one that failed.
"""

import contextlib
import shutil
import sqlite3
import subprocess
from pathlib import Path

import optuna
import pytest

from samerun import config, search, tracking
from samerun.sweeper import outages
from support.project import values
from support.sweeps import instant_executor


@pytest.fixture
def small(tmp_path):
    """A folder with four megabytes of room, and what fills it; both go with the test."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "samerun-test", str(place)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place):
    """Takes all the room there is, to the last byte."""
    for name, size in (("filling", 65536), ("rest", 1)):
        with contextlib.suppress(OSError), (place / name).open("wb", 0) as file:
            while file.write(b"x" * size) == size:
                pass
    assert shutil.disk_usage(place).free == 0


def make_room(place):
    (place / "filling").unlink()
    (place / "rest").unlink()


def test_a_full_run_folder_loses_no_point(project, client, small):
    cfg = config.compose([]).config
    with tracking.open_run(cfg, small / "run") as run:
        run.log_metrics({"loss": 9.0}, step=0)
        assert run.flush()
        fill(small)
        for step in range(1, 50):
            run.log_metrics({"loss": 9.0 - step}, step=step)
        run.log_text("no room for this", "notes/big.txt")
        assert run.flush()  # what the disk does not take is kept in memory, and delivered
        make_room(small)
        run.log_metrics({"loss": -99.0}, step=50)
    stored = values(client, run.id, "loss")
    assert stored == [(step, 9.0 - step) for step in range(50)] + [(50, -99.0)]
    assert client.get_run(run.id).info.status == "FINISHED"


def test_a_full_database_of_runs_gets_everything_when_there_is_room(project, client, small):
    shutil.move("mlflow.db", small / "mlflow.db")
    cfg = config.compose([f"tracking.uri=sqlite:///{small}/mlflow.db"]).config
    with tracking.open_run(cfg, Path("run")) as run:
        fill(small)
        for step in range(2000):
            run.log_metrics({"loss": float(step), "accuracy": 0.5}, step=step)
        assert not run.flush()
        make_room(small)
    there = tracking.connect(f"sqlite:///{small}/mlflow.db")
    assert values(there, run.id, "loss") == [(step, float(step)) for step in range(2000)]
    assert there.get_run(run.id).info.status == "FINISHED"


def test_a_full_study_ends_the_sweep_which_continues_when_there_is_room(
    project, small, monkeypatch, capsys
):
    worker = instant_executor(monkeypatch)
    monkeypatch.setattr(outages, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(outages, "PATIENCE_SECONDS", 0.5)
    overrides = [f"sweep.storage=sqlite:///{small}/optuna.db"]

    def fill_first(task, outcome):
        if task.number == 1:
            fill(small)
        return outcome

    worker.answer = fill_first
    assert worker.sweep(*overrides, n=60) == 2
    assert "sweep.study=s" in capsys.readouterr().err
    make_room(small)
    worker.answer = lambda task, outcome: outcome
    assert worker.sweep(*overrides, n=5) == 0
    kept = search.open_storage(f"sqlite:///{small}/optuna.db")
    states = [t.state.name for t in optuna.load_study(study_name="s", storage=kept).trials]
    assert states == ["COMPLETE"] * 5
    with sqlite3.connect(small / "optuna.db") as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    database.close()
