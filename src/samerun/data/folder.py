"""A user's own image folder: one subfolder per class, read and decoded during training."""

import hashlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from samerun.config import Layout
from samerun.config.datasets import Dataset
from samerun.config.datasets.images import ImageFolder
from samerun.data.class_folders import (
    IMAGES,
    Files,
    Kind,
    content_of,
    error_at,
    images_in,
    outline_of,
    parts_of,
    root_of,
    source_of,
)
from samerun.data.source import Array, Outline, Source, SourceKind, Stream
from samerun.errors import UserError
from samerun.raw_model.images import decode_image


def _find(folder: str, root: Path) -> Iterator[str]:
    yield from images_in(folder, root, "the folder of a class")


_KIND = Kind(noun="images", endings=IMAGES, find=_find)


def _outline(cfg: ImageFolder, files: tuple[Files, Files | None]) -> Outline:
    return outline_of(cfg, files, Layout.image, (cfg.height, cfg.width, cfg.channels))


def outline_image_folder(cfg: ImageFolder) -> Outline:
    """Returns the outline of the folder, from the names and first bytes of its files.

    Raises:
        UserError: the folder is missing, has fewer than two classes, or a file is not an image.
    """
    return _outline(cfg, image_files(cfg))


def image_files(cfg: ImageFolder) -> tuple[Files, Files | None]:
    """Returns the images of a folder, and those of its own test split if it has one.

    Args:
        cfg: the dataset.

    Raises:
        UserError: see `outline_image_folder`.
    """
    return parts_of(root_of(cfg), _KIND)


def load_image_folder(cfg: ImageFolder) -> Source:
    """Returns the names of the images and how to read them.

    Raises:
        UserError: see `outline_image_folder`.
    """
    root = root_of(cfg)
    files = parts_of(root, _KIND)
    outline = _outline(cfg, files)
    decode = partial(_decode, os.fsencode(root), (cfg.height, cfg.width, cfg.channels))
    stream = Stream(
        digest=partial(_digest, root), decode=decode, damage=partial(_damage, root, decode)
    )
    return source_of(cfg, outline, files, stream)


def _digest(root: Path, name: bytes) -> bytes:
    """Reads a file once, which also detects most kinds of damage before training."""
    return hashlib.sha256(content_of(root / os.fsdecode(name))).digest()


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

    def read(name: Any) -> Any:
        return decode_image(tf.io.read_file(tf.strings.join([root, name], os.sep)), shape)

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
            return error_at(root / os.fsdecode(name), "cannot be decoded: replace or remove it.")
    return None


SOURCES: dict[type[Dataset], SourceKind] = {
    ImageFolder: SourceKind(outline=outline_image_folder, load=load_image_folder),
}
