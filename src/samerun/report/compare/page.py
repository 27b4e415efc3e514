"""The comparison of several runs as one HTML page that needs nothing but itself.

Jinja escapes every value. The page's content security policy forbids scripts and every request, so
that a text which got through as HTML still could do nothing.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samerun import __version__, tracking
from samerun.errors import UserError
from samerun.files import write_atomic
from samerun.replay.recorded import clean
from samerun.report.compare import curves, metrics, screen
from samerun.report.compare.predictions import ConfusionChange
from samerun.report.compare.reading import Compared
from samerun.report.differences import TITLES

_FOLDER = Path(__file__).parent
_MOST_EXAMPLES = 40
_MOST_LINES = 1_000  # of code
_LONGEST_LINE = 400
_MOST_CLASSES = 20  # of a matrix; more are a list
_MOST_CELLS = 30
_SHADES = 4


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a changed confusion matrix.

    Args:
        text: the difference; empty where there is none.
        look: class of the style sheet.
    """

    text: str
    look: str


def as_html(made: Compared) -> str:
    """Returns the page.

    Args:
        made: the comparison.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clean"] = clean
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    digest = hashlib.sha256(style.encode()).digest()
    return environment.get_template("page.html").render(
        made=made,
        style=_Trusted(style),
        style_digest=base64.b64encode(digest).decode(),
        version=__version__,
        **_values(made),
    )


class _Trusted(str):
    """The style sheet of this package, which is not escaped: its digest has to fit."""

    def __html__(self) -> str:
        return self


def write(content: str, file: Path) -> None:
    """Writes a page, completely or not at all.

    Args:
        content: the page.
        file: the file; replaced if it exists.

    Raises:
        UserError: it cannot be written.
    """
    try:
        write_atomic(file, content)
    except OSError as error:
        raise UserError(
            f"--html: {file} cannot be written ({error.strerror}): name another file."
        ) from error


def log(content: str, made: Compared) -> str:
    """Stores a page among the artifacts of the first run.

    Args:
        content: the page.
        made: the comparison.

    Returns:
        Its path there.
    """
    client = tracking.connect(tracking.resolve_uri(None))
    others = "-".join(run.id[:8] for run in made.runs[1:])
    path = f"compare/{others}.html"
    client.log_text(made.runs[0].id, content, path)
    return path


def _values(made: Compared) -> dict[str, Any]:
    sides = zip(made.labels[1:], made.found.hunks, strict=True)
    return {
        "setting_sentence": screen.setting_sentence(made),
        "parts": {title: rows for part, title in TITLES.items() if (rows := made.found.of(part))},
        "hunks": {label: list(_lines(hunks)) for label, hunks in sides if hunks},
        "metric_rows": metrics.rows(made.found, made.headline),
        "value_of": lambda run: metrics.with_interval(run, made.headline),
        "pictures": {
            name: base64.b64encode(content).decode()
            for name, content in curves.pictures(made.overlays, made.labels)
        },
        "ends": {
            overlay.metric: ", ".join(
                f"{label} {ends}"
                for label, (_, ends) in zip(made.labels, curves.lines(overlay), strict=True)
            )
            for overlay in made.overlays
        },
        "count_sentence": screen.count_sentence(made) if made.predictions.stored else "",
        "disagreements": made.predictions.disagreements[:_MOST_EXAMPLES],
        "prediction_text": screen.prediction_text,
        "image_of": lambda index: _image(made, index),
        "text_of": lambda index: made.examples[index].text if index in made.examples else "",
        "matrices": {
            change: list(_matrix(change))
            for change in made.predictions.confusions
            if len(change.class_names) <= _MOST_CLASSES
        },
        "changes": {change: change.cells()[:_MOST_CELLS] for change in made.predictions.confusions},
    }


def _image(made: Compared, index: int) -> dict[str, Any] | None:
    example = made.examples.get(index)
    if example is None or example.picture is None:
        return None
    width, height = example.size
    return {
        "data": base64.b64encode(example.picture).decode(),
        "width": width,
        "height": height,
    }


def _lines(hunks: str) -> Iterator[tuple[str, str]]:
    """Yields the lines of a patch, each with its class of the style sheet."""
    looks = {"+": "added", "-": "removed", "@": "place"}
    lines = hunks.splitlines()
    for line in lines[:_MOST_LINES]:
        is_file = line.startswith(("+++", "---", "diff ", "index "))
        yield clean(line, _LONGEST_LINE), "file" if is_file else looks.get(line[:1], "")
    if len(lines) > _MOST_LINES:
        yield f"… and {len(lines) - _MOST_LINES} more lines: --json has all", "place"


def _matrix(change: ConfusionChange) -> Iterator[tuple[str, list[Cell]]]:
    """Yields each true class with the changes in its row; blue is more in the first run."""
    largest = max(1, int(abs(change.counts).max()))
    for name, row in zip(change.class_names, change.counts.tolist(), strict=True):
        yield name, [_cell(number, largest) for number in row]


def _cell(number: int, largest: int) -> Cell:
    if not number:
        return Cell(text="", look="none")
    shade = -(-_SHADES * abs(number) // largest)
    return Cell(text=f"{number:+d}", look=f"{'more' if number > 0 else 'less'}{shade}")
