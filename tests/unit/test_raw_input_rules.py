"""What a model of raw input takes and refuses, without TensorFlow: tables, texts, series, dates."""

import io
import json
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from samerun.raw_model import (
    RawModel,
    RefusedInput,
    answers,
    answers_of,
    check,
    check_network,
    columns_of,
    images,
    series,
    tables,
    texts,
)
from samerun.serving.csv_rows import numbers
from samerun.serving.predict import predict

ONE = {"offset": 0.0, "scale": 1.0}
TABLE = {
    "kind": "table",
    "numeric": ["size"],
    "categorical": ["town"],
    "categories": [["1", "2"]],
    "is_known": [[True, False]],
    "fills": [7.0, 0.0],
    "missing": "impute",
    "scaling": {"offset": [0.0], "scale": [2.0]},
}
SERIES = {
    "kind": "series",
    "columns": ["sales"],
    "date": "day",
    "frequency": {"weekdays": 1},
    "window": 2,
    "horizon": 3,
    "scaling": ONE,
}

TEXT = {
    "kind": "text",
    "column": "text",
    "vocabulary": {
        "tokens": ["[padding]", "[unknown]", "a", "b", "c"],
        "level": "word",
        "lowercase": True,
        "unknown": 1,
        "start": None,
        "num_special": 2,
    },
    "length": 4,
    "padding": "pre",
    "truncating": "post",
}
IMAGE = {
    "kind": "image",
    "column": "image",
    "shape": [2, 2, 1],
    "model_shape": [2, 2, 1],
    "dtype": "integer",
    "largest": 255.0,
    "encoded": True,
    "resize": "bilinear",
    "sampling": None,
    "scaling": ONE,
}


def description(form, task="regression", **output):
    return {
        "format": 1,
        "task": task,
        "batch_size": 4,
        "input": form,
        "output": {"class_names": [], "targets": ["y"], "target_scaling": None, **output},
    }


def table(sizes, towns, **changes):
    return tables.encode(TABLE | changes, pd.DataFrame({"size": sizes, "town": towns, "more": 1}))


def test_a_row_is_encoded_as_in_training_and_an_unknown_category_as_unknown():
    made = table([4, None, 2.0, 2], ["1", "2", "3", None])
    # size / 2 or the median, then known, not in the training rows, unknown
    expected = [[2, 1, 0, 0], [3.5, 0, 0, 1], [1, 0, 0, 1], [1, 1, 0, 0]]
    np.testing.assert_array_equal(made.x, expected)
    assert made.refused == {}
    np.testing.assert_array_equal(table([2, 2], [1, 2]).x, [[1, 1, 0, 0], [1, 0, 0, 1]])
    made = table([2, 2], [2.0, None])  # as pandas reads a column of 2 and an empty cell
    np.testing.assert_array_equal(made.x, [[1, 0, 0, 1], [1, 1, 0, 0]])
    made = table([2, 2], [True, False], categories=[["False", "True"]])
    np.testing.assert_array_equal(made.x, [[1, 0, 0, 1], [1, 1, 0, 0]])


@pytest.mark.parametrize(
    ("sizes", "towns", "reason"),
    [
        (["4"], ["1"], "column size holds '4', expected a finite number"),
        ([True], ["1"], "column size holds 'True', expected a finite number"),
        ([np.inf], ["1"], "column size holds 'inf', expected a finite number"),
        ([[1]], ["1"], "column size holds '[1]', expected a finite number"),
        (
            [10**400],
            ["1"],
            "column size holds '1000000000000000000000000000000000000000…', expected "
            "a finite number",
        ),
        ([1.0], [1.5], "column town holds '1.5', expected text"),
        ([1.0], [b"1"], "column town holds 'b'1'', expected text"),
    ],
)
def test_another_type_is_refused_and_the_other_rows_are_not(sizes, towns, reason):
    made = table(pd.Series([*sizes, 1.0], dtype=object), pd.Series([*towns, "1"], dtype=object))
    assert made.refused == {0: reason}
    assert made.rows.tolist() == [1]


def test_a_missing_value_is_refused_where_training_had_none_and_a_missing_column_always():
    made = table([None, 1.0, 1.0], ["1", None, "1"], missing="refuse")
    assert sorted(made.refused) == [0, 1]
    with pytest.raises(RefusedInput, match="has the columns sizes and lacks size and town"):
        tables.encode(TABLE, pd.DataFrame({"sizes": [1]}))


def test_cells_of_a_file_are_numbers_by_the_rules_of_training():
    assert numbers(["1", "-2.5e1", "nan"]).tolist()[:2] == [1, -25]
    found = numbers(["1", "NA", "", "1_000", "12 m"]).tolist()
    assert found[0] == 1
    assert np.isnan(found[1:3]).all()
    assert found[3:] == ["1_000", "12 m"]
    assert numbers(["1", "", "2"]).dtype == np.float64


def test_a_text_has_the_start_the_unknown_and_the_sides_of_training():
    vocabulary = {
        "tokens": ["[padding]", "[start]", "[unknown]", "[unused]", "good", "film"],
        "level": "word",
        "lowercase": True,
        "unknown": 2,
        "start": 1,
        "num_special": 4,
    }
    form = {"column": "text", "vocabulary": vocabulary, "length": 4}
    form |= {"padding": "pre", "truncating": "post"}
    made = texts.encode(form, pd.DataFrame({"text": ["Good FILM", "a good good film", " ", None]}))
    assert made.x.tolist() == [[0, 1, 4, 5], [1, 2, 4, 4]]
    assert made.refused == {
        2: "column text holds an empty text, expected one with words",
        3: "column text holds no value, expected a text",
    }


@pytest.mark.parametrize(
    ("level", "text", "reason"),
    [
        ("word", "A qwxz", ""),
        ("word", "b.", ""),
        ("word", "!", ""),
        ("word", "Qwxz!", "words: 'qwxz'; expected at least one of the 4 words that"),
        ("word", "d e d f", "words: 'd', 'e' and 'f'; expected"),
        ("word", "d e f g !", "words: 'd', 'e', 'f' and others; expected"),
        ("word", "\u2603 \x1b", "words: '\u2603' and '\ufffd'; expected"),
        ("character", "xyzA", ""),
        ("character", "xy yx!", "characters: 'x' and 'y'; expected at least one of the 4"),
    ],
)
def test_a_text_without_any_known_word_is_refused_as_input_and_not_in_an_evaluation(
    level, text, reason
):
    vocabulary = {**TEXT["vocabulary"], "level": level}
    vocabulary["tokens"] = [*vocabulary["tokens"], "!"]
    form = {**TEXT, "vocabulary": vocabulary}
    frame = pd.DataFrame({"text": ["a b", text]})
    made = texts.encode(form, frame)
    if not reason:
        assert not made.refused
        return
    assert made.rows.tolist() == [0]
    assert [*made.refused] == [1]
    assert f"column text holds only unknown {reason}" in made.refused[1]
    labeled = texts.encode(form, frame, is_labeled=True)
    assert (labeled.rows.tolist(), labeled.refused) == ([0, 1], {})


def test_the_last_steps_are_the_window_and_the_dates_follow_on_weekdays():
    days = ["2024-05-01", "2024-05-02", "2024-05-03"]
    made = series.encode(SERIES, pd.DataFrame({"day": days, "sales": [1, 2, 3]}))
    assert made.x.tolist() == [[[2], [3]]]
    assert made.columns["dates"].tolist() == [["2024-05-06", "2024-05-07", "2024-05-08"]]
    frame = pd.DataFrame({"sales": [1.0, 2, 3, 4, 5], "window": ["a", "a", "b", "c", "c"]})
    made = series.encode(SERIES, frame)
    assert made.x[..., 0].tolist() == [[1, 2], [4, 5]]
    assert made.columns["window"].tolist() == ["a", "c"]
    assert made.refused == {2: "window 'b' has 1 rows, expected 2 time steps or more"}


@pytest.mark.parametrize(
    ("frame", "part"),
    [
        ({"sales": [1.0, np.nan]}, "lacks a finite number in column sales"),
        ({"sales": ["1", "2"]}, "holds '1' in column sales, expected numbers"),
        ({"sales": [1, True]}, "holds 'True' in column sales, expected numbers"),
        ({"sales": [1, 10**400]}, "lacks a finite number in column sales"),
        ({"sales": [1, 2], "day": ["9999-12-30", "9999-12-31"]}, "ends on 9999-12-31, expected"),
        ({"sales": [1, 2], "day": ["2024-05-02", "2024-05-01"]}, "after a later one"),
        ({"sales": [1, 2], "day": ["2.5.2024", "3.5.2024"]}, "expected an ISO date"),
    ],
)
def test_steps_that_are_none_are_refused(frame, part):
    made = series.encode(SERIES, pd.DataFrame(frame))
    assert part in made.refused[0]


def test_a_wrong_cell_refuses_only_the_windows_that_hold_it():
    frame = pd.DataFrame({"sales": numbers(["x", "1", "2", "3", ""]), "window": list("aaabb")})
    made = series.encode(SERIES, frame)
    assert made.x[..., 0].tolist() == [[1, 2]]
    assert list(made.refused) == [3]
    assert "window 'b' lacks a finite number" in made.refused[3]


@pytest.mark.parametrize(
    ("dates", "rule", "next_date"),
    [
        (["2024-01-01", "2024-01-02", "2024-01-03"], {"seconds": 86400}, "2024-01-04"),
        (["2024-01-01T00", "2024-01-01T06"], {"seconds": 21600}, "2024-01-01T12"),
        (["2024-01-31", "2024-02-29", "2024-03-31"], {"months": 1}, "2024-04-30"),
        (["2023-10-15", "2024-01-15", "2024-04-15"], {"months": 3}, "2024-07-15"),
        (["2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09"], {"weekdays": 1}, "2024-01-10"),
        (["2024-01-01", "2024-01-03", "2024-01-09"], None, None),
        (["2024-01-01"], None, None),
    ],
)
def test_dates_follow_the_rule_of_the_training_dates_or_none(dates, rule, next_date):
    assert series.frequency(np.array(dates, "datetime64[us]")) == rule
    if rule:
        form = SERIES | {"frequency": rule, "horizon": 1}
        last = datetime.fromisoformat(dates[-1])
        assert series.following(form, last) == [datetime.fromisoformat(next_date)]


def test_the_signature_names_the_columns_and_the_answers():
    made = description(TABLE)
    check(made)
    assert columns_of(made) == [("size", "any", True), ("town", "any", True)]
    assert answers_of(made) == [("y", "double")]
    made = description(SERIES, task="forecast")
    check(made)
    assert [name for name, *_ in columns_of(made)] == ["day", "sales", "window"]
    assert [name for name, _ in answers_of(made)] == ["step", "day", "y"]
    classes = description(TABLE, task="binary", class_names=["no", "yes"], targets=[])
    assert [name for name, _ in answers_of(classes)] == [
        "label",
        "probability",
        "probability_no",
        "probability_yes",
    ]


def test_a_target_named_like_another_column_of_the_answers_replaces_none():
    names = {"date": "step", "columns": ["step"]}
    made = description(SERIES | names, task="forecast", targets=["step"])
    assert [name for name, _ in answers_of(made)] == ["step", "next_step", "next_next_step"]
    encoded = series.encode(made["input"] | {"date": None}, pd.DataFrame({"step": [1.0, 2.0]}))
    found = answers.table(made, np.array([[7.0, 8.0, 9.0]]), encoded)
    assert found["step"].tolist() == [1, 2, 3]
    assert found["next_next_step"].tolist() == [7, 8, 9]


@pytest.mark.parametrize("size", [(3, 3, 1), (2, 2, 1)])
def test_an_image_of_numbers_above_255_is_taken_only_in_its_size(size):
    form = IMAGE | {"largest": None}
    cells = pd.Series([np.full(size, 300)], dtype=object)
    made = images.encode(form, pd.DataFrame({"image": cells}))
    if size == (2, 2, 1):
        assert made.x.tolist() == np.full((1, 2, 2, 1), 300).tolist()
    else:
        assert "numbers from 300 to 300, expected numbers from 0 to 255" in made.refused[0]


class Answering:
    """A network with the same answer to everything."""

    def __init__(self, value):
        self.value = value

    def predict_on_batch(self, x):
        return np.full((len(x), 1), self.value)


def test_json_has_no_nan_and_a_target_named_line_does_not_hide_the_line(tmp_path):
    (tmp_path / "new.csv").write_text("size,town\n1,2\n")
    made = RawModel(description(TABLE, targets=["line"]), Answering(np.nan))
    out = io.StringIO()
    predict(made, str(tmp_path / "new.csv"), out, as_json=True, complain=print)
    assert json.loads(out.getvalue()) == {"input_line": 2, "line": None}


@pytest.mark.parametrize(
    "change",
    [
        {"task": "other"},
        {"batch_size": 0},
        {"batch_size": "4"},
        {"input": {**TABLE, "numeric": "size"}},
        {"input": {"kind": "pickle"}},
        {"output": {"class_names": [1], "targets": [], "target_scaling": None}},
        {"output": None},
        {"input": {**TABLE, "scaling": {}}},
        {"input": {**TABLE, "scaling": {"offset": "x", "scale": 1.0}}},
        {"input": {**TABLE, "scaling": {"offset": [0.0, 1.0], "scale": 1.0}}},
        {"input": {**TABLE, "numeric": [1]}},
        {"input": {**TABLE, "is_known": [[True]]}},
        {"input": {**TABLE, "categories": []}},
        {"input": {**TABLE, "fills": [1.0, 3.0]}},
        {"input": {**TABLE, "kind": []}},
        {"input": {**TEXT, "vocabulary": {}}},
        {"input": {**TEXT, "length": 10**9}},
        {"input": {**IMAGE, "shape": [10**9, 10**9, 1], "model_shape": [10**9, 10**9, 1]}},
        {"input": {**IMAGE, "model_shape": [3]}},
        {"input": {**IMAGE, "largest": float("nan")}},
        {"input": {**SERIES, "window": 10**9}},
        {"input": {**SERIES, "horizon": True}},
        {"input": {**SERIES, "frequency": {}}},
        {"input": {**SERIES, "frequency": {"weekdays": 10**9}}},
        {"output": {"class_names": [], "targets": [], "target_scaling": None}},
        {"output": {"class_names": [], "targets": ["y"], "target_scaling": {"offset": "x"}}},
        {"task": "binary"},
    ],
)
def test_a_description_with_other_fields_is_refused(change):
    with pytest.raises(RefusedInput, match="was not written by samerun"):
        check(description(TABLE) | change)


@pytest.mark.parametrize(
    ("made", "shapes"),
    [
        (description(TABLE), ((None, 4), (None, 1))),
        (description(SERIES, task="forecast"), ((None, 2, 1), (None, 3))),
        (
            description(IMAGE, task="binary", class_names=["a", "b"], targets=[]),
            ((None, 2, 2, 1), (None, 1)),
        ),
        (description(TEXT, task="language_model", targets=[]), ((None, None), (None, None, 5))),
    ],
)
def test_a_network_of_other_shapes_is_refused(made, shapes):
    check(made)
    given, answered = shapes
    check_network(made, SimpleNamespace(input_shape=given, output_shape=answered))
    with pytest.raises(RefusedInput, match="not one input but several"):
        check_network(made, SimpleNamespace(input_shape=[given, given], output_shape=answered))
    for wrong in [(None, 7, 7, 7, 7), (None, 9)]:
        with pytest.raises(RefusedInput, match="not of the same model"):
            check_network(made, SimpleNamespace(input_shape=wrong, output_shape=answered))
        with pytest.raises(RefusedInput, match="not of the same model"):
            check_network(made, SimpleNamespace(input_shape=given, output_shape=wrong))


NUMBERS = TABLE | {"numeric": ["size", "age"], "categorical": [], "categories": []}


@pytest.mark.parametrize(
    ("form", "raw", "columns"),
    [
        (TABLE, {"size": 3, "town": 4}, "size and town"),
        (TABLE, {"size": [1], "town": [1, 2]}, "size and town"),
        (NUMBERS, [[1], [1, 2]], "size and age"),
        (SERIES, [[1], [1, 2]], "sales"),
        (IMAGE, 5, "image"),
        (IMAGE, None, "image"),
        (TEXT, 5, "text"),
    ],
)
def test_input_that_is_no_data_frame_is_refused_with_the_columns(form, raw, columns):
    with pytest.raises(RefusedInput, match=f"expected .* with the columns {columns}.$"):
        RawModel(description(form), None).predict(raw)


@pytest.mark.parametrize(
    "params",
    [{"temperature": "hot"}, {"temperature": True}, {"length": True}, {"seed": 1.5}, {"heat": 1}],
)
def test_a_setting_of_another_type_is_refused(params):
    made = description(TEXT, task="language_model", targets=[])
    with pytest.raises(RefusedInput, match="eceived"):
        RawModel(made, None).answer(pd.DataFrame({"text": ["a"]}), params)
