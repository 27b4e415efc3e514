"""THE flow: one config, one run, top to bottom."""

import contextlib
import dataclasses
import gc
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import keras
from rich.console import Console

from samerun import (
    callbacks,
    checkpoints,
    console,
    data,
    evaluation,
    logbook,
    losses,
    models,
    optim,
    provenance,
    steps_per_execution,
    stopwatch,
)
from samerun.checkpoints import TrainingState
from samerun.config import Composition, Config, DataSpec, Task, check
from samerun.config import fingerprint as whole_fingerprint
from samerun.config.training import OnNan
from samerun.data import augmentation
from samerun.data.encoding import column_rows
from samerun.data.pipeline import num_batches
from samerun.determinism import make_deterministic, reset_and_seed
from samerun.errors import Diverged, NotFinite
from samerun.process import resume_garbage_collection
from samerun.result import Result
from samerun.search import NO_TRIAL, CurrentTrial
from samerun.tracking import Run
from samerun.user_code import own_functions, trust_names

_STOP = callbacks.StopRequest()


def start(
    composition: Composition,
    run: Run,
    out: Console,
    *,
    command: str | None = None,
    state: TrainingState | None = None,
    trial: CurrentTrial = NO_TRIAL,
    shows_config: bool = True,
) -> Result:
    """Shows the config, describes where the run comes from and trains: what every run does.

    Args:
        composition: a checked config.
        run: where to write.
        out: where to show progress.
        command: what started the run; `None` if opening the run has described it already, as it
            does where the run has to be on the disk before TensorFlow is imported.
        state: where to resume, see `train`.
        trial: the trial of a sweep that the run is.
        shows_config: whether to print the config; a multirun prints it once for all runs.

    Raises:
        UserError: see `train`.
        Diverged: see `train`.
    """
    resume_garbage_collection()
    if shows_config:
        console.show_config(composition.config, out)
    try:
        with stopwatch.part("other"):
            if command is not None:
                with stopwatch.part("tracking"):
                    logbook.describe_origin(run, composition, provenance.collect(command))
            result = train(composition.config, run, out, state=state, trial=trial)
    finally:
        seconds = stopwatch.take()
    if composition.config.tracking.log_seconds:
        logbook.write_seconds(run, seconds)
        console.show_seconds(seconds, out)
    return result


def train(
    cfg: Config,
    run: Run,
    out: Console,
    *,
    state: TrainingState | None = None,
    trial: CurrentTrial = NO_TRIAL,
) -> Result:
    """Trains and evaluates one model and writes everything about it to the run.

    Args:
        cfg: a checked config.
        run: where to write.
        out: where to show progress.
        state: the state to resume from; the result is that of a run without interruption.
        trial: the trial of a sweep that the run is.

    Raises:
        UserError: the data is not what the config needs, the state is another config's, or it
            cannot be written down.
        Diverged: the loss or a metric became NaN or infinite.
    """
    started = time.perf_counter()

    # What training.on_nan and training.on_memory ask for, and the state to resume from.
    retries = callbacks.Retries(cfg, run, out, state)
    cfg = retries.effective(cfg)
    if state is not None:
        callbacks.check_fits(state, fingerprint(cfg))
    make_deterministic(cfg.training)

    # Data, model and fit: once, or again with half the batch size if memory ran out.
    fit_ = partial(fit, run=run, out=out, state=state, trial=trial, retries=retries)
    while (fitted := fit_(cfg=cfg)) is None:
        gc.collect()  # the model of the last attempt refers to itself
        cfg = retries.effective(cfg)
    dataset, model, made = fitted
    if made.nan_guard.found:
        raise Diverged(f"diverged: {made.nan_guard.found}")
    run.log_text(made.checkpoints.digests_csv(), "checkpoints/digests.csv")
    trial.raise_if_stopped()

    # Evaluation, on data that neither training nor any choice has seen.
    split = "test" if dataset.spec.num_test else "validation"
    with stopwatch.part("evaluation"), dataset.reading():
        final = evaluation.evaluate(
            model,
            getattr(dataset, split),
            dataset.spec,
            cfg.evaluation,
            baseline_labels=dataset.labels("train"),
            baseline_predictions=dataset.baseline_predictions(split),
            to_units=dataset.to_units,
        )

        own = losses.measure_own(cfg, model, getattr(dataset, split))

    # The result, and everything about it written to the run.
    result = Result(
        run_id=run.id,
        run_name=run.name,
        folder=run.folder,
        metrics={f"{split}/{name}": value for name, value in (own | final.metrics).items()},
        history=made.recorder.history,
        best_epoch=made.early_stopping.best_epoch + 1,
        weights_digest=digest_of_weights(model),
        sentence=logbook.sentence(cfg, dataset, final),
        objective=float(made.early_stopping.best),
        epoch_seconds=made.recorder.median_epoch_seconds(),
        num_parameters=int(model.count_params()),
        model=uncompiled(model, cfg, dataset.spec) if _is_used(cfg, dataset.spec, trial) else None,
        trust=trust_names(cfg),
    )
    with stopwatch.part("tracking"):
        seconds = time.perf_counter() - started
        logbook.write_results(run, cfg, dataset, final, result, seconds)
        if cfg.tracking.log_seconds:
            run.flush()  # so that what the store still takes counts
    return result


def build(cfg: Config, run: Run, requested: Config) -> tuple[data.Data, keras.Model]:
    """Builds data and model, and describes them in the run.

    Args:
        cfg: the config, with the batch size that is used.
        run: where to write.
        requested: the config with the batch size that was requested.
    """
    with stopwatch.part("data"):
        dataset = data.build(cfg.dataset, cfg.seed)
        check(cfg, dataset.spec)
    with stopwatch.part("network"):
        steps = steps_per_execution.at_start(cfg)
        model = compiled(cfg, dataset.spec, dataset.steps_per_epoch, steps)
    with stopwatch.part("tracking"):
        logbook.describe_data(run, requested, dataset)
        logbook.describe_model(run, cfg, model, dataset.steps_per_epoch)
    return dataset, model


def compiled(cfg: Config, spec: DataSpec, steps_per_epoch: int, steps: int) -> keras.Model:
    """Builds a model from the seed, with its optimizer, loss and metrics.

    Args:
        cfg: the config.
        spec: the data it is for.
        steps_per_epoch: training steps per epoch, for the schedule.
        steps: steps per execution.
    """
    reset_and_seed(cfg.seed)
    model = models.build(cfg.model, spec)
    model.compile(
        optimizer=optim.build(
            cfg.optimizer,
            cfg.schedule,
            steps_per_epoch,
            cfg.training.epochs,
            can_be_lowered=cfg.training.on_nan is OnNan.restore_and_lower_lr,
        ),
        loss=losses.loss(cfg, spec),
        metrics=losses.metrics(cfg, spec),
        jit_compile=cfg.training.jit_compile,
        steps_per_execution=steps,
    )
    # Built inside `fit`, its variables would keep their graphs alive: 5 MB per run.
    model.optimizer.build(model.trainable_variables)
    return model


def check_own_functions(cfg: Config, spec: DataSpec) -> None:
    """Calls each of the user's own functions once, so that no run is opened for a wrong one.

    Args:
        cfg: a checked config.
        spec: the data it is for.

    Raises:
        UserError: a function raises, or returns something else than is expected of it.
    """
    if not own_functions(cfg):
        return
    make_deterministic(cfg.training)
    steps = num_batches(spec.num_train, cfg.dataset.batch_size, cfg.dataset.drop_remainder)
    compiled(cfg, spec, steps, 1)
    losses.check_own(cfg, spec)
    callbacks.build_own(cfg)
    augmentation.check_own(getattr(cfg.dataset, "augmentation", None), spec.input_shape)
    reset_and_seed(cfg.seed)


def fit(
    *,
    cfg: Config,
    run: Run,
    out: Console,
    state: TrainingState | None,
    trial: CurrentTrial,
    retries: callbacks.Retries,
) -> tuple[data.Data, keras.Model, callbacks.Callbacks] | None:
    """Builds data and model and fits the model, from scratch or from a state.

    Returns:
        Data, model and callbacks by name; `None` if memory ran out and half the batch size is to be
        tried. What was built is released then.
    """
    try:
        dataset, model = build(cfg, run, retries.asked)
        console.show_lines(column_rows(dataset.preprocessing), out)
        trial.check_model(int(model.count_params()))
        made = _callbacks(cfg, run, dataset, state=state, trial=trial, retries=retries)
        bar = callbacks.ProgressBar(
            cfg.training.epochs, dataset.steps_per_epoch, out, unit_scale=dataset.unit_scale
        )
        pace = steps_per_execution.Pace(cfg, run, made.own.values())
        called = [*made.ordered(), bar, pace]
        listed = callbacks.ResumableCallbackList(
            callbacks.timed(called) if cfg.tracking.log_seconds else called,
            model,
            steps_per_epoch=dataset.steps_per_epoch,
            averages=cfg.optimizer.use_ema,
        )
        steps = stopwatch.part("steps")
        with contextlib.closing(bar), dataset.reading(), _STOP.possible(), steps:
            if state is not None:
                _restore(state, model, dataset, made, out)
            class_weight = losses.class_weights(cfg, dataset.class_counts().tolist())
            listed.begin()
            while True:
                try:
                    for examples, first, last in _parts(model, cfg, dataset, listed, pace, state):
                        model.fit(
                            examples,
                            initial_epoch=first,
                            epochs=last,
                            validation_data=dataset.validation,
                            callbacks=listed,
                            class_weight=class_weight,
                            shuffle=False,  # the pipeline orders the data by (seed, epoch)
                            verbose=0,
                        )
                    break
                except NotFinite as error:
                    state = retries.roll_back(error, model, made.checkpoints)
            listed.end()
        return dataset, model, made
    except Exception as error:
        if not retries.halves_batch(cfg, error):
            raise
        return None


def _callbacks(
    cfg: Config,
    run: Run,
    dataset: data.Data,
    *,
    state: TrainingState | None,
    trial: CurrentTrial,
    retries: callbacks.Retries,
) -> callbacks.Callbacks:
    return callbacks.build(
        cfg,
        run,
        set_epoch=dataset.set_epoch,
        num_train=dataset.spec.num_train,
        steps_per_epoch=dataset.steps_per_epoch,
        fingerprint=fingerprint(cfg),
        start=state,
        stop=_STOP,
        trial=trial,
        retries=retries,
    )


def _parts(
    model: keras.Model,
    cfg: Config,
    dataset: data.Data,
    listed: callbacks.ResumableCallbackList,
    pace: steps_per_execution.Pace,
    state: TrainingState | None,
) -> Iterator[tuple[Any, int, int]]:
    """Yields the examples, the first and the last epoch of each call of `fit`.

    1. From scratch or between two epochs: one call for the epochs that are left.
    2. From a state inside an epoch: one call for the rest of that epoch, one for those after it.

    The first whole epoch is a call of its own where it decides how many steps an execution has.
    """
    first = state.epoch if state else 0
    stopped = state is not None and state.has_stopped()
    listed.first_step = state.step if state else 0
    if state and state.step:
        yield dataset.train_from(start=state.step), first, first + 1
        listed.first_step = 0
        first, stopped = first + 1, model.stop_training
    if first + 1 < cfg.training.epochs and not stopped and pace.is_open:
        yield dataset.train, first, first + 1
        first, stopped = first + 1, model.stop_training
        if not stopped:
            pace.adjust((cfg.training.epochs - first) * dataset.steps_per_epoch)
    if first < cfg.training.epochs and not stopped:
        yield dataset.train, first, cfg.training.epochs


def _restore(
    state: TrainingState,
    model: keras.Model,
    dataset: data.Data,
    made: callbacks.Callbacks,
    out: Console,
) -> None:
    callbacks.build_variables(model, dataset.train.take(1) if state.step else None)
    callbacks.restore_variables(model, state)
    if note := callbacks.note_on_resume([*made.own.items()]):
        out.print(note, markup=False)


def fingerprint(cfg: Config) -> str:
    """Returns the SHA-256, in hex, of what may not change when a run is resumed.

    More epochs make a longer run, and `steps_per_execution` only changes the speed.
    """
    fixed = dataclasses.replace(cfg.training, epochs=1, steps_per_execution="1")
    return whole_fingerprint(dataclasses.replace(cfg, training=fixed))


def forked(state: TrainingState, cfg: Config) -> TrainingState:
    """Returns a state as the start of a run with another config, whose variables are the same."""
    return dataclasses.replace(state, meta={**state.meta, "fingerprint": fingerprint(cfg)})


def request_stop(error: type[BaseException]) -> bool:
    """Asks the running training to write a checkpoint after the current step and to stop.

    Args:
        error: what `train` then raises. A second request raises it at once.

    Returns:
        Whether a training is running; if not, the caller has to raise.
    """
    return _STOP.ask(error)


def _is_used(cfg: Config, spec: DataSpec, trial: CurrentTrial) -> bool:
    """Whether the trained network is stored, shown or returned: that of a trial may be neither."""
    shows = cfg.tracking.log_figures or spec.task is Task.language_model
    return trial is NO_TRIAL or cfg.tracking.log_model or shows


def uncompiled(model: keras.Model, cfg: Config, spec: DataSpec) -> keras.Model:
    """Returns the same network without optimizer, loss and metrics: the model to store."""
    copy = models.build(cfg.model, spec)
    copy.set_weights(model.get_weights())
    return models.inference(copy)


def digest_of_weights(model: keras.Model) -> str:
    """Returns the SHA-256, in hex, of all weights in order: their shapes and their bytes."""
    return checkpoints.digest(model.get_weights())
