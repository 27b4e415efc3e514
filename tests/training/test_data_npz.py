"""A user's own `.npz`: how arrays are understood, and one sentence for whatever is wrong."""

import pickle
import zipfile
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from samerun import data
from samerun.config import Layout, Task, compose
from samerun.config.datasets import Dataset
from samerun.errors import UserError
from support.tables import mostly_slow


@cache
def default() -> Dataset:
    return compose(["dataset=npz", "dataset.path=none.npz"]).config.dataset


def npz(path, **changes) -> Dataset:
    return replace(default(), path=str(path), **changes)


X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
CLASSES = np.arange(40) % 4


@pytest.mark.parametrize(
    ("x", "y", "layout", "input_shape", "task", "num_outputs"),
    mostly_slow([
        pytest.param(X, CLASSES, Layout.table, (3,), Task.multiclass, 4, id="table multiclass"),
        pytest.param(X, CLASSES % 2, Layout.table, (3,), Task.binary, 1, id="table binary"),
        pytest.param(X, CLASSES % 2 == 1, Layout.table, (3,), Task.binary, 1, id="booleans"),
        pytest.param(
            X, CLASSES[:, None], Layout.table, (3,), Task.multiclass, 4, id="column of labels"
        ),
        pytest.param(X, X[:, 0], Layout.table, (3,), Task.regression, 1, id="one target"),
        pytest.param(X, X[:, :2], Layout.table, (3,), Task.regression, 2, id="two targets"),
        pytest.param(
            X.astype(">f8"), CLASSES.astype(">i2"), Layout.table, (3,), Task.multiclass, 4,
            id="other byte order",
        ),
        pytest.param(
            np.zeros((40, 6, 5), np.uint8), CLASSES, Layout.image, (6, 5, 1), Task.multiclass, 4,
            id="gray images",
        ),
        pytest.param(
            np.zeros((40, 6, 5, 3), np.float16), CLASSES, Layout.image, (6, 5, 3),
            Task.multiclass, 4, id="color images",
        ),
        pytest.param(
            np.zeros((40, 2, 6, 5, 3), bool), CLASSES, Layout.video, (2, 6, 5, 3),
            Task.multiclass, 4, id="videos",
        ),
    ], "column of labels", "videos"),
)  # fmt: skip
def test_arrays_are_understood_by_rank_and_type(
    x, y, layout, input_shape, task, num_outputs, tmp_path
):
    np.savez_compressed(tmp_path / "a.npz", x=x, y=y)
    cfg = npz(tmp_path / "a.npz", validation_fraction=0.2)
    spec = data.describe(cfg)
    assert (spec.layout, spec.input_shape) == (layout, input_shape)
    assert (spec.task, spec.num_outputs) == (task, num_outputs)
    built = data.build(cfg, 0)
    assert built.spec == spec
    batch_x, batch_y = next(iter(built.train))
    assert batch_x.shape[1:] == input_shape
    assert batch_x.dtype == "float32"
    expected = ("int32", ()) if task is Task.multiclass else ("float32", (num_outputs,))
    assert (batch_y.dtype, batch_y.shape[1:]) == expected
    seen = np.concatenate([built.labels(name) for name in ("train", "validation", "test")])
    np.testing.assert_allclose(np.sort(seen, axis=None), np.sort(y, axis=None))


def test_a_test_split_of_its_own_is_used(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=X, y_train=CLASSES, x_test=X[:10], y_test=CLASSES[:10])
    built = data.build(npz(tmp_path / "a.npz", test_fraction=0.5), 0)
    assert (built.spec.num_train, built.spec.num_validation, built.spec.num_test) == (36, 4, 10)
    np.testing.assert_array_equal(built.examples("test", range(10)), X[:10])
    assert built.class_counts().tolist() == [9, 9, 9, 9]


def with_value(row, value):
    changed = X.copy()
    changed[row, 1] = value
    return changed


OFFICIAL = {"x_train": X, "y_train": CLASSES, "x_test": X, "y_test": CLASSES}

BAD_ARRAYS = [
    pytest.param({"x": X, "labels": CLASSES}, "holds labels, x, expected either", id="keys"),
    pytest.param({}, "holds nothing", id="no arrays"),
    pytest.param({**OFFICIAL, "x": X, "y": CLASSES}, "expected either", id="both forms"),
    pytest.param({"x": X, "y": CLASSES[:39]}, "x holds 40 examples and y 39", id="lengths"),
    pytest.param({"x": X, "y": CLASSES + 1}, "labels 1, 2, 3, 4, expected", id="from one"),
    pytest.param({"x": X, "y": CLASSES * 2}, "labels 0, 2, 4, 6, expected", id="gaps"),
    pytest.param({"x": X, "y": CLASSES - 1}, "labels -1, 0, 1, 2", id="negative"),
    pytest.param({"x": X, "y": CLASSES * 0}, "hold the labels 0, expected two", id="one class"),
    pytest.param({"x": X, "y": np.arange(40) * 3}, "30, 33, …,", id="many labels are cut"),
    pytest.param({"x": X, "y": np.eye(4, dtype=int)[CLASSES]}, r"y of shape .40, 4", id="one-hot"),
    pytest.param({"x": X, "y": np.float32(3)}, r"y of shape \(\)", id="scalar y"),
    pytest.param({"x": X[:, 0], "y": CLASSES}, r"x of shape \(40,\)", id="rank of x"),
    pytest.param({"x": X[:0], "y": CLASSES[:0]}, r"x of shape \(0, 3\)", id="empty"),
    pytest.param({"x": X.astype("U8"), "y": CLASSES}, "x is of type <U8", id="text"),
    pytest.param({"x": X.astype(complex), "y": CLASSES}, "x is of type complex128", id="complex"),
    pytest.param({**OFFICIAL, "x_test": X[:, :2]}, r"x_test of shape \(40, 2\)", id="test shape"),
    pytest.param({**OFFICIAL, "y_test": X[:, 0]}, "but y_test", id="test targets"),
    pytest.param({**OFFICIAL, "y_train": CLASSES % 3}, "labels 3, which y_train", id="test class"),
    pytest.param({"x": X, "y": np.r_[CLASSES[:-1], 4]}, "class 4 has 1 example", id="small class"),
]  # fmt: skip


@pytest.mark.parametrize(("arrays", "message"), BAD_ARRAYS)
def test_wrong_arrays_are_refused_when_described_and_when_built(arrays, message, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    for act in (data.describe, lambda cfg: data.build(cfg, 0)):
        with pytest.raises(UserError, match=message) as caught:
            act(npz(tmp_path / "a.npz"))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param(
            {"x": with_value([7, 9], np.nan), "y": CLASSES}, "x holds 2 .* in example 7,", id="nan"
        ),
        pytest.param({"x": with_value(0, np.inf), "y": CLASSES}, "x holds 1 .* 0,", id="inf"),
        pytest.param({"x": X.astype(float) * 1e300, "y": CLASSES}, "x holds 120", id="too large"),
        pytest.param({"x": X, "y": with_value(3, -np.inf)}, "y holds 1 .* example 3", id="target"),
        pytest.param(
            {**OFFICIAL, "x_test": with_value(39, np.nan)}, "x_test holds 1 .* 39", id="test split"
        ),
    ],
)  # fmt: skip
def test_values_that_are_not_finite_are_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=message):
        data.build(npz(tmp_path / "a.npz", validation_fraction=0.25), 0)


def test_python_objects_are_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    traps = np.array([Trap()] * 40, dtype=object)
    np.savez(tmp_path / "a.npz", x=X, y=traps)
    for act in (data.describe, lambda cfg: data.build(cfg, 0)):
        with pytest.raises(UserError, match="y holds Python objects, which are never unpickled"):
            act(npz(tmp_path / "a.npz"))
    assert not (tmp_path / "sprung").exists()


def whole(path) -> bytes:
    np.savez(path, x=X, y=CLASSES)
    return path.read_bytes()


def promising_too_much(path) -> bytes:
    """A file whose headers declare a terabyte and whose arrays are missing."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x.npy", "y.npy"):
            with archive.open(name, "w") as member:
                header = {"descr": "<f4", "fortran_order": False, "shape": (10**11, 3)}
                np.lib.format.write_array_header_1_0(member, header)
    return path.read_bytes()


def flipped(content: bytes) -> bytes:
    place = content.index(X.tobytes()) + 5
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: whole(path)[:300], id="truncated"),
        pytest.param(lambda path: b"", id="empty"),
        pytest.param(lambda path: b"a,b\n1,2\n", id="text"),
        pytest.param(lambda path: pickle.dumps({"x": X}), id="pickle"),
        pytest.param(lambda path: whole(path).replace(b"\x93NUMPY", b"\x93NUMPX"), id="no array"),
        pytest.param(lambda path: flipped(whole(path)), id="one flipped byte"),
        pytest.param(promising_too_much, id="a header of a terabyte"),
    ],
)
def test_a_damaged_file_is_one_sentence(make, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(make(path))
    with pytest.raises(UserError, match=r"is not a complete \.npz file") as caught:
        data.build(npz(path), 0)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["missing.npz", "."])
def test_a_missing_file_names_where_it_was_looked_for(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"there is none at /.*") as caught:
        data.describe(npz(name))
    assert str(tmp_path) in str(caught.value)
