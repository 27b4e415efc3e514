"""An executor with worker processes on this machine."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, final

from samerun import config
from samerun.process import hold_signals, start_worker
from samerun.sweeper.executors.base import Executor
from samerun.sweeper.trial_configs import TrialTask
from samerun.sweeper.worker import kind_of_process, run_trial, warm_up


@dataclass
class _Slot:
    """One worker process and what it is doing."""

    pool: ProcessPoolExecutor
    ready: "Future[int]"
    ready_at: float | None = None
    busy: "Future[Any] | None" = None
    since: float = 0.0
    trials: int = 0
    kind: tuple[Any, ...] | None = None


@final
class LocalExecutor(Executor):
    """Worker processes on this machine, one per pool, so that each fails alone.

    A pool with several workers breaks all its futures when one process is killed.

    Args:
        num: number of workers.
        max_trials: number of trials after which a process is replaced; `None`: never.
        gpus: graphics cards; each worker gets one.
    """

    def __init__(self, num: int, max_trials: int | None = None, gpus: Sequence[str] = ()) -> None:
        self.max_trials = max_trials
        self._environments = [
            [("CUDA_VISIBLE_DEVICES", gpus[index % len(gpus)])] if gpus else []
            for index in range(num)
        ]
        # A process starts in `warm_up` or with its first function: a sweep that has finished needs
        # none.
        self._slots: list[_Slot | None] = [None] * num

    def _new(self, index: int) -> _Slot:
        pool = ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=start_worker,
            initargs=(self._environments[index],),
        )
        slot = _Slot(pool, pool.submit(warm_up))
        slot.ready.add_done_callback(lambda _: setattr(slot, "ready_at", time.monotonic()))
        return slot

    def warm_up(self, num: int) -> None:
        """Starts the processes, which import TensorFlow in the meantime."""
        for index in range(min(num, len(self._slots))):
            if self._slots[index] is None:
                self._replace(index)

    def num_workers(self) -> int:
        """Returns the number of processes, whether they have started or not."""
        return len(self._slots)

    def free(self) -> int:
        """Counts the slots without a function."""
        return sum(_is_free(slot) for slot in self._slots)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Runs a function in a free slot, in a new process if the old one is unsuitable."""
        index = next(i for i, slot in enumerate(self._slots) if _is_free(slot))
        slot, kind = self._slots[index], _kind(arguments)
        if slot is None or self._is_used_up(slot, kind) or _is_broken(slot):
            slot = self._replace(index)
        slot.kind = kind or slot.kind
        slot.since = time.monotonic()
        try:
            slot.busy = slot.pool.submit(function, *arguments)
        except BrokenProcessPool:  # it has just died
            slot = self._replace(index)
            slot.kind = kind
            slot.busy = slot.pool.submit(function, *arguments)
        slot.trials += function is run_trial
        return slot.busy

    def _is_used_up(self, slot: _Slot, kind: tuple[Any, ...] | None) -> bool:
        is_other = slot.kind is not None and kind is not None and slot.kind != kind
        return slot.trials == self.max_trials or is_other

    def _replace(self, index: int) -> _Slot:
        old = self._slots[index]
        with hold_signals():  # `close` would not know the worker of one that is interrupted
            fresh = self._slots[index] = self._new(index)
            if old is not None:
                old.pool.shutdown(wait=False)
        return fresh

    def _begun(self) -> list[_Slot]:
        return [slot for slot in self._slots if slot is not None]

    def _slot(self, future: "Future[Any]") -> _Slot | None:
        return next((slot for slot in self._begun() if slot.busy is future), None)

    def seconds(self, future: "Future[Any]") -> float:
        """Counts from the submission, or from when TensorFlow was imported if that was later."""
        slot = self._slot(future)
        if slot is None or slot.ready_at is None:
            return 0.0
        return time.monotonic() - max(slot.since, slot.ready_at)

    def stop(self) -> None:
        """Sends SIGTERM to every busy worker."""
        for slot in self._begun():
            if not _is_free(slot):
                _signal(slot, signal.SIGTERM)

    def kill(self, future: "Future[Any]") -> None:
        """Kills the worker of one function."""
        slot = self._slot(future)
        if slot is not None:
            _signal(slot, signal.SIGKILL)

    def is_lost(self, error: BaseException) -> bool:
        """Whether a pool raised this because its process died."""
        return isinstance(error, BrokenProcessPool | concurrent.futures.CancelledError)

    def close(self) -> None:
        """Kills the workers: their outcomes are recorded."""
        for slot in self._begun():
            _signal(slot, signal.SIGKILL)
            slot.pool.shutdown(wait=False, cancel_futures=True)


def _kind(arguments: Sequence[Any]) -> tuple[Any, ...] | None:
    """Returns the kind of process that a trial, or building models, needs."""
    first = arguments[0] if arguments else None
    if isinstance(first, TrialTask):
        return kind_of_process(first.node.training)
    if isinstance(first, list) and first and isinstance(first[0], config.Config):
        return kind_of_process(first[0].training)
    return None


def _is_free(slot: _Slot | None) -> bool:
    return slot is None or slot.busy is None or slot.busy.done()


def _is_broken(slot: _Slot) -> bool:
    ended = [future for future in (slot.ready, slot.busy) if future is not None and future.done()]
    return any(isinstance(future.exception(), BrokenProcessPool) for future in ended)


def _signal(slot: _Slot, number: int) -> None:
    """Signals a slot's process; the pool itself ends one that has not started yet."""
    for process in list((slot.pool._processes or {}).values()):  # `kill_workers` needs Python 3.14
        if process.pid is not None and process.is_alive():
            # The pool's thread may have noticed its end in the meantime.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
