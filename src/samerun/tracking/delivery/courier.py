"""A thread that delivers a run's spool during training, so that no step waits for it."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import final

from samerun.errors import first_line
from samerun.tracking.delivery.faults import is_unavailable
from samerun.tracking.delivery.sender import OutOfTime, Sender
from samerun.tracking.recovery.process import HEARTBEAT_SECONDS

_GATHER_SECONDS = (
    0.2  # points of fast steps are sent together: a batch of 500 takes 5 ms, as one point does
)
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_MOST_IN_VAIN = 3  # attempts at the end that deliver nothing: the store is unavailable

_log = logging.getLogger(__name__)

Task = tuple[Callable[[], object], "Future[object]"]


@final
class Courier:
    """Delivers repeatedly in its own thread: no other thread ever waits for a request.

    Args:
        delivery: what it does again and again.
    """

    def __init__(self, delivery: Sender) -> None:
        self._delivery = delivery
        self._delivery.stop = self._is_interrupted
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._started = self._closing = False
        self._deadline: float | None = None
        self._tasks: list[Task] = []
        self._lock = threading.Lock()
        self._is_unavailable = False
        self._thread = threading.Thread(target=self._keep_at_it, name="samerun-spool", daemon=True)

    def start(self) -> None:
        """Starts the thread once; before that, nothing is delivered."""
        if not self._started:
            self._started = True
            self._thread.start()

    def notify(self) -> None:
        """Signals that something waits."""
        self._wake.set()

    def create(self, patience: float) -> None:
        """Creates the run in the store.

        Args:
            patience: seconds to wait for that.

        Raises:
            TimeoutError: it took longer; the thread keeps trying.
            Exception: the store is unavailable, or refuses.
        """
        self._do(self._delivery.create, patience)

    def flush(self, patience: float) -> bool:
        """Delivers once, now; returns whether nothing waits any more.

        Args:
            patience: seconds to wait for that.
        """
        return self._settled(self._attempt, patience)

    def finish(self, patience: float) -> bool:
        """Delivers until nothing waits or no attempt succeeds, and ends the thread.

        Args:
            patience: seconds to wait for that. A request that hangs longer is left to the thread,
                which ends after it without another one.

        Returns:
            Whether nothing waits any more.
        """
        self.start()
        self._deadline = time.monotonic() + patience
        try:
            return self._settled(self._finish, patience)
        finally:
            self.close()

    def close(self) -> None:
        """Ends the thread, after the request it may be in."""
        self._deadline = time.monotonic()
        self._closing = True
        self._urgent.set()
        self._wake.set()

    def _settled(self, task: Callable[[], bool], patience: float) -> bool:
        try:
            self._do(task, patience)
        except TimeoutError:
            return False
        return self._delivery.spool.is_empty()

    def _do(self, task: Callable[[], object], patience: float) -> None:
        if self._closing or not self._started:
            raise TimeoutError("The run has ended.")
        future: Future[object] = Future()
        with self._lock:
            self._tasks.append((task, future))
        self._urgent.set()
        self._wake.set()
        future.result(timeout=patience)

    def _is_interrupted(self) -> bool:
        """Whether the current delivery should stop: time is up, or another delivery waits."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return True
        return self._urgent.is_set()

    def _keep_at_it(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            is_woken = self._wake.wait(HEARTBEAT_SECONDS)
            self._beat()
            if not is_woken:
                continue
            self._urgent.wait(_GATHER_SECONDS)
            self._wake.clear()
            if self._do_tasks():
                continue
            if self._closing:
                return
            if self._attempt():
                pause = _FIRST_PAUSE_SECONDS
                continue
            self._urgent.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            self._wake.set()

    def _beat(self) -> None:
        """Renews the heartbeat, if the store seems to be available."""
        if not (self._is_unavailable or self._closing):
            with contextlib.suppress(Exception):
                self._delivery.beat()

    def _do_tasks(self) -> bool:
        """Runs what another thread waits for; returns whether there was anything."""
        with self._lock:
            tasks, self._tasks = self._tasks, []
            self._urgent.clear()
        for task, future in tasks:
            try:
                future.set_result(task())
            except BaseException as error:
                future.set_exception(error)
        if tasks:
            self._wake.set()  # for what was recorded meanwhile
        return bool(tasks)

    def _finish(self) -> bool:
        """Delivers until nothing waits, time is up, or several attempts deliver nothing."""
        in_vain, pause = 0, _FIRST_PAUSE_SECONDS
        while True:
            before = self._delivery.spool.missing()
            if self._attempt():
                return True
            in_vain = in_vain + 1 if self._delivery.spool.missing() == before else 0
            if in_vain == _MOST_IN_VAIN or self._is_interrupted() or self._urgent.wait(pause):
                return False
            pause *= 2

    def _attempt(self) -> bool:
        spool = self._delivery.spool
        try:
            self._delivery.deliver()
        except OutOfTime:
            return False
        except Exception as error:  # of any kind: training continues, the line waits
            if not self._is_unavailable:
                self.warn_unavailable(error)
            return False
        if self._is_unavailable and spool.is_empty():
            self._is_unavailable = False
            missing = spool.missing()
            but = f" except {missing}, which it refused" if missing else ""
            _log.warning("Tracking store available again; everything was delivered%s.", but)
        return True

    def warn_unavailable(self, error: BaseException) -> None:
        """Warns once that something cannot be delivered now, and where it is kept."""
        self._is_unavailable = True
        what = "unavailable" if is_unavailable(error) else "does not take everything"
        _log.warning(
            "Tracking store %s (%s). Training continues; its records are kept in %s and "
            "delivered later.",
            what,
            first_line(error),
            self._delivery.spool.folder,
        )
