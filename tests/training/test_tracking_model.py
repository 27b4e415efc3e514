"""A stored Keras model: loads without samerun, stands on the run's page, and is quick to store."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from samerun import config, data, tracking
from support.project import PROGRAMS


@pytest.fixture
def model():
    import keras

    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 1))
    hidden = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    hidden = keras.layers.Dropout(0.5)(keras.layers.Flatten()(hidden))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden))


@pytest.mark.slow
def test_a_stored_model_loads_and_predicts_without_samerun(model, tmp_path, monkeypatch, caplog):
    import numpy as np
    from mlflow.keras import save

    monkeypatch.chdir(tmp_path)
    uri = tracking.resolve_uri("sqlite:///mlflow.db")
    cfg = config.compose(["tracking.uri=sqlite:///mlflow.db"]).config
    example = np.random.default_rng(0).random((32, 8, 8, 1), dtype="float32")
    inferred = []  # by MLflow, which takes 9 to 14 s
    monkeypatch.setattr(save, "infer_pip_requirements", lambda *given, **_: inferred.append(given))
    with tracking.open_run(cfg, Path("1")) as run:
        run.log_params({"model": "cnn"})
        run.log_model(model, example)
        assert run.flush()
        run.log_model(model, example)  # once more, as after an outage: no second model
    assert caplog.messages == []
    assert inferred == []

    client = tracking.connect(uri)
    stored = client.get_run(run.id)
    (entry,) = stored.outputs.model_outputs
    logged = client.get_logged_model(entry.model_id)
    assert (str(logged.status), logged.source_run_id) == ("READY", run.id)
    assert logged.params == {"model": "cnn"}
    needs = (tmp_path / "1/artifacts/model/requirements.txt").read_text().splitlines()
    assert [line.partition("==")[0] for line in needs] == ["mlflow", "tensorflow", "keras", "numpy"]
    assert not list((tmp_path / "mlruns").rglob("*.pkl")) + list(tmp_path.rglob("*.cloudpickle"))

    command = [sys.executable, PROGRAMS / "tracking_loads.py", uri, run.id]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    predicted = np.asarray(json.loads(done.stdout.strip().splitlines()[-1]))
    expected = np.asarray(model(example[:5], training=False))
    np.testing.assert_allclose(predicted, expected, atol=1e-6)


@pytest.mark.slow
def test_a_model_of_raw_input_answers_where_samerun_is_not_installed(model, tmp_path, monkeypatch):
    import keras
    import mlflow
    import numpy as np

    monkeypatch.chdir(tmp_path)
    uri = tracking.resolve_uri("sqlite:///mlflow.db")
    cfg = config.compose(["tracking.uri=sqlite:///mlflow.db", "dataset=digits"]).config
    dataset = data.build(cfg.dataset, seed=0)
    description = data.raw_input(cfg.dataset, dataset)
    description["output"]["class_names"] = ["ape", "bear", "cat"]
    raw = tracking.RawInput(description, data.raw_columns(description, dataset, "train", range(2)))
    with tracking.open_run(cfg, Path("1")) as run:
        run.log_model(model, np.zeros((2, 8, 8, 1), "float32"), raw)
        assert run.flush()
    command = [sys.executable, PROGRAMS / "tracking_loads.py", uri, run.id]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    inputs = dataset.preprocessing(dataset.examples("train", range(2)))
    expected = np.asarray(model.predict_on_batch(inputs)).astype(float)
    for at, name in enumerate(("ape", "bear", "cat")):
        assert answer[f"probability_{name}"] == expected[:, at].tolist()
    assert answer["label"] == [["ape", "bear", "cat"][at] for at in expected.argmax(axis=1)]
    assert not list((tmp_path / "mlruns").rglob("*.pkl"))
    mlflow.set_tracking_uri(uri)
    plain = mlflow.keras.load_model(f"runs:/{run.id}/model")
    assert isinstance(plain, keras.Model)


def test_a_model_that_cannot_be_stored_does_not_end_the_run(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    cfg = config.compose(["tracking.uri=sqlite:///mlflow.db"]).config
    with tracking.open_run(cfg, Path("1")) as run:
        run.log_model("no model", [[1.0]])
    client = tracking.connect(tracking.resolve_uri("sqlite:///mlflow.db"))
    assert client.get_run(run.id).info.status == "FINISHED"
    assert [message for message in caplog.messages if "could not be stored" in message]
    shutil.rmtree(tmp_path / "mlruns", ignore_errors=True)


def test_a_model_has_the_last_metrics_of_its_run_and_the_run_gets_no_point_twice(
    model, tmp_path, monkeypatch
):
    import numpy as np

    monkeypatch.chdir(tmp_path)
    uri = tracking.resolve_uri("sqlite:///mlflow.db")
    cfg = config.compose(["tracking.uri=sqlite:///mlflow.db"]).config
    example = np.zeros((2, 8, 8, 1), dtype="float32")
    with tracking.open_run(cfg, Path("1")) as run:
        for step, value in enumerate([0.5, 0.25, float("nan")], start=1):
            points = {"train/loss": value, "validation/loss": value / 2}
            run.log_metrics(points | {"system/epoch_seconds": 1.0}, step=step)
        run.log_metrics({"test/accuracy": 0.75}, step=3)
        run.log_model(model, example)
        assert run.flush()
        run.log_model(model, example)  # as after an outage
    client = tracking.connect(uri)
    (entry,) = client.get_run(run.id).outputs.model_outputs
    found = {one.key: one for one in client.get_logged_model(entry.model_id).metrics}
    assert found.keys() == {"train/loss", "validation/loss", "test/accuracy"}
    assert (found["test/accuracy"].value, found["test/accuracy"].step) == (0.75, 3)
    for name, number in (("train/loss", 3), ("test/accuracy", 1), ("system/epoch_seconds", 3)):
        assert len(client.get_metric_history(run.id, name)) == number
