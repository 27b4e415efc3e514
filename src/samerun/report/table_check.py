"""Checks the numbers of a paper against the runs that they came from."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from samerun.errors import UserError
from samerun.escaping import one_line
from samerun.report.table_cells import Cell, cell, judge, rounded
from samerun.report.table_pages import HEADING
from samerun.tracking import Catalog, StoredRun, existing
from samerun.tracking.stored_run import FINISHED

_MOST_BYTES = 20_000_000
_COMMENT = re.compile(
    r"(?:(?<!\\)%|<!--)[ \t]*samerun: (?P<row>[^\n<>=%|]{1,2000}?), (?P<metric>[^,=\n]{1,300}?) = "
    r"(?P<ids>[0-9a-f]{32}(?: [0-9a-f]{32})*)[ \t]*(?:-->|$)",
    re.MULTILINE,
)
_NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:\.\d+)?(?![\w.])")
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,|\\,)(?=\d{3}(?!\d))")
_INTERVAL = re.compile(r"\\pm|±|\[")
_BOLD = re.compile(r"\\(?:textbf|mathbf|bfseries|bm)\b|\*\*")


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A number of the paper with the runs that it names.

    Args:
        line: where it is, from 1.
        table: which table it is in, from 0.
        row: name of its row.
        metric: name of its metric.
        ids: IDs of its runs.
        text: what stands before the comment.
    """

    line: int
    table: int
    row: str
    metric: str
    ids: tuple[str, ...]
    text: str

    @property
    def where(self) -> str:
        """The place in a sentence."""
        return f"line {self.line}, {one_line(self.row, 80)}, {one_line(self.metric, 80)}"


def check(file: Path) -> tuple[int, list[str]]:
    """Compares each number of a paper that names its runs with what they say now.

    Fewer decimals than the table had are no difference if the number was rounded correctly, and
    neither is an interval that is left out.

    Args:
        file: LaTeX or Markdown with a table of `samerun table`.

    Returns:
        How many numbers were checked, and a sentence for each that no longer follows from its runs.

    Raises:
        UserError: the file cannot be read, or no number in it names its runs.
    """
    found = list(_bound(_content(file)))
    if not found:
        raise UserError(
            f"{file}: no number in it names its runs, expected a table that "
            f"`samerun table … -o {file.name}` wrote, with its comments."
        )
    runs, missing = _runs({one for bound in found for one in bound.ids})
    differences, cells = [], {}
    for bound in found:
        gone = [one for one in bound.ids if one not in runs]
        if gone:
            why = missing[gone[0]]
            differences.append(f"{bound.where}: run {gone[0]} {why}")
            continue
        one = cell([runs[name] for name in bound.ids], bound.metric)
        if one is None or len(one.runs) < len(bound.ids):
            differences.append(f"{bound.where}: a run of it has no such metric")
            continue
        cells[bound] = one
        difference = _difference(bound.text, one)
        if difference:
            differences.append(f"{bound.where}: {difference}")
    return len(found), [*differences, *_wrongly_bold(cells)]


def _content(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"--check: {file} cannot be read ({error.strerror}).") from error
    if len(content) > _MOST_BYTES:
        raise UserError(f"--check: {file} is larger than 20 MB, expected a paper's text.")
    return content.decode("utf-8", "replace")


def _bound(content: str) -> Iterator[Bound]:
    for match in _COMMENT.finditer(content):
        start = content.rfind("\n", 0, match.start()) + 1
        before = content[start : match.start()]
        before = before.rpartition("|" if content[match.start()] == "<" else "&")[2]
        yield Bound(
            line=content.count("\n", 0, match.start()) + 1,
            table=content.count(HEADING, 0, match.start()),
            row=match["row"],
            metric=match["metric"],
            ids=tuple(match["ids"].split(" ")),
            text=before,
        )


def _runs(ids: set[str]) -> tuple[dict[str, StoredRun], dict[str, str]]:
    """The runs, and of each ID without a finished one why there is none."""
    found = {run.id: run for run in Catalog(existing()).complete(sorted(ids))}
    missing = dict.fromkeys(ids - found.keys(), "is not in the store")
    missing |= {one: f"is {run.status}" for one, run in found.items() if run.status != FINISHED}
    return {one: run for one, run in found.items() if one not in missing}, missing


def _difference(text: str, one: Cell) -> str:
    """What is wrong with the numbers before a comment; empty if they follow from the runs."""
    plain = _THOUSANDS.sub("", text)
    received = [number.replace("−", "-") for number in _NUMBER.findall(plain)]
    shown = ", ".join(one.texts())
    is_whole = len(received) == len(one.numbers)
    if not is_whole and (len(received) != 1 or _INTERVAL.search(plain)):
        given = f"'{one_line(text.strip(), 80)}'" if text.strip() else "nothing"
        return f"received {given}, expected {shown}"
    for number, expected in zip(received, one.numbers, strict=False):
        correct = rounded(expected, len(number.partition(".")[2]))
        if number != correct:
            return f"received {one_line(number, 40)}, expected {correct}"
    return ""


def _wrongly_bold(cells: dict[Bound, Cell]) -> list[str]:
    found = []
    for bound in cells:
        if not _BOLD.search(bound.text):
            continue
        column = [b for b in cells if (b.table, b.metric) == (bound.table, bound.metric)]
        verdict = judge([cells[b] for b in column], [one_line(b.row, 80) for b in column])
        if verdict.winner is None or column[verdict.winner] is not bound:
            found.append(f"{bound.where}: bold, but {verdict.sentence}")
    return found


def sentences(file: Path, number: int, differences: Sequence[str]) -> list[str]:
    """Returns what the command prints.

    Args:
        file: the paper.
        number: how many numbers were checked.
        differences: one sentence for each that does not follow from its runs.
    """
    if not differences:
        return [f"{file}: {number} numbers checked, all follow from their runs."]
    head = f"{file}: {len(differences)} of {number} numbers no longer follow from their runs:"
    return [head, *(f"  {one}" for one in differences)]
