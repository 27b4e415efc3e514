"""Ctrl-C and SIGTERM: a checkpoint first, then the end; at once if asked a second time."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from samerun.tracking import Terminated

_ENDS: dict[int, type[BaseException]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


def _stop(number: int, frame: Any) -> None:
    error = _ENDS[number]
    training = sys.modules.get("samerun.training")
    request = getattr(training, "request_stop", None)  # the module may just be being imported
    if request is None or not request(error):
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
