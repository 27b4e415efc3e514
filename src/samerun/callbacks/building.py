"""The callbacks of a run, and their order."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import keras

from samerun.callbacks.checkpointing import Checkpoints, StopRequest
from samerun.callbacks.custom import build_own, has_state
from samerun.callbacks.epoch_key import EpochKey
from samerun.callbacks.event_files import EventFiles
from samerun.callbacks.naming import keras_name
from samerun.callbacks.nan_guard import NanGuard
from samerun.callbacks.plateau import Plateau
from samerun.callbacks.pruning import Pruning
from samerun.callbacks.recorder import Recorder
from samerun.callbacks.retries import Retries
from samerun.checkpoints import TrainingState
from samerun.config import Config
from samerun.config.schedules import ReduceOnPlateau
from samerun.config.training import should_rise
from samerun.search import NO_TRIAL, CurrentTrial
from samerun.tracking import Run


@dataclass(kw_only=True)
class Callbacks:
    """The callbacks of a run; those that it does not use are `None`.

    Args:
        nan_guard: first of those that see values, so that no other takes a NaN for its best value.
        retries: handles values that are not finite, and lack of memory.
        epoch_key: tells the data pipeline which epoch starts.
        ema: validation and the best weights are those of the average, as the final ones are.
        recorder: before `plateau`, which changes the learning rate that the epoch was trained with.
        plateau: cuts the learning rate.
        own: the user's own, by name; after `recorder` too, and before anything stops.
        early_stopping: stops when the monitored metric no longer improves.
        tensorboard: Keras's own files for TensorBoard.
        pruning: reports to the study, and stops if it requests that.
        checkpoints: last, so that it sees the state of all others after the epoch.
    """

    epoch_key: EpochKey
    nan_guard: NanGuard
    retries: Retries | None
    ema: keras.callbacks.SwapEMAWeights | None
    recorder: Recorder
    plateau: Plateau | None
    own: dict[str, keras.callbacks.Callback]
    early_stopping: keras.callbacks.EarlyStopping
    tensorboard: keras.callbacks.TensorBoard | None
    pruning: Pruning | None
    checkpoints: Checkpoints

    def __post_init__(self) -> None:
        self.checkpoints.callbacks = self

    def ordered(self) -> list[keras.callbacks.Callback]:
        """Returns them in the order in which Keras has to call them."""
        return list(self._named().values())

    def with_state(self) -> dict[str, keras.callbacks.Callback]:
        """Returns those that a resumed run has to restore, by the names that checkpoints hold."""
        return {
            name: one
            for name, one in self._named().items()
            if name not in STATELESS and (name not in self.own or has_state(one))
        }

    def _named(self) -> dict[str, keras.callbacks.Callback]:
        found: dict[str, keras.callbacks.Callback] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            found |= value if field.name == "own" else {field.name: value}
        return {name: one for name, one in found.items() if one is not None}


STATELESS = {"epoch_key", "tensorboard", "pruning", "checkpoints"}
"""Callbacks without state: a resumed run creates them new."""


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
    return EventFiles(
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
    start: TrainingState | None,
    stop: StopRequest,
    trial: CurrentTrial,
    retries: Retries,
) -> Callbacks:
    """Returns the callbacks of a run.

    Args:
        cfg: the config of the run.
        run: where to write.
        set_epoch: passes the epoch to the data pipeline.
        num_train: training examples per epoch.
        steps_per_epoch: training steps per epoch.
        fingerprint: of the config, for its checkpoints.
        start: the state to resume from.
        stop: requests the end of training.
        trial: the trial of a sweep that the run is.
        retries: handles values that are not finite, and lack of memory.
    """
    stopping, schedule = cfg.training.early_stopping, cfg.schedule
    monitor, rises = keras_name(stopping.monitor), should_rise(stopping.monitor)
    return Callbacks(
        epoch_key=EpochKey(set_epoch),
        nan_guard=NanGuard(retries),
        retries=retries if retries.is_on else None,
        ema=keras.callbacks.SwapEMAWeights(swap_on_epoch=True) if cfg.optimizer.use_ema else None,
        recorder=Recorder(
            run,
            num_examples=num_train,
            log_every_steps=cfg.tracking.log_every_steps,
            log_step=retries.log_step if retries.is_on else None,
        ),
        plateau=Plateau(schedule, monitor, rises=rises)
        if isinstance(schedule, ReduceOnPlateau)
        else None,
        own=build_own(cfg),
        early_stopping=_early_stopping(cfg),
        tensorboard=_tensorboard(cfg, run) if cfg.tracking.tensorboard else None,
        pruning=Pruning(trial, cfg.training.epochs) if trial is not NO_TRIAL else None,
        checkpoints=Checkpoints(
            cfg,
            run,
            fingerprint=fingerprint,
            steps_per_epoch=steps_per_epoch,
            start=start,
            stop=stop,
            keeps_good=retries.keeps_states,
        ),
    )
