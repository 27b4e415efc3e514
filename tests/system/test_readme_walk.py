"""README and the how-to pages, typed in a terminal of 60 columns: see programs/readme_walk.py."""

import re
import subprocess
import sys

import pytest

from programs import readme_walk
from support import warm
from support.how_to import PAGES
from support.project import PROGRAMS

PROGRAM = PROGRAMS / "readme_walk.py"
SCREEN = """
run        dropout=0.3 · mlp digits k7f2  0123456789abcdef0123456789abcdef
reproduce  samerun reproduce 01234567
versions   samerun 0.1.0, Python 3.11.7
open       .venv/bin/samerun ui 01234567
samerun compare 01234567 ID  whether one is better
Resume with: python -m samerun resume 01234567
648721dc: samerun resume 648721dc needs them
Deliver with `samerun
sync 01234567`; `training.epochs=3` is no command.
"""


def test_printed_commands_are_found_with_the_line_feeds_that_break_them():
    assert [*readme_walk.printed_commands(SCREEN)] == [
        "samerun reproduce 01234567",
        ".venv/bin/samerun ui 01234567",
        "samerun compare 01234567 ID",
        "python -m samerun resume 01234567",
        "samerun\nsync 01234567",
    ]


def test_the_commands_of_readme_are_found_in_blocks_and_in_the_text():
    text = "Type `samerun ui\nID`:\n\n```\n$ samerun train model.x=1  # wrong\nsamerun: no\n```\n"
    found = [(typed.text, typed.shown) for typed in readme_walk.readme_commands(text)]
    assert found == [("samerun train model.x=1", "samerun: no"), ("samerun ui ID", "")]


@pytest.mark.gallery  # a quarter of an hour: about a hundred commands, one after the other
def test_every_command_of_readme_and_every_printed_one_works_as_pasted():
    done = subprocess.run([sys.executable, PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (number,) = re.findall(r"^(\d+) commands, 0 failed$", done.stdout, flags=re.MULTILINE)
    assert int(number) > 50


@pytest.mark.gallery  # half an hour on two cores for all of them
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_how_to_page_works_as_pasted(page):
    command = [sys.executable, PROGRAM, page]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow(seconds=200)
def test_every_command_of_the_how_to_pages_works_with_tiny_settings():
    """What it leaves out is typed by another test: see `unit/test_how_to.py`."""
    command = [sys.executable, PROGRAM, "--quick"]
    done = warm.run(command, kind=warm.Light, timeout=1800, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    for page in PAGES:
        assert f"{page.name}: " in done.stdout
