"""Evaluation of classifiers, with two classes or more."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samerun.errors import UserError
from samerun.evaluation.calibration import Calibration, calibrate, expected_calibration_error
from samerun.evaluation.report import NUM_RESAMPLES, Report, share_interval

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_SMALLEST = 1e-7  # keras.config.epsilon(): log_loss then agrees with Keras's cross-entropy


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """Scores of one class. NaN where undefined: recall of a class that the split does not have.

    Args:
        name: the class.
        precision: share of the examples predicted as this class that are.
        recall: share of the examples of this class that were predicted as such.
        f1: harmonic mean of precision and recall.
        auc: area under the ROC curve, this class against all others.
        average_precision: area under the precision-recall curve, as a sum of steps.
        support: examples of this class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    auc: float
    average_precision: float
    support: int


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A curve and the area under it.

    Args:
        x: false positive rate, or recall.
        y: true positive rate, or precision.
        area: area under the curve; of a precision-recall curve, the average precision.
    """

    x: Floats
    y: Floats
    area: float


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A wrong prediction.

    Args:
        index: position of the example in the split.
        label: true class.
        predicted: the class that the model predicted.
        confidence: probability the model gave to that class.
    """

    index: int
    label: int
    predicted: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class ClassificationReport(Report):
    """An evaluated classifier.

    Args:
        class_names: one name per class, in the order of the labels.
        labels: (examples,) true classes.
        probabilities: (examples, classes); of a binary model, both columns.
        predicted: (examples,) most probable classes.
        confusion: (classes, classes) counts, rows are true classes.
        per_class: scores of each class.
        roc: false against true positive rate, for each class with examples inside and outside.
        precision_recall: recall against precision, for the same classes.
        calibration: confidence against truth.
        worst: the most confident mistakes, the most confident first.
    """

    class_names: tuple[str, ...]
    labels: Integers
    probabilities: Floats
    predicted: Integers
    confusion: Integers
    per_class: tuple[ClassScore, ...]
    roc: dict[int, Curve]
    precision_recall: dict[int, Curve]
    calibration: Calibration
    worst: tuple[Mistake, ...]

    @property
    def errors(self) -> Floats:
        """1 for a wrong prediction, 0 for a correct one."""
        return np.asarray(self.labels != self.predicted, np.float64)


def log_loss(labels: Integers, probabilities: Floats) -> float:
    """Returns the mean of -log(probability of the true class), in nats."""
    of_truth = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(of_truth, _SMALLEST, 1 - _SMALLEST)).mean())


def label_agreement(first: Integers, second: Integers) -> float:
    """Returns Cohen's kappa of two labelings of the same examples: 1 for equal ones, 0 for chance.

    Source: Cohen, A Coefficient of Agreement for Nominal Scales (1960).

    Args:
        first: (examples,) classes.
        second: (examples,) classes by the other one.
    """
    from sklearn.metrics import cohen_kappa_score

    if np.array_equal(first, second):  # kappa is not defined where all are one class
        return 1.0
    return float(cohen_kappa_score(first, second))


def _curves(labels: Integers, probabilities: Floats) -> tuple[dict[int, Curve], dict[int, Curve]]:
    roc, precision_recall = {}, {}
    for label in range(probabilities.shape[1]):
        is_this = labels == label
        if is_this.all() or not is_this.any():
            continue
        false, true = _counts(is_this, probabilities[:, label])
        roc[label] = _roc(false, true)
        precision_recall[label] = _precision_recall(false, true)
    return roc, precision_recall


def _counts(is_this: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Returns the false and the true positives at each threshold, from the highest score down."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.cumsum(is_this[order], dtype=np.float64)[ends]
    return 1.0 + ends - true, true


def _roc(false: Floats, true: Floats) -> Curve:
    """The bits of scikit-learn's `roc_curve` and `auc`, whose import takes a second."""
    if len(false) > 2:  # points on a line between two others change nothing
        is_corner = (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0)
        kept = np.concatenate([[True], is_corner, [True]])
        false, true = false[kept], true[kept]
    x, y = np.append(0.0, false) / false[-1], np.append(0.0, true) / true[-1]
    return Curve(x=x, y=y, area=float(np.trapezoid(y, x)))


def _precision_recall(false: Floats, true: Floats) -> Curve:
    """The bits of scikit-learn's `precision_recall_curve` without the points in between."""
    if len(false) > 2:  # of points with the same recall, the first and the last
        is_end = (np.diff(true[:-1]) != 0) | (np.diff(true[1:]) != 0)
        kept = np.concatenate([[True], is_end, [True]])
        false, true = false[kept], true[kept]
    precision = np.append((true / (true + false))[::-1], 1.0)
    recall = np.append((true / true[-1])[::-1], 0.0)
    return Curve(x=recall, y=precision, area=float(-np.sum(np.diff(recall) * precision[:-1])))


def _ratio(part: float, whole: float, otherwise: float) -> float:
    return float(part / whole) if whole else otherwise


def _score(
    name: str, confusion: Integers, label: int, areas: tuple[Curve | None, Curve | None]
) -> ClassScore:
    hits = int(confusion[label, label])
    support, num_predicted = int(confusion[label].sum()), int(confusion[:, label].sum())
    roc, precision_recall = areas
    return ClassScore(
        name=name,
        precision=_ratio(hits, num_predicted, otherwise=0.0 if support else np.nan),
        recall=_ratio(hits, support, otherwise=np.nan),
        f1=_ratio(2 * hits, support + num_predicted, otherwise=np.nan) if support else np.nan,
        auc=roc.area if roc else np.nan,
        average_precision=precision_recall.area if precision_recall else np.nan,
        support=support,
    )


def _accuracies(
    labels: Integers,
    predicted: Integers,
    baseline_labels: NDArray[np.generic] | None,
    num_resamples: int,
) -> dict[str, float]:
    is_right = labels == predicted
    low, high = share_interval(is_right, num_resamples)
    metrics = {"accuracy": float(is_right.mean()), "accuracy_low": low, "accuracy_high": high}
    if baseline_labels is not None:
        frequent = np.bincount(np.asarray(baseline_labels).reshape(-1).astype(np.int64)).argmax()
        metrics["baseline_accuracy"] = float((labels == frequent).mean())
    return metrics


def _averages(scores: Sequence[ClassScore], is_binary: bool) -> dict[str, float]:
    names = ("precision", "recall", "f1", "auc", "average_precision")
    present = [score for score in scores if score.support]
    averages = {
        f"{name}_macro": float(np.mean([getattr(score, name) for score in present]))
        for name in names
    }
    if is_binary:
        averages |= {name: getattr(scores[1], name) for name in names}
    return {name: value for name, value in averages.items() if not np.isnan(value)}


def _mistakes(
    labels: Integers, predicted: Integers, confidence: Floats, at_most: int
) -> tuple[Mistake, ...]:
    wrong = np.flatnonzero(labels != predicted)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:at_most]
    return tuple(
        Mistake(
            index=int(index),
            label=int(labels[index]),
            predicted=int(predicted[index]),
            confidence=float(confidence[index]),
        )
        for index in order
    )


def _as_probabilities(outputs: Floats, num_classes: int) -> Floats:
    if outputs.shape[1] == 1:
        outputs = np.concatenate([1 - outputs, outputs], axis=1)
    if outputs.shape[1] != num_classes:
        raise UserError(
            f"The model returns {outputs.shape[1]} numbers per example, expected {num_classes}: "
            "one probability per class."
        )
    sums = outputs.sum(axis=1)
    # NaN is no probability either; sums of float16 are off by 0.001.
    if not (outputs.min() >= -1e-6 and np.abs(sums - 1).max() <= 0.01):
        raise UserError(
            f"The model's outputs lie between {outputs.min():.3g} and {outputs.max():.3g} and sum "
            f"to between {sums.min():.3g} and {sums.max():.3g}, expected probabilities: let it end "
            "in a softmax, or in a sigmoid for two classes."
        )
    return outputs


def report_classification(
    labels: NDArray[np.generic],
    outputs: Floats,
    class_names: Sequence[str],
    worst_examples: int,
    baseline_labels: NDArray[np.generic] | None = None,
    *,
    num_resamples: int = NUM_RESAMPLES,
) -> ClassificationReport:
    """Compares a classifier's outputs with the truth.

    Macro averages are over the classes that the split has examples of. Ties between probabilities
    go to the first class, which for two classes is Keras's threshold: above 0.5.

    Args:
        labels: (examples,) or (examples, 1) true classes from 0.
        outputs: (examples, classes) probabilities, or (examples, 1): those of class 1.
        class_names: one name per class.
        worst_examples: number of mistakes to list.
        baseline_labels: labels of the training split, whose most frequent one is the baseline.
        num_resamples: resamples for the interval.

    Raises:
        UserError: the outputs are not probabilities.
    """
    truth: Integers = np.asarray(labels).reshape(-1).astype(np.int64)
    num_classes = len(class_names)
    probabilities = _as_probabilities(outputs, num_classes)
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    pairs = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
    confusion = pairs.reshape(num_classes, num_classes)
    roc, precision_recall = _curves(truth, probabilities)
    scores = tuple(
        _score(name, confusion, label, (roc.get(label), precision_recall.get(label)))
        for label, name in enumerate(class_names)
    )
    calibration = calibrate(confidence, predicted == truth)
    metrics = _accuracies(truth, predicted, baseline_labels, num_resamples)
    metrics |= _averages(scores, is_binary=outputs.shape[1] == 1)
    metrics["log_loss"] = log_loss(truth, probabilities)
    metrics["expected_calibration_error"] = expected_calibration_error(calibration)
    return ClassificationReport(
        metrics=metrics,
        headline="accuracy",
        baseline="" if baseline_labels is None else "majority",
        class_names=tuple(class_names),
        labels=truth,
        probabilities=probabilities,
        predicted=predicted,
        confusion=confusion,
        per_class=scores,
        roc=roc,
        precision_recall=precision_recall,
        calibration=calibration,
        worst=_mistakes(truth, predicted, confidence, worst_examples),
    )
