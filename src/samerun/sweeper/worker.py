"""What a worker does with a trial. Its functions are found by their names, in any process."""

import contextlib
import functools
import gc
import io
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samerun import config
from samerun.config.schema import register
from samerun.search.outcome import OUTCOME_FILE, EndState, TrialOutcome, outcome_of, write_outcome

if TYPE_CHECKING:
    from samerun.result import Result
    from samerun.search.objectives import Objectives
    from samerun.sweeper.trial_configs import TrialTask

OUTPUT_FILE = "output.log"


def run_trial(task: "TrialTask") -> TrialOutcome:
    """Trains a trial by Hydra's own job runner, so that folders and HydraConfig are as usual.

    Never raises: every way to end is an outcome. It is written into the trial's folder too, after
    the MLflow run was ended, so that a sweep whose own process was killed before it could tell the
    study does so when it goes on, without training again.
    """
    return concluded(Path(task.folder), lambda: results(task.objectives, _train(task)))


def concluded(folder: Path, train: Callable[[], TrialOutcome]) -> TrialOutcome:
    """Trains, and writes down how it ended; never raises."""
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OUTCOME_FILE).unlink(missing_ok=True)  # of an earlier attempt
    with _said_to(folder / OUTPUT_FILE), _stopped_by_signal():
        try:
            outcome = train()
        except BaseException as error:
            outcome = outcome_of(error)
            if outcome.state in (EndState.error, EndState.out_of_memory, EndState.nan):
                traceback.print_exc()
            del error
    _tidy()
    outcome = replace(
        outcome, seconds=time.monotonic() - began, pid=os.getpid(), memory_bytes=_memory()
    )
    if outcome.state is not EndState.stopped:
        write_outcome(folder, outcome)
    return outcome


def _train(task: "TrialTask") -> "Result":
    """Runs the job; what it raised comes out of `return_value`."""
    from hydra.core.utils import JobRuntime, run_job, setup_globals

    from samerun.sweeper.trial_run import train_trial

    register()
    setup_globals()
    JobRuntime.instance().set("name", task.job_name)
    done = run_job(
        hydra_context=task.context,
        task_function=train_trial,
        config=task.node,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
    result: Result = done.return_value
    return result


def results(objectives: "Objectives", result: "Result") -> TrialOutcome:
    """Returns the outcome of a run that came to its end."""
    values = {
        name: objective(result, name, direction, from_best=objectives.from_best)
        for name, direction in zip(objectives.names, objectives.directions, strict=True)
    }
    epochs = len(next(iter(result.history.values()), []))
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        return TrialOutcome(state=EndState.nan, reason=f"{bad[0]} is not a number", epochs=epochs)
    return TrialOutcome(state=EndState.complete, values=values, epochs=epochs)


def objective(result: "Result", name: str, direction: str, *, from_best: bool) -> float:
    """Returns the value of one objective of a finished run.

    Args:
        result: the run's result.
        name: a metric of every epoch, a final one such as `test/accuracy`, or `num_parameters`.
        direction: `minimize` or `maximize`.
        from_best: the best epoch's value, not the last one's.
    """
    if name == "num_parameters":
        return float(result.model.count_params())
    if name in result.metrics and name not in result.history:
        return result.metrics[name]
    values = [value for value in result.history[name] if math.isfinite(value)]
    if not values:
        return math.nan
    if not from_best:
        return values[-1]
    return min(values) if direction == "minimize" else max(values)


def kind_of_process(training: Any) -> tuple[int, int, bool]:
    """Returns what TensorFlow cannot change in a process once it has computed in it."""
    return training.intra_op_threads, training.inter_op_threads, training.deterministic


def warm_up() -> int:
    """Imports TensorFlow, 4 to 8 s, before the clock of a trial runs; returns the process's ID."""
    from samerun.process import quiet

    with quiet():
        import mlflow  # noqa: F401

        from samerun import logbook, training  # noqa: F401
    if is_worker():  # what was imported stays: looking through it took 0.3 s, thrice a trial
        gc.collect()
        gc.freeze()
    return os.getpid()


def _tidy() -> None:
    """Lets go of a trial's models, graphs and figures; the next one collects them: 0.15 s."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session(free_memory=False)


def _memory() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


@contextlib.contextmanager
def _said_to(path: Path) -> Iterator[None]:
    """Keeps what a trial says off the sweep's screen, in a file of its folder.

    In a worker process the file descriptors go there too, for what TensorFlow's C++ says.
    """
    with path.open("a", encoding="utf-8", buffering=1) as file:
        kept = [os.dup(1), os.dup(2)] if is_worker() else []
        if kept:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        try:
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                yield
        finally:
            for number, descriptor in enumerate(kept, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)


_WORKER = "SAMERUN_WORKER"


def is_worker() -> bool:
    """Whether this process is a worker, and nothing else."""
    return os.environ.get(_WORKER) == str(os.getpid())  # not what a worker starts


@contextlib.contextmanager
def _stopped_by_signal() -> Iterator[None]:
    """Takes SIGTERM as the sweep's word to write a checkpoint and to stop."""
    if not is_worker() or threading.current_thread() is not threading.main_thread():
        yield  # in the sweep's own process its handlers stay; Dask runs functions in threads
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: Any) -> None:
    from samerun.errors import Terminated
    from samerun.process import request_stop

    if not request_stop(Terminated):
        raise Terminated


def start_worker(environment: Sequence[tuple[str, str]]) -> None:
    """Prepares a worker process before TensorFlow is imported in it.

    Args:
        environment: variables to set, such as the graphics card that is this worker's own.
    """
    import multiprocessing

    os.environ.update(environment)
    os.environ[_WORKER] = str(os.getpid())
    # Ctrl-C goes to the whole process group; the parent decides, and tells us by SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # between trials there is nothing to stop
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    """Ends this process when its parent is gone; without, workers live on for ever."""
    parent.join()
    os._exit(143)


def _silent(function: Any) -> Any:
    """Keeps what a function prints off the screen."""

    @functools.wraps(function)
    def quietly(*arguments: Any) -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            return function(*arguments)

    return quietly


@_silent
def build_models(configs: Sequence[config.Config]) -> list[tuple[int, int]]:
    """Builds the model of each config once; returns its parameters and bytes of memory it needs.

    Raises:
        UserError: a model cannot be built, with the reason.
    """
    warm_up()
    import keras

    from samerun import data, models
    from samerun.determinism import make_deterministic

    found = []
    make_deterministic(configs[0].training)  # threads cannot be changed any more afterwards
    for cfg in configs:
        keras.utils.clear_session()
        model = models.build(cfg.model, data.describe(cfg.dataset))
        found.append((int(model.count_params()), _bytes_needed(model, cfg.dataset.batch_size)))
    _tidy()
    return found


def _bytes_needed(model: Any, batch_size: int) -> int:
    """Estimates what training takes: weights four times, every layer's output twice.

    Weights, their gradients and two moments of the optimizer; outputs and their gradients.
    """
    outputs = 0
    for layer in model.layers:
        shape = getattr(getattr(layer, "output", None), "shape", None) or ()
        outputs += math.prod(size or 1 for size in shape[1:]) if shape else 0
    return 4 * (4 * int(model.count_params()) + 2 * batch_size * outputs)
