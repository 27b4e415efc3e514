"""The flow in one process: what a run comes to, and what it leaves in the store."""

import contextlib
import csv
import dataclasses
import hashlib
import json
import math
import pickle
import re
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import samerun as package
from samerun import config, data, tags, tracking
from samerun.config.schema import options
from samerun.errors import Diverged
from samerun.tensorboard import histogram
from support.project import values
from support.resuming import run_in, train
from support.tables import mostly_slow

QUICK = ("dataset.limit=200", "training.epochs=2", "model=mlp", "model.units=[16]")
PLAIN = ("tracking=lean",)
DROPPED = ("model.dropout=0.5", "training.steps_per_execution=1")
STOPPED = (
    "training.epochs=30",
    "training.early_stopping.patience_epochs=4",
    "training.early_stopping.min_delta=100",
    "schedule=reduce_on_plateau",
    "schedule.patience_epochs=1",
    "schedule.min_delta=100",
    "schedule.warmup_epochs=1",
    "dataset.test_fraction=0",
)
"""Nothing is an improvement, and there is no test split."""
NO_PARAMETERS = {"tracking", "checkpoint", "evaluation"}
"""Groups that cannot change what is trained."""


@pytest.fixture(scope="session")
def trained_once(made_once):
    """Trains once per session, whatever the number of test processes, and in a folder of its own.

    The function takes a name, what trains, and what it asks of the trained model; it returns the
    result without the model, and the answer.
    """

    def once(name, train, ask=lambda model: None):
        def fill(folder):
            with contextlib.chdir(folder):
                result = train(folder)
                kept = dataclasses.replace(result, model=None), ask(result.model)
            (folder / "kept.pickle").write_bytes(pickle.dumps(kept))

        return pickle.loads((made_once(name, fill) / "kept.pickle").read_bytes())

    return once


def probabilities_of(model):
    """What a model of digits makes of random images, and these images."""
    x = np.random.default_rng(0).integers(0, 17, (3, 8, 8, 1), dtype=np.uint8)
    return x, model.predict(x.astype(np.float32) / 16, verbose=0)


@pytest.fixture
def trained(prepared_database, trained_once, shared_folder, monkeypatch):
    """One run with everything on, looked at by many tests; some probabilities of its model."""

    def train_all(folder):
        shutil.copy(prepared_database, folder / "mlflow.db")
        overrides = [*QUICK, "model=cnn", "model.filters=[4]", "tracking.log_every_steps=5"]
        overrides.remove("model.units=[16]")
        return package.train([*overrides, "+tracking.tags.course=dl1"])

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result, probabilities = trained_once("finished", train_all, probabilities_of)
    monkeypatch.chdir(shared_folder / "finished")
    return result, probabilities


@pytest.fixture
def finished(trained):
    """That run: its result, MLflow's client on its store, and what that says of it."""
    result, _ = trained
    client = tracking.connect(tracking.resolve_uri(None))
    return result, client, client.get_run(result.run_id)


@pytest.fixture
def plain(trained_once):
    """Trains with some overrides, once for all tests; what is not recorded takes less time."""

    def once(*overrides):
        return trained_once(
            f"plain-{hashlib.sha256(repr(overrides).encode()).hexdigest()}",
            lambda folder: train([*QUICK, *DROPPED, *overrides], run_in(folder)),
        )[0]

    return once


def test_every_setting_that_can_change_the_result_is_a_parameter_under_its_overrides_name(finished):
    result, client, run = finished
    resolved = client.download_artifacts(result.run_id, "config/resolved.yaml")
    cfg = config.from_yaml(Path(resolved).read_text())
    leaves, params = config.flatten(cfg), run.data.params
    assert params.items() <= leaves.items()
    assert params["model.filters"] == "[4]"
    assert not [key for key in params if key.partition(".")[0] in NO_PARAMETERS]
    hidden = leaves.keys() - params.keys()
    others = {key for key in hidden if key.partition(".")[0] not in NO_PARAMETERS}
    assert others == {"training.steps_per_execution"}
    again = config.compose([f"{key}={value}" for key, value in params.items()]).config
    assert config.fingerprint(again) == run.data.tags["samerun.fingerprint.config"]


def test_each_epoch_is_logged_once(finished):
    result, client, _ = finished
    expected = {"train/loss", "train/accuracy", "validation/loss", "validation/accuracy"}
    assert expected | {"learning_rate"} == set(result.history)
    for name, logged in result.history.items():
        assert values(client, result.run_id, name) == list(enumerate(logged, start=1))
    for name in ("system/epoch_seconds", "system/process_memory_megabytes"):
        assert [step for step, _ in values(client, result.run_id, name)] == [1, 2]


def test_a_run_without_figures_draws_none(plain):
    result = plain()
    assert (result.folder / "evaluation" / "predictions.npz").exists()
    assert not (result.folder / "plots").exists()


def test_steps_are_logged_on_request_and_add_up_to_the_epoch(finished):
    result, client, _ = finished
    steps = values(client, result.run_id, "train/step_loss")
    assert [step for step, _ in steps[:2]] == [5, 10]
    per_epoch = math.ceil(200 / 16)
    first = [value for step, value in steps if step <= per_epoch]
    assert np.isclose(np.mean(first), result.history["train/loss"][0], rtol=0.2)


def test_the_test_metrics_are_those_of_the_best_weights(finished):
    result, client, run = finished
    losses = result.history["validation/loss"]
    assert result.best_epoch == losses.index(min(losses)) + 1
    assert run.data.metrics["test/accuracy"] == result.metrics["test/accuracy"]
    assert run.data.metrics["best_epoch"] == result.best_epoch
    assert run.data.metrics["validation/best/loss"] == min(losses)
    best = result.history["validation/accuracy"][result.best_epoch - 1]
    assert run.data.metrics["validation/best/accuracy"] == best


def test_tags_describe_the_run(finished):
    result, _, run = finished
    tags = run.data.tags
    assert tags["samerun.task"] == "multiclass"
    assert tags["course"] == "dl1"
    assert tags["samerun.folder"] == str(result.folder)
    assert tags["samerun.weights"] == result.weights_digest
    assert tags["samerun.command"].startswith("samerun train dataset.limit=200")
    digests = dict(part.split("=") for part in tags["samerun.digests"].split())
    assert [*digests] == ["train", "validation", "test"]
    assert {len(digest) for digest in digests.values()} == {64}
    assert run.info.status == "FINISHED"
    assert result.sentence in tags["mlflow.note.content"]


def test_the_splits_are_inputs_of_the_run(finished):
    _, _, run = finished
    contexts = {
        tag.value: entry.dataset.digest
        for entry in run.inputs.dataset_inputs
        for tag in entry.tags
        if tag.key == "mlflow.data.context"
    }
    assert set(contexts) == {"train", "validation", "test"}
    assert len(set(contexts.values())) == 3


def paths_below(client, run_id, folder=None):
    for entry in client.list_artifacts(run_id, folder):
        if entry.is_dir:
            yield from paths_below(client, run_id, entry.path)
        else:
            yield entry.path


def test_artifacts_are_all_there(finished):
    result, client, _ = finished
    paths = set(paths_below(client, result.run_id))
    expected = {
        "config/resolved.yaml",
        "config/composed.yaml",
        "config/overrides.txt",
        "provenance/provenance.json",
        "provenance/requirements.txt",
        "model_summary.txt",
        "history.csv",
        "result.json",
        "evaluation/per_class.csv",
        "plots/learning_curves.png",
        "plots/schedule.png",
        "plots/confusion_matrix.png",
        "plots/roc.png",
        "plots/precision_recall.png",
        "plots/mistakes.png",
    }
    assert expected <= paths
    documented = [re.escape(path).replace("NAME", ".+") for path in tags.ARTIFACTS]
    assert [p for p in paths if not any(re.fullmatch(one, p) for one in documented)] == []
    assert any(path.startswith("tensorboard/train/") for path in paths)
    assert any(path.startswith("tensorboard/validation/") for path in paths)


def test_history_csv_holds_the_exact_numbers(finished):
    result, client, _ = finished
    with open(client.download_artifacts(result.run_id, "history.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train/loss"]) for row in rows] == result.history["train/loss"]


def test_provenance_names_packages_machine_and_code(finished):
    result, client, _ = finished
    path = client.download_artifacts(result.run_id, "provenance/provenance.json")
    found = json.loads(Path(path).read_text())
    assert found["packages"]["keras"].startswith("3.")
    assert found["machine"]["num_cores"] >= 1
    assert len(found["code"]["digest"]) == 64


def test_the_stored_model_predicts_as_the_trained_one(trained):
    result, (x, expected) = trained
    mlflow.set_tracking_uri(tracking.resolve_uri(None))
    stored = mlflow.pyfunc.load_model(f"runs:/{result.run_id}/model")
    images = pd.DataFrame({"image": [tf.io.encode_png(image).numpy() for image in x]})
    found = stored.predict(images)[[f"probability_{digit}" for digit in range(10)]]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_tensorboard_files_hold_scalars_histograms_hparams_and_pictures(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result, _, _ = finished
    folder = result.folder / "tensorboard"
    train, root = EventAccumulator(str(folder / "train")), EventAccumulator(str(folder))
    train.Reload()
    root.Reload()
    validation = EventAccumulator(str(folder / "validation"))
    validation.Reload()
    for files in (train, validation):  # MLflow's train/loss and validation/loss, and its epochs
        epochs = [event.step for event in files.Tensors("loss")]
        assert epochs == list(range(1, len(result.history["train/loss"]) + 1))
    assert {"loss", "accuracy", "learning_rate"} <= set(train.Tags()["tensors"])
    assert not any(tag.startswith("epoch_") for tag in train.Tags()["tensors"])
    assert any("histogram" in tag for tag in train.Tags()["tensors"])
    assert "keras" in train.PluginTagToContent("graph_keras_model")
    assert "evaluation/mistakes" in root.Tags()["images"]
    assert "_hparams_/session_start_info" in root.PluginTagToContent("hparams")


# ---- results


def same(first, second):
    return first.weights_digest == second.weights_digest and first.history == second.history


def test_the_same_run_twice_in_a_process_is_equal_bit_for_bit(project):
    recorded = package.train([*QUICK, *PLAIN, *DROPPED])
    assert same(train([*QUICK, *DROPPED], run_in(project / "again")), recorded)


def test_another_seed_is_another_run(plain):
    first, second = plain(), plain("seed=1")
    assert first.weights_digest != second.weights_digest
    assert first.metrics["test/baseline_accuracy"] == second.metrics["test/baseline_accuracy"]


@pytest.mark.slow
def test_steps_per_execution_changes_the_speed_and_not_the_result(plain):
    assert same(plain(), plain("training.steps_per_execution=5"))


@pytest.mark.parametrize(
    "precision", [pytest.param("mixed_bfloat16", marks=pytest.mark.slow), "mixed_float16"]
)
def test_mixed_precision_trains_and_logs_the_learning_rate(project, precision):
    result = package.train([*QUICK, *PLAIN, "training.epochs=1", f"training.precision={precision}"])
    assert all(0 < rate < 0.1 for rate in result.history["learning_rate"])
    assert math.isfinite(result.metrics["test/accuracy"])


def test_a_value_that_is_not_finite_ends_the_run_as_failed(project):
    overrides = [*QUICK, *PLAIN, "optimizer=sgd", "optimizer.learning_rate=1e30"]
    with pytest.raises(Diverged, match="train/loss is"):
        package.train(overrides)
    (run,) = tracking.find_runs()
    assert run.status == "FAILED"
    assert "epoch 1, step" in run.tags["samerun.reason"]
    assert "test/accuracy" not in run.metrics


def test_early_stopping_stops(plain):
    result = plain(*STOPPED)
    assert len(result.history["train/loss"]) == 5
    assert result.best_epoch == 1


def test_plateau_cuts_the_learning_rate_after_the_warm_up(plain):
    rates = plain(*STOPPED).history["learning_rate"]
    assert rates[1] == pytest.approx(0.001)
    assert rates[2:] == pytest.approx([0.0005, 0.00025, 0.000125])


@pytest.mark.slow
def test_the_average_of_weights_is_what_is_validated_and_kept(plain, tmp_path):
    average = ("optimizer.use_ema=true", "optimizer.ema_momentum=0.999")
    usual, averaged = plain(), train([*QUICK, *DROPPED, *average], run_in(tmp_path))
    assert averaged.history["train/loss"] == usual.history["train/loss"]
    # An average that hardly moves leaves the model near where it began.
    assert averaged.history["validation/loss"][-1] > usual.history["validation/loss"][-1]
    assert loss_on_validation(averaged) == pytest.approx(averaged.objective, rel=1e-5)


def loss_on_validation(result):
    cfg = config.compose([*QUICK, *PLAIN]).config
    built = data.build(cfg.dataset, cfg.seed)
    probabilities = result.model.predict(built.validation, verbose=0)
    labels = built.labels("validation")
    return -np.log(probabilities[np.arange(len(labels)), labels]).mean()


def test_the_weights_kept_are_those_of_the_best_epoch(project):
    overrides = [
        *QUICK,
        *PLAIN,
        "training.epochs=6",
        "schedule=constant",
        "optimizer.learning_rate=1",
    ]
    result = package.train(overrides)
    losses = result.history["validation/loss"]
    assert losses.index(min(losses)) < 5, "the last epoch was the best: nothing is tested"
    assert loss_on_validation(result) == pytest.approx(min(losses), rel=1e-4)


def test_without_a_test_split_the_validation_split_is_reported(plain):
    metrics = plain(*STOPPED).metrics
    assert "validation/accuracy" in metrics
    assert not [name for name in metrics if name.startswith("test/")]


def test_balanced_classes_weigh_the_loss(plain):
    balanced = plain("training.balance_classes=true")
    assert balanced.history["train/loss"] != pytest.approx(plain().history["train/loss"], rel=1e-3)


@pytest.mark.parametrize("option", mostly_slow(options("debug"), "profile"))
def test_debug_switches_run(project, option, capsys):
    overrides = ["model=mlp", "model.units=[8]", f"debug={option}", "training.epochs=1"]
    overrides += ["dataset.limit=32"] if option == "overfit" else ["dataset.limit=640"]
    overrides += [*PLAIN, f"tracking.tensorboard={str(option == 'profile').lower()}"]
    result = package.train(overrides)
    assert result.run_id
    if option == "profile":
        assert list((result.folder / "tensorboard").rglob("*.xplane.pb"))
        rows = (result.folder / "artifacts" / "seconds.csv").read_text().splitlines()
        parts = {name: float(value) for name, value in (row.split(",") for row in rows[1:])}
        assert {"data", "network", "trace", "steps", "validation", "evaluation"} <= set(parts)
        assert {"imports", "tracking", "callback Checkpoints", "callback EventFiles"} <= set(parts)
        assert min(parts.values()) >= 0
        printed = capsys.readouterr().out
        assert all(f"\n{name} " in printed for name in parts)
    else:
        assert not (result.folder / "artifacts" / "seconds.csv").exists()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.random.default_rng(0).normal(size=(40, 50)).astype("f4"), id="many"),
        pytest.param(np.array([3.0, 3.0]), id="equal"),
        pytest.param(np.zeros((0, 2)), id="none"),
        pytest.param(np.array([-1.0, 0.5, 2.0]).astype("f2"), id="float16"),
    ],
)
def test_histograms_of_weights_are_those_of_tensorboard(values):
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb

    expected = tf.make_ndarray(histogram_pb("", values).value[0].tensor)
    np.testing.assert_allclose(histogram(values), expected, rtol=1e-12)


def test_weights_that_are_not_finite_are_left_out_of_their_histogram():
    values = np.array([1.0, np.nan, 2.0, -np.inf])
    np.testing.assert_array_equal(histogram(values), histogram(np.array([1.0, 2.0])))
