"""Describing, splitting, scaling and fingerprinting datasets."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from samerun import data
from samerun.config import Layout, Task, compose
from samerun.config.datasets import DATASETS, Dataset
from samerun.config.datasets.base import Normalization
from samerun.data.splits import check_can_stratify, split_indices
from samerun.errors import UserError
from support.tables import mostly_slow


@cache
def default(kind: str) -> Dataset:
    overrides = ["dataset=npz", "dataset.path=none.npz"] if kind == "npz" else [f"dataset={kind}"]
    return compose(overrides).config.dataset


def digits(**changes) -> Dataset:
    return replace(default("digits"), **changes)


def npz(path, **changes) -> Dataset:
    return replace(default("npz"), path=str(path), **changes)


def test_every_data_set_of_the_config_can_be_described_and_loaded():
    assert set(data.SOURCES) == set(DATASETS)


@pytest.mark.parametrize(
    "changes",
    mostly_slow(
        [
            pytest.param({}, id="default"),
            pytest.param({"limit": 50}, id="limit"),
            pytest.param({"validation_fraction": 0.0}, id="no validation"),
            pytest.param({"test_fraction": 0.0, "validation_fraction": 0.33}, id="no test"),
        ],
        "no test",
    ),
)
def test_the_description_is_what_is_loaded(changes):
    cfg = digits(**changes)
    built = data.build(cfg, seed=0)
    assert built.spec == data.describe(cfg)
    for name in ("train", "validation", "test"):
        num = getattr(built.spec, f"num_{name}")
        batches = getattr(built, name)
        assert (batches is None) == (num == 0)
        if batches is not None:
            assert sum(len(y) for _, y in batches) == len(built.labels(name)) == num
            assert len(batches) == -(-num // cfg.batch_size)
        assert (name in built.fingerprint) == (num > 0)


def test_digits_are_described_by_their_known_numbers():
    spec = data.describe(digits())
    assert (spec.num_train, spec.num_validation, spec.num_test) == (1294, 144, 359)
    assert (spec.task, spec.layout, spec.input_shape) == (
        Task.multiclass,
        Layout.image,
        (8, 8, 1),
    )
    assert spec.class_names == tuple("0123456789")


@pytest.mark.parametrize("kind", ["mnist", "fashion_mnist"])
def test_an_official_test_split_is_kept(kind):
    spec = data.describe(default(kind))
    assert (spec.num_train, spec.num_validation, spec.num_test) == (54_000, 6_000, 10_000)


def test_splits_are_disjoint_complete_and_stratified():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    splits = split_indices(digits(), 160, None, labels)
    assert sorted(np.concatenate(list(splits.values()))) == list(range(160))
    assert np.bincount(labels[splits["test"]]).tolist() == [20, 10, 2]
    assert np.bincount(labels[splits["validation"]]).tolist() == [8, 4, 1]


def test_the_training_seed_leaves_the_splits_and_the_split_seed_changes_them():
    prints = [
        data.build(digits(split_seed=split_seed, limit=40), seed=seed).fingerprint
        for seed, split_seed in ((0, 0), (1, 0), (0, 1))
    ]
    assert prints[0] == prints[1]
    assert all(prints[0][name] != prints[2][name] for name in prints[0])


def test_a_limit_takes_examples_of_the_same_splits_and_of_all_classes():
    def pictures(built, split):
        images = built.examples(split, range(len(built.labels(split))))
        return {image.tobytes() for image in images}

    whole, few = data.build(digits(), 0), data.build(digits(limit=60), 0)
    for split in ("train", "validation", "test"):
        assert pictures(few, split) <= pictures(whole, split)
    sorted_by_class = split_indices(digits(limit=30), 100, 50, np.repeat([0, 1], 50))
    assert sorted_by_class["test"].max() > 40 > 10 > sorted_by_class["test"].min()
    assert np.ptp(sorted_by_class["train"] // 50) == 1


def test_raw_pictures_labels_and_counts_can_be_looked_at():
    built = data.build(digits(), 0)
    x, y = next(iter(built.test))
    raw = built.examples("test", range(len(y)))
    assert raw.dtype == np.uint8
    assert raw.max() == 16
    np.testing.assert_array_equal(x, raw / np.float32(16))
    np.testing.assert_array_equal(y, built.labels("test")[: len(y)])
    assert built.class_counts().sum() == built.spec.num_train
    assert len(built.class_counts()) == 10


@pytest.mark.parametrize("kind", ["uint8 images", "table"])
def test_standard_scaling_is_measured_on_the_training_split_for_each_channel(kind, tmp_path):
    random = np.random.default_rng(0)
    x = random.normal([1.0, -50.0, 0.0], [2.0, 0.1, 0.0], (500, 3))
    if kind == "uint8 images":
        x = random.integers(0, [256, 10, 1], (500, 4, 5, 3)).astype(np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=random.normal(size=500))
    built = data.build(npz(tmp_path / "a.npz", normalization=Normalization.standard), 0)
    train = np.concatenate([x for x, _ in built.train])
    others = tuple(range(train.ndim - 1))
    np.testing.assert_allclose(train.mean(axis=others), 0, atol=1e-3)
    np.testing.assert_allclose(train.std(axis=others), [1, 1, 0], atol=1e-3)
    test = np.concatenate([x for x, _ in built.test])
    assert np.abs(test.mean(axis=others)[:2]).min() > 1e-4, "the test split was measured too"


@pytest.mark.parametrize(
    ("x", "scale"),
    mostly_slow(
        [
            pytest.param(np.full((20, 4, 4), 7, np.uint8), 255, id="uint8 images"),
            pytest.param(np.full((20, 4, 4, 1), 7, np.uint16), 65535, id="uint16 images"),
            pytest.param(np.full((20, 4, 4, 3), -7, np.float64), 7, id="float images"),
            pytest.param(np.tile([4, -8, 0], (20, 1)), [4, 8, 1], id="table"),
            pytest.param(np.full((20, 2, 4, 4, 3), 7, np.uint8), 255, id="videos"),
        ],
        "table",
        "videos",
    ),
)
def test_unit_scaling_divides_by_the_largest_value(x, scale, tmp_path):
    np.savez(tmp_path / "a.npz", x=x, y=np.linspace(0, 1, 20))
    cfg = npz(tmp_path / "a.npz", normalization=Normalization.unit)
    built = data.build(cfg, 0)
    np.testing.assert_array_equal(built.preprocessing.scale, scale)
    numbers = {"offset": 0.0, "scale": np.asarray(scale).tolist()}
    assert built.preprocessing.as_dict() == {"kind": "scaling", **numbers}
    batch, _ = next(iter(built.test))
    raw = built.examples("test", range(len(batch)))
    np.testing.assert_array_equal(batch, built.preprocessing(raw))
    np.testing.assert_allclose(batch, raw / np.asarray(scale), rtol=1e-6)


def test_no_scaling_gives_the_numbers_as_they_are():
    built = data.build(digits(normalization=Normalization.none, limit=16), 0)
    x, _ = next(iter(built.test))
    np.testing.assert_array_equal(x, built.examples("test", range(16)))


def test_one_flipped_byte_changes_the_fingerprint_of_its_split_only(tmp_path):
    x, y = np.zeros((30, 4, 4), np.uint8), np.arange(30) % 3
    x_test = x.copy()
    prints = []
    for flip in (0, 1):
        x_test[17, 3, 2] ^= flip
        np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x_test, y_test=y)
        prints.append(data.build(npz(tmp_path / "a.npz"), 0).fingerprint)
    before, after = prints
    assert before["test"] != after["test"]
    assert before["train"] == after["train"]
    assert before["validation"] == after["validation"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x, y: (x.reshape(20, 3, 2), y), id="shape"),
        pytest.param(lambda x, y: (x.view(np.int32), y), id="type"),
        pytest.param(lambda x, y: (x, y[::-1]), id="label"),
    ],
)
def test_shape_type_and_labels_are_part_of_the_fingerprint(change):
    from samerun.data.dataset import fingerprint
    from samerun.data.source import Split

    x, y = np.ones((20, 2, 3), np.float32), np.arange(20)
    assert fingerprint(Split(x, y)) != fingerprint(Split(*change(x, y)))
    assert fingerprint(Split(x, y)) == fingerprint(Split(np.asfortranarray(x), y.copy()))


@pytest.mark.parametrize(
    ("labels", "num_held_out", "message"),
    [
        pytest.param([0, 0, 0, 1], 2, "class 1 has 1 example left", id="class of one"),
        pytest.param([0, 0, 1, 1, 2, 2], 2, "into 2 for the test split", id="too few held out"),
        pytest.param([0, 0, 1, 1, 2, 2], 4, "and 2 others", id="too few kept"),
    ],
)
def test_classes_too_small_to_divide_are_refused(labels, num_held_out, message):
    with pytest.raises(UserError, match=message) as caught:
        check_can_stratify(np.array(labels), num_held_out, "test")
    assert "dataset.test_fraction" in str(caught.value)


def test_a_class_used_up_by_the_test_split_is_refused_before_the_validation_split():
    labels = np.array([0] * 20 + [1] * 2)
    cfg = digits(test_fraction=0.5, validation_fraction=0.2)
    with pytest.raises(UserError, match=r"class 1 has 1 example left when the validation split"):
        split_indices(cfg, 22, None, labels)


def test_fractions_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(UserError, match="leave none for training"):
        data.split_sizes(digits(test_fraction=0.99, validation_fraction=0.9), 4)


def test_a_share_above_zero_is_at_least_one_example():
    sizes = data.split_sizes(digits(test_fraction=0.01, validation_fraction=0.01), 10)
    assert (sizes.train, sizes.validation, sizes.test) == (8, 1, 1)
