"""Runs with a logged model, made in a store without training them."""

from pathlib import Path

from samerun import tracking


def log_model(run_id, folder, *, uri=None, status="READY"):
    """Gives a run a logged model, as training does; returns its ID.

    Args:
        run_id: of the run.
        folder: an empty one for its files.
        uri: the store.
        status: what the store says of it.
    """
    client = tracking.connect(tracking.resolve_uri(uri))
    experiment = client.get_run(run_id).info.experiment_id
    made = client.create_logged_model(experiment, name="model", source_run_id=run_id)
    files = Path(folder)
    (files / "data").mkdir(parents=True)
    (files / "data" / "model.keras").write_bytes(b"weights")
    (files / "MLmodel").write_text(f"model_id: {made.model_id}\nflavors: {{}}\n")
    client.log_model_artifacts(made.model_id, str(files))
    client.finalize_logged_model(made.model_id, status)
    return made.model_id
