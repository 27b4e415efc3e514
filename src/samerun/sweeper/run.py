"""A sweep from its overrides to its last trial: plan, study, loop, report."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from hydra.types import HydraContext
from omegaconf import DictConfig

from samerun import config, data, search, tracking
from samerun import tags as tag
from samerun.config.check import epoch_metrics
from samerun.config.pruners import Pruner
from samerun.config.secrets import safe_yaml
from samerun.config.sweep import ExecutorKind
from samerun.errors import Terminated, UserError, raises_mistakes_shortly
from samerun.files import write_atomic
from samerun.redaction import redact
from samerun.report.progress import console as screen
from samerun.sweeper import console, preflight
from samerun.sweeper.composition import compose_sweep
from samerun.sweeper.executors import hydra_launcher
from samerun.sweeper.executors.base import Executor
from samerun.sweeper.executors.inline import InlineExecutor
from samerun.sweeper.executors.local import LocalExecutor, graphics_cards
from samerun.sweeper.history import log_history
from samerun.sweeper.ledger import Ledger
from samerun.sweeper.loop import Loop
from samerun.sweeper.plan import SweepPlan, build_plan
from samerun.sweeper.result import SweepResult, result_of
from samerun.sweeper.worker import build_models
from samerun.tracking.recovery.folders import RUN_FILE

if TYPE_CHECKING:
    import optuna

_LOCK_FILE = "sweep.lock"
_STUDY_FILE = "study.token"


@raises_mistakes_shortly
def sweep(overrides: Sequence[str], *, executor: Executor | None = None) -> SweepResult:
    """Runs a sweep from Python, as `samerun train -m sweep=…` does from the command line.

    The same arguments with the same `sweep.study` resume an earlier sweep: trials that ended are
    kept, interrupted ones resume from their checkpoints.

    Args:
        overrides: what follows `samerun train -m`, such as
            `["sweep=optuna", "model.dropout=interval(0,0.6)", "sweep.n_trials=20"]`.
        executor: where trials run; by default what `sweep.executor`, `sweep.cluster` and
            `hydra/launcher` say. It is closed in the end.

    Returns:
        The study's name, its best trials and the runs of all trials.

    Raises:
        UserError: something is not understood or does not fit; nothing was started.
        SweepFailed: failed trials ended the sweep, as its settings say.
    """
    with compose_sweep(overrides) as (context, master, arguments):
        return run_sweep(context, master, arguments, executor=executor)


def run_sweep(
    context: HydraContext,
    master: DictConfig,
    arguments: Sequence[str],
    *,
    executor: Executor | None = None,
) -> SweepResult:
    """Runs a sweep from what Hydra composed.

    Args:
        context: Hydra's loader and callbacks.
        master: what Hydra composed for the sweep itself.
        arguments: the overrides, without those of Hydra's own settings.
        executor: where trials run; `None`: as the settings say.

    Raises:
        UserError: something is not understood or does not fit; nothing was started.
        SweepFailed: failed trials ended the sweep, as its settings say.
    """
    plan = build_plan(context, master, arguments)
    for note in plan.notes:
        console.print_line(note)
    if redact(plan.storage) != plan.storage:  # how workers get the password
        os.environ[search.STORAGE_VARIABLE] = plan.storage
    with search.storage_errors(plan.storage), _exclusive(plan):
        study = search.find_study(plan.backend, plan.name)
        _check_folder(plan, study)
        executor = executor or open_executor(plan)
        try:
            console.print_start(plan, study, executor.num_workers())
            if study is None:
                executor.warm_up(plan.n_trials)
                _build(plan, executor)
            start, extend = plan.study_start(), plan.settings.extend
            study = search.open_study(plan.backend, plan.name, start, extend=extend)
            with search.acquire_lease(study) as lease:
                write_atomic(plan.folder / _STUDY_FILE, search.token(study))
                return _run_trials(plan, study, executor, lease)
        finally:
            executor.close()


def open_executor(plan: SweepPlan) -> Executor:
    """Returns where the trials of a sweep run, as its settings say.

    Raises:
        UserError: a cluster cannot be reached, or has no worker that may take part.
    """
    settings = plan.settings
    if settings.cluster is not None:
        from samerun.sweeper.executors import dask

        return dask.open_executor(plan)
    if hydra_launcher.is_chosen(plan.master):
        return hydra_launcher.HydraLauncherExecutor(plan.context, plan.master, plan.workers)
    if settings.executor is ExecutorKind.inline:
        return InlineExecutor()
    return LocalExecutor(plan.workers, settings.max_trials_per_worker, graphics_cards())


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


def _check_folder(plan: SweepPlan, study: "optuna.Study | None") -> None:
    """Refuses a folder with the trials of another study, as after its database was deleted.

    Raises:
        UserError: there are some.
    """
    file = plan.folder / _STUDY_FILE
    if not file.exists():
        return
    if study is None or file.read_text(encoding="utf-8") != search.token(study):
        raise UserError(
            f"sweep.study: {plan.folder} holds the trials of another study than '{plan.name}' "
            f"in {redact(plan.storage)}: choose another name, or move that folder."
        )


def _build(plan: SweepPlan, executor: Executor) -> None:
    """Builds every model once, in a worker, and reports its size."""
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
    plan: SweepPlan, study: "optuna.Study", executor: Executor, lease: search.Lease
) -> SweepResult:
    _store_settings(plan, study)
    with _parent_run(plan, study) as run:
        study.set_user_attr(tag.STUDY_RUN, run.id)
        log_history(study, run)
        ledger = Ledger(plan, study, run)
        progress = console.progress(plan, study, executor.num_workers())
        reason = ""
        try:
            reason = Loop(plan, study, ledger, executor, progress, lease).run()
        except (KeyboardInterrupt, Terminated):
            progress.close()
            console.print_resume_hint(plan)
            raise
        finally:
            progress.close()
            console.write_report(plan, study, run)
            console.tag_best(study, run)
        console.print_best(progress, plan, study, run, reason)
    return result_of(study, run.id, plan.objectives.names, reason)


def _store_settings(plan: SweepPlan, study: "optuna.Study") -> None:
    """Stores the settings that workers and readers of the study need."""
    settings, epochs = plan.settings, plan.configs.max_epochs()
    names, directions = plan.objectives.names, plan.objectives.directions
    each_epoch = epoch_metrics(plan.base, data.describe(plan.base.dataset))
    is_by_instance = settings.pruner is Pruner.wilcoxon
    is_reported = len(names) == 1 and (names[0] in each_epoch or is_by_instance)
    for_workers = search.TrialSettings(
        metric=names[0] if is_reported else None,
        max_epochs=epochs,
        sweep=search.settings_json(settings),
    )
    search.store_for_workers(study, for_workers)
    study.pruner = search.build_pruner(settings, directions[0], epochs)
    for values in plan.enqueued:
        study.enqueue_trial(values, skip_if_exists=True)
    study.set_user_attr(tag.STUDY_FOLDER, str(plan.folder))
    study.set_user_attr(tag.SAMPLER, settings.sampler.value)
    study.set_user_attr(tag.PRUNER, settings.pruner.value)
    text = safe_yaml(plan.master)
    (plan.folder / "multirun.yaml").write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _parent_run(plan: SweepPlan, study: "optuna.Study") -> Iterator[tracking.Run]:
    """Opens the sweep's own run, or reopens it: its ID is in its folder and in the study."""
    settings = plan.settings
    tags = {
        tag.STUDY: plan.name,
        tag.SAMPLER: settings.sampler.value,
        tag.PRUNER: settings.pruner.value,
        tag.N_TRIALS: str(plan.n_trials),
        tag.OBJECTIVES: ", ".join(plan.objectives.names),
    }
    uri = plan.base.tracking.uri
    known = study.user_attrs.get(tag.STUDY_RUN)
    if (plan.folder / RUN_FILE).exists():
        opened = tracking.reopen_run(plan.folder, uri=uri, tags=tags, take_over=True)
    elif known:  # the lease is ours: the sweep that ran it elsewhere is dead
        opened = tracking.reopen_run(plan.folder, run_id=known, uri=uri, tags=tags, take_over=True)
    else:
        opened = tracking.open_run(
            plan.base,
            plan.folder,
            name=plan.name,
            tags=tags,
            needs_store=True,  # trials are created under it
        )
    with opened as run:
        if not known:  # settings that may change later are tags
            run.log_params(_params(plan))
        yield run


def _params(plan: SweepPlan) -> dict[str, str]:
    """Returns what all trials share, and the range or the choices of what differs."""
    first, *others = [config.parameters(cfg) for cfg in plan.configs.configs()]
    shared = {
        key: value
        for key, value in first.items()
        if all(other.get(key) == value for other in others)
    }
    return shared | {entry.key: str(entry) for entry in plan.space.entries}
