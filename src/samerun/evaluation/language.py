"""Evaluation of language models, batch by batch: all logits at once would not fit into memory."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samerun.errors import UserError
from samerun.evaluation.report import NUM_RESAMPLES, Report, mean_interval

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PADDING = 0
_CHUNK = 2_000_000  # logits held in float64 at once: 16 MB


@dataclass(frozen=True, kw_only=True)
class HardText:
    """An example to which the model gave a low probability.

    Args:
        index: position of the example in the split.
        log_loss: mean of its tokens, in nats.
        num_tokens: their number.
    """

    index: int
    log_loss: float
    num_tokens: int


@dataclass(frozen=True, kw_only=True)
class LanguageModelReport(Report):
    """An evaluated language model, without padding.

    Args:
        sums: (examples,) log loss of the example's tokens together, in nats.
        num_tokens: (examples,) tokens of the example.
        by_position: (length,) mean log loss of the first, second, ... target; NaN where all of
            them are padding.
        baseline_by_position: (length,) the same of the baseline; `None` without one.
        worst: the examples with the largest mean log loss, the largest first.
    """

    sums: Floats
    num_tokens: Integers
    by_position: Floats
    baseline_by_position: Floats | None
    worst: tuple[HardText, ...]

    @property
    def errors(self) -> Floats:
        """Mean log loss of an example's tokens; 0 for one of padding only."""
        return self.sums / np.maximum(self.num_tokens, 1)


@dataclass(frozen=True)
class _Tokens:
    """Targets of some examples, their losses and hits: all are (examples, length)."""

    targets: Integers
    losses: Floats
    hits: NDArray[np.bool_]


def token_losses(logits: NDArray[np.generic], targets: Integers) -> tuple[Floats, Floats]:
    """Returns the log loss of each target, in nats, and the most probable tokens.

    Args:
        logits: (positions, vocabulary), of any float type; computed in float64.
        targets: (positions,) true tokens.
    """
    losses = np.empty(len(targets))
    rows = max(1, _CHUNK // logits.shape[1])
    for at in range(0, len(targets), rows):
        part = np.asarray(logits[at : at + rows], np.float64)
        part = part - part.max(axis=1, keepdims=True)
        of_truth = part[np.arange(len(part)), targets[at : at + rows]]
        losses[at : at + rows] = np.log(np.exp(part).sum(axis=1)) - of_truth
    return losses, np.asarray(logits.argmax(axis=1))


def _measure(logits: NDArray[np.generic], targets: Integers) -> _Tokens:
    if logits.ndim != 3 or logits.shape[:2] != targets.shape:
        raise UserError(
            f"evaluation: the model returns an array of shape {logits.shape} for targets of shape "
            f"{targets.shape}, expected (batch, length, vocabulary): logits of each next token."
        )
    if not np.isfinite(logits).all():
        raise UserError(
            "evaluation: the model's predictions are not finite: training has diverged; try a "
            "smaller optimizer.learning_rate."
        )
    if targets.max() >= logits.shape[2] or targets.min() < 0:
        raise UserError(
            f"evaluation: received tokens from {targets.min()} to {targets.max()}, expected 0 to "
            f"{logits.shape[2] - 1}: the model's vocabulary."
        )
    losses, most_likely = token_losses(logits.reshape(-1, logits.shape[2]), targets.reshape(-1))
    return _Tokens(
        targets, losses.reshape(targets.shape), most_likely.reshape(targets.shape) == targets
    )


def _all_tokens(model: Any, dataset: Iterable[Any]) -> tuple[_Tokens, int]:
    parts, vocabulary_size = [], 0
    for batch in dataset:
        logits = np.asarray(model.predict_on_batch(batch[0]))
        parts.append(_measure(logits, np.asarray(batch[1]).astype(np.int64)))
        vocabulary_size = logits.shape[-1]
    if not any((part.targets != PADDING).any() for part in parts):
        raise UserError("evaluation: the split has no tokens: give the dataset a test split.")
    together = _Tokens(
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.losses for part in parts]),
        np.concatenate([part.hits for part in parts]),
    )
    return together, vocabulary_size


def unigram_losses(training: NDArray[np.generic], vocabulary_size: int) -> Floats:
    """Returns the log loss, in nats, of each token under its frequency in the training split.

    One is added to each count, so that a token absent from training is not impossible
    (Laplace; Jurafsky and Martin, Speech and Language Processing, chapter 3).

    Args:
        training: tokens of the training split, of any shape; padding is not counted.
        vocabulary_size: number of tokens, with padding.

    Returns:
        (vocabulary,) losses; that of padding is infinite.
    """
    counts = np.bincount(np.asarray(training).reshape(-1), minlength=vocabulary_size) + 1.0
    counts[PADDING] = 0
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(counts / counts.sum()))


def _mean_by_position(losses: Floats, counts: NDArray[np.bool_]) -> Floats:
    totals = counts.sum(axis=0)
    sums = np.where(counts, losses, 0.0).sum(axis=0)
    return np.where(totals > 0, sums / np.maximum(totals, 1), np.nan)


def report_language_model(
    model: Any,
    dataset: Iterable[Any],
    worst_examples: int,
    *,
    baseline_labels: NDArray[np.generic] | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> LanguageModelReport:
    """Compares the predictions of a language model with the true tokens.

    The interval draws whole examples: the tokens of one text are not independent.

    Args:
        model: anything with `predict_on_batch(features)`, which returns logits of shape (batch,
            length, vocabulary).
        dataset: batches of (features, targets); targets are (batch, length) integers, 0 is padding.
        worst_examples: number of least probable examples to list.
        baseline_labels: targets of the training split, of any shape; their frequencies are the
            baseline.
        num_resamples: resamples for the interval.

    Raises:
        UserError: there are no tokens, or the outputs are no finite logits for the targets.
    """
    tokens, vocabulary_size = _all_tokens(model, dataset)
    counts = tokens.targets != PADDING
    num_tokens = counts.sum(axis=1)
    sums = np.where(counts, tokens.losses, 0.0).sum(axis=1)
    log_loss = float(sums.sum() / num_tokens.sum())
    low, high = mean_interval(sums, num_resamples=num_resamples, per=num_tokens.astype(np.float64))
    metrics = {
        "perplexity": _perplexity(log_loss),
        "perplexity_low": _perplexity(low),
        "perplexity_high": _perplexity(high),
        "bits_per_token": log_loss / math.log(2),
        "log_loss": log_loss,
        "accuracy": float(tokens.hits[counts].mean()),
    }
    simple = None
    if baseline_labels is not None:
        unigram = unigram_losses(baseline_labels, vocabulary_size)
        simple = _mean_by_position(unigram[tokens.targets], counts)
        log_loss = float(unigram[tokens.targets][counts].mean())
        metrics["baseline_perplexity"] = _perplexity(log_loss)
        metrics["baseline_log_loss"] = log_loss
        metrics["baseline_accuracy"] = float((tokens.targets[counts] == unigram.argmin()).mean())
    return LanguageModelReport(
        metrics=metrics,
        headline="perplexity",
        baseline="" if baseline_labels is None else "unigram",
        sums=sums,
        num_tokens=num_tokens,
        by_position=_mean_by_position(tokens.losses, counts),
        baseline_by_position=simple,
        worst=_hardest(sums, num_tokens, worst_examples),
    )


def _perplexity(log_loss: float) -> float:
    return math.exp(min(log_loss, 700.0))  # above, it is more than a float can hold


def _hardest(sums: Floats, num_tokens: Integers, at_most: int) -> tuple[HardText, ...]:
    means = sums / np.maximum(num_tokens, 1)
    filled = np.flatnonzero(num_tokens)
    order = filled[np.argsort(-means[filled], kind="stable")][:at_most]
    return tuple(
        HardText(index=int(at), log_loss=float(means[at]), num_tokens=int(num_tokens[at]))
        for at in order
    )
