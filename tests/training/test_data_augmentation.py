"""Augmentation: a function of (seed, epoch, example) that only training images see."""

import dataclasses
import functools
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from samerun import config, data, losses
from samerun.config.datasets.base import Augmentation
from samerun.config.training import Loss, Metric
from samerun.data.augmentation import NUM_MOVES, NUM_VALUES, augment, draws, mix, partners
from support.tables import mostly_slow

NUM = 23
NONE = config.compose(["dataset/augmentation=none"]).config.dataset.augmentation


def only(**changes) -> Augmentation:
    return replace(NONE, **changes)


ALL = only(flip_horizontal=True, flip_vertical=True, rotation=20.0, translation=0.1, zoom=0.1)
EVERYTHING = replace(ALL, contrast=0.3, brightness=0.2, noise=0.1, cutout=0.3, mixup=0.4)
AUGMENTATIONS = {
    "flip_horizontal": only(flip_horizontal=True),
    "flip_vertical": only(flip_vertical=True),
    "rotation": only(rotation=45.0),
    "translation": only(translation=0.3),
    "zoom": only(zoom=0.5),
    "contrast": only(contrast=0.5),
    "brightness": only(brightness=0.3),
    "noise": only(noise=0.1),
    "cutout": only(cutout=0.5),
    "mixup": only(mixup=1.0),
    "all that move pixels": ALL,
    "everything": EVERYTHING,
}
each = pytest.mark.parametrize("cfg", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
some = pytest.mark.parametrize(
    "cfg",
    mostly_slow(AUGMENTATIONS.values(), AUGMENTATIONS["flip_horizontal"], EVERYTHING),
    ids=AUGMENTATIONS,
)


def test_the_table_has_every_augmentation():
    fields = {field.name for field in dataclasses.fields(Augmentation)}
    assert fields <= set(AUGMENTATIONS)
    assert not NONE.is_active
    assert all(cfg.is_active for cfg in AUGMENTATIONS.values())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Noise images, 12×10×3, whose target is the example's own number."""
    path = tmp_path_factory.mktemp("data") / "pictures.npz"
    x = np.random.default_rng(0).integers(0, 256, (NUM, 12, 10, 3)).astype(np.uint8)
    y = np.arange(NUM, dtype=np.float32)
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    cfg = config.compose(["dataset=npz", f"dataset.path={path}"]).config.dataset
    return replace(cfg, validation_fraction=0.0, batch_size=5, augmentation=ALL)


def build(pictures, cfg, seed=0, **changes):
    return data.build(replace(pictures, augmentation=cfg, **changes), seed)


def batches(built, epoch):
    built.set_epoch(epoch)
    return list(built.train.as_numpy_iterator())


@pytest.fixture(scope="module")
def order(pictures):
    """Returns the numbers of the examples in the order of an epoch."""

    @functools.cache
    def of(epoch, batch_size=5):
        plain = build(pictures, NONE, batch_size=batch_size)
        return [int(number) for _, y in batches(plain, epoch) for number in y[:, 0]]

    return of


def by_number(built, epoch, numbers):
    """Returns image and target of each example by its number."""
    pairs = [pair for x, y in batches(built, epoch) for pair in zip(x, y, strict=True)]
    return dict(zip(numbers, pairs, strict=True))


# ---- the contract of all


@some
def test_the_bits_of_training_images_alone_change_by_seed_epoch_and_example(cfg, pictures, order):
    built = build(pictures, cfg)
    first, second = (by_number(built, epoch, order(epoch)) for epoch in (0, 1))
    again = by_number(built, 0, order(0))
    elsewhere = by_number(build(pictures, cfg, batch_size=7), 0, order(0, 7))
    for number in range(NUM):
        for one, same, other_batch in zip(
            first[number], again[number], elsewhere[number], strict=True
        ):
            np.testing.assert_array_equal(one, same)
            np.testing.assert_allclose(one, other_batch, atol=1e-5)  # sines of other vectors
    changed = [not np.array_equal(first[n][0], second[n][0]) for n in range(NUM)]
    is_flip = cfg.moves_pixels and cfg == only(
        flip_horizontal=cfg.flip_horizontal, flip_vertical=cfg.flip_vertical
    )
    assert sum(changed) > (NUM // 4 if is_flip else NUM - 3)
    check_test_split(built)


def check_test_split(built):
    """Its examples are those of every epoch, in their order and without a change."""
    plain = built.preprocessing(built.examples("test", range(NUM)))
    for epoch in (0, 1):
        built.set_epoch(epoch)
        x, y = (np.concatenate(part) for part in zip(*built.test, strict=True))
        np.testing.assert_array_equal(x, plain)
        np.testing.assert_array_equal(y[:, 0], range(NUM))
    assert built.train.element_spec[0].shape.as_list() == [None, 12, 10, 3]


@each
def test_another_seed_is_another_augmentation(cfg):
    images = np.random.default_rng(0).normal(size=(NUM, 6, 5, 2)).astype(np.float32)
    one, other = (
        changed(cfg, images, tf.constant([seed, 0], tf.int64)).tobytes() for seed in (0, 1)
    )
    assert one != other


def changed(cfg, images, key):
    """Returns all images as they are in an epoch."""
    images = augment(cfg, tf.constant(images), draws(cfg, len(images), key))
    if cfg.mixup:
        others, shares = partners(cfg.mixup, len(images), key)
        images = mix(images, tf.gather(images, others), shares)
    return images.numpy()


@pytest.mark.parametrize(
    ("name", "drop_remainder"),
    mostly_slow(
        [("noise", False), ("cutout", True), ("mixup", False), ("everything", True)], "everything"
    ),
)
def test_the_rest_of_an_epoch_is_the_end_of_the_whole_one(name, drop_remainder, pictures):
    built = build(pictures, AUGMENTATIONS[name], seed=3, drop_remainder=drop_remainder)
    whole = batches(built, 2)
    rest = built.train_from(start=2)
    assert rest.element_spec == built.train.element_spec
    for pair, expected in zip(rest, whole[2:], strict=True):
        for part, expected_part in zip(pair, expected, strict=True):
            np.testing.assert_array_equal(part, expected_part)


@each
def test_shape_and_range_of_values_are_kept(cfg):
    images = np.random.default_rng(0).uniform(-2, 3, (64, 9, 7, 2)).astype(np.float32)
    images[0] = 0.25  # a constant image stays what it is
    after = changed(replace(cfg, mixup=0.0), images, tf.constant([0, 0], tf.int64))
    assert after.shape == images.shape
    np.testing.assert_allclose(after[0], 0.25, atol=1e-6)
    for one, other in zip(images, after, strict=True):
        assert one.min() - 1e-5 <= other.min() <= other.max() <= one.max() + 1e-5
    mixed = changed(cfg, images, tf.constant([0, 0], tf.int64))
    assert images.min() - 1e-5 <= mixed.min() <= mixed.max() <= images.max() + 1e-5


# ---- pixels that move


def test_flips_rotations_shifts_and_zooms_have_the_bits_of_version_0_1_0():
    """Numbers that the code of version 0.1.0 gave: recorded runs repeat only with the same ones."""
    for cfg in (ALL, EVERYTHING):  # whatever else is used
        numbers = draws(cfg, 5, tf.constant([3, 2], tf.int64))["moves"].numpy()
        assert [float(number).hex() for number in numbers[4]] == [
            "0x1.613fb80000000p-2",
            "0x1.2694800000000p-4",
            "0x1.efa7400000000p-2",
            "0x1.11a8a00000000p-4",
            "0x1.8008880000000p-1",
            "0x1.b12db80000000p-1",
        ]
    images = (np.arange(5 * 6 * 5 * 2, dtype=np.float32).reshape(5, 6, 5, 2) * 7) % 11
    moved = augment(ALL, tf.constant(images), {"moves": numbers}).numpy()
    row = [6.9322295, 4.8996806, 5.315438, 3.383565, 5.414631]
    np.testing.assert_allclose(moved[4, 2, :, 0], row, atol=1e-5)  # sines may round differently
    assert moved.sum() == pytest.approx(1499.9202, abs=1e-2)


def test_each_picture_is_changed_by_its_own_row_of_the_epochs_numbers(pictures, order):
    built = build(pictures, ALL)
    plain = built.preprocessing(built.examples("train", range(NUM)))
    expected = changed(ALL, plain, tf.constant([0, 2], tf.int64))
    for number, (image, _) in by_number(built, 2, order(2)).items():
        np.testing.assert_allclose(image, expected[number], atol=1e-5)


IMAGE = np.arange(5 * 4, dtype=np.float32).reshape(1, 5, 4, 1)


@pytest.mark.parametrize(
    ("cfg", "place", "number", "expected"),
    [
        pytest.param(only(flip_horizontal=True), 0, 0.0, IMAGE[:, :, ::-1], id="mirror"),
        pytest.param(only(flip_horizontal=True), 0, 0.9, IMAGE, id="no mirror"),
        pytest.param(only(flip_vertical=True), 1, 0.0, IMAGE[:, ::-1], id="upside down"),
        pytest.param(only(translation=0.25), 4, 1.0, IMAGE[:, :, [1, 2, 3, 3]], id="x shift"),
        pytest.param(only(translation=0.2), 5, 0.0, IMAGE[:, [0, 0, 1, 2, 3]], id="y shift"),
        pytest.param(only(zoom=0.5), 3, 0.5, IMAGE, id="no zoom"),
    ],
)
def test_a_change_of_known_size_moves_pixels_where_it_should(cfg, place, number, expected):
    numbers = np.full((1, NUM_MOVES), 0.5, np.float32)
    numbers[0, place] = number
    changed = augment(cfg, tf.constant(IMAGE), {"moves": numbers})
    np.testing.assert_allclose(changed, expected, atol=1e-5)


def test_a_quarter_turn_is_a_quarter_turn_and_a_zoom_by_two_doubles():
    square = np.random.default_rng(0).normal(size=(1, 7, 7, 1)).astype(np.float32)
    numbers = np.full((1, NUM_MOVES), 0.5, np.float32)
    numbers[0, 2] = 1.0
    turned = augment(only(rotation=90.0), tf.constant(square), {"moves": numbers}).numpy()
    np.testing.assert_allclose(turned[0], np.rot90(square[0]), atol=1e-4)
    numbers[0, 2:4] = 0.5, 0.0
    halved = augment(only(zoom=0.5), tf.constant(square), {"moves": numbers}).numpy()
    np.testing.assert_allclose(halved[0, 2:5, 2:5], square[0, 1:6:2, 1:6:2], atol=1e-5)


def test_flips_happen_half_of_the_time_and_both_kinds_are_independent():
    numbers = draws(ALL, 4000, tf.constant([5, 6], tf.int64))["moves"].numpy()
    flips = numbers[:, :2] < 0.5
    assert np.abs(flips.mean(axis=0) - 0.5).max() < 0.04  # 5 standard deviations
    assert abs(np.mean(flips[:, 0] == flips[:, 1]) - 0.5) < 0.04
    assert (numbers >= 0).all()
    assert (numbers < 1).all()


# ---- values


def revalued(cfg, image, place=0, number=0.5):
    numbers = np.full((1, NUM_VALUES), 0.5, np.float32)
    numbers[0, place] = number
    return augment(cfg, tf.constant(image[None]), {"values": numbers}).numpy()[0]


GRAY = np.array([0.0, 0.4, 0.6, 1.0], np.float32).reshape(2, 2, 1)


@pytest.mark.parametrize(
    ("cfg", "place", "number", "expected"),
    [
        pytest.param(only(brightness=0.5), 1, 0.9, [0.4, 0.8, 1.0, 1.0], id="brighter"),
        pytest.param(only(brightness=0.5), 1, 0.1, [0.0, 0.0, 0.2, 0.6], id="darker"),
        pytest.param(only(brightness=0.5), 1, 0.5, [0.0, 0.4, 0.6, 1.0], id="as bright"),
        pytest.param(only(contrast=0.5), 0, 0.0, [0.25, 0.45, 0.55, 0.75], id="less contrast"),
        pytest.param(only(contrast=0.5), 0, 1.0, [0.0, 0.35, 0.65, 1.0], id="more contrast"),
    ],
)
def test_a_change_of_known_size_has_these_values(cfg, place, number, expected):
    for scale, offset in ((1.0, 0.0), (7.0, -3.0)):  # the same under any normalization
        after = revalued(cfg, GRAY * scale + offset, place, number)
        np.testing.assert_allclose((after.ravel() - offset) / scale, expected, atol=1e-6)


def test_noise_has_its_standard_deviation_and_each_pixel_its_own_number():
    images = np.full((3, 50, 40, 2), 0.5, np.float32)
    images[:, 0, :2, 0] = 0.0, 1.0  # the range
    cfg = only(noise=0.1)
    noise = changed(cfg, images, tf.constant([1, 1], tf.int64)) - images
    assert noise.std() == pytest.approx(0.1, rel=0.05)
    assert abs(noise.mean()) < 0.01
    apart = [noise[0, 2:].ravel(), noise[1, 2:].ravel(), noise[0, 2:, ::-1].ravel()]
    correlated = np.corrcoef([*apart, np.roll(apart[0], 2), noise[0, 2:, :, ::-1].ravel()])
    assert np.abs(correlated - np.eye(5))[:3, :3].max() < 0.1


# ---- masks


@pytest.mark.parametrize(
    ("fraction", "row", "column", "rows", "columns"),
    [
        pytest.param(0.5, 0.5, 0.5, range(2, 6), range(2, 5), id="inside"),
        pytest.param(0.5, 0.0, 0.99, range(2), range(4, 6), id="partly outside"),
        pytest.param(0.01, 0.5, 0.5, [4], [3], id="one pixel at least"),
    ],
)
def test_a_mask_covers_its_share_around_any_pixel(fraction, row, column, rows, columns):
    image = np.random.default_rng(0).normal(size=(8, 6, 2)).astype(np.float32)
    numbers = np.array([[0.5, 0.5, row, column]], np.float32)
    cfg = only(cutout=fraction)
    after = augment(cfg, tf.constant(image[None]), {"values": numbers}).numpy()[0]
    covered = np.zeros((8, 6), bool)
    covered[np.ix_(list(rows), list(columns))] = True
    np.testing.assert_array_equal(after[~covered], image[~covered])
    for channel, mean in enumerate(image.mean(axis=(0, 1))):
        np.testing.assert_allclose(after[covered][:, channel], mean, atol=1e-6)


# ---- mixed examples


def test_two_examples_are_mixed_with_their_shares_and_so_are_their_targets(pictures, order):
    cfg = replace(EVERYTHING, noise=0.0)
    mixed = by_number(build(pictures, cfg), 1, order(1))
    parts = by_number(build(pictures, replace(cfg, mixup=0.0)), 1, order(1))
    others, shares = (
        values.numpy() for values in partners(cfg.mixup, NUM, tf.constant([0, 1], tf.int64))
    )
    assert sorted(others) == list(range(NUM))
    for number, (image, target) in mixed.items():
        share, other = shares[number], int(others[number])
        for part, whole in enumerate((image, target)):
            expected = share * parts[number][part] + (1 - share) * parts[other][part]
            np.testing.assert_allclose(whole, expected, atol=1e-5)


@pytest.mark.parametrize("alpha", mostly_slow([0.001, 0.2, 1.0, 8.0], 0.2))
def test_shares_are_of_a_beta_distribution(alpha):
    _, shares = partners(alpha, 20_000, tf.constant([1, 2], tf.int64))
    shares = shares.numpy().astype(np.float64)
    assert ((shares >= 0) & (shares <= 1)).all()
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.005)


def test_labels_of_classes_become_shares_in_training_only():
    overrides = ["dataset.limit=40", "dataset/augmentation=mixup", "dataset.batch_size=40"]
    built = data.build(config.compose(overrides).config.dataset, 0)
    (_, shares), (_, labels) = next(iter(built.train)), next(iter(built.validation))
    assert (shares.shape, shares.dtype) == ((40, 10), tf.float32)
    np.testing.assert_allclose(tf.reduce_sum(shares, axis=1), 1.0, atol=1e-6)
    assert ((shares.numpy() > 0).sum(axis=1) <= 2).all()
    assert (labels.shape, labels.dtype) == ((40,), tf.int32)


MIXUP = config.compose(["dataset/augmentation=mixup"]).config
MANY = data.describe(MIXUP.dataset)
TWO = replace(MANY, task="binary", num_outputs=1, class_names=("cat", "dog"))


def with_training(**changes):
    return replace(MIXUP, training=replace(MIXUP.training, **changes))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", ["categorical_crossentropy", "categorical_focal_crossentropy"])
def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses(name, smoothing):
    cfg = with_training(loss=Loss[name], label_smoothing=smoothing)
    loss = losses.loss(cfg, MANY)
    predicted = tf.nn.softmax(np.random.default_rng(0).normal(size=(6, 10)).astype(np.float32))
    labels, others = np.arange(6), np.arange(6)[::-1].copy()
    shares = np.linspace(0, 1, 6, dtype=np.float32)
    mixed = mix(tf.one_hot(labels, 10), tf.one_hot(others, 10), shares)
    one, other = (loss.call(tf.constant(y), predicted).numpy() for y in (labels, others))
    expected = shares * one + (1 - shares) * other
    np.testing.assert_allclose(loss.call(mixed, predicted), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (MANY, "accuracy"),
        (MANY, "top_3_accuracy"),
        (TWO, "accuracy"),
        (TWO, "auc"),
        (TWO, "precision"),
        (TWO, "recall"),
    ],
)
def test_a_metric_counts_the_class_of_the_larger_share(spec, name):
    random = np.random.default_rng(0)
    cfg = with_training(metrics=[Metric[name]])
    plain = replace(cfg, dataset=replace(cfg.dataset, augmentation=NONE))
    (metric,), (usual,) = losses.metrics(cfg, spec), losses.metrics(plain, spec)
    predicted = random.random((30, spec.num_outputs)).astype(np.float32)
    labels = random.integers(0, len(spec.class_names), 30)
    targets = labels[:, None].astype(np.float32) if spec is TWO else labels.astype(np.int32)
    usual.update_state(targets, predicted)
    metric.update_state(targets, predicted)  # as in validation
    assert metric.name == usual.name
    assert float(metric.result()) == float(usual.result())
    metric.reset_state()
    rows = targets if spec is TWO else tf.one_hot(targets, 10)
    metric.update_state(mix(rows, rows[::-1], np.full(30, 0.7, np.float32)), predicted)
    assert float(metric.result()) == float(usual.result())
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert again.get_config() == metric.get_config()
