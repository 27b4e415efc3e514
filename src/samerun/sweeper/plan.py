"""The plan of a sweep, complete before its first trial."""

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from samerun import config, identity, search, tracking
from samerun import tags as tag
from samerun.config.checkpoint import Trial
from samerun.config.composition import parse_sweep
from samerun.config.schema import available_cores
from samerun.config.sweep import ExecutorKind, Sweep
from samerun.errors import UserError
from samerun.process import graphics_cards
from samerun.redaction import redact
from samerun.search.objectives import (
    Objectives,
    check_objective_names,
    direction_notes,
    loss_keys,
    loss_notes,
)
from samerun.sweeper import learning, preflight
from samerun.sweeper.learning import Learned
from samerun.sweeper.trial_configs import (
    TrialConfigs,
    TrialTask,
    compose_branch,
    fill_missing,
    parsed,
)

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """Everything that a sweep is going to do.

    Args:
        settings: the settings of the sweep.
        space: the search space.
        configs: the configs of its trials.
        base: the config that all trials share.
        objectives: the objectives that trials are compared by.
        context: Hydra's loader and callbacks.
        master: what Hydra composed for the sweep itself.
        name: the study's name.
        folder: the sweep's folder.
        storage: the study's address, password included.
        backend: the opened storage.
        client: MLflow's client of the tracking store.
        n_trials: total number of trials.
        workers: number of workers to start.
        enqueued: points to try before any other.
        models: a label and a config for each different model.
        notes: what was decided for the user, one sentence each.
        learned: what it takes from earlier studies.
        confirms: name of the search whose best trials are trained again, below its own run; empty
            for a search.
    """

    settings: Sweep
    space: search.Space
    configs: TrialConfigs
    base: config.Config
    objectives: Objectives
    context: HydraContext
    master: DictConfig
    name: str
    folder: Path
    storage: str
    backend: "optuna.storages.BaseStorage"
    client: Any
    n_trials: int
    workers: int
    enqueued: tuple[dict[str, Any], ...]
    models: tuple[tuple[str, config.Config], ...]
    notes: tuple[str, ...]
    learned: Learned = field(default_factory=Learned)
    confirms: str = ""

    def tracking_uri(self) -> str:
        """Returns the address of the tracking store, password included."""
        return tracking.resolve_uri(self.base.tracking.uri)

    def study_start(self) -> search.StudyStart:
        """Returns what has to be the same when the study is resumed."""
        return _study_start(self.settings, self.space, self.objectives, self.configs)

    def task(self, number: int, values: dict[str, Any], run_id: str) -> TrialTask:
        """Returns a trial as a worker receives it."""
        trial = Trial(study=self.name, storage=redact(self.storage), number=number, run=run_id)
        # On another machine the worker chooses the folder.
        is_remote = self.settings.cluster is not None
        folder = Path() if is_remote else self.folder
        node = self.configs.node(values, trial, folder)
        if is_remote:
            uri = self.tracking_uri()
            node.tracking.uri = uri if redact(uri) == uri else None  # from its environment
        return TrialTask(
            number=number,
            node=node,
            # Its loader caches types that are made at run time and cannot be pickled; `run_job`
            # asks for the callbacks only.
            context=replace(self.context, config_loader=None),
            job_name=str(self.master.hydra.job.name),
            folder=str(folder / str(number)),
            trial=trial,
            overrides=tuple(self.configs.overrides(values)),
            objectives=self.objectives,
            constraints=search.parse_constraints(self.settings),
        )


@dataclass(frozen=True)
class CheckedSweep:
    """What is known of a sweep whose branches are all checked, before a store is opened.

    Args:
        settings: the settings of the sweep.
        master: what Hydra composed for the sweep itself.
        storage: the study's address, password included.
        folder: of the study, made when it is first started.
        n_trials: total number of trials.
        workers: number of workers to start.
    """

    settings: Sweep
    master: DictConfig
    storage: str
    folder: Path
    n_trials: int
    workers: int


def build_plan(
    context: HydraContext,
    master: DictConfig,
    arguments: Sequence[str],
    checked: Callable[[CheckedSweep], None] = lambda _: None,
) -> SweepPlan:
    """Checks everything that can be checked before the first trial, and decides the rest.

    Args:
        context: Hydra's loader and callbacks.
        master: what Hydra composed for the sweep itself.
        arguments: the overrides, without those of Hydra's own settings.
        checked: called when every branch is checked; what follows takes seconds.

    Raises:
        UserError: something is wrong, does not fit, or cannot be reached.
    """
    settings = parse_sweep(master)
    check_objective_names(settings)
    compose = functools.cache(functools.partial(compose_branch, context, master))
    space = _space(context, settings, arguments, compose)
    workers = _num_workers(settings)
    configs = TrialConfigs(compose, space, _num_threads(settings, workers))
    base = configs.base()
    objectives = Objectives.of(settings, base)
    settings, chosen = search.choose_sampler(settings, space, len(objectives.names))
    name, storage = _name(settings, master, base), search.storage_url(settings.storage)
    tracking_uri = tracking.resolve_uri(base.tracking.uri)
    _check_addresses(settings, storage, tracking_uri)
    models = preflight.check_branches(settings, configs, space)
    n_trials = search.num_trials(settings, space)
    folder = _folder(master, name)
    checked(CheckedSweep(settings, master, storage, folder, n_trials, workers))
    search.check_options(settings, objectives.directions, configs.max_epochs())
    client = tracking.connect(tracking_uri)
    enqueued = preflight.enqueued_points(settings, space, base.tracking.uri)
    with search.storage_errors(storage):
        backend = search.open_storage(storage)
        study = search.find_study(backend, name)
        if study is not None:
            configs, folder = _as_started(study, settings, space, objectives, configs, folder)
        learned = _learned(settings, space, objectives, configs, backend, name, study)
    return SweepPlan(
        settings=settings,
        space=space,
        configs=configs,
        base=configs.base(),
        objectives=objectives,
        context=context,
        master=master,
        name=name,
        folder=folder,
        storage=storage,
        backend=backend,
        client=client,
        n_trials=search.num_trials(settings, space, learned.num_lent),
        workers=workers,
        enqueued=(*enqueued, *learned.points),
        models=tuple(models),
        notes=(*chosen, *_notes(settings, space, objectives, configs), *learned.notes),
        learned=learned,
    )


def _space(
    context: HydraContext,
    settings: Sweep,
    arguments: Sequence[str],
    compose: Callable[[tuple[str, ...]], DictConfig],
) -> search.Space:
    options = context.config_loader.get_group_options
    firsts = search.first_choices(arguments, settings.params, options)
    return search.parse_space(
        arguments,
        settings.params,
        compose=lambda given: parsed(fill_missing(compose(tuple(given)), firsts), given).config,
        options=options,
    )


def _notes(
    settings: Sweep, space: search.Space, objectives: Objectives, configs: TrialConfigs
) -> tuple[str, ...]:
    return (
        *space.notes,
        *search.sampler_notes(settings, space),
        *search.constraint_notes(settings),
        *direction_notes(objectives),
        *_loss_notes(space, objectives, configs),
    )


def _loss_notes(space: search.Space, objectives: Objectives, configs: TrialConfigs) -> list[str]:
    from samerun import data  # importing NumPy takes longer than the checks before

    searched = loss_keys([entry.key for entry in space.entries], configs.configs())
    cfg = configs.base()
    return loss_notes(searched, objectives, cfg, data.describe(cfg.dataset)) if searched else []


def _num_workers(settings: Sweep) -> int:
    if settings.executor is ExecutorKind.inline:
        return 1
    return settings.workers or len(graphics_cards()) or available_cores()


def _num_threads(settings: Sweep, workers: int) -> int:
    if settings.cluster is not None:
        return settings.dask.cores  # part of a run, so the same on every machine
    return max(1, available_cores() // workers)


def _name(settings: Sweep, master: DictConfig, base: config.Config) -> str:
    experiment = master.hydra.runtime.choices.get("experiment")
    what = str(experiment or f"{base.model.kind}-{base.dataset.kind}").replace("/", "-")
    name = settings.study or f"{what}-{datetime.now():%Y-%m-%d-%H-%M-%S}"
    if not search.is_study_name(name):
        raise UserError(
            f"sweep.study: received '{name}', expected letters, digits, '.', '_', '+' and '-': it "
            "also names a folder."
        )
    return name


def _folder(master: DictConfig, name: str) -> Path:
    overrides = OmegaConf.to_container(master.hydra.overrides.hydra)
    assert isinstance(overrides, list)
    is_chosen = any(str(override).startswith("hydra.sweep.dir=") for override in overrides)
    return (Path(str(master.hydra.sweep.dir)) if is_chosen else Path("multirun") / name).absolute()


def _check_addresses(settings: Sweep, storage: str, tracking_uri: str) -> None:
    """Checks that the study and the runs are in different databases, which all workers reach.

    Raises:
        UserError: they are not.
    """
    for key, address, instead in (
        ("sweep.storage", storage, "a database that all workers reach: postgresql://…"),
        ("tracking.uri", tracking_uri, "a server that all workers reach: http://…"),
    ):
        is_file = urlsplit(address).scheme.partition("+")[0] in ("sqlite", "file")
        if settings.cluster is not None and is_file:
            raise UserError(
                f"{key}: received {redact(address)} with a cluster, expected {instead}."
            )
    if storage.partition("?")[0] == tracking_uri.partition("?")[0]:
        raise UserError(
            f"sweep.storage: received {redact(storage)}, which holds the runs: "
            "give the study a separate database."
        )


def _as_started(
    study: "optuna.Study",
    settings: Sweep,
    space: search.Space,
    objectives: Objectives,
    configs: TrialConfigs,
    folder: Path,
) -> tuple[TrialConfigs, Path]:
    """Returns the configs with the threads that the study was started with, and its folder.

    Raises:
        UserError: other settings have changed, and `sweep.extend` does not allow that.
    """
    before = search.study_start(study)
    if before is None:
        return configs, folder
    if before.threads != configs.threads:
        configs = configs.with_threads(before.threads)
    known = Path(study.user_attrs.get(tag.STUDY_FOLDER, folder))
    now = _study_start(settings, space, objectives, configs)
    changes = [*space.difference(before.space), *search.differences(before, now)]
    if changes and settings.extend:
        preflight.check_values(study, space)
    elif changes:
        search.refuse_changes(study.study_name, changes)
    return configs, known if known.is_dir() else folder


def _learned(
    settings: Sweep,
    space: search.Space,
    objectives: Objectives,
    configs: TrialConfigs,
    backend: "optuna.storages.BaseStorage",
    name: str,
    study: "optuna.Study | None",
) -> Learned:
    """Returns what a study takes from earlier ones.

    Raises:
        UserError: there is no such study, or nothing to learn from it.
    """
    start = _study_start(settings, space, objectives, configs)
    return learning.learn(settings, start, configs, space, name=name, backend=backend, study=study)


def _study_start(
    settings: Sweep, space: search.Space, objectives: Objectives, configs: TrialConfigs
) -> search.StudyStart:
    return search.StudyStart(
        space=space.as_dict(),
        objectives=list(objectives.names),
        directions=list(objectives.directions),
        constraints=[str(one) for one in search.parse_constraints(settings)],
        base=configs.flattened(),
        branches=configs.digest(),
        threads=configs.threads,
        code=_code(configs),
    )


def _code(configs: TrialConfigs) -> dict[str, str]:
    found: dict[str, str] = {}
    for cfg in configs.configs():
        found |= identity.code_files(cfg)
    own = {path: digest for path, digest in found.items() if not path.startswith(identity.PACKAGE)}
    whole = hashlib.sha256(json.dumps(sorted(found.items() - own.items())).encode())
    return {**own, "samerun": whole.hexdigest()}
