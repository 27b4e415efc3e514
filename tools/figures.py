"""Recreates the figures in `docs/`: `.venv/bin/python tools/figures.py`; requires chromium.

Trains the runs in a temporary folder, copies their plots and takes a screenshot of the MLflow UI.
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

DOCS = Path(__file__).resolve().parents[1] / "docs"
PORT = 5017


def samerun(*arguments: str) -> None:
    """Runs a command in the working folder."""
    subprocess.run([sys.executable, "-m", "samerun", *arguments], check=True)


def screenshot(url: str, name: str, height: int) -> None:
    """Takes a screenshot of a page after its scripts have run."""
    with tempfile.TemporaryDirectory() as profile:
        options = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += ["--disable-background-networking", "--no-first-run", "--disable-sync"]
        options += ["--disable-component-update", f"--user-data-dir={profile}"]
        options += [f"--window-size=1700,{height}", "--virtual-time-budget=30000"]
        subprocess.run([*options, f"--screenshot={DOCS / name}", url], check=True, timeout=200)


def copy_plot(experiment: str, name: str, target: str) -> None:
    """Copies a plot of the latest run of an experiment."""
    run = next(r for r in tracking.find_runs() if experiment in r.tags["samerun.command"])
    shutil.copy(run.folder / "plots" / name, DOCS / target)


def main() -> None:
    """Trains the runs and saves the figures."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        samerun("train", "experiment=google_lstm")
        copy_plot("google_lstm", "forecast.png", "forecast.png")
        samerun("train", "experiment=tour")
        shutil.copy(next(Path("multirun").rglob("curves.png")), DOCS / "curves.png")
        samerun("train", "-m", "model=mlp,cnn", "schedule=constant,cosine", "optimizer=adam,sgd")
        samerun("train", "experiment=digits_cnn")
        copy_plot("digits_cnn", "mistakes.png", "mistakes.png")
        (run,) = tracking.find_runs()[:1]
        server = subprocess.Popen([sys.executable, "-m", "samerun", "ui", "--port", str(PORT)])
        try:
            wait_for(f"http://127.0.0.1:{PORT}/health")
            page = f"http://127.0.0.1:{PORT}/#/experiments/{run.experiment_id}"
            screenshot(f"{page}/runs", "runs.png", 700)
        finally:
            server.terminate()
            server.wait()
        overrides = ["experiment=digits_cnn", "sweep=regularisation", "sweep.n_trials=24"]
        samerun("train", "-m", *overrides, "sweep.study=s")
        shutil.copy("multirun/s/report/intermediate_values.png", DOCS / "sweep.png")


def wait_for(url: str) -> None:
    """Waits until a server answers, for at most two minutes."""
    for _ in range(240):
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(url)


if __name__ == "__main__":
    main()
