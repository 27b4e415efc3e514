"""`samerun sync`: what a store lacks is delivered from any process, and compared point by point."""

import contextlib
import json
import os
import shutil
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from programs.sync_after_kill import kill_and_sync
from samerun import tracking
from samerun.cli import main
from samerun.errors import UserError
from samerun.tracking.recovery import completeness, folders, sync
from support import warm
from support.mlflow_server import Server
from support.project import PROGRAMS, composed, values

NOWHERE = "http://127.0.0.1:9"


def die(folder, cwd=None):
    command = [sys.executable, PROGRAMS / "tracking_dies.py", folder, "SIGKILL"]
    died = warm.run(command, cwd=cwd)
    assert died.returncode == -9, died.stderr
    return died.stdout.strip()


def log_everything(run):
    run.log_params({"model.kind": "mlp", "long": "x" * 7000})
    run.set_tags({"owner": "me"})
    for step, value in enumerate([1.0, float("nan"), float("inf"), -0.0, 1e-300]):
        run.log_metrics({"train/loss": value, "-inf": -float("inf")}, step=step)
    run.log_text("some notes", "notes/first.txt")
    run.log_dataset(
        name="digits",
        split="train",
        digest="ab" * 32,
        num_examples=3,
        schema={"image": "float32"},
        source="scikit-learn",
    )


@pytest.fixture(scope="module")
def logged(tmp_path_factory, prepared_database):
    """A project whose only run is whole, and a copy of it."""
    folder, kept = tmp_path_factory.mktemp("logged"), tmp_path_factory.mktemp("kept")
    shutil.copy(prepared_database, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        with tracking.open_run(composed(), Path("outputs/1")) as run:
            log_everything(run)
    copy(folder, kept)
    return folder, kept


@pytest.fixture
def whole(logged, monkeypatch):
    """That project as the working folder; what a test does to it is taken back."""
    folder, kept = logged
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(folder)
    yield
    copy(kept, folder)


def copy(source, target):
    """Copies a project; a database that MLflow has open is written to, not replaced."""
    with (
        contextlib.closing(sqlite3.connect(source / "mlflow.db")) as read,
        contextlib.closing(sqlite3.connect(target / "mlflow.db")) as written,
    ):
        read.backup(written)
    for name in ("mlruns", "outputs"):
        shutil.rmtree(target / name, ignore_errors=True)
        shutil.copytree(source / name, target / name)


@pytest.fixture
def server(tmp_path_factory, prepared_database):
    """An MLflow server of its own; stopped, and started again by the test."""
    started = Server(tmp_path_factory.mktemp("server"), prepared_database)
    yield started
    started.stop()


def test_a_killed_run_is_delivered_and_ends_killed(client, project, capsys):
    run_id = die("outputs/1")
    assert main(["sync", "--check"]) == 1
    output = capsys.readouterr().out
    assert "train/loss at step 1 is missing" in output
    assert "notes.txt is missing" in output
    assert "the end of the run was not recorded" in output
    assert values(client, run_id, "train/loss") == [(0, 1.0)], "--check delivers nothing"
    assert main(["sync", run_id[:8]]) == 0
    assert "1 artifact, 1 end, 1 point" in capsys.readouterr().out
    assert values(client, run_id, "train/loss") == [(0, 1.0), (1, 0.5)]
    assert client.get_run(run_id).info.status == "KILLED"
    assert main(["sync", "--check", run_id]) == 0
    assert "equal" in capsys.readouterr().out
    assert main(["sync"]) == 0
    assert "1 run: nothing to deliver." in capsys.readouterr().out


def test_delivering_a_folder_counts_what_the_store_took(client, project):
    die("outputs/1")
    assert tracking.deliver(Path("outputs/1")) == 3  # a point, an artifact, the end
    assert tracking.deliver(Path("outputs/1")) == 0


def test_a_whole_run_is_equal_in_folder_and_store(whole, capsys):
    before = {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("*")}
    assert main(["sync", "--check", "--all"]) == 0
    assert {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("*")} == before
    counted = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines()[2:9])
    assert (counted["points"], counted["datasets"], counted["artifacts"]) == ("10", "1", "2")


@pytest.mark.parametrize(
    ("spoil", "difference"),
    [
        ("delete from metrics where step = 2", "train/loss at step 2 is missing"),
        ("update metrics set value = 2 where step = 4", "train/loss at step 4 is missing"),
        ("update metrics set timestamp = 1 where step = 4", "at step 4 has a second value"),
        ("update metrics set is_nan = 0", "train/loss at step 1 is missing"),
        ("delete from params where key = 'long'", "params: long is missing"),
        ("update tags set value = 'you' where key = 'owner'", "tags: owner differs"),
        ("delete from inputs", "datasets: digits-train"),
        ("update runs set status = 'FAILED'", "the store says FAILED, not FINISHED"),
        ("update runs set end_time = 1", "end: the store says"),
        (None, "notes/first.txt is missing"),
        ("more", "first.txt has 4 bytes, not 10"),
        ("0123456789", "notes/first.txt differs"),
    ],
)
def test_every_difference_between_folder_and_store_is_named(spoil, difference, whole, capsys):
    (stored,) = Path("mlruns").glob("*/*/artifacts/notes/first.txt")
    if spoil is None:
        stored.unlink()
    elif " " not in spoil:
        stored.write_text(spoil)
    else:
        with contextlib.closing(sqlite3.connect("mlflow.db")) as database:
            database.execute(spoil)
            database.commit()
    assert main(["sync", "--check"]) == 1
    assert difference in capsys.readouterr().out


def test_a_run_that_is_alive_is_named_and_left_alone(client, project, capsys):
    with tracking.open_run(composed(), Path("outputs/1")) as run:
        run.log_metrics({"train/loss": 1.0}, step=0)
        assert main(["sync"]) == 0
        assert main(["sync", "--check"]) == 0
        output = capsys.readouterr().out
        assert output.count("is running in") == 2
        assert client.get_run(run.id).info.status == "RUNNING"
        main(["experiments"])
        assert capsys.readouterr().err == ""


def test_what_the_store_refuses_is_reported_and_does_not_count_as_delivered(
    client, project, capsys
):
    with tracking.open_run(composed(), Path("outputs/1")) as run:
        run.log_metrics({"train/loss": 1.0}, step=0)
    bad = {"key": "bad\nkey", "value": 1.0, "step": 1, "timestamp": 1_800_000_000_000}
    with Path("outputs/1/metrics.jsonl").open("a") as file:
        file.write(json.dumps(bad) + "\n")
    assert main(["sync"]) == 1
    assert "refused: metric" in capsys.readouterr().out
    assert main(["sync", "--check"]) == 1
    output = capsys.readouterr().out
    assert "refused: metric" in output
    assert "is missing" in output


def test_runs_below_any_folder_are_delivered_wherever_the_command_is_typed(project, capsys):
    die("elsewhere/deep/1")
    assert main(["sync"]) == 0
    assert "0 runs" in capsys.readouterr().out
    assert main(["sync", "--all", "elsewhere"]) == 0
    assert "1 run: delivered" in capsys.readouterr().out
    die("elsewhere/2")
    assert main(["sync", "elsewhere/2"]) == 0
    assert "1 run: delivered" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["abc"], "'abc' names no run in outputs/ and multirun/ of this folder"),
        (["--all", "none"], "received 'none', expected a folder"),
        (["--all", "outputs", "abc"], "expected one of the two"),
        (["empty"], "run.json"),
        (["abc", "--all"], "expected one of the two"),
    ],
)
def test_what_names_no_run_is_refused_in_one_sentence(overrides, message, project, capsys):
    Path("outputs").mkdir()
    Path("empty").mkdir()
    assert main(["sync", *overrides]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_a_name_of_two_runs_is_refused(project):
    for folder in ("outputs/1", "outputs/2"):
        with tracking.open_run(composed(), Path(folder), name="same"):
            pass
    with pytest.raises(UserError, match="'same' names 2 runs"):
        sync.find_folders(["same"])


def test_a_store_that_is_unavailable_costs_one_sentence_and_nothing_is_lost(
    project, monkeypatch, capsys, soon_again
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    for folder in ("outputs/1", "outputs/2"):
        with tracking.open_run(composed("tracking.patience_seconds=1"), Path(folder)) as run:
            run.log_metrics({"train/loss": 1.0}, step=0)
    capsys.readouterr()
    assert main(["sync"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("unavailable") == 1
    assert "2 incomplete" in captured.out
    assert main(["sync", "--check"]) == 2
    assert len(sync.undelivered(sync.project_folders())) == 2


def test_commands_that_open_the_store_report_undelivered_runs(project, capsys):
    main(["tensorboard", "0" * 32])
    assert "not completely" not in capsys.readouterr().err
    run_id = die("outputs/1")
    hint = "1 run is not completely in the tracking store: run `samerun sync --all`.\n"
    for arguments in (["diff", run_id, "0" * 32], ["resume", "0" * 32], ["reproduce", "0" * 32]):
        main(arguments)
        captured = capsys.readouterr()
        assert captured.err.startswith(hint), arguments
        assert hint not in captured.out
    main(["sync"])
    capsys.readouterr()
    main(["resume", "0" * 32])
    assert hint not in capsys.readouterr().err


def test_whether_something_waits_is_seen_without_opening_the_logs(whole):
    folder = Path("outputs/1")
    assert not sync.does_wait(folder)
    position = json.loads((folder / "delivered.json").read_text())
    for changed in (
        {**position, "metrics.jsonl": position["metrics.jsonl"] - 10},
        {**position, "outbox.jsonl": 0},
        {**position, "uploads": [{"kind": "artifact", "path": "notes/first.txt"}]},
        {**position, "metrics.jsonl": "many"},
        [],
    ):
        (folder / "delivered.json").write_text(json.dumps(changed))
        assert sync.does_wait(folder)
    (folder / "delivered.json").write_text("")
    assert sync.does_wait(folder)


def test_two_thousand_run_folders_are_looked_at_quickly_and_links_are_not_followed(project):
    with tracking.open_run(composed(), Path("outputs/day/0")) as run:
        run.log_text("x", "notes/a.txt")
    for number in range(1, 2000):
        folder = Path("outputs/day", str(number))
        folder.mkdir()
        for name in ("run.json", "outbox.jsonl", "delivered.json", "metrics.jsonl"):
            if (Path("outputs/day/0") / name).exists():
                os.link(Path("outputs/day/0", name), folder / name)
    Path("outputs/loop").symlink_to("day")
    started = time.process_time()
    found = list(sync.project_folders())
    assert (len(found), sync.undelivered(found)) == (2000, [])
    assert time.process_time() - started < 10  # 0.15 s on a quiet machine


def test_a_run_that_began_without_its_store_is_created_by_sync(
    project, monkeypatch, capsys, soon_again
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    with tracking.open_run(composed("tracking.patience_seconds=1"), Path("outputs/1")) as run:
        log_everything(run)
    facts = folders.read_facts(Path("outputs/1"))
    assert facts.id is None
    uri = f"sqlite:///{project / 'mlflow.db'}"
    text = Path("outputs/1/run.json").read_text().replace(NOWHERE, uri)
    Path("outputs/1/run.json").write_text(text)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert main(["sync", facts.uid[:8]]) == 0
    assert main(["sync", "--check", facts.uid]) == 0
    after = folders.read_facts(Path("outputs/1"))
    assert after.id not in (None, facts.uid)
    (stored,) = tracking.find_runs([facts.uid[:10]])
    assert (stored.id, stored.status) == (after.id, "FINISHED")


def test_a_project_without_its_database_is_not_given_an_empty_one(project, capsys):
    die("outputs/1")
    Path("mlflow.db").unlink()
    assert main(["sync"]) == 1
    assert "does not exist" in capsys.readouterr().out
    assert not Path("mlflow.db").exists()


@pytest.mark.slow
def test_kills_at_random_moments_leave_nothing_that_sync_does_not_deliver(project):
    assert kill_and_sync(4, seed=1) == 0


@pytest.mark.slow
@pytest.mark.parametrize("outage", ["at-start", "for-good", "back-later"])
def test_after_an_outage_folder_and_store_are_equal(
    outage, server, project, monkeypatch, capsys, soon_again
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.port}")
    if outage == "at-start":
        server.stop()
    cfg = composed("tracking.patience_seconds=1")
    with tracking.open_run(cfg, Path("outputs/1")) as run:
        log_everything(run)
        if outage != "at-start":
            run.flush()
            server.stop()
        run.log_metrics({"train/loss": 0.5}, step=7)
        run.log_text("after the outage", "notes/second.txt")
        if outage == "back-later":
            server.start()
    if outage != "back-later":
        assert main(["sync"]) == 2
        server.start()
    assert main(["sync"]) == 0
    assert main(["sync", "--check"]) == 0
    assert "equal" in capsys.readouterr().out
    client = tracking.connect(os.environ["MLFLOW_TRACKING_URI"])
    found = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert [one.info.status for one in found] == ["FINISHED"]
    server.stop()
    shutil.rmtree("outputs/1/artifacts")
    server.start()
    assert main(["sync", "--check"]) == 0, "what was deleted here is in the store"


@pytest.mark.slow
def test_another_user_of_a_shared_server_reads_and_changes_nothing(
    server, project, tmp_path_factory, monkeypatch
):
    """`samerun train` in an experiment with two hostile runs: a private folder, another tool's."""
    private = tmp_path_factory.mktemp("private")
    monkeypatch.chdir(private)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    die("outputs/1", cwd=private)
    foreign = tmp_path_factory.mktemp("foreign")
    (foreign / "metrics.jsonl").write_bytes(b'{"a": 1}\n{"a": 2')
    monkeypatch.chdir(project)
    uri = f"http://127.0.0.1:{server.port}"
    client = tracking.connect(uri)
    experiment = tracking.experiment_id(client, composed().tracking.experiment)
    hostile = [
        client.create_run(
            experiment, tags={"samerun.host": tracking.host(), "samerun.folder": str(folder)}
        ).info.run_id
        for folder in (private / "outputs" / "1", foreign)
    ]
    before = [
        {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
        for place in (private, foreign)
    ]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with tracking.open_run(composed(), Path("outputs/mine")) as run:
        run.log_metrics({"train/loss": 1.0}, step=0)
    after = [
        {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
        for place in (private, foreign)
    ]
    assert after == before
    for run_id in hostile:
        data = client.get_run(run_id).data
        assert (data.params, data.metrics, client.list_artifacts(run_id)) == ({}, {}, [])
    assert client.get_run(run.id).info.status == "FINISHED"


def test_infinite_and_missing_values_are_distinguished():
    point = tracking.Point
    largest = sys.float_info.max
    same = [point("a", float("inf"), 0, 1), point("b", -0.0, 0, 1), point("c", float("nan"), 0, 1)]
    stored = [point("a", largest, 0, 1), point("b", 0.0, 0, 1), point("c", float("nan"), 0, 1)]
    assert completeness.compare_points(same, stored).differences == ()
    assert completeness.compare_points(same, stored[:2]).differences == ("c at step 0 is missing",)
