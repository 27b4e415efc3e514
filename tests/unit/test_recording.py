"""The recording of a terminal: what its screen shows becomes one picture without a script."""

import re
import runpy
import sys
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

pytest.importorskip("pyte")
tool = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "recording.py"))
SVG = "{http://www.w3.org/2000/svg}"
WRITES = r"""
import os
print("\x1b[32mgreen\x1b[0m and \x1b[1mbold\x1b[0m", "<&>")
print("trial 0")
print("\x1b[1A\x1b[2Ktrial 1", os.getcwd())
"""


def shown(line):
    return "".join(text for text, *_ in line)


def test_the_screen_of_a_command_is_what_the_terminal_shows_at_its_end(tmp_path):
    folder = tmp_path.resolve()
    *_, (seconds, lines) = tool["record"]([sys.executable, "-c", WRITES], folder)
    assert seconds > 0
    assert [shown(line) for line in lines if line] == ["green and bold <&>", "trial 1 ."]
    green, _, bold, _ = lines[0]
    assert green[1] == tool["COLORS"]["green"]
    assert (bold[0], bold[2]) == ("bold", True)


def test_a_command_that_fails_is_no_picture(tmp_path):
    with pytest.raises(RuntimeError, match="no such luck"):
        list(tool["record"]([sys.executable, "-c", "exit('no such luck')"], tmp_path))


@pytest.mark.parametrize(
    ("command", "folder"), [("no-such-program", "."), (sys.executable, "no-such-folder")]
)
def test_a_command_that_cannot_be_started_is_no_picture(tmp_path, command, folder):
    with pytest.raises(RuntimeError, match="No such file or directory"):
        list(tool["record"]([command, "-c", ""], tmp_path / folder))


def test_a_folder_is_not_shown_though_its_path_arrives_in_two_parts(tmp_path):
    folder = tmp_path.resolve()
    first, second = str(folder)[:9], str(folder)[9:]
    parts = f"import time; print({first!r}, end='', flush=True); time.sleep(0.3); print({second!r})"
    *_, (_, lines) = tool["record"]([sys.executable, "-c", parts], folder)
    assert [shown(line) for line in lines if line] == ["."]


def test_a_command_ends_with_a_recording_that_is_not_read_to_its_end(tmp_path):
    waits = "import os, time; print('process', os.getpid(), '.', flush=True); time.sleep(600)"
    frames = tool["record"]([sys.executable, "-c", waits], tmp_path)
    texts = (shown(lines[0]) for _, lines in frames)
    number = next(found[1] for text in texts if (found := re.match(r"process (\d+) \.", text)))
    assert psutil.pid_exists(int(number))
    frames.close()
    assert not psutil.pid_exists(int(number))


def test_a_picture_has_each_frame_once_and_neither_scripts_nor_addresses():
    first, second = [(("<epoch 1>", "#ffffff", False),)], [(("epoch 2", "#ffffff", True),)]
    frames = [(1.0, first), (2.0, first), (3.0, second)]
    text = tool["draw"]("$ samerun train", frames, 2)
    root = ElementTree.fromstring(text)
    assert ["".join(one.itertext()) for one in root.iter(f"{SVG}text")] == [
        "<epoch 1>",
        "epoch 2",
        "$ samerun train",
    ]
    assert len([*root.iter(f"{SVG}use")]) == 2
    assert "prefers-reduced-motion" in text
    assert "script" not in text
    assert text.count("://") == 1  # the name of SVG itself
