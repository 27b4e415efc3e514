"""Tests of processes and servers: TensorFlow runs in processes of their own, never in this one."""

import pytest

from samerun.tracking.delivery import courier
from support.mlflow_server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory, prepared_database):
    """A server that the tests of a file share."""
    made = Server(tmp_path_factory.mktemp("server"), prepared_database)
    yield made
    made.stop()


@pytest.fixture
def soon_again(monkeypatch):
    """Repeats failed requests after a short pause, where the pauses are not the question."""
    monkeypatch.setattr(courier, "_FIRST_PAUSE_SECONDS", 0.1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
