"""How a trial ended: what a worker hands to the sweeper, as plain values."""

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from samerun.config import Faults, Policy, is_out_of_memory
from samerun.redaction import redact

OUTCOME_FILE = "outcome.json"


class State(StrEnum):
    """How a trial ended."""

    complete = "complete"
    pruned = "pruned"
    nan = "nan"
    """The loss or a metric was not finite."""
    out_of_memory = "out_of_memory"
    error = "error"
    """Any other exception."""
    store_away = "store_away"
    """A store did not answer when it began."""
    time_limit = "time_limit"
    worker_death = "worker_death"
    """Its process was killed."""
    stopped = "stopped"
    """The sweep was ended while it ran; it goes on when the sweep does."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial ended.

    Args:
        state: in which way.
        reason: why, in words; empty for a complete trial.
        values: the objectives, by their logged names.
        seconds: time in the worker.
        epochs: epochs trained in all; `None` if that is not known.
        pid: the worker's process.
        memory_bytes: resident memory of the worker afterwards.
    """

    state: State
    reason: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    epochs: int | None = None
    pid: int = 0
    memory_bytes: int = 0


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Writes how a trial ended into its folder, completely or not at all.

    On a full disk nothing is written: then only the sweep that waits for the trial learns it.
    """
    file = folder / OUTCOME_FILE
    new = file.with_name(f"{file.name}.new")
    with contextlib.suppress(OSError):
        new.write_text(json.dumps(dataclasses.asdict(outcome)), encoding="utf-8")
        os.replace(new, file)


def read_outcome(folder: Path) -> Outcome | None:
    """Returns how a trial ended, by its folder; `None` if it has not."""
    try:
        plain = json.loads((folder / OUTCOME_FILE).read_text(encoding="utf-8"))
        return Outcome(**{**plain, "state": State(str(plain.get("state")))})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def outcome_of(error: BaseException) -> Outcome:
    """Returns the outcome of a trial that an exception left, by the exception's name.

    By name, so that neither TensorFlow nor Optuna has to be imported to ask.
    """
    name = type(error).__name__
    first = redact(_first_line(str(error)))
    if name == "TrialPruned":
        return Outcome(state=State.pruned, reason=f"pruned {first}".strip())
    if name == "Diverged":
        return Outcome(state=State.nan, reason=first)
    if is_out_of_memory(error):
        return Outcome(state=State.out_of_memory, reason=f"out of memory: {first}".rstrip(": "))
    if name == "StoreAway":
        return Outcome(state=State.store_away, reason=first)
    if name == "TimeLimit":
        return Outcome(state=State.time_limit, reason=first)
    if name in ("Terminated", "SweepStopped", "KeyboardInterrupt"):
        return Outcome(state=State.stopped, reason="the sweep was stopped")
    return Outcome(state=State.error, reason=f"{name}: {first}".rstrip(": "))


def _first_line(text: str) -> str:
    """Returns what was raised inside a graph: TensorFlow itself says `Graph execution error`."""
    lines = text.strip().splitlines() or [""]
    inner = [line for line in lines if re.match(r"\w*(Error|Exception): ", line)]
    return inner[-1] if inner and lines[0].startswith("Graph execution error") else lines[0]


def policy_of(faults: Faults, state: State) -> Policy:
    """Returns what the config says should follow a trial that ended in this state."""
    policies = {
        State.nan: faults.on_nan,
        State.out_of_memory: faults.on_memory,
        State.error: faults.on_error,
        State.store_away: Policy.retry,
        State.time_limit: faults.on_time_limit,
        # A worker that others told to stop is a dead worker, unless the sweep itself told it.
        State.worker_death: faults.on_worker_death,
        State.stopped: faults.on_worker_death,
    }
    return policies[state]
