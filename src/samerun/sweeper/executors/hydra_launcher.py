"""Trials through another Hydra launcher, in batches: each waits for the slowest trial of the last.

A launcher takes overrides only and returns when all of its jobs have ended. What else a trial needs
to know is in a file in its folder, which the machines have to share.
"""

import dataclasses
import json
import logging
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, final

from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig

from samerun import config
from samerun.config.checkpoint import Trial
from samerun.config.hydra_internals import BASIC_LAUNCHER
from samerun.errors import WorkerLost
from samerun.search.objectives import Objectives
from samerun.search.outcome import OUTCOME_FILE, TrialOutcome, read_outcome
from samerun.sweeper.executors.base import Executor
from samerun.sweeper.executors.local import LocalExecutor
from samerun.sweeper.trial_configs import TrialTask
from samerun.sweeper.worker import outcome_of_result, run_and_record, run_trial

TASK_FILE = "task.json"

_log = logging.getLogger(__name__)


def is_chosen(master: DictConfig) -> bool:
    """Whether a launcher other than Hydra's basic one is chosen."""
    return str(master.hydra.launcher.get("_target_")) != BASIC_LAUNCHER


@final
class HydraLauncherExecutor(Executor):
    """Runs trials through `hydra/launcher`, in batches.

    Args:
        context: Hydra's loader and callbacks.
        master: what Hydra composed for the sweep itself.
        num: trials in a batch.
    """

    def __init__(self, context: HydraContext, master: DictConfig, num: int) -> None:
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=launched_task, config=master
        )
        self._num = num
        self._launched = 0
        self._waiting: list[tuple[Future[Any], TrialTask]] = []
        name = master.hydra.runtime.choices.get("hydra/launcher")
        _log.warning("hydra/launcher=%s runs trials in batches of %d.", name, num)

    def num_workers(self) -> int:
        """Returns the size of a batch."""
        return self._num

    def free(self) -> int:
        """Counts the free places in the next batch."""
        return self._num - len(self._waiting)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Adds a trial to the next batch; anything else runs at once, in a separate process."""
        if function is not run_trial:
            slots = LocalExecutor(1)
            done = slots.submit(function, *arguments)
            done.exception()  # waits
            slots.close()
            return done
        future: Future[Any] = Future()
        self._waiting.append((future, arguments[0]))
        return future

    def begin(self) -> None:
        """Launches the batch and waits until all of it has ended."""
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        for _, task in batch:
            _write_task(task)
        error: BaseException | None = None
        try:
            self._launcher.launch([_overrides(task) for _, task in batch], self._launched)
        except Exception as raised:  # one lost job ends the batch of most launchers
            error = raised
        self._launched += len(batch)
        for future, task in batch:
            outcome = read_outcome(Path(task.folder))
            if outcome is not None:
                future.set_result(outcome)
            else:
                future.set_exception(WorkerLost(str(error or "no outcome was written")))

    def seconds(self, future: "Future[Any]") -> float:
        """Returns 0: the loop asks only after the batch has ended."""
        return 0.0

    def stop(self) -> None:
        """Does nothing: no batch is running."""

    def kill(self, future: "Future[Any]") -> None:
        """Does nothing: it has ended."""

    def is_lost(self, error: BaseException) -> bool:
        """Whether a job ended without an outcome."""
        return isinstance(error, WorkerLost)

    def close(self) -> None:
        """Does nothing: launchers end their own jobs."""


def _overrides(task: TrialTask) -> list[str]:
    folder = Path(task.folder)
    return [
        *task.overrides,
        f"hydra.sweep.dir={json.dumps(str(folder.parent))}",
        f"hydra.sweep.subdir={folder.name}",
    ]


def _write_task(task: TrialTask) -> None:
    folder = Path(task.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OUTCOME_FILE).unlink(missing_ok=True)
    plain = {
        "trial": config.as_dict(task.trial),
        "objectives": dataclasses.asdict(task.objectives),
    }
    (folder / TASK_FILE).write_text(json.dumps(plain), encoding="utf-8")


def launched_task(node: DictConfig) -> float:
    """Trains a trial in a job of a launcher; writes its outcome into its folder."""
    from hydra.core.hydra_config import HydraConfig

    from samerun.sweeper.trial_run import train_trial

    folder = Path(HydraConfig.get().runtime.output_dir)
    plain = json.loads((folder / TASK_FILE).read_text(encoding="utf-8"))
    objectives = Objectives(**{key: _tuple(value) for key, value in plain["objectives"].items()})
    node.trial = Trial(**plain["trial"])

    def train() -> TrialOutcome:
        return outcome_of_result(objectives, train_trial(node))

    outcome = run_and_record(folder, train)
    return outcome.values.get(objectives.names[0], float("nan"))


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
