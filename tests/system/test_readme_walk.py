"""README and the how-to pages, typed in a terminal of 60 columns: see programs/readme_walk.py."""

import importlib.util
import re
import subprocess
import sys

import pytest

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


@pytest.fixture(scope="module")
def readme_walk():
    spec = importlib.util.spec_from_file_location("readme_walk", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_printed_commands_are_found_with_the_line_feeds_that_break_them(readme_walk):
    assert [*readme_walk.printed_commands(SCREEN)] == [
        "samerun reproduce 01234567",
        ".venv/bin/samerun ui 01234567",
        "samerun compare 01234567 ID",
        "python -m samerun resume 01234567",
        "samerun\nsync 01234567",
    ]


def test_the_commands_of_readme_are_found_in_blocks_and_in_the_text(readme_walk):
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
@pytest.mark.parametrize(
    "page", sorted(PROGRAM.parents[2].glob("docs/how-to/*.md")), ids=lambda page: page.stem
)
def test_every_command_of_a_how_to_page_works_as_pasted(page):
    command = [sys.executable, PROGRAM, page]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
