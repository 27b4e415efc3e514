"""How a trial ended: what a worker returns to the sweep, as plain values."""

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from samerun.config.sweep import Faults, Policy
from samerun.errors import Cause, Infeasible, TrialPaused, classify
from samerun.files import write_atomic

OUTCOME_FILE = "outcome.json"


class EndState(StrEnum):
    """How a trial ended."""

    complete = "complete"
    pruned = "pruned"
    paused = "paused"
    """It waits at its rung, and may be promoted."""
    infeasible = "infeasible"
    """A constraint of the sweep is violated."""
    nan = "nan"
    """The loss or a metric was not finite."""
    out_of_memory = "out_of_memory"
    error = "error"
    """Any other exception."""
    store_unavailable = "store_away"
    """A store did not respond when the trial started."""
    time_limit = "time_limit"
    worker_death = "worker_death"
    """Its process was killed."""
    stopped = "stopped"
    """The sweep was stopped; the trial resumes when the sweep does."""


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """How a trial ended.

    Args:
        state: the kind of end.
        reason: why, in words; empty for a complete trial.
        values: the objectives, by their logged names.
        constraints: by how much each constraint is violated, by its text; at most 0: not at all.
        test: a test metric of the run, by its logged name; it takes no part in the search.
        by_instance: the first objective of each of its seeds or folds, by label.
        seconds: time in the worker.
        epochs: total number of epochs trained; `None` if unknown.
        pid: the worker's process.
        memory_bytes: resident memory of the worker after the trial.
    """

    state: EndState
    reason: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)
    test: Mapping[str, float] = field(default_factory=dict)
    by_instance: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    epochs: int | None = None
    pid: int = 0
    memory_bytes: int = 0


def write_outcome(folder: Path, outcome: TrialOutcome) -> None:
    """Writes how a trial ended into its folder, completely or not at all.

    On a full disk nothing is written; the sweep that waits for the trial receives it anyway.
    """
    with contextlib.suppress(OSError):
        write_atomic(folder / OUTCOME_FILE, json.dumps(dataclasses.asdict(outcome)))


def read_outcome(folder: Path) -> TrialOutcome | None:
    """Reads how a trial ended from its folder; `None` if it has not ended."""
    try:
        plain = json.loads((folder / OUTCOME_FILE).read_text(encoding="utf-8"))
        return TrialOutcome(**{**plain, "state": EndState(str(plain.get("state")))})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


_STATES = {
    Cause.pruned: EndState.pruned,
    Cause.paused: EndState.paused,
    Cause.infeasible: EndState.infeasible,
    Cause.diverged: EndState.nan,
    Cause.out_of_memory: EndState.out_of_memory,
    Cause.store_unavailable: EndState.store_unavailable,
    Cause.time_limit: EndState.time_limit,
    Cause.interrupted: EndState.stopped,
    Cause.terminated: EndState.stopped,
    Cause.sweep_stopped: EndState.stopped,
}


def outcome_of(error: BaseException) -> TrialOutcome:
    """Returns the outcome of a trial that an exception left."""
    ended = classify(error)
    state = _STATES.get(ended.cause, EndState.error)
    reason = "the sweep was stopped" if state is EndState.stopped else ended.reason
    if isinstance(error, Infeasible):
        return TrialOutcome(state=state, reason=str(error), constraints=error.violations, epochs=0)
    epochs = error.epoch if isinstance(error, TrialPaused) else None
    return TrialOutcome(state=state, reason=reason, epochs=epochs)


def policy_of(faults: Faults, state: EndState) -> Policy:
    """Returns what the settings say to do after a trial ended in this state."""
    policies = {
        EndState.nan: faults.on_nan,
        EndState.out_of_memory: faults.on_memory,
        EndState.error: faults.on_error,
        EndState.store_unavailable: Policy.retry,
        EndState.time_limit: faults.on_time_limit,
        # A worker that was stopped by anything but the sweep counts as a dead worker.
        EndState.worker_death: faults.on_worker_death,
        EndState.stopped: faults.on_worker_death,
    }
    return policies[state]
