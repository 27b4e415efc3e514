"""MLflow's own UI on the runs, in a real browser without a screen."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import pytest

from samerun import tracking
from support import warm

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def runs(prepared_database, tmp_path_factory):
    """A folder with two runs."""
    folder = tmp_path_factory.mktemp("ui")
    shutil.copy(prepared_database, folder / "mlflow.db")
    for model in ("mlp", "cnn"):
        overrides = [f"model={model}", "training.epochs=2", "dataset.limit=300"]
        done = warm.run([sys.executable, "-m", "samerun", "train", *overrides], cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder, tracking.find_runs(uri=f"sqlite:///{folder}/mlflow.db")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(params=["samerun ui", "mlflow ui"])
def address(request, runs):
    port = free_port()
    command = request.param.split()
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", str(port)],
        cwd=runs[0],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1)
            break
        except OSError:
            time.sleep(0.5)
    yield url, request.param == "mlflow ui"
    process.terminate()
    process.wait(timeout=30)


def page(url):
    """The text of a page after its scripts have run."""
    with tempfile.TemporaryDirectory() as profile:
        arguments = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
        arguments += ["--no-first-run", "--disable-background-networking", "--disable-sync"]
        arguments += ["--disable-component-update", f"--user-data-dir={profile}"]
        arguments += ["--window-size=1800,1400", "--virtual-time-budget=30000", "--dump-dom", url]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=200)
    return re.sub(r"<[^>]+>", " ", done.stdout)


def test_pages_show_the_runs_and_each_its_description_metrics_data_and_artifacts(address, runs):
    _, (run, other) = runs
    url, is_mlflows = address
    experiment = f"{url}/#/experiments/{run.experiment_id}/runs"
    overview = page(f"{experiment}/{run.id}")
    assert run.tags["samerun.result"] in overview
    assert "validation/accuracy" in overview
    assert "digits" in overview
    if is_mlflows:
        return  # the same pages of the same store, by MLflow's own command
    listed = page(experiment)
    assert run.name in listed
    assert other.name in listed
    artifacts = page(f"{experiment}/{run.id}/artifacts")
    for name in ("plots", "config", "provenance", "history.csv"):
        assert name in artifacts


def test_tensorboard_shows_the_runs_that_are_named(runs):
    folder, (first, second) = runs
    port = free_port()
    arguments = ["tensorboard", first.id[:8], second.name, "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "samerun", *arguments], cwd=folder, start_new_session=True
    )
    try:
        names = set()
        for _ in range(120):
            time.sleep(0.5)
            try:
                with urllib.request.urlopen(f"http://localhost:{port}/data/runs") as answer:
                    names = set(json.load(answer))
            except OSError:
                continue
            if len(names) >= 6:
                break
        expected = {f"{run.name}-{run.id[:8]}/{part}" for run in (first, second) for part in SPLITS}
        assert expected <= names
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


SPLITS = ("train", "validation")
