"""Rows of a CSV file: the quick way gives what the slow one gives, or leaves the block to it."""

import itertools
import random
from unittest import mock

import numpy as np
import pytest

from samerun.errors import UserError
from samerun.serving.csv_rows import Rows, numbers

PLAIN = ["0", "-0.0", "1", "2.5", "-3.25e-7", "1E5", ".5", "5.", "0.1", "9007199254740993"]
ODD = [
    *("", " ", "NA", "nan", "NaN", "-nan", "nan(12)", " null ", "inf", "-Infinity", "1e999"),
    *(" 1", "1\t", "+1", "+-1", "++1", "-+1", "- 1", "1_000", "0x1p3", "1e", "e5", ".", "1d5"),
    *("1,5", "١٢", "−1", "\ufeff1", "\ufeff", "1\x00", "\x0b1", "\x1c1", "1\x85", "\u00a01"),
    *('"1"', '"1\n2"', '"a""b"', 'a"b', '"', '"1"x', "a\rb", "1\r", "true", "Zürich", "#1", "\\1"),
    *("1" * 400, "0." + "0" * 400 + "1", "1\u2028", "1f", "-1e-999", "5e-324"),
    *("2.2250738585072011e-308", "1.7976931348623159e308", "7.2057594037927933e+16"),
]
LONG = ["x" * 140_000, "1" * 140_000]  # more than csv reads
NAMES = ["a", "town", "b", "other"]


def read(text, separator=",", names=("b", "town", "a"), most=3):
    """All blocks: lines, then bits or texts; or the message."""
    rows = Rows(text.splitlines(keepends=True) if isinstance(text, str) else text, separator, "f")
    found = []
    try:
        while block := rows.block(most, list(names), {"a", "b"} & {*names}):
            cells = [_bits(block.columns[name]) for name in names]
            found += zip(block.lines, *cells, strict=True)
    except UserError as error:
        return [str(error)]
    return found


def _bits(values):
    if values.dtype == np.float64:
        return ["nan" if np.isnan(cell) else cell.hex() for cell in values.tolist()]
    return [cell if isinstance(cell, str) else _bits(np.array([cell]))[0] for cell in values]


def slowly(*arguments, **keywords):
    with mock.patch.object(Rows, "_plain", return_value=None):
        return read(*arguments, **keywords)


def generated(seed):
    """The lines of a file, as a text file that is opened with `newline=""` yields them."""
    draw = random.Random(seed)
    cut = draw.choice([",", ",", ";", "\t", "|"])
    names = draw.choice([NAMES, NAMES, ["a"], ["town"], ["b", "town"]])
    end, odd = draw.choice(["\n", "\n", "\r\n", "\r"]), draw.choice([0, 0.02, 0.3])

    def cell(name):
        if draw.random() < odd:
            return draw.choice(ODD)
        if name in "ab":
            return draw.choice([*PLAIN, repr(draw.gauss(0, 1)), f"{draw.uniform(-9, 9):.17g}"])
        return draw.choice(["Bonn", "Köln", " x ", "", "NA", "1", "'", "=1+1"])

    lines = [cut.join(names)]
    for _ in range(draw.randrange(8)):
        lines.append(cut.join(map(cell, names)))
        if draw.random() < odd / 4:
            lines.append(draw.choice(["", " ", cut, "1" + cut, lines[-1] + cut, end]))
    text = end.join(lines) + draw.choice([end, ""])
    return text, cut, [name for name in ("b", "town", "a") if name in names]


def as_lines(path, text):
    path.write_bytes(text.encode())
    with path.open(encoding="utf-8", newline="") as file:
        return list(file)


@pytest.mark.parametrize("num", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_both_ways_give_the_same_bits_lines_and_sentences_for_generated_files(tmp_path, num):
    for seed in range(num):
        text, cut, names = generated(seed)
        lines = as_lines(tmp_path / "new.csv", text)
        quick, slow = read(lines, cut, names), slowly(lines, cut, names)
        assert quick == slow, f"seed {seed}: {text[:500]!r}"


@pytest.mark.parametrize("cell", ODD + LONG + PLAIN)
@pytest.mark.parametrize("name", NAMES)
def test_one_odd_cell_is_read_as_slowly(tmp_path, cell, name):
    row = {"a": "1", "town": "Bonn", "b": "2", "other": "3"} | {name: cell}
    text = "\n".join([",".join(NAMES), "1,x,2,3", ",".join(row.values()), "4,y,5,6", "7,z,8,9", ""])
    lines = as_lines(tmp_path / "new.csv", text)
    assert read(lines) == slowly(lines)


def test_plain_blocks_are_read_the_quick_way_and_only_those():
    lines = ["a,town,b,other\r\n", "1,Bonn,,x\r\n", "2,Köln,3e5,NA\r\n", "4,=1,NA,\r\n"]
    with mock.patch.object(Rows, "_block", side_effect=AssertionError("the slow way")):
        rows = Rows(lines, ",", "f")
        block = rows.block(9, ["a", "b", "town"], {"a", "b"})
    assert list(block.lines) == [2, 3, 4]
    assert block.columns["a"].tolist() == [1, 2, 4]
    assert block.columns["town"].tolist() == ["Bonn", "Köln", "=1"]
    np.testing.assert_array_equal(block.columns["b"], [np.nan, 3e5, np.nan])
    assert rows.block(9, ["a"], {"a"}) is None


def test_random_numbers_have_the_bits_of_float():
    draw = random.Random(0)
    cells = [
        f"{draw.choice(['', '-'])}{draw.randrange(10 ** draw.randrange(1, 25))}"
        f".{draw.randrange(10 ** draw.randrange(1, 25))}e{draw.randrange(-330, 300)}"
        for _ in range(20_000)
    ]
    rows = Rows(itertools.chain(["a\n"], (f"{cell}\n" for cell in cells)), ",", "f")
    found = []
    while block := rows.block(1000, ["a"], {"a"}):
        found.append(block.columns["a"])
    assert np.concatenate(found).tobytes() == numbers(cells).tobytes()


def test_a_cell_of_several_lines_and_empty_lines_leave_the_numbers_of_later_lines(tmp_path):
    text = 'a,town,b,other\n1,x,2,3\n\n1,"x\ny\nz",2,3\n1,x,2,3\n1,x,2,3\n1,x,2\n'
    lines = as_lines(tmp_path / "new.csv", text)
    assert [row[0] for row in read(lines[:-1], most=1)] == [2, 6, 7, 8]
    assert read(lines, most=2) == ["f: line 9 has 3 cells, expected 4 as in the first line."]


def test_the_file_stays_open_between_blocks(tmp_path):
    as_lines(tmp_path / "new.csv", "a\n" + "1\n" * 10)
    with (tmp_path / "new.csv").open(newline="") as file:
        assert len(read(file, names=["a"])) == 10
        assert not file.closed
