"""Restart a run from scratch: discard its local and uploaded checkpoints."""

from typing import Any

from samerun import retention, tracking
from samerun import tags as tag
from samerun.errors import UserError, first_line
from samerun.retention import CHECKPOINTS
from samerun.tracking import StoredRun


def request_restart(client: Any, run_id: str) -> None:
    """Marks a run, so that its checkpoints are discarded before it is resumed on any machine.

    Args:
        client: an `MlflowClient`.
        run_id: the run.

    Raises:
        UserError: the run cannot be marked.
        ConnectionError: the store does not answer.
    """
    try:
        client.set_tag(run_id, tag.RESTARTS, "true")
    except Exception as error:
        kind = UserError if tracking.answers(client) else ConnectionError
        raise kind(f"tracking: run {run_id} cannot be restarted: {first_line(error)}") from error


def discard_checkpoints_if_requested(run: StoredRun, *, uri: str | None) -> None:
    """Discards the checkpoints of a run that is marked to restart from scratch.

    An uploaded one is replaced by an empty file, since not every store lets files be deleted. The
    tag is removed last: if the process is killed before, all of it is repeated.

    Args:
        run: the run, which no other process works on.
        uri: the store, by default that of this folder.
    """
    if run.tags.get(tag.RESTARTS) != "true":
        return
    own = tracking.folder_of(run, uri=uri)
    if own is not None:
        # The copies that wait for upload too.
        for folder in (own / CHECKPOINTS, own / "artifacts" / CHECKPOINTS):
            for file in folder.glob("*.npz"):
                file.unlink()
    retention.empty_uploads(run, own, uri=uri)
    tracking.tag_run(run, {tag.RESTARTS: ""}, uri=uri)
