"""New data that `samerun evaluate` refuses without loading the model; the windows of a series."""

import numpy as np
import pytest

from samerun import config
from samerun.errors import UserError
from samerun.raw_model import RawModel
from samerun.serving.evaluate import evaluate

ONE = {"offset": 0.0, "scale": 1.0}
TABLE = {
    "kind": "table",
    "numeric": ["size"],
    "categorical": [],
    "categories": [],
    "is_known": [],
    "fills": None,
    "missing": "refuse",
    "scaling": ONE,
}
SERIES = {
    "kind": "series",
    "columns": ["sales", "visits"],
    "date": None,
    "frequency": None,
    "window": 2,
    "horizon": 2,
    "scaling": {"offset": [0.0, 100.0], "scale": [1.0, 10.0]},
}
IMAGE = {"kind": "image", "column": "image", "shape": [2, 2, 3], "encoded": True}
TEXT = {"kind": "text", "column": "text"}
NAMES = ["cats", "dogs"]


def model(form, task="binary", names=NAMES, network=None):
    targets = [] if names else ["sales"]
    output = {"class_names": names, "targets": targets, "target_scaling": None}
    made = {"format": 1, "task": task, "batch_size": 99, "input": form, "output": output}
    return RawModel(made, network)


def composed(*overrides):
    return config.compose(list(overrides)).config


def images_cfg(path):
    return composed("dataset=image_folder", f"dataset.path={path}")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("size,kind\n1,cats\n2,fish\n", "received the class 'fish', expected those of the run"),
        ("size,kind\n1,cats\n2,\n", "new.csv: line 3: received the class '', expected those of"),
        ("length,kind\n1,cats\n", "expected a column of new.csv: length, kind"),
        ("size,sort\n1,cats\n", "dataset.target: received 'kind'"),
    ],
)
def test_a_table_is_refused_before_the_model_is_loaded(project, content, part):
    (project / "new.csv").write_text(content)
    cfg = composed("dataset=table_csv", "dataset.path=new.csv", "dataset.target=kind")
    with pytest.raises(UserError, match=part):
        evaluate(model(TABLE), cfg)


@pytest.mark.parametrize("dataset", ["image_folder", "text_folder", "text_csv"])
def test_a_class_that_the_run_does_not_have_is_refused(project, dataset):
    form, ending = (IMAGE, "png") if dataset == "image_folder" else (TEXT, "txt")
    for name in ("cats", "dgos"):
        (project / "new" / name).mkdir(parents=True)
        (project / "new" / name / f"1.{ending}").write_bytes(b"\x89PNG\r\n\x1a\n")
    (project / "new.csv").write_text("text,label\na text,cats\na text,dgos\n")
    path = "new.csv" if dataset == "text_csv" else "new"
    place = "new.csv: line 3: " if dataset == "text_csv" else ""
    with pytest.raises(UserError) as caught:
        evaluate(model(form), composed(f"dataset={dataset}", f"dataset.path={path}"))
    assert str(caught.value).startswith(f"{place}received the class 'dgos', expected those of")
    assert "Did you mean 'dogs'?" in str(caught.value)


def test_a_target_that_is_no_number_is_refused(project):
    (project / "new.csv").write_text("size,price\n1,2\n2,cats\n")
    cfg = composed("dataset=table_csv", "dataset.path=new.csv", "dataset.target=price")
    with pytest.raises(UserError, match="line 3: column price holds 'cats', which is not a finite"):
        evaluate(model(TABLE, "regression", []), cfg)


def test_a_row_that_the_model_refuses_ends_the_evaluation_with_its_line(project):
    (project / "new.csv").write_text("size,kind\n1,cats\n\nwide,dogs\n")
    cfg = composed("dataset=table_csv", "dataset.path=new.csv", "dataset.target=kind")
    with pytest.raises(UserError) as caught:
        evaluate(model(TABLE), cfg)
    assert str(caught.value) == (
        "new.csv: line 4: column size holds 'wide', expected a finite number; all rows are needed "
        "for an evaluation."
    )


def test_data_without_a_file_is_refused(project):
    with pytest.raises(UserError, match="dataset=digits has no file of new data"):
        evaluate(model(IMAGE), composed("dataset=digits"))
    (project / "new.csv").write_text("text,label\na,cats\n")
    cfg = composed("dataset=text_csv", "dataset.path=new.csv")
    with pytest.raises(UserError, match="another kind of input, table"):
        evaluate(model(TABLE), cfg)


def test_images_are_found_by_the_rules_of_training(project):
    png = b"\x89PNG\r\n\x1a\n"
    for part in ("train", "test"):
        for name in NAMES:
            (project / "both" / part / name).mkdir(parents=True)
            (project / "both" / part / name / "1.png").write_bytes(png)
    with pytest.raises(UserError, match="with the subfolders train and test.*dataset.path=both/te"):
        evaluate(model(IMAGE), images_cfg("both"))
    (project / "elsewhere.png").write_bytes(png)
    (project / "both" / "test" / "cats" / "2.png").symlink_to(project / "elsewhere.png")
    with pytest.raises(UserError, match="outside the folder"):
        evaluate(model(IMAGE), images_cfg("both/test"))


def test_a_text_that_is_a_link_is_not_left_out(project):
    for name in NAMES:
        (project / "texts" / name).mkdir(parents=True)
        (project / "texts" / name / "1.txt").write_text("a text")
    (project / "texts" / "cats" / "2.txt").symlink_to(project / "texts" / "dogs" / "1.txt")
    (project / "texts" / "cats" / "1.txt").write_bytes(b"\xff")
    cfg = composed("dataset=text_folder", "dataset.path=texts")
    with pytest.raises(UserError, match="texts/cats/1.txt: is not UTF-8"):
        evaluate(model(TEXT), cfg)


class Recording:
    """A network that keeps what it receives and returns the last value of each window, twice."""

    def predict_on_batch(self, x):
        self.x = np.array(x)
        return np.repeat(x[:, -1:, 0], 2, axis=1)


def series_cfg():
    words = ("dataset.window=2", "dataset.horizon=2", "dataset.target=sales")
    features = "dataset.features=[sales,visits]"
    return composed("dataset=series_csv", "dataset.path=new.csv", *words, features)


def test_every_window_of_a_series_is_evaluated_with_what_follows_it(project):
    lines = [f"{day},{10 * day}" for day in range(6)]
    (project / "new.csv").write_text("\n".join(["sales,visits", *lines, ""]))
    network = Recording()
    report = evaluate(model(SERIES, "forecast", [], network), series_cfg())
    expected = [[[at, at - 10], [at + 1, at - 9]] for at in range(3)]
    assert network.x.tolist() == expected
    # the last value is repeated: the errors are 1 and 2
    assert report.metrics["mean_absolute_error"] == 1.5


def test_a_series_that_is_too_short_for_a_window_is_refused(project):
    (project / "new.csv").write_text("sales,visits\n1,1\n2,2\n3,3\n")
    with pytest.raises(UserError, match="has 3 time steps, expected at least 4"):
        evaluate(model(SERIES, "forecast", []), series_cfg())


@pytest.mark.parametrize("cell", ["", "x", "nan", "inf"])
def test_a_cell_that_is_not_a_finite_number_is_named_with_its_line(project, cell):
    (project / "new.csv").write_text(f"sales,visits\n1,1\n2,2\n{cell},3\n4,4\n5,5\n")
    part = f"new.csv: line 4: column sales holds '{cell}', which is not a finite number"
    with pytest.raises(UserError, match=part):
        evaluate(model(SERIES, "forecast", []), series_cfg())
