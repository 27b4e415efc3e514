"""A run in an MLflow store: everything is recorded in the run's folder, then delivered."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, final

from samerun import tags as tag
from samerun.redaction import redact, redact_value
from samerun.tracking.delivery.courier import Courier
from samerun.tracking.delivery.lines import storable
from samerun.tracking.delivery.sender import ARTIFACTS, Sender
from samerun.tracking.delivery.spool import Point, Spool, now
from samerun.tracking.raw_flavor import RawInput
from samerun.tracking.run import Run, Status

LONG_PARAMETERS = "config/long_parameters.json"
PATIENCE_SECONDS = 30.0
"""Default for a run that is opened without a config."""
_LONGEST_PARAM = 6000  # MLflow 3.17's limits, in characters
_LONGEST_TAG = 8000
_RESULTS = ("train/", "validation/", "test/")  # what an exact resume repeats; speed is not

_log = logging.getLogger(__name__)


def _cut(text: str, longest: int, where: str) -> str:
    """Shortens a text to MLflow's limit, with a note where the complete one is."""
    if len(text) <= longest:
        return text
    note = f"… ({len(text)} characters, complete in {where})"
    return text[: longest - len(note)] + note


@final
class MlflowRun(Run):
    """A run in an MLflow store. Made by `open_run`.

    Args:
        client: an `MlflowClient`; `None` where the store is unavailable.
        run_id: the run's identifier in the store; `None` while it is not created there.
        name: its name.
        folder: the run's own folder.
        experiment_id: its experiment; `None` while the store has not been asked.
        url: its address in MLflow's pages, if there is a server.
        known: the points that the store has, if the run was started by another process.
        uid: the run's own identifier, its tag `samerun.uid`.
        uri: the store.
        created: called with the IDs of run and experiment when the store has created the run;
            returns its address in MLflow's pages.
        patience: most seconds for which the end of the run waits for the store.
        is_open: deliver from now on; else `start` begins with that.
    """

    def __init__(
        self,
        client: Any | None,
        *,
        run_id: str | None,
        name: str,
        folder: Path,
        experiment_id: str | None,
        url: str | None,
        known: Sequence[Point] | None = None,
        uid: str | None = None,
        uri: str | None = None,
        created: Callable[[str, str], str | None] | None = None,
        patience: float = PATIENCE_SECONDS,
        is_open: bool = True,
    ) -> None:
        self.id = run_id or uid or ""
        self.name = name
        self.folder = folder
        self.url = url
        self.experiment_id = experiment_id or ""
        self._tell_created = created
        self._spool = Spool(folder, continues=known is not None, known=known or ())
        delivery = Sender(
            client, run_id, experiment_id, self._spool, uri=uri, uid=uid, created=self._created
        )
        self._courier = Courier(delivery)
        self._patience = patience
        self._long_params: dict[str, str] = {}
        self._differs = False
        self.is_abandoned = False
        if is_open:
            self._courier.start()

    def _created(self, run_id: str, experiment_id: str) -> None:
        if self._tell_created is not None:
            self.url = self._tell_created(run_id, experiment_id)
        self.id, self.experiment_id = run_id, experiment_id

    def begin(self, start: Mapping[str, Any]) -> None:
        """Records how the run is to be created in the store, whenever that is possible.

        Args:
            start: `name`, `experiment` (its name), `tags` and `start_time`.
        """
        self._spool.add("start", **start)

    def create(self) -> None:
        """Creates the run in the store, and delivers from now on.

        Raises:
            TimeoutError: the store has not answered within the run's patience.
            Exception: the store is unavailable, or refuses.
        """
        self._courier.start()
        self._courier.create(self._patience)

    def create_later(self, error: BaseException) -> None:
        """Lets the run be created when the store is available, and warns.

        Args:
            error: why it is not created now.
        """
        self._courier.start()
        self._courier.warn_unavailable(error)
        self._courier.notify()

    def abandon(self) -> None:
        """Removes the records of a run that the store refuses to create."""
        self.is_abandoned = True
        self._courier.close()
        self._spool.abandon()
        shutil.rmtree(self.folder / ARTIFACTS, ignore_errors=True)

    def _say(self, kind: str, **content: Any) -> None:
        self._spool.add(kind, **content)
        self._courier.notify()

    def _keep(self, path: str, write: Callable[[Path], object]) -> bool:
        """Writes an artifact into the run's folder; a full disk does not end the run."""
        inside = PurePosixPath(path)
        if inside.is_absolute() or ".." in inside.parts:
            raise ValueError(f"artifact path: received '{path}', expected one inside the run.")
        target = self.folder / ARTIFACTS / inside
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write(target)
        except OSError as error:
            _log.warning("Artifact %s could not be kept: %s", path, error)
            return False
        return True

    def log_params(self, params: Mapping[str, str]) -> None:
        """Records parameters; a very long one is stored completely as an artifact."""
        values = {key: storable(str(redact_value(key, str(v)))) for key, v in params.items()}
        long = {key: value for key, value in values.items() if len(value) > _LONGEST_PARAM}
        if long:
            self._long_params |= long
            text = json.dumps(self._long_params, indent=1, ensure_ascii=False)
            self.log_text(text, LONG_PARAMETERS)
        short = {key: _cut(text, _LONGEST_PARAM, LONG_PARAMETERS) for key, text in values.items()}
        if short:
            self._say("params", values=short)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags, shortened to MLflow's limit."""
        values = {key: str(redact_value(key, str(value))) for key, value in tags.items()}
        if values:
            self._say("tags", values={k: v[:_LONGEST_TAG] for k, v in values.items()})

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Records one point of each metric; NaN and infinity are kept."""
        differing = self._spool.add_metrics(metrics, step)
        results = [point for point in differing if point.key.startswith(_RESULTS)]
        if results and not self._differs:
            self._differs = True
            first = f"{results[0].key} at step {step}"
            _log.warning(
                "%s differs from the value recorded before the interruption, which is kept.", first
            )
            self.set_tags({tag.RESUME_DIFFERS: first})
        self._courier.notify()

    def log_text(self, text: str, path: str) -> None:
        """Stores a text as an artifact."""
        path = storable(path)
        content = storable(redact(text))
        if self._keep(path, lambda target: target.write_text(content, encoding="utf-8")):
            self._say("artifact", path=path)

    def log_file(self, source: Path, folder: str = "") -> None:
        """Stores a copy of a file as an artifact."""
        path = storable(str(PurePosixPath(folder) / source.name))
        if self._keep(path, lambda target: _copy(source, target)):
            self._say("artifact", path=path)

    def log_folder(self, source: Path, folder: str = "") -> None:
        """Stores copies of all files below `source` as artifacts, one by one."""
        files = [file for file in sorted(source.rglob("*")) if file.is_file()]
        for file in files:
            inside = file.relative_to(source).parent
            self.log_file(file, str(PurePosixPath(folder or source.name) / inside))

    def log_dataset(
        self,
        *,
        name: str,
        split: str,
        digest: str,
        num_examples: int,
        schema: Mapping[str, str],
        source: str,
    ) -> None:
        """Records a split of the data; the run's page shows it under its metrics."""
        self._say(
            "dataset",
            name=name,
            split=split,
            digest=digest,
            num_examples=num_examples,
            schema=dict(schema),
            source=redact(source),
        )

    def log_model(self, model: Any, example: Any, raw: RawInput | None = None) -> None:
        """Stores a Keras model in MLflow's format; `runs:/ID/model` loads it."""
        from samerun.tracking import model as models

        try:
            kept = self._keep(
                models.NAME, lambda target: models.save(model, example, target, self.id, raw)
            )
        except Exception as error:  # a model that MLflow cannot store must not end the run
            _log.warning("The model could not be stored: %s: %s", type(error).__name__, error)
            return
        if kept:
            self._say("model", path=models.NAME)

    def describe(self, markdown: str) -> None:
        """Sets the description; a very long one is stored completely as `description.md`."""
        text = redact(markdown)
        if len(text) > _LONGEST_TAG:
            self.log_text(text, "description.md")
        self.set_tags({"mlflow.note.content": _cut(text, _LONGEST_TAG, "description.md")})

    def sync_to_disk(self) -> None:
        """Returns when all that was logged so far is on the disk, safe from a power failure."""
        self._spool.sync_to_disk()

    def flush(self) -> bool:
        """Delivers what waits; returns whether nothing waits any more."""
        return self._courier.flush(self._patience)

    def end(self, status: Status, reason: str | None = None) -> None:
        """Records the end of the run, and delivers what waits until its patience is over."""
        text = redact(reason)[:_LONGEST_TAG] if reason else None
        self._spool.add("end", status=str(status), timestamp=now(), reason=text)
        self._spool.sync_to_disk()
        delivered = self._courier.finish(self._patience)
        self.undelivered = self._spool.missing() or ("" if delivered else "its end")
        if self.undelivered:
            _log.warning(
                "Run %s: undelivered: %s. Kept in %s; deliver with `samerun sync %s`.",
                self.name,
                self.undelivered,
                self.folder,
                self.id,
            )
        self._spool.close()


def _copy(source: Path, target: Path) -> None:
    if source.resolve() != target.resolve():
        shutil.copy2(source, target)
