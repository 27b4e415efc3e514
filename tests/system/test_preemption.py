"""A scheduler takes the machine: the same command again continues the same run."""

import os
import signal
import subprocess
import sys

import pytest

from samerun import tracking
from samerun.errors import TERMINATED
from support.warm import Warm

OVERRIDES = (
    "model=mlp",
    "model.units=[16]",
    "model.dropout=0.3",
    "dataset.batch_size=4",
    "dataset.limit=720",
    "training.epochs=15",  # most are left when the third process is ended
    "tracking=lean",
    "tracking.if_exists=resume",
    "checkpoint.every_steps=50",
)


def started(folder):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return Warm(
        [sys.executable, "-m", "samerun", "train", *OVERRIDES],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def after_epochs(process, number):
    """Waits until the process has trained this number of epochs; returns what it printed."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        number -= line.startswith("epoch ")
        if not number:
            break
    return "".join(lines)


def came_to(run):
    """A run, and its exact results by metric and step; fails if a step has two values."""
    client, points = tracking.connect(tracking.resolve_uri(None)), {}
    for key in run.metrics:
        for point in client.get_metric_history(run.id, key):
            assert (key, point.step) not in points
            if key.startswith(("train/", "validation/", "test/", "learning_rate")):
                points[key, point.step] = point.value.hex()
    return run, points


@pytest.mark.slow
def test_the_same_command_again_ends_as_an_uninterrupted_run(project, samerun):
    # 1. SIGTERM, as a scheduler sends it: a checkpoint, exit code 143, KILLED.
    first = started(project)
    after_epochs(first, 1)
    first.terminate()
    output, _ = first.communicate(timeout=300)
    assert first.returncode == TERMINATED, output
    (run,) = tracking.find_runs()
    assert run.status == "KILLED"
    # 2. Queued again: the same run; then SIGTERM and, before it has ended, SIGTERM again.
    second = started(project)
    output = after_epochs(second, 1)
    assert f"Resuming {run.name} after epoch" in output
    second.terminate()
    second.terminate()
    output, _ = second.communicate(timeout=300)
    assert second.returncode in (TERMINATED, -signal.SIGTERM), output
    # 3. Again; the machine is gone before the end of the grace period.
    third = started(project)
    after_epochs(third, 1)
    third.terminate()
    third.kill()
    third.communicate(timeout=300)
    # 4. Undisturbed.
    last = started(project)
    output, _ = last.communicate(timeout=300)
    assert last.returncode == 0, output
    resumed, points = came_to(tracking.find_runs()[0])
    assert (resumed.id, resumed.status) == (run.id, "FINISHED")
    assert resumed.num_resumed == 3
    assert "samerun.resume_differs" not in resumed.tags
    # Bit for bit a run in one piece.
    done = samerun("train", *OVERRIDES, "tracking.if_exists=rerun", cwd=project)
    assert done.returncode == 0, done.stderr
    expected, its_points = came_to(tracking.find_runs()[0])
    assert resumed.tags["samerun.weights"] == expected.tags["samerun.weights"]
    assert points == its_points
