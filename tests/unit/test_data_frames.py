"""Frames that are passed in: what a file cannot keep, or a reader would change, is refused."""

import numpy as np
import pandas as pd
import pytest

import samerun
from samerun import data, errors
from samerun.config.composition import compose
from samerun.data import catalog, passed
from samerun.launch import compose as compose_run
from samerun.launch import with_data

NUM = 60
V = np.random.default_rng(0).normal(size=NUM)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frame(**columns):
    return pd.DataFrame({"y": np.tile([0, 1], NUM // 2), "v": V} | columns)


def pairs(*values):
    return list(values) * (NUM // 2)


def dataset(given, *overrides):
    texts, save = with_data(["model=mlp", "dataset.target=y", *overrides], given)
    return compose_run(texts, save).composition.config.dataset


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        pytest.param(pairs("01234", "1234"), r"dataset.numeric=\[v\]", id="digits"),
        pytest.param(pd.Categorical(pairs(1, 2)), r"dataset.categorical=\[a\]", id="categories"),
        pytest.param(pairs(np.inf, 1.0), "column a holds an infinite value", id="inf"),
        pytest.param(np.array(pairs(None, -np.inf), object), "an infinite value", id="inf object"),
        pytest.param(pairs(1j, 2), "column a is of type complex128", id="complex"),
        pytest.param(np.array(pairs(1j, "b"), object), "holds a complex", id="complex object"),
        pytest.param(pd.to_timedelta(range(NUM), unit="s"), "of type timedelta64", id="spans"),
        pytest.param(
            pd.Series(pairs("\ud800", "b"), dtype=object), "surrogate pair", id="surrogate"
        ),
        pytest.param(pairs("NA", "DE"), "the text 'NA', .* None .*'NA_'", id="no value"),
    ],
)
def test_what_a_table_would_read_as_something_else_is_refused(cells, message, here):
    with pytest.raises(errors.UserError, match=f"^data: .*{message}") as caught:
        dataset(frame(a=cells))
    assert "\n" not in str(caught.value)
    assert not list(here.iterdir())


def test_digits_are_categories_numbers_or_a_target_as_the_overrides_say(here):
    zips = frame(a=pairs("01234", "1234"))
    cfg = dataset(zips, "dataset.numeric=[v]", "dataset.categorical=[a]")
    assert data.describe(cfg).feature_names == ("v", "a=01234", "a=1234", "a=unknown")
    cfg = dataset(zips.astype({"a": float}))
    assert data.describe(cfg).feature_names == ("v", "a")
    named = frame(a=V).assign(y=["1", "2", "3"] * (NUM // 3))
    with pytest.raises(errors.UserError, match="y of text .* `dataset.target_type=classes`"):
        dataset(named)
    spec = data.describe(dataset(named, "dataset.target_type=classes"))
    assert spec.class_names == ("1", "2", "3")


def test_a_line_break_of_any_kind_stays_in_its_cell(here):
    cfg = dataset(frame(a=["x\ry", "x\nz", "b"] * (NUM // 3)))
    assert catalog.load(cfg).examples.x.shape == (NUM, 2)
    assert "a=x\ry" in data.describe(cfg).feature_names


def test_the_digest_is_of_the_types_too(here):
    same = [["1", "2"], [1, 2], [1.0, 2.0], np.int8([1, 2]), pd.Categorical(["1", "2"])]
    paths = [with_data([], pd.DataFrame({"a": cells}))[0][-1] for cells in same]
    assert len(set(paths)) == len(same)
    old, new = (pd.DataFrame({"a": ["x", "z"]}, dtype=dtype) for dtype in (object, "string"))
    assert with_data([], old)[0] == with_data([], new)[0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["experiment=mine"], "received experiment=mine too, expected dataset=table_csv or"),
        (["+dataset=npz"], r"received \+dataset=npz too, expected dataset=table_csv or"),
        (["~dataset"], "received ~dataset too"),
        (["dataset=npz,table_csv"], "received dataset=npz,table_csv too"),
        (["++dataset.path=a.csv"], r"received \+\+dataset.path=a.csv too, expected no dataset"),
    ],
)
def test_another_dataset_is_refused_however_it_is_written(overrides, message, here):
    with pytest.raises(errors.UserError, match=message):
        with_data(overrides, frame())


def test_the_dataset_that_the_overrides_name_reads_the_frame(here):
    for overrides in (["experiment=mine", "dataset=series_csv"], ["dataset='series_csv'"]):
        texts, _ = with_data(overrides, frame())
        assert texts[:-1] == overrides


def test_a_fraction_of_a_split_that_is_given_is_refused(here):
    x, y = V.reshape(-1, 2), np.tile([0, 1], NUM // 4)
    parts = {"train": (x, y), "validation": (x, y)}
    with pytest.raises(errors.UserError, match="a validation split of its own"):
        with_data(["dataset.validation_fraction=0.3"], parts)
    with_data(["dataset.validation_fraction=0.3"], {"train": (x, y), "test": (x, y)})


def test_a_masked_array_is_refused():
    with pytest.raises(errors.UserError, match=r"x is a masked array.*x\.filled\(0\)"):
        passed.prepare([], (np.ma.masked_greater(V.reshape(-1, 2), 1), np.zeros(NUM // 2, int)))


@pytest.mark.parametrize("call", [samerun.train, samerun.sweep])
def test_overrides_in_one_string_are_refused(call, here):
    with pytest.raises(errors.UserError, match=r"received the string '.*', expected a list: \["):
        call("sweep=optuna", data=frame())


@pytest.mark.parametrize(
    ("call", "overrides"),
    [
        (samerun.train, ["model=mlp", "training.epochz=3"]),
        (samerun.train, ["model=mlp", "training.epochs=many"]),
        (samerun.sweep, ["model=mlp", "sweep=optuna", "model.dropuot=0.1,0.2"]),
        (samerun.sweep, ["model=mlp", "sweep=optuna", "training.epochs=many"]),
    ],
)
def test_nothing_is_saved_where_another_override_is_wrong(call, overrides, here):
    with pytest.raises(errors.UserError):
        call([*overrides, "dataset.target=y"], data=frame())
    assert not list(here.iterdir())
    assert compose(["model=mlp"])  # Hydra is usable again
