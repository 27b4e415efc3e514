"""A user's own CSV file: its separator, what its columns are used as, and windows that fit."""

import csv
import re

import pytest

from samerun import config, data
from samerun.data.catalog import load
from samerun.data.encoding import column_rows
from samerun.errors import UserError

NUM = 60


def write(path, separator=",", **columns):
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def table(path, *overrides):
    given = ["model=mlp", "dataset=table_csv", f"dataset.path={path}", "dataset.target=y"]
    return config.compose([*given, *overrides]).config.dataset


def described(path, *overrides):
    with pytest.raises(UserError) as caught:
        data.describe(table(path, *overrides))
    return str(caught.value)


A, B, Y = range(NUM), [n * 7 % 5 for n in range(NUM)], [n % 2 for n in range(NUM)]


@pytest.mark.parametrize(
    ("name", "character"), [("comma", ","), ("semicolon", ";"), ("tab", "\t"), ("pipe", "|")]
)
def test_a_separator_is_given_or_found(tmp_path, name, character):
    path = write(tmp_path / "t.csv", character, a=B, b=B, y=Y)
    specs = {data.describe(table(path, f"dataset.separator={one}")) for one in (name, "auto")}
    assert [spec.input_shape for spec in specs] == [(2,)]


def test_a_comma_within_a_cell_of_another_separator_is_text(tmp_path):
    path = write(tmp_path / "t.csv", ";", **{"a, in m": B, "b": B, "y": Y})
    assert data.describe(table(path, "dataset.separator=auto")).input_shape == (2,)


@pytest.mark.parametrize("decimal", [".", ","], ids=["another number of columns", "ragged"])
def test_another_separator_than_the_comma_names_the_setting_that_finds_it(tmp_path, decimal):
    path = write(tmp_path / "t.csv", ";", a=[f"1{decimal}{n}" for n in B], b=B, y=Y)
    assert "separated by a semicolon. Did you mean `dataset.separator=auto`?" in described(path)


def test_a_separator_by_its_character_is_named():
    with pytest.raises(UserError, match="Did you mean `dataset.separator=semicolon`"):
        config.compose(["dataset=table_csv", "dataset.separator=';'"])


def test_a_price_is_text_with_a_sample(tmp_path, caplog):
    few = write(tmp_path / "few.csv", price=[f"{n + 1},234 €" for n in B], b=B, y=Y)
    load(table(few))
    assert "price is text, such as '1,234 €', and is used as categories" in caplog.text
    many = write(tmp_path / "many.csv", price=[f"{n + 1},234 €" for n in A], b=B, y=Y)
    assert "price is text, such as '1,234 €'" in described(many)
    assert "numbers with units" in described(many)


@pytest.mark.parametrize(
    ("name", "values", "is_one"),
    [
        ("row", list(A), True),
        ("customer_id", [n * 7919 % 997 for n in A], True),
        ("id", B, False),
        ("size", [n * 7919 % 997 for n in A], False),
        ("id", [n + 0.5 for n in A], False),
        ("paid", [n * 7919 % 997 for n in A], False),
    ],
)
def test_an_identifier_is_named_with_the_line_that_leaves_it_out(
    tmp_path, caplog, name, values, is_one
):
    towns = [("Ulm", "Bonn")[n % 2] for n in A]
    path = write(tmp_path / "t.csv", **{name: values, "size2": B, "town": towns, "y": Y})
    load(table(path))
    lines = re.findall("`(.+?)`", caplog.text)
    assert lines == (["dataset.numeric=[size2] dataset.categorical=[town]"] if is_one else [])
    assert (f"{name}: looks like an identifier" in caplog.text) is is_one
    caplog.clear()
    for line in lines:
        load(table(path, *line.split()))
    assert not caplog.text


def test_a_text_that_differs_in_each_row_looks_like_an_identifier(tmp_path):
    path = write(tmp_path / "t.csv", key=[f"k{n}" for n in A], b=B, y=Y)
    assert "key is text, such as 'k0', with 60 different values in 60 rows" in described(path)
    assert "looks like an identifier" in described(path)


def test_what_each_column_is_used_as_is_shown(tmp_path):
    towns = [("Ulm", "Bonn")[n % 2] for n in A]
    many = {f"c{n}": B for n in range(14)}
    path = write(tmp_path / "t.csv", town=towns, **many, y=Y)
    source = load(table(path))
    rows = column_rows(source.measure(source.examples.x))
    assert [label for label, _ in rows] == ["numeric", "categorical"]
    assert rows[0][1].endswith("c11 and 2 more")
    assert rows[1][1] == "town (2)"


def test_a_short_series_names_the_window_that_fits(tmp_path):
    path = write(tmp_path / "s.csv", value=range(100))
    given = ["model=lstm", "dataset=series_csv", f"dataset.path={path}", "dataset.target=value"]
    with pytest.raises(UserError) as caught:
        data.describe(config.compose(given).config.dataset)
    line = re.findall("`(dataset.window=.+?)`", str(caught.value))[-1]
    cfg = config.compose([*given, line]).config
    config.check(cfg, data.describe(cfg.dataset))
    larger = f"dataset.window={int(line.partition('=')[2]) + 1}"
    with pytest.raises(UserError, match=re.escape(line)):
        data.describe(config.compose([*given, larger]).config.dataset)


THREADS = ["training.intra_op_threads=2", "training.inter_op_threads=2"]
FINGERPRINT = "980f6d491ea1cfc67d07315c175939c5eff0c8765d55787f81eea34bffd80f13"
"""As commit bc458e2 computed it, which had no separator."""


def test_a_run_recorded_without_a_separator_stays_what_it_was():
    given = ["dataset=table_csv", "model=mlp", "dataset.path=a.csv", "dataset.target=y", *THREADS]
    made = config.compose(given)
    then = re.sub("  separator: .*\n", "", made.resolved)
    assert then != made.resolved
    assert config.from_yaml(then) == made.config
    assert config.fingerprint(made.config) == FINGERPRINT
    other = config.compose([*given, "dataset.separator=auto"]).config
    assert config.fingerprint(other) != FINGERPRINT
