"""Evaluation of models that predict numbers: regression and forecasts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samerun.errors import UserError
from samerun.evaluation.report import NUM_RESAMPLES, Report, mean_interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Miss:
    """A prediction far from the truth.

    Args:
        index: position of the example in the split.
        output: which of the predicted numbers, from 0.
        truth: the true number.
        predicted: the number that the model predicted.
    """

    index: int
    output: int
    truth: float
    predicted: float

    @property
    def residual(self) -> float:
        """Truth minus prediction."""
        return self.truth - self.predicted


@dataclass(frozen=True, kw_only=True)
class RegressionReport(Report):
    """An evaluated model of one or more numbers, in the units of the targets.

    Args:
        is_forecast: the examples are in the order of time.
        truth: (examples, outputs) true numbers.
        predicted: (examples, outputs) predicted numbers.
        simple: (examples, outputs) prediction of the baseline, `None` without one.
        worst: the largest errors, the largest first.
    """

    is_forecast: bool
    truth: Floats
    predicted: Floats
    simple: Floats | None
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


def _against_baseline(
    true: Floats, predictions: Floats, simple: Floats, block_length: int, num_resamples: int
) -> dict[str, float]:
    """Skill is 1 - error / baseline error: 1 is perfect, 0 no better, below 0 worse.

    Its interval draws the same examples for both, so that a hard day is hard for both.
    """
    simple_absolute, simple_squared = _errors(true, simple)
    metrics = {
        "baseline_mean_absolute_error": simple_absolute,
        "baseline_root_mean_squared_error": simple_squared,
    }
    if not simple_absolute:
        return metrics
    errors, per = (np.abs(true - other).mean(axis=1) for other in (predictions, simple))
    low, high = mean_interval(errors, block_length, num_resamples, per=per)
    skill = 1 - float(np.abs(true - predictions).mean()) / simple_absolute
    return metrics | {"skill": skill, "skill_low": 1 - high, "skill_high": 1 - low}


def _of_steps(true: Floats, predictions: Floats, prefix: str = "") -> dict[str, float]:
    """The error of each step ahead; the name ends in `error`, since it should fall."""
    digits = len(str(true.shape[1]))
    return {
        f"{prefix}step_{step:0{digits}}_mean_absolute_error": float(error)
        for step, error in enumerate(np.abs(true - predictions).mean(axis=0), start=1)
    }


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
    num_resamples: int = NUM_RESAMPLES,
) -> RegressionReport:
    """Compares predicted numbers with the truth.

    The interval of a forecast's error draws blocks of neighboring examples, n^(1/3) long, or as
    long as the forecast is: their errors depend on each other, and drawing them one by one gives
    too narrow an interval. A forecast of several steps has the error of each step, too.

    Args:
        truth: (examples,) or (examples, outputs).
        predicted: the same shape.
        worst_examples: number of largest errors to list.
        is_forecast: the examples are in the order of time, the outputs are steps ahead.
        baseline_labels: targets of the training split, whose mean is the baseline.
        baseline_predictions: (examples, outputs), or (examples, 1) for all outputs: a better
            baseline for a forecast, the last value known when it was made ("tomorrow = today").
        num_resamples: resamples for an interval.

    Raises:
        UserError: the model has another number of outputs than the data.
    """
    num_outputs = 1 if np.ndim(truth) == 1 else np.shape(truth)[1]
    if np.size(truth) != np.size(predicted):
        raise UserError(
            f"The model returns {np.size(predicted) // len(truth)} numbers per example, expected "
            f"{num_outputs}."
        )
    true, predictions = _as_columns(truth, num_outputs), _as_columns(predicted, num_outputs)
    block_length = max(num_outputs, round(len(true) ** (1 / 3))) if is_forecast else 1
    metrics = _own_metrics(true, predictions, block_length, num_resamples)
    baseline, simple = _simple(true.shape, baseline_labels, baseline_predictions)
    if simple is not None:
        metrics |= _against_baseline(true, predictions, simple, block_length, num_resamples)
    if is_forecast and num_outputs > 1:
        metrics |= _of_steps(true, predictions)
        metrics |= {} if simple is None else _of_steps(true, simple, "baseline_")
    return RegressionReport(
        metrics=metrics,
        headline="mean_absolute_error",
        baseline=baseline,
        is_forecast=is_forecast,
        truth=true,
        predicted=predictions,
        simple=simple,
        worst=_misses(true, predictions, worst_examples),
    )


def _own_metrics(
    true: Floats, predictions: Floats, block_length: int, num_resamples: int
) -> dict[str, float]:
    low, high = mean_interval(np.abs(true - predictions).mean(axis=1), block_length, num_resamples)
    mean_absolute, root_mean_squared = _errors(true, predictions)
    metrics = {
        "mean_absolute_error": mean_absolute,
        "mean_absolute_error_low": low,
        "mean_absolute_error_high": high,
        "root_mean_squared_error": root_mean_squared,
    }
    r2 = determination(true, predictions)
    return metrics if np.isnan(r2) else metrics | {"r2": r2}


def _simple(
    shape: tuple[int, ...],
    labels: NDArray[np.generic] | None,
    predictions: NDArray[np.generic] | None,
) -> tuple[str, Floats | None]:
    """The baseline's name and what it predicts: the last known values, or the training's mean."""
    if predictions is not None:
        simple = np.asarray(predictions, np.float64).reshape(shape[0], -1)
        return "persistence", np.broadcast_to(simple, shape)
    if labels is not None:
        return "mean", np.broadcast_to(_as_columns(labels, shape[1]).mean(axis=0), shape)
    return "", None
