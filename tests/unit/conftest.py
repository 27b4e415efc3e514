"""Unit tests answer without TensorFlow: importing it, or Keras, fails the test that does it.

Where another room's tests run in the same process, what they imported stays imported; `make test`
runs this room in a process of its own.
"""

from pathlib import Path

import pytest

from support.refusal import refused_in

ROOM = Path(__file__).parent


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    with refused_in(ROOM, collector.path):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    with refused_in(ROOM, item.path):
        return (yield)
