"""What a project's models answer in Python, by `predict`, `serve`, ONNX and TensorFlow Lite."""

import subprocess
import sys

import pytest

from support import warm
from support.project import PROGRAMS

PROGRAM = [sys.executable, PROGRAMS / "five_doors.py"]


def check(done, num_kinds):
    assert done.returncode == 0, done.stdout + done.stderr
    last = f"{num_kinds} kinds of data, 0 with a door that answers differently"
    assert done.stdout.splitlines()[-1] == last


@pytest.mark.slow(seconds=35)
@pytest.mark.parametrize("kind", ["image", "text", "series"])
def test_every_door_gives_the_same_answers_to_raw_data(kind):
    check(warm.run([*PROGRAM, "--warm", kind]), 1)


@pytest.mark.slow(seconds=60)
def test_every_door_of_processes_that_start_cold_gives_the_same_answers_to_rows():
    check(subprocess.run([*PROGRAM, "table"], capture_output=True, text=True), 1)


@pytest.mark.gallery  # two minutes of processor time each
def test_every_door_of_processes_that_start_cold_gives_the_same_answers():
    program = [*PROGRAM, "own", "image", "text", "series"]
    check(subprocess.run(program, capture_output=True, text=True), 4)
