"""Steps per execution: chosen inside the run where it pays, without any effect on the result."""

import keras
import mlflow
import pytest

import samerun as package
from samerun import config, steps_per_execution
from support.project import values

QUICK = ("dataset.limit=160", "model=mlp", "model.units=[8]", "model.dropout=0.2", "tracking=lean")


class FakeRun:
    def set_tags(self, tags):
        self.tags = tags


class Plain(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        pass


class EachStep(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


@pytest.mark.parametrize(
    ("overrides", "own", "most"),
    [
        pytest.param([], [], 20, id="nothing-needs-steps"),
        pytest.param([], [Plain()], 20, id="own-callback-of-epochs"),
        pytest.param([], [Plain(), EachStep()], 1, id="own-callback-of-steps"),
        pytest.param(["tracking.log_every_steps=50"], [], 10, id="logged-steps"),
        pytest.param(
            ["tracking.log_every_steps=12", "checkpoint.every_steps=30"], [], 6, id="both"
        ),
        pytest.param(["checkpoint.every_steps=7"], [], 7, id="checkpoints"),
        pytest.param(["tracking.profile_steps=[2,4]"], [], 1, id="profiled-steps"),
        pytest.param(["training.on_nan=restore_and_lower_lr"], [], 1, id="retries-name-a-step"),
    ],
)
def test_what_is_recorded_of_steps_limits_their_number(overrides, own, most):
    assert steps_per_execution.most(config.compose(overrides).config, own) == most


@pytest.mark.parametrize("epochs", [1, 2], ids=["whole-epoch", "after-the-rest-of-an-epoch"])
@pytest.mark.parametrize(
    ("trace", "step", "in_python", "left", "chosen"),
    [
        pytest.param(1.0, 0.010, 0.002, 2_000, 20, id="repays"),
        pytest.param(1.0, 0.010, 0.002, 900, 1, id="too-few-steps-left"),
        pytest.param(1.0, 0.200, 0.002, 90_000, 1, id="a-signal-would-wait"),
    ],
)
def test_the_first_epoch_decides(monkeypatch, trace, step, in_python, left, chosen, epochs):
    clocks = {"perf_counter": 5.0, "thread_time": 3.0}
    for name in clocks:
        monkeypatch.setattr(steps_per_execution.time, name, lambda name=name: clocks[name])
    run = FakeRun()
    pace = steps_per_execution.Pace(config.compose([]).config, run, [])
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    pace.set_model(model)
    for epoch in range(epochs):
        pace.on_epoch_begin(epoch)
        for number in range(10):
            traces = epoch == number == 0
            clocks["perf_counter"] += trace if traces else step
            clocks["thread_time"] += trace if traces else in_python
            pace.on_train_batch_end(number)
    pace.adjust(left)
    assert model.steps_per_execution == chosen
    assert getattr(run, "tags", {}) == (
        {"samerun.steps_per_execution": str(chosen)} if chosen > 1 else {}
    )


@pytest.mark.parametrize(
    ("extra", "steps"),
    [
        pytest.param([], 20, id="plain"),
        pytest.param(["tracking.log_every_steps=3"], 3, id="logged-steps", marks=pytest.mark.slow),
        pytest.param(["optimizer.use_ema=true"], 20, id="averaged-weights", marks=pytest.mark.slow),
    ],
)
def test_a_change_inside_the_run_does_not_change_the_result(project, monkeypatch, extra, steps):
    overrides = [*QUICK, *extra, "training.epochs=4"]
    monkeypatch.setattr(steps_per_execution.Pace, "_fastest", lambda pace, left: pace._most)
    found = [package.train([*overrides, f"training.steps_per_execution={n}"]) for n in (1, "auto")]
    before, after = found
    assert after.weights_digest == before.weights_digest
    assert after.history == before.history
    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    logged = [values(client, one.run_id, "train/step_loss") for one in found]
    assert logged[0] == logged[1]
    assert bool(logged[0]) == (steps == 3)
    tags = client.get_run(after.run_id).data.tags
    assert tags["samerun.steps_per_execution"] == str(steps)
