"""The scores of each class as a table: Markdown for people, CSV for programs."""

import csv
import io
import math

from samerun.evaluation.classification import ClassificationReport
from samerun.evaluation.report import Report

_COLUMNS = ("precision", "recall", "f1", "auc", "average_precision", "support")


def as_markdown_table(report: Report) -> str:
    """Returns one row a class, rounded to three decimals; a dash where a score is not defined.

    Args:
        report: an evaluation; of one without classes the text is empty.
    """
    if not isinstance(report, ClassificationReport):
        return ""
    lines = [
        "| class | " + " | ".join(name.replace("_", " ") for name in _COLUMNS) + " |",
        "|---|" + "---:|" * len(_COLUMNS),
    ]
    for score in report.per_class:
        name = score.name.replace("|", "\\|")
        lines.append(f"| {name} | {' | '.join(_cell(getattr(score, c)) for c in _COLUMNS)} |")
    return "\n".join(lines) + "\n"


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "–" if math.isnan(value) else f"{value:.3f}"


def to_csv(report: Report) -> str:
    """Returns one row a class, in full precision; a cell is empty where a score is not defined.

    Args:
        report: an evaluation; of one without classes the text is empty.
    """
    if not isinstance(report, ClassificationReport):
        return ""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["class", *_COLUMNS])
    for score in report.per_class:
        values = [getattr(score, column) for column in _COLUMNS]
        rows.writerow([score.name, *("" if math.isnan(value) else value for value in values)])
    return text.getvalue()
