"""Functions of your own as optimizer, schedule, loss, metric and callback."""

import io
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import samerun
from samerun import callbacks, config, launch, optim, tracking, training
from samerun.cli import main
from samerun.cli.train_command import take_flag
from samerun.errors import UserError
from samerun.launch.overrides import check_overrides
from support.resuming import PLAIN, Killed, during_epoch, run_in, state_in, train
from support.tables import mostly_slow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "custom-components.md"
SMALL = ("model=mlp", "model.units=[4]", "dataset.limit=60", "training.epochs=3")

BROKEN = """
import keras
import numpy as np

def raises(*arguments, **more):
    raise KeyError("x")

def three(*arguments):
    return 3

def constant(learning_rate):
    return keras.optimizers.SGD(0.1)

def plain(learning_rate):
    return keras.optimizers.SGD(learning_rate)

def deaf(learning_rate, **options):
    return keras.optimizers.SGD(learning_rate)

def falling(epoch, epochs):
    return 1 - epoch

def nan(epoch, epochs):
    return float("nan")

def zero(epoch, epochs):
    return 0

def text(epoch, epochs):
    return "1"

def best(y_true, y_pred):
    return keras.ops.cast(keras.ops.argmax(y_pred, -1), "float32")

def in_numpy(y_true, y_pred):
    return np.mean(y_pred)

def seven(y_true, y_pred):
    return keras.ops.ones((7,)) * keras.ops.mean(y_pred)

def infinite(y_true, y_pred):
    return keras.ops.log(y_pred * 0)

class Nothing:
    pass

class Nan(keras.metrics.Metric):
    def update_state(self, *arguments, **more):
        pass

    def result(self):
        return float("nan")

class Array(keras.callbacks.Callback):
    def state(self):
        return {"best": np.float32(2)}

    def restore(self, state):
        pass

class Late(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seen = 0

    def state(self):
        return {"seen": self.seen}

    def restore(self, state):
        self.seen = state["seen"]

class Silent(keras.callbacks.Callback):
    pass

class Counts(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = 0
"""
OPTIMIZER, SCHEDULE = "optimizer=custom optimizer.target=", "schedule=custom schedule.target="
LOSS, METRIC, CALLBACK = "training.loss=", "training.metrics=", "training.callbacks="
WRONG = [
    (OPTIMIZER, "raises", "raised KeyError: 'x' (broken_parts.py, line 6)"),
    (OPTIMIZER, "three", "returned a int, expected a keras.optimizers.Optimizer"),
    (OPTIMIZER, "constant", "ignores its argument learning_rate"),
    (f"optimizer.clipnorm=1 {OPTIMIZER}", "plain", "unexpected keyword argument 'clipnorm'"),
    (f"optimizer.clipnorm=1 {OPTIMIZER}", "deaf", "ignores optimizer.clipnorm=1.0"),
    (SCHEDULE, "raises", "raised KeyError: 'x' (broken_parts.py, line 6), for epoch 0 of 3"),
    (SCHEDULE, "falling", "of 3, expected a finite number that is not negative"),
    (SCHEDULE, "nan", "returned nan for epoch 0 of 3"),
    (SCHEDULE, "zero", "returned 0 for every step"),
    (SCHEDULE, "text", "returned a str for epoch 0 of 3"),
    (LOSS, "raises", "raised KeyError: 'x' (broken_parts.py, line 6), on targets of shape (4,)"),
    (LOSS, "best", "has no gradient with respect to the predictions"),
    (LOSS, "in_numpy", "raised NotImplementedError"),
    (LOSS, "seven", "returned the shape (7,) for 4 examples, expected (4,)"),
    (LOSS, "infinite", "returned -inf, expected a finite number"),
    (LOSS, "Nothing", "expected a function f(y_true, y_pred), or a subclass of keras.losses.Loss"),
    (METRIC, "[raises]", "raised KeyError: 'x' (broken_parts.py, line 6), on targets"),
    (METRIC, "[Nothing]", "or a subclass of keras.metrics.Metric"),
    (METRIC, "[Nan]", "returned nan, expected one finite number"),
    (CALLBACK, "[raises]", "raised KeyError: 'x' (broken_parts.py, line 6)"),
    (CALLBACK, "[three]", "returned a int, expected a keras.callbacks.Callback"),
    (CALLBACK, "[Array]", "its state() returned a float32, expected a dict of numbers"),
    (CALLBACK, "[Late]", "so set every attribute in __init__"),
]


@pytest.fixture
def parts(project, monkeypatch):
    """A project with `my_code.py` of the page, and a module of what is wrong."""
    block = re.search(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (project / "my_code.py").write_text(block[1])
    (project / "broken_parts.py").write_text(BROKEN)
    for name in ("my_code", "broken_parts"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield project
    for name in ("my_code", "broken_parts"):
        sys.modules.pop(name, None)


def commands_of_the_page():
    """The subcommand and the arguments of each command of the page."""
    text = PAGE.read_text().replace("\\\n", " ")
    lines = re.findall(r"^samerun (\w+) (.*)$", text, flags=re.MULTILINE)
    return [(command, shlex.split(arguments)) for command, arguments in lines]


@pytest.fixture
def trained(parts, recorded_runs):
    """The ID of the run that the page trains with all of its functions."""

    def make():
        (Path.cwd() / "my_code.py").write_text((parts / "my_code.py").read_text())
        *_, words = [words for command, words in commands_of_the_page() if command == "train"]
        assert main(["train", *words, "tracking=lean"]) == 0
        (run,) = tracking.find_by_tags(config.compose([]).config, {})
        return run.id

    run_id = recorded_runs.copy("page_of_own_parts", make)
    sys.modules.pop("my_code", None)  # it was the one where the run was trained
    return run_id


@pytest.mark.parametrize(
    ("overrides", "name", "sentence"),
    mostly_slow(
        WRONG,
        (OPTIMIZER, "constant"),
        (SCHEDULE, "nan"),
        (LOSS, "best"),
        (METRIC, "[Nan]"),
        (CALLBACK, "[Late]"),
    ),
)
def test_a_function_that_is_wrong_is_one_sentence(parts, overrides, name, sentence):
    target = name.replace("[", "[broken_parts:") if "[" in name else f"broken_parts:{name}"
    *others, last = overrides.split(" ")
    cfg = config.compose([*SMALL, *others, f"{last}{target}"])
    with pytest.raises(UserError) as caught:
        launch.job.check(cfg)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


SEVEN = {
    "a wrong format": "broken_parts.py:plain",
    "a missing file": "nowhere:plain",
    "invalid syntax": "no_python:plain",
    "a missing function": "broken_parts:nothing",
    "not a function": "broken_parts:table",
    "raises": "broken_parts:raises",
    "returns another type": "broken_parts:three",
}


@pytest.mark.parametrize("case", mostly_slow(SEVEN, "raises"))
def test_a_broken_file_leaves_no_run_behind(parts, capsys, case):
    (parts / "no_python.py").write_text("def plain(:")
    (parts / "broken_parts.py").write_text(f"{BROKEN}\ntable = 3\n")
    assert main(["train", *SMALL, "optimizer=custom", f"optimizer.target={SEVEN[case]}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("samerun: optimizer.target: ")
    assert not (parts / "outputs").exists()
    assert not tracking.find_by_tags(config.compose([]).config, {})


# ---- what is right


def test_a_schedule_is_evaluated_at_every_step_from_the_end_of_the_warmup(parts):
    (parts / "shapes.py").write_text("def line(epoch, epochs):\n    return 1 + epoch / epochs\n")
    overrides = ["schedule=custom", "schedule.target=shapes:line", "optimizer.learning_rate=0.5"]
    for warmup in (0, 1, 0.75):
        cfg = config.compose([*overrides, f"schedule.warmup_epochs={warmup}"]).config
        found = optim.curve(cfg.optimizer, cfg.schedule, 5, 4)
        epochs = np.arange(20) / 5
        after = 0.5 * (1 + (epochs - warmup) / (4 - warmup))
        rising = 0.5 * epochs / (warmup or 1)
        np.testing.assert_allclose(found, np.where(epochs < warmup, rising, after), rtol=1e-6)
    sys.modules.pop("shapes")


WHOLE = (
    *("model=mlp", "model.units=[4]", "dataset.limit=60", "training.epochs=4"),
    *("optimizer=custom", "optimizer.target=my_code:momentum", "optimizer.clipnorm=1"),
    *("schedule=custom", "schedule.target=my_code:halving", "+schedule.params.every=0.5"),
    *("training.loss=my_code:smooth", "training.metrics=[accuracy,my_code:confidence]"),
    *("training.callbacks=[broken_parts:Counts,my_code:Fade]", "+training.params.Fade.start=0.3"),
)


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param(False, id="between-epochs", marks=pytest.mark.slow),
        pytest.param(True, id="inside-an-epoch"),
    ],
)
def test_a_callback_with_a_state_is_resumed_exactly_and_one_without_is_named(
    parts, tmp_path, inside
):
    overrides = [*WHOLE, *(["checkpoint.every_steps=2"] if inside else [])]
    whole = train(overrides, run_in(tmp_path / "whole"))
    with pytest.raises(Killed):
        train(overrides, run_in(tmp_path / "broken", during_epoch(3)))
    state = state_in(tmp_path / "broken")
    assert (state.step > 0) is inside
    assert state.meta["callbacks"]["own/my_code:Fade"]["factor"] == 1 - 0.7 / 4
    screen = Console(file=io.StringIO(), width=400)
    cfg = config.compose([*PLAIN, *overrides]).config
    resumed = training.train(cfg, run_in(tmp_path / "broken"), screen, state=state)
    sentence = "training.callbacks: broken_parts:Counts has no state() and restore(state)"
    assert screen.file.getvalue().count(sentence) == 1
    assert "Fade" not in screen.file.getvalue()
    assert resumed.weights_digest == whole.weights_digest
    assert resumed.history == whole.history
    assert resumed.metrics == whole.metrics
    assert {"train/confidence", "validation/confidence"} <= set(whole.history)
    assert "test/confidence" in whole.metrics
    if not inside:
        plain = [word for word in WHOLE if "Fade" not in word]
        assert train(plain, run_in(tmp_path / "plain")).weights_digest != whole.weights_digest


@pytest.mark.slow
def test_a_fork_trains_with_other_callbacks_than_the_recorded_run(trained, capsys):
    """The state of a callback is restored where the fork has it too, and dropped elsewhere."""
    trust = ["--trust", "my_code", "--trust", "broken_parts"]
    longer = ["resume", trained, "training.epochs=4", *trust]
    assert main([*longer, "training.callbacks=[]"]) == 2
    assert "--fork" in capsys.readouterr().err
    factors = {}
    for callbacks_ in ("[my_code:Fade]", "[broken_parts:Counts]", "[]"):
        assert main([*longer, f"training.callbacks={callbacks_}", "--fork"]) == 0
        fork = tracking.find_runs()[0]
        assert fork.tags["samerun.forked_from"] == trained
        assert set(tracking.metric_histories(fork)["train/loss"]) == {4}
        state = state_in(fork.tags["samerun.folder"])
        factors[callbacks_] = state.meta["callbacks"].get("own/my_code:Fade")
    assert factors["[my_code:Fade]"] == {"factor": 1 - 0.5 / 2**4}
    assert factors["[broken_parts:Counts]"] == factors["[]"] is None


@pytest.mark.slow
def test_a_metric_of_ones_own_is_the_objective_of_a_sweep_and_stops_training(parts, capsys):
    """Also a sweep with `sampler=auto`, whose trials are real."""
    result = samerun.sweep(
        [
            *("sweep=optuna", "sweep.sampler=auto", "sweep.executor=inline", "sweep.n_trials=2"),
            *("sweep.study=own", "sweep.objectives=[validation/confidence]", "tracking=lean"),
            *(*SMALL, "training.metrics=[accuracy,my_code:confidence]", "seed=1"),
            *("training.early_stopping.monitor=validation/confidence", "training.epochs=6"),
            "training.early_stopping.patience_epochs=1",
            "training.early_stopping.min_delta=10",
            "optimizer.learning_rate=0.001,0.01",
        ]
    )
    screen = capsys.readouterr().out
    assert "sweep.sampler=auto: tpe" in screen
    assert "maximize validation/confidence" in screen
    trials = [tracking.find_runs([run_id])[0] for run_id in result.run_ids.values()]
    histories = [tracking.metric_histories(run)["validation/confidence"] for run in trials]
    assert [sorted(history) for history in histories] == [[1, 2], [1, 2]]
    (best,) = result.best
    assert best.values["validation/confidence"] == max(max(h.values()) for h in histories)


def test_a_callback_that_keeps_nothing_is_not_named(parts):
    cfg = config.compose(["training.callbacks=[broken_parts:Silent]"]).config
    made = [*callbacks.build_own(cfg).items()]
    assert len(made) == 1
    assert callbacks.note_on_resume(made) is None


@pytest.mark.slow
def test_the_page_is_true(trained, capsys):
    """Every command composes and its functions pass; the last one is trained and reproduced."""
    *commands, (last, arguments) = commands_of_the_page()
    *others, _ = [overrides for command, overrides in commands if command == "train"]
    for overrides in others:
        overrides, _ = take_flag(overrides, "--schedule-plot")
        if "-m" not in overrides:
            launch.compose([one.text for one in check_overrides(overrides)])
    assert main(["reproduce", trained]) == 2
    assert "--trust my_code" in capsys.readouterr().err
    words = [trained if word == "RUN_ID" else word for word in arguments]
    assert main([last, *words]) == 0
    assert "EXACT" in capsys.readouterr().out
