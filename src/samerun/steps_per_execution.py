"""Chooses the number of training steps per execution, from the run's own first epoch."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from samerun import tags as tag
from samerun.config import Config
from samerun.config.training import OnNan
from samerun.tracking import Run

_GROUP = 20
# The Python thread's time a step, 1 -> 20 steps a call, was 0.9 -> 0.4 ms for an MLP and 1.4 to
# 2.0 -> 0.4 ms for six other networks, convolutional and recurrent: see decision 50.

_SAVED_SHARE = 0.5
# Of the Python thread's time in a step; measured were 0.6 to 0.8.

_LONGEST_SECONDS = 1.0
# A signal, a checkpoint and the progress bar wait for the end of an execution.

_STEP_EVENTS = (
    *("on_train_batch_begin", "on_train_batch_end", "on_test_batch_begin", "on_test_batch_end"),
    *("on_batch_begin", "on_batch_end"),
)


def at_start(cfg: Config) -> int:
    """Returns the requested number of steps per execution; for `auto`, that of the first epoch."""
    requested = cfg.training.steps_per_execution
    return 1 if requested == "auto" else int(requested)


def most(cfg: Config, own: Iterable[keras.callbacks.Callback]) -> int:
    """Returns the largest number of steps per execution that `auto` may choose.

    The number must change nothing but the speed, and when it changes depends on time. So what is
    recorded of single steps has to fall on the end of an execution.

    Args:
        cfg: the config.
        own: the user's own callbacks; one that sees each step has to see each.
    """
    each_step = cfg.tracking.profile_steps or cfg.training.on_nan is not OnNan.fail
    if each_step or any(not _is_default(one, name) for one in own for name in _STEP_EVENTS):
        return 1
    recorded = [n for n in (cfg.tracking.log_every_steps, cfg.checkpoint.every_steps) if n]
    return max(n for n in range(1, _GROUP + 1) if all(steps % n == 0 for steps in recorded))


def _is_default(callback: keras.callbacks.Callback, event: str) -> bool:
    """Whether a callback leaves an event to Keras, whose own methods are marked."""
    return bool(getattr(getattr(callback, event), "_is_default", False))


class Pace(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures an epoch, and decides from it how many steps per execution the rest takes.

    Args:
        cfg: the config.
        run: where to record it.
        own: the user's own callbacks.

    Attributes:
        is_open: whether there is something left to decide.
    """

    def __init__(self, cfg: Config, run: Run, own: Iterable[keras.callbacks.Callback]) -> None:
        super().__init__()
        self._run = run
        self._most = most(cfg, own)
        self.is_open = cfg.training.steps_per_execution == "auto" and self._most > 1
        self._times: list[tuple[int, float, float]] = []
        self._tracing = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Starts the clocks."""
        self._times = [(0, time.perf_counter(), time.thread_time())]

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Keeps the times of the start, of the first execution and of the last one."""
        if self.is_open:
            del self._times[2:]
            self._times.append((batch + 1, time.perf_counter(), time.thread_time()))
            if len(self._times) == 2:  # the rest of an interrupted epoch traces before a whole one
                self._tracing = max(self._tracing, self._times[1][2] - self._times[0][2])

    def adjust(self, steps_left: int) -> None:
        """Changes the steps per execution of the model where that repays it, and records them.

        Args:
            steps_left: training steps after the epoch that was measured.
        """
        self.is_open = False
        steps = self._fastest(steps_left)
        if steps != self.model.steps_per_execution:
            self.model.steps_per_execution = steps
            self.model.train_function = self.model.test_function = None  # traced for another number
            self._run.set_tags({tag.STEPS_PER_EXECUTION: str(steps)})

    def _fastest(self, steps_left: int) -> int:
        """More than one has to repay that the step is traced again, as in the first execution."""
        if len(self._times) < 3:
            return 1
        _, (first, traced, before), (last, ended, after) = self._times
        seconds, in_python = (ended - traced) / (last - first), (after - before) / (last - first)
        repays = steps_left * in_python * _SAVED_SHARE > self._tracing
        return self._most if repays and seconds * self._most <= _LONGEST_SECONDS else 1
