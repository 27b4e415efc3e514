"""A sweep from its overrides to its last trial."""

import contextlib
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, final

from hydra.types import HydraContext
from omegaconf import DictConfig

from samerun import search
from samerun.config.sweep import ExecutorKind
from samerun.errors import raises_mistakes_shortly
from samerun.launch import check_is_list, with_data
from samerun.process import graceful_stop, graphics_cards
from samerun.redaction import redact
from samerun.sweeper.composition import compose_sweep
from samerun.sweeper.plan import CheckedSweep, build_plan

if TYPE_CHECKING:
    from samerun.sweeper.executors.base import Executor
    from samerun.sweeper.executors.local import LocalExecutor
    from samerun.sweeper.result import SweepResult


@raises_mistakes_shortly
def sweep(
    overrides: Sequence[str], *, data: Any = None, executor: "Executor | None" = None
) -> "SweepResult":
    """Runs a sweep from Python, as `samerun train -m sweep=…` does from the command line.

    The same arguments with the same `sweep.study` resume an earlier sweep: trials that ended are
    kept, interrupted ones resume from their checkpoints.

    Args:
        overrides: what follows `samerun train -m`, such as
            `["sweep=optuna", "model.dropout=interval(0,0.6)", "sweep.n_trials=20"]`.
        data: your own data, as for `samerun.train`.
        executor: where trials run; by default what `sweep.executor`, `sweep.cluster` and
            `hydra/launcher` say. It is closed in the end.

    Returns:
        The study's name, its best trials and the runs of all trials.

    Raises:
        UserError: something is not understood or does not fit; nothing was started.
        SweepFailed: failed trials ended the sweep, as its settings say.
    """
    check_is_list("sweep", overrides)
    given, saved = with_data(overrides, data)
    with compose_sweep(given) as (context, master, arguments):
        return _run(context, master, arguments, executor, saved(master))


def run_sweep(
    context: HydraContext,
    master: DictConfig,
    arguments: Sequence[str],
) -> "SweepResult":
    """Runs a sweep from what Hydra composed.

    Args:
        context: Hydra's loader and callbacks.
        master: what Hydra composed for the sweep itself.
        arguments: the overrides, without those of Hydra's own settings.

    Raises:
        UserError: something is not understood or does not fit; nothing was started.
        SweepFailed: failed trials ended the sweep, as its settings say.
    """
    return _run(context, master, arguments, None, contextlib.nullcontext())


def _run(
    context: HydraContext,
    master: DictConfig,
    arguments: Sequence[str],
    executor: "Executor | None",
    saved: AbstractContextManager[None],
) -> "SweepResult":
    with graceful_stop(), contextlib.closing(Workers(executor)) as workers:
        with saved:
            plan = build_plan(context, master, arguments, workers.start)
        from samerun.sweeper.execution import run_plan  # importing it takes longer than the checks

        return run_plan(plan, workers.executor)


@final
class Workers:
    """Where trials run; processes of this machine start while the sweep is still planned.

    They import TensorFlow, which takes longer than all else before the first trial. If the sweep is
    refused after all, they are killed. A study that was started before may have finished: its
    processes start after the plan, if any trial is left.

    Args:
        given: the caller's executor; `None`: as the settings say.
    """

    def __init__(self, given: "Executor | None") -> None:
        self.executor = given
        self._own: LocalExecutor | None = None
        self._storage_before = os.environ.get(search.STORAGE_VARIABLE)

    def start(self, checked: CheckedSweep) -> None:
        """Starts the processes, unless trials run elsewhere, which the whole plan decides."""
        if redact(checked.storage) != checked.storage:  # how workers get the password
            os.environ[search.STORAGE_VARIABLE] = checked.storage
        settings = checked.settings
        is_inline = settings.executor is ExecutorKind.inline
        if self.executor is not None or is_inline or settings.cluster is not None:
            return
        from samerun.sweeper.executors.hydra_launcher import is_chosen
        from samerun.sweeper.executors.local import LocalExecutor

        if is_chosen(checked.master):
            return
        most = settings.max_trials_per_worker
        self._own = LocalExecutor(checked.workers, most, graphics_cards())
        self.executor = self._own
        if not os.path.exists(checked.folder):  # `Path.exists` raises for a name that is too long
            self._own.warm_up(checked.n_trials)

    def close(self) -> None:
        """Ends them; those of a sweep that ran have ended already. Restores the environment."""
        if self._storage_before is None:
            os.environ.pop(search.STORAGE_VARIABLE, None)
        else:
            os.environ[search.STORAGE_VARIABLE] = self._storage_before
        if self._own is not None:
            self._own.close()
