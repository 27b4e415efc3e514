"""Which test examples one run gets right and another wrong, the surest mistake first."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samerun import tracking
from samerun.errors import UserError
from samerun.evaluation import label_agreement
from samerun.replay import predictions
from samerun.replay.predictions import Kind, Predictions
from samerun.replay.recorded import clean
from samerun.statistics import Comparison
from samerun.tracking import StoredRun

_CLASSES = "evaluation/per_class.csv"
_MOST_BYTES = 5_000_000
_LEAST_AGREEMENT = 0.9  # Cohen's kappa of two splits' labels, above which they are one split
_MOST_LISTED = 1_000
_MOST_OUTPUTS = 4  # numbers of one prediction


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a run predicted for an example.

    Args:
        text: the class or the number.
        truth: what it should be, as that run's data has it.
        confidence: probability of that class; `None` without classes.
        error: 0 or 1 for classes; the example's error or loss otherwise.
    """

    text: str
    truth: str
    confidence: float | None
    error: float

    @property
    def is_wrong(self) -> bool:
        """Whether it is a wrong class."""
        return self.confidence is not None and self.error > 0


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """A test example that some runs get right and others wrong, or whose errors differ.

    Args:
        index: its position in the split, from 0.
        predictions: of each run.
    """

    index: int
    predictions: tuple[Prediction, ...]

    @property
    def truth(self) -> str:
        """The true class or number; of each run where their data disagrees about it."""
        return " / ".join(dict.fromkeys(one.truth for one in self.predictions))


@dataclass(frozen=True, kw_only=True, eq=False)
class ConfusionChange:
    """By how much the confusion matrix of one run differs from that of another.

    Args:
        first: position of the one run.
        second: position of the other run.
        class_names: one name per class.
        counts: (classes, classes) of the first minus those of the second; rows are true classes.
    """

    first: int
    second: int
    class_names: tuple[str, ...]
    counts: NDArray[np.int64]

    def cells(self) -> list[tuple[str, str, int]]:
        """Returns true class, predicted class and change of what differs, the largest first."""
        places = [(int(true), int(other)) for true, other in np.argwhere(self.counts)]
        places.sort(key=lambda place: (-abs(int(self.counts[place])), place))
        names = self.class_names
        return [
            (names[true], names[other], int(self.counts[true, other])) for true, other in places
        ]


@dataclass(frozen=True, kw_only=True)
class ComparedPredictions:
    """The predictions of several runs for the same test examples.

    Args:
        stored: of each run; empty where they cannot be compared.
        notes: why they cannot be, or what to know about them; one sentence each.
        disagreements: the examples, the most telling first; at most a thousand.
        num_disagreements: how many there are.
        confusions: of the first run and each other one; empty without classes.
    """

    stored: tuple[Predictions, ...] = ()
    notes: tuple[str, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    num_disagreements: int = 0
    confusions: tuple[ConfusionChange, ...] = ()

    @property
    def is_classification(self) -> bool:
        """Whether the predictions are classes."""
        return bool(self.stored) and self.stored[0].kind is Kind.classes

    def test(self) -> Callable[[int, int], Comparison] | None:
        """Returns the paired test of two runs by position; `None` where there is none."""
        if not self.stored:
            return None
        return lambda one, other: predictions.paired(self.stored[one], self.stored[other])


def compare(runs: Sequence[StoredRun]) -> ComparedPredictions:
    """Compares what runs predicted for the examples of their test split.

    Args:
        runs: two or more.
    """
    try:
        stored = tuple(predictions.read(run) for run in runs)
        notes = tuple(_notes(stored))
    except UserError as error:
        return ComparedPredictions(notes=(f"Predictions are not compared: {error}",))
    class_names = _class_names(runs[0], stored[0])
    order = _order(stored)
    return ComparedPredictions(
        stored=stored,
        notes=notes,
        disagreements=tuple(
            Disagreement(
                index=index, predictions=tuple(_of(one, index, class_names) for one in stored)
            )
            for index in order[:_MOST_LISTED].tolist()
        ),
        num_disagreements=len(order),
        confusions=tuple(_confusions(stored, class_names)),
    )


def _notes(stored: Sequence[Predictions]) -> Iterator[str]:
    """Yields what to know about splits that are not the same, byte for byte.

    Raises:
        UserError: they are not the same examples.
    """
    first = stored[0]
    for other in stored[1:]:
        if _num_classes(first) != _num_classes(other):
            raise UserError(
                f"Runs {first.run.id[:8]} and {other.run.id[:8]} have probabilities of "
                f"{_num_classes(first)} and {_num_classes(other)} classes."
            )
        try:
            predictions.check_paired(first, other)
        except UserError as error:
            if not _are_relabeled(first, other):
                raise
            assert first.truth is not None
            num = int((first.truth != other.truth).sum())
            yield (
                f"{error} Their labels agree in all but {num} of {first.num_examples} examples, so "
                "the predictions are listed by position, those with other labels first."
            )


def _num_classes(one: Predictions) -> int:
    return 0 if one.probabilities is None else one.probabilities.shape[1]


def _are_relabeled(first: Predictions, other: Predictions) -> bool:
    """Whether labels of two splits agree so far beyond chance that the examples are the same."""
    if first.truth is None or other.truth is None:
        return False
    if first.kind is not Kind.classes or other.kind is not Kind.classes:
        return False
    if first.split != other.split or first.num_examples != other.num_examples:
        return False
    return label_agreement(first.truth, other.truth) >= _LEAST_AGREEMENT


def _order(stored: Sequence[Predictions]) -> NDArray[np.int64]:
    """Returns the positions of the examples to list.

    Of classes: those whose label is another in one of the runs, then those that some runs get right
    and others wrong, the surest mistake first. Otherwise all, the largest gap of errors first.
    """
    errors = np.stack([one.errors for one in stored])
    if stored[0].kind is not Kind.classes:
        counts = stored[0].num_tokens
        errors = errors if counts is None else errors / np.maximum(counts, 1)
        gaps = errors.max(axis=0) - errors.min(axis=0)
        order = np.argsort(-gaps, kind="stable")
        return np.asarray(order[gaps[order] > 0])
    truths = np.stack([one.truth for one in stored if one.truth is not None])
    sure = np.stack(
        [one.probabilities.max(axis=1) for one in stored if one.probabilities is not None]
    )
    is_relabeled = (truths != truths[0]).any(axis=0)
    is_wrong = errors > 0
    listed = np.flatnonzero((is_wrong.any(axis=0) & ~is_wrong.all(axis=0)) | is_relabeled)
    surest = np.where(is_wrong, sure, 0.0).max(axis=0)
    return np.asarray(listed[np.lexsort((-surest[listed], ~is_relabeled[listed]))])


def _of(one: Predictions, index: int, class_names: Sequence[str]) -> Prediction:
    error = float(one.errors[index])
    if one.predicted is None or one.truth is None:
        tokens = 1.0 if one.num_tokens is None else max(1.0, float(one.num_tokens[index]))
        return Prediction(text="", truth="", confidence=None, error=error / tokens)
    if one.probabilities is None:
        texts = (_numbers(values[index]) for values in (one.predicted, one.truth))
        return Prediction(text=next(texts), truth=next(texts), confidence=None, error=error)
    predicted = int(one.predicted[index])
    return Prediction(
        text=class_names[predicted],
        truth=class_names[int(one.truth[index])],
        confidence=float(one.probabilities[index, predicted]),
        error=error,
    )


def _numbers(values: NDArray[np.float64]) -> str:
    shown = " ".join(f"{value:.4g}" for value in values[:_MOST_OUTPUTS])
    return shown + (" …" if len(values) > _MOST_OUTPUTS else "")


def _confusions(stored: Sequence[Predictions], names: Sequence[str]) -> Iterator[ConfusionChange]:
    if stored[0].kind is not Kind.classes:
        return
    first, *others = (_confusion(one, len(names)) for one in stored)
    for place, other in enumerate(others, start=1):
        yield ConfusionChange(first=0, second=place, class_names=tuple(names), counts=first - other)


def _confusion(one: Predictions, num_classes: int) -> NDArray[np.int64]:
    assert one.truth is not None
    assert one.predicted is not None
    pairs = np.bincount(one.truth * num_classes + one.predicted, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes).astype(np.int64)


def _class_names(run: StoredRun, one: Predictions) -> list[str]:
    """Returns the names of the classes by the run's own table, their numbers where it has none."""
    if one.probabilities is None:
        return []
    numbers = [str(label) for label in range(one.probabilities.shape[1])]
    if _CLASSES not in tracking.list_artifacts(run, "evaluation"):
        return numbers
    content = tracking.read_artifact(run, _CLASSES, most_bytes=_MOST_BYTES)
    rows = csv.DictReader(io.StringIO(content.decode("utf-8", "replace")))
    try:
        names = [clean(row.get("class") or "", 60) for row in rows]
    except csv.Error:  # a cell of more than 131,072 characters
        return numbers
    return names if len(names) == len(numbers) else numbers
