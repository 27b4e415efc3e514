"""Data passed in from Python: the same run as from a file, and one sentence for what is wrong."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import samerun
from samerun import data, errors
from samerun.config import Task
from samerun.config.composition import compose_with_hydra
from samerun.data import passed
from samerun.folders import PASSED_IN
from samerun.launch import with_data
from support.tables import mostly_slow

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
SMALL = ["model=mlp", "model.units=[4]", "training.epochs=2", "tracking=lean"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def saved(given, *overrides):
    """Returns the config of the dataset that reads the data."""
    texts, saved_for = with_data(overrides, given)
    composition, node = compose_with_hydra(texts)
    with saved_for(node):
        return composition.config.dataset


def described(given, *overrides):
    return data.describe(saved(given, *overrides))


@pytest.mark.slow
def test_arrays_give_the_same_bits_as_a_file_with_them_and_are_reproduced(here):
    np.savez(here / "mine.npz", x=X, y=Y)
    of_file = samerun.train([*SMALL, "dataset=npz", "dataset.path=mine.npz"])
    of_arrays = samerun.train(SMALL, data=(X, Y))
    assert of_arrays.weights_digest == of_file.weights_digest
    one, other = (samerun.load_run(result.run_id) for result in (of_file, of_arrays))
    assert other.tags["samerun.digests"] == one.tags["samerun.digests"]
    path = Path(other.params["dataset.path"])
    assert path.parent == PASSED_IN
    assert path.stem[:6] not in other.name

    shutil.rmtree("data")
    with pytest.raises(errors.UserError, match=r"passed in from Python.*reproduce\(ID, data=...\)"):
        samerun.reproduce(other.id)
    changed = X.copy()
    changed[7, 2] += 1e-3
    with pytest.raises(errors.UserError, match="its digest is .*, and run .* was trained on"):
        samerun.reproduce(other.id, data=(changed, Y))
    with pytest.raises(errors.UserError, match="was not trained on data passed in"):
        samerun.reproduce(one.id, data=(X, Y))
    assert not Path("data").exists()
    assert samerun.reproduce(other.id, data=(X, Y)) == "EXACT"


@pytest.mark.slow
def test_a_sweep_searches_on_arrays(here):
    result = samerun.sweep(
        [*SMALL, "sweep=grid", "optimizer=sgd,adam", "sweep.executor=inline"], data=(X, Y)
    )
    assert len(result.run_ids) == 2
    (path,) = PASSED_IN.glob("*.npz")
    assert samerun.load_run(result.best[0].run_id).params["dataset.path"] == path.as_posix()


def test_splits_of_ones_own_are_used_as_they_are(here):
    parts = {
        "train": (X[:30], Y[:30]),
        "validation": (X[30:50], Y[30:50]),
        "test": (X[50:], Y[50:]),
    }
    cfg = saved(parts, "dataset.normalization=none")
    built = data.build(cfg, 0)
    assert built.spec == data.describe(cfg)
    for name, (x, y) in parts.items():
        np.testing.assert_array_equal(built.splits[name].x, x)
        np.testing.assert_array_equal(built.labels(name), y)
    spec = described({name: parts[name] for name in ("train", "validation")})
    assert (spec.num_train, spec.num_validation, spec.num_test) == (30, 20, 0)
    limited = data.build(saved(parts, "dataset.normalization=none", "dataset.limit=8"), 0)
    assert {len(split) for split in limited.splits.values()} == {8}
    with pytest.raises(errors.UserError, match="validation split of its own, expected none with"):
        described(parts, "folds=3")


def test_a_data_frame_is_a_table_with_names_and_categories(here):
    frame = pd.DataFrame(
        {"size": X[:, 0], "city": np.where(Y, "Rome", "Oslo"), "price": X[:, 1]}, index=range(9, 69)
    )
    spec = described(frame, "dataset.target=price")
    assert (spec.task, spec.feature_names[0]) == (Task.regression, "size")
    path = PASSED_IN / next(PASSED_IN.glob("*.csv")).name
    pd.testing.assert_frame_equal(
        pd.read_csv(path), frame.reset_index(drop=True), check_dtype=False, rtol=1e-6
    )
    days = pd.date_range("2020-01-01", periods=60)
    series = pd.DataFrame({"date": days, "amount": X[:, 0]})
    spec = described(
        series, "dataset=series_csv", "dataset.target=amount", "dataset.window=3", "model=lstm"
    )
    assert spec.task is Task.forecast


@pytest.mark.parametrize("is_batched", [False, True])
def test_a_tf_dataset_is_the_arrays_that_it_was_made_of(is_batched, here):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((X, Y))
    given = dataset.batch(7).prefetch(2) if is_batched else dataset
    test = (X[:9], Y[:9])
    for one, other in (
        (given, (X, Y)),
        ({"train": given, "test": test}, {"train": (X, Y), "test": test}),
    ):
        assert with_data([], one)[0] == with_data([], other)[0]


def of_tensorflow(make):
    import tensorflow as tf

    return make(tf.data.Dataset.from_tensor_slices((X, Y)))


def failing_after_one():
    import tensorflow as tf

    def examples():
        yield X[0], Y[0]
        raise ValueError("boom")

    return tf.data.Dataset.from_generator(
        examples, output_signature=(tf.TensorSpec((4,)), tf.TensorSpec((), tf.int64))
    )


@pytest.mark.parametrize(
    ("make", "message"),
    mostly_slow(
        [
            pytest.param(lambda: of_tensorflow(lambda d: d.repeat()), "never ends", id="infinite"),
            pytest.param(
                lambda: of_tensorflow(lambda d: d.shuffle(60)), "leave out shuffle", id="shuffled"
            ),
            pytest.param(
                lambda: of_tensorflow(
                    lambda d: d.take(1).concatenate(d.skip(1).shuffle(60, seed=1)).concatenate(d)
                ),
                "element [1-9][0-9]* of .* in a second pass",
                id="shuffled later",
            ),
            pytest.param(
                lambda: of_tensorflow(lambda d: d.map(lambda x, y: ({"a": x}, y))),
                r"elements are .*expected \(x, y\) of one tensor each",
                id="dicts",
            ),
            pytest.param(
                lambda: of_tensorflow(lambda d: d.map(lambda x, y: ((x, x), y))),
                "of one tensor each",
                id="two inputs",
            ),
            pytest.param(failing_after_one, "fails at element 1: .*boom", id="generator"),
            pytest.param(lambda: of_tensorflow(lambda d: d.take(0)), "has no elements", id="empty"),
            pytest.param(
                lambda: of_tensorflow(lambda d: d.map(lambda x, y: x)), "elements are", id="only x"
            ),
            pytest.param(
                lambda: of_tensorflow(lambda d: d.batch(6, drop_remainder=True)),
                "unbatch",
                id="unclear",
            ),
            pytest.param(lambda: X, "received a ndarray, expected", id="no y"),
            pytest.param(lambda: (X, Y, Y), "received a tuple of 3", id="three"),
            pytest.param(lambda: {"training": (X, Y)}, "a dict of training", id="names of splits"),
            pytest.param(lambda: (X, [[1], [1, 2]]), "y is no array", id="ragged"),
            pytest.param(lambda: (X, np.array([{}] * 60)), "y holds Python objects", id="objects"),
            pytest.param(lambda: (X, Y[:50]), "60 examples and y 50", id="lengths"),
            pytest.param(lambda: pd.DataFrame({1: X[:, 0]}), "not all named by text", id="numbers"),
            pytest.param(
                lambda: pd.DataFrame({"a": [{"b": 1}]}),
                "column a holds a dict",
                id="objects in cells",
            ),
        ],
        "infinite",
        "shuffled later",
        "objects",
    ),
)
def test_what_cannot_be_used_is_refused_in_one_sentence(make, message, here):
    with pytest.raises(errors.UserError, match=message) as caught:
        with_data([], make())
    assert str(caught.value).startswith("data: ")
    assert "\n" not in str(caught.value)
    assert not list(here.iterdir())


def test_what_is_larger_than_the_limit_is_refused_before_it_is_written(here, monkeypatch):
    monkeypatch.setattr(passed, "MOST_BYTES", 500)
    frame = pd.DataFrame(X, columns=list("abcd"))
    for given in ((X, Y), frame, of_tensorflow(lambda d: d.map(lambda x, y: (x, y)))):
        with pytest.raises(errors.UserError, match="expected at most 500"):
            with_data([], given)
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("given", "overrides", "message"),
    [
        ((X, Y), ["dataset=digits"], "received dataset=digits too, expected dataset=npz"),
        ((X, Y), ["dataset=npz", "dataset.path=a.npz"], "received dataset.path=a.npz too"),
        (pd.DataFrame({"a": [1]}), ["dataset=npz"], "expected dataset=table_csv or"),
    ],
)
def test_overrides_that_name_other_data_are_refused(given, overrides, message, here):
    with pytest.raises(errors.UserError, match=message):
        samerun.train(overrides, data=given)


@pytest.mark.parametrize(
    ("given", "overrides"),
    mostly_slow(
        [
            ((X, Y), ["dataset.batch_size=1000"]),
            ((X[:2], Y[:2]), []),
            ((X, Y), ["dataset.batch_size=1000", "sweep=grid", "optimizer=sgd,adam"]),
        ]
    ),
    ids=["settings that do not fit", "too few examples", "sweep"],
)
def test_of_a_run_that_is_refused_no_data_stays(given, overrides, here):
    run = samerun.sweep if "sweep=grid" in overrides else samerun.train
    with pytest.raises(errors.UserError):
        run([*SMALL, *overrides], data=given)
    assert not list(PASSED_IN.glob("*.npz"))


@pytest.mark.parametrize("written", mostly_slow(["before", "meanwhile"], "meanwhile"))
def test_data_that_another_run_was_given_stays_when_this_one_is_refused(written, here):
    texts, saved_for = with_data([], (X, Y))
    _, node = compose_with_hydra(texts)
    if written == "before":
        with saved_for(node):
            pass

    def refuse():
        with saved_for(node):
            if written == "meanwhile":
                with saved_for(node):
                    pass
            raise errors.UserError("refused")

    with pytest.raises(errors.UserError, match="refused"):
        refuse()
    assert len(list(PASSED_IN.glob("*.npz"))) == 1


def test_data_that_trials_were_trained_on_stays_when_their_sweep_ends_with_a_mistake(
    here, monkeypatch
):
    def lost(plan, executor):
        raise errors.StoreUnavailable("the database does not answer")

    monkeypatch.setattr("samerun.sweeper.execution.run_plan", lost)
    with pytest.raises(errors.StoreUnavailable):
        samerun.sweep([*SMALL, "sweep=grid", "optimizer=sgd,adam"], data=(X, Y))
    assert len(list(PASSED_IN.glob("*.npz"))) == 1


def test_of_two_processes_that_write_the_same_data_the_one_that_is_refused_removes_nothing(
    here, monkeypatch
):
    """The other process begins later, and has the file first."""
    texts, saved_for = with_data([], (X, Y))
    _, node = compose_with_hydra(texts)
    path, write = Path(node.dataset.path), np.savez

    def slow(file, **arrays):
        path.write_bytes(b"what the other process wrote")
        write(file, **arrays)

    def refuse():
        with saved_for(node):
            raise errors.UserError("refused")

    monkeypatch.setattr(np, "savez", slow)
    with pytest.raises(errors.UserError, match="refused"):
        refuse()
    assert path.is_file()
