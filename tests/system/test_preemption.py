"""A scheduler takes the machine: the same command again continues the same run."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import samerun as package
from samerun import tracking
from samerun.errors import TERMINATED
from support.how_to import ROOT
from support.project import until
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


STANDS_FOR_SAMERUN = """#!/bin/bash
printf '%s\\n' "$@" > arguments
trap 'exit 143' TERM
touch started
[ -n "$ENDS_WITH" ] && exit "$ENDS_WITH"
for _ in {1..1200}; do sleep 0.1; done
"""


@pytest.fixture
def batch_script(tmp_path, monkeypatch):
    """The script of the page in a folder of its own, with programs that stand for SLURM's."""
    (tmp_path / "bin").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text('PATH="$PWD/bin:$PATH"\n')
    programs = {"samerun": STANDS_FOR_SAMERUN, "scontrol": '#!/bin/bash\necho "$@" > asked\n'}
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    page = (ROOT / "docs/how-to/preemption.md").read_text()
    (script,) = re.findall(r"(?ms)^```bash\n(#!.*?)^```", page)
    (tmp_path / "job.sh").write_text(script)
    monkeypatch.setenv("SLURM_SUBMIT_DIR", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    return tmp_path


def catches_sigterm(pid):
    """Whether a process has set its handler of SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = re.findall(r"SigCgt:\s*(\w+)", status)
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


def test_the_script_for_slurm_passes_sigterm_on_and_is_queued_again(batch_script):
    job = subprocess.Popen(["bash", "job.sh"], cwd=batch_script)
    until((batch_script / "started").exists)
    until(lambda: catches_sigterm(job.pid))
    job.terminate()
    assert job.wait(timeout=120) == TERMINATED
    assert (batch_script / "asked").read_text() == "requeue 7\n"
    train, *overrides = (batch_script / "arguments").read_text().splitlines()
    assert train == "train"
    assert package.compose(overrides).config.tracking.if_exists == "resume"


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_script_for_slurm_ends_as_the_run_and_is_not_queued_again(batch_script, code):
    environment = {**os.environ, "ENDS_WITH": str(code)}
    done = subprocess.run(["bash", "job.sh"], cwd=batch_script, env=environment, timeout=120)
    assert done.returncode == code
    assert not (batch_script / "asked").exists()
