"""Runs behind a faulty proxy: created once, delivered whole, and never held up at their end."""

import json
import time
from pathlib import Path

import pytest

from samerun import config, tracking
from samerun.cli import main
from samerun.errors import UserError
from support import faulty
from support.faulty import Fault

pytestmark = pytest.mark.slow


@pytest.fixture
def proxy(server, tmp_path, monkeypatch, soon_again):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with faulty.before(server.port) as made:
        yield made


@pytest.fixture
def direct(server):
    """A client that no fault is between."""
    return tracking.connect(f"http://127.0.0.1:{server.port}")


def configured(proxy, *overrides):
    experiment = f"e{time.monotonic_ns()}"
    uri = f"tracking.uri='{proxy.uri}'"
    return config.compose([uri, f"tracking.experiment={experiment}", *overrides]).config


def runs_in(client, cfg):
    """Returns the runs of a config's experiment, with the deleted ones."""
    (experiment,) = client.search_experiments(filter_string=f"name = '{cfg.tracking.experiment}'")
    return client.search_runs([experiment.experiment_id], run_view_type=1)


def points(client, run_id, key="loss"):
    return sorted((p.step, p.value) for p in client.get_metric_history(run_id, key))


def facts(folder):
    return json.loads(Path(folder, "run.json").read_text())


def once(path, fault):
    """Returns a decision that does a fault to the first request of a path."""
    done = []

    def decide(method, where, body):
        if path in where and not done:
            done.append(where)
            return fault
        return None

    return decide


@pytest.mark.parametrize(
    "fault", [Fault(is_lost=True), Fault(is_doubled=True)], ids=["answer-lost", "sent-twice"]
)
def test_a_run_is_created_once_whatever_becomes_of_the_request(proxy, direct, fault):
    cfg = configured(proxy)
    proxy.fault = once("runs/create", fault)
    with tracking.open_run(cfg, Path("1")) as run:
        run.log_metrics({"loss": 1.0}, step=0)
    (stored,) = runs_in(direct, cfg)
    assert stored.info.run_id == run.id == facts("1")["id"]
    assert stored.data.tags["samerun.uid"] == facts("1")["uid"]
    assert stored.info.status == "FINISHED"
    assert points(direct, run.id) == [(0, 1.0)]


@pytest.mark.parametrize("path", ["experiments/search", "experiments/get-by-name", "runs/create"])
def test_bad_answers_at_the_start_do_not_keep_a_run_from_training(proxy, direct, caplog, path):
    cfg = configured(proxy)
    bad = [Fault(status=502), Fault(is_lost=True), Fault(status=503, retry_after=600)]
    proxy.fault = lambda method, where, body: bad.pop() if path in where and bad else None
    with tracking.open_run(cfg, Path("1")) as run:
        run.log_metrics({"loss": 1.0}, step=0)
    (stored,) = runs_in(direct, cfg)
    assert stored.info.status == "FINISHED"
    assert points(direct, stored.info.run_id) == [(0, 1.0)]
    assert len([m for m in caplog.messages if m.startswith("Tracking store unavailable")]) == 1
    assert "available again" in caplog.messages[-1]


def test_a_run_that_begins_without_a_server_is_created_later_with_its_start_time(
    server, proxy, direct, caplog
):
    cfg = configured(proxy)
    proxy.fault = lambda method, where, body: Fault(is_lost=True)
    before = time.time_ns() // 1_000_000
    with tracking.open_run(cfg, Path("1")) as run:
        assert run.id == facts("1")["uid"]
        assert facts("1")["id"] is None
        assert run.url is None
        run.log_metrics({"loss": 1.0}, step=0)
        began = time.time_ns() // 1_000_000
        proxy.fault = lambda method, where, body: None
        assert run.flush()
        assert run.id == facts("1")["id"] != facts("1")["uid"]
        assert run.url.endswith(f"/#/experiments/{run.experiment_id}/runs/{run.id}")
    (stored,) = runs_in(direct, cfg)
    assert before <= stored.info.start_time <= began
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["samerun.folder"] == str(Path("1").absolute())
    assert "Training continues" in caplog.messages[0]
    assert str(Path("1").absolute()) in caplog.messages[0]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_will_never_take_the_run_is_refused_at_once(proxy, status):
    proxy.fault = lambda method, where, body: Fault(status=status)
    opened = tracking.open_run(configured(proxy), Path("1"))
    with pytest.raises(UserError, match=r"tracking.uri: received"):
        opened.__enter__()
    assert not Path("1/run.json").exists()


def test_a_run_that_the_store_refuses_to_create_leaves_nothing_behind(proxy):
    proxy.fault = lambda method, where, body: Fault(status=403) if "runs/create" in where else None
    opened = tracking.open_run(configured(proxy), Path("1"))
    with pytest.raises(UserError, match="the run cannot be created"):
        opened.__enter__()
    assert [file.name for file in Path("1").iterdir()] == ["alive.lock"]


def test_a_refused_entry_does_not_keep_back_the_others(proxy, direct):
    def decide(method, where, body):
        too_large = "log-batch" in where and (len(body) > 3000 or b'"poison"' in body)
        return (
            Fault(status=413 if "big.txt" in where or too_large else 0)
            if ("big.txt" in where or too_large)
            else None
        )

    proxy.fault = decide
    cfg = configured(proxy)
    with tracking.open_run(cfg, Path("1")) as run:
        for step in range(200):
            run.log_metrics({"loss": float(step)}, step=step)
        run.log_metrics({"poison": 1.0}, step=0)
        for name in ("first.txt", "big.txt", "last.txt"):
            run.log_text("x", name)
    stored = direct.get_run(run.id)
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["samerun.undelivered"] == "1 artifact, 1 point"
    assert points(direct, run.id) == [(step, float(step)) for step in range(200)]
    assert [file.path for file in direct.list_artifacts(run.id)] == ["first.txt", "last.txt"]
    lines = [json.loads(line) for line in Path("1/refused.jsonl").read_text().splitlines()]
    assert sorted((line["kind"], line["key"]) for line in lines) == [
        ("artifact", "big.txt"),
        ("metric", "poison"),
    ]
    assert all("413" in line["reason"] for line in lines)


def test_a_server_that_refuses_everything_loses_nothing(proxy, direct):
    cfg = configured(proxy, "tracking.patience_seconds=1")
    with tracking.open_run(cfg, Path("1")) as run:
        assert run.flush()
        proxy.fault = lambda method, where, body: Fault(status=403) if method != "GET" else None
        run.log_metrics({"loss": 1.0}, step=0)
        run.log_text("x", "notes.txt")
    assert not Path("1/refused.jsonl").exists()
    assert direct.get_run(run.id).info.status == "RUNNING"
    proxy.fault = lambda method, where, body: None
    tracking.deliver(Path("1"))
    assert points(direct, run.id) == [(0, 1.0)]
    assert direct.get_run(run.id).info.status == "FINISHED"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=503, retry_after=600), id="retry-after"),
        pytest.param(Fault(seconds=1.0), id="slow"),
        pytest.param(Fault(seconds=30.0), id="hangs"),
    ],
)
def test_the_end_of_a_run_waits_no_longer_than_its_patience(proxy, direct, caplog, fault):
    cfg = configured(proxy, "tracking.patience_seconds=1")
    with tracking.open_run(cfg, Path("1")) as run:
        assert run.flush()
        proxy.fault = lambda method, where, body: fault
        for number in range(20):
            run.log_metrics({"loss": 1.0}, step=number)
            run.log_text("x", f"{number}.txt")
        time.sleep(1.0)  # the thread is in a request
        began = time.monotonic()
    assert time.monotonic() - began < 20  # 1 s; without a limit 30 s and more
    assert f"`samerun sync {run.id}`" in caplog.messages[-1]
    proxy.fault = lambda method, where, body: None
    tracking.deliver(Path("1"))
    assert points(direct, run.id) == [(step, 1.0) for step in range(20)]
    assert len(direct.list_artifacts(run.id)) == 20
    stored = direct.get_run(run.id)
    assert stored.info.status == "FINISHED"
    assert not stored.data.tags.get("samerun.undelivered")


def test_training_without_a_server_ends_well_and_is_delivered_whole_later(
    proxy, direct, capsys, samerun
):
    cfg = configured(proxy)
    proxy.fault = lambda method, where, body: Fault(is_lost=True)
    overrides = ["model=mlp", "debug=fast", f"tracking.uri={proxy.uri}", "hydra.run.dir=run"]
    overrides += [f"tracking.experiment={cfg.tracking.experiment}", "tracking.patience_seconds=1"]
    done = samerun("train", *overrides, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    uid = facts("run")["uid"]
    shown = " ".join(done.stdout.split())
    assert f"sync {uid}" in shown
    for asked in ("skip", "resume"):
        assert main(["train", *overrides, f"tracking.if_exists={asked}"]) == 2
        assert "while the tracking store is unavailable" in (
            " ".join(capsys.readouterr().err.split())
        )
    proxy.fault = lambda method, where, body: None
    tracking.deliver(Path("run"))
    (stored,) = runs_in(direct, cfg)
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["samerun.weights"]
    wanted = {(p.key, p.step, p.value) for p in tracking.read_points(Path("run"))}
    got = {
        (key, p.step, p.value)
        for key in stored.data.metrics
        for p in direct.get_metric_history(stored.info.run_id, key)
    }
    assert got == wanted
    (found,) = tracking.find_runs([stored.info.run_id[:12]], uri=proxy.uri)
    root = Path("run/artifacts")
    here = sorted(str(f.relative_to(root)) for f in root.rglob("*") if f.is_file())
    assert tracking.list_artifacts(found, uri=proxy.uri) == here
    direct.set_tag(stored.info.run_id, "samerun.undelivered", "1 point")
    assert main(["train", *overrides[:-1], "tracking.if_exists=skip"]) == 2
    assert f"samerun sync {stored.info.run_id}" in " ".join(capsys.readouterr().err.split())
