"""Config classes of what lets a run go on, and of the trial of a sweep that a run is."""

from enum import StrEnum

from samerun.config.fields import above, at_least, config


class AfterSuccess(StrEnum):
    """Which checkpoints stay when a run has finished."""

    keep = "keep"
    """All: `samerun resume ID training.epochs=MORE` continues from the last epoch."""
    best = "best"
    """That of the best epoch: `samerun resume` continues from there."""
    none = "none"
    """None: the run can only be trained again from the beginning."""


@config
class Checkpoint:
    """When the whole state of a run is written down, so that it can go on after an interruption.

    Args:
        every_epochs: at the end of every so many epochs, and of the last; `null` never.
        every_steps: inside epochs too, every so many steps; `null` never.
        every_seconds: inside epochs too, when so many seconds have passed; `null` never.
        keep_best: also keep the checkpoint of the best epoch.
        upload: send the last one to the tracking store, so that another machine can go on; `null`
            does so where the store is a server.
        after_success: which checkpoints stay when the run has finished. A run that failed or was
            interrupted keeps all of them, and metrics, predictions and the model always stay.
    """

    every_epochs: int | None = above(0)
    every_steps: int | None = above(0)
    every_seconds: float | None = above(0)
    keep_best: bool
    upload: bool | None
    after_success: AfterSuccess


@config
class Trial:
    """Which trial of which study a run is; set by the sweeper.

    Never holds a password: a storage that needs one takes it from `SAMERUN_STORAGE`.

    Args:
        study: name of the Optuna study.
        storage: URL of its storage.
        number: number of the trial.
        run: ID of the MLflow run that was made for it.
    """

    study: str
    storage: str
    number: int = at_least(0)
    run: str
