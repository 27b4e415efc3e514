"""The worst examples themselves: images, videos and texts with their predictions."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from samerun.evaluation import ClassificationReport, LanguageModelReport
from samerun.plots.fonts import BOX, MONOSPACED, columns_of, plain_names, printable
from samerun.plots.style import BLACK, GRAY, SMALL, TEXT, grid_of, hide, panels, sheet

_NUM_FRAMES = 5  # of a video; more are too small to see anything on
_LINE_WIDTH = 92  # characters
_MOST_LINES = 3
_LINE, _CAPTION, _GAP = 0.165, 0.24, 0.16  # inches


def _scaled(images: NDArray[np.generic]) -> NDArray[np.float64]:
    """Scales to 0..1 by the range of all images together: a dark one stays dark."""
    values = np.asarray(images, np.float64)
    low, high = min(0.0, float(values.min())), float(values.max())
    values = (values - low) / ((high - low) or 1.0)
    return values[..., :3] if values.shape[-1] >= 3 else values[..., 0]


def mistakes(
    report: ClassificationReport, images: NDArray[np.generic], class_names: Sequence[str] = ()
) -> Figure:
    """Draws the most confident mistakes with their predictions.

    Args:
        report: an evaluated classifier.
        images: the images of `report.worst`, in its order: (mistakes, height, width) or (mistakes,
            height, width, channels) of any type and range.
        class_names: names to show; the report's own where empty.
    """
    values = np.asarray(images)
    values = values[..., None] if values.ndim == 3 else values
    scaled = list(_scaled(values)) if len(values) else []
    return _gallery(report, scaled, class_names, most_columns=6)


def video_mistakes(
    report: ClassificationReport, videos: NDArray[np.generic], class_names: Sequence[str] = ()
) -> Figure:
    """Draws the most confident mistakes as strips of five frames, the first and the last included.

    Args:
        report: an evaluated classifier.
        videos: the videos of `report.worst`, in its order: (mistakes, frames, height, width,
            channels) of any type and range.
        class_names: names to show; the report's own where empty.
    """
    values = np.asarray(videos)
    if not len(values):
        return _gallery(report, [], class_names, most_columns=2)
    kept = np.linspace(0, values.shape[1] - 1, min(_NUM_FRAMES, values.shape[1])).round()
    frames = _scaled(values[:, kept.astype(int)])
    gap = np.ones((*frames.shape[:3], max(1, frames.shape[3] // 20), *frames.shape[4:]))
    apart = np.concatenate([frames, gap], axis=3)
    strips = [np.concatenate(list(film), axis=1) for film in apart]
    return _gallery(report, strips, class_names, most_columns=2)


def _gallery(
    report: ClassificationReport,
    images: Sequence[NDArray[np.float64]],
    class_names: Sequence[str],
    most_columns: int,
) -> Figure:
    number = len(report.worst)
    names = plain_names(class_names or report.class_names)
    predicted = [
        f"predicted {names[mistake.predicted]} ({mistake.confidence:.2f})"
        for mistake in report.worst
    ]
    true = [f"true {names[mistake.label]}" for mistake in report.worst]
    rows, columns = grid_of(number, min(most_columns, max(2, round(number**0.5))))
    height, width = images[0].shape[:2] if images else (1, 1)
    is_strip = width > 2 * height
    wide = (
        4.4 if is_strip else max(1.75, 0.085 * (3 + max(map(columns_of, [*predicted, *true, ""]))))
    )
    high = wide * height / width
    figure, grid = panels(rows, columns, max(4.0, wide * columns), (high + 0.5) * rows + 0.4)
    hide(grid)
    join = ", " if is_strip else "\n"
    for axes, above, below, picture in zip(grid, true, predicted, images, strict=False):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(above + join + below, fontsize=SMALL, y=1.0)
    figure.suptitle(_how_many(report), fontsize=TEXT)
    return figure


def _how_many(report: ClassificationReport) -> str:
    total = int(report.errors.sum())
    title = f"the {len(report.worst)} most confident of {total} mistakes"
    if total == len(report.worst):
        title = f"all {total} mistakes" if total else "no mistakes"
    return f"{title} in {report.num_examples} examples"


def text_mistakes(
    report: ClassificationReport | LanguageModelReport,
    texts: Sequence[str],
    class_names: Sequence[str] = (),
) -> Figure:
    """Draws the starts of the worst texts, with the error above each.

    Args:
        report: an evaluated classifier of texts, whose most confident mistakes are shown, or a
            language model, whose least probable texts are.
        texts: the texts of `report.worst`, in its order.
        class_names: names to show; the report's own where empty.
    """
    if isinstance(report, ClassificationReport):
        names = plain_names(class_names or report.class_names)
        title = _how_many(report)
        captions = [
            f"true {names[worst.label]}, predicted {names[worst.predicted]} "
            f"({worst.confidence:.2f})"
            for worst in report.worst
        ]
    else:
        title = f"the {len(report.worst)} least probable of {report.num_examples} texts"
        captions = [
            f"example {hard.index}: log loss {hard.log_loss:.2f} per token "
            f"({hard.num_tokens} tokens)"
            for hard in report.worst
        ]
    return _page(title, captions, [_lines(text) for text in texts])


def _lines(text: str) -> list[str]:
    beginning = " ".join(text[: 4 * _LINE_WIDTH * _MOST_LINES].split())
    if not beginning:
        return ["(empty)"]
    shown = printable(beginning).replace(" ", "")
    if 2 * shown.count(BOX) > len(shown):
        return ["(no font on this machine has these characters)"]
    width = max(1, _LINE_WIDTH * len(beginning) // columns_of(beginning))
    lines = textwrap.wrap(beginning, width, max_lines=_MOST_LINES, placeholder=" …")
    return [printable(line) for line in lines]


def _page(title: str, captions: Sequence[str], blocks: Sequence[Sequence[str]]) -> Figure:
    height = 0.55 + sum(_CAPTION + _LINE * len(lines) + _GAP for lines in blocks)
    width = 7.9
    figure = sheet(width, height)
    at = height - 0.15

    def write(text: str, left: float, **look: Any) -> None:
        figure.text(left / width, at / height, text, va="top", ha="left", **look)

    write(title, 0.2, fontsize=TEXT, color=BLACK)
    at -= 0.35
    for number, (caption, lines) in enumerate(zip(captions, blocks, strict=True), start=1):
        write(f"{number}", 0.2, fontsize=SMALL, color=GRAY)
        write(caption, 0.5, fontsize=SMALL, color=BLACK, fontweight="bold")
        at -= _CAPTION
        for line in lines:
            write(line, 0.5, fontsize=8.5, color=BLACK, fontfamily=MONOSPACED)
            at -= _LINE
        at -= _GAP
    return figure
