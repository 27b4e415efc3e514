"""Reproduces a parent run: every child again, compared one by one, below a new parent run.

The children are trained one after the other in this process, or side by side in workers.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from samerun import config, provenance, tracking
from samerun import tags as tag
from samerun.config.instances import instances_of
from samerun.config.overrides import parse_overrides
from samerun.config.secrets import safe_yaml
from samerun.errors import UserError
from samerun.launch import workers
from samerun.launch.instances import describe_data, instance_tags, stored_children
from samerun.launch.summary import record
from samerun.origin import describe_origin
from samerun.process import resume_garbage_collection
from samerun.replay import reproduce
from samerun.replay.recorded import overrides_of
from samerun.replay.results import read_result
from samerun.replay.verdict import Agreement
from samerun.user_code import trust_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from samerun.replay.reproduce import Reproduction, ReproductionPlan
    from samerun.tracking import Run, StoredRun


@dataclass(frozen=True, kw_only=True)
class InstancesPlan:
    """What is to be rerun for a parent run.

    Args:
        parent: the plan of its own config, which is not trained itself.
        children: the plan of each child, in order.
    """

    parent: "ReproductionPlan"
    children: "tuple[ReproductionPlan, ...]"


def prepare_instances(
    run: "StoredRun",
    changes: "Sequence[str]",
    prepare: "Callable[[StoredRun, Sequence[str]], ReproductionPlan]",
) -> InstancesPlan:
    """Compares the circumstances of a parent run's children with those here, without training.

    Args:
        run: the parent run.
        changes: overrides of its config. Only `workers` among them says how many children are
            trained side by side: the recorded number may be that of a larger machine.
        prepare: does so for one run with overrides of its config.

    Raises:
        UserError: a child is missing or has not finished, or one cannot be trained here.
    """
    of_each = [one.text for one in parse_overrides(changes) if one.key != "workers"]
    of_parent = changes if len(of_each) < len(changes) else [*changes, "workers=1"]
    parent = prepare(run, of_parent)
    recorded, cfg = parent.recorded.cfg, parent.cfg
    if instances_of(cfg) != instances_of(recorded):
        raise UserError(
            "samerun reproduce: received another seed or number of seeds or folds than run "
            f"{run.id} has, expected its own: give other changes, or train a new run with them."
        )
    if cfg.workers > 1:
        workers.check_may_start()
    children = stored_children(run, dataclasses.replace(recorded, tracking=cfg.tracking))
    return InstancesPlan(
        parent=dataclasses.replace(parent, overrides=tuple(changes)),
        children=tuple(prepare(child, of_each) for child in children),
    )


@dataclass(frozen=True, kw_only=True)
class _Child:
    """A child to rerun; everything in it can be pickled.

    Args:
        plan: the plan of it.
        label: which one, such as `seed 3`.
        rtol: largest difference that counts as close, relative to the larger value.
        tags: set on the new run from the start.
        folder: the new run's own folder.
    """

    plan: "ReproductionPlan"
    label: str
    rtol: float
    tags: dict[str, str]
    folder: Path

    def reproduce(self, out: "Console") -> "Reproduction":
        """Reruns the child and compares it with the recorded one."""
        reproduce.load_training(self.plan)
        return reproduce.reproduce(
            self.plan, out, rtol=self.rtol, tags=self.tags, folder=self.folder
        )


def reproduce_instances(
    plan: InstancesPlan,
    out: "Console",
    *,
    rtol: float,
    show: "Callable[[Reproduction], None]",
) -> Agreement:
    """Reruns every child below a new parent run and compares each with the recorded one.

    Args:
        plan: the result of `prepare_instances`.
        out: where to show progress.
        rtol: largest difference that counts as close, relative to the larger value.
        show: called with each child when it has been compared.

    Returns:
        The verdict of the child that differs most; the new parent run is tagged with it.
    """
    first, cfg = plan.parent.recorded.run, plan.parent.cfg
    opened = tracking.open_run(
        cfg,
        tracking.fresh_folder(),
        name=reproduce.name_of_reproduction(first, cfg),
        tags={**instance_tags(cfg), tag.REPRODUCES: first.id},
        describe=lambda run: _describe(run, plan),
        needs_store=True,  # the children are created under it
    )
    with opened as run:
        each = [
            _Child(
                plan=child,
                label=instance.label,
                rtol=rtol,
                tags={"mlflow.parentRunId": run.id, tag.INSTANCE: instance.label},
                folder=run.folder / str(instance.number),
            )
            for instance, child in zip(instances_of(cfg), plan.children, strict=True)
        ]
        rerun = _one_by_one if cfg.workers == 1 else _side_by_side
        found = rerun(plan, each, out, show)
        trust = trust_names(cfg)
        record(run, cfg, [read_result(one.second, trust=trust) for one in found], out)
        whole = max((one.verdict.agreement for one in found), key=[*Agreement].index)
        run.set_tags({tag.VERDICT: whole.value})
    return whole


def _one_by_one(
    plan: InstancesPlan,
    each: "Sequence[_Child]",
    out: "Console",
    show: "Callable[[Reproduction], None]",
) -> "list[Reproduction]":
    """Reruns children in this process."""
    found = []
    reproduce.load_training(plan.parent)
    for number, child in enumerate(each, start=1):
        out.print(f"\n[bold]{number}/{len(each)}[/]  {child.label}")
        found.append(child.reproduce(out))
        show(found[-1])
    return found


def _side_by_side(
    plan: InstancesPlan,
    each: "Sequence[_Child]",
    out: "Console",
    show: "Callable[[Reproduction], None]",
) -> "list[Reproduction]":
    """Reruns children in workers."""
    resume_garbage_collection()
    tasks = [
        workers.Task(
            label=child.label,
            folder=child.folder,
            work=child.reproduce,
            if_it_dies="reproduce the run again with fewer workers, such as workers=1",
        )
        for child in each
    ]
    return workers.run_side_by_side(tasks, plan.parent.cfg.workers, out, finished=show)


def _describe(run: "Run", plan: InstancesPlan) -> None:
    """Writes the config of all children; that of another commit's code is in the children."""
    parent, first = plan.parent, plan.parent.recorded.run
    resolved = safe_yaml(config.to_yaml(parent.cfg))
    if parent.recorded_code or parent.recorded_packages:
        run.log_params(config.parameters(parent.cfg))
        run.log_text(resolved, "config/resolved.yaml")
        return
    composition = config.Composition(
        config=parent.cfg,
        composed=resolved,
        resolved=resolved,
        overrides=(*overrides_of(first), *parent.overrides),
    )
    describe_origin(run, composition, provenance.collect(f"samerun reproduce {first.id}"))
    run.set_tags(describe_data(parent.cfg))
