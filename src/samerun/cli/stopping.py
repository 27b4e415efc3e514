"""Ctrl-C and SIGTERM: a checkpoint first, then the end; at once if asked a second time."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from samerun.errors import Terminated

_ENDS: dict[int, type[BaseException]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


def request_stop(error: type[BaseException]) -> bool:
    """Asks the training under way in this process to write a checkpoint and to raise this.

    Returns:
        Whether there is one; without, TensorFlow is not imported to find out.
    """
    training = sys.modules.get("samerun.training")
    request = getattr(training, "request_stop", None)  # the module may just be being imported
    return request is not None and bool(request(error))


def _stop(number: int, frame: Any) -> None:
    error = _ENDS[number]
    if not request_stop(error):
        raise error


@contextlib.contextmanager
def stopping_gently() -> Iterator[None]:
    """Lets the run in the block write a checkpoint when a signal asks for its end.

    A signal that was ignored stays ignored: a shell does so for what runs in its background.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return
    before = {number: signal.getsignal(number) for number in _ENDS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
