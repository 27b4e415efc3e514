"""The interface of executors: what the loop of a sweep needs."""

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future


class Executor(abc.ABC):
    """Runs functions on workers, as `concurrent.futures` does, and can end one of them."""

    @abc.abstractmethod
    def num_workers(self) -> int:
        """Returns the number of functions that can run at the same time."""

    @abc.abstractmethod
    def free(self) -> int:
        """Returns the number of functions that can start now."""

    @abc.abstractmethod
    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Runs a function on a free worker."""

    def warm_up(self, num: int) -> None:  # noqa: B027 - most executors have nothing to prepare
        """Starts up to `num` workers that will be needed soon."""

    def begin_study(self, name: str) -> None:  # noqa: B027 - most executors are given folders
        """Keeps the trials of another study apart from those before, on machines of their own."""

    def begin(self) -> None:  # noqa: B027 - most executors start in `submit`
        """Starts what was submitted, for executors that start functions in batches."""

    @abc.abstractmethod
    def seconds(self, future: "Future[Any]") -> float:
        """Returns how long a function has run, without the start of its worker."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Asks all running functions to write a checkpoint and return."""

    @abc.abstractmethod
    def kill(self, future: "Future[Any]") -> None:
        """Ends a function at once, by ending its worker; the future raises."""

    @abc.abstractmethod
    def is_lost(self, error: BaseException) -> bool:
        """Whether a future raised this because its worker died."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends all workers."""
