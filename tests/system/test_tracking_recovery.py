"""Runs whose process is gone: only their own folders are opened, and only dead ones are ended."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from samerun import tracking
from samerun.errors import UserError
from samerun.tracking.recovery import folders, ownership, process
from support import warm
from support.project import PROGRAMS, composed, values

TORN = b'{"accuracy": 0.5, "step": 1}\n{"accuracy": 0.75, "st'


def die(folder, cwd=None):
    """Kills a process in the middle of its run; returns the run's ID."""
    command = [sys.executable, PROGRAMS / "tracking_dies.py", folder, "SIGKILL"]
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    died = warm.run(command, cwd=cwd, env=environment)
    assert died.returncode == -9, died.stderr
    return died.stdout.strip()


def content(folder):
    """Returns every file below a folder with its bytes and the time of its last change."""
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def hostile_run(client, folder, **tags):
    """Makes a RUNNING run that claims to have run here, in a folder."""
    here = {**process.process_tags(), "samerun.pid": "999999999", **tags}
    experiment = tracking.experiment_id(client, "samerun")
    made = client.create_run(experiment, tags={**here, "samerun.folder": str(folder)})
    return made.info.run_id, experiment


def everything_of(client, run_id):
    run = client.get_run(run_id)
    return run.data.params, run.data.metrics, client.list_artifacts(run_id)


@pytest.fixture(scope="module")
def private(tmp_path_factory, prepared_database):
    """A project elsewhere, with a store of its own and a killed run that has undelivered points.

    Shared by tests that compare it with what it was before.
    """
    folder = tmp_path_factory.mktemp("private")
    shutil.copy(prepared_database, folder / "mlflow.db")
    die(folder / "outputs" / "1", cwd=folder)
    with (folder / "outputs" / "1" / "metrics.jsonl").open("ab") as file:
        file.write(TORN)
    return folder


@pytest.fixture
def foreign(tmp_path_factory):
    """The folder of another tool that has files of the same names."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "metrics.jsonl").write_bytes(TORN)
    (folder / "run.json").write_text('{"id": "' + "0" * 32 + '", "name": "x"}')
    (folder / "alive.lock").write_bytes(b"not a lock of ours")
    return folder


@pytest.mark.parametrize("case", ["absolute", "link", "relative", "climbing", "nul", "empty"])
def test_no_folder_is_opened_because_a_store_names_it(case, client, project, private):
    """The folder of a run in another store: neither read nor changed, whatever the tag is."""
    own = private / "outputs" / "1"
    (project / "outputs").mkdir()
    (project / "outputs" / "link").symlink_to(own)
    tag = {
        "absolute": own,
        "link": project / "outputs" / "link",
        "relative": os.path.relpath(own),
        "climbing": f"{project}/outputs/../../{own.relative_to(project.parent.parent)}",
        "nul": f"{own}\0",
        "empty": "",
    }[case]
    before = content(private)
    run_id, experiment = hostile_run(client, tag)
    tracking.close_dead_runs(client, [experiment])
    with tracking.open_run(composed(), Path("mine")):
        pass
    assert content(private) == before
    assert everything_of(client, run_id) == ({}, {}, [])


def test_a_hostile_run_with_the_id_of_a_private_one_gets_nothing(client, project, private):
    """A server may give a run any ID: that of a run of another store, which it read in a log."""
    own = private / "outputs" / "1"
    before = content(private)
    known = tracking.run_in(own)
    for roots in ([], [private]):
        found = ownership.owned_folder(
            str(own), run_id=known, uri=tracking.resolve_uri(None), named=roots
        )
        assert found is None
    assert content(private) == before


def test_the_folder_of_another_tool_keeps_every_byte(client, foreign, project):
    inside = project / "outputs" / "other"
    shutil.copytree(foreign, inside)
    before = content(foreign), content(inside)
    for folder in (foreign, inside):
        run_id, experiment = hostile_run(client, folder)
        tracking.close_dead_runs(client, [experiment])
        assert everything_of(client, run_id) == ({}, {}, [])
        run = tracking.find_runs([run_id])[0]
        assert tracking.folder_of(run) is None
        with pytest.raises(UserError, match=r"run\.json"):
            tracking.deliver(folder)
    assert (content(foreign), content(inside)) == before


@pytest.mark.parametrize("name", ["metrics.jsonl", "outbox.jsonl", "alive.lock", "artifacts"])
def test_a_run_folder_with_links_in_it_is_not_opened(name, client, project, foreign):
    run_id = die("outputs/1")
    target = foreign / "metrics.jsonl" if name != "artifacts" else foreign
    path = project / "outputs" / "1" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(target)
    before = content(foreign)
    tracking.close_dead_runs(client, [client.get_run(run_id).info.experiment_id])
    with pytest.raises(UserError, match="link"):
        tracking.deliver(Path("outputs/1"))
    assert content(foreign) == before
    assert values(client, run_id, "train/loss") == [(0, 1.0)]


def test_a_copied_project_leaves_the_original_alone(project, monkeypatch):
    """The copy ends its own entry of the run; the original delivers its points to its own store."""
    original, copy = project / "original", project / "copy"
    original.mkdir()
    shutil.move(project / "mlflow.db", original / "mlflow.db")
    run_id = die("outputs/1", cwd=original)
    shutil.copytree(original, copy)
    before = content(original)
    monkeypatch.chdir(copy)
    with tracking.open_run(composed(), Path("outputs/2")):
        pass
    store = tracking.connect(tracking.resolve_uri(None))
    assert values(store, run_id, "train/loss") == [(0, 1.0)]
    assert content(original) == before
    monkeypatch.chdir(original)
    with tracking.open_run(composed(), Path("outputs/2")):
        pass
    store = tracking.connect(tracking.resolve_uri(None))
    assert values(store, run_id, "train/loss") == [(0, 1.0), (1, 0.5)]
    assert store.get_run(run_id).info.status == "KILLED"


def test_a_run_is_found_and_delivered_after_its_project_was_moved(project, monkeypatch):
    old, new = project / "old", project / "new"
    old.mkdir()
    shutil.move(project / "mlflow.db", old / "mlflow.db")
    run_id = die("outputs/1", cwd=old)
    old.rename(new)
    monkeypatch.chdir(new)
    (run,) = tracking.find_runs([run_id])
    assert tracking.folder_of(run) == new / "outputs" / "1"
    tracking.check_at_rest(run)
    with tracking.reopen_run(new / "outputs" / "1") as again:
        again.log_metrics({"train/loss": 0.25}, step=2)
    client = tracking.connect(tracking.resolve_uri(None))
    assert values(client, run_id, "train/loss") == [(0, 1.0), (1, 0.5), (2, 0.25)]
    assert not old.exists()


def test_the_files_of_a_run_outside_of_this_folder_wait_until_it_is_named(
    client, project, private, tmp_path_factory
):
    gone = tmp_path_factory.mktemp("gone")  # where its store was, which is here now
    elsewhere = gone / "outputs" / "1"
    shutil.copytree(private / "outputs" / "1", elsewhere)
    facts = (elsewhere / "run.json").read_text()
    assert str(private) in facts
    (elsewhere / "run.json").write_text(facts.replace(str(private), str(gone)))
    run_id = tracking.run_in(elsewhere)
    uri = f"sqlite:///{project / 'mlflow.db'}"
    assert ownership.owned_folder(str(elsewhere), run_id=run_id, uri=uri) is None
    assert ownership.owned_folder(str(elsewhere), run_id=run_id, uri=uri, named=[elsewhere])


@pytest.mark.parametrize(
    ("written", "present", "is_same"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/", True),
        ("http://anna:***@host:80/x", "http://other:secret@HOST/x", True),
        ("http://host:5000", "http://host:5001", False),
        ("http://host:5000", "https://host:5000", False),
        ("http://host/a", "http://host/b", False),
        ("postgresql://u:***@db/a", "postgresql+psycopg://u:p@db:5432/a", True),
        ("postgresql://u:***@db/a", "postgresql://u:p@db/b", False),
        ("sqlite:////no/such/mlflow.db", "http://host", False),
        ("sqlite:///mlflow.db", "sqlite:///./mlflow.db", True),
        ("sqlite:////no/such/mlflow.db", "sqlite:///mlflow.db", True),  # it was moved
        ("sqlite:////no/such/other.db", "sqlite:///mlflow.db", False),
        ("sqlite:///second/mlflow.db", "sqlite:///mlflow.db", False),
        ("nonsense", "sqlite:///mlflow.db", False),
    ],
)
def test_two_addresses_of_one_store_are_recognized(written, present, is_same, project):
    (project / "second").mkdir()
    shutil.copy("mlflow.db", "second/mlflow.db")
    assert ownership.is_same_store(written, present) is is_same


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"x"', "{}", '{"id": "x", "name": "a", "uri": "b:c"}', "[" * 100_000]
    + ['{"id": "' + "0" * 32 + '", "name": 3, "uri": "http://x"}', "\0"]
    + ['{"id": "' + "0" * 32 + '", "name": "a", "uri": "metrics"}'],
)
def test_a_file_that_is_no_run_file_makes_no_run_folder(text, tmp_path):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json"):
        folders.read_facts(tmp_path)


@pytest.mark.parametrize(
    ("changed", "is_gone"),
    [
        ({}, False),
        ({"samerun.pid": "gone"}, True),
        ({"samerun.process_started": "1"}, True),  # its ID was given to another process
        ({"samerun.pid": "gone", "samerun.host": "elsewhere"}, False),
        ({"samerun.pid": "gone", "samerun.boot": "another"}, False),
        ({"samerun.pid": "gone", "samerun.pid_namespace": "4"}, False),
        ({"samerun.pid": "gone", "samerun.boot": None}, False),  # recorded by version 0.1.0
        ({"samerun.pid": "gone", "samerun.process_started": None}, False),
        ({"samerun.pid": "-1"}, False),
        ({"samerun.pid": "9" * 30}, False),
        ({"samerun.pid": "gone", "samerun.heartbeat": "1"}, True),
        ({"samerun.heartbeat": "1"}, False),  # old: its store may have been unavailable since
    ],
)
def test_a_run_whose_folder_is_not_here_ends_only_if_its_process_is_gone_for_certain(
    changed, is_gone, client
):
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    tags = {**process.process_tags(), "samerun.folder": "/no/such/folder", **changed}
    if tags["samerun.pid"] == "gone":
        tags["samerun.pid"] = str(finished.pid)
    tags = {key: value for key, value in tags.items() if value is not None}
    made = client.create_run(tracking.experiment_id(client, "e"), tags=tags)
    tracking.close_dead_runs(client, [made.info.experiment_id])
    status = client.get_run(made.info.run_id).info.status
    assert status == ("KILLED" if is_gone else "RUNNING")


def test_where_a_system_does_not_tell_its_boot_the_other_facts_decide(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "_PROC", tmp_path / "none")
    tags = process.process_tags()
    assert (tags["samerun.boot"], tags["samerun.pid_namespace"]) == ("", "")
    assert not process.is_gone(tags)
    assert process.is_gone({**tags, "samerun.process_started": "1.0"})
    assert not process.is_gone({**tags, "samerun.boot": "known"})


def test_the_heartbeat_is_sent_once_a_minute_with_its_time(monkeypatch):
    sent, clock = [], [0.0]
    monkeypatch.setattr(process.time, "monotonic", lambda: clock[0])
    heartbeat = process.Heartbeat(lambda *tag: sent.append(tag))
    for clock[0] in (1, 59, 60, 61, 119, 120):
        heartbeat.beat()
    assert [key for key, _ in sent] == ["samerun.heartbeat"] * 2
    assert process.last_heard_of(dict(sent)).startswith(" (last heard of 0:00:0")
    for nonsense in ({}, {"samerun.heartbeat": "soon"}, {"samerun.heartbeat": "9" * 20}):
        assert process.last_heard_of(nonsense) == ""


CONTAINER = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
assert not libc.unshare(0x20000000 | 0x00020000 | 0x04000000)  # processes, mounts, names
child = os.fork()
if child:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
assert not libc.prctl(1, 9)  # it ends with its parent
assert not libc.mount(b"none", b"/", None, 1 << 18 | 0x4000, None)  # privately, and below
assert not libc.mount(b"proc", b"/proc", b"proc", 0, None)
assert os.getpid() == 1
"""
NAMESPACE = ["unshare", "--pid", "--mount", "--uts", "--fork", "--kill-child", "--mount-proc"]


@pytest.mark.skipif(
    subprocess.run(["which", "unshare"], capture_output=True).returncode != 0
    or subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode != 0,
    reason="namespaces are not allowed here",
)
def test_a_living_run_in_another_container_of_the_same_host_name_stays_running(client, project):
    """Two PID namespaces, one host name and one store, each with a working folder of its own."""
    uri = f"tracking.uri=sqlite:///{project / 'mlflow.db'}"
    program = "\n".join(
        [
            CONTAINER,
            "from pathlib import Path; from samerun import config, tracking",
            f"cfg = config.compose([{uri!r}]).config",
            "with tracking.open_run(cfg, Path('run')) as run:",
            "    run.flush(); print(run.id, flush=True); sys.stdin.readline()",
        ]
    )
    command = [sys.executable, "-c", program]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    for name in ("a", "b"):
        Path(name).mkdir()
    with warm.Warm(command, cwd="a", **streams) as living:
        run_id = living.stdout.readline().strip()
        with warm.Warm(command, cwd="b", **streams) as other:
            printed, _ = other.communicate("\n", timeout=300)
        assert other.returncode == 0
        assert printed.strip() not in ("", run_id)
        assert client.get_run(run_id).info.status == "RUNNING"
        living.communicate("\n")
    ended = client.get_run(run_id)
    assert ended.info.status == "FINISHED"
    assert "samerun.reason" not in ended.data.tags
    assert socket.gethostname() == ended.data.tags["samerun.host"]
    assert json.loads(Path("a/run/run.json").read_text())["name"]
