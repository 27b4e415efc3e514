"""A table of runs: means over seeds with intervals, and which difference is more than chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samerun import tags as tag
from samerun.config.root import has_meaning
from samerun.errors import UserError, listed, nearest
from samerun.replay.recorded import clean
from samerun.report.table_cells import Cell, Verdict, cell, judge, rank
from samerun.tracking import Catalog, StoredRun
from samerun.tracking.stored_run import FINISHED


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A row of the table: the runs of one config.

    Args:
        by: value of each key that the rows are named by.
        cells: one per metric; `None` where none of its runs has it.
    """

    by: Mapping[str, str]
    cells: tuple[Cell | None, ...]

    @property
    def label(self) -> str:
        """Its name in a sentence."""
        return " ".join(clean(value, 60) for value in self.by.values()) or "all runs"


@dataclass(frozen=True, kw_only=True)
class Table:
    """The whole table.

    Args:
        by: the keys that the rows are named by.
        metrics: the columns.
        rows: the best by the first metric first.
        verdicts: one per column.
        notes: what was not counted, and why.
    """

    by: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[TableRow, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]


def build(runs: Sequence[StoredRun], by: Sequence[str], metrics: Sequence[str]) -> Table:
    """Builds the table of some runs.

    Args:
        runs: the runs, in any order.
        by: config keys such as `model`, `optimizer.learning_rate` or `dataset/augmentation`.
        metrics: logged names such as `test/accuracy`.

    Raises:
        UserError: there is nothing to show, a key or metric is unknown, or a row would mix runs of
            different configs.
    """
    counted, notes = _counted(runs)
    keys = [_leaves(key, counted) for key in by]
    for metric in metrics:
        _check_metric(metric, counted)
    groups: dict[tuple[str, ...], list[StoredRun]] = {}
    for run in counted:
        groups.setdefault(tuple(_value(run, leaves) for leaves in keys), []).append(run)
    rows = []
    for values, members in groups.items():
        named = dict(zip(by, values, strict=True))
        whole, note = _without_repeats(members, " ".join(values) or "all runs", by)
        notes += note
        cells = tuple(cell(whole, metric) for metric in metrics)
        rows.append(TableRow(by=named, cells=cells))
    first = metrics[0]
    rows.sort(key=lambda row: rank(row.cells[0], first))
    columns = [[row.cells[at] for row in rows] for at in range(len(metrics))]
    names = [row.label for row in rows]
    return Table(
        by=tuple(by),
        metrics=tuple(metrics),
        rows=tuple(rows),
        verdicts=tuple(judge(column, names) for column in columns),
        notes=tuple(notes),
    )


def _counted(runs: Sequence[StoredRun]) -> tuple[list[StoredRun], list[str]]:
    """The finished runs that trained a model, the oldest first; notes on the others."""
    trained = [run for run in runs if not _is_group(run)]
    whole = [run for run in trained if not run.tags.get(tag.INSTANCE, "").startswith("fold")]
    finished = [run for run in whole if run.status == FINISHED]
    made = [run for run in finished if "seed" in run.params]
    if not made:
        raise UserError(
            f"There is nothing to show: received {len(runs)} runs, {len(finished)} of them "
            "finished trainings; list them with `samerun ui`."
        )
    left_out = {
        "not finished": len(whole) - len(finished),
        "not made by samerun": len(finished) - len(made),
        "folds, which are no seeds of one config": len(trained) - len(whole),
    }
    notes = [f"{number} not counted: {why}" for why, number in left_out.items() if number]
    return sorted(made, key=lambda run: (run.start_time or 0, run.id)), notes


def _leaves(key: str, runs: Sequence[StoredRun]) -> list[str]:
    """The parameters that a key stands for: itself, or those below it that differ."""
    name = key.replace("/", ".")
    known = dict.fromkeys(leaf for run in runs for leaf in run.params)
    if name in known:
        return [name]
    below = [leaf for leaf in known if leaf.startswith(f"{name}.")]
    if not below:
        groups = {leaf.rpartition(".")[0] for leaf in known if "." in leaf}
        hint = nearest(name, [*known, *groups]) or " It takes keys such as model or optimizer."
        raise UserError(f"--by: received '{clean(key)}', which no run has.{hint}")
    return [leaf for leaf in below if len({run.params.get(leaf) for run in runs}) > 1]


def _value(run: StoredRun, leaves: Sequence[str]) -> str:
    if len(leaves) == 1 and "." not in leaves[0]:
        return run.params.get(leaves[0], "")
    if len(leaves) == 1:
        return run.params.get(leaves[0], "null")
    last = {leaf: leaf.rpartition(".")[2] for leaf in leaves}
    return " ".join(f"{last[leaf]}={run.params.get(leaf, 'null')}" for leaf in leaves)


def _check_metric(metric: str, runs: Sequence[StoredRun]) -> None:
    known = {name for run in runs for name in run.metrics}
    if metric not in known:
        shown = listed(sorted(clean(name, 60) for name in known if name.startswith("test/"))[:8])
        hint = nearest(metric, known) or f" They have {shown or 'no test metric'}."
        raise UserError(f"--metric: received '{clean(metric)}', which no run has.{hint}")


def _without_repeats(
    runs: Sequence[StoredRun], label: str, by: Sequence[str]
) -> tuple[list[StoredRun], list[str]]:
    """The runs of a row by seed; those of one seed that are the same run count once."""
    by_seed: dict[str, StoredRun] = {}
    repeats = 0
    differing = {
        key
        for key in {key for run in runs for key in run.params}
        if key != "seed" and has_meaning(key)
        if len({run.params[key] for run in runs if key in run.params}) > 1
    }
    if differing:
        keys = sorted(differing)
        raise UserError(
            f"{clean(label)}: its {len(runs)} runs differ in {listed(keys[:4])}, expected runs of "
            f"one config with several seeds: add --by {keys[0]} or narrow the filter."
        )
    for run in runs:
        first = by_seed.setdefault(run.params["seed"], run)
        if first is run:
            continue
        if first.tags.get(tag.FINGERPRINT, "") != run.tags.get(tag.FINGERPRINT, "-"):
            raise UserError(
                f"{clean(label)}: runs {first.id[:8]} and {run.id[:8]} have seed "
                f"{clean(run.params['seed'], 20)} and different code or data: narrow the filter to "
                "one of them."
            )
        repeats += 1
    found = sorted(by_seed.values(), key=lambda run: (len(run.params["seed"]), run.params["seed"]))
    notes = []
    if repeats:
        notes.append(f"{clean(label)}: {repeats} repeated runs of a seed count once")
    if len({run.tags.get(tag.FINGERPRINT_CODE) for run in found}) > 1:
        notes.append(f"{clean(label)}: its runs have different code")
    return found, notes


def trained(catalog: Catalog, run: StoredRun, levels: int = 2) -> list[StoredRun]:
    """Returns the runs of a sweep, a multirun or `seeds=5`; of another run itself.

    Args:
        catalog: the store.
        run: the run.
        levels: how deep to look: a trial of a sweep has runs of its own if it has several seeds.
    """
    if not _is_group(run):
        return [run]
    below = catalog.children(run) if levels else []
    return [one for child in below for one in trained(catalog, child, levels - 1)]


def _is_group(run: StoredRun) -> bool:
    """Whether it trained nothing itself: its runs are in the table."""
    return run.is_group or tag.INSTANCES in run.tags
