"""Runs that were made before: opened again from the store alone, or made for a worker."""

import json
import math
from pathlib import Path

import pytest

from samerun import tracking
from samerun.errors import UserError
from support.project import composed, values


def killed(folder, points):
    opened = tracking.open_run(composed(), Path(folder))
    run = opened.__enter__()
    for step, value in points.items():
        run.log_metrics({"train/loss": value}, step=step)
    assert not opened.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    return run


def test_an_empty_folder_takes_what_is_known_from_the_store(client):
    first = killed("1", {0: 1.0, 1: math.nan, 2: math.inf, 3: 0.25})
    with tracking.reopen_run(Path("2"), run_id=first.id, tags={"a": "b"}) as again:
        for step, value in {1: math.nan, 2: math.inf, 3: 0.25, 4: 0.125}.items():
            again.log_metrics({"train/loss": value}, step=step)
    stored = client.get_run(first.id)
    assert [step for step, _ in values(client, first.id, "train/loss")] == [0, 1, 2, 3, 4]
    assert stored.info.status == "FINISHED"
    assert not stored.data.tags["samerun.reason"]
    assert stored.data.tags["samerun.folder"] == str(Path("2").absolute())
    assert stored.data.tags["a"] == "b"
    assert "samerun.resume_differs" not in stored.data.tags
    here = {(point.step, str(point.value)) for point in tracking.read_points(Path("2"))}
    assert here == {(0, "1.0"), (1, "nan"), (2, "inf"), (3, "0.25"), (4, "0.125")}


def test_a_step_keeps_its_value_and_a_difference_is_reported(client, caplog):
    first = killed("1", {0: 1.0, 1: 0.5})
    with tracking.reopen_run(Path("1")) as again:
        again.log_metrics({"train/loss": 0.75, "speed/epoch_seconds": 3.0}, step=1)
        again.log_metrics({"train/loss": 0.875}, step=0)
        again.log_metrics({"train/loss": 0.25, "speed/epoch_seconds": 2.0}, step=2)
    assert values(client, first.id, "train/loss") == [(0, 1.0), (1, 0.5), (2, 0.25)]
    assert client.get_run(first.id).data.tags["samerun.resume_differs"] == "train/loss at step 1"
    assert len([m for m in caplog.messages if "before the interruption" in m]) == 1


def test_the_end_of_an_earlier_attempt_is_not_delivered_late(client):
    first = killed("1", {0: 1.0})
    position = Path("1/delivered.json")
    state = json.loads(position.read_text())
    position.write_text(json.dumps({**state, "outbox.jsonl": 0}))  # as if nothing had been sent
    with tracking.reopen_run(Path("1")) as again:
        assert again.flush()
        stored = client.get_run(first.id)
        assert stored.info.status == "RUNNING"
        assert not stored.data.tags["samerun.reason"]


def test_what_the_old_folder_still_holds_is_delivered_first(client):
    first = killed("1", {0: 1.0})
    line = {"key": "train/loss", "value": 0.5, "step": 1, "timestamp": 1_800_000_000_000}
    with Path("1/metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    with tracking.reopen_run(Path("2"), run_id=first.id) as again:
        again.log_metrics({"train/loss": 0.5}, step=1)
    assert values(client, first.id, "train/loss") == [(0, 1.0), (1, 0.5)]


def test_a_folder_and_an_id_that_do_not_belong_together_are_refused(client):
    first, second = killed("1", {0: 1.0}), killed("2", {0: 1.0})
    for run_id, message in [(second.id, "give .* an empty folder"), ("0" * 32, "empty folder")]:
        with (
            pytest.raises(UserError, match=message),
            tracking.reopen_run(Path("1"), run_id=run_id),
        ):
            pytest.fail("it was opened")
    with (
        pytest.raises(UserError, match="not in the store"),
        tracking.reopen_run(Path("3"), run_id="0" * 32),
    ):
        pytest.fail("it was opened")
    client.delete_run(first.id)
    with pytest.raises(UserError, match="was deleted"), tracking.reopen_run(Path("1")):
        pytest.fail("it was opened")


def test_a_run_made_for_a_worker_is_opened_by_it_and_adopted_when_tried_again(client):
    cfg = composed()
    with tracking.open_run(cfg, Path("parent")) as parent:
        tags = {"samerun.study": "it's", "samerun.trial": "3"}
        made = tracking.create_child(cfg, parent.id, name="trial-3", tags=tags)
        stored = client.get_run(made)
        assert stored.info.status == "RUNNING"
        assert stored.data.tags["mlflow.parentRunId"] == parent.id
        assert tracking.close_dead_runs(client, [parent.experiment_id]) == []
        opened = tracking.reopen_run(Path("3"), run_id=made, take_over=True)
        opened.__enter__().log_metrics({"train/loss": 1.0}, step=1)
        assert not opened.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        assert client.get_run(made).info.status == "KILLED"
        again = tracking.create_child(cfg, parent.id, name="trial-3", tags=tags, client=client)
        other = tracking.create_child(
            cfg, parent.id, name="trial-4", tags={**tags, "samerun.trial": "4"}
        )
        assert again == made != other
        assert client.get_run(made).info.status == "KILLED"
        with tracking.reopen_run(Path("3"), run_id=made, take_over=True):
            assert client.get_run(made).info.status == "RUNNING"
        assert client.get_run(made).info.status == "FINISHED"


def test_artifacts_and_histories_of_a_stored_run_are_read(client):
    with tracking.open_run(composed(), Path("1"), tags={"samerun.fingerprint": "abc"}) as run:
        run.log_text("a: 1", "config/resolved.yaml")
        run.log_text("hello", "notes.txt")
        run.log_metrics({"train/loss": 1.0}, step=0)
        run.log_metrics({"train/loss": 0.5}, step=1)
    (stored,) = tracking.find_by_tags(composed(), {"samerun.fingerprint": "abc"})
    assert stored.id == run.id
    assert tracking.find_by_tags(composed(), {"samerun.fingerprint": "ab"}) == []
    assert tracking.list_artifacts(stored) == ["config/resolved.yaml", "notes.txt"]
    assert tracking.list_artifacts(stored, "config") == ["config/resolved.yaml"]
    assert tracking.list_artifacts(stored, "nothing") == []
    assert tracking.read_artifact(stored, "config/resolved.yaml") == b"a: 1"
    with pytest.raises(UserError, match="cannot be read"):
        tracking.read_artifact(stored, "config/other.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        tracking.read_artifact(stored, "config")
    assert tracking.metric_histories(stored) == {"train/loss": {0: 1.0, 1: 0.5}}
    tracking.tag_run(stored, {"samerun.verdict": "EXACT"})
    assert client.get_run(run.id).data.tags["samerun.verdict"] == "EXACT"


def test_where_there_is_no_store_there_is_no_same_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking.find_by_tags(composed(), {"samerun.fingerprint": "abc"}) == []
    assert not list(tmp_path.iterdir())
