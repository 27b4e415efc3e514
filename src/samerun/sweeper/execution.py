"""Runs the plan of a sweep: executor, study, loop, report."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from samerun import search, tracking
from samerun import tags as tag
from samerun.errors import Terminated, UserError
from samerun.process import OUTPUT_FILE, redirect_output, resume_garbage_collection
from samerun.report.confirmation import Confirmation, read_confirmation
from samerun.report.progress import console as screen
from samerun.sweeper import confirm, console, preflight
from samerun.sweeper.executors import hydra_launcher
from samerun.sweeper.executors.base import Executor
from samerun.sweeper.executors.inline import InlineExecutor
from samerun.sweeper.ledger import Ledger
from samerun.sweeper.loop import Loop
from samerun.sweeper.plan import SweepPlan
from samerun.sweeper.result import SweepResult, result_of
from samerun.sweeper.stores import (
    check_folder,
    mark_folder,
    parent_run,
    store_settings,
)
from samerun.sweeper.worker import build_models

if TYPE_CHECKING:
    import optuna

_LOCK_FILE = "sweep.lock"


def run_plan(plan: SweepPlan, executor: Executor | None = None) -> SweepResult:
    """Runs a sweep that is planned.

    Args:
        plan: what it is going to do.
        executor: where trials run; `None`: opened here, as the settings say.

    Raises:
        UserError: an executor cannot be opened, or another process runs the study.
        SweepFailed: failed trials ended the sweep, as its settings say.
    """
    resume_garbage_collection()
    again = confirm.plan_confirmation(plan)
    for note in plan.notes:
        console.print_line(note)
    with search.storage_errors(plan.storage), _exclusive(plan):
        study = search.find_study(plan.backend, plan.name)
        check_folder(plan, study)
        executor = executor or open_executor(plan)
        try:
            console.print_start(plan, study, executor.num_workers())
            if study is None:
                executor.warm_up(plan.n_trials)
                _build(plan, executor)
            start, extend = plan.study_start(), plan.settings.extend
            study = search.open_study(plan.backend, plan.name, start, extend=extend)
            with search.acquire_lease(study) as lease:
                mark_folder(plan, study)
                return _run_trials(plan, again, study, executor, lease)
        finally:
            executor.close()


def open_executor(plan: SweepPlan) -> Executor:
    """Returns where the trials of a sweep run that has no worker processes of its own.

    Raises:
        UserError: a cluster cannot be reached, or has no worker that may take part.
    """
    if plan.settings.cluster is not None:
        from samerun.sweeper.executors import dask

        return dask.open_executor(plan)
    if hydra_launcher.is_chosen(plan.master):
        return hydra_launcher.HydraLauncherExecutor(plan.context, plan.master, plan.workers)
    return InlineExecutor()


@contextlib.contextmanager
def _exclusive(plan: SweepPlan) -> Iterator[None]:
    """Holds the study's lock; the system releases it however the process ends."""
    lock = FileLock(plan.folder / _LOCK_FILE)
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"sweep.study: '{plan.name}' is running in another process: wait until it ends, or "
            "stop it with Ctrl-C."
        ) from error
    except OSError as error:
        raise UserError(
            f"hydra.sweep.dir: {plan.folder} cannot be created or written "
            f"({error.strerror or error}): give another folder, or a shorter sweep.study."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _build(plan: SweepPlan, executor: Executor) -> None:
    """Builds every model once, in a worker, and reports its size."""
    is_here = isinstance(executor, InlineExecutor)
    output = redirect_output(plan.folder / OUTPUT_FILE) if is_here else contextlib.nullcontext()
    with output:  # as in a trial, whose log lines Hydra's handler would show
        future = executor.submit(build_models, [cfg for _, cfg in plan.models])
    try:
        built = future.result()
    except Exception as error:
        if executor.is_lost(error):
            raise UserError(
                "sweep.workers: a worker process died while it built the models: check the "
                "machine's memory, or try sweep.executor=inline."
            ) from error
        raise
    for line in preflight.model_lines([label for label, _ in plan.models], built):
        screen().print(line, style="dim")


def _run_trials(
    plan: SweepPlan,
    again: SweepPlan | None,
    study: "optuna.Study",
    executor: Executor,
    lease: search.Lease,
) -> SweepResult:
    """Runs the search, and the study that confirms its best trials if there is to be one."""
    store_settings(plan, study)
    with parent_run(plan, study) as run:
        study.set_user_attr(tag.STUDY_RUN, run.id)
        ledger = Ledger(plan, study, run)
        console.print_outdated(ledger.end_outdated())
        progress = console.progress(plan, study, executor.num_workers())
        objective, confirmation = plan.objectives.names[0], None
        if again is not None:
            confirmation = read_confirmation(objective, study, (), None)
        try:
            reason = Loop(plan, study, ledger, executor, progress, lease).run()
            if again is not None:
                progress.close()
                console.write_report(plan, study, run, confirmation)  # should this be killed
                confirmation = confirm.confirm_best(again, study, run, executor)
        except (KeyboardInterrupt, Terminated):
            progress.close()
            console.print_resume_hint(plan)
            raise
        finally:
            progress.close()
            _report(plan, study, run, confirmation)
        console.print_best(progress, plan, study, run, reason, confirmation=confirmation)
    return result_of(study, run.id, plan.objectives.names, reason, confirmation)


def _report(
    plan: SweepPlan,
    study: "optuna.Study",
    run: tracking.Run,
    confirmation: Confirmation | None,
) -> None:
    console.write_report(plan, study, run, confirmation)
    console.tag_best(study, run, confirmation)
