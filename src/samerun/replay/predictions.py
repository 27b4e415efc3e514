"""The stored predictions of a run, example by example, and the paired test of two runs."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samerun import statistics
from samerun import tags as tag
from samerun.command_line import line
from samerun.config import Task
from samerun.errors import UserError
from samerun.replay import recorded
from samerun.replay.recorded import PREDICTIONS, clean
from samerun.replay.trust import given_here
from samerun.statistics import Comparison
from samerun.tracking import StoredRun

Floats = NDArray[np.float64]


class Kind(StrEnum):
    """What was predicted."""

    classes = "classes"
    numbers = "numbers"
    tokens = "tokens"


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a run predicted for each example of the split it was evaluated on.

    Args:
        run: the run.
        kind: what was predicted.
        split: `test`, or `validation` where the data has no test split.
        is_series: the examples are in the order of time.
        truth: (examples,) true classes, or (examples, outputs) true numbers in their units; `None`
            for a language model.
        predicted: the same shape: most probable classes, or numbers; `None` for a language model.
        probabilities: (examples, classes); `None` for anything but classes.
        errors: (examples,) 1 for a wrong class and 0 for the right one, mean absolute error over
            the outputs, or the summed log loss of a text's tokens in nats.
        correct: (examples,) whether the class is right; `None` for anything but classes.
        num_tokens: (examples,) tokens of each text; `None` for anything but a language model.
    """

    run: StoredRun
    kind: Kind
    split: str
    is_series: bool
    truth: NDArray[Any] | None
    predicted: NDArray[Any] | None
    probabilities: Floats | None
    errors: Floats
    correct: NDArray[np.bool_] | None
    num_tokens: Floats | None

    @property
    def num_examples(self) -> int:
        """Examples of the split."""
        return len(self.errors)

    @property
    def digest(self) -> str:
        """SHA-256 of the split's content; empty where it is not recorded."""
        return tag.data_digests(self.run.tags).get(self.split, "")


def read(run: StoredRun, *, uri: str | None = None) -> Predictions:
    """Returns the stored predictions of a run.

    Args:
        run: the stored run.
        uri: the store, by default that of this folder.

    Raises:
        UserError: it has stored none, or no truth, as runs of version 0.1.0; or the file is not
            what samerun writes.
    """
    recorded.check_trained(run)
    arrays = recorded.predictions(run, uri=uri)
    if arrays is None:
        raise UserError(
            f"Run {run.id} ({clean(run.name)}) has no {PREDICTIONS}: it did not reach its "
            "evaluation, or its artifacts are gone."
        )
    if {"log_loss", "num_tokens"} <= arrays.keys():
        return _tokens(run, arrays["log_loss"], arrays["num_tokens"])
    name = next((one for one in ("probabilities", "predicted") if one in arrays), "")
    if not name:
        raise _strange(run, f"holds {clean(', '.join(sorted(arrays))) or 'no array'}")
    if "truth" not in arrays:
        command = line("reproduce", run.id[:8], trust=given_here(run, uri=uri))
        raise UserError(
            f"Run {run.id} ({clean(run.name)}) was recorded by an earlier version, which stored "
            f"predictions without the truth: `{command}` records both."
        )
    if name == "probabilities":
        return _classes(run, arrays[name], arrays["truth"])
    return _numbers(run, arrays[name], arrays["truth"])


def _classes(run: StoredRun, probabilities: Any, truth: Any) -> Predictions:
    _check(run, "probabilities", probabilities, "f", 2)
    _check(run, "truth", truth, "iu", 1)
    _check_lengths(run, probabilities, truth)
    if truth.min() < 0 or truth.max() >= probabilities.shape[1]:
        raise _strange(run, f"holds classes outside of its {probabilities.shape[1]}")
    predicted = probabilities.argmax(axis=1)
    return Predictions(
        run=run,
        kind=Kind.classes,
        split=_split(run),
        is_series=False,
        truth=truth.astype(np.int64),
        predicted=predicted,
        probabilities=probabilities.astype(np.float64),
        errors=(predicted != truth).astype(np.float64),
        correct=predicted == truth,
        num_tokens=None,
    )


def _numbers(run: StoredRun, predicted: Any, truth: Any) -> Predictions:
    for name, values in (("predicted", predicted), ("truth", truth)):
        _check(run, name, values, "f", 2)
    _check_lengths(run, predicted, truth)
    if predicted.shape != truth.shape:
        raise _strange(run, f"has truths of shape {truth.shape}, predictions {predicted.shape}")
    truth, predicted = truth.astype(np.float64), predicted.astype(np.float64)
    return Predictions(
        run=run,
        kind=Kind.numbers,
        split=_split(run),
        is_series=run.tags.get(tag.TASK) == Task.forecast,
        truth=truth,
        predicted=predicted,
        probabilities=None,
        errors=np.abs(truth - predicted).mean(axis=1),
        correct=None,
        num_tokens=None,
    )


def _tokens(run: StoredRun, log_loss: Any, num_tokens: Any) -> Predictions:
    _check(run, "log_loss", log_loss, "f", 1)
    _check(run, "num_tokens", num_tokens, "iu", 1)
    _check_lengths(run, log_loss, num_tokens)
    if num_tokens.min() < 0 or not num_tokens.any():
        raise _strange(run, "holds no tokens, or a negative number of them")
    return Predictions(
        run=run,
        kind=Kind.tokens,
        split=_split(run),
        is_series=False,
        truth=None,
        predicted=None,
        probabilities=None,
        errors=log_loss.astype(np.float64),
        correct=None,
        num_tokens=num_tokens.astype(np.float64),
    )


def _split(run: StoredRun) -> str:
    """Training evaluates the test split where there is one, and only then it has a digest."""
    return "test" if "test" in tag.data_digests(run.tags) else "validation"


def _check(run: StoredRun, name: str, values: Any, kinds: str, num_axes: int) -> None:
    if values.dtype.kind not in kinds or values.ndim != num_axes:
        raise _strange(run, f"has {name} of type {values.dtype} and shape {values.shape}")
    if not values.size:
        raise _strange(run, f"has no {name}")
    if not np.isfinite(values).all():
        raise _strange(run, f"has {name} that are not finite")


def _check_lengths(run: StoredRun, one: Any, other: Any) -> None:
    if len(one) != len(other):
        raise _strange(run, f"has arrays of {len(one)} and {len(other)} examples")


def _strange(run: StoredRun, what: str) -> UserError:
    return UserError(
        f"Run {run.id}: its {PREDICTIONS} {what}, which samerun does not write: it is not used."
    )


def check_paired(first: Predictions, second: Predictions) -> None:
    """Checks that two runs predicted the same examples.

    Raises:
        UserError: one sentence that says why they cannot be paired.
    """
    ids = f"{first.run.id[:8]} and {second.run.id[:8]}"
    for one in (first, second):
        if not one.digest:
            raise UserError(
                f"Runs {ids} cannot be compared example by example: run {one.run.id[:8]} has no "
                f"digest of its {one.split} split."
            )
    problem = ""
    if first.split != second.split:
        problem = f"one has a {first.split} split, the other only a {second.split} split"
    elif first.digest != second.digest:
        problem = f"their {first.split} splits differ"
    elif first.kind is not second.kind:
        problem = f"one predicts {first.kind}, the other {second.kind}"
    elif first.num_examples != second.num_examples:
        problem = f"one has {first.num_examples:,} predictions, the other {second.num_examples:,}"
    elif not _is_same_truth(first, second):
        problem = "they recorded different truths for the same data"
    if problem:
        raise UserError(f"Runs {ids} cannot be compared example by example: {problem}.")


def _is_same_truth(first: Predictions, second: Predictions) -> bool:
    pairs = (first.truth, second.truth), (first.num_tokens, second.num_tokens)
    return all(one is None or other is None or np.array_equal(one, other) for one, other in pairs)


def paired(first: Predictions, second: Predictions) -> Comparison:
    """Tests whether the difference between two runs on the same examples is more than chance.

    Classes: McNemar's test of the accuracies. Numbers and tokens: a paired bootstrap of the mean
    absolute error or of the log loss per token; for a time series of blocks as long as the square
    root of its length, or as the forecast if that is longer.

    Returns:
        The first one's accuracy, error or loss minus the second one's.

    Raises:
        UserError: they cannot be paired, see `check_paired`.
    """
    check_paired(first, second)
    if first.correct is not None and second.correct is not None:
        return statistics.mcnemar(first.correct, second.correct)
    block_length = 1
    if first.is_series and first.truth is not None:
        block_length = max(first.truth.shape[1], round(np.sqrt(first.num_examples)))
    return statistics.paired_bootstrap(
        first.errors, second.errors, per=first.num_tokens, block_length=block_length
    )
