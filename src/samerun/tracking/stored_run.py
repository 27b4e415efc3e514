"""A run as a store has it."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samerun import tags as tag

PARENT = "mlflow.parentRunId"
"""MLflow's tag: ID of the run that a run belongs to, such as the sweep of a trial."""
FINISHED = "FINISHED"


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A run as it is in the store.

    Args:
        id: its ID.
        name: its name.
        experiment_id: ID of its experiment.
        status: RUNNING, FINISHED, FAILED or KILLED.
        params: the flattened config.
        metrics: the last value of each metric.
        tags: its tags.
        start_time: when it started, in milliseconds since 1970; `None` if the store does not say.
        end_time: when it ended, the same; `None` while it is running.
    """

    id: str
    name: str
    experiment_id: str
    status: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    start_time: int | None = None
    end_time: int | None = None

    @property
    def folder(self) -> Path:
        """The folder in which it ran; on another machine it does not exist."""
        return Path(self.tags.get(tag.FOLDER, ""))

    @property
    def is_started(self) -> bool:
        """Whether a process has opened it, which a run created for a worker waits for."""
        return tag.FOLDER in self.tags

    @property
    def num_resumed(self) -> int:
        """How many times it was resumed."""
        number = self.tags.get(tag.RESUMED, "0")
        return int(number) if number.isdecimal() else 0

    @property
    def is_group(self) -> bool:
        """Whether it is the run of a sweep or a multirun, which trained nothing itself."""
        return tag.MULTIRUN in self.tags or (tag.STUDY in self.tags and tag.TRIAL not in self.tags)


def as_stored(run: Any) -> StoredRun:
    """Returns one of MLflow's own run objects as ours."""
    return StoredRun(
        id=run.info.run_id,
        name=run.info.run_name,
        experiment_id=run.info.experiment_id,
        status=run.info.status,
        params=dict(run.data.params),
        metrics={key: as_logged(value) for key, value in run.data.metrics.items()},
        tags=dict(run.data.tags),
        start_time=run.info.start_time,
        end_time=run.info.end_time,
    )


def as_logged(stored: Any) -> float:
    """Returns a metric's value as it was logged: MLflow stores infinity as the largest float64."""
    if not isinstance(stored, int | float):
        return math.nan
    value = float(stored)
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def parents(runs: Mapping[str, StoredRun]) -> dict[str, str]:
    """Returns the ID of the parent of each run that has one among these runs.

    A run whose parent was deleted has none, nor has one whose parents lead back to it.

    Args:
        runs: all runs of a store, by ID.
    """
    found: dict[str, str] = {}
    for run in sorted(runs.values(), key=lambda run: (run.start_time or 0, run.id)):
        above = run.tags.get(PARENT, "")
        if above in runs and not _is_above(run.id, above, found):
            found[run.id] = above
    return found


def _is_above(run_id: str, other: str, found: Mapping[str, str]) -> bool:
    """Whether a run is another one, or one of its parents."""
    while other != run_id:
        if other not in found:
            return False
        other = found[other]
    return True
