"""Runs that are made once per session, and copies of them for tests that change their store."""

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import tarfile
import time
from pathlib import Path

from samerun import data, identity, tracking

PLACES = (
    ("runs", "artifact_uri"),
    ("experiments", "artifact_location"),
    ("logged_models", "artifact_location"),
    ("tags", "value"),
)
"""Columns of MLflow's database that hold absolute paths."""


class RecordedRuns:
    """Folders of runs that were trained, or only written to a store, by name.

    Args:
        folder: where they are, the same for all processes of a session.
        database: MLflow's database without runs.
    """

    def __init__(self, folder, database):
        self.folder, self.database = folder, database

    def copy(self, name, make):
        """Copies a folder into the working folder, which then is where its runs were trained.

        Args:
            name: its name.
            make: makes the runs in the working folder, where no process has done so yet.

        Returns:
            What `make` returned, a run ID for example.
        """
        source, target = self.folder / name, Path.cwd()
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (source / "made.json").exists():
                shutil.rmtree(source, ignore_errors=True)
                source.mkdir()
                shutil.copy(self.database, source / "mlflow.db")
                with contextlib.chdir(source):
                    made = make()
                (source / "made.json").write_text(json.dumps(made))
        ignored = shutil.ignore_patterns("mlflow.db*", "made.json")
        shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
        with contextlib.closing(sqlite3.connect(target / "mlflow.db")) as database:
            with contextlib.closing(sqlite3.connect(source / "mlflow.db")) as recorded:
                recorded.backup(database)
            for table, column in PLACES:
                change = f"update {table} set {column} = replace({column}, ?, ?)"
                database.execute(change, (str(source), str(target)))
            database.commit()
        for file in target.glob("outputs/**/run.json"):
            move(file.parent, str(source), str(target))
        return json.loads((source / "made.json").read_text())


def move(folder, source, target):
    """Corrects the paths in a run's folder, and how much of its spool has been delivered."""
    facts, outbox = folder / "run.json", folder / "outbox.jsonl"
    facts.write_text(facts.read_text().replace(source, target))
    size = os.path.getsize(outbox)
    outbox.write_text(outbox.read_text().replace(source, target))
    delivered = json.loads((folder / "delivered.json").read_text())
    delivered["outbox.jsonl"] += os.path.getsize(outbox) - size
    (folder / "delivered.json").write_text(json.dumps(delivered))


def write_artifact(run_id, path, text):
    """Replaces an artifact of a copied run: MLflow's client remembers where it was trained."""
    (folder,) = Path.cwd().glob(f"mlruns/*/{run_id}/artifacts")
    (folder / path).write_text(text)


def log_what_resume_reads(run, composition, *, files=None, text=None):
    """Stores what is compared before a run is resumed, as a training does.

    Args:
        run: an open run.
        composition: its config.
        files: digests of code files, those of this code if not given.
        text: of its config, that of `composition` if not given.
    """
    cfg = composition.config
    run.log_text(text or composition.resolved, "config/resolved.yaml")
    run.log_text(json.dumps(files or identity.code_files(cfg)), "provenance/files.json")
    digests = data.digests(cfg.dataset)
    run.set_tags({f"samerun.data.{split}": digest for split, digest in digests.items()})


def connected():
    """Returns MLflow's own client on the store of the working folder."""
    return tracking.connect(tracking.resolve_uri(None))


def run_maker():
    """Returns what makes finished runs in the working folder's store.

    A run is three transactions, and its artifacts are where MLflow would copy them to.
    """
    client = connected()
    experiment = tracking.experiment_id(client, "samerun")

    def make(artifacts, name="foreign", metrics=None, **tags):
        given = {"samerun.model": "mlp"} | {f"samerun.{key}": text for key, text in tags.items()}
        run = client.create_run(experiment, run_name=name, tags=given).info
        log_metrics(client, run.run_id, {"train/loss": [1.0]} | (metrics or {}))
        for path, content in artifacts.items():
            file = Path(run.artifact_uri, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        client.set_terminated(run.run_id)
        return run.run_id

    return make


def log_metrics(client, run_id, metrics):
    """Logs metrics at once: by name, their values from step 1 on."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    points = [
        Metric(key, value, now, step)
        for key, values in metrics.items()
        for step, value in enumerate(values, start=1)
    ]
    client.log_batch(run_id, metrics=points)


def unpack_version_0_1_0(folder):
    """Unpacks the project folder that version 0.1.0 recorded."""
    with tarfile.open(Path(__file__).parents[1] / "recorded" / "0.1.0.tar.xz") as archive:
        archive.extractall(folder, filter="data")
