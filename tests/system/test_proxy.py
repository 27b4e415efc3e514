"""Runs whose requests are dropped, delayed, doubled, refused and cut off before the store."""

import subprocess
import sys

import pytest

from support.project import PROGRAMS


@pytest.mark.slow
def test_runs_behind_a_faulty_proxy_are_whole_after_sync(tmp_path):
    """`python tests/programs/proxy_seeds.py --seeds 50` does it with more seeds."""
    program = [sys.executable, PROGRAMS / "proxy_seeds.py", "--seeds", "4"]
    done = subprocess.run(
        program, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "4 of 4 seeds are as they have to be"
