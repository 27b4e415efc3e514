"""What a person sees while a run goes on: the config in short, a progress bar, the result."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from samerun.config import Config, as_dict
from samerun.config.root import idle_keys
from samerun.redaction import redact_mapping

_SHORT = ("model", "dataset", "optimizer", "schedule", "training")
# Tracking and evaluation do not change the result.


def console() -> Console:
    """Returns the console that everything is printed on; without colours in a pipe."""
    return Console(highlight=False, soft_wrap=True)


def _short(node: Mapping[str, Any]) -> str:
    """Lists a group's leaves, but not the empty ones, which change nothing."""
    words = []
    for key, value in node.items():
        if key == "kind" or value in (None, [], {}, False, 0, 0.0):
            continue
        if isinstance(value, dict):
            inner = _short(value)
            words += [f"{key}({inner})"] if inner else []
        else:
            words.append(f"{key}={value}" if value is not True else key)
    return " ".join(words)


def show_config(cfg: Config, out: Console) -> None:
    """Prints the config in one line a group."""
    table = Table.grid(padding=(0, 2))
    plain = redact_mapping(as_dict(cfg))
    for key in idle_keys(cfg):
        del plain["training"][key.removeprefix("training.")]
    for group in _SHORT:
        kind = plain[group].get("kind", "")
        table.add_row(
            f"[bold]{group}[/]", f"[cyan]{kind}[/]", f"[dim]{escape(_short(plain[group]))}[/]"
        )
    table.add_row("[bold]seed[/]", f"[cyan]{cfg.seed}[/]", "")
    out.print(table)


def show_lines(rows: Sequence[tuple[str, str]], out: Console) -> None:
    """Prints a word and what it stands for on each line."""
    table = Table.grid(padding=(0, 2))
    for word, text in rows:
        table.add_row(f"[bold]{word}[/]", escape(text))
    out.print(table)


def in_words(metrics: Mapping[str, float]) -> str:
    """Writes metrics as `train loss 0.123 accuracy 0.95 · validation loss …`."""
    splits: dict[str, list[str]] = {}
    for name, value in metrics.items():
        split, _, metric = name.partition("/")
        splits.setdefault(split, []).append(f"{metric} {value:.4g}")
    return " · ".join(f"{split} {' '.join(words)}" for split, words in splits.items())


class ProgressBar(keras.callbacks.Callback):  # type: ignore[misc]
    """A bar over all steps with the metrics of the last epoch and the time left.

    In a pipe or a file there is no bar, but one plain line an epoch.

    Args:
        epochs: number of epochs.
        steps_per_epoch: training steps an epoch.
        out: where to print.
        names: Keras's name of a metric -> the one to show.
    """

    def __init__(self, epochs: int, steps_per_epoch: int, out: Console, names: Any) -> None:
        super().__init__()
        self.epochs, self.steps_per_epoch, self.out, self.names = (
            epochs,
            steps_per_epoch,
            out,
            names,
        )
        self._done, self._began = 0, 0.0
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=out,
            transient=True,
        )
        self._task = self._bar.add_task(
            "", total=epochs * steps_per_epoch, epoch=f"1/{epochs}", metrics=""
        )

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Shows the bar where there is a terminal."""
        if self.out.is_terminal:
            self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Starts the epoch's clock; the first one is a later one where a run goes on."""
        self._began = time.perf_counter()
        self._done = epoch * self.steps_per_epoch
        self._bar.update(self._task, epoch=f"{epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Moves the bar."""
        if self.out.is_terminal:
            self._bar.update(self._task, completed=self._done + batch + 1)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Shows the epoch's metrics."""
        metrics = in_words({self.names(name): float(v) for name, v in (logs or {}).items()})
        self._bar.update(self._task, metrics=metrics)
        if not self.out.is_terminal:
            seconds = time.perf_counter() - self._began
            self.out.print(f"epoch {epoch + 1}/{self.epochs}  {metrics}  ({seconds:.1f} s)")

    def close(self) -> None:
        """Takes the bar away; also when training was interrupted and no event tells it."""
        self._bar.stop()
