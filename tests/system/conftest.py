"""Tests of processes and servers: TensorFlow runs in processes of their own, never in this one."""

from pathlib import Path

import pytest

from samerun.tracking.delivery import courier
from support.mlflow_server import Server
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


@pytest.fixture(scope="module")
def server(tmp_path_factory, prepared_database):
    """A server that the tests of a file share."""
    made = Server(tmp_path_factory.mktemp("server"), prepared_database)
    yield made
    made.stop()


@pytest.fixture
def soon_again(monkeypatch):
    """What was asked in vain is asked again soon, where the pauses are not the question."""
    monkeypatch.setattr(courier, "_FIRST_PAUSE_SECONDS", 0.1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
