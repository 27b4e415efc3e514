"""Unit tests answer without TensorFlow: importing it, or Keras, fails the test that does it.

Where another room's tests run in the same process, what they imported stays imported; `make test`
runs this room in a process of its own.
"""

import contextlib
import sys
from pathlib import Path

import pytest

ROOM = Path(__file__).parent
HEAVY = ("tensorflow", "keras")


class Refusal:
    """A finder of modules that refuses the heavy ones."""

    def find_spec(self, name, path=None, target=None):
        if name in HEAVY:
            # Not an Exception: code that checks for an optional package would continue without it.
            pytest.fail(f"a unit test imported {name}: move it to tests/training")


@contextlib.contextmanager
def refused():
    """Nothing heavy can be imported within."""
    refusal = Refusal()
    sys.meta_path.insert(0, refusal)
    try:
        yield
    finally:
        sys.meta_path.remove(refusal)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    with refused():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    is_unit = ROOM in item.path.parents  # this hook receives every room's tests
    with refused() if is_unit else contextlib.nullcontext():
        return (yield)
