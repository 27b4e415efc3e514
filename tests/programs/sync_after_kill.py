"""Kills a program that logs at random moments, delivers what it left, and compares every point.

    python tests/programs/sync_after_kill.py 20 [SEED]

Prints a table with a row a kill; ends with 1 if a store lacks anything.
"""

import contextlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from samerun import tracking
from samerun.cli import main

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.warm import Warm

LONGEST_SECONDS = 1.5
PROGRAM = """
import sys
import time
from pathlib import Path
from samerun import config, tracking

cfg = config.compose([]).config
with tracking.open_run(cfg, Path(sys.argv[1])) as run:
    print("started", flush=True)
    for step in range(100_000):
        run.log_metrics({"train/loss": 1 / (step + 1), "odd": float("nan")}, step=step)
        time.sleep(0.001)
        if step % 100 == 0:
            run.log_params({f"key{step}": "value"})
            run.log_text("x" * step, f"notes/{step}.txt")
            run.set_tags({"last": str(step)})
"""


def kill_once(folder: Path, seconds: float) -> None:
    """Runs the program in the working folder and kills it so long after its run was opened."""
    with Warm(
        [sys.executable, "-c", PROGRAM, folder], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        # A short life ends while the run is being opened, perhaps before there is one.
        if seconds > 0.1:
            process.stdout.readline()
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)


def synced(*arguments: str) -> tuple[int, str]:
    """Runs `samerun sync`; returns its exit code and what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(["sync", *arguments])
    return code, printed.getvalue()


def kill_and_sync(number: int, seed: int) -> int:
    """Kills and delivers a number of times, in the working folder; returns how often that failed.

    Args:
        number: how many kills.
        seed: of the moments at which they come.
    """
    moments = random.Random(seed)
    failures = 0
    print(f"{'kill':>4} {'after':>7}  {'sync':>4} {'check':>5}  what was delivered")
    for index in range(number):
        seconds = moments.uniform(0.0, LONGEST_SECONDS)
        folder = Path("outputs", str(index))
        kill_once(folder, seconds)
        if tracking.run_in(folder) is None:
            print(f"{index:>4} {seconds:>6.3f}s  no run had started")
            shutil.rmtree(folder, ignore_errors=True)
            continue
        code, output = synced(str(folder))
        checked, found = synced("--check", str(folder))
        failures += bool(code or checked)
        print(f"{index:>4} {seconds:>6.3f}s  {code:>4} {checked:>5}  {output.splitlines()[-1]}")
        if checked:
            print(found)
    return failures


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        failed = kill_and_sync(int(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0)
    print(f"{failed} of {sys.argv[1]} kills left a difference.")
    sys.exit(bool(failed))
