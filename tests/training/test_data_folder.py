"""A folder of images: described by file names, decoded during training, refused in one sentence."""

import os
import shutil
import zlib
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from samerun import data
from samerun.config import Layout, Task, compose
from samerun.config.datasets.base import Normalization
from samerun.errors import UserError
from samerun.raw_model.image_files import damage
from support.tables import mostly_slow

HEIGHT, WIDTH, NUM = 6, 5, 20
CLASSES = ("cat", "dog", "owl")


def folder_of(path, **changes):
    overrides = ["dataset=image_folder", f"dataset.path='{path}'", "dataset.batch_size=4"]
    cfg = compose(overrides).config.dataset
    return replace(cfg, **{"height": HEIGHT, "width": WIDTH, **changes})


def pixels(number, height=HEIGHT, width=WIDTH, channels=3):
    return np.random.default_rng(number).integers(0, 256, (height, width, channels), np.uint8)


def png(number, **shape):
    return tf.io.encode_png(pixels(number, **shape)).numpy()


def jpeg(number, **shape):
    return tf.io.encode_jpeg(pixels(number, **shape), quality=95).numpy()


def fill(path, classes=CLASSES, num=NUM, first=0):
    """Writes `num` noise pictures for each class, with the picture's number in its name."""
    for label, name in enumerate(classes):
        (path / name).mkdir(parents=True)
        for index in range(num):
            number = first + label * num + index
            (path / name / f"{number:03}.png").write_bytes(png(number))
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Is only read."""
    return fill(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture
def pictures(original, tmp_path):
    """A copy to be changed."""
    return shutil.copytree(original, tmp_path / "pictures")


@pytest.fixture(scope="module")
def plain(original):
    """Is only read."""
    return data.build(folder_of(original), 0)


def numbers(built, split):
    return [int(os.path.basename(name)[:3]) for name in built.splits[split].x.tolist()]


def test_a_folder_is_described_as_it_is_built_and_streamed(original):
    cfg = folder_of(original, normalization=Normalization.none)
    built = data.build(cfg, 0)
    assert built.spec == data.describe(cfg)
    assert (built.spec.task, built.spec.layout) == (Task.multiclass, Layout.image)
    assert (built.spec.input_shape, built.spec.class_names) == ((HEIGHT, WIDTH, 3), CLASSES)
    assert (built.spec.num_train, built.spec.num_validation, built.spec.num_test) == (43, 5, 12)
    seen = []
    for split in ("train", "validation", "test"):
        order = numbers(built, split)
        assert built.labels(split).tolist() == [number // NUM for number in order]
        seen += order
        raw = built.examples(split, range(len(order)))
        assert raw.dtype == np.uint8
        np.testing.assert_array_equal(raw, [pixels(number) for number in order])
    assert sorted(seen) == list(range(3 * NUM))
    x, y = next(iter(built.test))
    assert (x.dtype, y.dtype) == ("float32", "int32")
    np.testing.assert_array_equal(x, [pixels(number) for number in numbers(built, "test")[:4]])
    np.testing.assert_array_equal(y, built.labels("test")[:4])


def test_classes_have_equal_shares_in_every_split(plain):
    assert np.bincount(plain.labels("test")).tolist() == [4, 4, 4]
    assert np.ptp(np.bincount(plain.labels("train"))) <= 1


def test_the_batches_have_a_static_shape(original):
    built = data.build(folder_of(original, drop_remainder=True), 0)
    assert built.train.element_spec[0].shape == (4, HEIGHT, WIDTH, 3)
    assert built.test.element_spec[0].shape == (4, HEIGHT, WIDTH, 3)


def epoch_of(built, epoch):
    built.set_epoch(epoch)
    return [x.tobytes() for x, _ in built.train.unbatch().as_numpy_iterator()]


def test_the_order_is_a_function_of_seed_and_epoch(original, plain):
    again, other = (data.build(folder_of(original), seed) for seed in (0, 1))
    first, second = epoch_of(plain, 0), epoch_of(plain, 1)
    assert first != second
    assert sorted(first) == sorted(second)
    assert epoch_of(again, 1) == second  # without having seen epoch 0
    assert epoch_of(other, 0) != first
    assert epoch_of(plain, 0) == first


def test_only_training_pictures_are_augmented(original, plain):
    overrides = ["dataset/augmentation=flip_rotate_shift", f"dataset.path={original}"]
    augmentation = compose(["dataset=image_folder", *overrides]).config.dataset.augmentation
    built = data.build(folder_of(original, augmentation=augmentation), 0)
    assert epoch_of(built, 0) != epoch_of(plain, 0)
    assert epoch_of(built, 0) == epoch_of(built, 0)
    for name in ("validation", "test"):
        for (x, _), (expected, _) in zip(getattr(built, name), getattr(plain, name), strict=True):
            np.testing.assert_array_equal(x, expected)


def test_unit_divides_by_255(plain):
    x, _ = next(iter(plain.test))
    np.testing.assert_array_equal(x, plain.examples("test", range(4)) / np.float32(255))


def test_standard_is_measured_on_the_training_pictures_alone(original):
    built = data.build(folder_of(original, normalization=Normalization.standard), 0)
    train = np.stack([pixels(number) for number in numbers(built, "train")]).astype(float)
    axes = (0, 1, 2)
    np.testing.assert_allclose(built.preprocessing.offset, train.mean(axes), rtol=1e-6)
    np.testing.assert_allclose(built.preprocessing.scale, train.std(axes), rtol=1e-6)
    everything = np.stack([pixels(number) for number in range(3 * NUM)])
    assert np.abs(built.preprocessing.offset - everything.mean(axes)).min() > 1e-3


def test_pictures_of_other_sizes_are_stretched(tmp_path):
    for name, value in (("dark", 10), ("light", 200)):
        (tmp_path / name).mkdir()
        for index in range(4):
            picture = np.full((9 + index, 17, 3), value, np.uint8)
            picture[:, :8] += 40
            (tmp_path / name / f"{index}.png").write_bytes(tf.io.encode_png(picture).numpy())
    cfg = folder_of(tmp_path, test_fraction=0.0, validation_fraction=0.0, width=3)
    built = data.build(cfg, 0)
    assert (built.spec.task, built.spec.num_outputs) == (Task.binary, 1)
    raw = built.examples("train", range(8))
    assert raw.shape == (8, HEIGHT, 3, 3)
    np.testing.assert_array_equal(raw[:4, :, [0, 2]].mean(axis=(0, 1, 3)), [50, 10])
    np.testing.assert_array_equal(raw[4:, :, [0, 2]].mean(axis=(0, 1, 3)), [240, 200])


def test_jpeg_grey_and_transparent_pictures_are_read(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.JPG").write_bytes(jpeg(1))
        (tmp_path / name / "2.jpeg").write_bytes(jpeg(2, channels=1))
        (tmp_path / name / "3.png").write_bytes(png(3, channels=1))
        (tmp_path / name / "4.png").write_bytes(png(4, channels=4))
        (tmp_path / name / ".hidden").write_text("left alone")
        (tmp_path / name / "Thumbs.db").write_text("left alone")
    (tmp_path / "README.txt").write_text("left alone")
    for channels in (1, 3):
        cfg = folder_of(tmp_path, channels=channels, test_fraction=0.0, validation_fraction=0.0)
        built = data.build(cfg, 0)
        raw = built.examples("train", range(4))
        assert raw.shape == (4, HEIGHT, WIDTH, channels)
        if channels == 3:
            expected = tf.io.decode_jpeg(jpeg(1), dct_method="INTEGER_ACCURATE")
            np.testing.assert_array_equal(raw[0], expected)
            np.testing.assert_array_equal(raw[2], np.repeat(pixels(3, channels=1), 3, axis=2))
            np.testing.assert_array_equal(raw[3], pixels(4, channels=4)[..., :3])


def test_train_and_test_folders_are_an_official_split(tmp_path):
    fill(tmp_path / "train")
    fill(tmp_path / "test", classes=("dog", "owl"), num=3, first=100)
    cfg = folder_of(tmp_path, test_fraction=0.5)
    built = data.build(cfg, 0)
    assert built.spec == data.describe(cfg)
    assert (built.spec.num_train, built.spec.num_validation, built.spec.num_test) == (54, 6, 6)
    assert numbers(built, "test") == list(range(100, 106))
    assert built.labels("test").tolist() == [1, 1, 1, 2, 2, 2]
    np.testing.assert_array_equal(built.examples("test", [4]), [pixels(104)])


def test_a_limit_reads_no_more_than_it_takes(pictures):
    chosen = data.build(folder_of(pictures, limit=9), 0)
    names = set(np.concatenate([split.x for split in chosen.splits.values()]).tolist())
    for path in pictures.rglob("*.png"):
        if os.fsencode(path.relative_to(pictures)) not in names:
            path.write_bytes(path.read_bytes()[:8])
    assert data.build(folder_of(pictures, limit=9), 0).fingerprint == chosen.fingerprint


def test_content_and_names_are_in_the_fingerprint_of_their_split_and_the_place_is_not(
    pictures, tmp_path
):
    built = data.build(folder_of(pictures), 0)
    moved = shutil.copytree(pictures, tmp_path / "elsewhere")
    assert data.build(folder_of(moved), 0).fingerprint == built.fingerprint
    name = os.fsdecode(built.splits["test"].x[3])
    (moved / name).write_bytes(png(999))
    one_byte = data.build(folder_of(moved), 0).fingerprint
    assert [
        split for split in built.fingerprint if one_byte[split] != built.fingerprint[split]
    ] == ["test"]
    (pictures / name).rename((pictures / name).with_suffix(".jpeg"))
    renamed = data.build(folder_of(pictures), 0).fingerprint
    assert renamed["test"] != built.fingerprint["test"]
    assert renamed["train"] == built.fingerprint["train"]


def test_the_same_picture_in_training_and_test_is_counted(pictures):
    built = data.build(folder_of(pictures), 0)
    assert built.num_leaked == 0
    train, test = (pictures / os.fsdecode(built.splits[split].x[0]) for split in ("train", "test"))
    shutil.copy(train, test)
    assert data.build(folder_of(pictures), 0).num_leaked == 1


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def no_size(path):
    """A JPEG file whose frame has become a comment."""
    content = jpeg(0)
    place = content.index(b"\xff\xc0")
    path.write_bytes(content[:place] + b"\xff\xfe" + content[place + 2 :])


DAMAGED_AT_ONCE = [
    pytest.param(lambda path: path.write_bytes(b""), "is empty", id="empty"),
    pytest.param(lambda path: path.write_text("GIF89a"), "neither a JPEG nor a PNG", id="other"),
    pytest.param(
        lambda path: path.rename(path.with_suffix(".gif")), "expected only .jpg", id="gif"
    ),
    pytest.param(lambda path: (path.parent / "deeper").mkdir(), "expected only .jpg", id="nested"),
]
DAMAGED_INSIDE = [
    pytest.param(cut, "is a truncated PNG file", id="cut PNG"),
    pytest.param(flip, "checksum of its chunk", id="one flipped bit"),
    pytest.param(lambda p: p.write_bytes(jpeg(0)[:-9]), "truncated JPEG file", id="cut JPEG"),
    pytest.param(lambda p: p.write_bytes(jpeg(0)[:90]), "truncated JPEG file", id="short"),
    pytest.param(no_size, "does not state its size", id="JPEG without its frame"),
    pytest.param(
        lambda p: p.write_bytes(jpeg(0).replace(b"\xff\xdb", b"\x00\xdb", 1)),
        "should start a segment", id="JPEG with a broken part",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("harm", "message"), DAMAGED_AT_ONCE)
def test_what_is_no_picture_by_its_first_bytes_is_refused_when_described(harm, message, pictures):
    harm(pictures / "dog" / "025.png")
    with pytest.raises(UserError, match=message) as caught:
        data.describe(folder_of(pictures))
    assert str(pictures / "dog") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("harm", "message"), mostly_slow(DAMAGED_INSIDE, "one flipped bit", "cut JPEG")
)
def test_a_damaged_picture_is_named_before_training(harm, message, pictures):
    path = pictures / "dog" / "025.png"
    harm(path)
    with pytest.raises(UserError, match=message) as caught:
        data.build(folder_of(pictures), 0)
    assert f"dataset.path: {path}: " in str(caught.value)


def test_whole_pictures_of_every_kind_show_no_damage():
    for make in (png, jpeg):
        for number, channels in enumerate((1, 3)):
            assert damage(make(number, height=40, width=30, channels=channels)) is None
    progressive = tf.io.encode_jpeg(pixels(0, 64, 64), progressive=True).numpy()
    assert damage(progressive) is None


def undecodable(path):
    """A PNG file whose parts and checksums are right, and whose pixels are no zlib stream."""
    content = path.read_bytes()
    place = content.index(b"IDAT")
    length = int.from_bytes(content[place - 4 : place], "big")
    part = b"IDAT" + b"\x00" * length
    end = place + 4 + length
    checksum = zlib.crc32(part).to_bytes(4, "big")
    path.write_bytes(content[:place] + part + checksum + content[end + 4 :])


@pytest.mark.parametrize(
    ("harm", "message"),
    mostly_slow(
        [
            pytest.param(undecodable, "cannot be decoded", id="no pixels"),
            pytest.param(lambda path: path.unlink(), "cannot be read: No such file", id="gone"),
            pytest.param(cut, "truncated", id="cut off"),
        ],
        "no pixels",
    ),
)
def test_a_picture_that_fails_in_the_midst_of_an_epoch_is_named(harm, message, pictures):
    built = data.build(folder_of(pictures), 0)
    path = pictures / os.fsdecode(built.splits["train"].x[30])
    harm(path)
    with pytest.raises(UserError, match=message) as caught, built.reading():
        for _ in built.train:
            pass
    assert str(path) in str(caught.value)


def test_errors_of_a_model_are_left_alone_while_reading(plain):
    with pytest.raises(tf.errors.InvalidArgumentError), plain.reading():
        tf.linalg.inv(tf.zeros((2, 3)))


def link(path, target):
    path.symlink_to(target, target_is_directory=target.is_dir())


PARTS = {"cat": "train", "dog": "test", "owl": "val"}
WRONG = [
    pytest.param(lambda p: shutil.rmtree(p), "there is none at /", id="no folder"),
    pytest.param(lambda p: (p / "elk").mkdir(), "elk: holds no .jpg", id="empty class"),
    pytest.param(
        lambda p: [shutil.rmtree(p / name) for name in ("dog", "owl")],
        r"1 subfolders with images \(cat\)", id="one class",
    ),
    pytest.param(
        lambda p: [shutil.rmtree(p / name) for name in CLASSES], "holds 0 subfolders", id="nothing"
    ),
    pytest.param(
        lambda p: (p / "cat" / "001.png").rename(p / "001.png"),
        "outside the class folders", id="loose",
    ),
    pytest.param(
        lambda p: [*(path.rename(p / path.name) for path in (p / "cat").iterdir()),
                   *(shutil.rmtree(p / name) for name in CLASSES)],
        "is in no class folder, .* dataset.path=/", id="one class folder",
    ),
    pytest.param(
        lambda p: [path.unlink() for path in sorted((p / "cat").iterdir())[1:]],
        "class cat has 1 example", id="class of one",
    ),
    pytest.param(
        lambda p: [(p / old).rename(p / new) for old, new in PARTS.items()],
        "holds val besides train and test", id="a third part",
    ),
    pytest.param(lambda p: link(p / "cat/x.png", p.parent / "o.png"), "outside", id="file link"),
    pytest.param(lambda p: link(p / "elk", p.parent), "links to .* outside", id="folder link"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), mostly_slow(WRONG, "no folder", "folder link"))
def test_a_wrong_folder_is_one_sentence(change, message, pictures):
    (pictures.parent / "o.png").write_bytes(png(0))
    change(pictures)
    for act in (data.describe, lambda cfg: data.build(cfg, 0)):
        with pytest.raises(UserError, match=message) as caught:
            act(folder_of(pictures))
        assert "\n" not in str(caught.value)


def test_a_test_folder_with_a_class_of_its_own_is_refused(tmp_path):
    fill(tmp_path / "train", num=4)
    fill(tmp_path / "test", classes=("dog", "elk"), num=2)
    with pytest.raises(UserError, match="test: holds elk, which train does not"):
        data.describe(folder_of(tmp_path))


def test_a_link_inside_the_folder_is_followed(pictures):
    link(pictures / "cat" / "again.png", pictures / "cat" / "001.png")
    assert data.describe(folder_of(pictures)).num_train == 44


def test_other_channels_are_refused(original):
    with pytest.raises(UserError, match="dataset.channels: received 2, expected 1 .* or 3"):
        data.describe(folder_of(original, channels=2))
