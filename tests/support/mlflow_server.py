"""An MLflow server of the tests' own."""

import os
import shutil
import socket
import sys
import time
import urllib.request

import pytest

from support.project import PROGRAMS
from support.warm import Warm


class Server:
    """An MLflow server on a loopback port, that can be killed and started again.

    Args:
        folder: it keeps everything there.
        database: MLflow's tables, made before.
    """

    def __init__(self, folder, database):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder = folder
        shutil.copy(database, folder / "mlflow.db")
        self.start()

    def start(self):
        command = [sys.executable, PROGRAMS / "mlflow_server.py", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        with (self.folder / "server.log").open("ab") as log:
            self.process = Warm(
                command,
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def _wait(self):
        for _ in range(1200):
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
                return
            except OSError:
                time.sleep(0.1)
        pytest.fail("the server did not start")

    def stop(self):
        """Kills the server and its workers, which share a session of their own."""
        os.killpg(self.process.pid, 9)
        self.process.wait()
