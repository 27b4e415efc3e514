"""Tables: the diabetes patients, and a user's own CSV file."""

import json
from dataclasses import replace

import numpy as np
import pytest

from samerun import data
from samerun.config import Layout, Task, compose
from samerun.config.datasets.base import Normalization
from samerun.config.datasets.tables import Missing, TargetType
from samerun.data.encoding import Columns, measure
from samerun.data.fingerprint import num_leaked
from samerun.data.restore import from_dict
from samerun.data.source import Split
from samerun.errors import UserError
from support.tables import mostly_slow


def diabetes(*overrides, **changes):
    return replace(compose(["dataset=diabetes", *overrides]).config.dataset, **changes)


def csv(path, target="price", **changes):
    overrides = ["dataset=table_csv", f"dataset.path={path}", f"dataset.target={target}"]
    return replace(compose(overrides).config.dataset, **changes)


def batches(dataset):
    return tuple(np.concatenate(parts) for parts in zip(*dataset, strict=True))


def test_diabetes_is_described_as_it_is_built():
    cfg = diabetes()
    built = data.build(cfg, 0)
    assert built.spec == data.describe(cfg)
    assert (built.spec.task, built.spec.layout) == (Task.regression, Layout.table)
    assert built.spec.input_shape == (10,)
    assert built.spec.feature_names[:3] == ("age", "sex", "bmi")
    chosen = data.describe(diabetes("dataset.features=[s5,bmi]"))
    assert chosen.feature_names == ("s5", "bmi")
    assert (built.spec.num_train, built.spec.num_validation, built.spec.num_test) == (319, 35, 88)


def test_chosen_features_are_the_columns_of_the_real_table_in_this_order():
    from sklearn.datasets import load_diabetes

    table = load_diabetes(scaled=False)
    built = data.build(diabetes("dataset.features=[bmi,age,s5]", test_fraction=0.0), 0)
    assert built.spec.input_shape == (3,)
    rows = {tuple(row) for row in table.data[:, [2, 0, 8]]}
    assert {tuple(row) for row in built.examples("train", range(100))} <= rows
    targets = np.concatenate([built.labels(split)[:, 0] for split in built.splits])
    np.testing.assert_array_equal(np.sort(targets), np.sort(table.target))


def test_features_and_target_are_standardized_by_the_training_rows_alone():
    built = data.build(diabetes(), 0)
    x, y = batches(built.train)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose([y.mean(), y.std()], [0, 1], atol=1e-5)
    x, y = batches(built.test)
    assert np.abs(x.mean(axis=0)).min() > 1e-4
    np.testing.assert_allclose(built.to_units(y), built.labels("test"), rtol=1e-5)
    as_they_are = data.build(diabetes(standardize_target=False), 0)
    _, y = batches(as_they_are.test)
    np.testing.assert_array_equal(y, as_they_are.labels("test"))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        pytest.param(["bmi", "bps"], "received 'bps', .* Did you mean 'bp'", id="unknown"),
        pytest.param(["bmi", "bmi"], "received 'bmi' twice", id="twice"),
    ],
)
def test_features_that_are_not_there_are_refused(features, message):
    with pytest.raises(UserError, match=message):
        data.describe(diabetes(features=features))


NUM = 60
AREAS = [30 + 7 * i % 100 for i in range(NUM)]
TOWNS = [("Ulm", "Bonn", "Köln")[i % 3] for i in range(NUM)]


def write(path, num=NUM, **columns):
    """Writes rows of area, town and price, or with columns of these names put in their place."""
    cells = {
        "area": AREAS[:num],
        "town": TOWNS[:num],
        "price": [1000 + 10 * a for a in AREAS][:num],
    }
    cells |= {name: list(column) for name, column in columns.items()}
    lines = [",".join(cells)]
    lines += [",".join(map(str, row)) for row in zip(*cells.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def with_cell(column, row, cell):
    changed = list(column)
    changed[row] = cell
    return changed


def test_numbers_are_scaled_and_categories_become_one_of_several(tmp_path):
    cfg = csv(write(tmp_path / "a.csv"), normalization=Normalization.none, standardize_target=False)
    spec = data.describe(cfg)
    assert (spec.task, spec.layout, spec.input_shape) == (Task.regression, Layout.table, (5,))
    built = data.build(cfg, 0)
    assert built.spec == spec
    for x, y in built.train:
        np.testing.assert_array_equal(y[:, 0], 1000 + 10 * x[:, 0])
        rows = [AREAS.index(area) for area in x[:, 0]]
        assert [["Bonn", "Köln", "Ulm"][place] for place in np.argmax(x[:, 1:], axis=1)] == [
            TOWNS[row] for row in rows
        ]
        np.testing.assert_array_equal(np.sum(x[:, 1:], axis=1), 1)


def test_the_scale_is_measured_on_the_training_rows_alone(tmp_path):
    built = data.build(csv(write(tmp_path / "a.csv")), 0)
    train = built.splits["train"].x[:, 0]
    assert len(train) == built.spec.num_train == 43
    scaling = built.preprocessing.scaling
    np.testing.assert_allclose([scaling.offset[0], scaling.scale[0]], [train.mean(), train.std()])
    assert abs(np.mean(AREAS) - train.mean()) > 0.1


def test_a_category_of_held_out_rows_is_unknown_to_training(tmp_path):
    plain = data.build(csv(write(tmp_path / "a.csv")), 0)
    known = set(plain.splits["train"].x[:, 0])
    towns = ["Rom" if area not in known else town for area, town in zip(AREAS, TOWNS, strict=True)]
    cfg = csv(write(tmp_path / "b.csv", town=towns))
    built = data.build(cfg, 0)
    assert built.preprocessing.columns.categories == (("Bonn", "Köln", "Rom", "Ulm"),)
    assert built.preprocessing.is_known == ((True, True, False, True),)
    x, _ = batches(built.test)
    np.testing.assert_array_equal(x[:, 1:], [[0, 0, 0, 0, 1]] * len(x))
    x, _ = batches(built.train)
    assert x[:, [3, 5]].max() == 0


def test_missing_values_are_filled_with_what_the_training_rows_have(tmp_path):
    areas, towns = list(AREAS), list(TOWNS)
    for row in (3, 8, 20, 33, 47):
        areas[row], towns[row] = "", " NA "
    cfg = csv(write(tmp_path / "a.csv", area=areas, town=towns), missing=Missing.impute)
    built = data.build(cfg, 0)
    assert built.spec == data.describe(cfg)
    raw = built.splits["train"].x
    median = np.nanmedian(raw[:, 0])
    codes, counts = np.unique(raw[~np.isnan(raw[:, 1]), 1], return_counts=True)
    np.testing.assert_array_equal(built.preprocessing.fills, [median, codes[counts.argmax()]])
    everywhere = np.concatenate([split.x for split in built.splits.values()])
    missing = np.isnan(everywhere[:, 0])
    assert missing.sum() == 5
    encoded = built.preprocessing(everywhere[missing])
    scaled = (median - built.preprocessing.scaling.offset) / built.preprocessing.scaling.scale
    np.testing.assert_allclose(encoded[:, 0], scaled[0], rtol=1e-6)
    np.testing.assert_array_equal(encoded[:, 1:].argmax(axis=1), codes[counts.argmax()])
    assert np.isfinite(batches(built.train)[0]).all()


def test_fills_do_not_see_held_out_rows():
    columns = Columns(("size",), ("town",), (("a", "b"),))
    train = np.array([[1, 0], [2, 0], [np.nan, 1], [9, np.nan]])
    made = measure(Normalization.unit, columns, train)
    assert made.fills.tolist() == [2, 0]
    assert made.scaling.scale.tolist() == [9]
    rows = made(np.array([[np.nan, np.nan], [900, 1]]))
    np.testing.assert_allclose(rows, [[2 / 9, 1, 0, 0], [100, 0, 1, 0]], rtol=1e-6)


def test_the_encoding_can_be_written_down_and_read_again(tmp_path):
    built = data.build(csv(write(tmp_path / "a.csv")), 0)
    made = from_dict(json.loads(json.dumps(built.preprocessing.as_dict())))
    raw = built.examples("test", range(5))
    np.testing.assert_array_equal(made(raw), built.preprocessing(raw))
    assert made.columns == built.preprocessing.columns


@pytest.mark.parametrize(
    ("target", "kind", "task", "names"),
    mostly_slow(
        [
            pytest.param(TOWNS, "auto", Task.multiclass, ("Bonn", "Köln", "Ulm"), id="texts"),
            pytest.param(["yes", "no"] * 30, "auto", Task.binary, ("no", "yes"), id="two texts"),
            pytest.param([1, 0] * 30, "auto", Task.binary, ("0", "1"), id="0 and 1"),
            pytest.param([1.5, 0] * 30, "auto", Task.regression, (), id="two fractions"),
            pytest.param([1, 0] * 30, "numbers", Task.regression, (), id="0 and 1 as numbers"),
            pytest.param([9, 10, 8] * 20, "auto", Task.regression, (), id="whole numbers"),
            pytest.param(
                [9, 10, 8] * 20, "classes", Task.multiclass, ("8", "9", "10"), id="numbered classes"
            ),
        ],
        "two texts",
        "numbered classes",
    ),
)
def test_the_task_follows_from_the_target(target, kind, task, names, tmp_path):
    path = write(tmp_path / "a.csv", price=target)
    cfg = csv(path, target_type=TargetType(kind))
    built = data.build(cfg, 0)
    assert built.spec == data.describe(cfg)
    assert (built.spec.task, built.spec.class_names) == (task, names)
    _, y = next(iter(built.test))
    assert y.dtype == ("int32" if task is Task.multiclass else "float32")
    for split in built.splits:
        truth = built.labels(split)
        rows = [AREAS.index(area) for area in built.splits[split].x[:, 0]]
        expected = [str(target[row]) for row in rows]
        found = [names[label] for label in truth] if names else [f"{v:g}" for v in truth[:, 0]]
        assert found == expected


def test_only_listed_columns_are_used_in_the_order_of_the_list(tmp_path):
    path = write(tmp_path / "a.csv", rooms=range(NUM), id=[f"h{i}" for i in range(NUM)])
    spec = data.describe(csv(path, numeric=["rooms", "area"]))
    assert spec.input_shape == (2,)
    as_category = data.describe(csv(path, numeric=["area"], categorical=["town", "rooms"]))
    assert len(as_category.feature_names) == as_category.input_shape[0]
    assert as_category.feature_names[0] == "area"
    assert as_category.feature_names[-1] == "rooms=unknown"
    assert as_category.input_shape == (1 + 4 + NUM + 1,)
    built = data.build(csv(path, numeric=["rooms", "area"]), 0)
    assert all(AREAS[int(row)] == area for row, area in built.splits["train"].x)


BAD = [
    pytest.param({}, {"target": "prize"}, "'prize'.*area, town, price.*'price'", id="target"),
    pytest.param({}, {"numeric": ["aera"]}, "'aera'.*area, town.*'area'", id="numeric column"),
    pytest.param({}, {"categorical": ["twn"]}, "'twn'.*area, town", id="categorical column"),
    pytest.param({}, {"numeric": ["price"]}, "'price', expected columns from", id="leak"),
    pytest.param({}, {"numeric": ["area", "area"]}, "'area' twice", id="twice"),
    pytest.param(
        {}, {"numeric": ["area"], "categorical": ["area"]}, "both name 'area'", id="in both"
    ),
    pytest.param({}, {"numeric": ["town"]}, "line 2, column town holds 'Ulm'", id="no number"),
    pytest.param(
        {"area": with_cell(AREAS, 4, "12;5")}, {}, "59 numbers, but line 6 holds '12;5'", id="typo"
    ),
    pytest.param(
        {"area": with_cell(AREAS, 4, "inf")}, {}, "line 6 holds 'inf'", id="infinite"
    ),
    pytest.param(
        {"town": [f"t{i}" for i in range(NUM)]}, {}, "town is text, such as 't0'", id="names"
    ),
    pytest.param(
        {"area": with_cell(with_cell(AREAS, 9, ""), 5, "nan")}, {},
        "area has no value in 2 of 60 rows, the first in line 7", id="missing",
    ),
    pytest.param({"area": [""] * NUM}, {}, "column area holds no value", id="empty column"),
    pytest.param(
        {"price": with_cell(AREAS, 7, "")}, {"missing": Missing.impute},
        "line 9 has no value in the target column price", id="missing target",
    ),
    pytest.param(
        {"price": with_cell(AREAS, 7, "many")}, {"target_type": TargetType.numbers},
        "line 9, column price holds 'many'", id="text as a number",
    ),
    pytest.param({"price": ["a"] * NUM}, {}, "holds only 'a'", id="one class"),
    pytest.param(
        {"price": with_cell(["a", "b"] * 30, 0, "c")}, {}, "class c has 1 example", id="class of 1"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "changes", "message"), BAD)
def test_a_wrong_table_is_one_sentence(columns, changes, message, tmp_path):
    cfg = csv(write(tmp_path / "a.csv", **columns), **changes)
    for act in (data.describe, lambda cfg: data.build(cfg, 0)):
        with pytest.raises(UserError, match=message) as caught:
            act(cfg)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "has no data", id="empty"),
        pytest.param(b"area,price\n", "has no data", id="header only"),
        pytest.param("area,préis\n1,2\n".encode("latin-1"), "is not UTF-8", id="encoding"),
        pytest.param(b"area,price\n1,2,3\n", "line 2 has 3 cells, expected 2", id="ragged"),
        pytest.param(b"price\n1\n2\n3\n", "holds no column besides the target", id="target only"),
        pytest.param(b"a,a,price\n1,2,3\n", "two columns are named 'a'", id="doubled"),
    ],
)
def test_a_damaged_file_is_one_sentence(content, message, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        data.describe(csv(tmp_path / "a.csv"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        data.describe(csv(tmp_path / "none.csv"))


def test_a_column_without_values_in_training_rows_is_refused():
    columns = Columns(("size", "age"), (), ())
    with pytest.raises(UserError, match="no training row has a value in age"):
        measure(Normalization.none, columns, np.array([[1, np.nan], [2, np.nan]]))


def test_one_changed_cell_changes_the_fingerprint(tmp_path):
    prints = []
    for area in (AREAS[11], AREAS[11] + 1):
        path = write(tmp_path / "a.csv", area=with_cell(AREAS, 11, area))
        prints.append(data.build(csv(path), 0).fingerprint)
    assert sum(prints[0][split] != prints[1][split] for split in prints[0]) == 1


def test_the_same_row_with_the_same_target_in_training_and_test_is_counted(tmp_path):
    path = write(tmp_path / "a.csv", area=[5] * NUM, price=[7] * NUM)
    built = data.build(csv(path), 0)
    assert built.num_leaked == built.spec.num_test


def test_rows_that_only_differ_in_their_target_are_no_leak(tmp_path):
    path = write(tmp_path / "a.csv", area=[5] * NUM, price=list(range(NUM)))
    assert data.build(csv(path), 0).num_leaked == 0


def test_official_splits_are_compared_whatever_the_width_of_their_numbers():
    x, y = np.arange(6).reshape(3, 2), np.arange(3)
    train = Split(x.astype(np.float64), y.astype(np.int64))
    test = Split(x[1:].astype(np.float32), np.array([1, 5], np.int32))
    assert num_leaked(train, test, Layout.table) == 1
