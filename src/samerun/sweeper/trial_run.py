"""Trains the run that the sweep created for a trial, from its last checkpoint if there is one."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from samerun import launch, search, stopwatch, tracking
from samerun import tags as tag
from samerun.config.instances import instances_of, kind_of
from samerun.errors import StoreUnavailable, first_line
from samerun.process import quiet
from samerun.search.objectives import value_of
from samerun.user_code import DATA, trust_names

if TYPE_CHECKING:
    from rich.console import Console

    from samerun import config
    from samerun.config.instances import Instance
    from samerun.result import InstancesResult, Result


def train_trial(node: Any) -> "Result | InstancesResult":
    """Trains the trial that Hydra composed, in the folder that Hydra chose.

    Args:
        node: the composed config; its `trial` says which one it is.

    Raises:
        StoreUnavailable: a store did not respond when the trial started.
    """
    from samerun import retention
    from samerun.replay import restart
    from samerun.replay.resume import find_state

    composition, folder = launch.parse_task(node)
    cfg = composition.config
    assert cfg.trial is not None
    with contextlib.ExitStack() as stack:
        with _stores_may_be_unavailable():
            trial = search.current_trial(cfg.trial)
            (stored,) = tracking.find_runs([cfg.trial.run], uri=cfg.tracking.uri)
            _discard_of_children(stored, cfg)
            restart.discard_checkpoints_if_requested(stored, uri=cfg.tracking.uri)
            state = find_state(stored, cfg, uri=cfg.tracking.uri) if stored.is_started else None
            reopened = tracking.reopen_run(
                folder,
                run_id=stored.id,
                uri=cfg.tracking.uri,
                tags={tag.RESUMED: str(stored.num_resumed + 1)} if state else {},
                take_over=True,  # the sweep knows that no other process works on it
                patience=cfg.tracking.patience_seconds,
            )
            with stopwatch.part("tracking"):
                run = stack.enter_context(reopened)
        with stopwatch.part("imports"), quiet():
            from samerun import console, training
        out = console.make_console()
        result: Result | InstancesResult
        if kind_of(cfg) is not None:
            result = _train_instances(composition, run, out, trial)
        else:
            command = launch.command_of(composition)
            result = training.start(
                composition, run, out, command=command, state=state, trial=trial
            )
    retention.after_success(cfg, folder)
    launch.show_end(run, result, out)
    return result


def _train_instances(
    composition: "config.Composition", run: tracking.Run, out: "Console", trial: search.CurrentTrial
) -> "InstancesResult":
    """Trains the runs of a trial with `seeds` or `folds`, below its own; those that are missing."""
    from samerun import console, logbook, provenance

    console.show_config(composition.config, out)
    found = provenance.collect(launch.command_of(composition))
    logbook.describe_origin(run, composition, found)
    cfg = composition.config
    run.set_tags({**launch.instance_tags(cfg), **launch.describe_data(cfg)})
    children = launch.Children(
        run=run,
        composition=composition,
        out=out,
        trusted=[*trust_names(cfg), DATA],  # the sweep's own config names them
        take_over=True,  # the sweep knows that no other process works on it
        trial_of=lambda one: search.InstanceTrial(trial, is_first=one.number == 0),
        finished=lambda one, result: report_instance(trial, one, result, len(instances_of(cfg))),
    )
    return launch.train_children(children)


def report_instance(
    trial: search.CurrentTrial, instance: "Instance", result: "Result", num_instances: int
) -> None:
    """Reports the result of one seed or fold, where these are the steps of the pruner.

    Args:
        trial: the trial.
        instance: which of its seeds or folds.
        result: that of its run.
        num_instances: how many the trial has.

    Raises:
        optuna.TrialPruned: the trial is worse than the best one; not after its last instance.
    """
    if trial.by_instance is None:
        return
    (name,), (direction,) = trial.by_instance.names, trial.by_instance.directions
    value = value_of(result, name, direction, from_best=trial.by_instance.from_best)
    trial.report(value, instance.number + 1)
    if instance.number + 1 < num_instances and trial.should_stop():
        trial.raise_if_stopped()


def _discard_of_children(stored: tracking.StoredRun, cfg: "config.Config") -> None:
    """Discards the checkpoints of a trial's unfinished children, if it is to start from scratch."""
    from samerun.replay import restart

    if kind_of(cfg) is None or stored.tags.get(tag.RESTARTS) != "true":
        return
    for child in tracking.find_by_tags(cfg, {"mlflow.parentRunId": stored.id}):
        if child.status != "FINISHED":
            marked = dataclasses.replace(child, tags={**child.tags, tag.RESTARTS: "true"})
            restart.discard_checkpoints_if_requested(marked, uri=cfg.tracking.uri)


@contextlib.contextmanager
def _stores_may_be_unavailable() -> Iterator[None]:
    """Distinguishes an unavailable store from a fault of the trial.

    Raises:
        StoreUnavailable: a store does not respond.
    """
    try:
        yield
    except Exception as error:
        if not search.was_unavailable(error):
            raise
        raise StoreUnavailable(str(error), reason=first_line(error)) from error
