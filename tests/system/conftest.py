"""Tests of processes and servers: TensorFlow runs in processes of their own, never in this one."""

import pytest

from support.mlflow_server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory, prepared_database):
    """A server that the tests of a file share."""
    made = Server(tmp_path_factory.mktemp("server"), prepared_database)
    yield made
    made.stop()
