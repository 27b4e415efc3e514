"""This process: its signals, and what libraries print on import."""

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from samerun.errors import Terminated

_SIGNALS: dict[int, type[BaseException]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


def request_stop(error: type[BaseException]) -> bool:
    """Asks the training in this process to write a checkpoint and then raise an exception.

    Args:
        error: what it raises.

    Returns:
        Whether a training is running. TensorFlow is not imported to find out.
    """
    training = sys.modules.get("samerun.training")
    request = getattr(training, "request_stop", None)  # the module may just be being imported
    return request is not None and bool(request(error))


def _stop(number: int, frame: Any) -> None:
    error = _SIGNALS[number]
    if not request_stop(error):
        raise error


@contextlib.contextmanager
def graceful_stop() -> Iterator[None]:
    """Lets the run in the block write a checkpoint on Ctrl-C or SIGTERM; a second one ends it now.

    A signal that was ignored stays ignored: a shell ignores SIGINT for its background processes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may install signal handlers
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides TensorFlow's start-up messages, which C++ writes to file descriptor 2.

    If the block fails, they are shown after all; Ctrl-C and SIGTERM are no failures.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as buffer:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        except Exception:
            os.dup2(kept, 2)
            buffer.seek(0)
            sys.stderr.write(buffer.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
