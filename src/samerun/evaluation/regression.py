"""Evaluation of models that predict numbers: regression and forecasts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samerun import config
from samerun.evaluation.report import Report, mean_interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Miss:
    """A prediction far from the truth.

    Args:
        index: position of the example in the split.
        output: which of the predicted numbers, from 0.
        truth: the true number.
        predicted: the number the model said.
    """

    index: int
    output: int
    truth: float
    predicted: float


@dataclass(frozen=True, kw_only=True)
class RegressionReport(Report):
    """An evaluated model of one or more numbers, in the units of the targets.

    Args:
        is_forecast: the examples are in the order of time.
        truth: (examples, outputs) true numbers.
        predicted: (examples, outputs) predicted numbers.
        worst: the largest errors, the largest first.
    """

    is_forecast: bool
    truth: Floats
    predicted: Floats
    worst: tuple[Miss, ...]

    @property
    def residuals(self) -> Floats:
        """(examples, outputs) truth minus prediction."""
        return self.truth - self.predicted

    @property
    def errors(self) -> Floats:
        """Mean absolute error over an example's outputs."""
        return np.asarray(np.abs(self.residuals).mean(axis=1), np.float64)


def _misses(truth: Floats, predicted: Floats, at_most: int) -> tuple[Miss, ...]:
    order = np.argsort(-np.abs(truth - predicted), axis=None, kind="stable")[:at_most]
    rows, columns = np.unravel_index(order, truth.shape)
    return tuple(
        Miss(
            index=int(row),
            output=int(column),
            truth=float(truth[row, column]),
            predicted=float(predicted[row, column]),
        )
        for row, column in zip(rows, columns, strict=True)
    )


def _errors(truth: Floats, predicted: Floats) -> tuple[float, float]:
    residuals = truth - predicted
    return float(np.abs(residuals).mean()), float(np.sqrt((residuals**2).mean()))


def determination(truth: Floats, predicted: Floats) -> float:
    """Returns R2, averaged over the outputs; NaN where an output has the same truth everywhere.

    Source: R2 = 1 - sum of squared residuals / sum of squares around the mean of the truth.

    Args:
        truth: (examples, outputs).
        predicted: (examples, outputs).
    """
    spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    if (spread == 0).any():
        return float("nan")
    return float((1 - ((truth - predicted) ** 2).sum(axis=0) / spread).mean())


def _baseline(truth: Floats, predicted: Floats, mean_absolute: float) -> dict[str, float]:
    """Skill is 1 - error / baseline error: 1 is perfect, 0 no better, below 0 worse."""
    simple_absolute, simple_squared = _errors(truth, predicted)
    metrics = {
        "baseline_mean_absolute_error": simple_absolute,
        "baseline_root_mean_squared_error": simple_squared,
    }
    if simple_absolute:
        metrics["skill"] = 1 - mean_absolute / simple_absolute
    return metrics


def _as_columns(values: NDArray[np.generic], num_outputs: int) -> Floats:
    return np.asarray(values, np.float64).reshape(-1, num_outputs)


def report_regression(
    truth: NDArray[np.generic],
    predicted: NDArray[np.generic],
    worst_examples: int,
    *,
    is_forecast: bool = False,
    baseline_labels: NDArray[np.generic] | None = None,
    baseline_predictions: NDArray[np.generic] | None = None,
) -> RegressionReport:
    """Compares predicted numbers with the truth.

    The interval of a forecast's error draws blocks of neighbouring examples, n^(1/3) long: their
    errors depend on each other, and drawing them one by one gives too narrow an interval.

    Args:
        truth: (examples,) or (examples, outputs).
        predicted: the same shape.
        worst_examples: how many of the largest errors to list.
        is_forecast: the examples are in the order of time.
        baseline_labels: targets of the training split, whose mean is the baseline.
        baseline_predictions: (examples, outputs), or (examples, 1) for all outputs: a better
            baseline for a forecast, the last value known when it was made ("tomorrow = today").

    Raises:
        UserError: the model predicts another number of numbers than the data has.
    """
    num_outputs = 1 if np.ndim(truth) == 1 else np.shape(truth)[1]
    if np.size(truth) != np.size(predicted):
        raise config.UserError(
            f"The model gives {np.size(predicted) // len(truth)} numbers an example, expected "
            f"{num_outputs}."
        )
    true, said = _as_columns(truth, num_outputs), _as_columns(predicted, num_outputs)
    block_length = max(1, round(len(true) ** (1 / 3))) if is_forecast else 1
    low, high = mean_interval(np.abs(true - said).mean(axis=1), block_length)
    mean_absolute, root_mean_squared = _errors(true, said)
    metrics = {
        "mean_absolute_error": mean_absolute,
        "mean_absolute_error_low": low,
        "mean_absolute_error_high": high,
        "root_mean_squared_error": root_mean_squared,
    }
    r2 = determination(true, said)
    if not np.isnan(r2):
        metrics["r2"] = r2
    baseline = ""
    if baseline_predictions is not None:
        baseline = "persistence"
        simple = np.asarray(baseline_predictions, np.float64).reshape(len(true), -1)
        metrics |= _baseline(true, simple, mean_absolute)
    elif baseline_labels is not None:
        baseline = "mean"
        mean = _as_columns(baseline_labels, num_outputs).mean(axis=0)
        metrics |= _baseline(true, mean, mean_absolute)
    return RegressionReport(
        metrics=metrics,
        headline="mean_absolute_error",
        baseline=baseline,
        is_forecast=is_forecast,
        truth=true,
        predicted=said,
        worst=_misses(true, said, worst_examples),
    )
