"""Several runs of one config, one for each seed or fold, below a parent run with their mean.

Each child is an ordinary run, with a config of its own that anyone can type. The parent has the
config of all of them; its folder has theirs, by number. So `kill -9` may interrupt it anywhere:
a child that has finished is kept, one that has begun is resumed, and the others are trained.
They are trained one after the other in this process, or side by side in workers.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from samerun import config, tracking
from samerun import tags as tag
from samerun.command_line import line
from samerun.config.instances import Instance, instances_of, kind_of
from samerun.config.overrides import parse_overrides
from samerun.errors import UserError
from samerun.launch import workers
from samerun.launch.child import Child, check_is_child, child_of, train_child, train_in_worker
from samerun.launch.run import command_of, find_existing, print_resume_hint, show_end
from samerun.launch.summary import record
from samerun.process import graceful_stop, quiet, resume_garbage_collection
from samerun.result import InstancesResult, Result
from samerun.user_code import DATA, trust_names

if TYPE_CHECKING:
    from rich.console import Console

    from samerun.replay.resume import ResumePlan
    from samerun.search import CurrentTrial
    from samerun.tracking import Run, StoredRun


@dataclass(frozen=True, kw_only=True)
class Children:
    """How the children of a parent run are trained.

    Args:
        run: the parent run, open.
        composition: the config of all of them.
        out: where to show progress.
        changes: overrides that a resume gave, such as `training.epochs=20`.
        trusted: modules that stored configs may import, and `data`.
        take_over: children marked RUNNING on another machine that no longer exists are resumed.
        trial_of: returns the trial of a sweep that a child reports to; by default none.
        finished: called with each child's result in their order, also of one that was kept.
    """

    run: "Run"
    composition: config.Composition
    out: "Console"
    changes: Sequence[str] = ()
    trusted: Sequence[str] = ()
    take_over: bool = False
    trial_of: "Callable[[Instance], CurrentTrial] | None" = None
    finished: Callable[[Instance, Result], None] | None = None


def train_instances(
    composition: config.Composition,
    folder: Path,
    *,
    parent: "Run | None" = None,
    varied: Collection[str] = (),
) -> "InstancesResult | StoredRun":
    """Trains one run for each seed or fold of a config, below a new parent run.

    `tracking.if_exists` decides what happens if the same parent run is in the store already.

    Args:
        composition: a checked config with `seeds` or `folds`.
        folder: the parent run's own folder; made if missing.
        parent: the run above the parent run, which has shown the config.
        varied: the keys by which it differs from the other runs below that one.

    Returns:
        The result; or the parent run in the store, if nothing was trained.

    Raises:
        StoreUnavailable: the children cannot be created under it.
        UserError: workers cannot start from here.
    """
    from samerun import provenance
    from samerun.origin import describe_origin

    cfg = composition.config
    if cfg.workers > 1:
        workers.check_may_start()
    done, unfinished = find_existing(cfg)
    if unfinished is not None:
        return resume_instances(unfinished, trusted=[*trust_names(cfg), DATA])
    if done is not None:
        return done
    data_tags = describe_data(cfg)
    found = provenance.collect(command_of(composition))

    def describe(run: "Run") -> None:
        describe_origin(run, composition, found)
        run.set_tags(data_tags)

    above = {} if parent is None else {"mlflow.parentRunId": parent.id}
    opened = tracking.open_run(
        cfg,
        folder,
        name=tracking.run_name(cfg, composition.overrides, varied),
        tags={**instance_tags(cfg), **above},
        describe=describe,
        needs_store=True,  # the children are created under it
    )
    with graceful_stop(), print_resume_hint(folder, cfg, always=True), opened as run:
        with quiet():
            from samerun import console

            _load_tensorflow(cfg)
        out = console.make_console()
        if parent is None:
            console.show_config(cfg, out)
        result = train_children(Children(run=run, composition=composition, out=out))
    show_end(run, result, out)
    return result


def resume_instances(
    plan: "ResumePlan", *, changes: Sequence[str] = (), trusted: Sequence[str] = ()
) -> InstancesResult:
    """Trains what is left of a parent run: its children that have not finished.

    Args:
        plan: how the parent run is resumed.
        changes: the overrides of the resume.
        trusted: modules that stored configs may import, and `data`.

    Raises:
        UserError: the data is not what the children that have begun were trained with.
    """
    from samerun.replay import resume

    stored, recorded = plan.run, plan.composition.config
    # Children belong to the store that their parent run was found in, whatever it recorded.
    cfg = dataclasses.replace(
        recorded, tracking=dataclasses.replace(recorded.tracking, uri=plan.uri)
    )
    composition = config.Composition(
        config=cfg,
        composed=plan.composition.composed,
        resolved=plan.composition.resolved,
        overrides=_recorded_overrides(plan),
    )
    reopened = tracking.reopen_run(
        plan.folder,
        run_id=stored.id,
        uri=plan.uri,
        tags={tag.RESUMED: str(stored.num_resumed + 1)},
        take_over=plan.take_over,
        patience=cfg.tracking.patience_seconds,
    )
    with graceful_stop(), print_resume_hint(plan.folder, cfg, always=True), reopened as run:
        with quiet():
            resume.check_data(plan)
            from samerun import console

            _load_tensorflow(cfg)
        out = console.make_console()
        run.log_text(plan.composition.resolved, "config/resolved.yaml")
        children = Children(
            run=run,
            composition=composition,
            out=out,
            changes=changes,
            trusted=trusted,
            take_over=plan.take_over,
        )
        result = train_children(children)
    show_end(run, result, out)
    return result


def _load_tensorflow(cfg: config.Config) -> None:
    """Imports TensorFlow before the first child, unless workers do."""
    if cfg.workers == 1:
        from samerun import training  # noqa: F401


def instance_tags(cfg: config.Config) -> dict[str, str]:
    """Returns the tags of the parent run of a config with `seeds` or `folds`."""
    return {
        tag.INSTANCES: str(kind_of(cfg)),
        tag.NUM_INSTANCES: str(len(instances_of(cfg))),
    }


def describe_data(cfg: config.Config) -> dict[str, str]:
    """Returns the tags of a parent run's data: that of its first child.

    Args:
        cfg: its config, in which the fold is that of the first child.

    Raises:
        UserError: the data is missing, or cannot be divided into these folds.
    """
    from samerun import data, identity

    with quiet():
        digests = data.digests(cfg.dataset)
    whole = identity.of_run(cfg, digests)
    return {tag.FINGERPRINT: whole, **tag.digests_tag(digests)}


def _recorded_overrides(plan: "ResumePlan") -> tuple[str, ...]:
    """Returns the overrides that the parent run was started with, and those of the resume."""
    from samerun.replay.recorded import overrides_of

    return (*overrides_of(plan.run, uri=plan.uri), *plan.composition.overrides)


def train_children(children: Children) -> InstancesResult:
    """Trains the children of an open parent run that have not finished, and records their mean.

    Args:
        children: how.
    """
    out, instances = children.out, instances_of(children.composition.config)
    first, last = instances[0].label, instances[-1].label
    out.print(f"{len(instances)} runs of this config, from {first} to {last}")
    each = [_child(children, instance) for instance in instances]
    cfg = children.composition.config
    train = _train_one_by_one if cfg.workers == 1 else _train_side_by_side
    return record(children.run, cfg, train(children, each), out)


def _child(children: Children, instance: Instance) -> Child:
    parent = children.run
    return Child(
        instance=instance,
        composition=child_of(children.composition, instance),
        parent_id=parent.id,
        parent_name=parent.name,
        folder=parent.folder / str(instance.number),
        changes=tuple(
            one for one in children.changes if parse_overrides([one])[0].key != "workers"
        ),
        trusted=tuple(children.trusted),
        take_over=children.take_over,
    )


def _train_one_by_one(children: Children, each: Sequence[Child]) -> list[Result]:
    """Trains children in this process."""
    out, results = children.out, []
    for child in each:
        instance = child.instance
        out.print(f"\n[bold]{instance.number + 1}/{len(each)}[/]  {instance.label}")
        trial = children.trial_of(instance) if children.trial_of else None
        result = train_child(child, out, trial=trial)
        if children.finished is not None:
            children.finished(instance, result)
        results.append(dataclasses.replace(result, model=None))
    return results


def _train_side_by_side(children: Children, each: Sequence[Child]) -> list[Result]:
    """Trains children in workers; a sweep, whose trials they could not report to, has none."""
    from samerun.replay.recorded import clean

    resume_garbage_collection()
    cfg, out = children.composition.config, children.out
    rest = line("resume", children.run.id, "workers=1", trust=trust_names(cfg))
    tasks = [
        workers.Task(
            label=child.instance.label,
            folder=child.folder,
            work=functools.partial(train_in_worker, child),
            if_it_dies=f"train what is left with fewer workers, `{rest}`",
        )
        for child in each
    ]

    def show(result: Result) -> None:
        out.print(clean(result.sentence, 400), markup=False)  # may be of the store

    return workers.run_side_by_side(tasks, cfg.workers, out, finished=show)


def stored_children(parent: "StoredRun", cfg: config.Config) -> "list[StoredRun]":
    """Returns the finished children of a stored parent run, one for each seed or fold, in order.

    Args:
        parent: the parent run.
        cfg: its config, which names the store, and the user's own code that is trusted.

    Raises:
        UserError: one is missing, has not finished, or has another config.
    """
    from samerun.replay.recorded import clean, read

    found = []
    for instance in instances_of(cfg):
        known = {"mlflow.parentRunId": parent.id, tag.INSTANCE: instance.label}
        runs = tracking.find_by_tags(cfg, known)
        done = next((run for run in runs if run.status == "FINISHED"), None)
        if done is None:
            command = line("resume", parent.id, trust=trust_names(cfg))
            raise UserError(
                f"Run {parent.id} ({clean(parent.name)}) has not finished: {instance.label} is "
                f"missing: train what is left with `{command}`."
            )
        check_is_child(parent.id, done.id, read(done).cfg, instance.of(cfg))
        found.append(done)
    return found
