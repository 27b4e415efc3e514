"""Config classes of checkpoints, and of the trial of a sweep that a run is."""

from enum import StrEnum

from samerun.config.fields import above, at_least, config


class AfterSuccess(StrEnum):
    """Which checkpoints a finished run keeps."""

    keep = "keep"
    """All: `samerun resume ID training.epochs=MORE` continues from the last epoch."""
    best = "best"
    """The checkpoint of the best epoch: `samerun resume` continues from there."""
    none = "none"
    """None: the run can only be restarted from scratch."""


@config
class Checkpoint:
    """When the complete state of a run is saved, from which it can resume.

    Args:
        every_epochs: save at the end of every n-th epoch and of the last one; `null`: never.
        every_steps: also save within an epoch, every n training steps; `null`: never.
        every_seconds: also save within an epoch, every n seconds; `null`: never.
        keep_best: also keep the checkpoint of the best epoch.
        upload: upload the last checkpoint to the tracking store, from which another machine can
            resume; `null`: only if the store is a server.
        after_success: which checkpoints a finished run keeps. A run that failed or was interrupted
            keeps all of them; metrics, predictions and the model are always kept.
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
        run: ID of the MLflow run of the trial.
    """

    study: str
    storage: str
    number: int = at_least(0)
    run: str
