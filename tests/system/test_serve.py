"""The scoring server on raw input: `samerun serve` and `mlflow models serve` answer the same."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

STORE = """
import sys
from pathlib import Path
from support.own_files import write_own_files
from support.stored_models import store_model
write_own_files(Path())
own = ("dataset=table_csv", "dataset.path=table.csv", "dataset.target=town")
table = store_model(*own, "model=mlp")
texts = store_model(
    "dataset=text_csv", "dataset.path=texts.csv", "dataset.max_length=6", "model=cnn1d"
)
print(table[0], texts[0])
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(port, body, kind="application/json"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    address = f"http://127.0.0.1:{port}/invocations"
    request = urllib.request.Request(address, content, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_for(server, port):
    until = time.monotonic() + 180
    while time.monotonic() < until:
        assert server.poll() is None, "the server ended"
        try:
            address = f"http://127.0.0.1:{port}/health"
            return urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.3)
    raise AssertionError("the server does not answer")


def served(command, ask, folder):
    """Starts a server on a port of its own, asks it, and ends it.

    The workers of a server may outlive it for a moment and answer on its port.
    """
    port = free_port()
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    with (folder / "server.txt").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(server, port)
        return ask(port)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


TEXTS = {"dataframe_records": [{"text": "word1 film"}, {"text": "no word that training had"}]}


def check_texts(port):
    """Good requests, bad ones, then good ones again; returns the first answer."""
    status, first = post(port, TEXTS)
    assert status == 200
    answers = json.loads(first)["predictions"]
    assert [*answers[0]] == ["label", "probability", "probability_blame", "probability_praise"]
    for body, part in [
        ({"dataframe_records": [{"text": "  "}]}, "holds an empty text"),
        ({"dataframe_records": [{"text": None}]}, "holds no value, expected a text"),
        ({"dataframe_records": [{"words": "a"}]}, "missing inputs"),
        ({"dataframe_records": []}, ""),
        (b"x" * 5_000_000, "Invalid input"),
        ({"dataframe_records": "text"}, ""),
    ]:
        status, answer = post(port, body)
        assert 400 <= status < 500, (body if len(body) < 1000 else "5 MB", status, answer[:300])
        assert part in answer
    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(lambda _: post(port, TEXTS), range(200)))
    assert set(found) == {(200, first)}
    return first


@pytest.mark.slow
def test_both_servers_answer_the_same_and_survive_bad_requests(project):
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(__file__))}
    stored = subprocess.run(
        [sys.executable, "-c", STORE], env=environment, capture_output=True, text=True, cwd=project
    )
    assert stored.returncode == 0, stored.stderr
    table, texts = stored.stdout.split()[-2:]
    ours = [sys.executable, "-m", "samerun", "serve", texts]
    answer = served(ours, check_texts, project)
    theirs = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"runs:/{texts}/model"]
    theirs += ["--env-manager", "local"]
    assert served(theirs, lambda at: post(at, TEXTS), project) == (200, answer)

    ours = [sys.executable, "-m", "samerun", "serve", table]
    row = {"size": 0.5, "rooms": 3, "price": 2}
    status, answer = served(ours, lambda at: post(at, {"dataframe_records": [row]}), project)
    assert status == 200
    assert json.loads(answer)["predictions"][0]["label"] in ("Aachen", "Bonn", "Celle")
