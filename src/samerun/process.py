"""This process: signals, output, garbage, and whether it is a worker."""

import atexit
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from samerun.deferred import defer_modules
from samerun.errors import Terminated

OUTPUT_FILE = "output.log"
"""In the folder of a run that a worker trains: what would be on the screen."""

_WORKER = "SAMERUN_WORKER"
_SIGNALS: dict[int, type[BaseException]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


_is_paused = [False]
_is_own = [False]


def own_process() -> None:
    """Marks this process as samerun's own, in which imported modules stay until it ends.

    Python would collect garbage among them as it exits, which takes 2 s where TensorFlow is loaded.
    Nothing has imported Keras yet, so modules of it that hardly any run uses can be deferred.
    """
    _is_own[0] = True
    defer_modules()
    atexit.register(gc.freeze)


def keep_imports() -> None:
    """Hides what exists from the garbage collector, once in a process of samerun's own.

    Each time that Keras clears its state it would collect among all imported modules: 0.4 s.
    """
    if _is_own[0]:
        gc.freeze()
        _is_own[0] = False


def pause_garbage_collection() -> None:
    """Leaves garbage where it is, for a process that ends soon: a tenth of its time."""
    gc.disable()
    _is_paused[0] = True


def resume_garbage_collection() -> None:
    """Ends that pause, where there is one: training begins, and garbage would add up."""
    if _is_paused[0]:
        gc.enable()
        _is_paused[0] = False


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
    import tempfile  # with modules that a short command does without

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


@contextlib.contextmanager
def redirect_output(path: Path) -> Iterator[None]:
    """Redirects the output of the block to a file, so that the screen is the parent's.

    In a worker process the file descriptors too, for the output of TensorFlow's C++.

    Args:
        path: the file; what it has is kept.
    """
    with path.open("a", encoding="utf-8", buffering=1) as file:
        kept = [os.dup(1), os.dup(2)] if is_worker() else []
        if kept:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        try:
            with (
                contextlib.nullcontext() if kept else _redirect_logs(file),
                contextlib.redirect_stdout(file),
                contextlib.redirect_stderr(file),
            ):
                yield
        finally:
            for number, descriptor in enumerate(kept, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)


@contextlib.contextmanager
def _redirect_logs(file: TextIO) -> Iterator[None]:
    """Redirects the handlers of logs on the screen, which keep the stream they were made with.

    In a worker they follow the file descriptors; in the sweep's own process, Hydra's handler would
    show what TensorFlow warns of in a trial. Dask, which runs functions in threads, keeps its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    screens = (sys.stdout, sys.stderr)
    before = {one: one.stream for one in _stream_handlers() if one.stream in screens}
    for handler in before:
        handler.setStream(file)
    try:
        yield
    finally:
        for handler in _stream_handlers():
            if handler.stream is file:  # also one made in the meantime: the file is closed
                handler.setStream(before.get(handler, screens[1]))


def _stream_handlers() -> "list[logging.StreamHandler[Any]]":
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    found = [handler for one in loggers for handler in getattr(one, "handlers", ())]
    return [handler for handler in found if type(handler) is logging.StreamHandler]


def is_worker() -> bool:
    """Whether this process is a worker."""
    return os.environ.get(_WORKER) == str(os.getpid())  # not a child of a worker


@contextlib.contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Handles SIGTERM in a worker as its parent's request to write a checkpoint and stop."""
    if not is_worker() or threading.current_thread() is not threading.main_thread():
        yield  # the sweep's own process keeps its handlers; Dask runs functions in threads
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def hold_signals() -> Iterator[None]:
    """Holds Ctrl-C and SIGTERM back until the block ends, here and in a worker that it starts.

    The worker inherits that, and ends it in `start_worker`: until then either signal would end it
    with a traceback. `multiprocessing` protects its own process in the same way.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its start ends the hold
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker(environment: Sequence[tuple[str, str]], *, is_busy: bool = False) -> None:
    """Prepares a worker process before TensorFlow is imported in it.

    Args:
        environment: variables to set, such as the graphics card of this worker.
        is_busy: SIGTERM stops the worker from now on, and not only in `stop_on_sigterm`.
    """
    import multiprocessing

    defer_modules()
    os.environ.update(environment)
    os.environ[_WORKER] = str(os.getpid())
    # Ctrl-C reaches the entire process group; the parent decides, and sends SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Between trials there is nothing to stop.
    signal.signal(signal.SIGTERM, _stop if is_busy else signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    """Ends this process with its parent; otherwise workers would stay forever."""
    parent.join()
    os._exit(143)


def graphics_cards() -> list[str]:
    """Returns the graphics cards this process may use, found without importing TensorFlow."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [card for card in chosen.split(",") if card.strip() not in ("", "-1")]
    found = Path("/proc/driver/nvidia/gpus")
    return [str(index) for index in range(len(list(found.iterdir())))] if found.is_dir() else []
