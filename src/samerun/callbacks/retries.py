"""What a run does when a value is not finite or memory runs out: `training.on_nan`, `on_memory`."""

import copy
import csv
import dataclasses
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
from rich.console import Console

from samerun import optim
from samerun import tags as tag
from samerun.callbacks import state as states
from samerun.checkpoints import TrainingState
from samerun.config import Config
from samerun.config.training import OnMemory, OnNan
from samerun.errors import NotFinite, is_out_of_memory
from samerun.tracking import Run

if TYPE_CHECKING:
    from samerun.callbacks.checkpointing import Checkpoints

EVENTS_FILE = "retries.csv"
_COLUMNS = ("retry", "policy", "reason", "epoch", "step", "key", "before", "after")


class Retries(keras.callbacks.Callback):  # type: ignore[misc]
    """Counts the retries of a run, records each one, and keeps discarded epochs out of the run.

    The points of single steps are held until their epoch is complete: of a discarded
    epoch nothing is logged, so every metric is the curve that led to the final weights.

    Args:
        cfg: the config as requested.
        run: where to write.
        out: where to report.
        start: the state to continue from.

    Attributes:
        events: one entry for each retry, as in `retries.csv`.
        batch_size: the size that `halve_batch` chose; `None` if it did not.
        held: metrics and step of each point that waits for the end of the epoch.
    """

    def __init__(self, cfg: Config, run: Run, out: Console, start: TrainingState | None) -> None:
        super().__init__()
        self.asked, self.policy, self.run, self.out = cfg, cfg.training, run, out
        self.events: list[dict[str, Any]] = []
        self.batch_size: int | None = None
        self.held: list[tuple[Mapping[str, float], int]] = []
        self._may_start_again = start is None
        known = start.meta.get("callbacks", {}).get("retries") if start else None
        if known and self.is_on:
            self.events, self.batch_size = list(known["events"]), known["batch_size"]

    @property
    def is_on(self) -> bool:
        """Whether any policy may retry."""
        nan, memory = self.policy.on_nan, self.policy.on_memory
        return nan is not OnNan.fail or memory is not OnMemory.fail

    @property
    def can_restore(self) -> bool:
        """Whether the next value that is not finite is followed by a retry."""
        policy = self.policy.on_nan
        return policy is not OnNan.fail and self._number_of(policy) < self.policy.max_retries

    @property
    def keeps_states(self) -> bool:
        """Whether the state after each epoch has to be kept in memory."""
        return self.policy.on_nan is OnNan.restore_and_lower_lr

    def _number_of(self, policy: OnNan | OnMemory) -> int:
        return sum(event["policy"] == policy.value for event in self.events)

    def spent(self) -> str:
        """Returns ` after 3 retries` for the message of a run that diverged despite them."""
        number = self._number_of(self.policy.on_nan)
        return f" after {number} retr{'y' if number == 1 else 'ies'}" if number else ""

    def log_step(self, metrics: Mapping[str, float], step: int) -> None:
        """Takes a point of a single step; it is logged at the end of its epoch."""
        self.held.append((metrics, step))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Logs the points of the epoch, which is not discarded."""
        self._may_start_again = False
        for metrics, step in self.held:
            self.run.log_metrics(metrics, step=step)
        self.held = []

    def state(self) -> dict[str, Any]:
        """Returns what a resumed run has to restore."""
        return {"events": self.events, "batch_size": self.batch_size, "held": self.held}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores what `state` returned."""
        self.events, self.batch_size = state["events"], state["batch_size"]
        self.held = state["held"]

    def roll_back(
        self, error: NotFinite, model: keras.Model, checkpoints: "Checkpoints"
    ) -> TrainingState:
        """Restores the state after the last good epoch, with a lower learning rate.

        Args:
            error: what was not finite.
            model: what is trained.
            checkpoints: the callback that keeps the state, and restores the others.

        Returns:
            The state to continue from.
        """
        kept = checkpoints.good
        good = dataclasses.replace(kept, meta=copy.deepcopy(kept.meta))
        events, factor = self.events, optim.retry_factor(model.optimizer)
        assert factor is not None
        present = float(keras.ops.convert_to_numpy(factor))
        states.restore_variables(model, good)
        checkpoints.restart(good)
        self.events = events  # the state may be older than the last retry
        step = int(model.optimizer.iterations)
        factor.assign(present)
        before = optim.learning_rate(model.optimizer, step)
        factor.assign(present * self.policy.retry_learning_rate_factor)
        after = optim.learning_rate(model.optimizer, step)
        where = f"the state after epoch {good.epoch}" if good.epoch else "the initial state"
        self._note(
            OnNan.restore_and_lower_lr,
            str(error),
            (error.epoch, error.step),
            ("learning_rate", before, after),
            f"{where} is restored; learning rate lowered from {before:.6g} to {after:.6g}",
        )
        return good

    def effective(self, cfg: Config) -> Config:
        """Returns the config with the batch size that the retries have led to."""
        if self.batch_size is None:
            return cfg
        dataset = dataclasses.replace(cfg.dataset, batch_size=self.batch_size)
        return dataclasses.replace(cfg, dataset=dataset)

    def halves_batch(self, cfg: Config, error: Exception) -> bool:
        """Whether training is to start again with half the batch size, which is then noted.

        Args:
            cfg: the config of the attempt that failed.
            error: why it failed; only memory that runs out in the first epoch counts.
        """
        policy, size = self.policy.on_memory, cfg.dataset.batch_size
        is_for_us = policy is OnMemory.halve_batch and is_out_of_memory(error)
        if not is_for_us or not self._may_start_again or size == 1:
            return False
        if self._number_of(policy) >= self.policy.max_retries:
            return False
        self.batch_size, self.held = size // 2, []
        self.run.set_tags({tag.BATCH_SIZE: str(self.batch_size)})
        self._note(
            policy,
            "out of memory",
            (1, 0),
            ("dataset.batch_size", size, self.batch_size),
            f"training restarts with dataset.batch_size={self.batch_size}, not {size}",
        )
        return True

    def _note(
        self,
        policy: OnNan | OnMemory,
        reason: str,
        place: tuple[int, int],
        change: tuple[str, float, float],
        consequence: str,
    ) -> None:
        number = self._number_of(policy) + 1
        cells = (number, policy.value, reason, *place, *change)
        self.events = [*self.events, dict(zip(_COLUMNS, cells, strict=True))]
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.events)
        self.run.log_text(text.getvalue(), EVENTS_FILE)
        self.run.set_tags({tag.RETRIES: str(len(self.events))})
        line = f"{reason}: {consequence} (retry {number} of {self.policy.max_retries})"
        self.out.print(line, markup=False)
