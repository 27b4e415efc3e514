"""Policies of a single run: a value that is not finite, and memory that runs out."""

import contextlib
import csv
import dataclasses
import functools
import io
from pathlib import Path

import numpy as np
import pytest

import samerun as package
from samerun import checkpoints, config, optim, tracking
from samerun.cli import main
from samerun.config import schema
from samerun.config.training import OnMemory, OnNan
from samerun.errors import Diverged, is_out_of_memory
from samerun.replay.recorded import read
from samerun.replay.results import read_result
from support.project import values
from support.resuming import (
    Killed,
    during_epoch,
    end_of,
    result_of,
    resume,
    run_in,
    state_in,
    train,
)
from support.tables import mostly_slow

SMALL = (
    "model=mlp",
    "model.units=[16]",
    "dataset.limit=200",
    "training.epochs=4",
    "schedule=constant",
)
NAN = ("training.on_nan=restore_and_lower_lr",)
# Inside the third of four epochs the rate becomes 1e29 times as large; a retry takes that back.
LATE = (
    "optimizer=sgd",
    "optimizer.learning_rate=0.1",
    "schedule=step",
    "schedule.boundaries_epochs=[2.5]",
    "schedule.factor=1e29",
    "training.retry_learning_rate_factor=1e-29",
    "model.dropout=0.3",
)


def watched(folder, **options):
    """A run that is not written down, but notes every point in order, and the tags."""
    run = run_in(folder, **options)
    log = run.log_metrics
    run.logged, run.tags = [], {}

    def log_metrics(metrics, *, step):
        log(metrics, step=step)
        run.logged += [(key, step) for key in metrics]

    run.log_metrics = log_metrics
    run.set_tags = run.tags.update
    return run


def events(run):
    return list(csv.DictReader(io.StringIO(run.texts["retries.csv"])))


MEMORY = """import keras
import tensorflow as tf
from samerun.models import head


class Room(keras.layers.Layer):
    def call(self, x, training=False):
        if not training:
            return x
        y = tf.numpy_function(self.take, [x], tf.float32)
        y.set_shape(x.shape)
        return y

    def take(self, x):
        if len(x) > {most}:
            raise MemoryError("no room for the activations")
        return x


def build(spec):
    inputs = keras.Input(spec.input_shape)
    hidden = keras.layers.Dense(8, activation="relu")(Room()(keras.layers.Flatten()(inputs)))
    return keras.Model(inputs, head(spec)(keras.layers.Dropout(0.3)(hidden)))
"""
ROOM = ("model=custom", "dataset.limit=200", "training.epochs=2", "dataset.batch_size=32")
HALVE = ("training.on_memory=halve_batch",)
STORED = ("tracking=lean", "evaluation.bootstrap_samples=100")


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A model of your own that has room for a limited number of examples at once."""

    def make(most):
        (tmp_path / f"room_{most}.py").write_text(MEMORY.format(most=most))
        return f"model.target=room_{most}:build"

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return make


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """What a run comes to that has eight examples in a batch from the start, and no policy."""
    folder = tmp_path_factory.mktemp("eight")
    (folder / "room_9.py").write_text(MEMORY.format(most=9))
    overrides = [*ROOM, "model.target=room_9:build", "dataset.batch_size=8"]
    with contextlib.chdir(folder):
        return result_of(train(overrides, run_in(folder / "run")))


# ---- on_nan


@pytest.fixture(scope="module")
def lowered(tmp_path_factory):
    """A run whose rate was lowered once, its result, and its folder."""
    folder = tmp_path_factory.mktemp("lowered")
    run = watched(folder)
    return run, train([*SMALL, *LATE, *NAN], run), folder


def test_a_value_that_is_not_finite_restores_the_last_good_epoch_with_a_lower_rate(lowered):
    run, result, _ = lowered
    assert np.isfinite(result.history["train/loss"]).all()
    assert result.history["learning_rate"] == pytest.approx([0.1, 0.1, 0.1, 0.1])
    (event,) = events(run)
    assert event["policy"] == "restore_and_lower_lr"
    assert (event["epoch"], event["key"]) == ("3", "learning_rate")
    assert float(event["before"]) == pytest.approx(0.1)
    assert float(event["after"]) == pytest.approx(1e-30)
    assert run.tags["samerun.retries"] == "1"


def test_nothing_is_logged_of_an_epoch_that_is_discarded(lowered):
    run, _, _ = lowered
    assert len(run.logged) == len(set(run.logged)), "a step has two values"
    steps = [step for key, step in run.logged if key == "train/step_loss"]
    assert steps == list(range(1, 53))
    assert all(np.isfinite(value) for value in run.points.values())


def test_a_run_fails_when_its_retries_are_used_up(tmp_path):
    overrides = [*SMALL, *LATE, *NAN, "training.retry_learning_rate_factor=0.9"]
    run = watched(tmp_path)
    with pytest.raises(Diverged, match="epoch 3, step .* after 2 retries"):
        train([*overrides, "training.max_retries=2"], run)
    assert [event["retry"] for event in events(run)] == ["1", "2"]
    assert float(events(run)[1]["after"]) == pytest.approx(0.1 * 0.9**2)


INTERRUPTED = {
    "inside_the_epoch_before_and_after_the_retry": ((2, 4, 0), (2, 6, 1), []),
    "between_epochs_and_after_the_retry": ((2, 0, 0), (2, 2, 1), []),
    "with_ema": ((2, 4, 0), (3, 2, 1), ["optimizer.use_ema=true", "optimizer.ema_momentum=0.9"]),
    "mixed_precision": ((2, 6, 0), (2, 6, 1), ["training.precision=mixed_bfloat16"]),
}


def dies_after(monkeypatch, epoch, step, retries):
    """The process is gone when the checkpoint of this moment has been written."""
    write = checkpoints.write

    def write_and_die(folder, state, *, is_best):
        write(folder, state, is_best=is_best)
        num_retries = len(state.meta["callbacks"]["retries"]["events"])
        if (state.epoch, state.step, num_retries) == (epoch, step, retries):
            raise Killed

    monkeypatch.setattr(checkpoints, "write", write_and_die)
    return lambda: monkeypatch.setattr(checkpoints, "write", write)


@pytest.mark.parametrize("name", mostly_slow(INTERRUPTED))
def test_an_interrupted_run_retries_as_one_that_was_not(tmp_path, monkeypatch, lowered, name):
    *moments, more = INTERRUPTED[name]
    overrides = [*SMALL, *LATE, *NAN, *more]
    whole, expected, folder = lowered
    if more:
        folder = tmp_path / "whole"
        whole = watched(folder)
        expected = train(overrides, whole)
    assert len(events(whole)) == 1
    in_epochs, broken, points = [*overrides, "checkpoint.every_steps=2"], tmp_path / "broken", {}
    for moment in moments:
        lives_again = dies_after(monkeypatch, *moment)
        run = watched(broken)
        with pytest.raises(Killed):
            train(in_epochs, run, state=state_in(broken))
        lives_again()
        points |= run.points
    last = watched(broken)
    resumed = train(in_epochs, last, state=state_in(broken))
    assert result_of(resumed) == result_of(expected)
    assert end_of(broken) == end_of(folder)
    steps = {place: value for place, value in whole.points.items() if place[0].startswith("train/")}
    assert steps.items() <= (points | last.points).items()


SCHEDULES = [f"schedule={name}" for name in schema.options("schedule") if name != "custom"]


@functools.cache
def config_of(word):
    return config.compose([word]).config


@pytest.mark.parametrize("word", mostly_slow(SCHEDULES, "schedule=cosine"))
@pytest.mark.parametrize("warmup", mostly_slow([0.0, 1.5], 1.5))
def test_every_schedule_is_lowered_by_the_same_factor_at_every_step(word, warmup):
    cfg = config_of(word)
    schedule = dataclasses.replace(cfg.schedule, warmup_epochs=warmup)
    plain = optim.build(cfg.optimizer, schedule, 10, 20)
    lowered = optim.build(cfg.optimizer, schedule, 10, 20, can_be_lowered=True)
    for factor in (1.0, 0.5):
        optim.retry_factor(lowered).assign(factor)
        for step in (0, 3, 14, 15, 60, 199):
            expected = np.float32(factor) * np.float32(optim.learning_rate(plain, step))
            assert optim.learning_rate(lowered, step) == float(expected)
    assert optim.retry_factor(plain) is None


def test_a_plateau_keeps_its_own_factor(retried):
    first, _, _ = retried
    rate = 1e20 * 1e-4 ** int(first.tags["samerun.retries"])
    rates = read_result(first).history["learning_rate"]
    assert rates == pytest.approx([rate, rate, rate / 2, rate / 4], rel=1e-5)


# ---- on_memory


@pytest.mark.slow
def test_memory_that_runs_out_halves_the_batch_until_it_fits(halved, eight, client):
    first, _, _ = halved
    table = list(csv.DictReader(io.StringIO(tracking.read_artifact(first, "retries.csv").decode())))
    assert [(e["before"], e["after"]) for e in table] == [("32", "16"), ("16", "8")]
    assert first.tags["samerun.effective.batch_size"] == "8"
    assert result_of(read_result(first)) == eight
    steps = [step for step, _ in values(client, first.id, "train/step_loss")]
    assert steps == list(range(1, len(steps) + 1))
    for name in eight["history"]:
        assert [step for step, _ in values(client, first.id, name)] == [1, 2]


@pytest.mark.slow
def test_a_run_without_a_retry_is_the_same_with_and_without_the_policies(halved, eight):
    _, ready, _ = halved
    assert "samerun.retries" not in ready.tags
    assert read(ready).cfg.training.on_nan is OnNan.restore_and_lower_lr
    assert read(ready).cfg.training.on_memory is OnMemory.halve_batch
    assert result_of(read_result(ready)) == eight


@pytest.mark.parametrize(
    ("most", "more"),
    mostly_slow(
        [
            pytest.param(0, ["dataset.batch_size=2"], id="a batch of one"),
            pytest.param(9, ["training.max_retries=1"], id="retries used up"),
            pytest.param(9, ["training.on_memory=fail"], id="policy off"),
        ],
        "a batch of one",
    ),
)
def test_memory_that_runs_out_ends_the_run_where_nothing_is_left_to_try(tmp_path, room, most, more):
    with pytest.raises(Exception, match="no room for the activations") as error:
        train([*ROOM, room(most), *HALVE, *more], run_in(tmp_path / "run"))
    assert is_out_of_memory(error.value)


@pytest.mark.slow
def test_a_run_with_a_halved_batch_is_resumed_with_it(tmp_path, room):
    overrides = [*ROOM, room(9), *HALVE]
    whole = train(overrides, run_in(tmp_path / "whole"))
    with pytest.raises(Killed):
        train(overrides, run_in(tmp_path / "broken", during_epoch(2)))
    assert result_of(resume(overrides, tmp_path / "broken")) == result_of(whole)
    assert end_of(tmp_path / "broken") == end_of(tmp_path / "whole")


# ---- stored runs


def latest():
    return tracking.find_runs()[0]


def reproduced(overrides, *options):
    """Trains and reproduces in the working folder; returns both IDs and what was printed."""
    screen = io.StringIO()
    with contextlib.redirect_stdout(screen):
        first = package.train([*overrides, *STORED, "tracking.log_every_steps=1"]).run_id
        assert main(["reproduce", first, "--exact", *options]) == 0
    return [first, latest().id, screen.getvalue()]


@pytest.fixture
def retried(project, recorded_runs):
    """A run with several retries, its reproduction, and what was printed."""
    overrides = ["optimizer=sgd", "optimizer.learning_rate=1e20", "training.max_retries=20"]
    overrides += ["schedule=reduce_on_plateau", "schedule.patience_epochs=1"]
    overrides += ["schedule.min_delta=1e30", "schedule.warmup_epochs=0"]
    overrides += ["training.retry_learning_rate_factor=1e-4"]
    made = recorded_runs.copy("retried", lambda: reproduced([*SMALL, *NAN, *overrides]))
    return *(tracking.find_runs([run_id])[0] for run_id in made[:2]), made[2]


@pytest.fixture
def halved(project, recorded_runs):
    """A run with a halved batch, its reproduction, and what was printed."""

    def make():
        Path("room_9.py").write_text(MEMORY.format(most=9))
        overrides = [*ROOM, "model.target=room_9:build", *HALVE, *NAN]
        return reproduced(overrides, "--trust", "room_9")

    made = recorded_runs.copy("halved", make)
    return *(tracking.find_runs([run_id])[0] for run_id in made[:2]), made[2]


def test_a_run_with_retries_is_reproduced_exactly(retried, client):
    first, second, screen = retried
    assert "learning rate lowered from 1e+20 to 1e+16" in screen
    assert "EXACT:" in screen
    assert first.status == "FINISHED"
    assert int(first.tags["samerun.retries"]) > 1
    table = tracking.read_artifact(first, "retries.csv").decode()
    assert len(table.splitlines()) == 1 + int(first.tags["samerun.retries"])
    for name, logged in read_result(first).history.items():
        assert values(client, first.id, name) == list(enumerate(logged, start=1))
    assert len(values(client, first.id, "train/step_loss")) == 4 * 13
    assert second.tags["samerun.retries"] == first.tags["samerun.retries"]
    assert tracking.read_artifact(second, "retries.csv").decode() == table


@pytest.mark.slow
def test_a_run_with_a_halved_batch_is_reproduced_exactly(halved):
    first, second, screen = halved
    assert first.tags["samerun.effective.batch_size"] == "8"
    assert first.params["dataset.batch_size"] == "32"
    assert "EXACT:" in screen
    assert second.params["dataset.batch_size"] == "8"
    assert "samerun.retries" not in second.tags, "it trains with the effective size from the start"


@pytest.mark.slow
def test_a_diverged_run_is_forked_with_a_policy(client, capsys):
    overrides = [word for word in LATE if not word.startswith("training.")]
    with pytest.raises(Diverged):
        package.train([*SMALL, *overrides, *STORED])
    failed = latest()
    changes = ["training.retry_learning_rate_factor=1e-29", "checkpoint.every_steps=2"]
    assert main(["resume", failed.id, "--fork", *NAN, *changes]) == 0
    fork = latest()
    assert fork.tags["samerun.forked_from"] == failed.id
    assert (fork.status, fork.tags["samerun.retries"]) == ("FINISHED", "1")
    assert main(["reproduce", fork.id, "--exact"]) == 0
    assert "EXACT" in capsys.readouterr().out
