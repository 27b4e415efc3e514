"""Measured callbacks: each under its own name, and what `fit` does between them."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras

from samerun import stopwatch

_HOOKS = (
    *("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end"),
    *("on_test_begin", "on_test_end", "on_train_batch_begin", "on_train_batch_end"),
    *("on_test_batch_begin", "on_test_batch_end"),
)


def timed(callbacks: Sequence[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
    """Measures what callbacks implement; returns them behind one that measures what `fit` does.

    Args:
        callbacks: in the order in which Keras calls them.
    """
    for callback in callbacks:
        for hook in _HOOKS:
            method = getattr(callback, hook)
            if not getattr(method, "_is_default", False):  # so Keras marks what does nothing
                setattr(callback, hook, _measured(method, f"callback {type(callback).__name__}"))
    return [_Phases(), *callbacks]


def _measured(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def called(*arguments: Any, **options: Any) -> Any:
        with stopwatch.part(name):
            return method(*arguments, **options)

    return called


class _Phases(keras.callbacks.Callback):  # type: ignore[misc]
    """Distinguishes validation, and the first executions, which include the tracing, from steps.

    Has to be the first, so that what it starts and ends does not depend on the others.
    """

    def __init__(self) -> None:
        super().__init__()
        self._traced: set[str] = set()
        self._is_tracing = False

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Starts the tracing of the training step."""
        self._begin("train")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ends it."""
        self._end()

    def on_test_begin(self, logs: Any = None) -> None:
        """Starts the validation."""
        stopwatch.enter("validation")

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Starts the tracing of the validation step."""
        self._begin("test")

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ends it."""
        self._end()

    def on_test_end(self, logs: Any = None) -> None:
        """Ends the validation."""
        stopwatch.leave()

    def _begin(self, name: str) -> None:
        if name not in self._traced:
            self._traced.add(name)
            self._is_tracing = True
            stopwatch.enter("trace")

    def _end(self) -> None:
        if self._is_tracing:
            self._is_tracing = False
            stopwatch.leave()
