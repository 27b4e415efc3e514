"""Runs in a real SQLite store: what is written down, how they end, what an outage leaves."""

import json
import logging
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from samerun import config, tracking
from samerun.errors import Terminated, UserError
from samerun.tracking import NullRun, Status
from support import warm
from support.project import PROGRAMS, composed, values
from support.tables import mostly_slow
from support.warm import Warm


def artifacts(client, run_id, path=None):
    return [found.path for found in client.list_artifacts(run_id, path)]


def change_tables(command: str) -> None:
    database = sqlite3.connect("mlflow.db", timeout=20)
    with database:
        database.execute(command)
    database.close()


def test_importing_tracking_imports_neither_mlflow_nor_tensorflow():
    code = (
        "import sys, samerun.tracking; "
        "print([m for m in ('mlflow', 'tensorflow', 'keras', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_records_its_origin_and_ends_finished(client, tmp_path):
    cfg = composed("tracking.experiment=first", "+tracking.tags.course=dl1")
    with tracking.open_run(cfg, Path("out/1"), tags={"more": "yes"}) as run:
        assert client.get_run(run.id).info.status == "RUNNING"
    stored = client.get_run(run.id)
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == run.name
    assert client.get_experiment(run.experiment_id).name == "first"
    tags = stored.data.tags
    assert (tags["course"], tags["more"]) == ("dl1", "yes")
    assert tags["samerun.folder"] == str(tmp_path / "out/1")
    assert tags["mlflow.source.name"] == "samerun"
    assert {"samerun.host", "samerun.pid", "samerun.version", "mlflow.user"} <= tags.keys()
    assert "samerun.reason" not in tags
    facts = json.loads(Path("out/1/run.json").read_text())
    assert facts["id"] == run.id
    assert run.url is None


def test_a_run_id_in_the_environment_is_not_taken_for_ours(client, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with tracking.open_run(composed(), Path("1")) as run:
        assert run.id != "0" * 32


def test_many_and_long_parameters_are_all_kept(client):
    long = "ä" * 20_000
    params = {f"p{index}": str(index) for index in range(250)} | {"long": long, "edge": "e" * 6000}
    with tracking.open_run(composed(), Path("1")) as run:
        run.log_params(params)
        run.log_params({"also": long[:7000]})
    stored = client.get_run(run.id).data.params
    assert len(stored) == 253
    assert stored["p249"] == "249"
    assert stored["edge"] == "e" * 6000
    assert len(stored["long"]) == 6000
    assert stored["long"].endswith("(20000 characters, complete in config/long_parameters.json)")
    whole = client.download_artifacts(run.id, "config/long_parameters.json")
    assert json.loads(Path(whole).read_text("utf-8")) == {"long": long, "also": long[:7000]}


def test_metric_points_are_kept_with_their_steps_even_if_not_finite(client):
    with tracking.open_run(composed(), Path("1")) as run:
        for step in range(30):
            run.log_metrics({"loss": float(step), "bad": float("nan")}, step=step)
        run.log_metrics({"big": float("inf")}, step=0)
        assert run.flush()
        assert values(client, run.id, "loss") == [(step, float(step)) for step in range(30)]
    assert len(values(client, run.id, "bad")) == 30
    assert str(client.get_run(run.id).data.metrics["bad"]) == "nan"
    assert values(client, run.id, "big")[0][1] > 1e308


def test_what_mlflow_refuses_does_not_keep_back_the_rest(client, caplog):
    with tracking.open_run(composed(), Path("1")) as run:
        run.log_params({"a": "1"})
        run.log_params({"a": "2", "b": "3"})
        run.log_metrics({"loss": 1.0, "a*name;it?refuses": 2.0}, step=0)
        assert run.flush()
    stored = client.get_run(run.id)
    assert stored.data.params == {"a": "1", "b": "3"}
    assert stored.data.metrics == {"loss": 1.0}
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["samerun.undelivered"] == "1 param, 1 point"
    assert sorted(message.split(", which")[0].split(";")[0] for message in caplog.messages[:2]) == [
        "The tracking store refused metric 'a*name",
        "The tracking store refused param 'a'",
    ]
    assert f"`samerun sync {run.id}`" in caplog.messages[2]
    refused = [json.loads(line) for line in Path("1/refused.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["key"]) for line in refused] == [
        ("metric", "a*name;it?refuses"),
        ("param", "a"),
    ]
    assert refused[1]["reason"].startswith("Changing param values is not allowed")
    assert refused[1]["entry"]["value"] == "2"


def test_artifacts_are_kept_in_the_folder_and_in_the_store(client, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/one.txt").write_text("1")
    (tmp_path / "alone.txt").write_text("2")
    with tracking.open_run(composed(), tmp_path / "run") as run:
        run.log_text("a: 1\n", "config/resolved.yaml")
        run.log_file(tmp_path / "alone.txt", "files")
        run.log_folder(tmp_path / "figures", "plots/all")
        run.log_file(tmp_path / "missing.txt")
    assert sorted(artifacts(client, run.id)) == ["config", "files", "plots"]
    assert artifacts(client, run.id, "plots/all") == ["plots/all/one.txt"]
    assert (tmp_path / "run/artifacts/config/resolved.yaml").read_text() == "a: 1\n"
    assert (tmp_path / "run/artifacts/files/alone.txt").read_text() == "2"


@pytest.mark.parametrize("path", ["../out.txt", "/abs.txt"])
def test_an_artifact_cannot_be_put_outside_the_run(client, path):
    with (
        tracking.open_run(composed(), Path("1")) as run,
        pytest.raises(ValueError, match="inside the run"),
    ):
        run.log_text("x", path)


def test_data_sets_are_inputs_of_the_run(client):
    digest = "0123456789abcdef" * 4
    with tracking.open_run(composed(), Path("1")) as run:
        for split in ("train", "validation"):
            run.log_dataset(
                name="digits",
                split=split,
                digest=digest,
                num_examples=7,
                schema={"image": "float32 (8, 8, 1)"},
                source="sklearn.datasets.load_digits",
            )
    stored = client.get_run(run.id)
    inputs = {entry.tags[0].value: entry.dataset for entry in stored.inputs.dataset_inputs}
    assert inputs.keys() == {"train", "validation"}
    assert inputs["train"].digest == digest[:32]
    assert json.loads(inputs["train"].profile) == {"num_rows": 7}


def test_a_long_description_is_cut_and_kept_whole_as_an_artifact(client):
    with tracking.open_run(composed(), Path("1")) as run:
        run.describe("word " * 3000)
    note = client.get_run(run.id).data.tags["mlflow.note.content"]
    assert len(note) == 8000
    assert note.endswith("(15000 characters, complete in description.md)")
    assert artifacts(client, run.id) == ["description.md"]


class ResourceExhaustedError(Exception):
    """As TensorFlow's is called."""


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    mostly_slow(
        [
            pytest.param(KeyboardInterrupt(), "KILLED", "interrupted (Ctrl-C)", id="ctrl-c"),
            pytest.param(Terminated(), "KILLED", "terminated (SIGTERM)", id="sigterm"),
            pytest.param(MemoryError(), "FAILED", "out of memory", id="memory"),
            pytest.param(
                ResourceExhaustedError("OOM when\nallocating"),
                "FAILED",
                "out of memory: OOM when",
                id="tensorflow-memory",
            ),
            pytest.param(ValueError("bad\nmore"), "FAILED", "ValueError: bad", id="any"),
            pytest.param(SystemExit(3), "FAILED", "SystemExit: 3", id="exit-3"),
            pytest.param(SystemExit(0), "FINISHED", None, id="exit-0"),
            pytest.param(
                ValueError("no http://me:geheim@host/"),
                "FAILED",
                "ValueError: no http://me:***@host/",
                id="password",
            ),
        ],
        "ctrl-c",
        "tensorflow-memory",
        "password",
    ),
)
def test_the_end_of_a_run_states_how_and_why(client, error, status, reason):
    opened = tracking.open_run(composed(), Path("1"))
    run = opened.__enter__()
    run.log_metrics({"loss": 1.0}, step=0)
    assert not opened.__exit__(type(error), error, None)  # it propagates
    stored = client.get_run(run.id)
    assert stored.info.status == status
    assert stored.data.tags.get("samerun.reason") == reason
    assert stored.data.metrics == {"loss": 1.0}


def test_a_store_that_fails_in_the_middle_costs_nothing(client, caplog):
    with tracking.open_run(composed(), Path("1")) as run:
        run.log_metrics({"loss": 0.0}, step=0)
        assert run.flush()
        change_tables("alter table metrics rename to renamed")
        for step in range(1, 5):
            run.log_metrics({"loss": float(step)}, step=step)
        run.log_params({"late": "1"})
        assert not run.flush()
        assert not run.flush()
        change_tables("alter table renamed rename to metrics")
        assert run.flush()
        assert values(client, run.id, "loss") == [(step, float(step)) for step in range(5)]
    assert client.get_run(run.id).data.params == {"late": "1"}
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 2  # once when it is unavailable, once when it is back
    assert "does not take everything" in warnings[0]


def test_what_waits_at_the_end_is_delivered_later_exactly_once(client, caplog, soon_again):
    with tracking.open_run(composed(), Path("1")) as run:
        run.log_metrics({"loss": 0.0}, step=0)
        run.flush()
        change_tables("alter table metrics rename to renamed")
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_text("late", "notes.txt")
    assert client.get_run(run.id).info.status == "RUNNING"
    assert "undelivered: 1 artifact, 1 point." in caplog.messages[-1]
    assert f"`samerun sync {run.id}`" in caplog.messages[-1]
    with pytest.raises(UserError, match="nothing is lost"):
        tracking.deliver(Path("1"))
    change_tables("alter table renamed rename to metrics")
    assert tracking.deliver(Path("1")) == 3  # the point, the artifact and the end
    assert tracking.deliver(Path("1")) == 0
    assert values(client, run.id, "loss") == [(0, 0.0), (1, 1.0)]
    assert client.get_run(run.id).info.status == "FINISHED"
    assert artifacts(client, run.id) == ["notes.txt"]


def test_delivering_all_of_it_again_changes_nothing(client):
    with tracking.open_run(composed(), Path("1")) as run:
        run.log_params({"a": "1"})
        run.log_metrics({"loss": 1.0, "bad": float("nan")}, step=0)
        run.log_text("x", "notes.txt")
        run.log_dataset(
            name="d", split="train", digest="0" * 64, num_examples=1, schema={}, source="s"
        )
    before = str(client.get_run(run.id).to_dictionary())  # as text, NaN equals NaN
    Path("1/delivered.json").unlink()
    assert tracking.deliver(Path("1")) > 4
    assert str(client.get_run(run.id).to_dictionary()) == before
    assert len(values(client, run.id, "loss")) == len(values(client, run.id, "bad")) == 1


def test_artifacts_that_cannot_be_uploaded_wait_and_do_not_hold_up_the_end(client, soon_again):
    Path("mlruns").write_text("a file where the folder should be")
    with tracking.open_run(composed(), Path("1")) as run:
        run.log_text("x", "notes.txt")
        assert not run.flush()
    assert client.get_run(run.id).info.status == "FINISHED"
    Path("mlruns").unlink()
    tracking.deliver(Path("1"))
    assert artifacts(client, run.id) == ["notes.txt"]


def test_a_run_can_be_gone_on_with(client):
    opened = tracking.open_run(composed(), Path("1"))
    first = opened.__enter__()
    first.log_metrics({"loss": 1.0}, step=0)
    first.log_metrics({"loss": 0.5}, step=1)
    stop = KeyboardInterrupt()
    assert not opened.__exit__(KeyboardInterrupt, stop, None)
    with tracking.reopen_run(Path("1")) as second:
        assert client.get_run(second.id).info.status == "RUNNING"
        second.log_metrics({"loss": 0.5}, step=1)
        second.log_metrics({"loss": 0.25}, step=2)
    assert (second.id, second.name) == (first.id, first.name)
    assert values(client, first.id, "loss") == [(0, 1.0), (1, 0.5), (2, 0.25)]
    stored = client.get_run(first.id)
    assert stored.info.status == "FINISHED"
    assert not stored.data.tags["samerun.reason"]


def test_a_folder_holds_one_run(client):
    with (
        tracking.open_run(composed(), Path("1")),
        pytest.raises(UserError, match="wait until it ends"),
    ):
        tracking.deliver(Path("1"))
    again = tracking.open_run(composed(), Path("1"))
    with pytest.raises(UserError, match="already holds a run"):
        again.__enter__()
    with pytest.raises(UserError, match=r"run\.json"):
        tracking.deliver(Path("2"))


def test_a_run_that_is_alive_is_left_alone(client):
    with tracking.open_run(composed(), Path("1")) as first:
        with tracking.open_run(composed(), Path("2")) as second:
            pass
        assert tracking.close_dead_runs(client, [first.experiment_id]) == []
        assert client.get_run(first.id).info.status == "RUNNING"
    assert client.get_run(second.id).info.status == "FINISHED"


def test_a_killed_run_is_closed_by_the_next_one_and_loses_nothing(client):
    command = [sys.executable, PROGRAMS / "tracking_dies.py", "dead", "SIGKILL"]
    died = warm.run(command)
    assert died.returncode == -9
    run_id = died.stdout.strip()
    assert client.get_run(run_id).info.status == "RUNNING"
    with tracking.open_run(composed(), Path("next")):
        stored = client.get_run(run_id)
        assert stored.info.status == "KILLED"
        assert stored.data.tags["samerun.reason"] == "process died"
        assert stored.info.end_time
    assert values(client, run_id, "train/loss") == [(0, 1.0), (1, 0.5)]
    assert artifacts(client, run_id) == ["notes.txt"]


@pytest.mark.parametrize("name", mostly_slow(["SIGTERM", "SIGINT", "SIGKILL"]))
def test_a_run_that_ends_in_its_first_moment_is_killed_and_has_what_it_is_resumed_from(
    client, name
):
    command = [sys.executable, PROGRAMS / "tracking_ends_early.py", "1", name]
    done = warm.run(command)
    assert done.stdout == ""
    assert json.loads(Path("1/run.json").read_text())["uid"]
    text = Path("1/artifacts/config/resolved.yaml").read_text()
    assert config.from_yaml(text) == composed()
    if name == "SIGKILL":
        assert done.returncode == -9
        tracking.deliver(Path("1"))
    run_id = json.loads(Path("1/run.json").read_text())["id"]
    stored = client.get_run(run_id)
    assert stored.info.status == "KILLED"
    assert artifacts(client, run_id, "config") == ["config/resolved.yaml"]
    with tracking.reopen_run(Path("1")) as again:
        assert again.id == run_id
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_database_that_is_locked_at_the_start_is_waited_for(client, caplog, monkeypatch):
    database = sqlite3.connect("mlflow.db", check_same_thread=False)
    database.execute("begin exclusive")
    when_it_waits = [lambda record: not database.rollback()]
    monkeypatch.setattr(logging.getLogger("samerun.tracking.database"), "filters", when_it_waits)
    with tracking.open_run(composed(), Path("1")) as run:
        run.log_metrics({"loss": 1.0}, step=0)
    assert client.get_run(run.id).info.status == "FINISHED"
    assert "is locked by another process; waiting up to 30 s" in caplog.messages[0]
    database.close()


def test_a_database_that_stays_locked_does_not_keep_a_run_from_training(client, caplog):
    database = sqlite3.connect("mlflow.db")
    database.execute("begin exclusive")
    with tracking.open_run(composed("tracking.patience_seconds=2"), Path("1")) as run:
        run.log_metrics({"loss": 1.0}, step=0)
    assert any("unavailable" in m and "locked by another process" in m for m in caplog.messages)
    assert run.id == json.loads(Path("1/run.json").read_text())["uid"]
    assert f"`samerun sync {run.id}`" in caplog.messages[-1]
    database.close()
    assert tracking.deliver(Path("1")) > 0
    run_id = json.loads(Path("1/run.json").read_text())["id"]
    assert client.get_run(run_id).info.status == "FINISHED"
    assert values(client, run_id, "loss") == [(0, 1.0)]


def test_a_name_that_is_not_utf8_reaches_the_store_readable(client, tmp_path):
    file = tmp_path / "pi\udce4.txt"
    file.write_text("x")
    with tracking.open_run(composed(), Path("1"), tags={"file": str(file.name)}) as run:
        run.log_params({"path": file.name})
        run.log_file(file)
        run.log_text(file.name, "name.txt")
        run.describe(file.name)
        run.log_metrics({"loss": 1.0}, step=0)
    stored = client.get_run(run.id)
    assert stored.data.tags["file"] == stored.data.params["path"] == "pi\ufffd.txt"
    assert sorted(artifacts(client, run.id)) == ["name.txt", "pi\ufffd.txt"]
    assert "samerun.undelivered" not in stored.data.tags


def test_points_of_an_earlier_version_that_no_store_takes_do_not_block_the_rest(client):
    line = {"key": "loss", "value": 1.0, "step": 2**70, "timestamp": 1_800_000_000_000}
    with tracking.open_run(composed(), Path("1")) as run:
        with Path("1/metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        run.log_metrics({"loss": 2.0}, step=1)
        run.set_tags({"late": "1"})
    stored = client.get_run(run.id)
    assert values(client, run.id, "loss") == [(1, 2.0)]
    assert (stored.info.status, stored.data.tags["late"]) == ("FINISHED", "1")
    assert stored.data.tags["samerun.undelivered"] == "1 point"


def test_a_run_that_was_deleted_while_it_ran_keeps_everything_in_its_folder(client, soon_again):
    with tracking.open_run(composed("tracking.patience_seconds=2"), Path("1")) as run:
        assert run.flush()
        client.delete_run(run.id)
        run.log_metrics({"loss": 1.0}, step=0)
    assert not Path("1/refused.jsonl").exists()
    client.restore_run(run.id)
    tracking.deliver(Path("1"))
    assert values(client, run.id, "loss") == [(0, 1.0)]


def test_an_artifact_of_a_spool_that_leads_out_of_the_run_is_not_sent(client, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    with tracking.open_run(composed(), Path("1")) as run:
        run.log_text("x", "a.txt")
        lines = [{"kind": "artifact", "path": path} for path in ("../../secret.txt", "link")]
        Path("1/artifacts/link").symlink_to(tmp_path / "secret.txt")
        with Path("1/outbox.jsonl").open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    assert artifacts(client, run.id) == ["a.txt"]
    assert client.get_run(run.id).data.tags["samerun.undelivered"] == "2 artifacts"


def test_a_run_whose_position_is_lost_is_delivered_again_without_doubling(client):
    with tracking.open_run(composed(), Path("1")) as run:
        run.log_params({"a": "1"})
        run.log_metrics({"loss": 1.0}, step=0)
    for text in ("", "{", "[1]"):
        Path("1/delivered.json").write_text(text)
        assert tracking.deliver(Path("1")) > 2
    assert values(client, run.id, "loss") == [(0, 1.0)]
    assert len(client.search_runs([run.experiment_id])) == 1


def test_a_full_disk_does_not_end_the_run_and_loses_no_point(client):
    command = [sys.executable, PROGRAMS / "tracking_full_disk.py", "full"]
    done = warm.run(command)
    lines = done.stdout.splitlines()
    assert lines[-1] == "10 points FINISHED"
    assert [line for line in lines if line.startswith("everything")] == [
        "everything stored: False",
        "everything stored: True",
    ]
    assert sum("Cannot write" in line and "metrics.jsonl" in line for line in lines) == 1


def test_two_processes_log_to_one_store(client):
    command = [sys.executable, PROGRAMS / "tracking_writes.py", "a"]
    with (  # this run first: else the other one may end before this one logs anything
        tracking.open_run(composed("tracking.experiment=together"), Path("b")) as run,
        Warm(command, stdout=subprocess.PIPE, text=True) as other,
    ):
        step = 0
        while step == 0 or other.poll() is None:
            run.log_metrics({"train/loss": 1.0}, step=step)
            assert run.flush()
            step += 1
        assert other.stdout
        ids = {other.stdout.read().strip(): 20, run.id: step}
    assert other.returncode == 0
    for run_id, num_points in ids.items():
        assert client.get_run(run_id).info.status == "FINISHED"
        assert len(values(client, run_id, "train/loss")) == num_points > 0
    assert artifacts(client, next(iter(ids)), "notes") == ["notes/text.txt"]


def test_a_null_run_keeps_nothing(tmp_path):
    run = NullRun()
    run.log_params({"a": "1"})
    run.log_metrics({"loss": 1.0}, step=0)
    run.log_text("x", "notes.txt")
    assert run.id == "none"
    assert run.flush()
    assert run.folder.is_dir()
    assert list(run.folder.iterdir()) == []
    assert NullRun(tmp_path).folder == tmp_path


def test_status_words_are_mlflows():
    assert [str(status) for status in Status] == ["FINISHED", "FAILED", "KILLED"]
