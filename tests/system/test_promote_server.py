"""`samerun promote` with a real MLflow server."""

from pathlib import Path

import mlflow.artifacts

from samerun import cli, tracking
from support.compared import archive, classified, probabilities, resolved
from support.promoted import log_model


def test_a_server_keeps_alias_and_card(server, tmp_path, monkeypatch, capsys):
    uri = f"http://127.0.0.1:{server.port}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = tracking.connect(uri)
    experiment = tracking.experiment_id(client, "samerun")
    truth, predicted, confidence = classified()
    content = archive(probabilities=probabilities(predicted, confidence), truth=truth)
    made = []
    for name, stored in (("first", content), ("worse", _spoiled(truth))):
        tags = {"samerun.model": "mlp", "samerun.data.test": "d" * 64}
        run_id = client.create_run(experiment, run_name=name, tags=tags).info.run_id
        (tmp_path / "predictions.npz").write_bytes(stored)
        client.log_artifact(run_id, str(tmp_path / "predictions.npz"), "evaluation")
        client.log_text(run_id, resolved(), "config/resolved.yaml")
        log_model(run_id, tmp_path / name, uri=uri)
        made.append(run_id)
    assert cli.main(["promote", made[0], "--as", "champion"]) == 0
    assert cli.main(["promote", made[1], "--as", "champion"]) == 2
    assert "it is worse than version 1" in capsys.readouterr().err
    version = client.get_model_version_by_alias("digits", "champion")
    assert version.run_id == made[0]
    assert "## Lineage" in version.description
    got = mlflow.artifacts.download_artifacts("models:/digits@champion/data/model.keras")
    assert Path(got).read_bytes() == b"weights"


def _spoiled(truth):
    wrong = (truth + 1) % 4
    return archive(probabilities=probabilities(wrong, 0.9 + 0 * truth), truth=truth)
