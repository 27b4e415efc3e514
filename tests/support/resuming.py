"""Trains in a folder, resumes from its checkpoint, and is killed where a test chooses."""

import io
from pathlib import Path

from rich.console import Console

from samerun import checkpoints, config, training
from samerun.search import NO_TRIAL, CurrentTrial
from samerun.tracking import NullRun

PLAIN = (
    "tracking=lean",
    "tracking.log_every_steps=1",
    "evaluation.bootstrap_samples=100",
    "evaluation.worst_examples=0",
)


class Killed(BaseException):
    """The process is gone."""


class Ended(BaseException):
    """The run was asked to end."""


def run_in(folder, killed=None):
    """A run that is not recorded and ends when `killed(metrics, step)` is true."""
    run = NullRun(Path(folder))
    run.points, run.texts, run.files = {}, {}, []

    def log_metrics(metrics, *, step):
        if killed and killed(metrics, step):
            raise Killed
        run.points.update({(key, step): value for key, value in metrics.items()})

    run.log_metrics = log_metrics
    run.log_text = lambda text, path: run.texts.update({path: text})
    run.log_file = lambda source, folder="": run.files.append((source.name, source.read_bytes()))
    return run


def train(overrides, run, *, state=None, trial=NO_TRIAL):
    cfg = config.compose([*PLAIN, *overrides]).config
    return training.train(cfg, run, Console(file=io.StringIO()), state=state, trial=trial)


def state_in(folder):
    return checkpoints.latest(Path(folder) / "checkpoints")


def resume(overrides, folder, **options):
    return train(overrides, run_in(folder, **options), state=state_in(folder))


def during_epoch(number):
    """Dies at the end of this epoch, before its checkpoint is written."""
    return lambda metrics, step: "train/loss" in metrics and step == number


def at_step(number):
    """Dies at the first step logged from this one on."""
    return lambda metrics, step: "train/step_loss" in metrics and step >= number


def result_of(result):
    """Everything in a result except its location."""
    return {
        "history": result.history,
        "best_epoch": result.best_epoch,
        "objective": result.objective,
        "weights": result.weights_digest,
        "metrics": result.metrics,
    }


def end_of(folder):
    """Everything that the state holds: variables of model and optimizer, seeds, decisions."""
    state = state_in(folder)
    arrays = {name: (str(a.dtype), a.shape, a.tobytes()) for name, a in state.arrays.items()}
    meta = {key: value for key, value in state.meta.items() if key != "number"}
    return state.epoch, state.step, arrays, meta


class Watched(CurrentTrial):
    """Records the reported values, and stops after an epoch."""

    metric = "validation/accuracy"

    def __init__(self, last):
        self.last, self.reported = last, {}

    def report(self, value, epoch):
        self.reported[epoch] = value

    def check_model(self, num_parameters):
        pass

    def should_stop(self, *, prunes=True, ends=False):
        return max(self.reported) >= self.last

    def raise_if_stopped(self):
        if self.should_stop():
            raise Ended
