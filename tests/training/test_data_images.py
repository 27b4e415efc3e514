"""Digits as images, as rows and in motion."""

from dataclasses import replace

import numpy as np
import pytest

from samerun import data
from samerun.config import Layout, check, compose
from samerun.data.video import DIRECTIONS, moved
from samerun.errors import UserError


def dataset(*overrides, **changes):
    return replace(compose(list(overrides)).config.dataset, **changes)


def pictures(built, split):
    return built.examples(split, range(len(built.labels(split))))


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        pytest.param("digits", (8, 8), id="digits"),
        pytest.param("mnist", (28, 28), id="mnist"),
        pytest.param("fashion_mnist", (28, 28), id="fashion_mnist"),
    ],
)
def test_an_image_seen_as_rows_is_a_sequence_and_nothing_else_changes(kind, shape):
    image, rows = (
        data.describe(dataset(f"dataset={kind}", f"dataset.view={view}"))
        for view in ("image", "rows")
    )
    assert (rows.layout, rows.input_shape) == (Layout.sequence, shape)
    assert replace(rows, layout=Layout.image, input_shape=(*shape, 1)) == image


def test_rows_hold_the_pixels_of_the_image_in_the_same_splits():
    image = data.build(dataset("dataset=digits"), 0)
    rows = data.build(dataset("dataset=digits", "dataset.view=rows"), 0)
    assert rows.spec == data.describe(dataset("dataset=digits", "dataset.view=rows"))
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(pictures(rows, split), pictures(image, split)[..., 0])
    (x, _), (images, _) = next(iter(rows.train)), next(iter(image.train))
    np.testing.assert_array_equal(x, images[..., 0])


def test_rows_are_not_augmented():
    cfg = compose(["dataset.view=rows", "dataset/augmentation=shift", "model=mlp"]).config
    with pytest.raises(UserError, match="augmentation changes images, but digits is sequence"):
        check(cfg, data.describe(cfg.dataset))


def test_a_picture_moves_by_its_step_in_every_frame_and_comes_in_again_opposite():
    picture = np.array([[[1, 2], [3, 4]]])
    clips = moved(picture, np.array([[0, 3]]), np.array([[-1, 1]]), frames=3, side=4)
    expected = np.zeros((3, 4, 4), int)
    expected[0, :2, 3], expected[0, :2, 0] = [1, 3], [2, 4]
    expected[1, [3, 0], 0], expected[1, [3, 0], 1] = [1, 3], [2, 4]
    expected[2, 2:, 1], expected[2, 2:, 2] = [1, 3], [2, 4]
    np.testing.assert_array_equal(clips[0], expected)


@pytest.mark.parametrize("label", ["direction", "digit"])
def test_clips_are_what_they_are_described_as(label):
    overrides = (f"dataset.label={label}", "dataset.frames=5", "dataset.side=12")
    cfg = dataset("dataset=moving_digits", *overrides)
    built = data.build(cfg, 0)
    assert built.spec == data.describe(cfg)
    assert (built.spec.layout, built.spec.input_shape) == (Layout.video, (5, 12, 12, 1))
    assert sum(len(built.labels(split)) for split in built.splits) == 1797
    assert built.class_counts().min() > 100
    x, _ = next(iter(built.train))
    assert x.shape == (32, 5, 12, 12, 1)
    assert float(np.max(x)) == 1


def test_the_direction_is_the_way_from_each_frame_to_the_next():
    built = data.build(dataset("dataset=moving_digits"), 0)
    steps = {"right": (0, 1), "down": (1, 0), "left": (0, -1), "up": (-1, 0)}
    labels = built.labels("test")
    for index, clip in enumerate(pictures(built, "test")[..., 0]):
        overrides = DIRECTIONS[labels[index]].split()
        step = np.sum([steps[word] for word in overrides], axis=0)
        np.testing.assert_array_equal(clip[1:], np.roll(clip[:-1], step, axis=(1, 2)))


def test_one_frame_alone_does_not_reveal_the_direction():
    built = data.build(dataset("dataset=moving_digits", test_fraction=0.0), 0)
    first, labels = pictures(built, "train")[:, 0, ..., 0], built.labels("train")
    rows = first.sum(axis=2) @ np.exp(2j * np.pi * np.arange(16) / 16) / first.sum(axis=(1, 2))
    for direction in range(8):  # mean place on a circle of rows: near 0 if spread evenly
        assert abs(rows[labels == direction].mean()) < 0.2


def test_no_digit_is_in_two_splits():
    built = data.build(dataset("dataset=moving_digits"), 0)

    def drawings(split):
        """Each digit where its own corner is unknown: the sorted pixels of one frame."""
        return {np.sort(clip[0], axis=None).tobytes() for clip in pictures(built, split)}

    train, test = drawings("train"), drawings("test")
    assert len(train) + len(test) > 1500
    assert len(train & test) <= 2  # different drawings of the same pixel values


def test_clips_are_a_function_of_the_split_seed():
    prints = [
        data.build(dataset("dataset=moving_digits", split_seed=split_seed), seed).fingerprint
        for seed, split_seed in ((0, 0), (1, 0), (0, 1))
    ]
    assert prints[0] == prints[1]
    assert all(prints[0][name] != prints[2][name] for name in prints[0])


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        pytest.param("dataset.frames=1", "at least 2", id="frames"),
        pytest.param("dataset.side=7", "at least 8", id="side"),
        pytest.param("dataset.label=speed", "one of direction, digit", id="label"),
    ],
)
def test_clips_that_cannot_be_made_are_refused(word, expected):
    with pytest.raises(UserError, match=expected):
        compose(["dataset=moving_digits", word])
