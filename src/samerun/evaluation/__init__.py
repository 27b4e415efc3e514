"""From predictions to metrics, curves, tables and the worst examples. Nothing is drawn here."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samerun import config
from samerun.config.training import Evaluation
from samerun.errors import UserError
from samerun.evaluation.calibration import Calibration
from samerun.evaluation.classification import (
    ClassificationReport,
    ClassScore,
    Curve,
    Mistake,
    label_agreement,
    report_classification,
)
from samerun.evaluation.language import (
    HardText,
    LanguageModelReport,
    report_language_model,
)
from samerun.evaluation.regression import Miss, RegressionReport, report_regression
from samerun.evaluation.report import Report, best_epoch, mean_interval, share_interval
from samerun.evaluation.tables import (
    as_markdown,
    as_markdown_table,
    confused_classes,
    mistakes_markdown,
    to_csv,
)

_NUM_SAMPLES = 10_000  # a histogram of 10,000 numbers looks like that of 10 million


def evaluate(
    model: Any,
    dataset: Iterable[Any],
    spec: config.DataSpec,
    cfg: Evaluation,
    *,
    baseline_labels: NDArray[np.generic] | None = None,
    baseline_predictions: NDArray[np.generic] | None = None,
    to_units: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> Report:
    """Measures a trained model on a split.

    Args:
        model: a Keras model, or anything with `predict(dataset, verbose=0)`; a language model is
            called batch by batch, with `predict_on_batch(features)`, and returns logits.
        dataset: batches of (features, labels), the same in the same order each time: labels are
            (batch,) integers for `multiclass`, (batch, 1) for `binary`, (batch, length) integers
            with 0 for padding for `language_model`, (batch, outputs) otherwise.
        spec: description of the data.
        cfg: what to evaluate.
        baseline_labels: labels or targets of the *training* split, for the baseline of a model
            that ignores its input; numbers are in their units, as `to_units` gives them.
        baseline_predictions: (examples, outputs) prediction of "tomorrow = today" for each example
            of `dataset`: the last known value, in the same units. For forecasts.
        to_units: converts (examples, outputs) scaled numbers back to their units, for a regression
            or forecast: applied to truth and predictions before anything is measured.

    Raises:
        UserError: the split is empty, a prediction is not finite, or its
            outputs do not fit the task.
    """
    if spec.task is config.Task.language_model:
        return report_language_model(
            model,
            dataset,
            cfg.worst_examples,
            baseline_labels=baseline_labels,
            num_resamples=cfg.bootstrap_samples,
        )
    outputs, labels = _predict(model, dataset)
    if spec.is_classification:
        names = spec.class_names or tuple(str(n) for n in range(max(2, spec.num_outputs)))
        return report_classification(
            labels,
            outputs,
            names,
            cfg.worst_examples,
            baseline_labels,
            num_resamples=cfg.bootstrap_samples,
        )
    if to_units is not None and outputs.size == labels.size:
        outputs, labels = to_units(outputs), to_units(labels.reshape(outputs.shape))
    return report_regression(
        labels,
        outputs,
        cfg.worst_examples,
        is_forecast=spec.task is config.Task.forecast,
        baseline_labels=baseline_labels,
        baseline_predictions=baseline_predictions,
        num_resamples=cfg.bootstrap_samples,
    )


def _predict(model: Any, dataset: Iterable[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    batches = [np.asarray(batch[1]) for batch in dataset]
    if not batches:
        raise UserError("evaluation: the split has no examples: give the dataset a test split.")
    labels = np.concatenate(batches)
    outputs = np.asarray(model.predict(dataset, verbose=0), np.float64).reshape(len(labels), -1)
    num_bad = int((~np.isfinite(outputs).all(axis=1)).sum())
    if num_bad:
        raise UserError(
            f"evaluation: the model's predictions are not finite for {num_bad} of {len(labels)} "
            "examples: training has diverged; try a smaller optimizer.learning_rate."
        )
    return outputs, labels


def feature_weights(model: Any, num_features: int) -> NDArray[np.float64] | None:
    """Returns the first layer's kernel, `(features, units)`; `None` if it is no dense layer's.

    Args:
        model: a built Keras model.
        num_features: numbers of one example.
    """
    first = next(iter(model.trainable_variables), None)
    if first is None or first.name != "kernel" or len(first.shape) != 2:
        return None
    return np.asarray(first.numpy(), np.float64) if first.shape[0] == num_features else None


def weight_samples(model: Any, num_samples: int = _NUM_SAMPLES) -> dict[str, NDArray[np.float64]]:
    """Returns the values of each trainable variable, evenly thinned out where there are many.

    Args:
        model: a built Keras model.
        num_samples: at most this many values per variable.
    """
    samples = {}
    for variable in model.trainable_variables:
        values = np.asarray(variable.numpy(), np.float64).reshape(-1)
        kept = np.linspace(0, len(values) - 1, min(len(values), num_samples)).round()
        samples[str(variable.path)] = values[kept.astype(np.int64)]
    return samples
