"""Rooms of tests in whose own processes TensorFlow is not imported."""

import contextlib
import sys

import pytest

HEAVY = ("tensorflow", "keras")


class Refusal:
    """A finder of modules that refuses the heavy ones."""

    def find_spec(self, name, path=None, target=None):
        if name in HEAVY:
            # Not an Exception: whoever tries whether a package is installed would go on without it.
            pytest.fail(f"a test of this room imported {name}: move it to tests/training")


@contextlib.contextmanager
def refused_in(room, path):
    """Nothing heavy can be imported within, if the path is in the folder of the room.

    The hooks of a room's `conftest.py` hear of every room's tests.
    """
    if room not in path.parents:
        yield
        return
    refusal = Refusal()
    sys.meta_path.insert(0, refusal)
    try:
        yield
    finally:
        sys.meta_path.remove(refusal)
