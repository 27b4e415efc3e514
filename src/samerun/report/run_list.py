"""A list of runs: which are in it, in which order, and what is shown of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from samerun import tags as tag
from samerun.config.training import should_rise
from samerun.errors import UserError, nearest
from samerun.escaping import one_line
from samerun.report import run_rows
from samerun.report.run_rows import ListedRun
from samerun.tracking import Catalog, StoredRun
from samerun.tracking.ids import short_ids
from samerun.tracking.stored_run import parents

AGE = "age"
_ATTRIBUTES = (AGE, "name", "status")


@dataclass(frozen=True, kw_only=True)
class RunList:
    """A list of runs.

    Args:
        rows: one of each run.
        columns: the parameters, metrics and tags that it shows: those that were asked for, or the
            parameters that differ.
        num_runs: how many rows there would be without a limit, if that is known; else, with a
            filter, at least one more than there are.
    """

    rows: tuple[ListedRun, ...]
    columns: tuple[str, ...]
    num_runs: int


def list_runs(
    catalog: Catalog,
    *,
    filter: str = "",
    sort: str = AGE,
    columns: Sequence[str] | None = None,
    opened: bool = False,
    most: int | None = None,
) -> RunList:
    """Returns a list of runs, in which a sweep or a multirun is one row.

    Args:
        catalog: the store.
        filter: in MLflow's filter language; every run that fits is then a row of its own.
        sort: `age`, `name`, `status`, a metric (the best first) or a parameter.
        columns: names of parameters, metrics or tags; `None`: the parameters that differ.
        opened: the runs of a group follow it.
        most: how many rows there are, before groups are opened; `None`: all.

    Raises:
        UserError: MLflow does not understand the filter, or there is no such key.
    """
    everything = _sortable(catalog, sort)
    above = parents({run.id: run for run in everything})
    if filter:
        enough = None if most is None or sort != AGE else most + 1
        wanted = set(catalog.search_ids(filter, enough))
        top = [run for run in everything if run.id in wanted]
    else:
        top = [run for run in everything if run.id not in above]
    below: dict[str, list[StoredRun]] = {}
    for run in everything:
        if run.id in above:
            below.setdefault(above[run.id], []).append(run)
    num_runs = len(top)
    top = _sorted(top, sort, _ranked(top, below, everything))[:most]
    entries: list[tuple[int, StoredRun]] = []
    for run in top:
        entries += _opened(run, below, sort) if opened and not filter else [(0, run)]
    rows = _rows(catalog, entries, below, everything)
    chosen = _columns(catalog, columns, rows)
    return RunList(rows=tuple(rows), columns=chosen, num_runs=num_runs)


def children_of(catalog: Catalog, run: StoredRun) -> RunList:
    """Returns the runs that belong to a sweep, a multirun or another group, the best first.

    Args:
        catalog: the store.
        run: the group's own run. Its runs are sorted by its objective, else by what they stop at.
    """
    found = catalog.children(run)
    monitors = [one.params.get("training.early_stopping.monitor", "") for one in found[:1]]
    objective = run.tags.get(tag.OBJECTIVES, "").partition(",")[0] or "".join(monitors)
    found = _sorted(found, objective, {}) if objective else found
    rows = _rows(catalog, [(0, one) for one in found], {}, catalog.runs)
    columns = _columns(catalog, None, rows)
    if any(objective in one.metrics for one in found):
        columns = (objective, *columns)
    return RunList(rows=tuple(rows), columns=columns, num_runs=len(rows))


def _sortable(catalog: Catalog, sort: str) -> list[StoredRun]:
    """Returns all runs of a store, with what they are sorted by."""
    if sort in _ATTRIBUTES:
        return catalog.runs
    metrics, params = catalog.names()
    if sort in metrics:  # the objectives choose the best run of a group
        objectives = {run.tags.get(tag.OBJECTIVES, "").partition(",")[0] for run in catalog.runs}
        return catalog.with_metric(sort, *sorted(objectives - {""}))
    if sort in params:
        return catalog.with_parameter(sort)
    raise UserError(
        f"--sort: received '{one_line(sort)}', expected age, name, status, a metric such as "
        f"test/accuracy or a parameter such as model.{nearest(sort, [*metrics, *params])}"
    )


def _sorted(
    runs: Sequence[StoredRun], sort: str, below: dict[str, list[StoredRun]]
) -> list[StoredRun]:
    """Sorts runs, the newest first among equals; one without a value is last.

    A group is sorted by its own value of a metric, or by that of its best run.
    """
    if sort == AGE:
        return list(runs)
    if sort == "name":
        return sorted(runs, key=lambda run: run.name)
    if sort == "status":
        return sorted(runs, key=run_rows.status_of)
    if any(sort in run.metrics for group in (runs, *below.values()) for run in group):
        sign = -1 if should_rise(sort) else 1

        def rank(run: StoredRun) -> float:
            value = run.metrics.get(sort, math.nan)
            best = run_rows.best_child(run, below.get(run.id, ())) if math.isnan(value) else None
            value = value if best is None else best.metrics.get(sort, math.nan)
            return math.inf if math.isnan(value) else sign * value

        return sorted(runs, key=rank)
    return sorted(runs, key=lambda run: _parameter_rank(run.params.get(sort)))


def _parameter_rank(value: str | None) -> tuple[int, float, str]:
    """Sorts numbers before texts, and both before what is missing."""
    if value is None:
        return 2, 0.0, ""
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value


def _opened(
    run: StoredRun, below: dict[str, list[StoredRun]], sort: str, depth: int = 0
) -> list[tuple[int, StoredRun]]:
    entries = [(depth, run)]
    for child in _sorted(below.get(run.id, []), sort, below):
        entries += _opened(child, below, sort, depth + 1)
    return entries


def _rows(
    catalog: Catalog,
    entries: Sequence[tuple[int, StoredRun]],
    below: dict[str, list[StoredRun]],
    everything: Sequence[StoredRun],
) -> list[ListedRun]:
    """Returns the rows; only of their runs and the runs of their groups is everything read."""
    ranked = _ranked([run for _, run in entries], below, everything)
    wanted = [run.id for _, run in entries]
    for _, run in entries:
        wanted += [one.id for one in _to_rank(run, ranked.get(run.id, ()))]
    complete = {run.id: run for run in catalog.complete(list(dict.fromkeys(wanted)))}
    short = short_ids([run.id for run in everything])
    verdicts = run_rows.verdicts_in(everything)
    rows = []
    for depth, entry in entries:
        run = complete.get(entry.id, entry)
        children = below.get(run.id, ())
        candidates = [complete.get(one.id, one) for one in ranked.get(run.id, ())]
        score, notes = run_rows.score_of(run), []
        if candidates:
            best = run_rows.best_child(run, candidates)
            if run.is_group:
                score = None if best is None else run_rows.score_of(best)
            notes += _numbers(run, children)
            if best is not None and tag.INSTANCES not in run.tags:  # no seed is better
                lent = " (lent)" if len(candidates) > len(children) else ""
                notes += [f"best {short[best.id]}{lent}"]
        rows.append(
            ListedRun(
                run=run,
                short=short[run.id],
                depth=depth,
                num_children=len(children),
                score=score,
                notes=(*notes, *run_rows.notes_of(run, verdicts, short)),
            )
        )
    return rows


def _ranked(
    runs: Sequence[StoredRun],
    below: dict[str, list[StoredRun]],
    everything: Sequence[StoredRun],
) -> dict[str, list[StoredRun]]:
    """Returns what the best run of each group is chosen from: its runs, and one lent to a sweep."""
    ranked = dict(below)
    for run in runs:
        lent = run_rows.lent_best(run, everything)
        if lent is not None:
            ranked[run.id] = [*below.get(run.id, []), lent]
    return ranked


def _numbers(group: StoredRun, children: Sequence[StoredRun]) -> list[str]:
    """Returns how many runs a group has, by what they are called."""
    study = group.tags.get(tag.STUDY)
    if study is not None and tag.TRIAL not in group.tags:
        searched = sum(child.tags.get(tag.STUDY) == study for child in children)
        confirming = len(children) - searched  # of a study of its own: the best trials again
        found = [f"{searched} trials", *([f"{confirming} confirmed"] if confirming else [])]
        earlier = one_line(group.tags.get(tag.LEARNED_FROM, ""), 60)
        return [*found, *([f"learned from {earlier}"] if earlier else [])]
    kind = group.tags.get(tag.INSTANCES)
    return [f"{len(children)} {kind if kind in ('seeds', 'folds') else 'runs'}"]


def _to_rank(group: StoredRun, children: Sequence[StoredRun]) -> Sequence[StoredRun]:
    """Returns the runs of a group that have to be read to know its best."""
    named = [child for child in children if child.id == group.tags.get(tag.BEST)]
    return named or children


def _columns(
    catalog: Catalog, wanted: Sequence[str] | None, rows: Sequence[ListedRun]
) -> tuple[str, ...]:
    if wanted is None:
        return tuple(run_rows.differing([row.run for row in rows]))
    metrics, params = catalog.names()
    tags = {key for row in rows for key in row.run.tags}
    for name in wanted:
        if name not in tags and name not in metrics and name not in params:
            close = nearest(name, [*params, *metrics, *sorted(tags)])
            raise UserError(
                f"--columns: received '{one_line(name)}', expected the name of a parameter, a "
                f"metric or a tag, such as model or test/accuracy.{close}"
            )
    return tuple(dict.fromkeys(wanted))


def value_of(run: StoredRun, column: str) -> str | float | None:
    """Returns the value of a parameter, a metric or a tag, or `None` if the run has none."""
    if column in run.params:
        return run.params[column]
    return run.metrics.get(column, run.tags.get(column))
