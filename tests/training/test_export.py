"""`samerun export`: a recorded model in other formats, compared with what the run predicted."""

import json
import logging
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import samerun as package
from samerun import cli, config, tracking
from samerun.errors import UserError
from samerun.serving import export, formats, logged
from samerun.serving.earlier import describe_earlier
from support.tables import mostly_slow

LEAN = ("training.epochs=1", "tracking=lean", "tracking.log_model=true")


def write_table(seed=0):
    random = np.random.default_rng(seed)
    rows = random.normal(size=(80, 2)).round(3)
    lines = [f"{a},{b},{7 * a - b + 30:.3f}" for a, b in rows.tolist()]
    Path("table.csv").write_text("a,b,y\n" + "\n".join(lines) + "\n")


def train_table():
    write_table()
    words = ("dataset=table_csv", "dataset.path=table.csv", "dataset.target=y", "model=mlp")
    more = ("dataset.target_type=numbers", "model.units=[4]", "dataset.standardize_target=true")
    return package.train([*LEAN, *words, *more]).run_id


def train_rows():
    words = ("model=lstm", "model.units=[4]", "dataset=digits", "dataset.view=rows")
    return package.train([*LEAN, *words, "dataset.limit=200"]).run_id


@pytest.fixture
def table(project, recorded_runs):
    return recorded_runs.copy("exported_table", train_table)


@pytest.fixture
def rows(project, recorded_runs):
    return recorded_runs.copy("exported_rows", train_rows)


@pytest.mark.parametrize("name", mostly_slow(formats.FORMATS, "keras"))
def test_every_format_predicts_what_the_run_predicted(name, table, capsys):
    for module in formats.FORMATS[name].modules:
        pytest.importorskip(module)
    assert cli.main(["export", table, "--format", name]) == 0
    folder = Path(f"exports/{table[:8]}-{name}")
    manifest = json.loads((folder / "export.json").read_text())
    assert manifest["run"] == table
    assert manifest["largest_difference"] < 1e-5
    assert manifest["num_examples"] == 16
    assert {"preprocessing.json", formats.FORMATS[name].file} <= set(manifest["files"])
    printed = capsys.readouterr().out
    assert "16 test predictions of the run" in printed
    assert "float32 (any, 2)" in printed
    assert not list(Path("exports").glob(".*"))


RAW = """
import sys

sys.modules.update(dict.fromkeys(["samerun", "tensorflow", "keras"]))  # none can be imported
import pandas as pd

{lines}
model = load_export()
print(model.predict(pd.DataFrame({rows}))["y"].tolist())
"""


def test_what_is_beside_it_leads_from_raw_rows_to_the_stored_predictions(table, capsys):
    """By its numbers alone, and in Python by its code."""
    pytest.importorskip("tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    assert cli.main(["export", table, "--format", "onnx", "-o", "made"]) == 0
    told = json.loads(Path("made/preprocessing.json").read_text())
    given, made = told["input"], told["output"]
    assert given["features"] == ["a", "b"]
    file = next(Path("mlruns").rglob("predictions.npz"))
    truth = np.load(file)["truth"].ravel()
    table_rows = np.loadtxt("table.csv", delimiter=",", skiprows=1)
    places = [int(np.abs(table_rows[:, 2] - y).argmin()) for y in truth]
    raw = table_rows[places][:, :2]
    scaling = given["preprocessing"]["scaling"]
    x = ((raw - scaling["offset"]) / scaling["scale"]).astype(np.float32)
    session = onnxruntime.InferenceSession("made/model.onnx")
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    y = y * made["scaling"]["scale"] + made["scaling"]["offset"]
    np.testing.assert_allclose(y, np.load(file)["predicted"], rtol=1e-4)
    printed = capsys.readouterr().out
    lines = re.search(r"^import sys;.*\nfrom .* import load_export$", printed, re.MULTILINE)[0]
    code = RAW.format(lines=lines, rows=dict(zip("ab", raw.T.tolist(), strict=True)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), y[:, 0], rtol=1e-6)


@pytest.mark.slow
def test_what_openvino_lacks_is_one_sentence_and_nothing_is_left(rows, capsys):
    pytest.importorskip("openvino")
    level = logging.root.level
    assert cli.main(["export", rows, "--format", "openvino"]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if "samerun:" in one]
    assert "it has operations that OpenVINO does not have" in line
    assert not list(Path("exports").iterdir())
    assert logging.root.level == level  # of the loggers of a program that calls export


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "tflite"])
def test_a_recurrent_model_needs_nothing_but_the_usual_runtime(name, rows, capsys):
    for module in formats.FORMATS[name].modules:
        pytest.importorskip(module)
    assert cli.main(["export", rows, "--format", name, "-o", "made"]) == 0
    content = Path("made", formats.FORMATS[name].file).read_bytes()
    assert b"Flex" not in content


def test_quantization_is_smaller_and_its_cost_is_printed(table, capsys):
    assert cli.main(["export", table, "--format", "tflite", "--quantize"]) == 0
    printed = capsys.readouterr().out
    assert "quantized − original: difference" in printed
    assert "16 pairs" in printed
    assert Path(f"exports/{table[:8]}-tflite-quantized/model.tflite").exists()


def test_an_export_that_differs_leaves_nothing_behind(table, capsys):
    file = next(Path("mlruns").rglob("predictions.npz"))
    stored = dict(np.load(file))
    np.savez(file, **{**stored, "predicted": stored["predicted"] + np.float32(0.5)})
    assert cli.main(["export", table, "--format", "keras"]) == 2
    assert "more than the tolerance of 0.0001" in capsys.readouterr().err
    assert not list(Path("exports").iterdir())
    assert cli.main(["export", table, "--format", "keras", "--tolerance", "0.5"]) == 0


def test_an_export_that_predicts_nan_is_one_sentence(table, capsys, monkeypatch):
    def load(name, file):
        return formats.Exported(lambda x: np.full((len(x), 1), np.nan, np.float32))

    monkeypatch.setattr(formats, "load", load)
    assert cli.main(["export", table, "--format", "keras"]) == 2
    error = capsys.readouterr().err
    assert "The exported model predicts NaN" in error
    assert "--tolerance" not in error
    assert not list(Path("exports").iterdir())


def test_a_model_that_states_no_shapes_is_one_sentence(table):
    @keras.saving.register_keras_serializable("test_export")
    class Own(keras.Model):
        def call(self, x):
            return x

    run, _ = _stored(table)
    model = Own()
    model(np.ones((1, 2)))
    for check in (logged.check_shapes, describe_earlier):
        with pytest.raises(UserError, match="does not state the shapes of one input"):
            check(run, model)


def test_other_data_is_refused(table, capsys):
    write_table(seed=1)
    assert cli.main(["export", table, "--format", "keras"]) == 2
    assert "is not the one that it was trained with" in capsys.readouterr().err
    assert not list(Path("exports").glob("*"))


def test_data_that_was_moved_is_named(table, capsys):
    Path("moved").mkdir()
    Path("table.csv").rename("moved/table.csv")
    given = ["export", table, "--format", "keras"]
    assert cli.main(given) == 2
    assert cli.main([*given, "dataset.path=moved/table.csv"]) == 0
    assert cli.main([*given, "dataset.seed=1"]) == 2
    assert "expected dataset.path=… with the data of the run" in capsys.readouterr().err


def test_an_earlier_export_is_replaced_and_nothing_else(table, capsys):
    for _ in range(2):
        assert cli.main(["export", table, "--format", "keras", "-o", "made"]) == 0
    Path("made/notes.txt").write_text("mine")
    assert cli.main(["export", table, "--format", "keras", "-o", "made"]) == 2
    assert "notes.txt" in capsys.readouterr().err
    assert Path("made/model.keras").exists()


@pytest.mark.parametrize(
    ("given", "reason"),
    mostly_slow(
        [
            (("--format", "onnx", "--quantize"), "expected with --format tflite"),
            (("--format", "keras", "-o", "model.keras"), "-o model"),
            (("--format", "keras", "-o", "table.csv"), "no folder"),
            (("--format", "keras", "--tolerance", "0"), "above 0"),
            (("--format", "keras", "-o", "mlruns"), "no earlier export"),
            (("--format", "keras", "-o", "objects"), "export.json, which no earlier export wrote"),
            (("--format", "keras", "-o", "lists"), "export.json, which no earlier export wrote"),
        ]
    ),
)
def test_a_mistake_is_one_sentence(given, reason, table, capsys):
    if "onnx" in given:
        pytest.importorskip("tf2onnx")
    for name, content in {"objects": "{}", "lists": "[]"}.items():
        Path(name).mkdir()
        Path(name, "export.json").write_text(content)  # of another program
    assert cli.main(["export", table, *given]) == 2
    assert reason in capsys.readouterr().err


def test_a_missing_package_is_one_sentence_with_the_line_to_type(table, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["export", table, "--format", "onnx"]) == 2
    assert "pip install 'samerun[export]'" in capsys.readouterr().err


def test_a_run_without_a_model_says_how_to_get_one(project, recorded_runs, capsys):
    run_id = recorded_runs.copy("exported_table", train_table)
    client = tracking.connect(tracking.resolve_uri(None))
    (model,) = client.search_logged_models(["1"])
    client.delete_logged_model(model.model_id)
    assert cli.main(["export", run_id, "--format", "keras"]) == 2
    assert f"samerun reproduce {run_id[:8]} tracking.log_model=true" in capsys.readouterr().err


def test_what_a_format_cannot_hold_is_one_sentence(tmp_path):
    pytest.importorskip("tf2onnx")
    import tensorflow as tf

    @keras.saving.register_keras_serializable("test_export")
    class Decomposed(keras.layers.Layer):
        def call(self, x):
            return tf.linalg.cholesky(x)

    model = keras.Sequential([keras.Input((3, 3)), Decomposed()])
    file = tmp_path / "model.onnx"
    formats.write(model, "onnx", file, quantize=False)  # the converter only logs an error
    with pytest.raises(UserError, match=r"--format onnx: .* cannot be run .*saved_model") as caught:
        formats.load("onnx", file)
    assert "\n" not in str(caught.value)


def _stored(run_id):
    (run,) = tracking.find_runs([run_id])
    return run, next(Path("mlruns").rglob("model.keras"))


def test_code_in_a_stored_model_is_not_run(table, capsys):
    run, file = _stored(table)
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Lambda(lambda x: Path("pwned").touch() or x)]
    )
    Path("pwned").unlink(missing_ok=True)
    model.save(file)
    with pytest.raises(UserError, match="without running code"):
        logged.load(run, _config(run), tracking.find_model(run), ())
    assert not Path("pwned").exists()


def test_a_stored_model_that_unpacks_to_gigabytes_is_refused(table):
    run, file = _stored(table)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(250_000_000))
    with pytest.raises(UserError, match="unpack to more than"):
        logged.load(run, _config(run), tracking.find_model(run), ())


def _config(run):
    text = tracking.read_artifact(run, "config/resolved.yaml").decode()
    return config.from_yaml(text)


def test_a_run_of_another_machine_may_not_read_any_file(table, project, capsys):
    """The run's folder is what says that this machine recorded it."""
    shutil.rmtree("outputs")
    write_table()
    file = next(Path("mlruns").rglob("resolved.yaml"))
    file.write_text(file.read_text().replace("path: table.csv", "path: /etc/passwd"))
    assert cli.main(["export", table, "--format", "keras"]) == 2
    assert "outside of the working folder" in capsys.readouterr().err


def test_planning_does_not_train(table):
    (run,) = tracking.find_runs([table])
    plan = export.prepare(run, "keras")
    assert plan.folder == Path(f"exports/{table[:8]}-keras")
