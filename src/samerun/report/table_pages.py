"""A table of runs as LaTeX, Markdown, CSV, JSON and on the screen; each number names its runs."""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from samerun import escaping
from samerun.report.table import Table, TableRow
from samerun.report.table_cells import Cell, Verdict

HEADING = "samerun table"
"""The start of the comment before a table, by which a check tells tables apart."""

_EXPLAINED = (
    "mean ± half of the 95 % interval over seeds (t), or one run's value [95 % interval]; bold: "
    "better than each other row, by the test below"
)


def as_latex(table: Table) -> str:
    """Returns a `tabular` for the booktabs package, each number on a line with its runs."""
    columns = "l" * max(1, len(table.by)) + "r" * len(table.metrics)
    heads = " & ".join(map(escaping.latex, [*(table.by or ("",)), *table.metrics]))
    lines = [f"% {HEADING}: {_EXPLAINED}", "% \\usepackage{booktabs}"]
    lines += [f"% {_in_comment(sentence)}" for sentence in _sentences(table)]
    lines += [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", rf"{heads} \\", "\\midrule"]
    for at, row in enumerate(table.rows):
        lines.append(" & ".join(escaping.latex(name) for name in _names(row)))
        for verdict, one in zip(table.verdicts, row.cells, strict=True):
            lines.append(f"& {_latex_cell(one, verdict.winner == at)}{_bound(row, one, ' % {}')}")
        lines.append(r"\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _latex_cell(one: Cell | None, is_bold: bool) -> str:
    if one is None:
        return "--"
    value, *interval = one.texts()
    text = f"\\mathbf{{{value}}}" if is_bold else value
    if one.is_mean and interval:
        return f"${text} \\pm {interval[0]}$"
    return f"${text}$" + (f" [${interval[0]}$, ${interval[1]}$]" if interval else "")


def as_markdown(table: Table) -> str:
    """Returns a Markdown table; its hidden comments name the runs of each number."""
    heads = [*(table.by or ("",)), *table.metrics]
    rule = ["---"] * max(1, len(table.by)) + ["---:"] * len(table.metrics)
    lines = [f"<!-- {HEADING} -->", "", _line(map(escaping.markdown, heads)), _line(rule)]
    for at, row in enumerate(table.rows):
        texts = [escaping.markdown(name) for name in _names(row)]
        for verdict, one in zip(table.verdicts, row.cells, strict=True):
            text = _plain(one)
            shown = f"**{text}**" if verdict.winner == at else text
            texts.append(f"{shown}{_bound(row, one, ' <!-- {} -->')}")
        lines.append(_line(texts))
    sentences = (escaping.markdown(sentence) for sentence in _sentences(table))
    return "\n".join([*lines, "", *(f"- {one}" for one in (_EXPLAINED, *sentences)), ""])


def as_csv(table: Table) -> str:
    """Returns CSV; beside each number are its interval, its runs and whether it is the winner."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ends = ("", " low", " high", " winner", " runs")
    heads = [*table.by, *(metric + end for metric in table.metrics for end in ends)]
    writer.writerow(map(escaping.spreadsheet_cell, heads))
    for at, row in enumerate(table.rows):
        values = [escaping.spreadsheet_cell(value) for value in row.by.values()]
        for verdict, one in zip(table.verdicts, row.cells, strict=True):
            if one is None:
                values += [""] * len(ends)
                continue
            bounds = ["" if bound != bound else repr(bound) for bound in (one.low, one.high)]
            is_winner = str(verdict.winner == at).lower()
            values += [repr(one.value), *bounds, is_winner, " ".join(run.id for run in one.runs)]
        writer.writerow(values)
    return text.getvalue()


def as_json(table: Table) -> str:
    """Returns the table with all tests as JSON."""
    rows = [
        {
            "by": dict(row.by),
            "metrics": {
                metric: None if one is None else _as_dict(one)
                for metric, one in zip(table.metrics, row.cells, strict=True)
            },
        }
        for row in table.rows
    ]
    verdicts = {
        metric: _verdict(table, verdict)
        for metric, verdict in zip(table.metrics, table.verdicts, strict=True)
    }
    found = {"rows": rows, "verdicts": verdicts, "notes": list(table.notes)}
    return json.dumps(found, indent=2) + "\n"


def _as_dict(one: Cell) -> dict[str, Any]:
    low, high = (None if bound != bound else bound for bound in (one.low, one.high))
    ids = [run.id for run in one.runs]
    return {"value": one.value, "low": low, "high": high, "num_runs": len(ids), "runs": ids}


def _verdict(table: Table, verdict: Verdict) -> dict[str, Any]:
    names = [row.label for row in table.rows]
    ranking = verdict.ranking
    return {
        "sentence": verdict.sentence,
        "best": None if verdict.best is None else names[verdict.best],
        "winner": None if verdict.winner is None else names[verdict.winner],
        "p_values": None if ranking is None else list(ranking.p_values),
    }


FORMATS: Mapping[str, Callable[[Table], str]] = {
    "latex": as_latex,
    "markdown": as_markdown,
    "csv": as_csv,
    "json": as_json,
}
"""What writes a table, by the name of its option."""

ENDINGS = {".tex": "latex", ".md": "markdown", ".csv": "csv", ".json": "json"}


def show(table: Table, out: Console) -> None:
    """Prints the table, the best row first, with what each test says."""
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for key in table.by or ("",):
        grid.add_column(escape(key), overflow="fold")
    for metric in table.metrics:
        grid.add_column(escape(metric), justify="right", no_wrap=True)
    grid.add_column("runs", justify="right")
    for at, row in enumerate(table.rows):
        texts = [escape(escaping.one_line(name)) for name in _names(row)]
        for verdict, one in zip(table.verdicts, row.cells, strict=True):
            shown = escape(_plain(one))
            texts.append(f"[bold]{shown}[/]" if verdict.winner == at else shown)
        grid.add_row(*texts, str(max(len(one.runs) if one else 0 for one in row.cells)))
    out.print(grid)
    out.print()
    for sentence in _sentences(table):
        out.print(escaping.one_line(sentence, 1000), markup=False)


def _sentences(table: Table) -> list[str]:
    tested = [
        f"{metric}: {verdict.sentence}"
        for metric, verdict in zip(table.metrics, table.verdicts, strict=True)
    ]
    return [*tested, *table.notes]


def _names(row: TableRow) -> list[str]:
    return list(row.by.values()) or ["all runs"]


def _plain(one: Cell | None) -> str:
    if one is None:
        return "-"
    value, *interval = one.texts()
    if one.is_mean and interval:
        return f"{value} ± {interval[0]}"
    return f"{value} [{interval[0]}, {interval[1]}]" if interval else value


def _line(texts: Any) -> str:
    return f"| {' | '.join(texts)} |"


def _bound(row: TableRow, one: Cell | None, comment: str) -> str:
    """The comment that names a number's runs; a label cannot end it or look like another one."""
    if one is None:
        return ""
    ids = " ".join(run.id for run in one.runs)
    return comment.format(f"samerun: {_in_comment(row.label)}, {_in_comment(one.metric)} = {ids}")


def _in_comment(text: str) -> str:
    """A text without what ends a comment of LaTeX or HTML, or is read as part of one of ours."""
    plain = escaping.one_line(text, 1000).replace(" %", " percent")
    return re.sub(r"[<>=%]|--|\|", " ", plain)
