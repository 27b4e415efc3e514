"""The scoring server on raw input: `samerun serve` and `mlflow models serve` answer the same."""

import base64
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from support import warm
from support.environments import install, new_environment

OWN_NET = """
import keras
from samerun.models import head


@keras.saving.register_keras_serializable("own_net")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def build(spec):
    return keras.Sequential([keras.Input(spec.input_shape), Twice(), head(spec)])
"""
STORE = """
import json
from pathlib import Path
import pandas as pd
import samerun
from support.own_files import write_own_files
from support.stored_models import model_folder, store_model
write_own_files(Path())
table = ("dataset=table_csv", "dataset.path=table.csv", "dataset.target=price")
table += ("dataset.target_type=numbers", "dataset.standardize_target=true")
texts = ("dataset=text_csv", "dataset.path=texts.csv", "dataset.max_length=6", "model=cnn1d")
size = ("dataset.height=8", "dataset.width=8")
kinds = {
    "table": [*table, "model=mlp"],
    "texts": texts,
    "images": ["dataset=image_folder", "dataset.path=pictures", *size, "model=cnn"],
    "own": [*table, "model=custom", "model.target=own_net:build"],
}
runs = {name: store_model(*given)[0] for name, given in kinds.items()}
folders = {name: str(model_folder(run_id).resolve()) for name, run_id in runs.items()}
row = pd.DataFrame([{"size": 0.5, "rooms": 3, "town": "Bonn"}])
price = float(samerun.load_run(runs["table"]).predict(row)["price"].iloc[0])
print(json.dumps({**runs, "folders": folders, "price": price}))
"""


@pytest.fixture(scope="session")
def stored(made_once, prepared_database):
    """A `folder` with runs that have stored models: IDs by kind, and `folders` of the models.

    `price` is what the model of the table answers to ROW.
    """

    def store(folder):
        shutil.copy(prepared_database, folder / "mlflow.db")
        (folder / "own_net.py").write_text(OWN_NET)
        environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(__file__))}
        environment.pop("MLFLOW_TRACKING_URI", None)
        done = warm.run([sys.executable, "-c", STORE], env=environment, cwd=folder)
        assert done.returncode == 0, done.stderr
        (folder / "stored.json").write_text(done.stdout.splitlines()[-1])

    folder = made_once("stored_models", store)
    return SimpleNamespace(folder=folder, **json.loads((folder / "stored.json").read_text()))


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


def served(command, ask, folder, python=sys.executable):
    """Starts a server on a port of its own, asks it, and ends it.

    The workers of a server may outlive it for a moment and answer on its port.
    """
    port = free_port()
    path = os.pathsep.join([os.path.dirname(python), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    kind = warm.Warm if python == sys.executable else subprocess.Popen
    with (folder / "server.txt").open("wb") as log:
        server = kind(
            [python, "-m", *command, "--port", str(port)],
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


TEXTS = {"dataframe_records": [{"text": "word1 film"}, {"text": "a film that training never had"}]}


def check_texts(port):
    """Good requests, bad ones, then good ones again; returns the first answer."""
    status, first = post(port, TEXTS)
    assert status == 200
    answers = json.loads(first)["predictions"]
    assert [*answers[0]] == ["label", "probability", "probability_blame", "probability_praise"]
    for body, part in [
        ({"dataframe_records": [{"text": "  "}]}, "holds an empty text"),
        ({"dataframe_records": [{"text": "Kein Wort, das es gab."}]}, "holds only unknown words"),
        ({"dataframe_records": [{"text": None}]}, "holds no value, expected a text"),
        ({"dataframe_records": [{"words": "a"}]}, "missing inputs"),
        ({"dataframe_records": []}, ""),
        (b"x" * 5_000_000, "Invalid input"),
        ({"dataframe_records": [{"text": "unbekannt " * 500_000}]}, "holds only unknown words"),
        ({"dataframe_records": "text"}, ""),
    ]:
        status, answer = post(port, body)
        assert 400 <= status < 500, (str(body)[:300], status, answer[:300])
        assert part in answer
    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(lambda _: post(port, TEXTS), range(200)))
    assert set(found) == {(200, first)}
    return first


ROW = {"size": 0.5, "rooms": 3, "town": "Bonn"}


def jpeg(value):
    """A request with a JPEG file of one colour, of another size than the model's images."""
    file = io.BytesIO()
    Image.fromarray(np.full((20, 15, 3), value, np.uint8)).save(file, "JPEG")
    return {"dataframe_records": [{"image": base64.b64encode(file.getvalue()).decode()}]}


def check_images(port):
    """A JPEG file, bad ones, then the first again; returns its answer."""
    status, first = post(port, jpeg(200))
    assert status == 200, first
    assert json.loads(first)["predictions"][0]["label"] in ("cats", "dogs", "fish")
    noise = base64.b64encode(b"no image" * 600_000).decode()
    for cell in (noise, "not base64!", 7, None):
        status, answer = post(port, {"dataframe_records": [{"image": cell}]})
        assert 400 <= status < 500, (str(cell)[:20], status, answer[:300])
    assert post(port, jpeg(200)) == (200, first)
    return first


def check_table(port):
    """A row, bad ones, then the first again; returns the value that it is answered with."""
    status, first = post(port, {"dataframe_records": [ROW]})
    assert status == 200, first
    for row in ({**ROW, "size": "wide"}, {"size": 0.5, "town": "Bonn"}, {**ROW, "rooms": None}):
        status, answer = post(port, {"dataframe_records": [row]})
        assert 400 <= status < 500, (row, status, answer[:300])
    assert post(port, {"dataframe_records": [ROW]}) == (200, first)
    (answer,) = json.loads(first)["predictions"]
    assert [*answer] == ["price"]
    return answer["price"]


@pytest.mark.slow(seconds=25)
def test_both_servers_answer_the_same_and_survive_bad_requests(stored):
    ours = ["samerun", "serve", stored.texts]
    answer = served(ours, check_texts, stored.folder)
    theirs = ["mlflow", "models", "serve", "-m", f"runs:/{stored.texts}/model"]
    theirs += ["--env-manager", "local"]
    assert served(theirs, lambda at: post(at, TEXTS), stored.folder) == (200, answer)
    price = served(["samerun", "serve", stored.table], check_table, stored.folder)
    assert price == stored.price
    served(["samerun", "serve", stored.images], check_images, stored.folder)


@pytest.mark.slow
def test_a_model_with_classes_of_ones_own_is_served_if_they_are_trusted(stored, samerun):
    refused = samerun("serve", stored.own, cwd=stored.folder)
    assert refused.returncode == 2
    assert "give --trust MODULE" in refused.stderr
    served(["samerun", "serve", stored.own, "--trust", "own_net"], check_table, stored.folder)


@pytest.mark.slow(seconds=45)
def test_mlflow_serves_with_nothing_but_the_requirements_of_the_model(stored, tmp_path):
    """In an environment without samerun: rows, texts and JPEG files in, values and labels out."""
    checks = {"table": check_table, "texts": check_texts, "images": check_images}
    files = [Path(stored.folders[name], "requirements.txt") for name in checks]
    assert len({file.read_text() for file in files}) == 1
    python = new_environment(tmp_path / "env")
    install(python, "-r", str(files[0]))
    (tmp_path / "work").mkdir()
    lacks = subprocess.run([python, "-c", "import samerun"], cwd=tmp_path, capture_output=True)
    assert b"No module named 'samerun'" in lacks.stderr
    found = {}
    for name, check in checks.items():
        command = ["mlflow", "models", "serve", "-m", stored.folders[name]]
        command += ["--env-manager", "local"]
        found[name] = served(command, check, tmp_path / "work", str(python))
    assert found["table"] == pytest.approx(stored.price, rel=1e-6)
