"""What an exception means: exit code, message, status of the run, outcome of the trial."""

import pickle

import pytest

from samerun import errors
from samerun.errors import Cause, classify, exit_code, first_line
from samerun.search.outcome import EndState, outcome_of
from samerun.tracking import Status
from samerun.tracking.opening import ending


class TrialPruned(Exception):
    """As Optuna's: known by its name."""


class ResourceExhaustedError(Exception):
    """As TensorFlow's: known by its name."""


ERRORS = [
    (KeyboardInterrupt(), Cause.interrupted, 130, Status.killed, EndState.stopped),
    (errors.Terminated(), Cause.terminated, 143, Status.killed, EndState.stopped),
    (errors.SweepStopped(), Cause.sweep_stopped, None, Status.killed, EndState.stopped),
    (errors.TimeLimit("60 s"), Cause.time_limit, None, Status.killed, EndState.time_limit),
    (TrialPruned("at epoch 2"), Cause.pruned, None, Status.killed, EndState.pruned),
    (errors.SweepFailed("trial 3"), Cause.sweep_failed, 1, Status.failed, EndState.error),
    (errors.Diverged("loss is NaN"), Cause.diverged, 1, Status.failed, EndState.nan),
    (MemoryError(), Cause.out_of_memory, 1, Status.failed, EndState.out_of_memory),
    (ResourceExhaustedError(), Cause.out_of_memory, 1, Status.failed, EndState.out_of_memory),
    (
        errors.StoreUnavailable("start it", reason="refused"),
        Cause.store_unavailable,
        2,
        Status.failed,
        EndState.store_unavailable,
    ),
    (errors.UserError("seed: received -1"), Cause.user_error, 2, Status.failed, EndState.error),
    (ValueError("bad\nmore"), Cause.other, None, Status.failed, EndState.error),
]


@pytest.mark.parametrize(
    ("error", "cause", "code", "status", "state"), ERRORS, ids=lambda value: type(value).__name__
)
def test_an_exception_means_the_same_everywhere(error, cause, code, status, state):
    assert classify(error).cause is cause
    assert exit_code(error) == code
    assert ending(error) == (status, classify(error).reason)
    assert outcome_of(error).state is state


@pytest.mark.parametrize("error", [error for error, *_ in ERRORS], ids=lambda e: type(e).__name__)
def test_an_exception_goes_from_process_to_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert classify(again) == classify(error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("  "), "ValueError"),
        (ValueError("x" * 1000), "x" * 200),
        (OSError("postgresql://me:secret9@host/db"), "postgresql://me:***@host/db"),
        (errors.StoreUnavailable("start it", reason="refused"), "refused"),
        (ValueError("Graph execution error:\n\nat x\nValueError: inside\n"), "ValueError: inside"),
    ],
)
def test_the_first_line_of_an_error_states_what_happened(error, expected):
    assert first_line(error) == expected
