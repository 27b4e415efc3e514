"""From a run's spool to MLflow: what each line means there, and a thread that keeps at it."""

import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

from samerun.redaction import redact
from samerun.tracking.spool import Line, Point, Spool

ARTIFACTS = "artifacts"
_GATHER_SECONDS = 0.2  # points of quick steps go together: one batch takes 5 ms, 500 do too
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE")

_UPLOADS = ("artifact", "dataset", "model")  # in no order, and each may fail by itself

_log = logging.getLogger(__name__)


@final
class Delivery:
    """Tells MLflow what waits in the spool of one run.

    What MLflow refuses for good, such as a parameter that has another value already, is left out
    with a warning; anything else it raises means the store is away, and the line waits.

    Args:
        client: an `MlflowClient`.
        run_id: the run.
        experiment_id: its experiment.
        spool: what it has to say.
    """

    def __init__(self, client: Any, run_id: str, experiment_id: str, spool: Spool) -> None:
        self.spool = spool
        self._client = client
        self._run_id = run_id
        self._experiment_id = experiment_id
        self._turn = threading.Lock()
        self._upload_error: Exception | None = None

    def deliver(self) -> int:
        """Delivers all that waits, the end of the run last; returns how many lines that were.

        Raises:
            Exception: the store is away.
        """
        with self._turn:
            entries = (
                self.spool.entries_waiting()
            )  # looked at first: the end comes after all points
            num_points = self.spool.deliver_points(self._send_points)
            self.spool.deliver_entries(entries, self._send_entry)
            self._upload()
            if self._upload_error is not None:
                raise self._upload_error
            return num_points + len(entries)

    def _upload(self) -> None:
        """Sends artifacts until one fails, which goes to the end of the line.

        So one that the store will never take does not keep back the others, nor the run's end.
        """
        self._upload_error = None
        for line in self.spool.uploads():
            try:
                self._take(line)
            except Exception as error:
                self.spool.upload_failed(line)
                self._client.get_run(self._run_id)  # raises if the store itself is away
                self._upload_error = error
                return
            self.spool.uploaded(line)

    def _send_points(self, points: list[Point]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(p.key, p.value, p.timestamp, p.step) for p in points]
        self._in_halves("metrics", metrics)

    def _in_halves(self, what: str, items: Sequence[Any]) -> None:
        """Sends items together; if MLflow refuses one of them, finds it and sends the others."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.log_batch(self._run_id, **{what: items})
        except MlflowException as error:
            if error.error_code not in _REFUSALS:
                raise
            if len(items) == 1:
                _warn_refused(f"{what[:-1]} '{items[0].key}'", error)
                return
            middle = len(items) // 2
            self._in_halves(what, items[:middle])
            self._in_halves(what, items[middle:])

    def _send_entry(self, line: Line) -> None:
        if line["kind"] in _UPLOADS:
            self.spool.upload_later(line)
            return
        if line["kind"] == "end":
            self._upload()
        self._take(line)

    def _take(self, line: Line) -> None:
        from mlflow.exceptions import MlflowException

        content = {key: value for key, value in line.items() if key != "kind"}
        send: Callable[..., None] = getattr(self, f"_send_{line['kind']}")
        try:
            send(**content)
        except FileNotFoundError as error:
            _log.warning("Left out of the run's artifacts: %s", error)
        except MlflowException as error:
            if error.error_code not in _REFUSALS:
                raise
            _warn_refused(line["kind"], error)

    def _send_params(self, values: dict[str, str]) -> None:
        from mlflow.entities import Param

        params = [Param(key, value) for key, value in values.items()]
        for start in range(0, len(params), 100):  # MLflow takes 100 a batch
            self._in_halves("params", params[start : start + 100])

    def _send_tags(self, values: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(key, value) for key, value in values.items()]
        for start in range(0, len(tags), 100):
            self._in_halves("tags", tags[start : start + 100])

    def _send_artifact(self, path: str) -> None:
        source = self.spool.folder / ARTIFACTS / path
        if source.is_dir():
            self._client.log_artifacts(self._run_id, str(source), artifact_path=path)
            return
        if not source.exists():
            raise FileNotFoundError(f"{source} is gone")
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

        folder = self.spool.folder / ARTIFACTS / path
        known = self.spool.model_id(path)
        upload(
            self._client,
            folder,
            run_id=self._run_id,
            experiment_id=self._experiment_id,
            model_id=known,
            made=lambda model_id: self.spool.remember_model(path, model_id),
        )

    def _send_end(self, status: str, timestamp: int, reason: str | None) -> None:
        if reason:
            self._client.set_tag(self._run_id, "samerun.reason", reason)
        self._client.set_terminated(self._run_id, status, end_time=timestamp)


def _warn_refused(what: str, error: Exception) -> None:
    _log.warning("MLflow refused %s, it is left out: %s", what, redact(str(error)).splitlines()[0])


@final
class Courier:
    """A thread that delivers while the run goes on, so that no step ever waits for the store.

    Args:
        delivery: what it does again and again.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._is_away = False
        self._noting = threading.Lock()
        self._thread = threading.Thread(target=self._keep_at_it, name="samerun-spool", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """Says that something waits."""
        self._wake.set()

    def flush(self) -> bool:
        """Delivers now, in the calling thread; returns whether nothing waits any more."""
        return self._attempt() and self._delivery.spool.is_empty()

    def stop(self) -> None:
        """Ends the thread, after the attempt it may be in: at most two requests' time."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout=30)

    def _keep_at_it(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            self._wake.wait()
            self._stopping.wait(_GATHER_SECONDS)
            if self._stopping.is_set():
                return
            self._wake.clear()
            if self._attempt():
                pause = _FIRST_PAUSE_SECONDS
                continue
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            self._wake.set()

    def _attempt(self) -> bool:
        try:
            self._delivery.deliver()
        except Exception as error:  # whatever it is: the run goes on, the line waits
            if not self._becomes(away=True):
                words = redact(str(error)).splitlines() or [type(error).__name__]
                _log.warning(
                    "The tracking store does not take everything (%s). The run goes on; what it "
                    "says waits in %s and is sent later.",
                    words[0][:200],
                    self._delivery.spool.folder,
                )
            return False
        if self._becomes(away=False):
            _log.warning("The tracking store has everything again.")
        return True

    def _becomes(self, *, away: bool) -> bool:
        """Notes whether the store is away; returns what was noted before, to one thread only."""
        with self._noting:
            before, self._is_away = self._is_away, away
        return before
