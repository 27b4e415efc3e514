"""A sweep from its overrides to its last trial."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.types import HydraContext
from omegaconf import DictConfig

from samerun.errors import raises_mistakes_shortly
from samerun.launch import check_is_list, with_data
from samerun.sweeper.composition import compose_sweep
from samerun.sweeper.plan import SweepPlan, build_plan

if TYPE_CHECKING:
    from samerun.sweeper.executors.base import Executor
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
        with saved(master):
            plan = build_plan(context, master, arguments)
        return _run(plan, executor)


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
    return _run(build_plan(context, master, arguments), None)


def _run(plan: SweepPlan, executor: "Executor | None") -> "SweepResult":
    from samerun.sweeper.execution import run_plan  # importing it takes longer than the checks

    return run_plan(plan, executor)
