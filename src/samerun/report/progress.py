"""The live table of a sweep: running trials, the best so far, the time left."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from samerun.console import show_lines
from samerun.report.study_trials import STATES, format_counts, format_number

_COLORS = {
    "complete": "green",
    "pruned": "yellow",
    "paused": "cyan",
    "infeasible": "yellow",
    "failed": "red",
}
_REDRAWS = 4  # a second


def console() -> Console:
    """Returns the console of a sweep; without colors in a pipe.

    Unlike that of `samerun.console` it cuts long lines: a live table has to.
    """
    return Console(highlight=False)


@dataclass
class _Running:
    name: str
    began: float
    epoch: int = 0
    epochs: int = 0
    value: float | None = None


@final
class Progress:
    """A live table of running trials, below a line for each trial that ended.

    In a pipe or a file, only the plain lines.

    Args:
        out: where to print.
        n_trials: total number of trials, including those of earlier starts.
        objectives: names of the study's values.
        directions: `minimize` or `maximize`, for each of them.
        study: the study's name.
        workers: number of workers, for the time left.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        out: Console,
        n_trials: int,
        objectives: Sequence[str],
        directions: Sequence[str],
        *,
        study: str = "",
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.out, self.n_trials, self.objectives, self.study = out, n_trials, objectives, study
        self._signs = [1.0 if str(way).lower() == "minimize" else -1.0 for way in directions]
        self._workers, self._clock, self._began = workers, clock, clock()
        self._running: dict[int, _Running] = {}
        self._paused: set[int] = set()
        self._ended: Counter[str] = Counter()
        self._took: list[float] = []
        self._front: list[tuple[int, tuple[float, ...], str]] = []
        self._live = Live(
            console=out,
            get_renderable=self.table,
            refresh_per_second=_REDRAWS,
            transient=True,
        )
        if out.is_terminal:
            self._live.start()

    def counts(
        self,
        states: Mapping[str, int],
        best: Sequence[tuple[int, Sequence[float], str]] = (),
        paused: Iterable[int] = (),
    ) -> None:
        """Sets what earlier starts of the sweep have done.

        Args:
            states: number of finished trials, by Optuna's state or its name on the screen.
            best: number, values and name of its best trial, or of each on the Pareto front.
            paused: numbers of the trials that wait to be promoted.
        """
        self._paused.update(paused)
        self._ended = Counter({_state_name(state): number for state, number in states.items()})
        for number, values, name in best:
            self._add(number, tuple(values), name)

    def started(self, number: int, name: str) -> None:
        """Adds a trial that starts or resumes; its name shows its values."""
        self._paused.discard(number)
        self._running[number] = _Running(name, self._clock())

    def epoch(self, number: int, epoch: int, epochs: int, value: float | None) -> None:
        """Updates the epoch of a running trial, and its value there."""
        running = self._running.get(number)
        if running is not None:
            running.epoch, running.epochs, running.value = epoch, epochs, value

    def ended(
        self,
        number: int,
        state: str,
        values: Sequence[float] | None,
        seconds: float,
        reason: str = "",
    ) -> None:
        """Removes a trial that ended, and prints its line.

        Args:
            number: the trial.
            state: Optuna's state or its name on the screen: complete, pruned, failed.
            values: its results, if it has any.
            seconds: its duration.
            reason: why it did not complete.
        """
        ended, running = _state_name(state), self._running.pop(number, None)
        name = running.name if running else ""
        self._ended[ended] += 1
        self._took.append(seconds)
        is_best = bool(ended == "complete" and values and self._add(number, tuple(values), name))
        self._print(
            number,
            ended,
            values,
            seconds,
            " · ".join(filter(None, (reason, name))),
            is_best=is_best,
        )

    def paused(self, number: int, value: float | None, seconds: float, reason: str) -> None:
        """Removes a trial that waits to be promoted, and prints its line.

        Args:
            number: the trial.
            value: its value there; `None` if it is unknown.
            seconds: its duration so far.
            reason: where it waits.
        """
        running = self._running.pop(number, None)
        self._paused.add(number)
        values = None if value is None else [value]
        text = " · ".join(filter(None, (reason, running.name if running else "")))
        self._print(number, "paused", values, seconds, text, is_best=False)

    def pruned(self, number: int) -> None:
        """Counts a paused trial that was not promoted until the end of the sweep."""
        self._paused.discard(number)
        self._ended["pruned"] += 1

    def left(self, number: int) -> None:
        """Removes a trial that stopped without ending, as when its worker died; it will resume."""
        self._running.pop(number, None)

    def close(self, rows: Sequence[tuple[str, str]] = ()) -> None:
        """Removes the table and prints the last lines; a second call does nothing.

        Args:
            rows: a label and a text for each line, such as those of `study.last_lines`.
        """
        self._live.stop()
        if not rows:
            return
        show_lines(rows, self.out)

    def table(self) -> RenderableType:
        """Returns the live table as it is now."""
        running = sorted(self._running.items())
        states = format_counts({name: self._ended[name] for name in STATES.values()})
        done, left = self._ended.total(), self.seconds_left()
        head = Table.grid(padding=(0, 2))
        head.add_column(no_wrap=True, overflow="ellipsis")
        for _ in range(3):
            head.add_column(no_wrap=True)
        head.add_row(
            f"[bold]{escape(self.study or 'sweep')}[/]",
            ProgressBar(
                total=max(1, self.n_trials), completed=done, width=16, complete_style="cyan"
            ),
            f"{done}/{self.n_trials} trials",
            "" if left is None else f"about {_format_duration(left)} left",
        )
        summary = f"{states or 'none finished yet'}, {len(running)} running"
        summary += f", {len(self._paused)} paused" if self._paused else ""
        parts: list[RenderableType] = [head, Text(summary, style="dim")]
        parts += [_line(line, "green") for line in self._best_lines()]
        if running:
            parts.append(self._table_of(running))
        return Group(*parts)

    def seconds_left(self) -> float | None:
        """Returns an estimate of the time left; `None` before the first trial has ended.

        Every trial is assumed to take the mean time, and every worker to be busy.
        """
        if not self._took:
            return None
        mean, now = sum(self._took) / len(self._took), self._clock()
        under_way = [max(0.0, mean - (now - one.began)) for one in list(self._running.values())]
        others = self._ended.total() + len(under_way) + len(self._paused)
        to_start = max(0, self.n_trials - others)
        longest = max(under_way, default=0.0)
        return max(longest, (to_start * mean + sum(under_way)) / max(1, self._workers))

    def _add(self, number: int, values: tuple[float, ...], name: str) -> bool:
        """Adds a trial to the best ones unless another is at least as good in every objective."""

        def covers(a: Sequence[float], b: Sequence[float]) -> bool:
            return all(s * x <= s * y for s, x, y in zip(self._signs, a, b, strict=True))

        if any(covers(best, values) for _, best, _ in self._front):
            return False
        kept = [one for one in self._front if not covers(values, one[1])]
        self._front = sorted([*kept, (number, values, name)], key=lambda one: one[0])
        return True

    def _best_lines(self) -> list[str]:
        """Returns the best trial; with several objectives the front's size and the best of each."""
        front = list(self._front)
        if not front:
            return []
        if len(self.objectives) == 1:
            number, values, name = front[-1]
            return [f"best {format_number(values[0])}  trial {number}  {name}"]
        lines = [f"{len(front)} on the Pareto front"]
        for position, (objective, sign) in enumerate(
            zip(self.objectives, self._signs, strict=True)
        ):
            number, values, name = min(front, key=lambda one: sign * one[1][position])
            value = format_number(values[position])
            lines.append(f"  best {objective} {value}  trial {number}  {name}")
        return lines

    def _table_of(self, running: Sequence[tuple[int, _Running]]) -> Table:
        metric = self.objectives[0].removeprefix("validation/") if self.objectives else "value"
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
        for title in ("trial", "epoch"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("", width=10)
        table.add_column(metric, justify="right", no_wrap=True, max_width=18)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("with", no_wrap=True, overflow="ellipsis", ratio=1)
        for number, one in running:
            bar = _bar(one.epoch, one.epochs, 10)
            epoch = f"{one.epoch}/{one.epochs}" if one.epochs else "starts"
            value = "" if one.value is None else format_number(one.value)
            seconds = _format_duration(self._clock() - one.began)
            table.add_row(str(number), epoch, bar, value, seconds, Text(one.name))
        return table

    def _print(
        self,
        number: int,
        state: str,
        values: Sequence[float] | None,
        seconds: float,
        text: str,
        *,
        is_best: bool,
    ) -> None:
        numbers = " ".join(f"{format_number(value):>8}" for value in values or ())
        width = len(str(self.n_trials))
        mark = "best" if len(self.objectives) == 1 else "front"
        line = Text(f"trial {number:>{width}}  ")
        line.append(f"{state:<8}", style=_COLORS.get(state, ""))
        line.append(f"  {numbers:>8}  {seconds:6.1f} s  ")
        line.append(f"{mark if is_best else '':<{len(mark)}}  ", style="bold green")
        line.append(text, style="dim")
        if self.out.is_terminal:
            self.out.print(line, no_wrap=True, overflow="ellipsis", soft_wrap=False)
        else:
            done = f"{self._ended.total()}/{self.n_trials}"
            whole = f"{done:>{2 * width + 1}}  {line.plain.rstrip()}"
            self.out.print(whole, markup=False, soft_wrap=True)


def _bar(done: int, total: int, width: int) -> ProgressBar:
    return ProgressBar(total=max(1, total), completed=done, width=width, complete_style="cyan")


def _line(text: str, color: str) -> Text:
    return Text(text, style=color, no_wrap=True, overflow="ellipsis")


def _state_name(state: Any) -> str:
    name = str(getattr(state, "name", state))
    return STATES.get(name.upper(), name)


def _format_duration(seconds: float) -> str:
    """Formats a time as `0:42`, `12:03` or `3:05:00`."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
