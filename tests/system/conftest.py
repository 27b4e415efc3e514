"""Tests of processes and servers: TensorFlow runs in processes of their own, never in this one."""

import os

import pytest

from support import warm
from support.mlflow_server import Server

if "PYTEST_XDIST_WORKER" in os.environ:  # all of the room: its imports need not be waited for
    warm.prepare("all")


@pytest.fixture(scope="module")
def server(tmp_path_factory, prepared_database):
    """A server that the tests of a file share."""
    made = Server(tmp_path_factory.mktemp("server"), prepared_database)
    yield made
    made.stop()
