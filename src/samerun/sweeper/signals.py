"""Ctrl-C and SIGTERM in the sweep's own process."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any, final

from samerun.errors import Terminated


@final
class StopSignals:
    """Notes the first Ctrl-C or SIGTERM, and raises at the second."""

    def __init__(self) -> None:
        self._received: int | None = None

    @property
    def is_received(self) -> bool:
        """Whether the sweep is to stop."""
        return self._received is not None

    @contextlib.contextmanager
    def handled(self, on_first: Callable[[], None]) -> Iterator[None]:
        """Handles both signals in a block.

        Args:
            on_first: called by the handler of the first signal.
        """

        def note(number: int, frame: Any) -> None:
            if self._received is not None:
                raise _exception(number)
            self._received = number
            on_first()

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def raise_if_received(self) -> None:
        """Raises what the signal means.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            samerun.errors.Terminated: SIGTERM.
        """
        if self._received is not None:
            raise _exception(self._received)


def _exception(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated()
