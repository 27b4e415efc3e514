"""The interface of an executor: what the loop of a sweep asks for."""

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future


class Executor(abc.ABC):
    """Runs functions on workers, as `concurrent.futures` does, and can end one of them."""

    @abc.abstractmethod
    def num_workers(self) -> int:
        """Returns how many functions can run at the same time."""

    @abc.abstractmethod
    def free(self) -> int:
        """Returns how many more functions can begin at once."""

    @abc.abstractmethod
    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Runs a function on a free worker."""

    def warm_up(self, num: int) -> None:  # noqa: B027 - most executors have nothing to prepare
        """Starts up to so many workers that functions will need soon."""

    def begin(self) -> None:  # noqa: B027 - most executors begin in `submit`
        """Begins what was submitted, where that is done together."""

    @abc.abstractmethod
    def seconds(self, future: "Future[Any]") -> float:
        """Returns for how long a function has run, without the worker's own start."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Asks all functions under way to write down where they are and to return."""

    @abc.abstractmethod
    def kill(self, future: "Future[Any]") -> None:
        """Ends a function at once, by ending its worker; the future raises."""

    @abc.abstractmethod
    def is_lost(self, error: BaseException) -> bool:
        """Whether a future raised this because its worker died."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends all workers."""
