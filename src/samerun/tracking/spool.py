"""What a run has to say, in files of its own folder, and how much of it the store already knows.

    metrics.jsonl     one metric point a line: key, value, step, timestamp in milliseconds
    outbox.jsonl      everything else, one line each, in order: params, tags, artifacts, the end
    delivered.json    how many bytes of the two the store has, and which artifacts it lacks

Both lists only grow, and each line is written before the store hears of it. Delivering a line twice
changes nothing (metric points keep their timestamps), so a position that is a little old is safe.
"""

import errno
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, final

METRICS_FILE = "metrics.jsonl"
OUTBOX_FILE = "outbox.jsonl"
POSITION_FILE = "delivered.json"
POINTS_A_BATCH = 1000  # what MLflow takes in one request

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


Line = dict[str, Any]


def now() -> int:
    """Returns milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def write_whole(path: Path, text: str) -> None:
    """Writes a small file so that a reader, or a crash, never meets half of it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def read_points(folder: Path) -> list[Point]:
    """Returns every metric point written down in a run's folder."""
    return [_point(line) for line, _ in _read(folder / METRICS_FILE, 0)]


def write_known(folder: Path, points: Sequence[Point]) -> None:
    """Begins a run's folder with the points that the store has already."""
    lines = [json.dumps(_line(point), ensure_ascii=False) + "\n" for point in points]
    text = "".join(lines)
    write_whole(folder / METRICS_FILE, text)
    write_whole(folder / POSITION_FILE, json.dumps({METRICS_FILE: len(text.encode())}))


def _line(point: Point) -> Line:
    value = point.value if math.isfinite(point.value) else str(point.value)  # JSON knows no NaN
    return {"key": point.key, "value": value, "step": point.step, "timestamp": point.timestamp}


def _point(line: Line) -> Point:
    return Point(line["key"], float(line["value"]), line["step"], line["timestamp"])


def _read(path: Path, start: int) -> list[tuple[Line, int]]:
    """Returns the whole lines from byte `start` on, each with the byte where it ends."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            text = file.read()
    except FileNotFoundError:
        return []
    lines = []
    end = start
    for raw in text[: text.rfind(b"\n") + 1].splitlines(keepends=True):
        end += len(raw)
        try:
            lines.append((json.loads(raw), end))
        except ValueError:
            _log.warning("%s holds a line that cannot be read; it is left out.", path)
    return lines


Waiting = tuple[Line, int | None]
"""A line, and where it ends in its file; `None` if the disk had no room for it."""


@final
class Lines:
    """One of the two files: appended to line by line, read on from where delivery stopped.

    A line that the disk has no room for is kept in memory, so that the store still hears of it.

    Args:
        path: the file.
        position: how many of its bytes were delivered.
    """

    def __init__(self, path: Path, position: int) -> None:
        self.position = position
        self._path = path
        self._file: BinaryIO | None = None
        self._unwritten: list[Line] = []
        self._warned = False
        self._lock = Lock()
        self._cut_torn_tail()

    def _cut_torn_tail(self) -> None:
        if self._path.exists() and (text := self._path.read_bytes()) and text[-1:] != b"\n":
            os.truncate(self._path, text.rfind(b"\n") + 1)

    def append(self, lines: list[Line]) -> None:
        """Writes lines at the end; warns once if that fails."""
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        with self._lock:
            try:
                self._write(text.encode())
            except OSError as error:
                self._unwritten += lines
                if not self._warned:
                    _log.warning("Cannot write %s: %s. The run goes on.", self._path, error)
                self._warned = True

    def _write(self, text: bytes) -> None:
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
        before = self._file.seek(0, os.SEEK_END)
        if self._file.write(text) != len(text):
            os.truncate(self._path, before)  # a disk that runs full takes half a line
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def waiting(self) -> list[Waiting]:
        """Returns the lines that were not delivered yet."""
        with self._lock:
            written: list[Waiting] = list(_read(self._path, self.position))
            return written + [(line, None) for line in self._unwritten]

    def delivered(self, batch: list[Waiting]) -> None:
        """Takes the first lines of `waiting()` as delivered."""
        with self._lock:
            ends = [end for _, end in batch if end is not None]
            self.position = max([self.position, *ends])
            del self._unwritten[: len(batch) - len(ends)]

    def close(self) -> None:
        """Closes the file; the next line opens it again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


@final
class Spool:
    """The two lists of a run's folder, and the position of delivery in them.

    Args:
        folder: the run's folder.
        continues: the run was begun by another process. A step for which that one wrote down a
            value keeps it: an epoch that is repeated after an exact resume has the same values.
            How that process ended is no longer how the run ended.
        known: points that are in the store, though perhaps not in this folder.
    """

    def __init__(
        self, folder: Path, *, continues: bool = False, known: Sequence[Point] = ()
    ) -> None:
        self.folder = folder
        stored: dict[str, Any] = {}
        if (folder / POSITION_FILE).exists():
            stored = json.loads((folder / POSITION_FILE).read_text(encoding="utf-8"))
        self._metrics = Lines(folder / METRICS_FILE, stored.get(METRICS_FILE, 0))
        self._outbox = Lines(folder / OUTBOX_FILE, stored.get(OUTBOX_FILE, 0))
        self._models: dict[str, str] = stored.get("models", {})
        self._uploads: list[Line] = stored.get("uploads", [])
        here = read_points(folder) if continues else []
        self._known = {(p.key, p.step): str(p.value) for p in [*here, *known]}
        outbox = folder / OUTBOX_FILE
        self._earlier = outbox.stat().st_size if continues and outbox.exists() else 0

    def add_metrics(self, metrics: Mapping[str, float], step: int) -> list[Point]:
        """Writes down one point of each metric, at this moment.

        Returns:
            The points that were not written since their step has another value already.
        """
        timestamp = now()
        points = [Point(key, float(value), step, timestamp) for key, value in metrics.items()]
        fresh = [point for point in points if (point.key, step) not in self._known]
        if fresh:
            self._metrics.append([_line(point) for point in fresh])
        old = [point for point in points if (point.key, step) in self._known]
        return [point for point in old if self._known[point.key, step] != str(point.value)]

    def add(self, kind: str, **content: Any) -> None:
        """Writes down something else the store has to be told."""
        self._outbox.append([{"kind": kind, **content}])

    def deliver_points(self, send: Callable[[list[Point]], None]) -> int:
        """Hands the waiting points to `send` in batches; returns how many were taken."""
        waiting = self._metrics.waiting()
        for start in range(0, len(waiting), POINTS_A_BATCH):
            batch = waiting[start : start + POINTS_A_BATCH]
            send([_point(line) for line, _ in batch])
            self._metrics.delivered(batch)
            self._save()
        return len(waiting)

    def deliver_entries(self, waiting: list[Waiting], send: Callable[[Line], None]) -> None:
        """Hands lines that `entries_waiting` returned to `send`, one by one."""
        for entry in waiting:
            if not self._is_earlier_end(entry):
                send(entry[0])
            self._outbox.delivered([entry])
            self._save()

    def _is_earlier_end(self, entry: Waiting) -> bool:
        line, end = entry
        return line["kind"] == "end" and end is not None and end <= self._earlier

    def uploads(self) -> list[Line]:
        """Returns the artifacts that wait, in the order to try them."""
        return list(self._uploads)

    def upload_later(self, line: Line) -> None:
        """Takes an artifact out of the order of `outbox.jsonl`; once, if it is there already."""
        if line not in self._uploads:
            self._uploads.append(line)
        self._save()

    def upload_failed(self, line: Line) -> None:
        """Puts an artifact behind the others."""
        self._uploads.remove(line)
        self._uploads.append(line)
        self._save()

    def uploaded(self, line: Line) -> None:
        """Takes an artifact as delivered."""
        self._uploads.remove(line)
        self._save()

    def model_id(self, path: str) -> str | None:
        """Returns the identifier the store gave the model at `path`, if it has it already."""
        return self._models.get(path)

    def remember_model(self, path: str, model_id: str) -> None:
        """Remembers the identifier of a model, so that a second try does not make another."""
        self._models[path] = model_id
        self._save()

    def _save(self) -> None:
        state = {
            METRICS_FILE: self._metrics.position,
            OUTBOX_FILE: self._outbox.position,
            "uploads": self._uploads,
            "models": self._models,
        }
        try:
            write_whole(self.folder / POSITION_FILE, json.dumps(state))
        except OSError as error:
            _log.debug("Cannot write %s: %s", POSITION_FILE, error)  # delivered twice at worst

    def num_points_waiting(self) -> int:
        """Returns how many metric points the store does not have."""
        return len(self._metrics.waiting())

    def num_others_waiting(self) -> int:
        """Returns how many other lines, artifacts among them, the store does not have."""
        return len(self.entries_waiting()) + len(self._uploads)

    def entries_waiting(self) -> list[Waiting]:
        """Returns the other lines that the store does not have."""
        return self._outbox.waiting()

    def has_ended(self) -> bool:
        """Whether the last thing written down is how the run ended."""
        lines = _read(self.folder / OUTBOX_FILE, 0)
        return bool(lines) and lines[-1][0]["kind"] == "end"

    def is_empty(self) -> bool:
        """Whether the store has everything."""
        return not (self.num_points_waiting() or self.num_others_waiting())

    def close(self) -> None:
        """Closes the files."""
        self._metrics.close()
        self._outbox.close()
