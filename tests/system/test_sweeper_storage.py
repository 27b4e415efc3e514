"""A study's storage that is deleted, replaced, locked or read with a clock that jumps."""

import shutil
import sqlite3
import threading
import time
from pathlib import Path

import optuna
import pytest

from samerun.search import lease, storage
from samerun.sweeper import outages
from support.project import until
from support.sweeps import children, states, study


def delete():
    for file in Path.cwd().glob("optuna.db*"):
        file.unlink()


def replace():
    shutil.copy("optuna.db", "copy.db")
    delete()
    Path("copy.db").rename("optuna.db")


@pytest.mark.parametrize("loss", [delete, replace])
def test_a_study_whose_file_is_deleted_in_mid_sweep_ends_it_in_one_sentence(
    worker, project, capsys, loss
):
    """SQLite would keep writing into a file that has no name any more, and exit with 0."""

    def lose(task, outcome):
        if task.number == 1:
            loss()
        return outcome

    worker.answer = lose
    assert worker.sweep(n=5) == 2
    message = capsys.readouterr().err
    assert message.count("was deleted or replaced while the sweep ran") == 1
    assert "Traceback" not in message
    assert len(worker.tasks) == 2
    assert len(children()) == 2
    worker.answer = lambda task, outcome: outcome
    assert worker.sweep("sweep.study=again", n=2) == 0
    assert states("again") == ["COMPLETE"] * 2


def test_a_study_that_is_locked_in_mid_sweep_loses_no_trial(worker, project, monkeypatch, caplog):
    """`tests/programs/sweep_disturbed.py locked --seconds 75` does it with the real times."""
    monkeypatch.setattr(storage, "_BUSY_SECONDS", 0.2)
    monkeypatch.setattr(outages, "PAUSE_SECONDS", 0.1)
    locked, release = threading.Event(), threading.Event()

    def hold():
        database = sqlite3.connect("optuna.db", isolation_level=None, timeout=60)
        database.execute("begin exclusive")
        locked.set()
        release.wait(1.5)
        database.execute("rollback")
        database.close()

    thread = threading.Thread(target=hold)

    def lock(task, outcome):
        if task.number == 1 and not locked.is_set():
            thread.start()
            locked.wait()
        return outcome

    worker.answer = lock
    assert worker.sweep(n=4) == 0
    thread.join()
    assert states() == ["COMPLETE"] * 4
    assert len(children()) == len(worker.tasks) == 4
    assert "Store unavailable" in caplog.text


@pytest.mark.parametrize("jump", [-86400, 86400])
def test_a_sweep_that_lives_is_not_taken_over_when_a_clock_jumps(
    worker, project, monkeypatch, capsys, jump
):
    assert worker.sweep(n=1) == 0
    ended = threading.Event()

    def renew():
        kept = optuna.load_study(study_name="s", storage="sqlite:///optuna.db")
        while not ended.wait(0.1):
            holder = {"host": "elsewhere", "pid": 7, "at": round(time.time() + jump, 1)}
            kept.set_user_attr("samerun.holder", {**holder, "count": time.monotonic()})

    thread = threading.Thread(target=renew)
    thread.start()
    until(lambda: study().user_attrs["samerun.holder"])
    assert worker.sweep(n=2) == 2
    ended.set()
    thread.join()
    assert "is running on elsewhere (process 7" in capsys.readouterr().err
    monkeypatch.setattr(lease, "RENEWED_SECONDS", 0.05)
    assert worker.sweep(n=2) == 0  # it is dead now, whatever the last time on its clock
    assert states() == ["COMPLETE"] * 2
