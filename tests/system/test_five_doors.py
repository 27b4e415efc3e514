"""What a project's models answer in Python, by `predict`, `serve`, ONNX and TensorFlow Lite."""

import subprocess
import sys

import pytest

from support.project import PROGRAMS


@pytest.mark.gallery  # two minutes of processor time each
@pytest.mark.parametrize("kind", ["own", "image", "table", "text", "series"])
def test_every_door_gives_the_same_answers_to_raw_data(kind):
    command = [sys.executable, PROGRAMS / "five_doors.py", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kinds of data, 0 with a door that answers differently" in done.stdout
