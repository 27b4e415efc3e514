"""Predictions on files, in chunks, so that a file may be bigger than the memory."""

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from samerun.errors import UserError
from samerun.escaping import one_line, spreadsheet_cell
from samerun.raw_model import Answered, RawModel, RefusedInput
from samerun.serving.reading import Chunk, chunks, key_of

MOST_NAMED = 20
"""Refused rows that are named; the others are counted."""


class Output(Protocol):
    """Where answers are written."""

    def write(self, text: str, /) -> object:
        """Writes a text."""


@dataclass
class Tally:
    """What became of the rows.

    Args:
        answered: rows with an answer.
        refused: rows without one.
    """

    answered: int = 0
    refused: int = 0
    _named: list[str] = field(default_factory=list)


def predict(
    model: RawModel,
    source: str,
    out: Output,
    *,
    as_json: bool,
    complain: Callable[[str], None],
    params: Mapping[str, Any] | None = None,
) -> Tally:
    """Writes the answers to a file's rows, each with its line or the name of its file.

    Args:
        model: the model.
        source: a file, a folder or `-`.
        out: where to write.
        as_json: one JSON object per line instead of CSV.
        complain: called with one sentence for each of the first refused rows.
        params: for a language model.

    Raises:
        UserError: the input is not what the model takes.
    """
    form, tally = model.description["input"], Tally()
    write = _json_writer(out) if as_json else _csv_writer(out)
    key = key_of(form, source)
    for chunk in chunks(form, source):
        try:
            made = model.answer(chunk.frame, params)
        except RefusedInput as error:
            raise UserError(f"{source}: {error}") from error
        for row, reason in sorted(made.refused.items()):
            tally.refused += 1
            if tally.refused <= MOST_NAMED:
                complain(f"{key} {one_line(str(chunk.names[row]), 200)}: {reason}.")
        if made.columns:
            write(_with_names(key, chunk, made))
        tally.answered += len(np.unique(made.rows))
    if tally.refused > MOST_NAMED:
        complain(f"{tally.refused - MOST_NAMED} more are refused.")
    return tally


def _with_names(key: str, chunk: Chunk, made: Answered) -> dict[str, list[Any]]:
    names = [chunk.names[row] for row in made.rows.tolist()]
    cells = {name: values.tolist() for name, values in made.columns.items()}
    while key in cells:  # a target or a date of the model's has the name `line`
        key = f"input_{key}"
    return {key: [_plain(name) for name in names], **cells}


def _plain(name: str | int) -> str | int:
    return name if isinstance(name, int) else one_line(name, 4000)


def _csv_writer(out: Output) -> Callable[[Mapping[str, list[Any]]], None]:
    rows = csv.writer(out, lineterminator="\n")
    has_header: list[bool] = []

    def write(columns: Mapping[str, list[Any]]) -> None:
        if not has_header:
            rows.writerow(map(spreadsheet_cell, columns))
            has_header.append(True)
        rows.writerows(zip(*map(_cells, columns.values()), strict=True))

    return write


def _cells(column: list[Any]) -> list[Any]:
    """A column for a CSV file, in which a spreadsheet evaluates nothing."""
    known: dict[Any, Any] = {}
    if column and isinstance(column[0], str):
        known = {cell: spreadsheet_cell(cell) for cell in set(column) if isinstance(cell, str)}
    return [known.get(cell, cell) for cell in column] if known else column


def _json_writer(out: Output) -> Callable[[Mapping[str, list[Any]]], None]:
    def write(columns: Mapping[str, list[Any]]) -> None:
        for row in _records(columns):
            out.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    return write


def _records(columns: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for cells in zip(*columns.values(), strict=True):
        yield dict(zip(columns, map(_json_cell, cells), strict=True))


def _json_cell(cell: Any) -> Any:
    """A cell for JSON, which has no number that is NaN or infinite."""
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
