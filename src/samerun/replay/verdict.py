"""Compares two runs: every metric, the weights and the predictions; the verdict is one word."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from samerun import tags as tag
from samerun import tracking
from samerun.errors import UserError
from samerun.replay import recorded
from samerun.replay.comparison import Row, RowState, likeliest
from samerun.replay.recorded import clean
from samerun.tracking import StoredRun

RTOL = 1e-3
"""Largest difference that still counts as close, as a share of the larger value."""

_COMPARED = ("train/", "validation/", "test/")


class Agreement(StrEnum):
    """How close two runs came."""

    exact = "EXACT"
    close = "CLOSE"
    different = "DIFFERENT"


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What a run came to, as far as it can be compared.

    Args:
        run: the run.
        metrics: value of each metric by step: by epoch, but `train/step_loss` by training step.
        weights: SHA-256 of the weights at each checkpoint by (epoch, step), and of the final ones.
        predictions: arrays by name, of the split that was evaluated; `None` where not stored.
    """

    run: StoredRun
    metrics: Mapping[str, Mapping[int, float]]
    weights: Mapping[tuple[int, int], str]
    predictions: Mapping[str, Any] | None

    @property
    def kept(self) -> str | None:
        """SHA-256 of the weights that the run ended with."""
        return self.run.tags.get(tag.WEIGHTS)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """One value that is not the same.

    Args:
        what: the metric, or which prediction.
        step: its epoch or step; 0 where it has none.
        first: of the recorded run; NaN where it has none.
        second: of the other one.
        scale: what the difference is a share of; 0 for the larger of the two values.
    """

    what: str
    step: int
    first: float
    second: float
    scale: float = 0.0

    @property
    def share(self) -> float:
        """The difference as a share; infinite where one has no number."""
        both_infinite = math.isinf(self.first) or math.isinf(self.second)
        if math.isnan(self.first) or math.isnan(self.second) or both_infinite:
            return math.inf
        scale = self.scale or max(abs(self.first), abs(self.second))
        return abs(self.first - self.second) / scale

    def __str__(self) -> str:
        """The sentence that names it."""
        one, other = (
            "nothing" if math.isnan(value) else f"{value:.9g}"
            for value in (self.first, self.second)
        )
        unit = "step" if self.what == "train/step_loss" else "epoch"
        where = f", {unit} {self.step}" if self.step else ""
        return f"{clean(self.what)}{where}: {one} and then {other}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The end of a reproduction.

    Args:
        agreement: the verdict in one word.
        rtol: what counted as close.
        num_points: metric values that were compared.
        num_epochs: epochs that were compared.
        first: the earliest value that differs, `None` where all are equal.
        largest: the value that differs most.
        checks: what was compared besides the metrics, and the result.
        cause: the row of the comparison that most likely explains a difference.
    """

    agreement: Agreement
    rtol: float
    num_points: int
    num_epochs: int
    first: Gap | None
    largest: Gap | None
    checks: Mapping[str, RowState]
    cause: Row | None

    def sentences(self) -> list[str]:
        """Returns the verdict in sentences, the most important first."""
        names = {
            RowState.same: "identical",
            RowState.differs: "different",
            RowState.unknown: "not recorded",
        }
        checked = ", ".join(f"{name} {names[state]}" for name, state in self.checks.items())
        epochs = "1 epoch" if self.num_epochs == 1 else f"{self.num_epochs} epochs"
        compared = f"{self.num_points} values of {epochs} compared"
        if self.agreement is Agreement.exact:
            return [f"EXACT: bit-for-bit identical; {compared}; {checked}."]
        lines = [f"{self.agreement}: {compared}; {checked}."]
        if self.agreement is Agreement.close:
            lines[0] = f"CLOSE: within {self.rtol:g} of each value; {compared}; {checked}."
        if self.largest:
            lines.append(f"Largest difference: {self.largest} ({self.largest.share:.2g}).")
        if self.first:
            lines.append(f"First difference: {self.first}.")
        lines.append(f"Most likely cause: {self.why()}.")
        return lines

    def why(self) -> str:
        """Returns the most likely cause as text."""
        if self.cause is None:
            return "unknown; no difference in config, code, data, environment or machine"
        row = self.cause
        if row.detail:
            return f"{row.part}: {row.what} differ: {row.detail}"
        return f"{row.part}: {row.what} was {row.first} and is {row.second}"


def read(run: StoredRun, *, uri: str | None = None) -> RunOutcome:
    """Reads the result of a run from the store.

    Args:
        run: the run.
        uri: the store, by default that of this folder.
    """
    found = tracking.metric_histories(run, uri=uri)
    compared = {
        key: values
        for key, values in found.items()
        if key.startswith(_COMPARED) or key == "learning_rate"
    }
    return RunOutcome(
        run=run,
        metrics=compared,
        weights=recorded.weights(run, uri=uri),
        predictions=recorded.predictions(run, uri=uri),
    )


def judge(
    first: RunOutcome, second: RunOutcome, rows: Sequence[Row], *, rtol: float = RTOL
) -> Verdict:
    """Compares two runs and returns the verdict.

    Of a recorded run that did not finish, what it has is compared; the new run goes further.

    Args:
        first: the recorded run.
        second: the new one.
        rows: what differs around them, for the most likely cause.
        rtol: largest difference that counts as close, as a share of the larger value.

    Raises:
        UserError: the recorded run has no metrics to compare.
    """
    if not any(first.metrics.values()):
        raise UserError(f"Run {first.run.id} has no metrics: there is nothing to compare.")
    gaps, num_points = _gaps(first, second)
    checks = _checks(first, second)
    predicted = _of_predictions(first.predictions, second.predictions)
    largest = max([*gaps, *predicted], key=lambda gap: gap.share, default=None)
    is_same = not gaps and not predicted and RowState.differs not in checks.values()
    agreement = Agreement.exact if is_same else Agreement.close
    if largest is not None and largest.share > rtol:
        agreement = Agreement.different
    elif not gaps and not predicted and not is_same and first.predictions is None:
        agreement = Agreement.different  # other weights, at an unknown distance
    earliest = min(gaps, key=_when, default=None)
    epochs = {
        step for key, values in first.metrics.items() if "step_loss" not in key for step in values
    }
    return Verdict(
        agreement=agreement,
        rtol=rtol,
        num_points=num_points,
        num_epochs=len(epochs),
        first=earliest or (predicted[0] if predicted else None),
        largest=largest,
        checks=checks,
        cause=None if is_same else likeliest(rows),
    )


def _when(gap: Gap) -> tuple[bool, int, bool, str]:
    """By epoch, and within one the training loss first; values of single steps come last."""
    return gap.what == "train/step_loss", gap.step, gap.what != "train/loss", gap.what


def _gaps(first: RunOutcome, second: RunOutcome) -> tuple[list[Gap], int]:
    gaps, num_points = [], 0
    is_whole = first.run.status == "FINISHED"
    for key, one in sorted(first.metrics.items()):  # newer code may measure more: no matter
        other = second.metrics.get(key, {})
        for step in sorted({*one, *(other if is_whole else ())}):
            num_points += 1
            values = one.get(step, math.nan), other.get(step, math.nan)
            are_both_nan = step in one and step in other and all(map(math.isnan, values))
            if values[0] != values[1] and not are_both_nan:
                gaps.append(Gap(what=key, step=step, first=values[0], second=values[1]))
    return gaps, num_points


def _checks(first: RunOutcome, second: RunOutcome) -> dict[str, RowState]:
    shared = sorted({*first.weights} & {*second.weights})
    wrong = [place for place in shared if first.weights[place] != second.weights[place]]
    found = {}
    if shared:
        name = (
            "weights at 1 checkpoint"
            if len(shared) == 1
            else f"weights at {len(shared)} checkpoints"
        )
        if wrong:
            name = f"weights at epoch {wrong[0][0]}, step {wrong[0][1]}"
        found[name] = RowState.differs if wrong else RowState.same
    found["final weights"] = _state(first.kept, second.kept)
    one, other = first.predictions, second.predictions
    found["predictions"] = RowState.unknown
    if one is not None and other is not None:
        # Newer code may store more, as it may measure more: no matter.
        same = all(name in other and _equal(one[name], other[name]) for name in one)
        found["predictions"] = RowState.same if same else RowState.differs
    return found


def _state(first: str | None, second: str | None) -> RowState:
    if first is None or second is None:
        return RowState.unknown
    return RowState.same if first == second else RowState.differs


def _equal(one: Any, other: Any) -> bool:
    same_kind = one.dtype == other.dtype and one.shape == other.shape
    return bool(same_kind and one.tobytes() == other.tobytes())


def _of_predictions(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> list[Gap]:
    """The largest difference of each array, as a share of the array's largest value.

    A probability of 1e-9 that becomes 2e-9 is no difference worth mentioning.
    """
    if first is None or second is None:
        return []
    gaps = []
    for name, one in sorted(first.items()):
        other = second.get(name)
        if other is None or one.shape != other.shape or one.dtype.kind not in "fiu":
            gaps.append(Gap(what=f"predictions: {name}", step=0, first=math.nan, second=math.nan))
        elif not _equal(one, other):
            one, other = one.astype(np.float64), other.astype(np.float64)
            apart = np.abs(one - other)
            place = np.unravel_index(int(apart.argmax()), apart.shape)
            gaps.append(
                Gap(
                    what=f"predictions: {name} of example {place[0]}",
                    step=0,
                    first=float(one[place]),
                    second=float(other[place]),
                    scale=float(max(np.abs(one).max(), np.abs(other).max())),
                )
            )
    return gaps


def as_lines(verdict: Verdict) -> list[str]:
    """Returns the verdict as Markdown."""
    head, *rest = verdict.sentences()
    return [f"**{head}**", "", *(f"- {line}" for line in rest)]
