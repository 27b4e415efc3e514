"""A server that a command starts ends with the command, however that ends."""

import os
import select
import signal
import subprocess
import sys

import pytest

from samerun.cli.web_server import serve

COMMAND = """
import sys
from samerun.cli.web_server import serve

with serve([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(99)"], {}) as s:
    s.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT, signal.SIGTERM])
def test_a_server_ends_with_the_processes_of_the_terminal(number):
    read, write = os.pipe()
    command = subprocess.Popen([sys.executable, "-c", COMMAND], stdout=write, process_group=0)
    os.close(write)
    with os.fdopen(read, "rb") as output:
        assert output.readline() == b"up\n"
        os.killpg(command.pid, number)
        command.wait(60)
        has_ended, _, _ = select.select([output], [], [], 30)  # all that have the pipe's other end
        assert has_ended


def test_the_code_of_a_server_is_its_own():
    with serve([sys.executable, "-c", "raise SystemExit(7)"], {}) as server:
        assert server.wait(60) == 7
