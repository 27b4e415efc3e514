"""An executor without worker processes, for debugging."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, final

from samerun.sweeper.executors.base import Executor


@final
class InlineExecutor(Executor):
    """Runs functions in this process, one after the other; for debugging."""

    def num_workers(self) -> int:
        """Returns one."""
        return 1

    def free(self) -> int:
        """Returns one: a function has ended when `submit` returns."""
        return 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Runs the function and returns its finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def seconds(self, future: "Future[Any]") -> float:
        """Returns 0: it has ended."""
        return 0.0

    def stop(self) -> None:
        """Asks the training in this process to stop; called by a signal handler in `submit`."""
        from samerun.errors import Terminated
        from samerun.process import request_stop

        request_stop(Terminated)

    def kill(self, future: "Future[Any]") -> None:
        """Does nothing: it has ended."""

    def is_lost(self, error: BaseException) -> bool:
        """Returns `False`: the worker is this process."""
        return False

    def close(self) -> None:
        """Does nothing."""
