"""The differences of two runs: config, code, environment, data and metrics, on one page."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from samerun.escaping import fence, markdown
from samerun.replay import code_diff, comparison, recorded
from samerun.replay.comparison import Row, RowState
from samerun.replay.reproduce import effective
from samerun.tracking import StoredRun

_NOT_COMPARED = ("speed/", "system/")
_MOST_LINES = 200  # of code on the screen; the JSON has all


@dataclass(frozen=True, kw_only=True)
class Differences:
    """The differences of two runs.

    Args:
        first: one run.
        second: the other one.
        rows: everything that was compared, equal or not.
        code: the lines of code as a patch; `None` where this clone does not have both states.
        metrics: the last values of each metric; `None` where a run has none.
    """

    first: StoredRun
    second: StoredRun
    rows: list[Row]
    code: str | None
    metrics: dict[str, tuple[float | None, float | None]]

    def of(self, part: str) -> list[Row]:
        """Returns the rows of a part that differ, or that are unknown on one side."""
        return [
            row
            for row in self.rows
            if row.part == part and row.matters and row.state is not RowState.same
        ]

    @property
    def different_metrics(self) -> dict[str, tuple[float | None, float | None]]:
        """The metrics whose last values differ."""
        return {name: pair for name, pair in self.metrics.items() if not _equal(*pair)}


def read(first: StoredRun, second: StoredRun) -> Differences:
    """Compares two stored runs.

    Args:
        first: one run.
        second: the other one.

    Raises:
        UserError: one of them was not recorded by samerun.
    """
    one, other = recorded.read(first), recorded.read(second)
    leaves = effective(one.cfg, first.tags), effective(other.cfg, second.tags)
    rows = comparison.in_order(
        [*comparison.settings(*leaves), *comparison.compare(one.provenance, other.provenance)]
    )
    return Differences(
        first=first,
        second=second,
        rows=rows,
        code=_code(one.provenance, other.provenance),
        metrics=_metrics(first, second),
    )


def show(found: Differences, out: Console) -> None:
    """Prints the page.

    Args:
        found: the differences.
        out: where to print.
    """
    sides = [f"{recorded.clean(run.name)} {run.id[:8]}" for run in (found.first, found.second)]
    out.print(f"[bold]{escape(sides[0])}[/] and [bold]{escape(sides[1])}[/]")
    for part, title in _TITLES.items():
        rows = found.of(part)
        if not rows:
            continue
        made = Table("", *sides, box=None, pad_edge=False, header_style="dim", title_justify="left")
        for row in rows:
            made.add_row(*(escape(cell) for cell in (row.what, row.first, row.second)))
            if row.detail:
                made.add_row(f"  [dim]{escape(row.detail)}[/]")
        out.print(f"\n[bold]{title}[/]")
        out.print(made)
        if part == "code" and found.code:
            lines = [recorded.clean(line, 400) for line in found.code.splitlines()[:_MOST_LINES]]
            out.print(Syntax("\n".join(lines), "diff", background_color="default"))
    _show_metrics(found, sides, out)


def as_markdown(found: Differences) -> str:
    """Returns the page in Markdown."""
    lines = [f"# {markdown(found.first.name)} and {markdown(found.second.name)}", ""]
    for part, title in _TITLES.items():
        rows = found.of(part)
        if rows:
            lines += [f"## {title}", "", *comparison.as_markdown(rows, "first", "second"), ""]
        if rows and part == "code" and found.code:
            marks = fence(found.code)
            lines += [f"{marks}diff", found.code, marks, ""]
    if len(lines) == 2:
        lines += ["No recorded difference except in the metrics below.", ""]
    lines += ["## Metrics", "", _summary(found), ""]
    if found.different_metrics:
        lines += ["| metric | first | second | difference |", "|---|---:|---:|---:|"]
        lines += [f"| {' | '.join(map(markdown, cells))} |" for cells in _cells(found)]
    return "\n".join(lines).rstrip() + "\n"


def as_dict(found: Differences) -> dict[str, Any]:
    """Returns the differences as plain values, for JSON."""
    sides = {"first": found.first, "second": found.second}
    plain: dict[str, Any] = {
        side: {"id": run.id, "name": run.name, "status": run.status} for side, run in sides.items()
    }
    plain |= {part: comparison.as_dicts(found.of(part)) for part in _TITLES}
    plain["hunks"] = found.code
    plain["metrics"] = {
        name: {"first": _plain(one), "second": _plain(other)}
        for name, (one, other) in found.different_metrics.items()
    }
    return plain


_TITLES = {
    "config": "Config",
    "threads": "Threads",
    "code": "Code",
    "environment": "Environment",
    "machine": "Machine",
    "data": "Data",
}


def _code(one: recorded.Provenance, other: recorded.Provenance) -> str | None:
    paths = None
    if one.files is not None and other.files is not None:
        changed = comparison.changed_files(one.files, other.files)
        paths = [name.partition(" (")[0] for name in changed]
        if not paths:
            return None
    return code_diff.between(one, other, paths)


def _metrics(first: StoredRun, second: StoredRun) -> dict[str, tuple[float | None, float | None]]:
    names = sorted({*first.metrics, *second.metrics})
    return {
        name: (first.metrics.get(name), second.metrics.get(name))
        for name in names
        if not name.startswith(_NOT_COMPARED)
    }


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or (math.isnan(one) and math.isnan(other))


def _summary(found: Differences) -> str:
    num, total = len(found.different_metrics), len(found.metrics)
    if not num:
        return f"All {total} metrics have the same last value."
    return f"{num} of {total} metrics have different last values."


def _cells(found: Differences) -> Iterator[Sequence[str]]:
    for name, (one, other) in found.different_metrics.items():
        apart = "" if one is None or other is None else f"{other - one:+.4g}"
        yield recorded.clean(name), *("–" if v is None else f"{v:.6g}" for v in (one, other)), apart


def _show_metrics(found: Differences, sides: Sequence[str], out: Console) -> None:
    out.print("\n[bold]Metrics[/]")
    out.print(_summary(found))
    if found.different_metrics:
        made = Table("", *sides, "difference", box=None, pad_edge=False, header_style="dim")
        for cells in _cells(found):
            made.add_row(*map(escape, cells))
        out.print(made)


def _plain(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
