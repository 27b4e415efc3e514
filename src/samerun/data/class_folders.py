"""Folders with one subfolder per class, of images or of clips: what is in them, by name."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from samerun.config import Layout, Task
from samerun.config.datasets.base import Normalization
from samerun.config.datasets.images import ImageFolder, VideoFolder
from samerun.data.preprocessing import Preprocessing, scaling_by
from samerun.data.source import Array, Outline, Source, Split, Stream
from samerun.data.splits import check_classes, split_sizes
from samerun.errors import UserError, listed
from samerun.raw_model.image_files import MOST_BYTES, NUM_MAGIC_BYTES, damage, is_image

IMAGES = (".jpg", ".jpeg", ".png")
"""Endings of the image files that are read."""
PARTS = ("train", "test")
_OF_THE_DESKTOP = {"thumbs.db", "desktop.ini"}
_BLOCK = 32  # examples at a time while fitting the scaling


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What the folder of a class holds.

    Args:
        noun: what one example is, in the plural: `images`.
        endings: of the files that are examples.
        find: yields the paths of the examples in the folder of a class, given it and the root.
    """

    noun: str
    endings: tuple[str, ...]
    find: Callable[[str, Path], Iterator[str]]


@dataclass(frozen=True)
class Files:
    """Examples and their classes: names relative to the folder, ordered by class and name."""

    classes: tuple[str, ...]
    names: Array
    labels: Array


def error_at(path: str | Path, sentence: str) -> UserError:
    """Returns an error about a file or a folder."""
    return UserError(f"dataset.path: {path}: {sentence}")


def root_of(cfg: ImageFolder | VideoFolder) -> Path:
    """Returns the folder of a dataset.

    Raises:
        UserError: there is none.
    """
    path = Path(cfg.path).expanduser()
    if not path.is_dir():
        raise UserError(
            f"dataset.path: received '{cfg.path}', expected a folder with one subfolder per class: "
            f"there is none at {path.absolute()}."
        )
    return path.resolve()


def is_of_the_desktop(name: str) -> bool:
    """Whether a file is hidden or one that a file manager writes, which no dataset reads."""
    return name.startswith(".") or name.lower() in _OF_THE_DESKTOP


def entries_of(folder: str | Path, root: Path) -> Iterator[os.DirEntry[str]]:
    """Visible entries of a folder, by name; refuses links that lead outside."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise error_at(folder, f"cannot be read: {error.strerror}.") from error
    for entry in entries:
        if is_of_the_desktop(entry.name):
            continue
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
            raise error_at(
                entry.path,
                f"links to {Path(entry.path).resolve()}, outside the folder, expected files "
                "inside it: copy them there.",
            )
        yield entry


def images_in(folder: str, root: Path, expected: str) -> Iterator[str]:
    """Yields the paths of the images in a folder, each with the signature of an image file.

    Args:
        folder: it holds nothing else.
        root: the folder of the dataset, which no link may leave.
        expected: what the folder is, such as `the folder of a class`.

    Raises:
        UserError: it holds something else.
    """
    for entry in entries_of(folder, root):
        if entry.is_dir() or not entry.name.lower().endswith(IMAGES):
            raise error_at(
                entry.path,
                f"expected only {listed(IMAGES)} files in {expected}: move it elsewhere or convert "
                "it.",
            )
        if not entry.is_file():  # opening a pipe would block
            raise error_at(entry.path, "is not a regular file, expected an image: remove it.")
        try:
            with open(entry.path, "rb", buffering=0) as file:
                beginning = file.read(NUM_MAGIC_BYTES)
        except OSError as error:
            raise error_at(entry.path, f"cannot be read: {error.strerror}.") from error
        if not is_image(beginning):
            raise error_at(entry.path, f"{damage(beginning)}: replace or remove it.")
        yield entry.path


def _class_folders(folder: Path, root: Path, kind: Kind) -> list[os.DirEntry[str]]:
    folders, loose = [], []
    for entry in entries_of(folder, root):
        if entry.is_dir():
            folders.append(entry)
        elif entry.name.lower().endswith((*IMAGES, *kind.endings)):
            loose.append(entry.path)
    if loose and not folders:
        above = f": if {root} is one class, give the folder above it: dataset.path={root.parent}."
        raise error_at(
            loose[0],
            "is in no class folder, expected one subfolder per class"
            f"{above if folder == root else '.'}",
        )
    if loose:
        raise error_at(loose[0], "is outside the class folders: move it into one.")
    return folders


def _files(folder: Path, root: Path, kind: Kind) -> Files:
    classes, names, labels = [], [], []
    for label, entry in enumerate(_class_folders(folder, root, kind)):
        found = [os.path.relpath(path, root) for path in kind.find(entry.path, root)]
        if not found:
            raise error_at(
                entry.path,
                f"holds no {listed(kind.endings)} file: add {kind.noun} or remove the folder.",
            )
        classes.append(entry.name)
        names += found
        labels += [label] * len(found)
    if len(classes) < 2:
        found_one = f" ({classes[0]})" if classes else ""
        raise error_at(
            folder,
            f"holds {len(classes)} subfolders with {kind.noun}{found_one}, expected one for each "
            "of two or more classes.",
        )
    encoded = np.array([os.fsencode(name) for name in names])
    return Files(tuple(classes), encoded, np.array(labels, np.int64))


def parts_of(root: Path, kind: Kind) -> tuple[Files, Files | None]:
    """Returns the examples of a folder, and those of its own test split if it has one.

    Raises:
        UserError: it has fewer than two classes, or holds something unexpected.
    """
    folders = [entry.name for entry in _class_folders(root, root, kind)]
    if not set(PARTS) <= set(folders):
        return _files(root, root, kind), None
    if others := sorted(set(folders) - set(PARTS)):
        raise error_at(
            root,
            f"holds {listed(others)} besides train and test, expected either only train and test "
            "(validation_fraction of train is held out for validation) or one folder per class.",
        )
    train, test = (_files(root / part, root, kind) for part in PARTS)
    if unknown := sorted(set(test.classes) - set(train.classes)):
        raise error_at(root / "test", f"holds {listed(unknown)}, which train does not.")
    labels = np.array([train.classes.index(name) for name in test.classes])[test.labels]
    return train, Files(train.classes, test.names, labels)


def outline_of(
    cfg: ImageFolder | VideoFolder,
    files: tuple[Files, Files | None],
    layout: Layout,
    shape: tuple[int, ...],
) -> Outline:
    """Returns the outline of a folder.

    Args:
        cfg: the dataset.
        files: what `parts_of` returned.
        layout: meaning of the axes of one example.
        shape: shape of one example.

    Raises:
        UserError: the number of channels is neither 1 nor 3, or a class is too small to be split.
    """
    train, test = files
    if cfg.channels not in (1, 3):
        raise UserError(
            f"dataset.channels: received {cfg.channels}, expected 1 for grayscale or 3 for color."
        )
    num_classes = len(train.classes)
    sizes = split_sizes(cfg, len(train.names), len(test.names) if test else None)
    names = np.array(train.classes)[train.labels]
    check_classes(cfg, names, sizes, has_official_test=test is not None)
    return Outline(
        task=Task.binary if num_classes == 2 else Task.multiclass,
        layout=layout,
        input_shape=shape,
        num_outputs=1 if num_classes == 2 else num_classes,
        class_names=train.classes,
        num_examples=len(train.names),
        num_official_test=len(test.names) if test else None,
    )


def source_of(
    cfg: ImageFolder | VideoFolder,
    outline: Outline,
    files: tuple[Files, Files | None],
    stream: Stream,
) -> Source:
    """Returns the names of the examples of a folder and how to read them.

    Args:
        cfg: the dataset.
        outline: of the folder.
        files: what `parts_of` returned.
        stream: reads examples by their names.
    """
    train, test = files
    is_measured = cfg.normalization is Normalization.standard
    return Source(
        outline=outline,
        examples=Split(train.names, train.labels),
        official_test=Split(test.names, test.labels) if test else None,
        largest=255.0,
        measure=partial(_standard_scaling, stream.decode) if is_measured else None,
        stream=stream,
    )


def content_of(path: Path) -> bytes:
    """Reads an image file, which also detects most kinds of damage.

    Raises:
        UserError: it cannot be read, is too large, or is damaged.
    """
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise error_at(
                path, f"has {size} bytes, expected at most {MOST_BYTES}: make it smaller."
            )
        content = path.read_bytes()
    except OSError as error:
        raise error_at(path, f"cannot be read: {error.strerror}.") from error
    if wrong := damage(content):
        raise error_at(path, f"{wrong}: replace or remove it.")
    return content


def _standard_scaling(decode: Any, names: Array) -> Preprocessing:
    """Fits mean and standard deviation per channel, in one pass over all training examples.

    Sums of integers are exact, so they do not depend on the order.
    """
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(names).batch(_BLOCK)
    as_written = tf.autograph.experimental.do_not_convert(decode)  # as in `pipeline`
    dataset = dataset.map(as_written, num_parallel_calls=tf.data.AUTOTUNE)
    num, total, squares = 0, np.zeros((), np.int64), np.zeros((), np.int64)
    for images in dataset.as_numpy_iterator():
        pixels = images.reshape(-1, images.shape[-1])
        num += len(pixels)
        total = total + pixels.sum(axis=0, dtype=np.int64)
        squares = squares + np.square(pixels, dtype=np.int64).sum(axis=0)
    mean = total / num
    return scaling_by(mean, np.sqrt(squares / num - np.square(mean)))
