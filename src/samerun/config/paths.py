"""The paths in a config: the files that a run reads."""

import dataclasses
from collections.abc import Iterator
from typing import Any


def paths(node: object) -> dict[str, str]:
    """Returns every path in a config object, by its key, such as `dataset.path`.

    These are the fields declared with `a_path`. In a mapping declared so, every string is included,
    since it is unknown which arguments of a user's own function are files.

    Args:
        node: a `Config`, or a part of one.
    """
    return dict(_paths(node, ""))


def _paths(node: object, prefix: str) -> Iterator[tuple[str, str]]:
    assert dataclasses.is_dataclass(node)
    for entry in dataclasses.fields(node):
        value, key = getattr(node, entry.name), f"{prefix}{entry.name}"
        if dataclasses.is_dataclass(value):
            yield from _paths(value, f"{key}.")
        elif entry.metadata.get("path"):
            yield from _texts(value, key)


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif dataclasses.is_dataclass(value):
        yield from _paths(value, f"{key}.")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _texts(item, f"{key}[{number}]")
