"""What `samerun show` says about a recorded run, as plain values."""

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from samerun import tags as tag
from samerun import tracking
from samerun.command_line import line
from samerun.config import compose, flatten
from samerun.config.root import has_meaning
from samerun.config.schema import options
from samerun.config.training import should_rise
from samerun.errors import UserError
from samerun.replay.trust import given_here
from samerun.report import run_rows
from samerun.report.run_list import RunList, children_of
from samerun.tracking import Catalog, StoredRun, local, store
from samerun.tracking.ids import is_complete, short_ids
from samerun.tracking.stored import artifact_sizes
from samerun.tracking.stored_run import FINISHED, parents

_GROUPS = ("model", "dataset", "optimizer", "schedule")
_NOT_TRAINING = ("speed/", "system/", "sweep/")
_PROVENANCE = "provenance/provenance.json"
_MOST_BYTES = 5_000_000


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A metric that was logged more than once.

    Args:
        metric: its name.
        points: steps and values.
    """

    metric: str
    points: tuple[tuple[int, float], ...]

    @property
    def last(self) -> float:
        """The last value."""
        return self.points[-1][1]

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and value of the best point, the first of equals; `None` if none is finite."""
        finite = [point for point in self.points if math.isfinite(point[1])]
        choose = max if should_rise(self.metric) else min
        return choose(finite, key=lambda point: point[1], default=None)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A recorded run.

    Args:
        run: as the store has it.
        short: the beginning of its ID, which no other run shares.
        experiment: name or ID of its MLflow experiment.
        config: its parameters that are not the default of its model, dataset and so on; all groups.
        provenance: what it recorded about code, packages and machine, as it is in the store.
        curves: the metrics of each epoch.
        finals: the metrics that were logged once.
        artifacts: their sizes by path; `None` where only MLflow can list them.
        children: the runs that belong to it, the best first.
        relations: `forked from 1a2b3c4d` and so on.
        commands: what to type next, each with what it does.
    """

    run: StoredRun
    short: str
    experiment: str
    config: Mapping[str, str]
    provenance: Mapping[str, Any]
    curves: tuple[Curve, ...]
    finals: Mapping[str, float]
    artifacts: Mapping[str, int | None] | None
    children: RunList
    relations: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]


def summarize(catalog: Catalog, run: StoredRun) -> Summary:
    """Returns what is known about a run.

    Args:
        catalog: the store.
        run: the run, with all of its values.
    """
    short = short_ids([one.id for one in catalog.runs])
    children = children_of(catalog, run)
    histories = catalog.histories(run.id)
    artifacts = _artifacts(run, catalog.uri)
    shown = {k: points for k, points in histories.items() if not k.startswith(_NOT_TRAINING)}
    return Summary(
        run=run,
        short=short.get(run.id, run.id),
        experiment=catalog.experiment_name(run.experiment_id),
        config={} if run.is_group else not_default(run.params),
        provenance=_provenance(run, catalog.uri, artifacts or ()),
        curves=tuple(
            Curve(metric=key, points=tuple(points))
            for key, points in shown.items()
            if len(points) > 1
        ),
        finals={key: points[-1][1] for key, points in shown.items() if len(points) == 1},
        artifacts=artifacts,
        children=children,
        relations=tuple(_relations(run, catalog, short)),
        commands=tuple(_commands(run, children, catalog, short)),
    )


def _artifacts(run: StoredRun, uri: str) -> dict[str, int | None] | None:
    """Returns the size of each artifact by its path; `None` if only MLflow can list them."""
    root = local.artifact_folder(run, uri)
    if root is not None:
        return local.sizes(root)
    return None if uri.startswith("sqlite") else artifact_sizes(tracking.connect(uri), run)


def _provenance(run: StoredRun, uri: str, artifacts: Collection[str]) -> dict[str, Any]:
    """Returns what a run recorded about its origin; empty if it is not there or no plain JSON."""
    if _PROVENANCE not in artifacts:
        return {}
    try:
        plain = json.loads(
            tracking.read_artifact(run, _PROVENANCE, uri=uri, most_bytes=_MOST_BYTES)
        )
    except (UserError, ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


def not_default(params: Mapping[str, str]) -> dict[str, str]:
    """Returns the parameters that are not the default; those of `model=…` and so on always.

    Args:
        params: as a run recorded them. Of a model or dataset that does not exist here, all are
            returned.
    """
    chosen = {group: params[group] for group in _GROUPS if group in params}
    defaults: dict[str, str] = {}
    if chosen and all(value in options(group) for group, value in chosen.items()):
        try:
            composed = compose([f"{group}={value}" for group, value in chosen.items()])
            defaults = flatten(composed.config)
        except UserError:
            pass  # a stored value that is none today
    others = {key: value for key, value in params.items() if key not in chosen and has_meaning(key)}
    return chosen | {key: v for key, v in sorted(others.items()) if defaults.get(key) != v}


def _relations(run: StoredRun, catalog: Catalog, short: Mapping[str, str]) -> Iterator[str]:
    verdicts = run_rows.verdicts_in(catalog.runs)
    yield from run_rows.notes_of(run, verdicts, short)
    for other in catalog.runs:
        if other.tags.get(tag.REPRODUCES) == run.id:
            yield f"reproduction: {short[other.id]}"
        if other.tags.get(tag.FORKED_FROM) == run.id:
            yield f"fork: {short[other.id]}"
    above = parents({one.id: one for one in catalog.runs}).get(run.id)
    if above:
        trial = run.tags.get(tag.TRIAL)
        what = f"trial {trial} of" if trial is not None else "belongs to"
        yield f"{what} {short[above]}"


def _commands(
    run: StoredRun, children: RunList, catalog: Catalog, short: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    if not is_complete(run.id):  # such as `;x`: a line with it could run anything
        return
    own = short.get(run.id, run.id)
    above = parents({one.id: one for one in catalog.runs})
    if run.is_group:
        best = run_rows.lent_best(run, catalog.runs)
        best = best or run_rows.best_child(run, [row.run for row in children.rows])
        if best is not None and is_complete(best.id):
            yield line("show", short[best.id]), "its best run"
            trust = given_here(best, uri=catalog.uri)
            again = line("reproduce", short[best.id], trust=trust)
            yield again, "train the best again and compare"
    elif run.status == FINISHED:
        again = line("reproduce", own, trust=given_here(run, uri=catalog.uri))
        yield again, "train it again and compare"
    elif run.status in ("KILLED", "FAILED") and not _is_of_trial(run, catalog, above):
        rest = line("resume", own, trust=given_here(run, uri=catalog.uri))
        yield rest, "continue from its last checkpoint"
    other = None if run.is_group else _partner(run, catalog, above)
    if other is not None:
        yield line("compare", own, short[other.id]), "whether one is better, what differs"
    address = store.run_url(catalog.uri, run.experiment_id, run.id)
    yield address or line("ui", own), "its page in the MLflow UI"


def _is_of_trial(run: StoredRun, catalog: Catalog, above: Mapping[str, str]) -> bool:
    """Whether it is a trial of a sweep or a seed of one, which the sweep resumes or has pruned."""
    known = {one.id: one for one in catalog.runs}
    here: StoredRun | None = run
    while here is not None:
        if tag.TRIAL in here.tags:
            return True
        here = known.get(above.get(here.id, ""))
    return False


def _partner(run: StoredRun, catalog: Catalog, above: Mapping[str, str]) -> StoredRun | None:
    """Returns the newest other run that a comparison makes sense with."""
    for one in catalog.runs:
        is_alone = one.id not in above and not one.is_group
        is_same_data = one.tags.get(tag.DATASET) == run.tags.get(tag.DATASET)
        if one.id != run.id and is_alone and is_same_data and one.status == FINISHED:
            return one if is_complete(one.id) else None
    return None
