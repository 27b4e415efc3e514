"""A sweep from its words to its last trial; imported when one begins."""

import contextlib
import functools
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from samerun import config, data, identity, search, tracking
from samerun.config import UserError
from samerun.redaction import redact
from samerun.search.objectives import directions_of, objectives_of
from samerun.sweeper import console, preflight
from samerun.sweeper.executors import hydra_launcher
from samerun.sweeper.executors.base import Executor
from samerun.sweeper.executors.inline import Inline
from samerun.sweeper.executors.local import Slots, graphics_cards
from samerun.sweeper.history import log_history
from samerun.sweeper.ledger import Ledger
from samerun.sweeper.loop import Loop
from samerun.sweeper.plan import Plan
from samerun.sweeper.trial_configs import Frozen, composed, parsed
from samerun.sweeper.worker import build_models
from samerun.tracking.lines import write_whole
from samerun.tracking.recovery import RUN_FILE

if TYPE_CHECKING:
    import optuna

_LOCK_FILE = "sweep.lock"
_STUDY_FILE = "study.token"


def run_sweep(context: HydraContext, master: DictConfig, arguments: Sequence[str]) -> None:
    """Runs a sweep from Hydra's composition and the words of the command line.

    Raises:
        UserError: something is not understood or does not fit; nothing was begun.
        SweepFailed: failed trials ended it, as its settings say.
    """
    settings = config.parse_sweep(master)

    @functools.cache
    def compose(words: tuple[str, ...]) -> DictConfig:
        return composed(context, master, words)

    space = search.parse_space(
        arguments,
        settings.params,
        compose=lambda words: parsed(compose(tuple(words)), words).config,
        options=context.config_loader.get_group_options,
    )
    for note in [*space.notes, *search.sampler_notes(settings, space)]:
        console.say(note)
    plan = _plan(context, master, settings, space, compose)
    if redact(plan.storage) != plan.storage:  # the workers' way to the password
        os.environ[search.STORAGE_VARIABLE] = plan.storage
    if settings.cluster is not None:
        plan.check_reach()
    models = preflight.check_branches(settings, plan.frozen, space)
    plan.check_places()
    search.check_options(settings, plan.directions, plan.frozen.max_epochs())
    client = tracking.connect(plan.tracking_uri())
    plan = replace(plan, first=_first(plan))
    try:
        _open(plan, models, master, client)
    except Exception as error:
        if not search.is_broken(error):
            raise
        raise search.refused(plan.storage, error) from error


def _open(
    plan: Plan, models: list[tuple[str, config.Config]], master: DictConfig, client: Any
) -> None:
    """Opens the study, or begins it, and runs the trials that are missing."""
    settings = plan.sweep
    kept = search.open_storage(plan.storage)
    found = search.find_study(kept, plan.name)
    plan = _as_begun(plan, found)
    with _alone(plan):
        _refuse_folder(plan, found)
        executor, workers = _executor(plan, master)
        plan = replace(plan, workers=workers)
        try:
            console.say_beginning(plan, found)
            if found is None:
                executor.warm_up(plan.n_trials)
                _build(models, executor)
            study = search.open_study(kept, plan.name, _beginning(plan), extend=settings.extend)
            with search.held(study) as hold:
                write_whole(plan.folder / _STUDY_FILE, search.token(study))
                _run(plan, study, executor, master, hold, client)
        finally:
            executor.close()


def _plan(
    context: HydraContext,
    master: DictConfig,
    settings: config.Sweep,
    space: search.Space,
    compose: Callable[[tuple[str, ...]], DictConfig],
) -> Plan:
    workers = _num_workers(settings)
    threads = max(1, config.available_cores() // workers)
    if settings.cluster is not None:
        threads = settings.dask.cores  # the same on every machine, as they are part of a run
    frozen = Frozen(compose, space, threads)
    base = frozen.base()
    objectives = objectives_of(settings, base)
    search.check_sampler(settings, space, len(objectives))
    name = settings.study or _name(master, base)
    if not re.fullmatch(r"[\w.+-]+", name) or name.startswith("."):
        raise UserError(
            f"sweep.study: received '{name}', expected letters, digits, '.', '_', '+' and '-': it "
            "names a folder too."
        )
    return Plan(
        sweep=settings,
        space=space,
        frozen=frozen,
        base=base,
        context=context,
        job_name=str(master.hydra.job.name),
        name=name,
        folder=_folder(master, name),
        storage=search.storage_url(settings.storage),
        objectives=objectives,
        directions=directions_of(settings, objectives),
        n_trials=search.num_trials(settings, space),
        workers=workers,
    )


def _num_workers(settings: config.Sweep) -> int:
    if settings.executor is config.Executor.inline:
        return 1
    return settings.workers or len(graphics_cards()) or config.available_cores()


def _name(master: DictConfig, base: config.Config) -> str:
    experiment = master.hydra.runtime.choices.get("experiment")
    what = str(experiment or f"{base.model.kind}-{base.dataset.kind}").replace("/", "-")
    return f"{what}-{datetime.now():%Y-%m-%d-%H-%M-%S}"


def _folder(master: DictConfig, name: str) -> Path:
    words = OmegaConf.to_container(master.hydra.overrides.hydra)
    assert isinstance(words, list)
    chosen = any(str(word).startswith("hydra.sweep.dir=") for word in words)
    return (Path(str(master.hydra.sweep.dir)) if chosen else Path("multirun") / name).absolute()


def _beginning(plan: Plan) -> search.Beginning:
    return search.Beginning(
        space=plan.space.as_dict(),
        objectives=list(plan.objectives),
        directions=list(plan.directions),
        base=plan.frozen.flattened(),
        branches=plan.frozen.digest(),
        threads=plan.frozen.threads,
        code=_code(plan),
    )


def _code(plan: Plan) -> dict[str, str]:
    found: dict[str, str] = {}
    for cfg in plan.frozen.configs():
        found |= identity.code_files(cfg)
    own = {path: digest for path, digest in found.items() if not path.startswith(identity.PACKAGE)}
    whole = hashlib.sha256(json.dumps(sorted(found.items() - own.items())).encode())
    return {**own, "samerun": whole.hexdigest()}


def _as_begun(plan: Plan, study: "optuna.Study | None") -> Plan:
    """Goes on with a study as it was begun: in its folder, with as many threads for each trial.

    Raises:
        UserError: it was begun with something else, and that is not said to be meant.
    """
    before = search.beginning(study) if study is not None else None
    if study is None or before is None:
        return plan
    if before.threads != plan.frozen.threads:
        frozen = plan.frozen.with_threads(before.threads)
        plan = replace(plan, frozen=frozen, base=frozen.base())
    folder = Path(study.user_attrs.get("samerun.folder", plan.folder))
    if folder.is_dir():
        plan = replace(plan, folder=folder)
    changes = [*plan.space.difference(before.space), *search.differences(before, _beginning(plan))]
    if changes and plan.sweep.extend:
        preflight.check_values(study, plan.space)
    elif changes:
        search.refuse_changes(plan.name, changes)
    return plan


@contextlib.contextmanager
def _alone(plan: Plan) -> Iterator[None]:
    """Holds the study's lock; the system frees it however the process ends."""
    lock = FileLock(plan.folder / _LOCK_FILE)
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"sweep.study: '{plan.name}' is running in another process: wait for its end, or stop "
            "it with Ctrl-C."
        ) from error
    except OSError as error:
        raise UserError(
            f"hydra.sweep.dir: {plan.folder} cannot be made or written "
            f"({error.strerror or error}): give another folder, or sweep.study a shorter name."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _refuse_folder(plan: Plan, study: "optuna.Study | None") -> None:
    """Refuses a folder with the trials of another study, as after its database was deleted.

    Raises:
        UserError: it has some.
    """
    file = plan.folder / _STUDY_FILE
    if not file.exists():
        return
    if study is None or file.read_text(encoding="utf-8") != search.token(study):
        raise UserError(
            f"sweep.study: {plan.folder} holds the trials of another study than the '{plan.name}' "
            f"of {redact(plan.storage)}: choose another name, or move that folder away."
        )


def _executor(plan: Plan, master: DictConfig) -> tuple[Executor, int]:
    """Returns where trials run, and how many can run side by side."""
    settings = plan.sweep
    if settings.cluster is not None:
        from samerun.sweeper.executors import dask

        executor = dask.open_executor(plan)
        return executor, executor.num_workers()
    if hydra_launcher.is_chosen(master):
        return hydra_launcher.Launched(plan.context, master, plan.workers), plan.workers
    if settings.executor is config.Executor.inline:
        return Inline(), plan.workers
    slots = Slots(plan.workers, settings.max_trials_per_worker, graphics_cards())
    return slots, plan.workers


def _build(models: Sequence[tuple[str, config.Config]], executor: Executor) -> None:
    """Builds every model once, in a worker, and says how large it is."""
    from samerun.report import progress

    future = executor.submit(build_models, [cfg for _, cfg in models])
    try:
        built = future.result()
    except Exception as error:
        if executor.is_lost(error):
            raise UserError(
                "sweep.workers: a worker process died while it built the models: look at the "
                "machine's memory, or try sweep.executor=inline."
            ) from error
        raise
    for line in preflight.model_lines([label for label, _ in models], built):
        progress.console().print(line, style="dim")


def _run(
    plan: Plan,
    study: "optuna.Study",
    executor: Executor,
    master: DictConfig,
    hold: search.Hold,
    client: Any,
) -> None:
    _remember(plan, study, master)
    with _parent_run(plan, study) as run:
        study.set_user_attr("samerun.run", run.id)
        log_history(study, run)
        progress = console.progress(plan, study)
        why = ""
        try:
            ledger = Ledger(plan, study, run, client)
            why = Loop(plan, study, ledger, executor, progress, hold).run()
        except (KeyboardInterrupt, tracking.Terminated):
            progress.close()
            console.say_how_to_go_on(plan)
            raise
        finally:
            progress.close()
            console.write_report(plan, study, run)
            console.tag_best(study, run)
        console.say_best(progress, plan, study, run, why)


def _remember(plan: Plan, study: "optuna.Study", master: DictConfig) -> None:
    """Writes down what workers and whoever looks at the study later need to know."""
    sweep, epochs = plan.sweep, plan.frozen.max_epochs()
    each_epoch = config.epoch_metrics(plan.base, data.describe(plan.base.dataset))
    is_reported = len(plan.objectives) == 1 and plan.objectives[0] in each_epoch
    settings = search.TrialSettings(
        metric=plan.objectives[0] if is_reported else None,
        max_epochs=epochs,
        sweep=search.settings_json(sweep),
    )
    search.tell_workers(study, settings)
    study.pruner = search.build_pruner(sweep, plan.directions[0], epochs)
    for values in plan.first:
        study.enqueue_trial(values, skip_if_exists=True)
    study.set_user_attr("samerun.folder", str(plan.folder))
    study.set_user_attr("samerun.sampler", sweep.sampler.value)
    study.set_user_attr("samerun.pruner", sweep.pruner.value)
    text = config.safe_yaml(master)
    (plan.folder / "multirun.yaml").write_text(text, encoding="utf-8")


def _first(plan: Plan) -> tuple[dict[str, Any], ...]:
    """Returns the points to try first: values, or those of runs in the store.

    Raises:
        UserError: there is no such run, or a point is not in the space.
    """
    points: list[dict[str, Any]] = []
    for entry in plan.sweep.enqueue:
        if isinstance(entry, str):
            (run,) = tracking.find_runs([entry], uri=plan.base.tracking.uri)
            points.append(plan.space.point(run.params))
            search.check_point(plan.sweep, plan.space, points[-1])
        else:
            points.append(preflight.enqueued(plan.sweep, plan.space, entry))
    return tuple(points)


@contextlib.contextmanager
def _parent_run(plan: Plan, study: "optuna.Study") -> Iterator[tracking.Run]:
    """Opens the sweep's own run, or goes on with it: its ID is in its folder and in the study."""
    sweep = plan.sweep
    tags = {
        "samerun.study": plan.name,
        "samerun.sampler": sweep.sampler.value,
        "samerun.pruner": sweep.pruner.value,
        "samerun.n_trials": str(plan.n_trials),
        "samerun.objectives": ", ".join(plan.objectives),
    }
    uri = plan.base.tracking.uri
    known = study.user_attrs.get("samerun.run")
    if (plan.folder / RUN_FILE).exists():
        opened = tracking.reopen_run(plan.folder, uri=uri, tags=tags, take_over=True)
    elif known:  # the study is ours: whoever ran it elsewhere is silent
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
        if not known:
            run.log_params({**config.flatten(plan.base), **_params(plan)})
        yield run


def _params(plan: Plan) -> dict[str, str]:
    """What is swept, for the parent's page; settings that may change later are tags."""
    entries: Any = plan.space.as_dict()
    return {"sweep.space": str(entries)}
