"""What a run writes into its folder, and what of it is still to be delivered."""

import json
import math

import pytest

from samerun.tracking.spool import Line, Point, Spool, read_points


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


def test_delivery_goes_on_where_the_last_process_stopped(open_spool):
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
