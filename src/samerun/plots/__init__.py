"""Evaluation values to figures. Nothing is computed here but positions on paper."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from samerun.config import Layout
from samerun.evaluation import ClassificationReport, LanguageModelReport, RegressionReport, Report
from samerun.plots.classification import (
    calibration,
    confusion_matrix,
    precision_recall_curves,
    roc_curves,
)
from samerun.plots.language import token_losses
from samerun.plots.learning import (
    compare_curves,
    learning_curves,
    schedule_curve,
    weight_histograms,
)
from samerun.plots.mistakes import mistakes, text_mistakes, video_mistakes
from samerun.plots.regression import (
    error_by_step,
    forecast_over_time,
    predicted_against_truth,
    residuals,
)
from samerun.plots.style import save

_GALLERIES = {Layout.image: mistakes, Layout.video: video_mistakes}


def draw(
    report: Report | None = None,
    *,
    class_names: Sequence[str] = (),
    examples: Callable[[Sequence[int]], NDArray[np.generic]] | None = None,
    texts: Callable[[Sequence[int]], Sequence[str]] | None = None,
    layout: Layout | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
    monitor: str | None = None,
    rates: NDArray[np.floating] | None = None,
    steps_per_epoch: int = 1,
    weights: Mapping[str, NDArray[np.floating]] | None = None,
    times: NDArray[np.generic] | None = None,
    unit: str = "",
) -> dict[str, Figure]:
    """Draws all that fits a run, by name.

    Args:
        report: the evaluation; `None` draws the training only.
        class_names: names to show; the report's own where empty.
        examples: gives the features of the examples at some positions of the evaluated split; only
            those that are shown are asked for.
        texts: gives the words of the examples at some positions of the evaluated split.
        layout: how to read the examples: images are drawn as they are, a video as a strip of
            frames, tokens as text.
        history: values an epoch, as `learning_curves` takes them.
        monitor: the metric that chose the epoch.
        rates: (steps,) learning rates.
        steps_per_epoch: training steps an epoch, for `rates`.
        weights: values by variable, as `evaluation.weight_samples` gives them.
        times: (examples,) dates or numbers for the time axis of a forecast.
        unit: unit of the targets of a regression or forecast.
    """
    figures: dict[str, Figure] = {}
    if history:
        figures["learning_curves"] = learning_curves(history, monitor)
    if rates is not None and len(rates):
        figures["schedule"] = schedule_curve(rates, steps_per_epoch)
    if weights:
        figures["weights"] = weight_histograms(weights)
    if isinstance(report, ClassificationReport):
        figures |= _of_classification(report, class_names)
    if isinstance(report, LanguageModelReport):
        figures["token_losses"] = token_losses(report)
    if isinstance(report, ClassificationReport | LanguageModelReport) and report.worst:
        indices = [worst.index for worst in report.worst]
        if layout is Layout.tokens and texts is not None:
            figures["mistakes"] = text_mistakes(report, texts(indices), class_names)
        elif layout in _GALLERIES and examples is not None:
            assert isinstance(report, ClassificationReport)
            figures["mistakes"] = _GALLERIES[layout](report, examples(indices), class_names)
    if isinstance(report, RegressionReport):
        figures["predicted_against_truth"] = predicted_against_truth(report, unit)
        figures["residuals"] = residuals(report, unit)
        if report.is_forecast:
            figures["forecast"] = forecast_over_time(report, times, unit)
            if report.truth.shape[1] > 1:
                figures["error_by_step"] = error_by_step(report, unit)
    return figures


def _of_classification(
    report: ClassificationReport, class_names: Sequence[str]
) -> dict[str, Figure]:
    figures = {
        "confusion_matrix": confusion_matrix(report, class_names),
        "calibration": calibration(report),
    }
    if report.roc:  # none where the split has one class only
        figures["roc"] = roc_curves(report, class_names)
        figures["precision_recall"] = precision_recall_curves(report, class_names)
    return figures
