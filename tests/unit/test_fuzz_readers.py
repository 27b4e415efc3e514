"""Readers of files and command lines give a value or one sentence, whatever they are given."""

import sys

import pytest

from samerun import cli
from support import warm
from support.project import PROGRAMS


@pytest.mark.parametrize("num", ["30", pytest.param("2000", marks=pytest.mark.slow)])
def test_no_file_and_no_command_line_ends_in_a_traceback(tmp_path, num):
    arguments = [sys.executable, str(PROGRAMS / "fuzz_readers.py"), num, "3"]
    answer = warm.run(arguments, cwd=tmp_path, kind=warm.Light, timeout=3600)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=range(1,1000000000000)"],
        ["seed=range(0,1,0)"],
        ["~seed=range(1,3),1"],
        ["seed=range(1,1000)", "training.epochs=range(1,1000)"],
        [f"model={'9' * 5000}"],
    ],
)
def test_a_multirun_that_cannot_be_listed_is_one_sentence(project, capsys, overrides):
    assert cli.main(["train", "-m", *overrides]) == 2
    assert capsys.readouterr().err.count("\n") == 1
