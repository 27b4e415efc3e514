"""Recorded runs from Python: `samerun.runs` and `samerun.load_run`, without TensorFlow."""

import math

import pytest

import samerun
from samerun import cli, tracking
from support.promoted import log_model


def test_runs_are_a_frame_with_parameters_and_metrics(version_0_1_0):
    frame = samerun.runs()
    assert {"id", "name", "status", "start_time", "params.model", "value"} <= {*frame.columns}
    assert str(frame["start_time"].dt.tz) == "UTC"
    assert frame["start_time"].is_monotonic_decreasing
    assert frame["metrics.test/accuracy"].dropna().between(0, 1).all()
    opened = samerun.runs(opened=True)
    assert len(opened) > len(frame)
    assert set(opened["parent"].dropna()) <= set(frame["id"])


def test_runs_takes_a_filter_and_a_key_to_sort_by(version_0_1_0):
    model = samerun.runs(opened=True)["params.model"].dropna().iloc[0]
    found = samerun.runs(f'params.model = "{model}"', sort="test/accuracy")
    assert set(found["params.model"]) == {model}
    values = [value for value in found["metrics.test/accuracy"] if not math.isnan(value)]
    assert values == sorted(values, reverse=True)
    with pytest.raises(samerun.UserError, match="does not understand"):
        samerun.runs("model is cnn")


def test_a_frame_has_no_control_characters_of_a_store(store):
    store({}, name="a\x1b[31m\nb")
    assert samerun.runs()["name"].tolist() == ["a�[31m�b"]


def test_an_empty_store_is_an_empty_frame(client):
    assert samerun.runs().empty


def test_a_run_is_loaded_with_config_history_predictions_and_figures(version_0_1_0):
    trained = samerun.runs("status = 'FINISHED'").dropna(subset=["params.model"])
    run = samerun.load_run(trained["id"].iloc[0])
    assert run.status == "FINISHED"
    assert run.config.model.kind == run.params["model"]
    last = run.history["train/loss"].dropna().iloc[-1]
    assert last == run.metrics["train/loss"]
    assert run.id[:8] in repr(run)
    for path in run.artifacts[:3]:
        assert run.artifact(path).stat().st_size > 0
    with pytest.raises(samerun.UserError, match="expected one of its"):
        run.artifact("../mlflow.db")


def test_an_artifact_that_could_not_be_read_completely_is_read_again(store, monkeypatch):
    run = samerun.load_run(store({"notes.txt": "whole"}))
    with monkeypatch.context() as changed:

        def fail(run, path, target, **options):
            target.write_text("wh")
            raise samerun.UserError("the connection was lost")

        changed.setattr(tracking, "download_artifact", fail)
        with pytest.raises(samerun.UserError, match="connection was lost"):
            run.artifact("notes.txt")
    assert run.artifact("notes.txt").read_text() == "whole"


def test_a_model_that_is_not_complete_is_not_loaded(store, tmp_path):
    run_id = store({})
    with pytest.raises(samerun.UserError, match="has logged no model"):
        _ = samerun.load_run(run_id).model
    log_model(run_id, tmp_path / "model", status="FAILED")
    with pytest.raises(samerun.UserError, match="does not have all of its model"):
        _ = samerun.load_run(run_id).model


def test_a_name_that_fits_no_run_is_one_sentence(version_0_1_0):
    with pytest.raises(samerun.UserError, match="'nothing' names no run"):
        samerun.load_run("nothing")


def test_predictions_of_a_hostile_store_are_refused(store):
    run = samerun.load_run(store({"evaluation/predictions.npz": b"\x80\x04pickle"}))
    with pytest.raises(samerun.UserError, match="not written by samerun"):
        _ = run.predictions
    with pytest.raises(samerun.UserError, match=r"no config/resolved\.yaml"):
        _ = run.config


def test_compose_checks_a_config_against_its_data(project):
    composition = samerun.compose(["model=mlp", "training.epochs=3"])
    assert composition.config.training.epochs == 3
    with pytest.raises(samerun.UserError, match="dataset"):
        samerun.compose(["model=language_model", "dataset=digits"])


def test_the_experiment_of_the_environment_is_taken_unless_another_is_named(project, monkeypatch):
    def experiment(*overrides):
        return samerun.compose(overrides).config.tracking.experiment

    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    assert experiment() == "samerun"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of ours")
    assert experiment() == "of ours"
    assert experiment("tracking.experiment=mine") == "mine"


def test_resuming_from_python_is_the_command(store, capsys):
    run_id = store({})
    with pytest.raises(samerun.UserError) as from_python:
        samerun.resume(run_id)
    assert cli.main(["resume", run_id]) == 2
    assert str(from_python.value) in capsys.readouterr().err
