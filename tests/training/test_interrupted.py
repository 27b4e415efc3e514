"""A training that is interrupted, at an epoch's end and inside one, and ends as if it were not."""

import dataclasses
import json
import signal
import sys

import numpy as np
import pytest
from rich.console import Console

from samerun import callbacks, config, data
from support import warm
from support.project import PROGRAMS
from support.resuming import (
    PLAIN,
    Killed,
    Watched,
    at_step,
    during_epoch,
    end_of,
    result_of,
    resume,
    run_in,
    state_in,
    train,
)

# ---- the rest of an epoch


@pytest.mark.parametrize("drop_remainder", ["false", pytest.param("true", marks=pytest.mark.slow)])
def test_the_rest_of_an_epoch_is_the_end_of_the_whole_one(drop_remainder):
    overrides = ["dataset.limit=100", "dataset.batch_size=30"]
    overrides += ["dataset/augmentation=rotate_shift_zoom"]
    cfg = config.compose([*overrides, f"dataset.drop_remainder={drop_remainder}"]).config
    built = data.build(cfg.dataset, 3)
    for epoch in (0, 2):
        built.set_epoch(epoch)
        whole = list(built.train.as_numpy_iterator())
        for start in range(1, built.steps_per_epoch):
            rest = built.train_from(start=start)
            assert int(rest.cardinality()) == built.steps_per_epoch - start
            assert rest.element_spec == built.train.element_spec
            for (x, y), (wanted_x, wanted_y) in zip(rest, whole[start:], strict=True):
                np.testing.assert_array_equal(x, wanted_x)
                np.testing.assert_array_equal(y, wanted_y)


# ---- interrupted and not


@dataclasses.dataclass(frozen=True)
class Case:
    """A training that is interrupted twice.

    Args:
        overrides: the run.
        epoch: it dies at the end of this one first, then in the midst of it.
    """

    overrides: str
    epoch: int = 3


STOPPING = "training.early_stopping"
CASES = {
    "cnn": Case(
        "dataset.limit=200 training.epochs=4 model.filters=[4] model.dense_units=[8] "
        "model.dropout=0.3 model.batch_norm=true dataset/augmentation=rotate_shift_zoom"
    ),
    "mixed_images": Case(
        "dataset.limit=200 training.epochs=4 model.filters=[4] model.dense_units=[8] "
        "dataset/augmentation=mixup dataset.augmentation.contrast=0.2 "
        "dataset.augmentation.brightness=0.2 dataset.augmentation.noise=0.1 "
        "dataset.augmentation.cutout=0.5 training.metrics=[accuracy,top_3_accuracy]"
    ),
    "ema": Case(
        "dataset.limit=200 training.epochs=4 model=mlp model.units=[16] model.dropout=0.3 "
        "optimizer.use_ema=true optimizer.ema_momentum=0.9"
    ),
    "mixed_precision_and_ema_of_the_last_epoch": Case(
        "dataset.limit=200 training.epochs=4 model.filters=[4] model.dense_units=[8] "
        "optimizer=sgd optimizer.momentum=0.9 optimizer.use_ema=true "
        f"{STOPPING}.restore_best=false training.precision=mixed_float16"
    ),
    "early_stopping": Case(
        "dataset.limit=200 training.epochs=9 model=mlp model.units=[16] model.dropout=0.3 "
        f"optimizer.learning_rate=0.03 schedule=constant {STOPPING}.patience_epochs=2 "
        f"{STOPPING}.min_delta=0.3",
        epoch=4,
    ),
    "plateau": Case(
        "dataset.limit=200 training.epochs=6 model=mlp model.units=[16] "
        "schedule=reduce_on_plateau schedule.patience_epochs=1 schedule.min_delta=100 "
        "schedule.warmup_epochs=1",
        epoch=4,
    ),
    "bidirectional_lstm": Case(
        "dataset.limit=200 training.epochs=4 model=lstm dataset=python_docstrings model.units=[4] "
        "model.bidirectional=true model.dropout=0.3 model.embedding_dim=8"
    ),
    "forecaster": Case(
        "training.epochs=4 model=forecaster dataset=google_stock dataset.window=6 "
        "dataset.horizon=3 dataset.batch_size=128 model.units=[6] model.dropout=0.2"
    ),
    "language_model": Case(
        "dataset.limit=200 training.epochs=4 model=language_model dataset=python_docs "
        "model.units=[8] model.embedding_dim=8 model.dropout=0.2 evaluation.sample_tokens=0"
    ),
    "custom": Case(
        "dataset.limit=200 training.epochs=4 model=custom model.target=own_model:build "
        "optimizer=nadam dataset.drop_remainder=true"
    ),
}

NO_STATE = {
    "model",  # Keras's own: what is trained, and what it gave the callback
    "_model",
    "params",
    "monitor_op",  # made again at the first epoch, with the sign of min_delta
    "min_delta",
    "best_weights",  # arrays, kept as such
    "_began",  # of the clock
    "_epoch",  # set when an epoch begins
    "is_whole_epoch",
    "_process",
}


def train_and_check_state(overrides, run):
    """Trains; checks that no attribute of a callback changes that is not in its state."""
    found, real = {}, callbacks.build

    def build(*args, **options):
        made = real(*args, **options)
        found.update({one: dict(vars(one)) for one in made.with_state().values()})
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "build", build)
        result = train(overrides, run)
    assert found
    for callback, before in found.items():
        now = vars(callback)
        moved = {word for word in now if word not in before or now[word] is not before[word]}
        assert moved <= {*callbacks.state_of(callback), *NO_STATE}, callback
    return result


def check_interrupted(case, folder):
    """Trains without a break; then with two, the second inside an epoch and in other executions."""
    overrides = case.overrides.split()
    in_epochs = [*overrides, "checkpoint.every_steps=3"]
    whole = train_and_check_state(overrides, run_in(folder / "whole"))
    steps = state_in(folder / "whole").meta["steps_per_epoch"]
    broken = folder / "broken"
    with pytest.raises(Killed):
        train(overrides, run_in(broken, during_epoch(case.epoch)))
    assert (state_in(broken).epoch, state_in(broken).step) == (case.epoch - 1, 0)
    in_fives = [*in_epochs, "training.steps_per_execution=5"]
    with pytest.raises(Killed):
        resume(in_fives, broken, killed=at_step((case.epoch - 1) * steps + 6))
    assert (state_in(broken).epoch, state_in(broken).step) == (case.epoch - 1, 5)
    resumed = resume(in_epochs, broken)
    assert result_of(resumed) == result_of(whole)
    assert end_of(broken) == end_of(folder / "whole")
    return whole


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_model.py").write_text((PROGRAMS / "own_train_step.py").read_text())
    whole = check_interrupted(CASES[name], tmp_path)
    if name == "early_stopping":
        assert len(whole.history["train/loss"]) < 9, "it did not stop: nothing is tested"
    if name == "plateau":
        assert len(set(whole.history["learning_rate"])) > 2


# ---- the contract of the callbacks


def all_callbacks(tmp_path):
    overrides = [
        "optimizer.use_ema=true",
        "schedule=reduce_on_plateau",
        "tracking.tensorboard=true",
    ]
    overrides.append("training.on_nan=restore_and_lower_lr")
    cfg = config.compose(overrides).config
    run = run_in(tmp_path)
    made = callbacks.build(
        cfg,
        run,
        set_epoch=lambda _: None,
        num_train=1,
        steps_per_epoch=1,
        fingerprint="",
        start=None,
        stop=callbacks.StopRequest(),
        trial=Watched(last=1),
        retries=callbacks.Retries(cfg, run, Console(), None),
    )
    made.early_stopping.on_train_begin()  # makes its attributes
    return made


def test_every_callback_declares_its_state(tmp_path):
    made = all_callbacks(tmp_path)
    assert all(callback is not None for callback in made.ordered())
    users_own = {"own"}  # none here; they are in the state by their own names
    assert set(made.with_state()) | callbacks.STATELESS | users_own == set(vars(made))
    assert made.ordered()[-1] is made.checkpoints
    assert {name: list(callbacks.state_of(one)) for name, one in made.with_state().items()} == {
        "nan_guard": ["found"],
        "retries": ["events", "batch_size", "held"],
        "ema": ["_ema_weights_in_model"],
        "recorder": ["history", "_steps_before", "_last_step", "_last_sum"],
        "plateau": ["best", "wait", "cooldown", "factor"],
        "early_stopping": ["wait", "stopped_epoch", "best", "best_epoch"],
    }, "checkpoints of older versions no longer fit"


def test_every_callback_restores_what_its_state_is(tmp_path):
    before, after = (all_callbacks(tmp_path / name) for name in ("before", "after"))
    for name, callback in before.with_state().items():
        changed = {key: f"{name}.{key}" for key in callbacks.state_of(callback)}
        callbacks.restore_state(after.with_state()[name], changed)
        assert callbacks.state_of(after.with_state()[name]) == changed


# ---- processes of their own


def process(folder, *arguments, kill="none"):
    """Trains in a process that resumes from what is there; returns its exit code and output."""
    command = [sys.executable, str(PROGRAMS / "train_on.py"), str(folder), kill, *PLAIN, *arguments]
    done = warm.run(command)
    return done.returncode, done.stdout, done.stderr


CNN = CASES["cnn"].overrides.split()


@pytest.mark.slow
def test_fresh_processes_that_are_killed_end_as_one_that_is_not(tmp_path):
    code, whole, error = process(tmp_path / "whole", *CNN)
    assert code == 0, error
    overrides = [*CNN, "checkpoint.every_steps=4"]
    for kill in ("replace:2", "step:20", "fsync:3", "epoch:3"):
        code, _, error = process(tmp_path / "broken", *overrides, kill=kill)
        assert code == -signal.SIGKILL, error
    code, resumed, error = process(tmp_path / "broken", *overrides)
    assert code == 0, error
    assert json.loads(resumed) == json.loads(whole)
    assert end_of(tmp_path / "broken") == end_of(tmp_path / "whole")


@pytest.mark.slow
def test_a_disk_that_is_full_ends_a_run_in_one_sentence(tmp_path):
    large = "model.dense_units=[2000]"  # its state is larger than the pictures of the run
    code, _, error = process(tmp_path, *CNN, large, kill="file_size:500000")
    assert code == 2
    (line,) = [line for line in error.splitlines() if line.startswith("checkpoint: ")]
    assert "cannot be written (File too large)" in line
    assert "Traceback" not in error
