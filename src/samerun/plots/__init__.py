"""Evaluation values to figures. Nothing is computed here but positions on paper."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from samerun.config import Layout
from samerun.evaluation import ClassificationReport, RegressionReport, Report
from samerun.plots.classification import (
    calibration,
    confusion_matrix,
    mistakes,
    precision_recall_curves,
    roc_curves,
)
from samerun.plots.learning import learning_curves, schedule_curve, weight_histograms
from samerun.plots.regression import forecast_over_time, predicted_against_truth, residuals
from samerun.plots.style import save


def draw(
    report: Report | None = None,
    *,
    class_names: Sequence[str] = (),
    examples: Callable[[Sequence[int]], NDArray[np.generic]] | None = None,
    layout: Layout | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
    monitor: str | None = None,
    rates: NDArray[np.floating] | None = None,
    steps_per_epoch: int = 1,
    weights: Mapping[str, NDArray[np.floating]] | None = None,
    unit: str = "",
) -> dict[str, Figure]:
    """Draws all that fits a run, by name.

    Args:
        report: the evaluation; `None` draws the training only.
        class_names: names to show; the report's own where empty.
        examples: gives the features of the examples at some positions of the evaluated split; only
            those that are shown are asked for.
        layout: how to read the examples; only images are drawn.
        history: values an epoch, as `learning_curves` takes them.
        monitor: the metric that chose the epoch.
        rates: (steps,) learning rates.
        steps_per_epoch: training steps an epoch, for `rates`.
        weights: values by variable, as `evaluation.weight_samples` gives them.
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
        if examples is not None and layout is Layout.image and report.worst:
            images = examples([mistake.index for mistake in report.worst])
            figures["mistakes"] = mistakes(report, images, class_names)
    if isinstance(report, RegressionReport):
        figures["predicted_against_truth"] = predicted_against_truth(report, unit)
        figures["residuals"] = residuals(report, unit)
        if report.is_forecast:
            figures["forecast"] = forecast_over_time(report, unit=unit)
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
