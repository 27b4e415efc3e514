"""When a training writes its state, which states it takes, and how it is asked to end."""

import dataclasses
import re

import keras
import numpy as np
import pytest

from samerun import callbacks, checkpoints, config, data, training
from samerun.checkpoints import latest
from samerun.config.schema import options
from samerun.errors import FAILED, Diverged, UserError, exit_code
from support.resuming import (
    Ended,
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
from support.tables import mostly_slow

STOPPING = "training.early_stopping"

TINY = ("dataset.limit=100", "training.epochs=3", "model=mlp", "model.units=[8]")
BROKEN = (*TINY, "model.dropout=0.3")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small run without a break, and its folder.

    The run knows the place of each state that it wrote, and what went to the disk in which order.
    """
    folder = tmp_path_factory.mktemp("whole")
    run = run_in(folder)
    run.url = "https://example.org/run"
    run.places, run.order = [], []
    run.sync_to_disk = lambda: run.order.append("flush")
    real = checkpoints.write

    def write(folder, state, *, is_best):
        run.places.append((state.epoch, state.step))
        run.order.append("checkpoint")
        return real(folder, state, is_best=is_best)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "write", write)
        return train(BROKEN, run), run, folder


@pytest.fixture
def float32_afterwards():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("float32_afterwards")
@pytest.mark.parametrize("precision", mostly_slow(["float32", "mixed_float16"], "mixed_float16"))
@pytest.mark.parametrize(
    "optimizer",
    mostly_slow(
        [name for name in options("optimizer") if name != "custom"],
        "nadam",  # custom: any of these
    ),
)
def test_every_optimizer_has_the_same_variables_before_its_first_step(optimizer, precision):
    overrides = [*TINY, f"optimizer={optimizer}", f"training.precision={precision}"]
    cfg = config.compose(overrides).config
    keras.config.set_dtype_policy(precision)
    built = data.build(cfg.dataset, 0)
    paths = []
    for explicitly in (True, False):
        model = training.compiled(cfg, built.spec, built.steps_per_epoch, 1)
        if explicitly:
            callbacks.build_variables(model, built.train.take(1))
        else:
            model.fit(built.train.take(1), shuffle=False, verbose=0)
        listed = [*model.optimizer.variables, *model.metrics_variables]
        paths.append([(variable.path, variable.shape, variable.dtype) for variable in listed])
    assert paths[0] == paths[1]


def test_a_complete_run_is_only_evaluated_again(whole, monkeypatch):
    result, run, folder = whole
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it trained"))
    again = run_in(folder)
    assert result_of(train(BROKEN, again, state=state_in(folder))) == result_of(result)
    assert again.texts["checkpoints/digests.csv"] == run.texts["checkpoints/digests.csv"]


@pytest.mark.slow
def test_a_run_that_stopped_early_stays_stopped(tmp_path, monkeypatch):
    overrides = [*BROKEN, "training.epochs=9", f"{STOPPING}.patience_epochs=2"]
    overrides += [f"{STOPPING}.min_delta=100"]
    first = train(overrides, run_in(tmp_path))
    assert len(first.history["train/loss"]) == 3
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it trained"))
    assert result_of(resume([*overrides, "training.epochs=20"], tmp_path)) == result_of(first)


@pytest.mark.slow
def test_more_epochs_of_averaged_weights_are_those_of_a_longer_run(tmp_path):
    overrides = [*BROKEN, "schedule=constant", "optimizer.use_ema=true"]
    train([*overrides, "training.epochs=2"], run_in(tmp_path / "short"))
    longer = resume([*overrides, "training.epochs=4"], tmp_path / "short")
    at_once = train([*overrides, "training.epochs=4"], run_in(tmp_path / "long"))
    assert result_of(longer) == result_of(at_once)
    assert end_of(tmp_path / "short") == end_of(tmp_path / "long")


def test_the_digests_and_values_of_a_broken_run_are_those_of_the_whole_one(whole, tmp_path):
    _, run, _ = whole
    overrides = [*BROKEN, "checkpoint.every_steps=2"]
    broken = run_in(tmp_path, at_step(11))
    with pytest.raises(Killed):
        train(overrides, broken)
    assert state_in(tmp_path).step
    resumed = run_in(tmp_path)
    train(overrides, resumed, state=state_in(tmp_path))
    digests = resumed.texts["checkpoints/digests.csv"]
    assert digests == run.texts["checkpoints/digests.csv"]
    assert [line.split(",")[:2] for line in digests.splitlines()[1:]] == [
        [str(epoch), str(epoch * 7)] for epoch in (1, 2, 3)
    ]
    points = {**broken.points, **resumed.points}
    for (name, step), value in run.points.items():
        if not name.startswith(("speed/", "system/")):
            assert points[name, step] == value, f"{name} at {step}"
    assert ("system/epoch_seconds", 2) not in points, "half an epoch has no time"


# ---- when


def written(overrides, folder, monkeypatch):
    """The places of all states that a run writes."""
    places = []
    real = checkpoints.write

    def write(folder, state, *, is_best):
        places.append((state.epoch, state.step))
        return real(folder, state, is_best=is_best)

    monkeypatch.setattr(checkpoints, "write", write)
    train([*BROKEN, *overrides], run_in(folder))
    return places


NEVER = "checkpoint.every_epochs=null"


def test_a_state_is_written_after_every_epoch(whole):
    assert whole[1].places == [(1, 0), (2, 0), (3, 0)]


@pytest.mark.parametrize(
    ("overrides", "places"),
    mostly_slow(
        [
            pytest.param(
                ["checkpoint.every_epochs=2"],
                [(2, 0), (3, 0)],
                id="and_the_last",
            ),
            pytest.param([NEVER], [], id="never"),
            pytest.param(
                [NEVER, "checkpoint.every_steps=4"], [(0, 4), (1, 4), (2, 4), (3, 0)], id="steps"
            ),
            pytest.param(
                [NEVER, "checkpoint.every_steps=7"],
                [(1, 0), (2, 0), (3, 0)],
                id="end_of_epoch",
            ),
            pytest.param(
                ["checkpoint.every_steps=1", "training.steps_per_execution=5"],
                [(0, 5), (1, 0), (1, 5), (2, 0), (2, 5), (3, 0)],
                id="steps_at_once",
            ),
            pytest.param(
                [NEVER, "checkpoint.every_seconds=1e-9", "training.epochs=1"],
                [*((0, step) for step in range(1, 7)), (1, 0)],
                id="seconds",
            ),
            pytest.param(
                [NEVER, "checkpoint.every_seconds=1e9"],
                [(3, 0)],
                id="no_time_passed",
            ),
        ],
        "steps",
    ),
)
def test_a_state_is_written_when_it_was_asked_for(tmp_path, monkeypatch, overrides, places):
    assert written(overrides, tmp_path, monkeypatch) == places


@pytest.mark.slow
def test_the_best_epoch_is_kept_on_request_only(tmp_path):
    overrides = [*BROKEN, "schedule=constant", "optimizer.learning_rate=1"]
    result = train(overrides, run_in(tmp_path / "with"))
    best = checkpoints.read(tmp_path / "with" / "checkpoints" / "best.npz")
    assert best.epoch == result.best_epoch
    train([*overrides, "checkpoint.keep_best=false"], run_in(tmp_path / "without"))
    assert not (tmp_path / "without" / "checkpoints" / "best.npz").exists()


@pytest.mark.parametrize(
    ("upload", "url", "names"),
    [
        pytest.param(
            "true", None, ["a.npz", "b.npz", "a.npz"], id="always", marks=pytest.mark.slow
        ),
        pytest.param("null", None, [], id="no_server", marks=pytest.mark.slow),
        pytest.param("false", "https://example.org/run", [], id="never", marks=pytest.mark.slow),
    ],
)
def test_states_are_sent_where_that_is_asked_for(tmp_path, upload, url, names):
    run = run_in(tmp_path / "here")
    run.url = url
    train([*BROKEN, f"checkpoint.upload={upload}"], run)
    check_sent(run, names, tmp_path)


def test_states_are_sent_to_a_server_under_two_names_in_turns(whole, tmp_path):
    check_sent(whole[1], ["a.npz", "b.npz", "a.npz"], tmp_path)


def check_sent(run, names, tmp_path):
    sent = [(name, content) for name, content in run.files if name in checkpoints.UPLOADED]
    assert [name for name, _ in sent] == names
    for name, content in sent:  # as another machine fetches them
        (tmp_path / name).write_bytes(content)
    if names:
        assert latest(tmp_path).epoch == 3


# ---- asked to end


def asks(step, folder, *, times=1):
    """A run that is asked to end after this step."""
    answers = []

    def killed(metrics, at):
        if "train/step_loss" in metrics and at == step:
            answers.extend(training.request_stop(Ended) for _ in range(times))
        return False

    run = run_in(folder, killed)
    run.answers = answers
    return run


@pytest.mark.parametrize(
    ("step", "place"),
    [
        pytest.param(10, (1, 3), id="inside_an_epoch"),
        pytest.param(14, (2, 0), id="after_the_last_step", marks=pytest.mark.slow),
        pytest.param(21, (3, 0), id="at_the_very_end", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_asked_to_end_resumes_from_that_step(whole, tmp_path, step, place):
    result, _, folder = whole
    run = asks(step, tmp_path)
    with pytest.raises(Ended):
        train(BROKEN, run)
    assert run.answers == [True]
    found = state_in(tmp_path)
    assert (found.epoch, found.step) == place
    assert result_of(resume(BROKEN, tmp_path)) == result_of(result)
    assert end_of(tmp_path) == end_of(folder)
    assert training.request_stop(Ended) is False, "no training is under way"


@pytest.mark.slow
def test_a_second_request_ends_at_once(tmp_path):
    with pytest.raises(Ended):
        train(BROKEN, asks(10, tmp_path, times=2))
    assert (state_in(tmp_path).epoch, state_in(tmp_path).step) == (1, 0)


@pytest.mark.slow
def test_without_checkpoints_a_request_ends_after_the_step(tmp_path):
    with pytest.raises(Ended):
        train([*BROKEN, NEVER], asks(10, tmp_path))
    assert state_in(tmp_path) is None


# ---- refused


def changed(state, *, meta=None, arrays=None):
    arrays = {**state.arrays, **(arrays or {})}
    kept = {name: array for name, array in arrays.items() if array is not None}
    return dataclasses.replace(state, meta={**state.meta, **(meta or {})}, arrays=kept)


def without_a_slot(state):
    listed = state.meta["variables"]
    return changed(state, meta={"variables": {**listed, "optimizer": listed["optimizer"][:-1]}})


def with_another_shape(state):
    return changed(state, arrays={"model/0": state.arrays["model/0"][:, :1]})


REFUSED = {
    "missing_slot": (without_a_slot, "variables in its optimizer, expected"),
    "missing_array": (lambda s: changed(s, arrays={"optimizer/2": None}), "received nothing"),
    "other_shape": (with_another_shape, r"in its model, expected"),
    "other_callbacks": (lambda s: changed(s, meta={"callbacks": {}}), "in its callbacks"),
    "no_callbacks": (
        lambda s: dataclasses.replace(s, meta={"fingerprint": s.meta["fingerprint"]}),
        "received no callbacks in its contents",
    ),
    "other_config": (lambda s: changed(s, meta={"fingerprint": "0"}), "another config"),
}


@pytest.mark.parametrize("name", mostly_slow(REFUSED, "missing_slot", "other_config"))
def test_a_state_that_does_not_fit_is_refused_in_a_sentence(whole, tmp_path, name):
    change, sentence = REFUSED[name]
    _, _, folder = whole
    with pytest.raises(UserError, match=sentence):
        train(BROKEN, run_in(tmp_path), state=change(state_in(folder)))


def test_more_epochs_and_other_executions_are_the_same_config():
    one = config.compose(["training.epochs=3"]).config
    other = config.compose(["training.epochs=9", "training.steps_per_execution=4"]).config
    assert training.fingerprint(one) == training.fingerprint(other)
    assert training.fingerprint(one) != training.fingerprint(config.compose(["seed=1"]).config)


def test_what_is_not_finite_is_never_kept(tmp_path):
    overrides = [*TINY, "optimizer=sgd", "optimizer.learning_rate=1e30", "checkpoint.every_steps=1"]
    with pytest.raises(Diverged, match=r"train/loss is (nan|inf).*epoch 1, step [2-9]") as error:
        train(overrides, run_in(tmp_path))
    assert exit_code(error.value) == FAILED
    found = state_in(tmp_path)
    before = int(re.search(r"step (\d+)", str(error.value))[1]) - 1
    assert (found.epoch, found.step) == (0, before)
    assert all(np.isfinite(array).all() for array in found.arrays.values())


def test_a_run_killed_before_its_first_checkpoint_trains_from_scratch_to_the_same_end(
    whole, tmp_path
):
    with pytest.raises(Killed):
        train(BROKEN, run_in(tmp_path, during_epoch(1)))
    assert state_in(tmp_path) is None
    assert result_of(resume(BROKEN, tmp_path)) == result_of(whole[0])


# ---- the trial of a sweep


@pytest.mark.slow
def test_a_trial_reports_every_epoch_and_continues_if_allowed(whole, tmp_path):
    result, _, _ = whole
    trial = Watched(last=2)
    with pytest.raises(Ended):
        train(BROKEN, run_in(tmp_path), trial=trial)
    values = result.history["validation/accuracy"]
    assert trial.reported == dict(enumerate(values[:2], start=1))
    on = Watched(last=9)
    resumed = train(BROKEN, run_in(tmp_path), state=state_in(tmp_path), trial=on)
    assert result_of(resumed) == result_of(result)
    assert on.reported == {3: values[2]}


def test_what_was_logged_is_on_the_disk_before_each_checkpoint(whole):
    order = whole[1].order
    assert len(order) >= 6
    assert order == ["flush", "checkpoint"] * (len(order) // 2)
