"""Sends the lines of a run's spool to MLflow."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

from samerun import tags as tag
from samerun.errors import FileGone, OutOfTime, UserError, first_line
from samerun.tracking import store
from samerun.tracking.delivery import creation
from samerun.tracking.delivery.faults import is_refusal
from samerun.tracking.delivery.lines import Line, Waiting, storable
from samerun.tracking.delivery.spool import Point, Spool
from samerun.tracking.recovery.process import Heartbeat

ARTIFACTS = "artifacts"
_MOST_IN_BATCH = 100  # params, and tags, that MLflow accepts in one request
_UPLOADS = ("artifact", "dataset", "model")  # in no order, and each may fail by itself

_log = logging.getLogger(__name__)


@final
class Sender:
    """Sends what waits in the spool of one run, and creates the run if the store does not have it.

    What the store refuses for good, such as a parameter that has another value already, is set
    aside with the reason; after any other error the line waits. Not thread-safe.

    Args:
        client: an `MlflowClient`; `None` connects when there is something to deliver.
        run_id: the run; `None` if the store may not have created it.
        experiment_id: its experiment, where known.
        spool: what waits.
        uri: the store, needed where `client` is `None`.
        uid: the tag `samerun.uid`, by which the run is found.
        created: called with the IDs of run and experiment when a run without an ID has one.
    """

    def __init__(
        self,
        client: Any | None,
        run_id: str | None,
        experiment_id: str | None,
        spool: Spool,
        *,
        uri: str | None = None,
        uid: str | None = None,
        created: Callable[[str, str], None] | None = None,
    ) -> None:
        self.spool = spool
        self.stop: Callable[[], bool] = _never
        """Asked before each request; `True` ends the delivery with `OutOfTime`."""
        self._known_client = client
        self._run_id = run_id
        self._experiment_id = experiment_id
        self._uri, self._uid, self._created = uri, uid, created
        self._upload_error: Exception | None = None
        self._takes_writes = False
        self._heartbeat = Heartbeat(
            lambda key, value: self._client.set_tag(self._run_id, key, value)
        )

    @property
    def _client(self) -> Any:
        if self.stop():
            raise OutOfTime
        if self._known_client is None:
            if self._uri is None:
                raise UserError("The run has no tracking store.")
            self._known_client = store.connect(self._uri, patience=2)
        return self._known_client

    def beat(self) -> None:
        """Sets the run's heartbeat tag if it is due; see `process`.

        Raises:
            Exception: the store is unavailable.
        """
        if self._run_id is not None and self._known_client is not None:
            self._heartbeat.beat()

    def create(self) -> str:
        """Returns the run's ID, after finding it in the store by its uid or creating it.

        Raises:
            Exception: the store is unavailable, or refuses to create it.
        """
        if self._run_id is None:
            assert self._uid is not None
            start = self.spool.start()
            if start is None:
                raise UserError(
                    f"{self.spool.folder} does not describe its run: the first line of "
                    "outbox.jsonl is missing."
                )
            made = creation.find_or_create(self._client, self._uri or "", self._uid, start)
            self._run_id, self._experiment_id = made
            if self._created is not None:
                self._created(*made)
        return self._run_id

    def deliver(self) -> int:
        """Delivers all that waits, the end of the run last; returns how many lines that were.

        Raises:
            Exception: the store is unavailable, or not all artifacts were taken.
            OutOfTime: `stop` returned `True`.
        """
        self._takes_writes = False
        entries = self.spool.entries_waiting()  # read first: the end comes after all points
        if self.spool.is_empty():
            return 0
        self.create()
        num_points = self.spool.deliver_points(self._send_points)
        for group in _grouped(entries):
            line = group[0][0]
            if line["kind"] in ("params", "tags"):
                self._send_values([line for line, _ in group])
            elif not self.spool.is_outdated(group[0]):
                self._send_entry(line)
            self.spool.entries_delivered(group)
        self._upload()
        if self._upload_error is not None:
            raise self._upload_error
        self._correct_tag()
        return num_points + len(entries)

    def _upload(self) -> None:
        """Tries every artifact that waits; one that fails blocks neither others nor the end."""
        self._upload_error = None
        for line in self.spool.uploads():
            try:
                self._take(line)
            except OutOfTime:
                raise
            except Exception as error:
                self.spool.upload_failed(line)
                self._client.get_run(self._run_id)  # raises if the store itself is unavailable
                self._upload_error = error
                continue
            self.spool.uploaded(line)

    def _send_points(self, points: list[Point]) -> None:
        from mlflow.entities import Metric

        fitting = []
        for p in points:
            if p.fits:
                fitting.append(Metric(storable(p.key), p.value, p.timestamp, p.step))
            else:
                self._refuse("metric", p.key, "step or timestamp beyond 64 bits", _plain(p))
        self._in_halves(fitting)

    def _send_values(self, lines: list[Line]) -> None:
        from mlflow.entities import Param, RunTag

        values: dict[str, dict[str, str]] = {"params": {}, "tags": {}}
        for line in lines:
            if isinstance(line.get("values"), dict):
                values[line["kind"]] |= storable(line["values"])
        params = [Param(str(key), str(value)) for key, value in values["params"].items()]
        tags = [RunTag(str(key), str(value)) for key, value in values["tags"].items()]
        for start in range(0, max(len(params), len(tags)), _MOST_IN_BATCH):
            end = start + _MOST_IN_BATCH
            self._in_halves([*params[start:end], *tags[start:end]])

    def _in_halves(self, items: Sequence[Any]) -> None:
        """Sends items together; if the store refuses, finds the refused one and sends the rest."""
        if not items:
            return
        batch: dict[str, list[Any]] = {"metrics": [], "params": [], "tags": []}
        for item in items:
            batch[_kind(item) + "s"].append(item)
        try:
            self._client.log_batch(self._run_id, **batch)
        except OutOfTime:
            raise
        except Exception as error:
            if not is_refusal(error):
                raise
            if len(items) == 1:
                (item,) = items
                self._check_writes(error)
                self._refuse(_kind(item), item.key, first_line(error), dict(item))
                return
            self._check_writes(error)
            middle = len(items) // 2
            self._in_halves(items[:middle])
            self._in_halves(items[middle:])

    def _check_writes(self, error: Exception) -> None:
        """Raises an error again if the store refuses everything, as for a deleted run."""
        if not self._takes_writes:
            try:
                self._client.set_tag(self._run_id, tag.UID, self._uid or self._run_id)
            except OutOfTime:
                raise
            except Exception:
                raise error from None
        self._takes_writes = True

    def _refuse(self, kind: str, key: str, reason: str, entry: Any) -> None:
        self.spool.refuse(kind, key, reason, entry)
        _log.warning("The tracking store refused %s '%s', which is left out: %s", kind, key, reason)

    def _send_entry(self, line: Line) -> None:
        if line["kind"] in _UPLOADS:
            self.spool.upload_later(line)
        elif line["kind"] == "end":
            self._upload()
            self._send_end(line)

    def _take(self, line: Line) -> None:
        content = {key: value for key, value in line.items() if key != "kind"}
        senders: dict[str, Callable[..., None]] = {
            "artifact": self._send_artifact,
            "dataset": self._send_dataset,
            "model": self._send_model,
        }
        try:
            senders[line["kind"]](**content)
        except OutOfTime:
            raise
        except Exception as error:
            if not is_refusal(error):
                raise
            if not isinstance(error, FileGone):
                self._check_writes(error)
            key = str(line.get("path", line.get("name")))
            self._refuse(line["kind"], key, first_line(error), line)

    def _send_artifact(self, path: str) -> None:
        root = self.spool.folder / ARTIFACTS
        source = root / path
        if not source.resolve().is_relative_to(root.resolve()):
            raise ValueError(f"{path} leads out of the run's artifacts")
        if not source.exists():
            raise FileGone(f"{source} is gone")
        if source.is_dir():
            self._client.log_artifacts(self._run_id, str(source), artifact_path=path)
            return
        folder = str(Path(path).parent.as_posix())
        self._client.log_artifact(self._run_id, str(source), None if folder == "." else folder)

    def _send_dataset(
        self,
        *,
        name: str,
        split: str,
        digest: str,
        num_examples: int,
        schema: dict[str, str],
        source: str,
    ) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        columns = [{"name": key, "type": kind, "required": True} for key, kind in schema.items()]
        dataset = Dataset(
            name=f"{name}-{split}",  # MLflow joins two inputs of equal name and digest into one
            digest=digest[:32],  # its column holds 36 characters; the tag holds them all
            source_type="local",
            source=json.dumps({"uri": source}),
            schema=json.dumps({"mlflow_colspec": columns}),
            profile=json.dumps({"num_rows": num_examples}),
        )
        tags = [InputTag("mlflow.data.context", split)]
        self._client.log_inputs(self._run_id, datasets=[DatasetInput(dataset, tags)])

    def _send_model(self, path: str) -> None:
        from samerun.tracking.model import upload

        assert self._run_id is not None
        upload(
            self._client,
            self.spool.folder / ARTIFACTS / Path(path).name,
            run_id=self._run_id,
            experiment_id=str(self._experiment_id),
            model_id=self.spool.model_id(path),
            created=lambda model_id: self.spool.remember_model(path, model_id),
        )

    def _send_end(self, line: Line) -> None:
        from mlflow.entities import RunTag

        # This line is the last that waits: what else is missing was tried and stays behind.
        missing = self.spool.missing()
        tags = [RunTag(tag.REASON, line["reason"])] if line.get("reason") else []
        if missing or self.spool.undelivered_tag:
            tags.append(RunTag(tag.UNDELIVERED, missing))
        if missing:
            self.spool.remember_tag(missing)  # before: the response to the next request may be lost
        if tags:
            self._client.log_batch(self._run_id, tags=tags)
        self._client.set_terminated(self._run_id, line["status"], end_time=line["timestamp"])
        if missing != self.spool.undelivered_tag:
            self.spool.remember_tag(missing)

    def _correct_tag(self) -> None:
        """Updates the tag of a run whose end is delivered, but not everything else."""
        missing = self.spool.missing()
        if self.spool.undelivered_tag and self.spool.undelivered_tag != missing:
            self._client.set_tag(self._run_id, tag.UNDELIVERED, missing)
            self.spool.remember_tag(missing)


def _grouped(entries: list[Waiting]) -> list[list[Waiting]]:
    """Puts params and tags that follow each other together, as far as one request accepts them."""
    groups: list[list[Waiting]] = []
    room: dict[str, dict[str, str]] = {}
    for entry in entries:
        kind, values = entry[0]["kind"], entry[0].get("values")
        if kind not in ("params", "tags") or not isinstance(values, dict):
            groups.append([entry])
            room = {}
            continue
        known = room.get(kind, {})
        differs = kind == "params" and any(known.get(k, v) != v for k, v in values.items())
        if not room or differs or len(known | values) > _MOST_IN_BATCH:
            groups.append([])
            room, known = {}, {}
        groups[-1].append(entry)
        room[kind] = known | values
    return groups


def _kind(item: Any) -> str:
    """Returns the kind of one of MLflow's entities: `metric`, `param` or `tag`."""
    return {"Metric": "metric", "Param": "param"}.get(type(item).__name__, "tag")


def _never() -> bool:
    return False


def _plain(point: Point) -> dict[str, Any]:
    return {"key": point.key, "value": str(point.value), "step": str(point.step)}
