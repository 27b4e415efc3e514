"""A list of runs as a table for a terminal or a pipe, as CSV and as JSON."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from samerun.amounts import age
from samerun.amounts import short as number
from samerun.escaping import one_line, spreadsheet_cell
from samerun.report.run_list import RunList, value_of
from samerun.report.run_rows import ListedRun, Score, status_of

MOST_COLUMNS = 8
"""Differing parameters that the table shows; `--columns` chooses others, CSV and JSON have all."""
_NAME_LENGTH = 40
_GAP = "  "
_STYLES = {"finished": "green", "running": "yellow", "failed": "red", "killed": "red"}


def lines(found: RunList, *, width: int | None) -> Iterator[Text]:
    """Yields the lines of the table.

    Where it does not fit, what is at the end of a row continues below it. Nothing is cut that
    another run does not share.

    Args:
        found: the list.
        width: columns of the terminal; `None` in a pipe, where a row is one line.
    """
    columns = found.columns[:MOST_COLUMNS]
    titles = _titles(columns)
    names = _names([row.run.name for row in found.rows])
    same = {row.score.metric for row in found.rows if row.score}
    metric = same.pop() if len(same) == 1 else ""
    values = {column: _values(found.rows, column) for column in columns}
    fixed = [["id", "age", "status", metric or "score"]]
    for row in found.rows:
        shown = _score(row.score, with_name=not metric)
        fixed.append([row.short, age(row.run.start_time), status_of(row.run), shown])
    movable = [["name", *titles, "notes"]]
    for at, row in enumerate(found.rows):
        indented = "  " * row.depth + names[at]
        movable.append([indented, *(values[c][at] for c in columns), " · ".join(row.notes)])
    if not any(row.notes for row in found.rows):
        movable = [cells[:-1] for cells in movable]
    for inline in (len(movable[0]), len(columns) + 1, 1, 0):
        table = [one + other[:inline] for one, other in zip(fixed, movable, strict=True)]
        widths = [max(map(cell_len, cells)) for cells in zip(*table, strict=True)]
        if width is None or sum(widths) + len(_GAP) * (len(widths) - 1) <= width:
            break
    for at, cells in enumerate(table):
        yield _line(cells, widths, is_title=at == 0)
        rest = list(zip(movable[0], movable[at], strict=True))[inline:]
        if at and width is not None:
            yield from _below(rest, widths[0] + len(_GAP), width)


def _line(cells: Sequence[str], widths: Sequence[int], *, is_title: bool) -> Text:
    line = Text(style="dim" if is_title else "")
    for at, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        is_last = at == len(cells) - 1
        padding = "" if is_last else " " * (width - cell_len(cell)) + _GAP
        style = "bold" if at == 0 else _STYLES.get(cell, "") if at == 2 else ""
        line.append(cell, style="" if is_title else style)
        line.append(padding)
    line.rstrip()
    return line


def _below(rest: Sequence[tuple[str, str]], indent: int, width: int) -> Iterator[Text]:
    """Yields the cells that have no room in the row: the name, the columns, the notes."""
    groups = {"name": [], "notes": [], "": []}  # type: dict[str, list[str]]
    for title, cell in rest:
        if cell.strip():
            key = title if title in ("name", "notes") else ""
            groups[key].append(cell if key else f"{title}={cell}")
    for key, style in (("name", ""), ("", ""), ("notes", "dim")):
        for text in folded(groups[key], max(width - indent, 1)):
            yield Text(" " * indent + text, style=style)


def folded(parts: Sequence[str], width: int) -> Iterator[str]:
    """Yields lines that hold the parts, of which none is lost: one that is too long continues."""
    line = ""
    for part in parts:
        if line and cell_len(line) + 1 + cell_len(part) > width:
            yield line
            line = ""
        line += f" {part}" if line else part
        while cell_len(line) > width:
            keep = next(n for n in range(len(line), -1, -1) if cell_len(line[:n]) <= width) or 1
            yield line[:keep]
            line = line[keep:]
    if line:
        yield line


def _names(names: Sequence[str]) -> list[str]:
    """Returns the names, cut to the length at which they are still as different as they are."""
    clean = [one_line(name, 250) for name in names]
    length = _NAME_LENGTH
    while len({name[:length] for name in clean}) < len(set(clean)):
        length += 10
    return [name if len(name) <= length else f"{name[: length - 1]}…" for name in clean]


def _titles(columns: Sequence[str]) -> list[str]:
    """Returns the last part of each key, or as many as tell them apart."""
    titles = []
    for column in columns:
        parts = column.split(".")
        others = [other.split(".") for other in columns if other != column]
        length = 1
        while length < len(parts) and any(other[-length:] == parts[-length:] for other in others):
            length += 1
        titles.append(one_line(".".join(parts[-length:]), 60))
    return titles


def _values(rows: Sequence[ListedRun], column: str) -> list[str]:
    """Returns a column; numbers are shortened where no two of them become the same."""
    found = [_value(row, column) for row in rows]
    full = ["" if value is None else one_line(str(value), 200) for value in found]
    brief = [_brief(text) for text in full]
    return brief if len(set(brief)) == len(set(full)) else full


def _value(row: ListedRun, column: str) -> str | float | None:
    """Returns a cell; the parameters of a sweep or a multirun are those of no training."""
    if row.run.is_group and column in row.run.params:
        return None
    return value_of(row.run, column)


def _brief(text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        return text
    return f"{value:.4g}" if len(text) > len(f"{value:.4g}") and math.isfinite(value) else text


def _score(score: Score | None, *, with_name: bool) -> str:
    if score is None:
        return "–"
    text = number(score.value)
    if score.low is not None and score.high is not None:
        text += f" ({number(score.low)}–{number(score.high)})"
    return f"{score.metric} {text}" if with_name else text


def as_csv(found: RunList) -> str:
    """Returns the list as CSV with all columns; a cell that is a formula gets a quote before it."""
    file = io.StringIO()
    writer = csv.writer(file)
    fixed = ["id", "name", "status", "start_time", "seconds", "parent", "num_children"]
    score = ["metric", "value", "low", "high"]
    writer.writerow([*fixed, *score, *map(spreadsheet_cell, found.columns), "notes"])
    for plain, row in zip(as_dicts(found), found.rows, strict=True):
        headline = plain["headline"] or {}
        values = [_value(row, column) for column in found.columns]
        cells = [plain[key] for key in fixed] + [headline.get(key) for key in score]
        cells += [*values, " · ".join(row.notes)]
        writer.writerow(["" if cell is None else _cell(cell) for cell in cells])
    return file.getvalue()


def _cell(value: Any) -> Any:
    return spreadsheet_cell(one_line(value, 8000)) if isinstance(value, str) else value


def as_dicts(found: RunList) -> list[dict[str, Any]]:
    """Returns the list as plain values, for JSON: each run with all of its values."""
    above = _parents(found.rows)
    return [
        {
            "id": row.run.id,
            "name": row.run.name,
            "status": status_of(row.run),
            "start_time": _time(row.run.start_time),
            "seconds": _seconds(row),
            "parent": above[at],
            "num_children": row.num_children,
            "headline": None if row.score is None else _headline(row.score),
            "notes": list(row.notes),
            "differs": list(found.columns),
            "params": row.run.params,
            "metrics": {key: _finite(value) for key, value in row.run.metrics.items()},
            "tags": row.run.tags,
        }
        for at, row in enumerate(found.rows)
    ]


def _parents(rows: Sequence[ListedRun]) -> list[str | None]:
    """Returns the ID of the group that each row was opened from."""
    path: list[str] = []
    found: list[str | None] = []
    for row in rows:
        del path[row.depth :]
        found.append(path[-1] if path else None)
        path.append(row.run.id)
    return found


def _headline(score: Score) -> dict[str, Any]:
    return {
        "metric": score.metric,
        "value": score.value,
        "low": score.low,
        "high": score.high,
    }


def _time(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return None


def _seconds(row: ListedRun) -> float | None:
    start, end = row.run.start_time, row.run.end_time
    return None if start is None or end is None else round((end - start) / 1000, 3)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
