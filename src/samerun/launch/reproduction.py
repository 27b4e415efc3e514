"""Reproduces a parent run: every child again, compared one by one, below a new parent run."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samerun import config, provenance, tracking
from samerun import tags as tag
from samerun.config.instances import instances_of
from samerun.config.secrets import safe_yaml
from samerun.errors import UserError
from samerun.launch.instances import describe_data, instance_tags, stored_children
from samerun.launch.summary import record
from samerun.origin import describe_origin
from samerun.replay import reproduce
from samerun.replay.recorded import overrides_of
from samerun.replay.results import read_result
from samerun.replay.verdict import Agreement
from samerun.user_code import trust_names

if TYPE_CHECKING:
    from collections.abc import Callable

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
    run: "StoredRun", prepare: "Callable[[StoredRun], ReproductionPlan]"
) -> InstancesPlan:
    """Compares the circumstances of a parent run's children with those here, without training.

    Args:
        run: the parent run.
        prepare: does so for one run.

    Raises:
        UserError: a child is missing or has not finished, or one cannot be trained here.
    """
    parent = prepare(run)
    recorded, cfg = parent.recorded.cfg, parent.cfg
    if instances_of(cfg) != instances_of(recorded):
        raise UserError(
            "samerun reproduce: received another seed or number of seeds or folds than run "
            f"{run.id} has, expected its own: give other changes, or train a new run with them."
        )
    children = stored_children(run, dataclasses.replace(recorded, tracking=cfg.tracking))
    return InstancesPlan(parent=parent, children=tuple(map(prepare, children)))


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
    agreements, results = [], []
    with opened as run:
        for instance, child in zip(instances_of(cfg), plan.children, strict=True):
            out.print(f"\n[bold]{instance.number + 1}/{len(plan.children)}[/]  {instance.label}")
            found = reproduce.reproduce(
                child,
                out,
                rtol=rtol,
                tags={"mlflow.parentRunId": run.id, tag.INSTANCE: instance.label},
                folder=run.folder / str(instance.number),
            )
            show(found)
            agreements.append(found.verdict.agreement)
            results.append(read_result(found.second, trust=trust_names(child.cfg)))
        record(run, cfg, results, out)
        whole = max(agreements, key=[*Agreement].index)
        run.set_tags({tag.VERDICT: whole.value})
    return whole


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
