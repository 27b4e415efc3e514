"""What a run writes into its folder, and what of it is still to be delivered."""

import contextlib
import json
import math
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samerun.tracking.delivery.spool import Line, Point, Spool, read_points


@pytest.fixture
def open_spool(tmp_path):
    opened = []

    def open_(continues=False):
        opened.append(Spool(tmp_path, continues=continues))
        return opened[-1]

    yield open_
    for spool in opened:
        spool.close()


def taken(spool: Spool) -> list[Point]:
    points: list[Point] = []
    spool.deliver_points(points.extend)
    return points


def entries(spool: Spool) -> list[Line]:
    lines: list[Line] = []
    for entry in spool.entries_waiting():
        if not spool.is_outdated(entry):
            lines.append(entry[0])
        spool.entries_delivered([entry])
    return lines


def test_points_are_on_disk_before_anything_is_delivered(open_spool, tmp_path):
    spool = open_spool()
    spool.add_metrics({"train/loss": 0.5, "train/accuracy": 0.25}, 3)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["key"], line["value"], line["step"]) for line in lines] == [
        ("train/loss", 0.5, 3),
        ("train/accuracy", 0.25, 3),
    ]
    assert lines[0]["timestamp"] == lines[1]["timestamp"] > 1_700_000_000_000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.1 + 0.2, 5e-324, 1e308])
def test_values_come_back_exactly(open_spool, tmp_path, value):
    spool = open_spool()
    spool.add_metrics({"loss": value}, 0)
    (point,) = taken(spool)
    assert str(point.value) == str(value)
    text = (tmp_path / "metrics.jsonl").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_delivery_continues_where_the_last_process_stopped(open_spool):
    first = open_spool()
    first.add_metrics({"loss": 1.0}, 0)
    first.add("tags", values={"a": "1"})
    assert len(taken(first)) == 1
    assert len(entries(first)) == 1
    first.add_metrics({"loss": 2.0}, 1)
    first.close()
    second = open_spool()
    assert [point.step for point in taken(second)] == [1]
    assert entries(second) == []
    assert second.is_empty()


def test_a_failed_delivery_is_delivered_again_with_the_same_timestamps(open_spool):
    spool = open_spool()
    spool.add_metrics({"loss": 1.0}, 0)
    seen: list[list[Point]] = []

    def fails(points: list[Point]) -> None:
        seen.append(points)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        spool.deliver_points(fails)
    assert spool.num_points_waiting() == 1
    assert taken(spool) == seen[0]


def test_a_line_torn_by_a_kill_is_cut_off(open_spool, tmp_path):
    spool = open_spool()
    spool.add_metrics({"loss": 1.0}, 0)
    spool.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"key": "loss", "val')
    again = open_spool()
    again.add_metrics({"loss": 2.0}, 1)
    assert [point.value for point in taken(again)] == [1.0, 2.0]


def test_an_unreadable_line_does_not_keep_back_the_others(open_spool, tmp_path):
    (tmp_path / "metrics.jsonl").write_text("no json\n")
    spool = open_spool()
    spool.add_metrics({"loss": 2.0}, 1)
    assert [point.value for point in taken(spool)] == [2.0]
    assert spool.is_empty()


def test_batches_are_what_mlflow_takes_at_once(open_spool):
    spool = open_spool()
    for step in range(2500):
        spool.add_metrics({"loss": float(step)}, step)
    sizes: list[int] = []
    assert spool.deliver_points(lambda points: sizes.append(len(points))) == 2500
    assert sizes == [1000, 1000, 500]


def test_a_step_that_has_a_value_keeps_it_after_a_resume(open_spool, tmp_path):
    first = open_spool()
    first.add_metrics({"loss": 1.0, "bad": math.nan}, 0)
    first.add_metrics({"loss": 0.5}, 1)
    first.close()
    second = open_spool(continues=True)
    assert second.add_metrics({"loss": 0.5, "bad": math.nan}, 1) == []
    assert second.add_metrics({"loss": 1.0, "bad": math.nan}, 0) == []
    (differing,) = second.add_metrics({"loss": 0.25}, 1)
    assert (differing.key, differing.step, differing.value) == ("loss", 1, 0.25)
    assert [(p.key, p.step, str(p.value)) for p in read_points(tmp_path)] == [
        ("loss", 0, "1.0"),
        ("bad", 0, "nan"),
        ("loss", 1, "0.5"),
        ("bad", 1, "nan"),
    ]


def test_a_failed_upload_goes_behind_the_others_and_survives_the_process(open_spool):
    spool = open_spool()
    bad, good = {"kind": "artifact", "path": "a"}, {"kind": "artifact", "path": "b"}
    for line in (bad, good, bad):
        spool.upload_later(line)
    spool.upload_failed(bad)
    assert open_spool().uploads() == [good, bad]
    spool.uploaded(good)
    assert open_spool().uploads() == [bad]
    assert not open_spool().is_empty()


def test_a_file_that_a_power_failure_shortened_is_delivered_again(open_spool, tmp_path, caplog):
    first = open_spool()
    for step in range(8):
        first.add_metrics({"loss": float(step)}, step)
    assert len(taken(first)) == 8
    first.close()
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:3])[:-2])
    second = open_spool(continues=True)
    for step in range(2, 12):
        second.add_metrics({"loss": float(step)}, step)
    assert [point.step for point in taken(second)] == list(range(12))
    assert len([m for m in caplog.messages if "is delivered again" in m]) == 1


def test_a_position_that_starts_over_is_written_down_before_the_file_grows_beyond_it(
    open_spool, tmp_path
):
    first = open_spool()
    for step in range(8):
        first.add_metrics({"loss": float(step)}, step)
    taken(first)
    first.close()
    (tmp_path / "metrics.jsonl").write_bytes(b"")
    killed = open_spool()
    for step in range(100, 120):
        killed.add_metrics({"loss": float(step)}, step)
    killed.close()
    assert [point.step for point in taken(open_spool())] == list(range(100, 120))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '{"metrics.jsonl": "9"}',
        '{"metrics.jsonl": -1}',
        '{"metrics.jsonl": true}',
        '{"metrics.jsonl": 5}',
        '{"metrics.jsonl": 99999}',
        '{"outbox.jsonl": 1e3}',
        '{"uploads": {}}',
        '{"uploads": [1]}',
        '{"uploads": [{"kind": "close"}]}',
        '{"models": []}',
        '{"models": {"model": 1}}',
        '{"undelivered": null}',
        "\udcff",
        "[" * 100_000,
    ],
)
def test_a_position_that_cannot_be_read_means_that_nothing_was_delivered(
    open_spool, tmp_path, text
):
    first = open_spool()
    first.add_metrics({"loss": 1.0}, 0)
    first.add("tags", values={"a": "1"})
    first.close()
    (tmp_path / "delivered.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    second = open_spool()
    assert [point.step for point in taken(second)] == [0]
    assert [line["kind"] for line in entries(second)] == ["tags"]
    assert second.uploads() == []


@pytest.mark.parametrize(
    "line", ['"text"', "[]", '{"key": "loss"}', '{"key": 1, "value": 1, "step": 0, "timestamp": 0}']
)
def test_a_line_of_another_shape_is_left_out_with_one_warning(open_spool, tmp_path, line, caplog):
    for name in ("metrics.jsonl", "outbox.jsonl"):
        (tmp_path / name).write_text(f"{line}\n")
    spool = open_spool()
    spool.add_metrics({"loss": 1.0}, 1)
    spool.add("tags", values={"a": "1"})
    assert len(taken(spool)) == len(entries(spool)) == 1
    assert spool.is_empty()
    assert len([m for m in caplog.messages if "cannot be read" in m]) == 2


def test_what_no_store_can_take_is_replaced_or_left_out_at_the_door(open_spool, caplog):
    spool = open_spool()
    spool.add("tags", values={"na\udce4me": "v\0alue"})
    spool.add_metrics({"lo\udce4ss": 1.0}, 0)
    for step in (2**63, -(2**63) - 1):
        assert spool.add_metrics({"loss": 1.0}, step) == []
    assert entries(spool) == [{"kind": "tags", "values": {"na\ufffdme": "v\ufffdalue"}}]
    assert [(point.key, point.step) for point in taken(spool)] == [("lo\ufffdss", 0)]
    assert len([m for m in caplog.messages if "step of at most 64 bits" in m]) == 2


def test_everything_is_flushed_to_the_disk_when_asked_and_not_with_every_line(
    open_spool, tmp_path, monkeypatch
):
    flushed = []
    monkeypatch.setattr("os.fsync", lambda handle: flushed.append(os.fstat(handle).st_ino))
    spool = open_spool()
    for step in range(10):
        spool.add_metrics({"loss": 1.0}, step)
        spool.add("tags", values={"a": str(step)})
    taken(spool)
    assert flushed == []
    spool.sync_to_disk()
    files = [tmp_path / "metrics.jsonl", tmp_path / "outbox.jsonl"]
    assert flushed == [file.stat().st_ino for file in files]


def test_what_was_refused_is_set_aside_once_and_counted(open_spool, tmp_path):
    for _ in range(2):  # as if the position was lost
        spool = open_spool()
        spool.refuse("param", "a", "another value", {"key": "a", "value": "2"})
        spool.refuse("artifact", "b.txt", "too large", {"kind": "artifact", "path": "b.txt"})
    spool.add_metrics({"loss": 1.0, "other": 1.0}, 0)
    spool.add("params", values={"x": "1", "y": "2"})
    assert spool.missing() == "1 artifact, 3 params, 2 points"
    lines = [json.loads(line) for line in (tmp_path / "refused.jsonl").read_text().splitlines()]
    assert [line["key"] for line in lines] == ["a", "b.txt"]
    assert lines[0] == {
        "kind": "param",
        "key": "a",
        "reason": "another value",
        "entry": {"key": "a", "value": "2"},
    }


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("log"), st.integers(1, 3)),
        st.tuples(st.just("tag"), st.integers(0, 3)),
        st.tuples(st.just("deliver"), st.integers(0, 2)),  # this many requests, then an outage
        st.tuples(st.just("kill"), st.integers(0, 1)),
        st.tuples(st.just("power"), st.floats(0, 1)),
        st.tuples(st.just("position"), st.sampled_from(["", "{", "[]", None])),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(actions=ACTIONS)
def test_nothing_that_is_on_the_disk_is_lost_or_doubled_whatever_crashes(actions):
    """Points and tags against a store that, as MLflow does, keeps equal points once."""
    with tempfile.TemporaryDirectory() as name:
        folder, stored, tags, step = Path(name), set(), {}, 0
        spool = Spool(folder)

        def deliver(budget):
            def spend():
                nonlocal budget
                if budget == 0:
                    raise ConnectionError
                budget -= 1

            def send(points):
                spend()
                stored.update((p.key, p.step, p.value, p.timestamp) for p in points)

            with contextlib.suppress(ConnectionError):
                spool.deliver_points(send)
                for entry in spool.entries_waiting():
                    spend()
                    tags.update(entry[0]["values"])
                    spool.entries_delivered([entry])

        for action, number in actions:
            if action == "log":
                for _ in range(number):
                    spool.add_metrics({"loss": float(step), "other": -1.0}, step)
                    step += 1
            elif action == "tag":
                spool.add("tags", values={f"t{number}": str(step)})
            elif action == "deliver":
                deliver(number)
            else:
                spool.close()
                if action == "power":
                    for file in (folder / "metrics.jsonl", folder / "outbox.jsonl"):
                        if file.exists():
                            os.truncate(file, int(file.stat().st_size * number))
                if action == "position" and number is None:
                    (folder / "delivered.json").unlink(missing_ok=True)
                elif action == "position":
                    (folder / "delivered.json").write_text(number)
                spool = Spool(folder)
        spool.close()
        spool = Spool(folder)
        deliver(10_000)
        assert spool.is_empty()
        on_disk = {(p.key, p.step, p.value, p.timestamp) for p in read_points(folder)}
        assert on_disk <= stored
        lines = (
            (folder / "outbox.jsonl").read_bytes() if (folder / "outbox.jsonl").exists() else b""
        )
        expected = {}
        for line in lines.splitlines():
            expected.update(json.loads(line)["values"])
        assert {key: tags[key] for key in expected} == expected
        assert len({(key, step) for key, step, *_ in stored}) == len(stored)
        spool.close()
