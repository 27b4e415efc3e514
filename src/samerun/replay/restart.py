"""A run that is to begin again: its checkpoints are given up, wherever they are."""

from typing import Any

from samerun import retention, tracking
from samerun import tags as tag
from samerun.errors import UserError, first_line
from samerun.retention import CHECKPOINTS
from samerun.tracking import StoredRun


def request_restart(client: Any, run_id: str) -> None:
    """Asks whoever goes on with a run, on whatever machine, to give up its checkpoints before.

    Args:
        client: an `MlflowClient`.
        run_id: the run.

    Raises:
        UserError: the run cannot be asked.
        ConnectionError: the store does not answer.
    """
    try:
        client.set_tag(run_id, tag.RESTARTS, "true")
    except Exception as error:
        kind = UserError if tracking.answers(client) else ConnectionError
        raise kind(f"tracking: run {run_id} cannot begin again: {first_line(error)}") from error


def discard_checkpoints_if_requested(run: StoredRun, *, uri: str | None) -> None:
    """Gives up the checkpoints of a run that was asked to begin again.

    An uploaded one is replaced by an empty file, since not every store lets files be deleted. The
    tag goes last: cut off before, all of it is done again.

    Args:
        run: the run, which no other process works on.
        uri: the store, by default that of this folder.
    """
    if run.tags.get(tag.RESTARTS) != "true":
        return
    own = tracking.folder_of(run, uri=uri)
    if own is not None:
        # Of what was not uploaded yet, the copies that wait for it too.
        for folder in (own / CHECKPOINTS, own / "artifacts" / CHECKPOINTS):
            for file in folder.glob("*.npz"):
                file.unlink()
    retention.empty_uploads(run, own, uri=uri)
    tracking.tag_run(run, {tag.RESTARTS: ""}, uri=uri)
