"""The result of a finished run, read back from its artifacts as untrusted data."""

import csv
import json
from typing import Any

from samerun import tracking
from samerun.errors import UserError
from samerun.replay.recorded import clean
from samerun.result import Result
from samerun.tracking import StoredRun

RESULT = "result.json"
HISTORY = "history.csv"
_MOST_BYTES = {RESULT: 1_000_000, HISTORY: 50_000_000}
_MALFORMED = (
    *(ValueError, TypeError, KeyError, AttributeError),
    *(OverflowError, RecursionError, csv.Error),
)


def read_result(run: StoredRun, *, trust: tuple[str, ...] = (), uri: str | None = None) -> Result:
    """Returns what a finished run came to, without its model.

    Args:
        run: the run in the store.
        trust: modules of the user's own that it needs, and that the user trusts.
        uri: the store, by default that of this folder.

    Raises:
        UserError: it has not finished, was recorded by an earlier version, or its artifacts are
            not what samerun writes.
    """
    there = tracking.list_artifacts(run, uri=uri)
    missing = [name for name in (RESULT, HISTORY) if name not in there]
    if missing:
        raise UserError(
            f"Run {run.id} ({clean(run.name)}) has no {missing[0]}: it has not finished, or an "
            "earlier version recorded it."
        )
    try:
        plain = json.loads(_text(run, RESULT, uri))
        seconds = plain["epoch_seconds"]
        return Result(
            run_id=run.id,
            run_name=run.name,
            folder=run.folder,
            metrics={clean(str(name)): float(value) for name, value in plain["metrics"].items()},
            history=_history(_text(run, HISTORY, uri)),
            best_epoch=int(plain["best_epoch"]),
            weights_digest=clean(str(plain["weights_digest"])),
            sentence=clean(str(plain["sentence"]), 400),
            objective=float(plain["objective"]),
            epoch_seconds=None if seconds is None else float(seconds),
            num_parameters=int(plain["num_parameters"]),
            model=None,
            trust=trust,
        )
    except _MALFORMED as error:
        raise UserError(
            f"Run {run.id} ({clean(run.name)}): its {RESULT} or {HISTORY} is not what samerun "
            "writes: it is not used."
        ) from error


def _text(run: StoredRun, path: str, uri: str | None) -> str:
    content = tracking.read_artifact(run, path, uri=uri, most_bytes=_MOST_BYTES[path])
    return content.decode("utf-8")


def _history(text: str) -> dict[str, list[float]]:
    header, *rows = csv.reader(text.splitlines())
    columns: Any = zip(*rows, strict=True)
    found = zip(header, columns, strict=True)
    history = {clean(name): [float(value) for value in values] for name, values in found}
    history.pop("epoch")
    return history
