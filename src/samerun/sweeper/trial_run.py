"""Trains the run that the sweep created for a trial, from its last checkpoint if there is one."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from samerun import launch, search, tracking
from samerun import tags as tag
from samerun.errors import StoreUnavailable, first_line
from samerun.process import quiet

if TYPE_CHECKING:
    from samerun.result import Result


def train_trial(node: Any) -> "Result":
    """Trains the trial that Hydra composed, in the folder that Hydra chose.

    Args:
        node: the composed config; its `trial` says which one it is.

    Raises:
        StoreUnavailable: a store did not respond when the trial started.
    """
    from samerun import retention
    from samerun.replay import restart
    from samerun.replay.resume import find_state

    composition, folder = launch.parse_task(node)
    cfg = composition.config
    assert cfg.trial is not None
    with contextlib.ExitStack() as stack:
        with _stores_may_be_unavailable():
            trial = search.current_trial(cfg.trial)
            (stored,) = tracking.find_runs([cfg.trial.run], uri=cfg.tracking.uri)
            restart.discard_checkpoints_if_requested(stored, uri=cfg.tracking.uri)
            state = find_state(stored, cfg, uri=cfg.tracking.uri) if stored.is_started else None
            reopened = tracking.reopen_run(
                folder,
                run_id=stored.id,
                uri=cfg.tracking.uri,
                tags={tag.RESUMED: str(stored.num_resumed + 1)} if state else {},
                take_over=True,  # the sweep knows that no other process works on it
                patience=cfg.tracking.patience_seconds,
            )
            run = stack.enter_context(reopened)
        with quiet():
            from samerun import console, training
        out = console.make_console()
        command = launch.command_of(composition)
        result = training.start(composition, run, out, command=command, state=state, trial=trial)
    retention.after_success(cfg, folder)
    launch.show_end(run, result, out)
    return result


@contextlib.contextmanager
def _stores_may_be_unavailable() -> Iterator[None]:
    """Distinguishes an unavailable store from a fault of the trial.

    Raises:
        StoreUnavailable: a store does not respond.
    """
    try:
        yield
    except Exception as error:
        if not search.was_unavailable(error):
            raise
        raise StoreUnavailable(str(error), reason=first_line(error)) from error
