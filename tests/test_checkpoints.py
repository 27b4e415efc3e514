"""The state of a run in a file: whole or not at all, and what a training makes of it."""

import dataclasses
import errno
import io
import json
import os
import pickle
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from conftest import PROGRAMS
from resuming import (
    PLAIN,
    Killed,
    at_step,
    during_epoch,
    end_of,
    result_of,
    resume,
    run_in,
    state_in,
    train,
)
from samerun import callbacks, checkpoints, config, data, training
from samerun.checkpoints import State, latest, write
from samerun.config import UserError
from samerun.search import CurrentTrial

# ---- the file


def state(epoch, step=0):
    arrays = {
        "model/0": np.random.default_rng(epoch).normal(size=(50, 7)).astype(np.float32),
        "model/1": np.array([2**32 - 1, epoch], np.uint32),
        "optimizer/0": np.array(epoch * 10, np.int64),
        "empty": np.zeros((0, 3), np.float16),
    }
    return State(epoch=epoch, step=step, arrays=arrays, meta={"best": 0.1 + 0.2, "none": None})


def same(first, second):
    assert (first.epoch, first.step, first.meta) == (second.epoch, second.step, second.meta)
    assert list(first.arrays) == list(second.arrays)
    for name, array in first.arrays.items():
        other = second.arrays[name]
        assert (array.dtype, array.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(array, other)


def test_a_state_comes_back_as_it_was(tmp_path):
    write(tmp_path, state(3, step=4), is_best=False)
    same(latest(tmp_path), state(3, step=4))


def test_where_there_is_none_there_is_none(tmp_path):
    assert latest(tmp_path) is None
    assert latest(tmp_path / "missing") is None


def test_the_last_two_and_the_best_are_kept(tmp_path):
    for epoch in (1, 2, 3, 4):
        write(tmp_path, state(epoch), is_best=epoch == 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.npz",
        "last.npz",
        "previous.npz",
    ]
    found = {path.stem: checkpoints.read(path).epoch for path in tmp_path.iterdir()}
    assert found == {"last": 4, "previous": 3, "best": 2}


def test_numpy_reads_the_file_without_pickle(tmp_path):
    with np.load(write(tmp_path, state(1), is_best=False), allow_pickle=False) as loaded:
        assert "model/0" in loaded.files


def damaged(name, content):
    """What a file has become, by the name of the damage."""
    place = len(content) // 3
    return {
        "empty": b"",
        "torn_at_the_beginning": content[:40],
        "torn_in_the_middle": content[:place],
        "torn_in_the_seal": content[:-1],
        "flipped_byte": content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        "flipped_byte_in_the_seal": content[:-5] + b"0" + content[-4:],
        "longer": content + b"\0",
        "zeros": bytes(len(content)),
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "empty",
        "torn_at_the_beginning",
        "torn_in_the_middle",
        "torn_in_the_seal",
        "flipped_byte",
        "flipped_byte_in_the_seal",
        "longer",
        "zeros",
    ],
)
def test_a_damaged_file_is_named_and_the_one_before_it_is_used(tmp_path, caplog, name):
    write(tmp_path, state(1), is_best=False)
    path = write(tmp_path, state(2), is_best=False)
    content = path.read_bytes()
    path.unlink()  # the other names are links to other files, and stay as they are
    path.write_bytes(damaged(name, content))
    same(latest(tmp_path), state(1))
    assert f"{path} is damaged" in caplog.text
    write(tmp_path, state(2), is_best=False)
    same(latest(tmp_path), state(2))


def test_where_both_are_damaged_the_best_one_is_used(tmp_path):
    for epoch in (1, 2, 3):
        write(tmp_path, state(epoch), is_best=epoch == 1)
    for name in ("last.npz", "previous.npz"):
        (tmp_path / name).write_bytes(b"torn")
    same(latest(tmp_path), state(1))


def sealed(content):
    return content + checkpoints._SEAL % checkpoints.hashlib.sha256(content).hexdigest().encode()


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def pickles():
    inside = io.BytesIO()
    np.savez(inside, meta=np.array([Bomb()], dtype=object))
    alone = io.BytesIO()
    np.save(alone, np.array([Bomb()], dtype=object))
    return {
        "bare": pickle.dumps(Bomb()),
        "member": inside.getvalue(),
        "npy": alone.getvalue(),
    }


@pytest.mark.parametrize("name", ["bare", "member", "npy"])
def test_a_pickle_is_refused_even_with_the_right_seal(tmp_path, monkeypatch, caplog, name):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, state(1), is_best=False)
    write(tmp_path, state(2), is_best=False)
    (tmp_path / "last.npz").unlink()
    (tmp_path / "last.npz").write_bytes(sealed(pickles()[name]))
    same(latest(tmp_path), state(1))
    assert "is damaged" in caplog.text
    assert not (tmp_path / "exploded").exists()


def test_objects_are_not_written(tmp_path):
    bad = dataclasses.replace(state(1), arrays={"x": np.array([Bomb()], dtype=object)})
    with pytest.raises(TypeError, match="pickled"):
        write(tmp_path, bad, is_best=False)


STEPS = ("fsync", "link", "replace")


@pytest.mark.parametrize("when", range(9))
def test_a_kill_at_any_moment_of_writing_leaves_a_whole_state(tmp_path, monkeypatch, when):
    for epoch in (1, 2):
        write(tmp_path, state(epoch), is_best=True)
    calls = []
    for name in STEPS:
        real = getattr(os, name)

        def call(*args, real=real, name=name):
            calls.append(name)
            if len(calls) == when:
                raise Killed
            return real(*args)

        monkeypatch.setattr(os, name, call)
    try:
        write(tmp_path, state(3), is_best=True)
    except Killed:
        assert len(calls) == when
    else:
        assert when in (0, 8), f"written in {len(calls)} calls: {calls}"
    monkeypatch.undo()
    found = latest(tmp_path)
    same(found, state(found.epoch))
    assert found.epoch in (2, 3)
    for epoch in (4, 5):  # and what lies about is in nobody's way
        write(tmp_path, state(epoch), is_best=True)
    same(latest(tmp_path), state(5))
    assert len(list(tmp_path.iterdir())) == 3


def test_without_hard_links_files_are_copied(tmp_path, monkeypatch):
    def link(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    for epoch in (1, 2):
        write(tmp_path, state(epoch), is_best=True)
    assert checkpoints.read(tmp_path / "previous.npz").epoch == 1
    assert checkpoints.read(tmp_path / "best.npz").epoch == 2


def full_disk(monkeypatch, times):
    left = [times]
    real = np.savez

    def savez(file, **arrays):
        if left[0]:
            left[0] -= 1
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, **arrays)

    monkeypatch.setattr(np, "savez", savez)


def test_a_full_disk_costs_the_one_before_the_last(tmp_path, monkeypatch, caplog):
    for epoch in (1, 2):
        write(tmp_path, state(epoch), is_best=False)
    full_disk(monkeypatch, times=1)
    write(tmp_path, state(3), is_best=False)
    same(latest(tmp_path), state(3))
    assert caplog.text.count("the disk is full") == 1


def test_a_disk_that_stays_full_is_one_sentence_and_the_last_one_stays(tmp_path, monkeypatch):
    for epoch in (1, 2):
        write(tmp_path, state(epoch), is_best=False)
    full_disk(monkeypatch, times=2)
    with pytest.raises(UserError, match=r"last\.npz cannot be written \(No space left on device\)"):
        write(tmp_path, state(3), is_best=False)
    same(latest(tmp_path), state(2))


# ---- the rest of an epoch


@pytest.mark.parametrize("drop_remainder", ["false", "true"])
def test_the_rest_of_an_epoch_is_the_end_of_the_whole_one(drop_remainder):
    words = ["dataset.limit=100", "dataset/augmentation=rotate_shift_zoom"]
    cfg = config.compose([*words, f"dataset.drop_remainder={drop_remainder}"]).config
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
        words: the run.
        epoch: it dies at the end of this one first, then in the midst of it.
    """

    words: str
    epoch: int = 3


STOPPING = "training.early_stopping"
CASES = {
    "cnn": Case(
        "dataset.limit=200 training.epochs=4 model.filters=[4] model.dense_units=[8] "
        "model.dropout=0.3 model.batch_norm=true dataset/augmentation=rotate_shift_zoom"
    ),
    "ema": Case(
        "dataset.limit=200 training.epochs=4 model=mlp model.units=[16] model.dropout=0.3 "
        "optimizer.use_ema=true optimizer.ema_momentum=0.9"
    ),
    "ema_of_the_last_epoch": Case(
        "dataset.limit=200 training.epochs=4 model=mlp model.units=[16] optimizer.use_ema=true "
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
    "mixed_precision": Case(
        "dataset.limit=200 training.epochs=4 model.filters=[4] model.dense_units=[8] "
        "training.precision=mixed_float16 optimizer=sgd optimizer.momentum=0.9"
    ),
    "custom": Case(
        "dataset.limit=200 training.epochs=4 model=custom model.target=own_model:build "
        "optimizer=nadam dataset.drop_remainder=true"
    ),
}
QUICK = {"cnn"}


def check_interrupted(case, folder):
    """Trains without a break; then with two, the second inside an epoch and in other executions."""
    words = case.words.split()
    in_epochs = [*words, "checkpoint.every_steps=3"]
    whole = train(words, run_in(folder / "whole"))
    steps = state_in(folder / "whole").meta["steps_per_epoch"]
    broken = folder / "broken"
    with pytest.raises(Killed):
        train(words, run_in(broken, during_epoch(case.epoch)))
    assert (state_in(broken).epoch, state_in(broken).step) == (case.epoch - 1, 0)
    in_fives = [*in_epochs, "training.steps_per_execution=5"]
    with pytest.raises(Killed):
        resume(in_fives, broken, killed=at_step((case.epoch - 1) * steps + 6))
    assert (state_in(broken).epoch, state_in(broken).step) == (case.epoch - 1, 5)
    resumed = resume(in_epochs, broken)
    assert result_of(resumed) == result_of(whole)
    assert end_of(broken) == end_of(folder / "whole")
    return whole


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in CASES],
)
def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_model.py").write_text((PROGRAMS / "own_train_step.py").read_text())
    whole = check_interrupted(CASES[name], tmp_path)
    if name == "early_stopping":
        assert len(whole.history["train/loss"]) < 9, "it did not stop: nothing is tested"
    if name == "plateau":
        assert len(set(whole.history["learning_rate"])) > 2


TINY = ("dataset.limit=100", "training.epochs=3", "model=mlp", "model.units=[8]")
BROKEN = (*TINY, "model.dropout=0.3")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small run without a break, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    run = run_in(folder)
    return train(BROKEN, run), run, folder


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(name, marks=[] if name == "nadam" else [pytest.mark.slow])
        for name in config.options("optimizer")
    ],
)
def test_every_optimizer_has_the_same_variables_before_its_first_step(optimizer, precision):
    words = [*TINY, f"optimizer={optimizer}", f"training.precision={precision}"]
    cfg = config.compose(words).config
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
    keras.config.set_dtype_policy("float32")
    assert paths[0] == paths[1]


def test_a_complete_run_is_only_evaluated_again(whole, monkeypatch):
    result, run, folder = whole
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it trained"))
    again = run_in(folder)
    assert result_of(train(BROKEN, again, state=state_in(folder))) == result_of(result)
    assert again.texts["checkpoints/digests.csv"] == run.texts["checkpoints/digests.csv"]


@pytest.mark.slow
def test_a_run_that_stopped_early_stays_stopped(tmp_path, monkeypatch):
    words = [*BROKEN, "training.epochs=9", f"{STOPPING}.patience_epochs=2"]
    words += [f"{STOPPING}.min_delta=100"]
    first = train(words, run_in(tmp_path))
    assert len(first.history["train/loss"]) == 3
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it trained"))
    assert result_of(resume([*words, "training.epochs=20"], tmp_path)) == result_of(first)


@pytest.mark.parametrize("use_ema", ["false", "true"])
@pytest.mark.slow
def test_more_epochs_are_those_of_a_longer_run(tmp_path, use_ema):
    words = [*BROKEN, "schedule=constant", f"optimizer.use_ema={use_ema}"]
    train([*words, "training.epochs=2"], run_in(tmp_path / "short"))
    longer = resume([*words, "training.epochs=4"], tmp_path / "short")
    at_once = train([*words, "training.epochs=4"], run_in(tmp_path / "long"))
    assert result_of(longer) == result_of(at_once)
    assert end_of(tmp_path / "short") == end_of(tmp_path / "long")


def test_the_digests_of_a_broken_run_are_those_of_the_whole_one(whole, tmp_path):
    _, run, _ = whole
    words = [*BROKEN, "checkpoint.every_steps=2"]
    with pytest.raises(Killed):
        train(words, run_in(tmp_path, at_step(11)))
    assert state_in(tmp_path).step
    resumed = run_in(tmp_path)
    train(words, resumed, state=state_in(tmp_path))
    digests = resumed.texts["checkpoints/digests.csv"]
    assert digests == run.texts["checkpoints/digests.csv"]
    assert [line.split(",")[:2] for line in digests.splitlines()[1:]] == [
        [str(epoch), str(epoch * 7)] for epoch in (1, 2, 3)
    ]


@pytest.mark.slow
def test_steps_after_a_break_are_logged_as_without(whole, tmp_path):
    _, run, _ = whole
    words = [*BROKEN, "checkpoint.every_steps=2"]
    broken = run_in(tmp_path, at_step(12))
    with pytest.raises(Killed):
        train(words, broken)
    resumed = run_in(tmp_path)
    train(words, resumed, state=state_in(tmp_path))
    points = {**broken.points, **resumed.points}
    for (name, step), value in run.points.items():
        if not name.startswith(("speed/", "system/")):
            assert points[name, step] == value, f"{name} at {step}"
    assert ("speed/epoch_seconds", 2) not in points, "half an epoch has no time"


# ---- when


def written(words, folder, monkeypatch):
    """The places of all states that a run writes."""
    places = []
    real = checkpoints.write

    def write(folder, state, *, is_best):
        places.append((state.epoch, state.step))
        return real(folder, state, is_best=is_best)

    monkeypatch.setattr(checkpoints, "write", write)
    train([*BROKEN, *words], run_in(folder))
    return places


NEVER = "checkpoint.every_epochs=null"


@pytest.mark.parametrize(
    ("words", "places"),
    [
        pytest.param([], [(1, 0), (2, 0), (3, 0)], id="every_epoch"),
        pytest.param(
            ["checkpoint.every_epochs=2"],
            [(2, 0), (3, 0)],
            id="and_the_last",
            marks=pytest.mark.slow,
        ),
        pytest.param([NEVER], [], id="never", marks=pytest.mark.slow),
        pytest.param(
            [NEVER, "checkpoint.every_steps=4"], [(0, 4), (1, 4), (2, 4), (3, 0)], id="steps"
        ),
        pytest.param(
            [NEVER, "checkpoint.every_steps=7"],
            [(1, 0), (2, 0), (3, 0)],
            id="end_of_epoch",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["checkpoint.every_steps=1", "training.steps_per_execution=5"],
            [(0, 5), (1, 0), (1, 5), (2, 0), (2, 5), (3, 0)],
            id="steps_at_once",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            [NEVER, "checkpoint.every_seconds=1e-9", "training.epochs=1"],
            [*((0, step) for step in range(1, 7)), (1, 0)],
            id="seconds",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            [NEVER, "checkpoint.every_seconds=1e9"],
            [(3, 0)],
            id="no_time_passed",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_state_is_written_when_it_was_asked_for(tmp_path, monkeypatch, words, places):
    assert written(words, tmp_path, monkeypatch) == places


@pytest.mark.slow
def test_the_best_epoch_is_kept_on_request_only(tmp_path):
    words = [*BROKEN, "schedule=constant", "optimizer.learning_rate=1"]
    result = train(words, run_in(tmp_path / "with"))
    best = checkpoints.read(tmp_path / "with" / "checkpoints" / "best.npz")
    assert best.epoch == result.best_epoch
    train([*words, "checkpoint.keep_best=false"], run_in(tmp_path / "without"))
    assert not (tmp_path / "without" / "checkpoints" / "best.npz").exists()


@pytest.mark.parametrize(
    ("upload", "url", "names"),
    [
        pytest.param(
            "true", None, ["a.npz", "b.npz", "a.npz"], id="always", marks=pytest.mark.slow
        ),
        pytest.param("null", "https://example.org/run", ["a.npz", "b.npz", "a.npz"], id="server"),
        pytest.param("null", None, [], id="no_server", marks=pytest.mark.slow),
        pytest.param("false", "https://example.org/run", [], id="never", marks=pytest.mark.slow),
    ],
)
def test_states_are_sent_under_two_names_in_turns(tmp_path, upload, url, names):
    run = run_in(tmp_path / "here")
    run.url = url
    train([*BROKEN, f"checkpoint.upload={upload}"], run)
    sent = [(name, content) for name, content in run.files if name in checkpoints.UPLOADED]
    assert [name for name, _ in sent] == names
    for name, content in sent:  # as another machine fetches them
        (tmp_path / name).write_bytes(content)
    if names:
        assert latest(tmp_path).epoch == 3


# ---- asked to end


class Ended(BaseException):
    """Somebody wanted the run to end."""


def asks(step, folder, *, times=1):
    """A run in which somebody asks for the end after this step."""
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
        pytest.param(21, (3, 0), id="at_the_very_end"),
    ],
)
def test_a_run_that_is_asked_to_end_goes_on_from_that_step(whole, tmp_path, step, place):
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


@pytest.mark.parametrize("name", REFUSED)
def test_a_state_that_does_not_fit_is_refused_in_a_sentence(whole, tmp_path, name):
    change, sentence = REFUSED[name]
    _, _, folder = whole
    with pytest.raises(UserError, match=sentence):
        train(BROKEN, run_in(tmp_path), state=change(state_in(folder)))


@pytest.mark.slow
def test_another_config_is_refused_but_may_be_forked(whole, tmp_path):
    _, _, folder = whole
    words = [*BROKEN, "model.l2=0.1", "training.epochs=4"]
    with pytest.raises(UserError, match="another config"):
        train(words, run_in(tmp_path), state=state_in(folder))
    cfg = config.compose([*PLAIN, *words]).config
    forked = training.forked(state_in(folder), cfg)
    result = train(words, run_in(tmp_path), state=forked)
    assert len(result.history["train/loss"]) == 4


def test_more_epochs_and_other_executions_are_the_same_config():
    one = config.compose(["training.epochs=3"]).config
    other = config.compose(["training.epochs=9", "training.steps_per_execution=4"]).config
    assert training.fingerprint(one) == training.fingerprint(other)
    assert training.fingerprint(one) != training.fingerprint(config.compose(["seed=1"]).config)


def test_what_is_not_finite_is_never_kept(tmp_path):
    words = [*BROKEN, "optimizer=sgd", "optimizer.learning_rate=1e30", "checkpoint.every_steps=1"]
    with pytest.raises(training.Diverged):
        train(words, run_in(tmp_path))
    found = state_in(tmp_path)  # the step before the one whose loss was NaN, or an earlier one
    assert found is None or all(np.isfinite(array).all() for array in found.arrays.values())


# ---- the trial of a sweep


class Watched(CurrentTrial):
    """Notes what it is told, and stops after an epoch."""

    metric = "validation/accuracy"

    def __init__(self, last):
        self.last, self.told = last, {}

    def report(self, value, epoch):
        self.told[epoch] = value

    def should_stop(self):
        return max(self.told) >= self.last

    def raise_if_stopped(self):
        if self.should_stop():
            raise Ended


@pytest.mark.slow
def test_a_trial_hears_every_epoch_and_goes_on_if_it_is_let(whole, tmp_path):
    result, _, _ = whole
    trial = Watched(last=2)
    with pytest.raises(Ended):
        train(BROKEN, run_in(tmp_path), trial=trial)
    values = result.history["validation/accuracy"]
    assert trial.told == dict(enumerate(values[:2], start=1))
    on = Watched(last=9)
    resumed = train(BROKEN, run_in(tmp_path), state=state_in(tmp_path), trial=on)
    assert result_of(resumed) == result_of(result)
    assert on.told == {3: values[2]}


# ---- the contract of the callbacks


def test_every_callback_says_what_its_state_is(tmp_path):
    words = ["optimizer.use_ema=true", "schedule=reduce_on_plateau", "tracking.tensorboard=true"]
    cfg = config.compose(words).config
    made = callbacks.build(
        cfg,
        run_in(tmp_path),
        set_epoch=lambda _: None,
        num_train=1,
        steps_per_epoch=1,
        fingerprint="",
        start=None,
        stop=callbacks.StopRequest(),
        trial=Watched(1),
    )
    assert set(callbacks.STATEFUL) | callbacks.STATELESS == set(made)
    assert list(made)[-1] == "checkpoints"
    made["early_stopping"].on_train_begin()  # makes its attributes
    for name, keys in callbacks.STATEFUL.items():
        assert all(hasattr(made[name], key) for key in keys), name


NO_STATE = {
    "model",  # Keras's own: what is trained, and what it told the callback
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


@pytest.mark.parametrize("name", ["cnn", "ema", "early_stopping", "plateau"])
@pytest.mark.slow
def test_no_attribute_changes_in_training_that_is_not_in_the_table(tmp_path, monkeypatch, name):
    found = {}
    real = callbacks.build

    def build(*args, **options):
        made = real(*args, **options)
        found["before"] = {key: dict(vars(one)) for key, one in made.items()}
        found["made"] = made
        return made

    monkeypatch.setattr(callbacks, "build", build)
    train(CASES[name].words.split(), run_in(tmp_path))
    for key, keys in callbacks.STATEFUL.items():
        if key in found["made"]:
            now, before = vars(found["made"][key]), found["before"][key]
            moved = {word for word in now if word not in before or now[word] is not before[word]}
            assert moved <= {*keys, *NO_STATE}, key


# ---- processes of their own


def process(folder, *words, kill="none", file_limit=None):
    """Trains in a process that goes on from what is there; returns its code and what it says."""
    command = [sys.executable, str(PROGRAMS / "train_on.py"), str(folder), kill, *PLAIN, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


CNN = CASES["cnn"].words.split()


@pytest.mark.slow
def test_fresh_processes_that_are_killed_end_as_one_that_is_not(tmp_path):
    code, whole, error = process(tmp_path / "whole", *CNN)
    assert code == 0, error
    words = [*CNN, "checkpoint.every_steps=4"]
    for kill in ("replace:2", "step:20", "fsync:3", "epoch:3"):
        code, _, error = process(tmp_path / "broken", *words, kill=kill)
        assert code == -signal.SIGKILL, error
    code, resumed, error = process(tmp_path / "broken", *words)
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
