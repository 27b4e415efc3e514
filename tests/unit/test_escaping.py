"""What data and stores bring is harmless where it is shown: in a table, a page, a terminal."""

import csv
import io

import numpy as np
import pytest

from samerun import escaping
from samerun.evaluation import classification, mistakes_markdown, to_csv
from samerun.replay.comparison import Row, RowState, as_markdown


@pytest.mark.parametrize(
    "text",
    ["=cmd|' /C calc'!A0", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "-", "=1"],
)
def test_a_formula_becomes_text_in_a_spreadsheet(text):
    assert escaping.spreadsheet_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["cat", "-1", "+1.5e-3", "-.5", "", "a=b", "12", "'quoted"])
def test_numbers_and_ordinary_names_stay_as_they_are(text):
    assert escaping.spreadsheet_cell(text) == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
        ("[click](http://evil.example)", "\\[click\\](http\\://evil.example)"),
        ("![x](data:image/png)", "\\!\\[x\\](data\\:image/png)"),
        ("a | b", "a \\| b"),
        ("line\nbreak\x1b[2J", "line break \\[2J"),
        ("`code` *bold* _it_", "\\`code\\` \\*bold\\* \\_it\\_"),
        ("# heading", "\\# heading"),
        ("&lt;b", "&amp;lt;b"),
        ("plain text, 0.5 - 1", "plain text, 0.5 - 1"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text, safe):
    assert escaping.markdown(text) == safe


def test_a_terminal_gets_no_control_characters():
    assert escaping.one_line("a\x1b[2Jb\nc") == "a�[2Jb�c"
    assert escaping.one_line("abcdef", 3) == "abc…"


def test_a_code_block_is_longer_than_any_fence_in_it():
    assert escaping.fence("no fence") == "```"
    assert escaping.fence("a ````` b") == "``````"


NAMES = ("=cmd|' /C calc'!A0", "<script>alert(1)</script>")


@pytest.fixture
def report():
    labels = np.array([0, 1, 0, 1])
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    return classification.report_classification(
        labels, probabilities, class_names=NAMES, worst_examples=2
    )


def test_class_names_are_neutral_in_tables(report):
    rows = list(csv.reader(io.StringIO(to_csv(report))))
    assert rows[1][0] == f"'{NAMES[0]}"
    assert float(rows[1][1]) >= 0
    page = mistakes_markdown(report)
    assert "alert" in page
    assert "<script>" not in page


def test_a_comparison_of_runs_is_neutral_in_markdown():
    row = Row(
        part="config", what="<b>x</b>", first="a|b", second="[l](http://e)", state=RowState.same
    )
    line = as_markdown([row])[-1]
    assert "<b>" not in line
    assert "http://" not in line
    assert line.replace("\\|", "").count("|") == 6
