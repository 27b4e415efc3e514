"""What a run logs, in files of its folder, and how much of it was delivered.

    metrics.jsonl     one metric point per line: key, value, step, timestamp in milliseconds
    outbox.jsonl      everything else, one line each, in order: start, params, tags, artifacts, end
    delivered.json    how many bytes of the two the store has, and which artifacts it lacks
    refused.jsonl     what the store refused for good, with the reason: kind, key, reason, entry

The lists only grow, and each line is written before anything is sent. Delivering a line twice
changes nothing (metric points keep their timestamps), so a position that is too low is safe.
"""

import json
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from samerun.files import write_atomic
from samerun.tracking.delivery.lines import Line, Lines, Waiting, read_lines, storable

METRICS_FILE = "metrics.jsonl"
OUTBOX_FILE = "outbox.jsonl"
POSITION_FILE = "delivered.json"
REFUSED_FILE = "refused.jsonl"
KINDS = ("start", "params", "tags", "artifact", "dataset", "model", "end")
POINTS_A_BATCH = 1000  # the most that MLflow accepts in one request
_LONGEST_INTEGER = 2**63 - 1  # the largest step and timestamp that MLflow stores

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Point:
    """One value of a metric.

    Args:
        key: the metric's name.
        value: may be NaN or infinite.
        step: epoch or step.
        timestamp: milliseconds since 1970, when it was measured.
    """

    key: str
    value: float
    step: int
    timestamp: int

    @property
    def fits(self) -> bool:
        """Whether step and timestamp are numbers that MLflow can store."""
        return all(abs(number) <= _LONGEST_INTEGER for number in (self.step, self.timestamp))


def now() -> int:
    """Returns milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def read_points(folder: Path) -> list[Point]:
    """Returns every metric point recorded in a run's folder."""
    lines, _ = read_lines(folder / METRICS_FILE, 0, _is_point)
    return [_point(line) for line, _ in lines]


def write_known(folder: Path, points: Sequence[Point]) -> None:
    """Starts a run's folder with the points that are already in the store."""
    text = points_text(points)
    write_atomic(folder / METRICS_FILE, text)
    write_atomic(folder / POSITION_FILE, json.dumps({METRICS_FILE: len(text.encode())}))


def points_text(points: Sequence[Point]) -> str:
    """Returns points as the lines of `metrics.jsonl`."""
    return "".join(json.dumps(_line(point), ensure_ascii=False) + "\n" for point in points)


def _line(point: Point) -> Line:
    value = point.value if math.isfinite(point.value) else str(point.value)  # JSON knows no NaN
    return {"key": point.key, "value": value, "step": point.step, "timestamp": point.timestamp}


def _point(line: Line) -> Point:
    return Point(line["key"], float(line["value"]), line["step"], line["timestamp"])


def _is_point(line: Any) -> bool:
    try:
        point = _point(line)
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    numbers = (point.step, point.timestamp)
    return isinstance(point.key, str) and all(type(number) is int for number in numbers)


def _is_entry(line: Any) -> bool:
    return line.get("kind") in KINDS


def _is_refusal(line: Any) -> bool:
    return all(isinstance(line.get(key), str) for key in ("kind", "key", "reason"))


@final
class Spool:
    """The records of a run in its folder, and how much of them was delivered.

    Args:
        folder: the run's folder.
        continues: the run was started by another process. A step for which that one recorded a
            value keeps it: an epoch that is repeated after an exact resume has the same values.
            How that process ended is no longer how the run ended.
        known: points that are in the store, though perhaps not in this folder.
    """

    def __init__(
        self, folder: Path, *, continues: bool = False, known: Sequence[Point] = ()
    ) -> None:
        self.folder = folder
        stored = _read_position(folder / POSITION_FILE)
        self._metrics = Lines(folder / METRICS_FILE, stored[METRICS_FILE], _is_point)
        self._outbox = Lines(folder / OUTBOX_FILE, stored[OUTBOX_FILE], _is_entry)
        self._models: dict[str, str] = stored["models"]
        self._uploads: list[Line] = stored["uploads"]
        self.undelivered_tag: str = stored["undelivered"]
        self._refused: Lines | None = None
        if self._metrics.starts_over or self._outbox.starts_over:
            _log.warning(
                "%s: files were truncated, as by a power failure: all of it is delivered again.",
                folder,
            )
            self._save()  # before the files grow beyond the old position
        here = read_points(folder) if continues else []
        self._known = {(p.key, p.step): str(p.value) for p in [*here, *known]}
        outbox = folder / OUTBOX_FILE
        self._earlier = outbox.stat().st_size if continues and outbox.exists() else 0

    def add_metrics(self, metrics: Mapping[str, float], step: int) -> list[Point]:
        """Records one point of each metric, now.

        Returns:
            The points that were not written since their step has another value already.
        """
        timestamp = now()
        points = [
            Point(storable(key), float(value), int(step), timestamp)
            for key, value in metrics.items()
        ]
        if points and not points[0].fits:
            _log.warning(
                "Metrics of step %s are left out (%s): expected a step of at most 64 bits.",
                f"{step:.3g}" if isinstance(step, float) else hex(step),
                ", ".join(sorted(metrics)[:3]),
            )
            return []
        fresh = [point for point in points if (point.key, step) not in self._known]
        if fresh:
            self._metrics.append([_line(point) for point in fresh])
        old = [point for point in points if (point.key, step) in self._known]
        return [point for point in old if self._known[point.key, step] != str(point.value)]

    def add(self, kind: str, **content: Any) -> None:
        """Records something else for the store."""
        self._outbox.append([{"kind": kind, **storable(content)}])

    def start(self) -> Line | None:
        """Returns the line with which the run is created in the store, if there is one."""
        lines = [
            *(line for line, _ in self._outbox.read()),
            *(e for e, _ in self._outbox.waiting()),
        ]
        return next((line for line in lines if line["kind"] == "start"), None)

    def sync_to_disk(self) -> None:
        """Returns when everything that was logged is on the disk."""
        self._metrics.sync_to_disk()
        self._outbox.sync_to_disk()

    def deliver_points(self, send: Callable[[list[Point]], None]) -> int:
        """Passes the waiting points to `send` in batches; returns how many were delivered."""
        waiting = self._metrics.waiting()
        for start in range(0, len(waiting), POINTS_A_BATCH):
            batch = waiting[start : start + POINTS_A_BATCH]
            send([_point(line) for line, _ in batch])
            self._metrics.delivered(batch)
            self._save()
        return len(waiting)

    def entries_waiting(self) -> list[Waiting]:
        """Returns the other lines that were not delivered."""
        return self._outbox.waiting()

    def entries_delivered(self, batch: list[Waiting]) -> None:
        """Marks the first lines of `entries_waiting` as delivered."""
        self._outbox.delivered(batch)
        self._save()

    def is_outdated(self, entry: Waiting) -> bool:
        """Whether an entry is the end of an earlier process, after which the run was resumed."""
        line, end = entry
        return line["kind"] == "end" and end is not None and end <= self._earlier

    def uploads(self) -> list[Line]:
        """Returns the artifacts that wait, in the order to try them."""
        return list(self._uploads)

    def upload_later(self, line: Line) -> None:
        """Moves an artifact from `outbox.jsonl` to the uploads, unless it is among them."""
        if line not in self._uploads:
            self._uploads.append(line)

    def upload_failed(self, line: Line) -> None:
        """Puts an artifact behind the others."""
        self._uploads.remove(line)
        self._uploads.append(line)
        self._save()

    def uploaded(self, line: Line) -> None:
        """Marks an artifact as delivered."""
        self._uploads.remove(line)
        self._save()

    def refuse(self, kind: str, key: str, reason: str, entry: Any) -> None:
        """Sets aside what the store refuses for good, so that the rest can be delivered.

        Args:
            kind: `metric`, `param`, `tag`, `artifact`, `dataset`, `model` or another kind of entry.
            key: its name or path.
            reason: why, in one line.
            entry: all of it.
        """
        line = {"kind": kind, "key": key, "reason": reason, "entry": storable(entry)}
        known = [(old["kind"], old["key"], old.get("entry")) for old in self.refused()]
        if (line["kind"], line["key"], line["entry"]) not in known:
            self._refused = self._refused or Lines(self.folder / REFUSED_FILE, 0, _is_refusal)
            self._refused.append([line])
            self._refused.sync_to_disk()

    def refused(self) -> list[Line]:
        """Returns what was set aside."""
        if self._refused is not None:
            return [line for line, _ in self._refused.waiting()]
        return [line for line, _ in read_lines(self.folder / REFUSED_FILE, 0, _is_refusal)[0]]

    def model_id(self, path: str) -> str | None:
        """Returns the identifier the store gave the model at `path`, if it has it already."""
        return self._models.get(path)

    def remember_model(self, path: str, model_id: str) -> None:
        """Remembers the identifier of a model, so that a retry does not create another one."""
        self._models[path] = model_id
        self._save()

    def remember_tag(self, text: str) -> None:
        """Remembers the value of the tag `samerun.undelivered` in the store."""
        self.undelivered_tag = text
        self._save()

    def _save(self) -> None:
        state = {
            METRICS_FILE: self._metrics.position,
            OUTBOX_FILE: self._outbox.position,
            "uploads": self._uploads,
            "models": self._models,
            "undelivered": self.undelivered_tag,
        }
        try:
            # Not flushed to the disk: losing it costs a second delivery, which is harmless.
            write_atomic(self.folder / POSITION_FILE, json.dumps(state), durable=False)
        except OSError as error:
            _log.debug("Cannot write %s: %s", POSITION_FILE, error)

    def num_points_waiting(self) -> int:
        """Returns how many metric points the store does not have."""
        return len(self._metrics.waiting())

    def missing(self) -> str:
        """Returns what the store does not have, waiting or refused, such as `3 artifacts`.

        The end of the run itself is not counted.
        """
        count: Counter[str] = Counter()
        count["point"] += self.num_points_waiting()
        for line in [*(line for line, _ in self.entries_waiting()), *self._uploads]:
            values = line.get("values")
            count[line["kind"]] += len(values) if isinstance(values, dict) else 1
        for line in self.refused():
            count["point" if line["kind"] == "metric" else line["kind"]] += 1
        count["param"] += count.pop("params", 0)
        count["tag"] += count.pop("tags", 0)
        parts = [
            f"{number} {kind}{'s' if number > 1 else ''}"
            for kind, number in sorted(count.items())
            if number and kind not in ("start", "end")
        ]
        return ", ".join(parts)

    def has_ended(self) -> bool:
        """Whether the last record is the end of the run."""
        lines = self._outbox.read()
        return bool(lines) and lines[-1][0]["kind"] == "end"

    def is_empty(self) -> bool:
        """Whether nothing waits for delivery."""
        return not (self.num_points_waiting() or self.entries_waiting() or self._uploads)

    def abandon(self) -> None:
        """Removes the files: there is no run."""
        self.close()
        for name in (METRICS_FILE, OUTBOX_FILE, POSITION_FILE, REFUSED_FILE):
            (self.folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the files."""
        for lines in (self._metrics, self._outbox, self._refused):
            if lines is not None:
                lines.close()


def _read_position(file: Path) -> dict[str, Any]:
    """Returns what is in `delivered.json`; if it is invalid, as if nothing was delivered."""
    kinds = {METRICS_FILE: int, OUTBOX_FILE: int, "models": dict, "uploads": list}
    nothing: dict[str, Any] = {**{key: kind() for key, kind in kinds.items()}, "undelivered": ""}
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return nothing
    except (OSError, ValueError, RecursionError):
        stored = None
    if isinstance(stored, dict) and _is_position({**nothing, **stored}, kinds):
        return {key: stored.get(key, value) for key, value in nothing.items()}
    _log.warning("%s cannot be read: the complete run is delivered again.", file)
    return nothing


def _is_position(stored: dict[str, Any], kinds: Mapping[str, type]) -> bool:
    return (
        all(type(stored[key]) is kind for key, kind in kinds.items())
        and all(
            isinstance(text, str) for text in [stored["undelivered"], *stored["models"].values()]
        )
        and all(isinstance(line, dict) and _is_entry(line) for line in stored["uploads"])
    )
