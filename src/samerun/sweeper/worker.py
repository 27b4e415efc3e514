"""What a worker does with a trial. Any process can import these functions by name."""

import contextlib
import functools
import gc
import io
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from samerun import config
from samerun.config.schema import register
from samerun.process import OUTPUT_FILE, is_worker, quiet, redirect_output, stop_on_sigterm
from samerun.search.constraints import EPOCH_SECONDS, reason, violations
from samerun.search.objectives import default_direction, value_of
from samerun.search.outcome import OUTCOME_FILE, EndState, TrialOutcome, outcome_of, write_outcome

if TYPE_CHECKING:
    from samerun.result import InstancesResult, Result
    from samerun.search.constraints import Constraint
    from samerun.search.objectives import Objectives
    from samerun.sweeper.trial_configs import TrialTask


def run_trial(task: "TrialTask") -> TrialOutcome:
    """Trains a trial with Hydra's job runner, with the usual folders and HydraConfig.

    Never raises: every way to end is an outcome. It is also written to the trial's folder after the
    MLflow run has ended, so that a sweep that was killed before `tell` catches up when it resumes,
    without training again.
    """
    return run_and_record(
        Path(task.folder),
        lambda: outcome_of_result(task.objectives, _train(task), task.constraints),
    )


def run_and_record(folder: Path, train: Callable[[], TrialOutcome]) -> TrialOutcome:
    """Trains, and writes how it ended into the folder; never raises."""
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OUTCOME_FILE).unlink(missing_ok=True)  # of an earlier attempt
    with redirect_output(folder / OUTPUT_FILE), stop_on_sigterm():
        try:
            outcome = train()
        except BaseException as error:
            outcome = outcome_of(error)
            if outcome.state in (EndState.error, EndState.out_of_memory, EndState.nan):
                traceback.print_exc()
            del error
    _release_memory()
    if is_worker():
        _exempt_imports_of_a_trial()
    outcome = replace(
        outcome, seconds=time.monotonic() - began, pid=os.getpid(), memory_bytes=_memory()
    )
    if outcome.state is not EndState.stopped:
        write_outcome(folder, outcome)
    return outcome


def _train(task: "TrialTask") -> "Result | InstancesResult":
    """Runs the job; `return_value` raises what the job raised."""
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
    result: Result | InstancesResult = done.return_value
    return result


def outcome_of_result(
    objectives: "Objectives",
    result: "Result | InstancesResult",
    constraints: "Sequence[Constraint]" = (),
) -> TrialOutcome:
    """Returns the outcome of a run that finished; of several instances, the means of theirs."""
    results: Sequence[Result] = getattr(result, "children", None) or [cast("Result", result)]
    each = {
        name: [value_of(one, name, way, from_best=objectives.from_best) for one in results]
        for name, way in zip(objectives.names, objectives.directions, strict=True)
    }
    values = {name: _mean(found) for name, found in each.items()}
    labels: Sequence[str] = getattr(result, "labels", ())
    epochs = sum(len(next(iter(one.history.values()), [])) for one in results)
    limited = _limited_values(constraints, results, from_best=objectives.from_best)
    finite = {**values, **limited}
    bad = [name for name, value in finite.items() if not math.isfinite(value)]
    if bad:
        return TrialOutcome(state=EndState.nan, reason=f"{bad[0]} is not finite", epochs=epochs)
    found = violations(constraints, limited.get)
    is_infeasible = any(value > 0 for value in found.values())
    return TrialOutcome(
        state=EndState.infeasible if is_infeasible else EndState.complete,
        reason=reason(constraints, limited),
        values=values,
        constraints=found,
        test=_test_metric(objectives, result),
        by_instance=dict(zip(labels, each[objectives.names[0]], strict=False)),
        epochs=epochs,
    )


def _mean(values: Iterable[float]) -> float:
    """Returns the mean over the instances of a trial; a single value stays what it is, exactly."""
    found = [*values]
    return found[0] if len(found) == 1 else math.fsum(found) / len(found)


def _test_metric(objectives: "Objectives", result: "Result | InstancesResult") -> dict[str, float]:
    """Returns the test metric of the first objective's kind, else the first test metric."""
    tested = {name: value for name, value in result.metrics.items() if name.startswith("test/")}
    same = f"test/{objectives.names[0].rpartition('/')[2]}"
    name = same if same in tested else next(iter(tested), None)
    is_finite = name is not None and math.isfinite(tested[name])
    return {name: tested[name]} if name is not None and is_finite else {}


def _limited_values(
    constraints: "Sequence[Constraint]", results: "Sequence[Result]", *, from_best: bool
) -> dict[str, float]:
    """Returns the values that constraints limit, without one that could not be measured."""
    values = {}
    for name in {one.name for one in constraints}:
        if name not in EPOCH_SECONDS:
            way = default_direction(name)
            values[name] = _mean(value_of(one, name, way, from_best=from_best) for one in results)
            continue
        seconds = [one.epoch_seconds for one in results if one.epoch_seconds is not None]
        if seconds:
            values[name] = _mean(seconds)
    return values


def kind_of_process(training: Any) -> tuple[int, int, bool]:
    """Returns the settings that TensorFlow cannot change once it has run in a process."""
    return training.intra_op_threads, training.inter_op_threads, training.deterministic


def warm_up() -> int:
    """Imports TensorFlow, which takes 4 to 8 s, before a trial is timed; returns the process ID."""
    with quiet():
        import mlflow  # noqa: F401

        from samerun import logbook, training  # noqa: F401
    if is_worker():
        _exempt_imports()
    return os.getpid()


def _exempt_imports() -> None:
    """Leaves what there is out of later collections: imports stay, and took 0.3 s of each."""
    gc.collect()
    gc.freeze()


@functools.cache  # once in each process
def _exempt_imports_of_a_trial() -> None:
    """Does the same for what the first trial was the first to need, but not for its data.

    The graphs of pipelines refer to themselves: only the collector frees them.
    """
    from samerun import data

    data.release_pipelines()
    _exempt_imports()


def _release_memory() -> None:
    """Releases a trial's models, graphs and figures; the next trial collects them in 0.15 s."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session(free_memory=False)


def _memory() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _silent(function: Any) -> Any:
    """Hides what a function prints."""

    @functools.wraps(function)
    def quietly(*arguments: Any) -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            return function(*arguments)

    return quietly


@_silent
def build_models(configs: Sequence[config.Config]) -> list[tuple[int, int]]:
    """Builds the model of each config; returns its number of parameters and bytes of memory.

    Raises:
        UserError: a model cannot be built, with the reason.
    """
    warm_up()
    import keras

    from samerun import data, models, training
    from samerun.determinism import make_deterministic

    found = []
    make_deterministic(configs[0].training)  # threads cannot be changed afterwards
    for cfg in configs:
        keras.utils.clear_session()
        spec = data.describe(cfg.dataset)
        training.check_own_functions(cfg, spec)
        model = models.build(cfg.model, spec)
        found.append((int(model.count_params()), _bytes_needed(model, cfg.dataset.batch_size)))
    _release_memory()
    return found


def _bytes_needed(model: Any, batch_size: int) -> int:
    """Estimates the memory of training: weights four times, the outputs of all layers twice.

    Weights, their gradients and two moments of the optimizer; outputs and their gradients.
    """
    outputs = 0
    for layer in model.layers:
        shape = getattr(getattr(layer, "output", None), "shape", None) or ()
        outputs += math.prod(size or 1 for size in shape[1:]) if shape else 0
    return 4 * (4 * int(model.count_params()) + 2 * batch_size * outputs)
