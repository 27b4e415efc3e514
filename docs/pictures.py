"""Takes the pictures in this folder again: `.venv/bin/python docs/pictures.py`; needs chromium.

Trains what they show in a temporary folder, then copies plots and photographs MLflow's UI.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from samerun import tracking

DOCS = Path(__file__).resolve().parent
PORT = 5017


def samerun(*words: str) -> None:
    """Runs a command in the working folder."""
    subprocess.run([sys.executable, "-m", "samerun", *words], check=True)


def photograph(url: str, name: str, height: int) -> None:
    """Takes a picture of a page after its scripts have run."""
    with tempfile.TemporaryDirectory() as profile:
        words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        words += ["--disable-background-networking", "--no-first-run", "--disable-sync"]
        words += ["--disable-component-update", f"--user-data-dir={profile}"]
        words += [f"--window-size=1700,{height}", "--virtual-time-budget=30000"]
        subprocess.run([*words, f"--screenshot={DOCS / name}", url], check=True, timeout=200)


def plot(experiment: str, name: str, target: str) -> None:
    """Copies a plot of the latest run of an experiment."""
    run = next(r for r in tracking.find_runs() if experiment in r.tags["samerun.command"])
    shutil.copy(run.folder / "plots" / name, DOCS / target)


def main() -> None:
    """Trains, copies, photographs."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        samerun("train", "experiment=google_lstm")
        plot("google_lstm", "forecast.png", "forecast.png")
        samerun("train", "experiment=tour")
        shutil.copy(next(Path("multirun").rglob("curves.png")), DOCS / "curves.png")
        samerun("train", "-m", "model=mlp,cnn", "schedule=constant,cosine", "optimizer=adam,sgd")
        samerun("train", "experiment=digits_cnn")
        plot("digits_cnn", "mistakes.png", "mistakes.png")
        (run,) = tracking.find_runs()[:1]
        server = subprocess.Popen([sys.executable, "-m", "samerun", "ui", "--port", str(PORT)])
        try:
            wait_for(f"http://127.0.0.1:{PORT}/health")
            page = f"http://127.0.0.1:{PORT}/#/experiments/{run.experiment_id}"
            photograph(f"{page}/runs", "runs.png", 700)
        finally:
            server.terminate()
            server.wait()
        words = ["experiment=digits_cnn", "sweep=regularisation", "sweep.n_trials=24"]
        samerun("train", "-m", *words, "sweep.study=s")
        shutil.copy("multirun/s/report/intermediate_values.png", DOCS / "sweep.png")


def wait_for(url: str) -> None:
    """Waits until a server answers, two minutes at most."""
    for _ in range(240):
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(url)


if __name__ == "__main__":
    main()
