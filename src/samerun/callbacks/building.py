"""Which callbacks a run has, and in which order."""

from collections.abc import Callable

import keras

from samerun.callbacks.checkpointing import Checkpoints, StopRequest
from samerun.callbacks.epochs import EpochKey, NanGuard, Plateau, Recorder
from samerun.callbacks.naming import keras_name
from samerun.callbacks.pruning import Pruning
from samerun.callbacks.retries import Retries
from samerun.checkpoints import State
from samerun.config import Config
from samerun.config.check import should_rise
from samerun.config.schedules import ReduceOnPlateau
from samerun.search import NO_TRIAL, CurrentTrial
from samerun.tracking import Run


def _early_stopping(cfg: Config) -> keras.callbacks.EarlyStopping:
    stopping = cfg.training.early_stopping
    patience = stopping.patience_epochs
    return keras.callbacks.EarlyStopping(
        monitor=keras_name(stopping.monitor),
        mode="max" if should_rise(stopping.monitor) else "min",
        patience=cfg.training.epochs if patience is None else patience,
        min_delta=stopping.min_delta,
        restore_best_weights=stopping.restore_best,
    )


def _tensorboard(cfg: Config, run: Run) -> keras.callbacks.TensorBoard:
    profile = tuple(cfg.tracking.profile_steps)
    return keras.callbacks.TensorBoard(
        log_dir=str(run.folder / "tensorboard"),
        histogram_freq=1,
        write_graph=True,
        profile_batch=profile if profile else 0,
    )


def build(
    cfg: Config,
    run: Run,
    *,
    set_epoch: Callable[[int], None],
    num_train: int,
    steps_per_epoch: int,
    fingerprint: str,
    start: State | None,
    stop: StopRequest,
    trial: CurrentTrial,
    retries: Retries,
) -> dict[str, keras.callbacks.Callback]:
    """Returns the callbacks of a run by name, in the order in which Keras has to call them.

    Args:
        cfg: the config of the run.
        run: where to write.
        set_epoch: tells the data pipeline which epoch begins.
        num_train: training examples an epoch.
        steps_per_epoch: training steps an epoch.
        fingerprint: of the config, for its checkpoints.
        start: the state to go on from.
        stop: asks for the end of the training.
        trial: the trial of a sweep that the run is.
        retries: what the run does when a value is not finite or memory runs out.
    """
    stopping, schedule = cfg.training.early_stopping, cfg.schedule
    made: dict[str, keras.callbacks.Callback] = {
        "epoch_key": EpochKey(set_epoch),
        "nan_guard": NanGuard(retries),
    }
    if retries.is_on:
        made["retries"] = retries
    if cfg.optimizer.use_ema:
        # Validation and the best weights are those of the average, as the final ones are.
        made["ema"] = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    # Before the plateau, which changes the learning rate that the epoch was trained with.
    made["recorder"] = Recorder(
        run,
        num_examples=num_train,
        log_every_steps=cfg.tracking.log_every_steps,
        log_step=retries.log_step if retries.is_on else None,
    )
    if isinstance(schedule, ReduceOnPlateau):
        made["plateau"] = Plateau(
            schedule, keras_name(stopping.monitor), rises=should_rise(stopping.monitor)
        )
    made["early_stopping"] = _early_stopping(cfg)
    if cfg.tracking.tensorboard:
        made["tensorboard"] = _tensorboard(cfg, run)
    if trial is not NO_TRIAL:
        made["pruning"] = Pruning(trial)
    # Last, so that it sees what all others made of the epoch.
    made["checkpoints"] = Checkpoints(
        cfg,
        run,
        dict(made),
        fingerprint=fingerprint,
        steps_per_epoch=steps_per_epoch,
        start=start,
        stop=stop,
        keeps_good=retries.keeps_states,
    )
    return made
