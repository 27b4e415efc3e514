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
        ("length,kind\n1,cats\n", "expected a column of new.csv: length, kind"),
        ("size,sort\n1,cats\n", "dataset.target: received 'kind'"),
    ],
)
def test_a_table_is_refused_before_the_model_is_loaded(project, content, part):
    (project / "new.csv").write_text(content)
    cfg = composed("dataset=table_csv", "dataset.path=new.csv", "dataset.target=kind")
    with pytest.raises(UserError, match=part):
        evaluate(model(TABLE), cfg)


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


@pytest.mark.parametrize("cell", ["", "x", "nan", "inf"])
def test_a_cell_that_is_not_a_finite_number_is_named_with_its_line(project, cell):
    (project / "new.csv").write_text(f"sales,visits\n1,1\n2,2\n{cell},3\n4,4\n5,5\n")
    part = f"new.csv: line 4: column sales holds '{cell}', which is not a finite number"
    with pytest.raises(UserError, match=part):
        evaluate(model(SERIES, "forecast", []), series_cfg())
