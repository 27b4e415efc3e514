"""Folds are scikit-learn's: compared index by index, for sizes that hypothesis chooses."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

from samerun import config, data
from samerun.config.instances import instances_of
from samerun.data.catalog import load
from samerun.data.dataset import split_source
from samerun.data.groups import split_groups
from samerun.data.splits import contiguous, split_indices, window_starts
from samerun.errors import UserError
from samerun.launch import child_of
from support.project import composed

SETTINGS = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def dataset(name, fold, **changes):
    return dataclasses.replace(composed(f"dataset={name}").dataset, fold=fold, **changes)


@pytest.mark.parametrize("official", [None, 7])
@given(
    labels=st.lists(st.integers(0, 2), min_size=40, max_size=90),
    folds=st.integers(2, 5),
    seed=SEEDS,
)
@SETTINGS
def test_folds_of_classes_are_those_of_stratified_k_fold(official, labels, folds, seed):
    labels = np.array([*labels, *([0, 1, 2] * 10)])
    rest = np.arange(len(labels))
    found = []
    for number in range(folds):
        cfg = dataset("digits", f"{number + 1}/{folds}", split_seed=seed, test_fraction=0.2)
        parts = split_indices(cfg, len(labels), official, labels)
        found.append(parts)
        if number == 0:
            test = parts["test"]
            rest = rest if official else np.setdiff1d(rest, test)
        np.testing.assert_array_equal(parts["test"], test)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    expected = splitter.split(rest, labels[rest])
    for parts, (train, validation) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(parts["train"], rest[train])
        np.testing.assert_array_equal(parts["validation"], rest[validation])
        assert not set(parts["train"]) & set(parts["validation"])
    held_out = np.concatenate([parts["validation"] for parts in found])
    np.testing.assert_array_equal(np.sort(held_out), rest)  # each exactly once


@given(num=st.integers(20, 90), folds=st.integers(2, 9), seed=SEEDS)
@SETTINGS
def test_folds_of_numbers_are_those_of_k_fold(num, folds, seed):
    found = []
    for number in range(folds):
        cfg = dataset("diabetes", f"{number + 1}/{folds}", split_seed=seed, test_fraction=0.2)
        found.append(split_indices(cfg, num, None, None))
    rest = np.setdiff1d(np.arange(num), found[0]["test"])
    expected = KFold(folds, shuffle=True, random_state=seed).split(rest)
    for parts, (train, validation) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(parts["test"], found[0]["test"])
        np.testing.assert_array_equal(parts["train"], rest[train])
        np.testing.assert_array_equal(parts["validation"], rest[validation])
    held_out = np.concatenate([parts["validation"] for parts in found])
    np.testing.assert_array_equal(np.sort(held_out), rest)


@given(num=st.integers(60, 300), folds=st.integers(2, 6), gap=st.integers(0, 3))
@SETTINGS
def test_folds_of_a_series_are_those_of_time_series_split(num, folds, gap):
    num_test = round(num * 0.2)
    before = num - num_test - gap
    expected = TimeSeriesSplit(folds, gap=gap).split(np.empty((before, 0)))
    for number, (train, validation) in enumerate(expected, start=1):
        cfg = dataset("google_stock", f"{number}/{folds}", test_fraction=0.2, window=2, horizon=1)
        parts = contiguous(cfg, num, gap)
        assert [*parts["train"]] == train.tolist()
        assert [*parts["validation"]] == validation.tolist()
        assert len(parts["test"]) in (num_test, num_test + 1)
        starts = window_starts(cfg, num, 3, gap=gap)
        for name, part in parts.items():  # each part's examples, none of which crosses a border
            assert [*starts[name]] == [*part[: len(part) - 2]]


def table(fold=None, **changes):
    overrides = ["dataset=table_csv", "dataset.path=t.csv", "dataset.target=y", "dataset.group=who"]
    return dataclasses.replace(composed(*overrides).dataset, fold=fold, **changes)


@given(
    groups=st.lists(st.integers(0, 30), min_size=30, max_size=90),
    folds=st.integers(2, 5),
    test=st.sampled_from([0.0, 0.2]),
    seed=SEEDS,
)
@SETTINGS
def test_grouped_folds_are_those_of_group_k_fold_and_no_group_is_in_two_splits(
    groups, folds, test, seed
):
    groups = np.array([*groups, *range(40, 50)])
    found = []
    for number in range(folds):
        cfg = table(f"{number + 1}/{folds}", split_seed=seed, test_fraction=test)
        found.append(split_groups(cfg, groups))
    rest = np.setdiff1d(np.arange(len(groups)), found[0]["test"])
    expected = GroupKFold(folds).split(rest, groups=groups[rest])
    for parts, (train, validation) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(parts["test"], found[0]["test"])
        np.testing.assert_array_equal(parts["train"], rest[train])
        np.testing.assert_array_equal(parts["validation"], rest[validation])
    single = split_groups(table(split_seed=seed, test_fraction=test), groups)
    np.testing.assert_array_equal(single["test"], found[0]["test"])
    for parts in (*found, single):
        apart = [set(groups[indices]) for indices in parts.values()]
        assert sum(map(len, apart)) == len(set(groups))
        np.testing.assert_array_equal(
            np.sort(np.concatenate([*parts.values()])), np.arange(len(groups))
        )
        assert bool(len(parts["test"])) == bool(test)
        assert len(parts["validation"])


ROWS = [f"{row % 7},{row},{'ab'[row % 5 < 2]},p{row % 10}" for row in range(60)]


def test_a_table_is_split_by_its_group_column_which_is_no_input(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["x,row,y,who", *ROWS]))
    for fold in (None, "1/4", "4/4"):
        cfg = table(fold, path=str(path))
        spec, splits = data.describe(cfg), split_source(cfg, load(cfg))
        assert spec.feature_names == ("x", "row")
        people = {name: {int(row) % 10 for row in one.x[:, 1]} for name, one in splits.items()}
        assert [len(people[name]) for name in ("test", "validation")] == [2, 2 if fold else 1]
        assert set.union(*people.values()) == set(range(10))
        assert sum(map(len, people.values())) == 10
        assert spec.num_train == len(splits["train"])
        assert spec.num_validation == len(splits["validation"])
        few = split_source(dataclasses.replace(cfg, limit=5), load(cfg))
        assert {len(one) for one in few.values()} == {5}


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"group": "household"}, ["dataset.group", "household"]),
        ({"group": "y"}, ["dataset.group", "'y'", "the target", "another column"]),
        ({"fold": "1/9"}, ["9 folds", "at most 8", "column who", "use fewer"]),
        (
            {"validation_fraction": 0.95, "group": "y2"},
            ["column y2", "2 groups", "validation takes 2"],
        ),
        ({"target": "rare", "fold": "1/5"}, ["class 1", "outside the training split"]),
        ({"group": "gap"}, ["line 2 has no value in the group column gap"]),
    ],
)
def test_a_mistake_about_groups_is_one_sentence(tmp_path, changes, facts):
    path = tmp_path / "t.csv"
    rows = [f"{row},{i % 3},{i % 10 // 9},{'' if i == 0 else 1}" for i, row in enumerate(ROWS)]
    path.write_text("\n".join(["x,row,y,who,y2,rare,gap", *rows]))
    cfg = dataclasses.replace(table(path=str(path), numeric=["x"]), **changes)
    with pytest.raises(UserError) as raised:
        data.describe(cfg)
    for fact in facts:
        assert fact in str(raised.value)


@pytest.mark.parametrize("name", ["digits", "diabetes", "google_stock", "python_docs"])
def test_a_dataset_is_described_as_it_is_loaded(name):
    for fold in ("1/5", "5/5"):
        cfg = dataset(name, fold)
        spec = data.describe(cfg)
        splits = split_source(cfg, load(cfg))
        sizes = {split: len(examples) for split, examples in splits.items()}
        assert sizes == {
            "train": spec.num_train,
            "validation": spec.num_validation,
            "test": spec.num_test,
        }


def test_the_test_split_is_that_of_a_run_without_folds():
    before = data.digests(dataset("digits", None))["test"]
    assert {data.digests(dataset("digits", f"{n}/3"))["test"] for n in (1, 2, 3)} == {before}


def test_a_config_without_a_fold_keeps_its_fingerprint_and_an_older_one_is_read():
    cfg = config.compose([]).config
    text = config.to_yaml(cfg)
    older = "".join(
        line
        for line in text.splitlines(True)
        if not line.startswith(("  fold:", "folds:", "seeds:", "workers:"))
    )
    assert len(text.splitlines()) == len(older.splitlines()) + 4
    assert config.from_yaml(older) == cfg
    assert config.fingerprint(config.from_yaml(older)) == config.fingerprint(cfg)
    for change in ("dataset.fold=1/5", "folds=5", "seeds=2"):
        assert config.fingerprint(config.compose([change]).config) != config.fingerprint(cfg)


def test_workers_change_neither_the_fingerprint_nor_a_child():
    one, four = (config.compose(["seeds=5", f"workers={number}"]) for number in (1, 4))
    assert config.fingerprint(one.config) == config.fingerprint(four.config)
    assert config.parameters(one.config) == config.parameters(four.config)
    instance = instances_of(four.config)[2]
    child = child_of(four, instance)
    assert child.config == instance.of(one.config) == config.compose(["seed=2"]).config
    assert child.overrides == ("seed=2",)
    assert config.from_yaml(child.resolved) == child.config


@pytest.mark.parametrize(
    ("overrides", "facts"),
    [
        (["dataset.fold=7/5"], ["7/5", "from 1/5 to 5/5"]),
        (["dataset.fold=0/5"], ["0/5", "from 1/5 to 5/5"]),
        (["dataset.fold=1/1"], ["1/1", "dataset.fold=2/5"]),
        (["dataset.fold=2"], ["'2'", "dataset.fold=2/5", "folds=5"]),
        (["folds=1000", "dataset=diabetes"], ["1000 folds", "at most 354"]),
        (["folds=200"], ["200 folds", "class"]),
        (["folds=100", "dataset=google_stock", "model=forecaster"], ["google_stock", "use fewer"]),
        (
            ["dataset.group=who", "folds=5"],
            ["dataset.group", "dataset=digits, only with table_csv"],
        ),
        (["folds=1"], ["folds", "received 1", "at least 2"]),
        (["seeds=1"], ["seeds", "received 1", "at least 2"]),
        (["seeds=0"], ["seeds", "received 0", "at least 2"]),
        (["seeds=2", "folds=5"], ["seeds=2", "folds=5", "-m seed=0,1 folds=5"]),
        (["workers=2"], ["workers=2", "one run", "seeds=5", "sweep.workers=2"]),
        (["workers=0", "seeds=2"], ["workers", "received 0", "at least 1"]),
        (["folds=5", "dataset.fold=2/5"], ["folds=5", "dataset.fold=2/5", "leave one"]),
    ],
)
def test_a_mistake_is_one_sentence(overrides, facts):
    with pytest.raises(UserError) as raised:
        data.digests(config.compose(overrides).config.dataset)
    for fact in facts:
        assert fact in str(raised.value)
