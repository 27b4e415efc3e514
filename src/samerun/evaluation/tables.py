"""Evaluations as tables: Markdown for people, CSV for programs."""

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from samerun.amounts import short
from samerun.escaping import markdown, spreadsheet_cell
from samerun.evaluation.classification import ClassificationReport
from samerun.evaluation.language import LanguageModelReport
from samerun.evaluation.regression import RegressionReport
from samerun.evaluation.report import Report

_COLUMNS = ("precision", "recall", "f1", "auc", "average_precision", "support")
_NUM_CONFUSED = 3  # pairs of classes
_LONGEST_EXCERPT = 240  # characters; two or three lines of a page


def confused_classes(report: ClassificationReport) -> list[str]:
    """Returns a sentence for each of the classes that are most often taken for another.

    The pairs with the most mistakes come first, at most three, and of equally many the one with
    fewer examples. Empty if there are no mistakes.

    Args:
        report: an evaluated classifier.
    """
    wrong = report.confusion.copy()
    np.fill_diagonal(wrong, 0)
    support = report.confusion.sum(axis=1)
    pairs = [(int(true), int(other)) for true, other in zip(*np.nonzero(wrong), strict=True)]
    pairs.sort(key=lambda pair: (-wrong[pair], support[pair[0]], pair))
    sentences = []
    for true, other in pairs[:_NUM_CONFUSED]:
        count, total = int(wrong[true, other]), int(support[true])
        names = report.class_names[true], report.class_names[other]
        part = f"{count} of {total} examples of class {names[0]} ({100 * count / total:.0f} %)"
        sentences.append(f"{part} were classified as {names[1]}.")
    return sentences


def as_markdown(report: Report) -> str:
    """Returns one row per metric, the headline first, with its interval and its baseline.

    Of a classifier, the most confused classes follow.

    Args:
        report: an evaluation of any kind.
    """
    metrics = report.metrics
    names = [name for name in metrics if not name.startswith("baseline_")]
    names = [name for name in names if not _is_end(name, metrics)]
    names.sort(key=lambda name: name != report.headline)
    rows = []
    for name in names:
        value, label = short(metrics[name]), name.replace("_", " ")
        if name == report.headline:
            value, label = f"**{value}**", f"**{label}**"
        ends = [metrics.get(name + end) for end in ("_low", "_high")]
        interval = " to ".join(short(end) for end in ends if end is not None)
        baseline = metrics.get(f"baseline_{name}")
        rows.append([label, value, interval, "" if baseline is None else short(baseline)])
    header = ["metric", "value", "95 % interval", f"{report.baseline} baseline"]
    table = _markdown(header if report.baseline else header[:3], rows, num_texts=1)
    sentences = confused_classes(report) if isinstance(report, ClassificationReport) else []
    if not sentences:
        return table
    lines = [f"- {markdown(sentence)}" for sentence in sentences]
    return "\n".join([table, "Most confused classes:", "", *lines, ""])


def _is_end(name: str, metrics: dict[str, float]) -> bool:
    stem, _, end = name.rpartition("_")
    return end in ("low", "high") and stem in metrics


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]], num_texts: int) -> str:
    """A table whose first columns are texts and whose others are numbers."""
    rule = "|" + "---|" * num_texts + "---:|" * (len(header) - num_texts)
    lines = [f"| {' | '.join(row[: len(header)])} |" for row in (header, *rows)]
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def mistakes_markdown(report: Report, texts: Sequence[str] = ()) -> str:
    """Returns one row for each of the worst examples, the worst first.

    Args:
        report: an evaluation of any kind.
        texts: those of the examples in `report.worst`, in its order, of which 240 characters are
            shown. Empty where the examples are no texts.

    Returns:
        A Markdown table, or an empty string where there is nothing to show.
    """
    header, rows = _worst(report)
    if not rows:
        return ""
    if texts:
        header = ["text", *header]
        rows = [[excerpt(text), *row] for text, row in zip(texts, rows, strict=True)]
    return _markdown(header, rows, num_texts=1 if texts else 0)


def _worst(report: Report) -> tuple[list[str], list[list[str]]]:
    if isinstance(report, ClassificationReport):
        names = [markdown(name) for name in report.class_names]
        return ["example", "true", "predicted", "confidence"], [
            [str(m.index), names[m.label], names[m.predicted], f"{m.confidence:.2f}"]
            for m in report.worst
        ]
    if isinstance(report, LanguageModelReport):
        return ["example", "tokens", "log loss per token"], [
            [str(text.index), str(text.num_tokens), short(text.log_loss)] for text in report.worst
        ]
    if isinstance(report, RegressionReport):
        return ["example", "output", "truth", "prediction", "residual"], [
            [str(m.index), str(m.output + 1), *map(short, (m.truth, m.predicted, m.residual))]
            for m in report.worst
        ]
    return [], []


def excerpt(text: str, longest: int = _LONGEST_EXCERPT) -> str:
    """Returns the start of a text on one line, escaped for a Markdown cell.

    Args:
        text: any text.
        longest: characters that are kept.
    """
    line = " ".join(text[: 4 * longest].split())
    cut = line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
    return markdown(cut)


def as_markdown_table(report: Report) -> str:
    """Returns one row per class, rounded to three decimals; a dash where a score is not defined.

    Args:
        report: an evaluation; of one without classes the text is empty.
    """
    if not isinstance(report, ClassificationReport):
        return ""
    header = ["class", *(name.replace("_", " ") for name in _COLUMNS)]
    rows = [
        [markdown(score.name), *(_cell(getattr(score, column)) for column in _COLUMNS)]
        for score in report.per_class
    ]
    return _markdown(header, rows, num_texts=1)


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "–" if math.isnan(value) else f"{value:.3f}"


def to_csv(report: Report) -> str:
    """Returns one row per class, in full precision; a cell is empty where a score is not defined.

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
        rows.writerow(
            [
                spreadsheet_cell(score.name),
                *("" if math.isnan(value) else value for value in values),
            ]
        )
    return text.getvalue()
