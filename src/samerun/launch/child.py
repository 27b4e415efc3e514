"""One child of a parent run, for a seed or fold: trained, resumed or kept, in whichever process."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from samerun import config, tracking
from samerun import tags as tag
from samerun.config.composition import composition_of
from samerun.config.instances import Instance
from samerun.errors import UserError
from samerun.launch.run import command_of
from samerun.process import quiet
from samerun.result import Result
from samerun.user_code import trust_names

if TYPE_CHECKING:
    from rich.console import Console

    from samerun.search import CurrentTrial
    from samerun.tracking import Run, StoredRun


@dataclass(frozen=True, kw_only=True)
class Child:
    """A child of a parent run, and how it is trained; everything in it can be pickled.

    Args:
        instance: which one.
        composition: its config, that of an ordinary run.
        parent_id: ID of the parent run.
        parent_name: its name.
        folder: the child's own folder, in that of its parent.
        changes: overrides that a resume gave, such as `training.epochs=20`.
        trusted: modules that stored configs may import, and `data`.
        take_over: it is resumed although it is marked RUNNING on another machine, which no longer
            exists.
    """

    instance: Instance
    composition: config.Composition
    parent_id: str
    parent_name: str
    folder: Path
    changes: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    take_over: bool = False


def child_of(composition: config.Composition, instance: Instance) -> config.Composition:
    """Returns the composition of a child: that of an ordinary run.

    Args:
        composition: of all instances.
        instance: which one.
    """
    key, _, value = instance.override.partition("=")
    changes = {"seeds": "null", "folds": "null", "trial": "null", "workers": "null", key: value}
    return composition_of(composition, instance.of(composition.config), changes)


def train_child(child: Child, out: "Console", *, trial: "CurrentTrial | None" = None) -> Result:
    """Trains a child, resumes it, or returns the result of one that has finished.

    Args:
        child: which one.
        out: where to show progress.
        trial: the trial of a sweep that it reports to.

    Raises:
        UserError: a run in its place is not the child that the parent run asks for.
    """
    from samerun import retention, search, training

    stored = _find_child(child)
    trial = search.NO_TRIAL if trial is None else trial
    if stored is not None:
        return _resume_child(child, stored, out, trial)
    composition = child.composition
    opened = tracking.open_run(
        composition.config,
        child.folder,
        name=f"{child.instance.label.replace(' ', '=')} · {child.parent_name}",
        tags={"mlflow.parentRunId": child.parent_id, tag.INSTANCE: child.instance.label},
        describe=lambda run: _describe_child(run, composition),
    )
    with opened as run:
        result = training.start(composition, run, out, trial=trial, shows_config=False)
    retention.after_success(composition.config, child.folder)
    return result


def train_in_worker(child: Child, out: "Console") -> Result:
    """Trains a child in a worker process, which has not imported TensorFlow yet.

    Args:
        child: which one.
        out: where to show progress.

    Returns:
        The result without the model, which another process does not receive.
    """
    with quiet():
        from samerun import training  # noqa: F401  (loads TensorFlow)
    return dataclasses.replace(train_child(child, out), model=None)


def _describe_child(run: "Run", composition: config.Composition) -> None:
    from samerun import provenance
    from samerun.origin import describe_origin

    describe_origin(run, composition, provenance.collect(command_of(composition)))


def _find_child(child: Child) -> "StoredRun | None":
    """Returns the run of a child that has begun: the one in its folder, else in the store."""
    cfg = child.composition.config
    run_id = tracking.run_in(child.folder)
    if run_id is not None:
        tracking.deliver(child.folder, uri=cfg.tracking.uri)
        found = tracking.run_in(child.folder) or run_id
        return tracking.find_runs([found], uri=cfg.tracking.uri)[0]
    known = {"mlflow.parentRunId": child.parent_id, tag.INSTANCE: child.instance.label}
    return next(iter(tracking.find_by_tags(cfg, known)), None)


def _resume_child(
    child: Child, stored: "StoredRun", out: "Console", trial: "CurrentTrial"
) -> Result:
    """Trains the rest of a child, if there is any.

    Raises:
        UserError: it is not the child that this parent run asks for.
    """
    from samerun.replay import resume
    from samerun.replay.results import read_result

    cfg = child.composition.config
    uri = cfg.tracking.uri
    plan = resume.plan_resume(
        stored,
        child.changes,
        trusted=child.trusted,
        take_over=child.take_over,
        uri=uri,
    )
    check_is_child(child.parent_id, stored.id, plan.composition.config, cfg)
    if plan.nothing_left is not None:
        out.print("has finished", style="dim")
        return read_result(stored, trust=trust_names(cfg), uri=uri)
    resume.check_data(plan)
    out.print(f"resuming {plan.source}", style="dim", markup=False)
    return resume.resume(plan, out, trial=trial)


def check_is_child(parent: str, child: str, found: config.Config, expected: config.Config) -> None:
    """Checks that a run below a parent run has the config of the child that the parent asks for.

    Args:
        parent: ID of the parent run.
        child: ID of the run.
        found: its config.
        expected: that of the child.

    Raises:
        UserError: it has another config.
    """
    if config.fingerprint(found) != config.fingerprint(expected):
        raise UserError(
            f"Run {child} is below run {parent} but has another config than its seeds or folds "
            "ask for, so samerun did not put it there: delete it, then resume."
        )
