"""Runs whose requests are dropped, delayed, doubled, refused and cut off before the store."""

import subprocess
import sys

import pytest

from support.project import PROGRAMS
from support.warm import Warm


@pytest.mark.slow
def test_runs_behind_a_faulty_proxy_are_whole_after_sync(tmp_path):
    """`python tests/programs/proxy_seeds.py --seeds 50` does it with more seeds.

    Four here, two at a time: they wait more than they compute.
    """
    program = [sys.executable, PROGRAMS / "proxy_seeds.py", "--seeds", "2"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    halves = [Warm([*program, "--first", first], cwd=tmp_path, **streams) for first in "13"]
    for half in halves:
        printed, _ = half.communicate(timeout=600)
        assert half.returncode == 0, printed
        assert printed.splitlines()[-1] == "2 of 2 seeds are as they have to be"
