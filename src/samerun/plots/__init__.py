"""From evaluation results to figures. Nothing is computed here but positions on the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
    feature_weights,
    learning_curves,
    overlaid_curves,
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


@dataclass(frozen=True, kw_only=True)
class EvaluatedSplit:
    """The split that a report is about, as far as figures show it.

    Args:
        layout: how to read the examples: images are drawn as they are, a video as a strip of
            frames, tokens as text.
        class_names: names to show; the report's own where empty.
        examples: returns the features of the examples at some positions; called only for those
            that are shown.
        texts: returns the text of the examples at some positions.
        times: (examples,) dates or numbers for the time axis of a forecast.
        unit: unit of the targets of a regression or forecast.
    """

    layout: Layout | None = None
    class_names: Sequence[str] = ()
    examples: Callable[[Sequence[int]], NDArray[np.generic]] | None = None
    texts: Callable[[Sequence[int]], Sequence[str]] | None = None
    times: NDArray[np.generic] | None = None
    unit: str = ""


def draw(
    report: Report | None = None,
    split: EvaluatedSplit | None = None,
    *,
    history: Mapping[str, Sequence[float]] | None = None,
    monitor: str | None = None,
    weights: Mapping[str, NDArray[np.floating]] | None = None,
    first_kernel: tuple[Sequence[str], NDArray[np.floating]] | None = None,
) -> dict[str, Figure]:
    """Draws every figure that fits a run, by name.

    Args:
        report: the evaluation; `None` draws the training only.
        split: the split that was evaluated; `None` draws no examples.
        history: one value per epoch, as `learning_curves` takes them.
        monitor: the metric that chose the epoch.
        weights: values by variable, as `evaluation.weight_samples` returns them.
        first_kernel: names of the features of a table and the kernel of the first layer,
            `(features, units)`.
    """
    split = split or EvaluatedSplit()
    figures: dict[str, Figure] = {}
    if history:
        figures["learning_curves"] = learning_curves(history, monitor)
    if weights:
        figures["weights"] = weight_histograms(weights)
    if first_kernel:
        figures["feature_weights"] = feature_weights(*first_kernel)
    if isinstance(report, ClassificationReport):
        figures |= _of_classification(report, split.class_names)
    if isinstance(report, LanguageModelReport):
        figures["token_losses"] = token_losses(report)
    if isinstance(report, ClassificationReport | LanguageModelReport) and report.worst:
        figures |= _of_mistakes(report, split)
    if isinstance(report, RegressionReport):
        figures["predicted_against_truth"] = predicted_against_truth(report, split.unit)
        figures["residuals"] = residuals(report, split.unit)
        if report.is_forecast:
            figures["forecast"] = forecast_over_time(report, split.times, split.unit)
            if report.truth.shape[1] > 1:
                figures["error_by_step"] = error_by_step(report, split.unit)
    return figures


def _of_mistakes(
    report: ClassificationReport | LanguageModelReport, split: EvaluatedSplit
) -> dict[str, Figure]:
    indices = [worst.index for worst in report.worst]
    if split.layout is Layout.tokens and split.texts is not None:
        texts = split.texts(indices)
        return {"mistakes": text_mistakes(report, texts, split.class_names)}
    if split.layout in _GALLERIES and split.examples is not None:
        assert isinstance(report, ClassificationReport)
        examples = split.examples(indices)
        return {"mistakes": _GALLERIES[split.layout](report, examples, split.class_names)}
    return {}


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
