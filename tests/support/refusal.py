"""Rooms of tests in whose own processes TensorFlow is not imported."""

import contextlib
import sys
from pathlib import Path

import pytest

HEAVY = ("tensorflow", "keras")
ROOMS = tuple(Path(__file__).parents[1] / name for name in ("unit", "system"))


class Refusal:
    """A finder of modules that refuses the heavy ones."""

    def find_spec(self, name, path=None, target=None):
        if name in HEAVY:
            # Not an Exception: code that tests whether a package is installed would catch it.
            pytest.fail(f"a test of this room imported {name}: move it to tests/training")


@contextlib.contextmanager
def refused(path):
    """Nothing heavy can be imported within, if the path is in one of the rooms.

    What another room's tests imported in the same process stays imported: `make test` runs each
    room in a process of its own.
    """
    if not set(ROOMS) & set(path.parents):
        yield
        return
    refusal = Refusal()
    sys.meta_path.insert(0, refusal)
    try:
        yield
    finally:
        sys.meta_path.remove(refusal)
