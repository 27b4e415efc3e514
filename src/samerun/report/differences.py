"""What differs among runs: config, code, environment, machine, data and metrics, on one page."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax

from samerun.escaping import fence, markdown
from samerun.replay import code_diff, comparison, recorded
from samerun.replay.comparison import Row, RowState
from samerun.replay.reproduce import effective
from samerun.report import side_by_side
from samerun.report.side_by_side import SideRow
from samerun.tracking import StoredRun

_NOT_COMPARED = ("speed/", "system/")
_MOST_LINES = 200  # of code on the screen; the JSON has all

TITLES = {
    "config": "Config",
    "threads": "Threads",
    "code": "Code",
    "environment": "Environment",
    "machine": "Machine",
    "data": "Data",
}
"""The parts in which runs are compared, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing in which runs differ, or that is not known of all of them.

    Args:
        part: a key of `TITLES`.
        what: the thing, such as a key of the config.
        values: what it is in each run.
        details: names of what differs from the first run, for each of the others.
        state: whether the runs differ, or which of them do is unknown.
    """

    part: str
    what: str
    values: tuple[str, ...]
    details: tuple[str, ...]
    state: RowState

    @property
    def is_setting(self) -> bool:
        """Whether it is a key of the config on which a result may depend."""
        is_key = self.part in ("config", "threads")
        return is_key and not self.what.startswith(comparison.NOT_MEANT)


@dataclass(frozen=True, kw_only=True)
class Differences:
    """The differences among runs.

    Args:
        runs: two or more.
        recorded: what they recorded about themselves.
        rows: what differs; of the config, that on which a result may depend comes first.
        hunks: the lines of code by which each run but the first differs from it, as a patch; `None`
            where this clone does not have both states, or no file differs.
        metrics: the last values of each metric; `None` for a run that has none.
    """

    runs: tuple[StoredRun, ...]
    recorded: tuple[recorded.RecordedRun, ...]
    rows: list[Difference]
    hunks: tuple[str | None, ...]
    metrics: dict[str, tuple[float | None, ...]]

    def of(self, part: str) -> list[Difference]:
        """Returns the differences in a part."""
        return [row for row in self.rows if row.part == part]

    @property
    def different_metrics(self) -> dict[str, tuple[float | None, ...]]:
        """The metrics whose last values differ."""
        return {name: values for name, values in self.metrics.items() if not _are_equal(values)}


def read(runs: Sequence[StoredRun], *, trusted: Sequence[str] = ()) -> Differences:
    """Compares stored runs.

    Args:
        runs: two or more; the others are compared with the first.
        trusted: what of a recorded config may be imported, as for `--trust`.

    Raises:
        UserError: one of them was not recorded by samerun.
    """
    found = tuple(recorded.read(run, trusted=trusted) for run in runs)
    first, *others = found
    pairs = [_rows(first, other) for other in others]
    return Differences(
        runs=tuple(runs),
        recorded=found,
        rows=_joined(pairs),
        hunks=tuple(_code(first.provenance, other.provenance) for other in others),
        metrics=_metrics(runs),
    )


def show(found: Differences, sides: Sequence[str], out: Console) -> None:
    """Prints the differences and the metrics that differ.

    Args:
        found: the differences.
        sides: the heading of each run.
        out: where to print.
    """
    show_parts(found, sides, out)
    _show_metrics(found, sides, out)


def show_parts(found: Differences, sides: Sequence[str], out: Console) -> None:
    """Prints the differences, without the metrics.

    Args:
        found: the differences.
        sides: the heading of each run.
        out: where to print.
    """
    for part, title in TITLES.items():
        rows = found.of(part)
        if not rows:
            continue
        out.print(f"\n[bold]{title}[/]")
        side_by_side.show([_side_row(row) for row in rows], sides, out)
        for side, hunks in zip(sides[1:], found.hunks, strict=True):
            if part == "code" and hunks:
                _show_code(hunks, "" if len(sides) == 2 else f"{sides[0]} → {side}", out)


def _side_row(row: Difference) -> SideRow:
    is_minor = row.part == "config" and not row.is_setting
    return SideRow(
        lead=(escape(row.what),),
        values=tuple(map(escape, row.values)),
        notes=tuple(f"  [dim]{escape(detail)}[/]" for detail in row.details if detail),
        style="dim" if is_minor else "",
    )


def show_pair(found: Differences, out: Console) -> None:
    """Prints the page of two runs.

    Args:
        found: their differences.
        out: where to print.
    """
    sides = [f"{recorded.clean(run.name)} {run.id[:8]}" for run in found.runs]
    out.print(" and ".join(f"[bold]{escape(side)}[/]" for side in sides))
    show(found, sides, out)


def as_markdown(found: Differences) -> str:
    """Returns the page of two runs in Markdown."""
    first, second = found.runs
    lines = [f"# {markdown(first.name)} and {markdown(second.name)}", ""]
    for part, title in TITLES.items():
        rows = found.of(part)
        if rows:
            lines += [f"## {title}", "", *_markdown_rows(rows), ""]
        for hunks in filter(None, found.hunks if rows and part == "code" else ()):
            marks = fence(hunks)
            lines += [f"{marks}diff", hunks, marks, ""]
    if len(lines) == 2:
        lines += ["No recorded difference except in the metrics below.", ""]
    lines += ["## Metrics", "", summary(found), ""]
    if found.different_metrics:
        lines += ["| metric | first | second | difference |", "|---|---:|---:|---:|"]
        lines += [f"| {' | '.join(map(markdown, cells))} |" for cells in _cells(found)]
    return "\n".join(lines).rstrip() + "\n"


def as_dict(found: Differences) -> dict[str, Any]:
    """Returns the differences of two runs as plain values, for JSON."""
    sides = ("first", "second")
    plain: dict[str, Any] = {
        side: {"id": run.id, "name": run.name, "status": run.status}
        for side, run in zip(sides, found.runs, strict=True)
    }
    for part in TITLES:
        plain[part] = [
            {
                "part": part,
                "what": row.what,
                **dict(zip(sides, row.values, strict=True)),
                "state": row.state,
                "detail": row.details[0],
                "matters": True,
            }
            for row in found.of(part)
        ]
    plain["hunks"] = found.hunks[0]
    plain["metrics"] = {
        name: dict(zip(sides, map(plain_number, values), strict=True))
        for name, values in found.different_metrics.items()
    }
    return plain


def summary(found: Differences) -> str:
    """Returns the sentence that says how many metrics differ."""
    num, total = len(found.different_metrics), len(found.metrics)
    if not num:
        return f"All {total} metrics have the same last value."
    return f"{num} of {total} metrics have different last values."


def plain_number(value: float | None) -> float | str | None:
    """Returns a number as JSON can hold it: one that is not finite as text."""
    return value if value is None or math.isfinite(value) else str(value)


def format_number(value: float | None) -> str:
    """Returns a metric's value for a table, a dash where there is none."""
    return "–" if value is None else f"{value:.6g}"


def _rows(first: recorded.RecordedRun, other: recorded.RecordedRun) -> list[Row]:
    leaves = (effective(one.cfg, one.run.tags) for one in (first, other))
    rows = [*comparison.settings(*leaves), *comparison.compare(first.provenance, other.provenance)]
    return comparison.in_order(rows)


def _joined(pairs: Sequence[Sequence[Row]]) -> list[Difference]:
    """Joins the rows of the first run with each other one; what is equal everywhere is left out."""
    found: dict[tuple[str, str], dict[int, Row]] = {}
    for place, rows in enumerate(pairs):
        for row in rows:
            found.setdefault((row.part, row.what), {})[place] = row
    joined = []
    for (part, what), of_pairs in found.items():
        states = {row.state for row in of_pairs.values()}
        if states == {RowState.same} or not any(row.matters for row in of_pairs.values()):
            continue
        first = max((row.first for row in of_pairs.values()), key=len)
        sides = [of_pairs.get(place) for place in range(len(pairs))]
        joined.append(
            Difference(
                part=part,
                what=what,
                values=(first, *(first if row is None else row.second for row in sides)),
                details=tuple("" if row is None else row.detail for row in sides),
                state=RowState.differs if RowState.differs in states else RowState.unknown,
            )
        )
    is_minor = {row: row.part == "config" and not row.is_setting for row in joined}
    parts = list(TITLES)
    return sorted(joined, key=lambda row: (parts.index(row.part), is_minor[row]))


def _code(one: recorded.Provenance, other: recorded.Provenance) -> str | None:
    paths = None
    if one.files is not None and other.files is not None:
        changed = comparison.changed_files(one.files, other.files)
        paths = [name.partition(" (")[0] for name in changed]
        if not paths:
            return None
    return code_diff.between(one, other, paths)


def _metrics(runs: Sequence[StoredRun]) -> dict[str, tuple[float | None, ...]]:
    names = sorted({name for run in runs for name in run.metrics})
    return {
        name: tuple(run.metrics.get(name) for run in runs)
        for name in names
        if not name.startswith(_NOT_COMPARED)
    }


def _are_equal(values: Sequence[float | None]) -> bool:
    first, *others = values
    return all(_is_equal(first, other) for other in others)


def _is_equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or (math.isnan(one) and math.isnan(other))


def _show_code(hunks: str, title: str, out: Console) -> None:
    if title:
        out.print(f"[dim]{escape(title)}[/]")
    lines = [recorded.clean(line, 400) for line in hunks.splitlines()[:_MOST_LINES]]
    out.print(Syntax("\n".join(lines), "diff", background_color="default"))


def _markdown_rows(rows: Sequence[Difference]) -> Iterator[str]:
    yield "| | first | second | |"
    yield "|---|---|---|---|"
    for row in rows:
        what = f"{row.what}: {row.details[0]}" if row.details[0] else row.what
        state = f"**{row.state}**" if row.state is RowState.differs else str(row.state)
        yield f"| {' | '.join(map(markdown, (what, *row.values)))} | {state} |"


def _cells(found: Differences) -> Iterator[Sequence[str]]:
    for name, values in found.different_metrics.items():
        apart = []
        if len(values) == 2:
            one, other = values
            apart = ["" if one is None or other is None else f"{other - one:+.4g}"]
        yield recorded.clean(name), *map(format_number, values), *apart


def _show_metrics(found: Differences, sides: Sequence[str], out: Console) -> None:
    out.print("\n[bold]Metrics[/]")
    out.print(summary(found))
    if found.different_metrics:
        headings = [*sides, "difference"] if len(sides) == 2 else sides
        rows = [
            SideRow(lead=(escape(name),), values=tuple(map(escape, values)))
            for name, *values in _cells(found)
        ]
        side_by_side.show(rows, headings, out)
