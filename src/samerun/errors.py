"""Every exception of samerun, and what each means for a command, a run and a trial.

Nothing here imports a library: asking how something ended costs no import of TensorFlow or Optuna.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import ParamSpec, TypeVar

from samerun.escaping import for_screen, one_line
from samerun.redaction import redact

_MOST_CHARACTERS = 2000
_P = ParamSpec("_P")
_T = TypeVar("_T")


class UserError(Exception):
    """Something the person at the terminal can correct.

    The message is one sentence that says what was received, what was expected and what to do. The
    command line prints it without a traceback and exits with code 2.
    """

    def _render_traceback_(self) -> list[str]:
        """Returns what IPython and notebooks print for it: the sentence, and no traceback."""
        return [f"samerun: {for_screen(redact(str(self)))}"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a notebook's interrupt, as it leaves a function of the public API.

    Args:
        error: what was raised inside. Its notes say how to resume.
    """

    def __init__(self, error: KeyboardInterrupt) -> None:
        super().__init__(message(error))
        self.__notes__ = list(getattr(error, "__notes__", []))

    def _render_traceback_(self) -> list[str]:
        """Returns what IPython and notebooks print for it."""
        lines = [f"samerun: {self}", *self.__notes__]
        if self.__notes__:
            lines.append('In Python: samerun.resume("latest"), or with the ID above.')
        return [for_screen(redact(text)) for text in lines]


class StoreUnavailable(UserError):
    """A store cannot be reached at present; later it may.

    Args:
        message: what was received, what is wrong and what to do, where nothing works without it.
        reason: which store, and what is wrong with it; by default the message.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def raises_mistakes_shortly(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Makes a function of the public API raise a `UserError` or Ctrl-C without what led to it.

    Its own traceback and those of Hydra's exceptions before it are about 200 lines, of which none
    helps to correct the mistake.
    """

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            raise error.with_traceback(None) from None
        except KeyboardInterrupt as error:
            raise Interrupted(error) from None

    return call


class Diverged(RuntimeError):
    """Training met a value that is not finite; the run is of no use."""


class NotFinite(Exception):
    """Leaves `fit` in the epoch that is discarded; the training catches it and continues.

    Args:
        found: the value that is not finite, and where.
        epoch: from 1.
        step: from 1; 0 at the end of the epoch.
    """

    def __init__(self, found: str, *, epoch: int, step: int) -> None:
        super().__init__(found)
        self.epoch, self.step = epoch, step


class Terminated(BaseException):
    """SIGTERM arrived. Raised by the signal handler, so that the run can be ended."""


class TimeLimit(Exception):
    """A trial took longer than `sweep.trial_seconds`; what it reached so far is kept."""


class TrialPaused(Exception):
    """A trial waits at its rung; it continues from its checkpoint if it is promoted.

    Args:
        epoch: its rung, from 1.
    """

    def __init__(self, epoch: int) -> None:
        super().__init__(f"at epoch {epoch}")
        self.epoch = epoch


class Infeasible(Exception):
    """A trial violates a constraint of its sweep that is known before it is trained.

    Args:
        reason: which, with the value.
        violations: by how much each constraint is violated, by its text; at most 0: not at all.
    """

    def __init__(self, reason: str, violations: Mapping[str, float]) -> None:
        super().__init__(reason)
        self.violations = violations


class SweepStopped(BaseException):
    """The whole sweep was stopped: the trial resumes from its checkpoint when the sweep does."""


class SweepFailed(Exception):
    """The sweep ended because of failed trials, as its settings say."""


class WorkerLost(BrokenExecutor):
    """The process that ran a trial is gone, or its launcher returned without an outcome."""


class FileGone(Exception):
    """A file that was to be uploaded is no longer in the run's folder."""


class OutOfTime(Exception):
    """A delivery ended before everything was tried: time is up, or a more urgent one is due."""


class ArchiveTooLarge(ValueError):
    """The arrays of a file would take more memory than they may."""


class Cause(StrEnum):
    """Why a command, a run or a trial ended before its end."""

    interrupted = "interrupted"
    """Ctrl-C."""
    terminated = "terminated"
    """SIGTERM."""
    pruned = "pruned"
    paused = "paused"
    infeasible = "infeasible"
    time_limit = "time_limit"
    sweep_stopped = "sweep_stopped"
    sweep_failed = "sweep_failed"
    diverged = "diverged"
    out_of_memory = "out_of_memory"
    store_unavailable = "store_unavailable"
    user_error = "user_error"
    other = "other"
    """A bug, of samerun or of the user's own code."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How something ended.

    Args:
        cause: why.
        reason: the same as a sentence, in one line and without passwords.
    """

    cause: Cause
    reason: str


FAILED, USER_ERROR, INTERRUPTED, READER_LEFT, TERMINATED = 1, 2, 130, 141, 143
_EXIT_CODES = {
    Cause.sweep_failed: FAILED,
    Cause.diverged: FAILED,
    Cause.out_of_memory: FAILED,
    Cause.store_unavailable: USER_ERROR,
    Cause.user_error: USER_ERROR,
    Cause.interrupted: INTERRUPTED,
    Cause.terminated: TERMINATED,
}
"""The exit code of each cause that has one; any other exception is shown with its traceback."""
EXIT_CODES = {
    0: "success",
    FAILED: "failure: training diverged or ran out of memory, a sweep ended by its failures, a "
    "reproduction is DIFFERENT, a run that `verify` lists is not the same, `table --check` found "
    "another number, `predict` refused a row, `sync` found a store incomplete; or a bug, "
    "with its traceback",
    USER_ERROR: "a mistake in the command, a config or a file, in one sentence; or a tracking "
    "store that cannot be reached",
    INTERRUPTED: "Ctrl-C; the message has the line that resumes the run",
    READER_LEFT: "the program that reads the output ended first, as in `samerun runs | head -1`",
    TERMINATED: "SIGTERM; the run is marked KILLED and can be resumed",
}
"""The meaning of every exit code of a command."""

_CAUSES: dict[type[BaseException], Cause] = {
    KeyboardInterrupt: Cause.interrupted,
    Terminated: Cause.terminated,
    Infeasible: Cause.infeasible,
    TimeLimit: Cause.time_limit,
    TrialPaused: Cause.paused,
    SweepStopped: Cause.sweep_stopped,
    SweepFailed: Cause.sweep_failed,
    Diverged: Cause.diverged,
    MemoryError: Cause.out_of_memory,
    StoreUnavailable: Cause.store_unavailable,
    UserError: Cause.user_error,
}
_FOREIGN = {"TrialPruned": Cause.pruned, "ResourceExhaustedError": Cause.out_of_memory}
# Optuna's and TensorFlow's: known by name, so that neither has to be imported to ask.


def classify(error: BaseException) -> Ending:
    """Returns how something ended that an exception left."""
    cause = _cause(error)
    name, text = type(error).__name__, _first_line(error)
    reasons = {
        Cause.interrupted: "interrupted (Ctrl-C)",
        Cause.terminated: "terminated (SIGTERM)",
        Cause.pruned: f"pruned {text}".strip(),
        Cause.paused: f"paused {text}".strip(),
        Cause.infeasible: f"infeasible: {text}",
        Cause.time_limit: text,
        Cause.sweep_stopped: "the sweep was stopped",
        Cause.diverged: text,
        Cause.out_of_memory: f"out of memory: {text}".rstrip(": "),
        Cause.store_unavailable: text,
    }
    return Ending(cause=cause, reason=reasons.get(cause) or f"{name}: {text}".rstrip(": "))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception is Python's or TensorFlow's for memory that has run out."""
    return _cause(error) is Cause.out_of_memory


def _cause(error: BaseException) -> Cause:
    foreign = _FOREIGN.get(type(error).__name__)
    if foreign is not None:
        return foreign
    return next((cause for kind, cause in _CAUSES.items() if isinstance(error, kind)), Cause.other)


def exit_code(error: BaseException) -> int | None:
    """Returns the exit code of a command that an exception ended; `None` for a bug."""
    return _EXIT_CODES.get(_cause(error))


def message(error: BaseException) -> str:
    """Returns what the command line prints for an exception that has an exit code."""
    messages = {
        Cause.interrupted: "interrupted.",
        Cause.terminated: "terminated; a run that had begun is marked KILLED.",
        Cause.diverged: f"{error}. The run is marked FAILED; a smaller optimizer.learning_rate or "
        "optimizer.clipnorm=1 often helps, or training.on_nan=restore_and_lower_lr."
        + see("how-to/preemption.md#retries-within-a-run"),
        Cause.out_of_memory: "out of memory. The run is marked FAILED; a smaller "
        "dataset.batch_size or model helps, or training.on_memory=halve_batch."
        + see("how-to/preemption.md#retries-within-a-run"),
    }
    return one_line(messages.get(_cause(error), str(error)), _MOST_CHARACTERS)


def first_line(error: BaseException) -> str:
    """Returns an error's first line without passwords, or its class where it has no text."""
    return (_first_line(error) or type(error).__name__)[:200]


def _first_line(error: BaseException) -> str:
    if isinstance(error, StoreUnavailable) and error.reason:
        return error.reason
    lines = redact(str(error)).strip().splitlines() or [""]
    # TensorFlow's own first line is that of the graph; what was raised inside comes last.
    inner = [line for line in lines if re.match(r"\w*(Error|Exception): ", line)]
    return inner[-1] if inner and lines[0].startswith("Graph execution error") else lines[0]


def see(page: str) -> str:
    """Returns the end of a message that needs more than a line: where to read on.

    Args:
        page: a file in `docs/`, with the anchor of its section; a test looks for both.
    """
    return f" See docs/{page}."


def nearest(received: str, known: Iterable[str]) -> str:
    """Returns ` Did you mean 'x'?` for the closest of `known`, or an empty string.

    Args:
        received: what was received.
        known: what would have been accepted. A dotted key is also compared by its last part, so
            that `model.droput` finds `model.dropout`.
    """
    candidates = list(known)
    close = get_close_matches(received, candidates, n=1, cutoff=0.6)
    if not close and "." in received:
        last = received.rsplit(".", 1)[1]
        by_last = {name.rsplit(".", 1)[-1]: name for name in candidates}
        close = [by_last[name] for name in get_close_matches(last, by_last, n=1, cutoff=0.6)]
    return f" Did you mean '{close[0]}'?" if close else ""


def listed(names: Iterable[str]) -> str:
    """Returns the names as `a, b, c` for use in a sentence."""
    return ", ".join(names)
