"""Fingerprints of raw examples, byte for byte, and duplicates between splits."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from samerun.config import Layout
from samerun.data.source import Split
from samerun.data.splits import Array

_BLOCK = 4096  # examples at a time: windows over a series share memory and are copied when read


def _blocks(array: Array) -> Iterator[bytes]:
    if array.dtype.kind == "O":
        for text in array.tolist():
            encoded = text.encode("utf-8", "surrogatepass")
            yield len(encoded).to_bytes(8, "little") + encoded
        return
    if array.dtype.kind == "S":
        for name in array.tolist():
            yield len(name).to_bytes(8, "little") + name
        return
    for start in range(0, len(array), _BLOCK):
        yield np.ascontiguousarray(array[start : start + _BLOCK]).tobytes()


def fingerprint(split: Split) -> str:
    """Returns the SHA-256 in hex of the types, shapes and bytes of everything in a split."""
    digest = hashlib.sha256()
    examples = split.x
    if split.windows:
        examples = split.windows.steps
        digest.update(f"{split.windows.length} {split.windows.stride} ".encode())
    for array in (examples, split.y, split.digests):
        if array is None:
            continue
        # The item size is that of the longest name, which may be in another split.
        dtype = "S" if array.dtype.kind == "S" else array.dtype.str
        digest.update(f"{dtype}{array.shape}".encode())
        for block in _blocks(array):
            digest.update(block)
    digest.update(split.raw.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _hashes(split: Split) -> Iterator[int]:
    x = split.x if split.digests is None else split.digests
    if x.dtype.kind == "O":
        return (hash(text) for text in x.tolist())
    return (hash(row.tobytes()) for row in x)


def _row_hashes(split: Split, dtypes: tuple[np.dtype[Any], np.dtype[Any]]) -> Iterator[int]:
    pairs = zip(split.x.astype(dtypes[0]), split.y.astype(dtypes[1]), strict=True)
    return (hash(row.tobytes() + target.tobytes()) for row, target in pairs)


def num_leaked(train: Split, test: Split | None, layout: Layout) -> int:
    """Returns the number of test examples whose raw input is also a training example.

    Rows of a table are compared together with their targets: two houses of the same size and age
    are two houses, while two images with the same pixels are one image, whatever their labels.

    Args:
        train: the training split.
        test: the test split; `None` without one.
        layout: meaning of the axes of one example.
    """
    if test is None:
        return 0
    if layout is Layout.table:
        # Official splits may have types of different widths, in which equal numbers differ.
        dtypes = np.result_type(train.x, test.x), np.result_type(train.y, test.y)
        known = set(_row_hashes(train, dtypes))
        return sum(number in known for number in _row_hashes(test, dtypes))
    known = set(_hashes(train))
    return sum(number in known for number in _hashes(test))
