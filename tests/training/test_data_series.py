"""Time series: windows in the order of time, measured on the past alone, and a user's own CSV."""

from dataclasses import replace

import numpy as np
import pytest

from samerun import data
from samerun.config import Layout, Task, compose
from samerun.config.datasets.base import Normalization
from samerun.data import series
from samerun.data.splits import contiguous, window_starts
from samerun.errors import UserError
from support.tables import mostly_slow


def stock(**changes):
    return replace(compose(["dataset=google_stock"]).config.dataset, **changes)


def own(path, **changes):
    overrides = ["dataset=series_csv", f"dataset.path={path}", "dataset.target=value"]
    return replace(compose(overrides).config.dataset, window=4, batch_size=4, **changes)


def days(num, start="2024-01-01"):
    return np.arange(np.datetime64(start), np.datetime64(start) + num)


def write(path, values, dates=None, other=None):
    """Writes a series whose steps can be recognized by their values."""
    dates = days(len(values)) if dates is None else dates
    other = -np.asarray(values) if other is None else other
    rows = [
        f"{d},{v!r},{o!r}"
        for d, v, o in zip(dates, map(float, values), map(float, other), strict=True)
    ]
    path.write_text("\n".join(["date,value,other", *rows]) + "\n")
    return path


def arrays(batches):
    xs, ys = zip(*((np.asarray(x), np.asarray(y)) for x, y in batches), strict=True)
    return np.concatenate(xs), np.concatenate(ys)


def test_google_stock_is_the_known_series():
    cfg = stock()
    spec = data.describe(cfg)
    assert (spec.task, spec.layout, spec.input_shape) == (
        Task.forecast,
        Layout.sequence,
        (60, 1),
    )
    assert (spec.num_outputs, spec.vocabulary_size, spec.class_names) == (1, None, ())
    # 1,047 days: 670 + 168 + 209, each part less the 60 steps that its first target needs.
    assert (spec.num_train, spec.num_validation, spec.num_test) == (610, 108, 149)
    built = data.build(cfg, 0)
    assert built.spec == spec
    assert built.unit == "$"
    assert built.num_leaked == 0
    assert built.labels("test")[-1, 0] == pytest.approx(362.71)
    assert built.times("test")[-1] == np.datetime64("2008-10-14")
    assert built.baseline_predictions("test")[-1, 0] == pytest.approx(381.02)


@pytest.mark.parametrize(
    "changes",
    mostly_slow(
        [
            pytest.param({"limit": 20}, id="limit"),
            pytest.param({"validation_fraction": 0.0}, id="no validation"),
            pytest.param({"test_fraction": 0.0}, id="no test"),
            pytest.param({"gap": 10, "horizon": 5, "features": ["open", "volume"]}, id="gap"),
        ],
        "gap",
    ),
)
def test_the_description_is_what_is_loaded(changes):
    cfg = stock(**changes)
    built = data.build(cfg, 0)
    assert built.spec == data.describe(cfg)
    for name in ("train", "validation", "test"):
        num, batches = getattr(built.spec, f"num_{name}"), getattr(built, name)
        assert (batches is None) == (num == 0)
        if num:
            x, y = arrays(batches)
            assert x.shape == (num, *built.spec.input_shape)
            assert x.dtype == y.dtype == np.float32
            assert len(built.labels(name)) == len(built.times(name)) == num
            np.testing.assert_array_equal(built.examples(name, range(num)), built.splits[name].x)


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("gap", [0, 2])
def test_no_example_leaves_its_part_of_the_time(horizon, gap, tmp_path):
    path = write(tmp_path / "s.csv", np.arange(60))
    cfg = own(path, horizon=horizon, gap=gap, features=["value"], date_column="date")
    built = data.build(replace(cfg, validation_fraction=0.2), 0)
    seen = {}
    for name, split in built.splits.items():
        np.testing.assert_array_equal(np.diff(split.x[..., 0], axis=1), 1)
        np.testing.assert_array_equal(split.y, split.x[:, -1] + np.arange(1, horizon + 1))
        np.testing.assert_array_equal(split.latest, np.tile(split.x[:, -1], horizon))
        assert split.latest.shape == split.y.shape == (len(split), horizon)
        np.testing.assert_array_equal(split.times, days(60)[split.y[:, 0].astype(int)])
        assert (np.diff(split.times) > np.timedelta64(0)).all()
        seen[name] = set(split.x.ravel().tolist()) | set(split.y.ravel().tolist())
    assert max(seen["train"]) + gap < min(seen["validation"])
    assert max(seen["validation"]) + gap < min(seen["test"])
    assert max(seen["test"]) == 59


def test_a_horizon_is_the_next_days_in_units_and_in_the_batches():
    cfg = stock(horizon=5)
    spec = data.describe(cfg)
    # Each part less the 64 steps that come before the last target of its first example.
    assert (spec.num_outputs, spec.num_train, spec.num_validation, spec.num_test) == (
        5,
        606,
        104,
        145,
    )
    built = data.build(cfg, 0)
    assert built.spec == spec
    prices = series._google_prices()
    truth, today = built.labels("test"), built.baseline_predictions("test")
    np.testing.assert_allclose(truth[-1], prices["close"][-5:], rtol=1e-6)
    np.testing.assert_allclose(today[-1], np.full(5, prices["close"][-6]), rtol=1e-6)
    assert built.times("test")[-1] == prices["date"][-5]
    _, y = arrays(built.test)
    assert y.dtype == np.float32
    np.testing.assert_allclose(built.to_units(y), truth, rtol=1e-6)


def test_all_steps_of_a_horizon_are_scaled_alike():
    built = data.build(stock(horizon=5, drop_remainder=False), 0)
    _, y = arrays(built.train)
    assert built.target_scaling.scale.size == 1
    assert (y.mean(), y.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))
    _, y = arrays(built.validation)
    np.testing.assert_array_equal(y[1:, :-1], y[:-1, 1:])  # a day has one value at any step


def test_parts_follow_each_other_and_windows_fill_them():
    cfg = stock(validation_fraction=0.25, test_fraction=0.2)
    assert contiguous(cfg, 100, gap=3) == {
        "train": range(57),
        "validation": range(60, 77),
        "test": range(80, 100),
    }
    starts = window_starts(cfg, 100, 5, stride=4, gap=3)
    assert list(starts["test"]) == [80, 84, 88, 92]
    assert window_starts(cfg, 100, 20)["test"] == range(80, 81)


def test_the_future_changes_nothing_that_is_measured_or_trained_on(tmp_path):
    values = np.random.default_rng(0).normal(50, 9, 80)
    changed = values.copy()
    changed[64:] *= 1000
    built = []
    for name, numbers in (("a.csv", values), ("b.csv", changed)):
        cfg = own(write(tmp_path / name, numbers), features=["other", "value"])
        built.append(data.build(cfg, 0))
    one, two = built
    assert one.preprocessing.as_dict() == two.preprocessing.as_dict()
    assert one.target_scaling.as_dict() == two.target_scaling.as_dict()
    for mine, other in zip(arrays(one.train), arrays(two.train), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert one.fingerprint["train"] == two.fingerprint["train"]
    assert one.fingerprint["test"] != two.fingerprint["test"]


def test_scaling_is_measured_on_the_days_of_the_training_part():
    cfg = stock(features=["close", "volume"])
    built = data.build(cfg, 0)
    prices = series._google_prices()[:670]
    for place, name in enumerate(cfg.features):
        column = prices[name].astype(np.float64)
        assert built.preprocessing.offset[place] == pytest.approx(column.mean(), rel=1e-6)
        assert built.preprocessing.scale[place] == pytest.approx(column.std(), rel=1e-6)
    _, y = arrays(built.train)
    assert (y.mean(), y.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))


def test_targets_get_their_units_back():
    built = data.build(stock(), 0)
    _, y = arrays(built.test)
    np.testing.assert_allclose(built.to_units(y), built.labels("test"), rtol=1e-6)
    plain = data.build(stock(standardize_target=False), 0)
    _, y = arrays(plain.test)
    np.testing.assert_array_equal(y, plain.labels("test"))
    assert plain.to_units(y) is y
    assert plain.target_scaling is None


def test_unit_scaling_is_by_feature(tmp_path):
    path = write(tmp_path / "s.csv", np.arange(1, 41), other=np.linspace(-500, 1, 40))
    cfg = own(path, features=["value", "other"], normalization=Normalization.unit)
    built = data.build(replace(cfg, validation_fraction=0.25), 0)
    assert built.preprocessing.scale.tolist() == [24, 500]
    x, _ = arrays(built.train)
    assert np.abs(x).max() <= 1


def test_windows_out_of_the_pipeline_are_those_that_can_be_looked_at():
    for limit in (None, 30):
        built = data.build(stock(limit=limit, features=["close", "open"]), 0)
        x, _ = arrays(built.validation)
        raw = built.examples("validation", range(len(x)))
        np.testing.assert_array_equal(x, built.preprocessing(raw))


def test_a_limit_keeps_the_examples_next_to_each_other():
    whole, few = data.build(stock(), 0), data.build(stock(limit=10), 0)
    np.testing.assert_array_equal(few.times("train"), whole.times("train")[-10:])
    np.testing.assert_array_equal(few.times("test"), whole.times("test")[:10])
    assert few.preprocessing.as_dict() == whole.preprocessing.as_dict()


def test_a_series_of_equal_values_is_reported_as_a_leak(tmp_path, caplog):
    built = data.build(own(write(tmp_path / "s.csv", np.full(60, 7))), 0)
    assert built.num_leaked == built.spec.num_test == 8
    (record,) = caplog.records
    assert "8 of 8 test examples are also training examples" in record.getMessage()


def test_one_changed_step_changes_the_fingerprint_of_its_part_only(tmp_path):
    values = np.arange(60.0)
    prints = []
    for add in (0, 1e-9):
        values[25] += add
        prints.append(data.build(own(write(tmp_path / "s.csv", values)), 0).fingerprint)
    assert [prints[0][n] == prints[1][n] for n in ("train", "validation", "test")] == [
        False,
        True,
        True,
    ]


def test_without_features_a_model_sees_the_target_and_dates_are_optional(tmp_path):
    built = data.build(own(write(tmp_path / "s.csv", np.arange(60))), 0)
    assert built.spec.input_shape == (4, 1)
    assert built.times("test") is None
    assert built.unit == ""
    assert built.vocabulary is None
    assert built.text_of("test", 0) is None


@pytest.mark.parametrize(
    ("dates", "line"),
    [
        pytest.param(["2024-03-31T01:30+01:00", "2024-03-31T03:30+02:00"], None, id="clock change"),
        pytest.param(["2024-01-01 08:00:00.5", "2024-01-01T08:00:01"], None, id="times"),
        pytest.param(["2024-01-02", "2024-01-01"], "is earlier", id="falling"),
        pytest.param(["2024-01-02", "2024-01-02"], "occurs twice", id="doubled"),
        pytest.param(["2024-01-02", "2.1.2024"], "expected an ISO date", id="not ISO"),
        pytest.param(["2024-01-02", ""], "expected an ISO date", id="empty"),
    ],
)
def test_dates_rise_and_a_wrong_one_is_named_by_its_line(dates, line, tmp_path):
    later = [str(day) for day in days(58, "2024-05-01")]
    cfg = own(write(tmp_path / "s.csv", np.arange(60), [*dates, *later]), date_column="date")
    if line is None:
        assert data.describe(cfg).num_train > 0
        return
    with pytest.raises(UserError, match=f"line 3: .*{line}"):
        data.describe(cfg)


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        pytest.param("date,price\n1,2\n", {}, "expected a column of .*: date, price", id="target"),
        pytest.param(
            "value\n1\n2\n",
            {"features": ["valeu"]},
            r"dataset.features: received 'valeu', .*Did you mean 'value'",
            id="feature",
        ),
        pytest.param(
            "value\n1\n", {"date_column": "day"}, "dataset.date_column: received 'day'", id="date"
        ),
        pytest.param("value\n1\n\n2\nnan\n", {}, "line 5: column 'value' holds 'nan'", id="nan"),
        pytest.param("value,b\n1,1\n,1\n", {}, "line 3: column 'value' holds ''", id="missing"),
        pytest.param("value\n1\n1e39\n", {}, "line 3: .*'1e39', expected a number", id="too large"),
        pytest.param(
            "value\n" + "1\n" * 10, {}, "has 1 of 10 steps, expected at least 5 ", id="short"
        ),
        pytest.param("value\n", {}, "has no data", id="no data"),
        pytest.param("", {}, "has no data", id="empty file"),
        pytest.param("value,value\n1,2\n", {}, "two columns are named 'value'", id="doubled name"),
        pytest.param("value,b\n1,2\n3\n", {}, "line 3 has 1 cells, expected 2", id="ragged"),
        pytest.param('value\n"1\n', {}, "is not valid CSV", id="open quote"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(text, changes, message, tmp_path):
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        data.describe(own(path, **changes))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_utf_8_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"dataset.path: received '.*none.csv'"):
        data.describe(own(tmp_path / "none.csv"))
    path = tmp_path / "latin.csv"
    path.write_bytes("value,größe\n1,2\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin.csv: byte 8 \(0xf6\) is not UTF-8"):
        data.describe(own(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"features": ["closed"]}, "Did you mean 'close'", id="feature"),
        pytest.param({"target": "price"}, "dataset.target: received 'price'", id="target"),
        pytest.param({"horizon": 109}, "has 168 of 1047 steps, .* 169 ", id="horizon"),
        pytest.param({"window": 500}, "validation split has 168 of 1047 steps", id="window"),
        pytest.param({"gap": 150}, "expected at least 61 ", id="gap"),
    ],
)
def test_what_the_share_prices_do_not_have_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        data.describe(stock(**changes))


def test_ten_thousand_steps_take_the_memory_of_the_steps(tmp_path):
    cfg = own(write(tmp_path / "s.csv", np.sin(np.arange(10_000))))
    source = series.load_series_csv(replace(cfg, window=500))
    train = source.in_order["train"]
    assert np.shares_memory(train.x, train.windows.steps)
    assert train.windows.steps.nbytes < train.x.nbytes / 400
