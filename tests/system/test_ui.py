"""MLflow's own UI on the runs, in a real browser without a screen."""

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import pytest

from samerun import tracking
from support import warm

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium")


def train(folder, database, lines):
    """Records in a folder what several command lines train."""
    shutil.copy(database, folder / "mlflow.db")
    for overrides in lines:
        done = warm.run([sys.executable, "-m", "samerun", "train", *overrides], cwd=folder)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def runs(prepared_database, made_once):
    """A folder with two runs."""
    lines = [[f"model={one}", "training.epochs=2", "dataset.limit=300"] for one in ("mlp", "cnn")]
    folder = made_once("ui_runs", lambda folder: train(folder, prepared_database, lines))
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
    process.wait(timeout=120)


@pytest.fixture(scope="session")
def compared(prepared_database, made_once):
    """A folder with three runs, a multirun of two and a sweep of twelve trials."""
    tiny = ["model=mlp", "model.units=[4]", "training.epochs=1", "dataset.limit=100"]
    tiny += ["tracking=lean"]
    sweep = ["-m", "sweep=optuna", "model.dropout=interval(0,0.6)", "sweep.workers=1"]
    sweep += ["optimizer.learning_rate=tag(log,interval(1e-4,1e-1))", "sweep.n_trials=12"]
    lines = [[*tiny, f"model.l2={value}"] for value in ("0.1", "0.01", "0.001")]
    lines += [[*tiny, "-m", "schedule=constant,cosine"], [*tiny, *sweep, "sweep.study=night"]]
    return made_once("ui_compared", lambda folder: train(folder, prepared_database, lines))


def printed_address(folder, *arguments):
    """Starts `samerun ui` and returns the process and the address that it prints."""
    command = [sys.executable, "-m", "samerun", "ui", *arguments, "--port", str(free_port())]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    too_late = threading.Timer(300, process.kill)
    too_late.start()
    try:
        for line in process.stdout:
            if line.startswith("http://"):
                return process, line.strip()
    finally:
        too_late.cancel()
    raise AssertionError(f"samerun ui ended with {process.wait()}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(
            [],
            ["units=4 l2=0.1", "schedule · 2 runs", "night", "test/accuracy", "validation/"],
            id="all",
        ),
        pytest.param(["night"], ["What was varied", "12 matching runs", "dropout=0."], id="sweep"),
        pytest.param(["latest~2"], ["test accuracy", "validation/best/loss"], id="run"),
    ],
)
def test_the_printed_page_shows_what_differs_and_the_metrics(compared, arguments, expected):
    process, address = printed_address(compared, *arguments)
    try:
        shown = " ".join(page(address).split())
        missing = [text for text in expected if text not in shown]
        assert not missing, f"{address}: {shown}"
    finally:
        process.terminate()
        process.communicate(timeout=120)


def test_ctrl_c_in_a_terminal_ends_the_server_and_prints_one_line(version_0_1_0):
    port = free_port()
    command = [sys.executable, "-m", "samerun", "ui", "--no-browser", "--port", str(port)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    too_late = threading.Timer(300, os.kill, (pid, signal.SIGKILL))
    too_late.start()
    printed = b""
    try:
        while b"Ctrl-C ends it." not in printed:
            printed += os.read(terminal, 4096)
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30).close()
        os.write(terminal, b"\x03")
        with contextlib.suppress(OSError):  # the terminal is closed by the last process in it
            while chunk := os.read(terminal, 4096):
                printed += chunk
    finally:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        too_late.cancel()
        os.close(terminal)
    after = printed.decode().partition("Ctrl-C ends it.")[2].replace("^C", "").split("\r\n")
    assert [line for line in after if line] == ["samerun: interrupted."]
    assert code == 130
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)


def test_a_taken_port_is_refused_with_one_that_is_free(runs):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for command in ("ui", "tensorboard"):
            done = warm.run([sys.executable, "-m", "samerun", command, "--port", port], cwd=runs[0])
            assert done.returncode == 2
            assert "http" not in done.stdout
            (free,) = re.findall(rf"{command} --port (\d+)", done.stderr)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", int(free)))


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
        names, end = set(), time.monotonic() + 240
        while time.monotonic() < end:
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
        process.wait(timeout=120)


SPLITS = ("train", "validation")
