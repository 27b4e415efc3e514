"""A user's own image folder: one subfolder per class, read and decoded during training."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from samerun.config import Layout, Task
from samerun.config.datasets import Dataset
from samerun.config.datasets.base import Normalization
from samerun.config.datasets.images import ImageFolder
from samerun.data.image_files import MOST_BYTES, NUM_MAGIC_BYTES, damage, is_image
from samerun.data.preprocessing import Preprocessing, scaling_by
from samerun.data.source import Array, Outline, Source, SourceKind, Split, Stream
from samerun.data.splits import check_can_stratify, split_sizes
from samerun.errors import UserError, listed

ENDINGS = (".jpg", ".jpeg", ".png")
PARTS = ("train", "test")
_OF_THE_DESKTOP = {"thumbs.db", "desktop.ini"}
_BLOCK = 32  # images at a time while fitting the scaling


@dataclass(frozen=True)
class _Files:
    """Images and their classes: names relative to the folder, ordered by class and name."""

    classes: tuple[str, ...]
    names: Array
    labels: Array


def _error(path: str | Path, sentence: str) -> UserError:
    return UserError(f"dataset.path: {path}: {sentence}")


def _root(cfg: ImageFolder) -> Path:
    path = Path(cfg.path).expanduser()
    if not path.is_dir():
        raise UserError(
            f"dataset.path: received '{cfg.path}', expected a folder with one subfolder per class: "
            f"there is none at {path.absolute()}."
        )
    return path.resolve()


def _entries(folder: str | Path, root: Path) -> Iterator[os.DirEntry[str]]:
    """Visible entries of a folder, by name; refuses links that lead outside."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise _error(folder, f"cannot be read: {error.strerror}.") from error
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _OF_THE_DESKTOP:
            continue
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
            raise _error(
                entry.path,
                f"links to {Path(entry.path).resolve()}, outside the folder, expected images "
                "inside it: copy them there.",
            )
        yield entry


def _images(folder: str, root: Path) -> Iterator[str]:
    """Paths of the images of a class, each with the signature of an image file."""
    for entry in _entries(folder, root):
        if entry.is_dir() or not entry.name.lower().endswith(ENDINGS):
            raise _error(
                entry.path,
                f"expected only {listed(ENDINGS)} files in the folder of a class: move it "
                "elsewhere or convert it.",
            )
        if not entry.is_file():  # opening a pipe would block
            raise _error(entry.path, "is not a regular file, expected an image: remove it.")
        try:
            with open(entry.path, "rb", buffering=0) as file:
                beginning = file.read(NUM_MAGIC_BYTES)
        except OSError as error:
            raise _error(entry.path, f"cannot be read: {error.strerror}.") from error
        if not is_image(beginning):
            raise _error(entry.path, f"{damage(beginning)}: replace or remove it.")
        yield entry.path


def _class_folders(folder: Path, root: Path) -> list[os.DirEntry[str]]:
    folders = []
    for entry in _entries(folder, root):
        if entry.is_dir():
            folders.append(entry)
        elif entry.name.lower().endswith(ENDINGS):
            raise _error(entry.path, "is an image outside the class folders: move it into one.")
    return folders


def _files(folder: Path, root: Path) -> _Files:
    classes, names, labels = [], [], []
    for label, entry in enumerate(_class_folders(folder, root)):
        found = [os.path.relpath(path, root) for path in _images(entry.path, root)]
        if not found:
            raise _error(
                entry.path, f"holds no {listed(ENDINGS)} file: add images or remove the folder."
            )
        classes.append(entry.name)
        names += found
        labels += [label] * len(found)
    if len(classes) < 2:
        raise _error(
            folder,
            f"holds {len(classes)} subfolders with images{f' ({classes[0]})' if classes else ''}"
            ", expected one for each of two or more classes.",
        )
    encoded = np.array([os.fsencode(name) for name in names])
    return _Files(tuple(classes), encoded, np.array(labels, np.int64))


def _parts(root: Path) -> tuple[_Files, _Files | None]:
    folders = [entry.name for entry in _class_folders(root, root)]
    if not set(PARTS) <= set(folders):
        return _files(root, root), None
    if others := sorted(set(folders) - set(PARTS)):
        raise _error(
            root,
            f"holds {listed(others)} besides train and test, expected either only train and test "
            "(validation_fraction of train is held out for validation) or one folder per class.",
        )
    train, test = (_files(root / part, root) for part in PARTS)
    if unknown := sorted(set(test.classes) - set(train.classes)):
        raise _error(root / "test", f"holds {listed(unknown)}, which train does not.")
    labels = np.array([train.classes.index(name) for name in test.classes])[test.labels]
    return train, _Files(train.classes, test.names, labels)


def _outline(cfg: ImageFolder, train: _Files, test: _Files | None) -> Outline:
    if cfg.channels not in (1, 3):
        raise UserError(
            f"dataset.channels: received {cfg.channels}, expected 1 for grayscale or 3 for color."
        )
    num_classes = len(train.classes)
    sizes = split_sizes(cfg, len(train.names), len(test.names) if test else None)
    names = np.array(train.classes)[train.labels]
    if test is None:
        check_can_stratify(names, sizes.test, "test")
    else:
        check_can_stratify(names, sizes.validation, "validation")
    return Outline(
        task=Task.binary if num_classes == 2 else Task.multiclass,
        layout=Layout.image,
        input_shape=(cfg.height, cfg.width, cfg.channels),
        num_outputs=1 if num_classes == 2 else num_classes,
        class_names=train.classes,
        num_examples=len(train.names),
        num_official_test=len(test.names) if test else None,
    )


def outline_image_folder(cfg: ImageFolder) -> Outline:
    """Returns the outline of the folder, from the names and first bytes of its files.

    Raises:
        UserError: the folder is missing, has fewer than two classes, or a file is not an image.
    """
    return _outline(cfg, *_parts(_root(cfg)))


def load_image_folder(cfg: ImageFolder) -> Source:
    """Returns the names of the images and how to read them.

    Raises:
        UserError: see `outline_image_folder`.
    """
    root = _root(cfg)
    train, test = _parts(root)
    outline = _outline(cfg, train, test)
    decode = partial(_decode, os.fsencode(root), (cfg.height, cfg.width, cfg.channels))
    is_measured = cfg.normalization is Normalization.standard
    return Source(
        outline=outline,
        examples=Split(train.names, train.labels),
        official_test=Split(test.names, test.labels) if test else None,
        largest=255.0,
        measure=partial(_standard, decode) if is_measured else None,
        stream=Stream(
            digest=partial(_digest, root), decode=decode, damage=partial(_damage, root, decode)
        ),
    )


def _digest(root: Path, name: bytes) -> bytes:
    """Reads a file once, which also detects most kinds of damage before training."""
    path = root / os.fsdecode(name)
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise _error(path, f"has {size} bytes, expected at most {MOST_BYTES}: make it smaller.")
        content = path.read_bytes()
    except OSError as error:
        raise _error(path, f"cannot be read: {error.strerror}.") from error
    if wrong := damage(content):
        raise _error(path, f"{wrong}: replace or remove it.")
    return hashlib.sha256(content).digest()


def _decode(root: bytes, shape: tuple[int, int, int], names: Any) -> Any:
    """Reads images, in the graph.

    Args:
        root: the folder.
        shape: height, width and channels. An image of another size is resized to it, bilinearly
            and with antialiasing when shrinking.
        names: string tensor `(n,)`.

    Returns:
        uint8 `(n, height, width, channels)`.
    """
    import tensorflow as tf

    height, width, channels = shape

    def stretched(image: Any) -> Any:
        resized = tf.image.resize(image, (height, width), antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)

    def read(name: Any) -> Any:
        content = tf.io.read_file(tf.strings.join([root, name], os.sep))
        # Also reads PNG files. The default method, "", depends on the system.
        image = tf.io.decode_jpeg(content, channels=channels, dct_method="INTEGER_ACCURATE")
        has_shape = tf.reduce_all(tf.shape(image) == shape)
        return tf.ensure_shape(tf.cond(has_shape, lambda: image, lambda: stretched(image)), shape)

    images = tf.map_fn(read, names, fn_output_signature=tf.TensorSpec(shape, tf.uint8))
    return tf.ensure_shape(images, (names.shape[0], *shape))


def _damage(root: Path, decode: Any, names: Array) -> UserError | None:
    """Finds the file that could not be read, after reading has failed."""
    import tensorflow as tf

    for name in names.tolist():
        try:
            _digest(root, name)
            decode(tf.constant([name]))
        except UserError as error:
            return error
        except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError):
            return _error(root / os.fsdecode(name), "cannot be decoded: replace or remove it.")
    return None


def _standard(decode: Any, names: Array) -> Preprocessing:
    """Fits mean and standard deviation per channel, in one pass over all training images.

    Sums of integers are exact, so they do not depend on the order.
    """
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(names).batch(_BLOCK)
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    num, total, squares = 0, np.zeros((), np.int64), np.zeros((), np.int64)
    for images in dataset.as_numpy_iterator():
        pixels = images.reshape(-1, images.shape[-1])
        num += len(pixels)
        total = total + pixels.sum(axis=0, dtype=np.int64)
        squares = squares + np.square(pixels, dtype=np.int64).sum(axis=0)
    mean = total / num
    return scaling_by(mean, np.sqrt(squares / num - np.square(mean)))


SOURCES: dict[type[Dataset], SourceKind] = {
    ImageFolder: SourceKind(outline=outline_image_folder, load=load_image_folder),
}
